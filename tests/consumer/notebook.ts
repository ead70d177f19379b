import { DurableObject } from "cloudflare:workers";

/** A Durable Object of the consumer's own, which keeps values in its storage. */
export class Notebook extends DurableObject {
  async keep<T>(key: string, value: T): Promise<void> {
    await this.ctx.storage.put(key, value);
  }

  async recall(key: string): Promise<unknown> {
    return this.ctx.storage.get(key);
  }
}
