// The client of the `Sandbox` Durable Object for other Workers. It holds no
// logic of its own: each method is one remote call, and a failure becomes an
// Error with a `code`.
//
// Calls go through the object's `invoke` method, which returns failures as
// values: an Error thrown across Durable Object RPC keeps its `code` only
// when both Workers have a recent compatibility date, a value always does.

/** A failed operation. See index.d.ts for the codes. */
export class SandboxError extends Error {
  constructor({ code, message, context = {}, status }, options) {
    super(message, options);
    this.name = "SandboxError";
    this.code = code;
    this.context = context;
    this.status = status;
  }
}

class Sandbox {
  #namespace;
  #id;

  constructor(namespace, name) {
    this.#namespace = namespace;
    this.#id = namespace.idFromName(name);
  }

  createBackup(options, { operationId = crypto.randomUUID() } = {}) {
    return this.#call("createBackup", [options, { operationId }], operationId);
  }

  previewBackup(options) {
    return this.#call("previewBackup", [options]);
  }

  restoreBackup(backup, { operationId = crypto.randomUUID(), ...options } = {}) {
    return this.#call("restoreBackup", [backup, { ...options, operationId }], operationId);
  }

  unmountBackup(dir, options = {}) {
    return this.#call("unmountBackup", [dir, options]);
  }

  operationOutcome(operationId) {
    return this.#call("operationOutcome", [operationId]);
  }

  cancelOperation() {
    return this.#call("cancelOperation", []);
  }

  operationLog(query = {}) {
    return this.#call("operationLog", [query]);
  }

  listBackups(query = {}) {
    return this.#call("listBackups", [query]);
  }

  getBackup(id) {
    return this.#call("getBackup", [id]);
  }

  verifyBackup(id) {
    return this.#call("verifyBackup", [id]);
  }

  deleteBackup(id) {
    return this.#call("deleteBackup", [id]);
  }

  pruneBackups(rules) {
    return this.#call("pruneBackups", [rules]);
  }

  reindexBackups() {
    return this.#call("reindexBackups", []);
  }

  exec(command, options = {}) {
    return this.#call("exec", [command, options]);
  }

  execStream(command, options = {}) {
    return this.#call("execStream", [command, options]);
  }

  writeFile(path, content, options = {}) {
    return this.#call("writeFile", [path, content, options]);
  }

  readFile(path, options = {}) {
    return this.#call("readFile", [path, options]);
  }

  listFiles(path, options = {}) {
    return this.#call("listFiles", [path, options]);
  }

  deleteFile(path) {
    return this.#call("deleteFile", [path]);
  }

  mkdir(path, options = {}) {
    return this.#call("mkdir", [path, options]);
  }

  exists(path) {
    return this.#call("exists", [path]);
  }

  status() {
    return this.#call("status", []);
  }

  stop() {
    return this.#call("stop", []);
  }

  async #call(method, args, operationId) {
    // A stub stays broken once its object has been reset, so every call takes
    // a fresh one; making it costs nothing.
    const stub = this.#namespace.get(this.#id);
    let outcome;
    try {
      outcome = await stub.invoke(method, args);
    } catch (error) {
      throw await this.#interruption(method, operationId, error);
    }
    if (outcome.error) throw new SandboxError(outcome.error);
    return outcome.value;
  }

  /** The runtime marks what befell the Durable Object itself; anything else is a mistake in the call. */
  async #interruption(method, operationId, error) {
    if (!error?.retryable && !error?.overloaded && !error?.durableObjectReset) return error;
    const asked = operationId && (await this.operationOutcome(operationId).catch(() => undefined));
    const { committed = null, backup } = asked ?? {};
    const effect = { true: "had taken effect", false: "had not taken effect" }[committed] ?? "may have taken effect";
    return new SandboxError(
      {
        code: "OPERATION_INTERRUPTED",
        message: `the sandbox's Durable Object went away during ${method}, which ${effect}: ${error.message}`,
        context: { committed, operationId, ...(committed !== false && backup && { backup }) },
        status: 409,
      },
      { cause: error },
    );
  }
}

/** The sandbox called `name`. */
export function getSandbox(namespace, name) {
  return new Sandbox(namespace, name);
}

/** The events of `execStream`, as objects. */
export async function* parseSSEStream(stream) {
  let pending = "";
  // Leaving the loop early cancels the stream, and with it the command.
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const events = (pending + text).split("\n\n");
    pending = events.pop();
    for (const event of events) {
      const data = event
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice("data:".length).trimStart());
      if (data.length === 0) continue;
      const parsed = JSON.parse(data.join("\n"));
      if (parsed.error) throw new SandboxError(parsed.error);
      yield parsed;
    }
  }
}
