// The dashboard: what is stored, what runs, and the buttons for it. It knows
// only the HTTP routes that everybody has.

const $ = (id) => document.getElementById(id);
const TOKEN = "sandbox-api-token";
const POLL_MS = 3000;

let name = null;
let cursor = null;
let shown = [];
let polling = null;

// --- the routes ---

class Failure extends Error {
  constructor(error, status) {
    super(error.message);
    this.code = error.code;
    this.status = status;
  }
}

async function request(method, path, body, accept = "application/json") {
  const response = await fetch(path, {
    method,
    headers: { authorization: `Bearer ${sessionStorage.getItem(TOKEN)}`, accept },
    body: body && JSON.stringify(body),
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({ error: { message: response.statusText } }));
  throw new Failure(error, response.status);
}

const json = async (...args) => (await request(...args)).json();
const route = (rest) => `/v1/sandboxes/${encodeURIComponent(name)}/${rest}`;

/** Runs an operation and shows how far it is. */
async function follow(rest, body) {
  const response = await request("POST", route(rest), body, "text/event-stream");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("The connection ended before the operation did.");
    const events = (pending + value).split(/\r?\n\r?\n/);
    pending = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      const message = JSON.parse(event.slice("data: ".length));
      if (message.error) throw new Failure(message.error);
      if (message.type === "result") return message.result;
      showOperation(message.operation);
    }
  }
}

// --- words ---

function bytes(amount) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  return `${unit && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${units[unit]}`;
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

function moment(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return relative.format(Math.trunc(seconds), "second");
}

/** An element with text or elements in it. Text is never markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Puts elements in place of others. The focus stays on what is still there. */
function fill(container, children) {
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  container.replaceChildren(...children);
  if (focused === null) return;
  const same = [...container.querySelectorAll("[data-key]")].find(({ dataset }) => dataset.key === focused);
  (same ?? $(container.dataset.title)).focus();
}

function time(iso) {
  return element("time", { dateTime: iso, title: new Date(iso).toLocaleString() }, moment(iso));
}

function say(text, isError = false) {
  $("message").textContent = text ?? "";
  $("message").hidden = !text;
  $("message").classList.toggle("error", isError);
  $("message").role = isError ? "alert" : "status";
}

/** Runs what a button does, and says what went wrong. */
async function attempt(action) {
  say(null);
  try {
    await action();
  } catch (error) {
    if (error.status === 401) return signIn("The token is not accepted.");
    say(error.code ? `${error.code}: ${error.message}` : error.message, true);
  }
}

// --- views ---

function show(view) {
  for (const id of ["sign-in", "overview", "sandbox"]) $(id).hidden = id !== view;
  $("sign-out").hidden = view === "sign-in";
  clearTimeout(polling);
}

function signIn(message) {
  sessionStorage.removeItem(TOKEN);
  show("sign-in");
  say(message, Boolean(message));
  $("token").focus();
}

async function overview() {
  name = null;
  const { sandboxes } = await json("GET", "/v1/sandboxes");
  show("overview");
  $("sandboxes").replaceChildren(
    ...sandboxes.map((sandbox) =>
      element("tr", {},
        element("td", { className: "wrap" }, sandbox.name
          ? element("a", { href: `#${encodeURIComponent(sandbox.name)}` }, sandbox.name)
          : sandbox.sandbox ?? "made by other programs"),
        element("td", { className: "number" }, String(sandbox.backups)),
        element("td", { className: "number" }, bytes(sandbox.sizeBytes)),
        element("td", {}, time(sandbox.newestAt)),
      ),
    ),
  );
  if (!sandboxes.length) {
    $("sandboxes").append(element("tr", {}, element("td", { colSpan: 4 }, "Nothing is stored yet.")));
  }
}

async function sandbox() {
  show("sandbox");
  $("sandbox-title").textContent = name;
  await Promise.all([refresh(), backups(true)]);
}

async function refresh() {
  const asked = name;
  const status = await json("GET", route("status"));
  if (asked !== name) return;
  const strategies = status.container.strategies.join(", ");
  $("facts").replaceChildren(
    ...[["Container", status.container.state], ["Restores by", strategies || "not known while it is stopped"]].map(
      ([term, fact]) => element("div", {}, element("dt", {}, term), element("dd", {}, fact)),
    ),
  );
  const none = element("li", { className: "hint" }, "None.");
  fill($("mounts"), status.mounts.length ? status.mounts.map(mount) : [none]);
  showOperation(status.operation);
  clearTimeout(polling);
  polling = setTimeout(() => refresh().catch(() => {}), POLL_MS);
}

