// The client of the `Sandbox` Durable Object for other Workers. It holds no
// logic of its own: each method is one remote call with all that it was given,
// which only the object can judge, and a failure becomes an Error with a `code`.
//
// Calls go through the object's `invoke` method, which returns failures as
// values: an Error thrown across Durable Object RPC keeps its `code` only
// when both Workers have a recent compatibility date, a value always does.
import { EventSourceParserStream } from "eventsource-parser/stream";
import { JOURNALED_METHODS, METHODS } from "./contract.js";
/** What every method of a {@link Sandbox} throws when the operation fails. */
export class SandboxError extends Error {
    /** Always this. */
    name = "SandboxError";
    /** Machine-readable reason. */
    code;
    /** Facts about this failure, by name. */
    context;
    /** The HTTP status that belongs to the code. */
    status;
    /** The error that stands for a failure; the options are those of any `Error`. */
    constructor({ code, message, context = {}, status }, options) {
        super(message, options);
        this.code = code;
        this.context = context;
        this.status = status;
    }
}
class RemoteSandbox {
    #namespace;
    #id;
    constructor(namespace, name) {
        this.#namespace = namespace;
        this.#id = namespace.idFromName(name);
    }
    static {
        for (const method of METHODS) {
            Object.assign(this.prototype, {
                [method](...args) {
                    return this.#call(method, args);
                },
            });
        }
        // By the operation's id it can be asked what became of a call whose answer was lost.
        for (const method of JOURNALED_METHODS) {
            Object.assign(this.prototype, {
                [method](first, { operationId = crypto.randomUUID(), ...call } = {}, ...surplus) {
                    return this.#call(method, [first, { ...call, operationId }, ...surplus], operationId);
                },
            });
        }
    }
    async #call(method, args, operationId) {
        // A stub stays broken once its object has been reset, so every call takes
        // a fresh one; making it costs nothing.
        const stub = this.#namespace.get(this.#id);
        let outcome;
        try {
            outcome = await stub.invoke(method, args);
        }
        catch (error) {
            throw await this.#interruption(method, operationId, error);
        }
        if (outcome.error)
            throw new SandboxError(outcome.error);
        return outcome.value;
    }
    /** What the caller is told when a call itself has failed. */
    async #interruption(method, operationId, error) {
        if (!isOfTheObject(error))
            return error;
        const asked = operationId
            ? await this.operationOutcome(operationId).catch(() => undefined)
            : undefined;
        const { committed = null, backup } = asked ?? {};
        const effect = committed === null
            ? "may have taken effect"
            : committed
                ? "had taken effect"
                : "had not taken effect";
        return new SandboxError({
            code: "OPERATION_INTERRUPTED",
            message: `the sandbox's Durable Object went away during ${method}, which ${effect}: ${error.message}`,
            context: { committed, operationId, ...(committed !== false && backup && { backup }) },
            status: 409,
        }, { cause: error });
    }
}
/** Whether an error is what befell the Durable Object itself; any other is a mistake in the call. */
function isOfTheObject(error) {
    const { retryable, overloaded, durableObjectReset } = (error ?? {});
    return Boolean(retryable || overloaded || durableObjectReset);
}
/**
 * The sandbox called `name`: the same one for every caller that uses the same
 * name. It starts with the first call that needs it.
 *
 * @param namespace binding of the Durable Object class `Sandbox`
 */
export function getSandbox(namespace, name) {
    return new RemoteSandbox(namespace, name);
}
/**
 * The events of a stream that {@link Sandbox.execStream} gave. Leaving the
 * loop early cancels the stream. Throws {@link SandboxError} if the container
 * went away before the command ended.
 */
export async function* parseSSEStream(stream) {
    const events = stream
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream());
    // Leaving the loop early cancels the stream, and with it the command.
    for await (const { data } of events) {
        const parsed = JSON.parse(data);
        if (parsed.error)
            throw new SandboxError(parsed.error);
        yield parsed;
    }
}
