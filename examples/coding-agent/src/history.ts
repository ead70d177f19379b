// What a session did, in KV: one value a session, so that it is read and
// written at once. KV may be a minute behind elsewhere in the world; an agent
// talks to one place. Keep it in a Durable Object if yours does not.

import type { DirectoryBackup } from "sandbox-backup-client";

/** A command that was kept. */
export interface Step {
  /** From 1. */
  step: number;
  command: string;
  /** The workspace as it was before. A handle is plain JSON. */
  checkpoint: DirectoryBackup;
  /** ISO 8601. */
  at: string;
}

export class History {
  constructor(
    private readonly namespace: KVNamespace,
    private readonly session: string,
  ) {}

  /** The oldest first. */
  async steps(): Promise<Step[]> {
    return (await this.namespace.get<Step[]>(this.session, "json")) ?? [];
  }

  async append(step: Step): Promise<void> {
    await this.#write([...(await this.steps()), step]);
  }

  /** Forgets this step and those after it. */
  async truncate(step: number): Promise<void> {
    await this.#write((await this.steps()).filter((kept) => kept.step < step));
  }

  async #write(steps: Step[]): Promise<void> {
    await this.namespace.put(this.session, JSON.stringify(steps));
  }
}
