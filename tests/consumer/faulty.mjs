// The sandbox Worker with a bucket that fails on demand: the real one, wrapped.
// `reset` ends the Durable Object on the spot, as an eviction would; `size` and
// `etag` make `head` tell others than the object has.
import { memoryBytes } from "./webassembly.mjs";
import worker, { Sandbox as Plain } from "../../worker/entry.mjs";

export default worker;

/** Uploads that were created, by object; they outlive the object's resets. */
const uploads = new Map();

/** As of another object in two parts. */
const OTHER_ETAG = "d41d8cd98f00b204e9800998ecf8427e-2";

/** What goes wrong next, in the order of the calls it befalls. */
class Faults {
  #planned = [];
  #reset;

  constructor(reset) {
    this.#reset = reset;
  }

  plan(faults) {
    this.#planned = faults;
  }

  get left() {
    return this.#planned.length;
  }

  async around(operation, key, call) {
    // Metadata and archive are told apart by the ends of their keys.
    const index = this.#planned.findIndex(
      (fault) => fault.operation === operation && String(key).endsWith(fault.key ?? ""),
    );
    if (index < 0) return call();
    const [{ when, how }] = this.#planned.splice(index, 1);
    const result = when === "after" ? await call() : undefined;
    if (how === "reset") {
      this.#reset();
      // Nothing of this object goes on.
      await new Promise(() => {});
    }
    if (how === "size") return wrapped(result, { size: result.size + 1 });
    if (how === "etag") return wrapped(result, { etag: OTHER_ETAG });
    throw new Error(`${operation}: We encountered an internal error. Please try again. (10001)`);
  }
}

/** `target`, with some methods replaced, and the others bound to it. */
function wrapped(target, replaced) {
  return new Proxy(target, {
    get(target, name) {
      const value = Object.hasOwn(replaced, name) ? replaced[name] : Reflect.get(target, name);
      return typeof value === "function" && name !== "constructor" ? value.bind(target) : value;
    },
  });
}

function faultyUpload(upload, faults) {
  return wrapped(upload, {
    complete: (parts) => faults.around("complete", upload.key, () => upload.complete(parts)),
    abort: () => faults.around("abort", upload.key, () => upload.abort()),
  });
}

function faultyBucket(bucket, faults, created) {
  const around =
    (operation) =>
    (key, ...rest) =>
      faults.around(operation, key, () => bucket[operation](key, ...rest));
  return wrapped(bucket, {
    head: around("head"),
    get: around("get"),
    list: around("list"),
    put: around("put"),
    delete: around("delete"),
    createMultipartUpload: (key, options) =>
      faults.around("createMultipartUpload", key, async () => {
        const upload = await bucket.createMultipartUpload(key, options);
        created.push(upload);
        return faultyUpload(upload, faults);
      }),
    resumeMultipartUpload: (key, id) => faultyUpload(bucket.resumeMultipartUpload(key, id), faults),
  });
}

export class Sandbox extends Plain {
  #faults;
  #created;

  constructor(ctx, env) {
    // In a task of its own: the abort ends the script that is running, which
    // must not be in the middle of WebAssembly, for other objects use that, too.
    const faults = new Faults(() => setTimeout(() => ctx.abort("reset by the test")));
    const id = ctx.id.toString();
    if (!uploads.has(id)) uploads.set(id, []);
    const created = uploads.get(id);
    super(ctx, { ...env, BACKUP_BUCKET: faultyBucket(env.BACKUP_BUCKET, faults, created) });
    this.#faults = faults;
    this.#created = created;
  }

  /** What goes wrong from now on: `[{operation, key?, when, how}]`. */
  planFaults(faults) {
    this.#faults.plan(faults);
  }

  /** How many of them have not happened. */
  faultsLeft() {
    return this.#faults.left;
  }

  /** Resets the object in the middle of what it does. */
  async resetNow() {
    this.ctx.abort("reset by the test");
  }

  /** Lets the alarm ring, and says in how many milliseconds it would have. */
  async ringAlarm() {
    const at = await this.ctx.storage.getAlarm();
    await this.alarm();
    return at === null ? null : at - Date.now();
  }

  /** Runs statements in its database, and returns the rows of the last. */
  sql(statements) {
    const { sql } = this.ctx.storage;
    return statements.map((statement) => sql.exec(statement).toArray()).at(-1);
  }

  /** How many rows its tables have. */
  rows() {
    const { sql } = this.ctx.storage;
    const count = (table) => sql.exec(`SELECT count(*) AS rows FROM ${table}`).one().rows;
    return { backups: count("backups"), operations: count("operations"), log: count("log") };
  }

  /** Bytes of memory that the Worker's WebAssembly has, for all its objects. */
  memoryBytes() {
    return memoryBytes();
  }

  /** How many of its uploads still take parts; none does afterwards. */
  async openUploads() {
    let open = 0;
    for (const upload of this.#created.splice(0)) {
      const takesParts = upload.uploadPart(1, "x").then(
        () => true,
        () => false,
      );
      if (await takesParts) {
        open += 1;
        await upload.abort();
      }
    }
    return open;
  }
}
