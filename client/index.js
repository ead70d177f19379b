// The client of the `Sandbox` Durable Object for other Workers. It holds no
// logic of its own: each method is one remote call with all that it was given,
// which only the object can judge, and a failure becomes an Error with a `code`.
//
// Calls go through the object's `invoke` method, which returns failures as
// values: an Error thrown across Durable Object RPC keeps its `code` only
// when both Workers have a recent compatibility date, a value always does.

import { JOURNALED_METHODS, METHODS } from "./methods.js";

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

  static {
    for (const method of METHODS) {
      this.prototype[method] = function (...args) {
        return this.#call(method, args);
      };
    }
    // By the operation's id it can be asked what became of a call whose answer was lost.
    for (const method of JOURNALED_METHODS) {
      this.prototype[method] = function (first, { operationId = crypto.randomUUID(), ...call } = {}, ...surplus) {
        return this.#call(method, [first, { ...call, operationId }, ...surplus], operationId);
      };
    }
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