function mount(mount) {
  const whole = mount.cachedBytes === undefined || mount.cachedBytes >= mount.sizeBytes;
  const cached = whole ? "" : `, ${bytes(mount.cachedBytes)} of ${bytes(mount.sizeBytes)} here`;
  const take = element("button", { type: "button" }, "Unmount");
  take.setAttribute("aria-label", `Unmount ${mount.dir}`);
  take.dataset.key = mount.dir;
  take.onclick = () => attempt(async () => {
    await json("POST", route("unmount"), { dir: mount.dir });
    await refresh();
  });
  return element("li", { className: "row" },
    element("code", {}, mount.dir), `${mount.strategy}, ${mount.state}${cached}`, take);
}

function showOperation(operation) {
  $("operation").hidden = !operation;
  if (!operation) return;
  const title = { createBackup: "Backing up", verifyBackup: "Verifying" }[operation.type] ?? "Restoring";
  $("operation-title").textContent = `${title} ${operation.dir}: ${operation.phase}`;
  if (operation.bytesTotal) {
    $("progress").max = operation.bytesTotal;
    $("progress").value = operation.bytesDone;
  } else {
    $("progress").removeAttribute("value");
  }
  const detail = [`${bytes(operation.bytesDone)}${operation.bytesTotal ? ` of ${bytes(operation.bytesTotal)}` : ""}`];
  if (operation.bytesUploaded !== undefined) detail.push(`${bytes(operation.bytesUploaded)} stored`);
  if (operation.bytesPerSecond) detail.push(`${bytes(operation.bytesPerSecond)}/s`);
  if (operation.secondsLeft) detail.push(`${operation.secondsLeft} s left`);
  $("operation-detail").textContent = detail.join(" · ");
}

/** A page of them, after those that are shown, or from the newest one. */
async function backups(anew) {
  const asked = name;
  const page = await json("GET", route(`backups?limit=100${anew || !cursor ? "" : `&cursor=${encodeURIComponent(cursor)}`}`));
  if (asked !== name) return;
  shown = anew ? page.backups : [...shown, ...page.backups];
  cursor = page.cursor;
  $("more").hidden = !cursor;
  const none = element("tr", {}, element("td", { colSpan: 6 }, "No backups yet."));
  fill($("backups"), shown.length ? shown.map(row) : [none]);
  plot();
}

function row(backup) {
  const button = (text, action) => {
    const made = element("button", { type: "button" }, text);
    made.setAttribute("aria-label", `${text} ${backup.name ?? backup.id}, ${moment(backup.createdAt)}`);
    made.dataset.key = `${text} ${backup.id}`;
    made.onclick = () => attempt(() => action(backup));
    return made;
  };
  const expired = backup.state === "expired";
  return element("tr", { className: expired ? "expired" : "" },
    element("td", {}, time(backup.createdAt)),
    element("td", { className: "wrap" }, backup.name ?? "–"),
    element("td", { className: "wrap" }, element("code", {}, backup.dir)),
    element("td", { className: "number" }, bytes(backup.sizeBytes)),
    element("td", { className: expired ? "" : "expires" }, expired ? "expired" : time(backup.expiresAt)),
    element("td", { className: "actions" }, ...(expired ? [] : [button("Restore", restore), " "]), button("Verify", verify), " ", button("Delete", remove)),
  );
}

/** Bytes stored over time, and a line for every backup. */
function plot() {
  const made = shown.map((backup) => [Date.parse(backup.createdAt), backup.sizeBytes]).reverse();
  const total = made.reduce((sum, [, size]) => sum + size, 0);
  $("plot").replaceChildren();
  $("plot").parentElement.hidden = made.length < 2;
  if (made.length < 2) return;
  const [from, to] = [made[0][0], Date.now()];
  const x = (at) => ((at - from) / Math.max(1, to - from)) * 600;
  const y = (size) => 116 - (size / Math.max(1, total)) * 108;
  const svg = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  let sum = 0;
  let path = "M0 120";
  for (const [at, size] of made) {
    path += ` L${x(at)} ${y(sum)}`;
    sum += size;
    path += ` L${x(at)} ${y(sum)}`;
  }
  $("plot").append(svg("path", { class: "stored", d: `${path} L600 ${y(sum)} L600 120 Z` }));
  for (const [at] of made) {
    $("plot").append(svg("line", { class: "moment", x1: x(at), x2: x(at), y1: 112, y2: 120 }));
  }
  $("plot-title").textContent =
    `${cursor ? "The newest " : ""}${count(made.length, "backup")} since ${new Date(from).toLocaleString()}, ${bytes(total)} in all`;
}

// --- actions ---

/** Opens a dialog and gives its form's fields when it is confirmed. */
function ask(id) {
  const dialog = $(id);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const form = new FormData(dialog.querySelector("form"));
      resolve(dialog.returnValue === "ok" ? form : null);
    }, { once: true });
  });
}

