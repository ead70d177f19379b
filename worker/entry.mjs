// The module that Wrangler deploys. The runtime calls RPC methods only on
// classes that extend `DurableObject`, which a class exported by wasm-bindgen
// does not; this one does, and hands every call on to it.
import { DurableObject } from "cloudflare:workers";
import worker, { Sandbox as WasmSandbox } from "./build/index.js";

export default worker;

const METHODS = [
  "createBackup",
  "previewBackup",
  "restoreBackup",
  "unmountBackup",
  "cancelOperation",
  "operationLog",
  "operationOutcome",
  "listBackups",
  "getBackup",
  "verifyBackup",
  "deleteBackup",
  "pruneBackups",
  "reindexBackups",
  "exec",
  "execStream",
  "writeFile",
  "readFile",
  "listFiles",
  "deleteFile",
  "mkdir",
  "exists",
  "status",
  "stop",
];

export class Sandbox extends DurableObject {
  #sandbox;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sandbox = new WasmSandbox(ctx, env);
  }

  fetch(request) {
    return this.#sandbox.fetch(request);
  }

  alarm() {
    return this.#sandbox.alarm();
  }

  // For callers whose compatibility date is older than 2026-04-21: a thrown
  // error would lose its `code` on the way to them, a value loses nothing.
  async invoke(method, args) {
    if (!METHODS.includes(method)) {
      return { error: { code: "INVALID_REQUEST", message: `no such method: ${method}`, status: 400 } };
    }
    try {
      return { value: await this.#call(method, args) };
    } catch (error) {
      const { code = "INTERNAL_ERROR", message, context = {}, status = 500 } = error;
      return { error: { code, message, context, status } };
    }
  }

  // An argument that a method does not take may say how it was meant to be done.
  async #call(method, args) {
    const taken = this.#sandbox[method].length;
    if (args.slice(taken).some((surplus) => surplus !== undefined)) {
      const error = new Error(`${method} takes ${taken} arguments, not ${args.length}`);
      throw Object.assign(error, { code: "INVALID_REQUEST", context: {}, status: 400 });
    }
    return this.#sandbox[method](...args);
  }

  static {
    for (const method of METHODS) {
      this.prototype[method] = function (...args) {
        return this.#call(method, args);
      };
    }
  }
}
