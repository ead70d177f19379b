// The client of the `Sandbox` Durable Object for other Workers. It holds no
// logic of its own: each method is one remote call with all that it was given,
// which only the object can judge, and a failure becomes an Error with a `code`.
//
// Calls go through the object's `invoke` method, which returns failures as
// values: an Error thrown across Durable Object RPC keeps its `code` only
// when both Workers have a recent compatibility date, a value always does.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { JOURNALED_METHODS, METHODS } from "./contract.js";
import type {
  CallOptions,
  ErrorCode,
  ExecEvent,
  ExecRequest,
  Failure,
  FileContent,
  ListFiles,
  MakeDirectory,
  Sandbox,
} from "./contract.js";

export type * from "./contract.js";

/** What {@link Sandbox.exec} takes beside the command. */
export type ExecOptions = Omit<ExecRequest, "command">;

/** What {@link Sandbox.readFile} and {@link Sandbox.writeFile} take beside the path. */
export type FileOptions = Omit<FileContent, "path">;

/** What {@link Sandbox.listFiles} takes beside the path. */
export type ListFilesOptions = Omit<ListFiles, "path">;

/** What {@link Sandbox.mkdir} takes beside the path. */
export type MkdirOptions = Omit<MakeDirectory, "path">;

/** How many there were, and the first of them: all that are worth sending. */
export interface Listed<T> {
  /** All of them. */
  count: number;
  /** In the order they were met. */
  first: T[];
}

/** What {@link getSandbox} needs of a binding; every `DurableObjectNamespace` has it. */
export interface SandboxNamespace {
  /** As Cloudflare's. */
  idFromName(name: string): unknown;
  /** As Cloudflare's. What an id is, is the namespace's own business. */
  get(id: any): unknown;
}

/** A failure as the object returns it. */
interface ReturnedFailure extends Failure {
  status: number;
}

/** What `invoke` gives. */
type Outcome = { error: ReturnedFailure } | { error?: undefined; value: unknown };

/** What a Durable Object's stub has of ours. */
interface Stub {
  invoke(method: string, args: unknown[]): Promise<Outcome>;
}

/** How the runtime marks errors of a Durable Object itself. */
interface Marks {
  retryable?: boolean;
  overloaded?: boolean;
  durableObjectReset?: boolean;
}

/** What every method of a {@link Sandbox} throws when the operation fails. */
export class SandboxError extends Error {
  /** Always this. */
  override readonly name = "SandboxError";
  /** Machine-readable reason. */
  readonly code: ErrorCode;
  /** Facts about this failure, by name. */
  readonly context: Record<string, unknown>;
  /** The HTTP status that belongs to the code. */
  readonly status: number;

  /** The error that stands for a failure; the options are those of any `Error`. */
  constructor({ code, message, context = {}, status }: ReturnedFailure, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.context = context;
    this.status = status;
  }
}

/** What the static block below gives to the class of the same name. */
interface RemoteSandbox extends Sandbox {}

class RemoteSandbox {
  readonly #namespace: SandboxNamespace;
  readonly #id: unknown;

  constructor(namespace: SandboxNamespace, name: string) {
    this.#namespace = namespace;
    this.#id = namespace.idFromName(name);
  }

  static {
    for (const method of METHODS) {
      Object.assign(this.prototype, {
        [method](this: RemoteSandbox, ...args: unknown[]) {
          return this.#call(method, args);
        },
      });
    }
    // By the operation's id it can be asked what became of a call whose answer was lost.
    for (const method of JOURNALED_METHODS) {
      Object.assign(this.prototype, {
        [method](
          this: RemoteSandbox,
          first: unknown,
          { operationId = crypto.randomUUID(), ...call }: CallOptions = {},
          ...surplus: unknown[]
        ) {
          return this.#call(method, [first, { ...call, operationId }, ...surplus], operationId);
        },
      });
    }
  }

  async #call(method: string, args: unknown[], operationId?: string): Promise<unknown> {
    // A stub stays broken once its object has been reset, so every call takes
    // a fresh one; making it costs nothing.
    const stub = this.#namespace.get(this.#id) as Stub;
    let outcome: Outcome;
    try {
      outcome = await stub.invoke(method, args);
    } catch (error) {
      throw await this.#interruption(method, operationId, error);
    }
    if (outcome.error) throw new SandboxError(outcome.error);
    return outcome.value;
  }

  /** What the caller is told when a call itself has failed. */
  async #interruption(
    method: string,
    operationId: string | undefined,
    error: unknown,
  ): Promise<unknown> {
    if (!isOfTheObject(error)) return error;
    const asked = operationId
      ? await this.operationOutcome(operationId).catch(() => undefined)
      : undefined;
    const { committed = null, backup } = asked ?? {};
    const effect =
      committed === null
        ? "may have taken effect"
        : committed
          ? "had taken effect"
          : "had not taken effect";
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

/** Whether an error is what befell the Durable Object itself; any other is a mistake in the call. */
function isOfTheObject(error: unknown): error is Error {
  const { retryable, overloaded, durableObjectReset } = (error ?? {}) as Marks;
  return Boolean(retryable || overloaded || durableObjectReset);
}

/**
 * The sandbox called `name`: the same one for every caller that uses the same
 * name. It starts with the first call that needs it.
 *
 * @param namespace binding of the Durable Object class `Sandbox`
 */
export function getSandbox(namespace: SandboxNamespace, name: string): Sandbox {
  return new RemoteSandbox(namespace, name);
}

/**
 * The events of a stream that {@link Sandbox.execStream} gave. Leaving the
 * loop early cancels the stream. Throws {@link SandboxError} if the container
 * went away before the command ended.
 */
export async function* parseSSEStream<Event = ExecEvent>(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Event, void, void> {
  const events = stream
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  // Leaving the loop early cancels the stream, and with it the command.
  for await (const { data } of events) {
    const parsed: Awaited<Event> & { error?: ReturnedFailure } = JSON.parse(data);
    if (parsed.error) throw new SandboxError(parsed.error);
    yield parsed;
  }
}