async function create() {
  const form = await ask("create-dialog");
  if (!form) return;
  const options = { dir: form.get("dir"), ttl: Number(form.get("ttl")), gitignore: form.has("gitignore") };
  if (form.get("name")) options.name = form.get("name");
  const made = await follow("backups", options);
  say(`Backed up ${count(made.counts.files, "file")} of ${made.dir}: ${bytes(made.sizeBytes)}.`);
  await sandbox();
}

async function restore(backup) {
  $("restore-what").textContent = `${backup.name ?? backup.id}, ${bytes(backup.sizeBytes)}, made ${moment(backup.createdAt)}`;
  $("restore-dir").value = backup.dir;
  const form = await ask("restore-dialog");
  if (!form) return;
  const restored = await follow("restore", { id: backup.id, dir: form.get("dir") });
  const { leftOut } = restored;
  const lost = leftOut ? ` ${leftOut.count} could not be unpacked, such as ${leftOut.first[0].what} of ${leftOut.first[0].path || restored.dir}.` : "";
  say(`Restored to ${restored.dir} (${restored.strategy}).${lost}`);
  await refresh();
}

async function verify(backup) {
  const found = await follow(`backups/${backup.id}/verify`);
  showOperation(null);
  const what = backup.name ?? backup.id;
  if (!found.valid) {
    const problems = found.problems.length ? found.problems.slice(0, 3).join("; ") : "its checksum differs";
    return say(`${what} is damaged: ${problems}.`, true);
  }
  const checksum = found.checksum === "matches" ? "the checksum matches" : "no checksum was recorded";
  say(`${what} is whole: ${count(found.files, "file")}, ${bytes(found.bytes)}, ${checksum}.`);
}

async function remove(backup) {
  $("delete-what").textContent = `${backup.name ?? backup.id} of ${backup.dir}, ${bytes(backup.sizeBytes)}, made ${moment(backup.createdAt)}. This cannot be undone.`;
  if (!(await ask("delete-dialog"))) return;
  await json("DELETE", route(`backups/${backup.id}`));
  say("Deleted.");
  await backups(true);
}

function pruneRules() {
  const form = new FormData($("prune-dialog").querySelector("form"));
  const rules = { expired: form.has("expired") };
  for (const [key, value] of form) if (key !== "expired" && value) rules[key] = Number(value);
  return rules;
}

async function prune(dryRun) {
  const result = await json("POST", route("prune"), { ...pruneRules(), dryRun });
  const { count, first } = result.deleted;
  const missing = result.missing ? ` ${result.missing.count} gone from the bucket, and not counted.` : "";
  $("prune-result").textContent = (dryRun
    ? `${count} would be deleted (${bytes(result.freedBytes)}), ${result.kept} kept.`
    : `${count} deleted (${bytes(result.freedBytes)}).`) + missing;
  $("prune-list").replaceChildren(
    ...first.slice(0, 20).map((backup) => element("li", {}, `${backup.name ?? backup.id}, ${backup.dir}, `, time(backup.createdAt))),
  );
  if (count > 20) $("prune-list").append(element("li", {}, "…"));
  $("prune-go").disabled = !dryRun || count === 0;
  if (!dryRun || missing) await backups(true);
}

// What goes wrong in the dialog is said in it: the page behind cannot be seen.
async function pruneAttempt(dryRun) {
  try {
    await prune(dryRun);
  } catch (error) {
    $("prune-result").textContent = error.message;
    $("prune-list").replaceChildren();
    $("prune-go").disabled = true;
  }
}

// --- wiring ---

async function navigate() {
  if (!sessionStorage.getItem(TOKEN)) return signIn();
  await attempt(async () => {
    name = decodeURIComponent(location.hash.slice(1)) || null;
    await (name ? sandbox() : overview());
    document.title = name ? `${name} · Sandbox backups` : "Sandbox backups";
    $(name ? "sandbox-title" : "overview-title").focus();
  });
}

$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value);
  $("token").value = "";
  navigate();
};
$("sign-out").onclick = () => signIn();
$("open").onsubmit = (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent($("open-name").value);
};
$("create").onclick = () => attempt(create);
$("cancel").onclick = () => attempt(() => json("DELETE", route("operation")));
$("more").onclick = () => attempt(() => backups(false));
$("prune").onclick = () => {
  $("prune-result").textContent = "";
  $("prune-list").replaceChildren();
  $("prune-go").disabled = true;
  $("prune-dialog").showModal();
};
for (const button of document.querySelectorAll("dialog .close")) {
  button.onclick = () => button.closest("dialog").close();
}
$("prune-go").onclick = () => pruneAttempt(false);
$("prune-dialog").querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  pruneAttempt(true);
};
$("prune-dialog").oninput = () => {
  $("prune-go").disabled = true;
};
addEventListener("hashchange", navigate);
navigate();
