// The client of the `Sandbox` Durable Object for other Workers. It holds no
// logic of its own: each method is one remote call with all that it was given,
// which only the object can judge, and a failure becomes an Error with a `code`.
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

  createBackup(options, { operationId = crypto.randomUUID(), ...call } = {}, ...surplus) {
    const args = [options, { ...call, operationId }, ...surplus];
    return this.#call("createBackup", args, operationId);
  }

  previewBackup(...args) {
    return this.#call("previewBackup", args);
  }

  restoreBackup(backup, { operationId = crypto.randomUUID(), ...options } = {}, ...surplus) {
    const args = [backup, { ...options, operationId }, ...surplus];
    return this.#call("restoreBackup", args, operationId);
  }

  unmountBackup(...args) {
    return this.#call("unmountBackup", args);
  }

  operationOutcome(...args) {
    return this.#call("operationOutcome", args);
  }

  cancelOperation(...args) {
    return this.#call("cancelOperation", args);
  }

  operationLog(...args) {
    return this.#call("operationLog", args);
  }

  listBackups(...args) {
    return this.#call("listBackups", args);
  }

  getBackup(...args) {
    return this.#call("getBackup", args);
  }

  verifyBackup(...args) {
    return this.#call("verifyBackup", args);
  }

  deleteBackup(...args) {
    return this.#call("deleteBackup", args);
  }

  pruneBackups(...args) {
    return this.#call("pruneBackups", args);
  }

  reindexBackups(...args) {
    return this.#call("reindexBackups", args);
  }

  exec(...args) {
    return this.#call("exec", args);
  }

  execStream(...args) {
    return this.#call("execStream", args);
  }

  writeFile(...args) {
    return this.#call("writeFile", args);
  }

  readFile(...args) {
    return this.#call("readFile", args);
  }

  listFiles(...args) {
    return this.#call("listFiles", args);
  }

  deleteFile(...args) {
    return this.#call("deleteFile", args);
  }

  mkdir(...args) {
    return this.#call("mkdir", args);
  }

  exists(...args) {
    return this.#call("exists", args);
  }

  status(...args) {
    return this.#call("status", args);
  }

  stop(...args) {
    return this.#call("stop", args);
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
