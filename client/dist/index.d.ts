import type { ErrorCode, ExecEvent, ExecRequest, Failure, FileContent, ListFiles, MakeDirectory, Sandbox } from "./contract.js";
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
/** What every method of a {@link Sandbox} throws when the operation fails. */
export declare class SandboxError extends Error {
    /** Always this. */
    readonly name = "SandboxError";
    /** Machine-readable reason. */
    readonly code: ErrorCode;
    /** Facts about this failure, by name. */
    readonly context: Record<string, unknown>;
    /** The HTTP status that belongs to the code. */
    readonly status: number;
    /** The error that stands for a failure; the options are those of any `Error`. */
    constructor({ code, message, context, status }: ReturnedFailure, options?: {
        cause?: unknown;
    });
}
/**
 * The sandbox called `name`: the same one for every caller that uses the same
 * name. It starts with the first call that needs it.
 *
 * @param namespace binding of the Durable Object class `Sandbox`
 */
export declare function getSandbox(namespace: SandboxNamespace, name: string): Sandbox;
/**
 * The events of a stream that {@link Sandbox.execStream} gave. Leaving the
 * loop early cancels the stream. Throws {@link SandboxError} if the container
 * went away before the command ended.
 */
export declare function parseSSEStream<Event = ExecEvent>(stream: ReadableStream<Uint8Array>): AsyncGenerator<Event, void, void>;
