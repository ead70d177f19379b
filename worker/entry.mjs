// The module that Wrangler deploys. The runtime calls RPC methods only on
// classes that extend `DurableObject`, which a class exported by wasm-bindgen
// does not; this one does, and hands every call on to it.
import { DurableObject } from "cloudflare:workers";
import worker, { Sandbox as WasmSandbox } from "./build/index.js";

export default worker;

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
    try {
      return { value: await this.#sandbox.call(method, args) };
    } catch (error) {
      const { code = "INTERNAL_ERROR", message, context = {}, status = 500 } = error;
      return { error: { code, message, context, status } };
    }
  }

  static {
    for (const method of WasmSandbox.methodNames()) {
      this.prototype[method] = function (...args) {
        return this.#sandbox.call(method, args);
      };
    }
  }
}
