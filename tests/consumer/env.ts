// The bindings of the consumer, and what a sample is given to run.

import type { DirectoryBackup, SandboxNamespace } from "@cloudflare/sandbox";
import type { Notebook } from "./notebook";

export interface Env {
  Sandbox: DurableObjectNamespace;
  UNCONFIGURED_SANDBOX: DurableObjectNamespace;
  FAULTY_SANDBOX: DurableObjectNamespace;
  PRODUCTION_SANDBOX: DurableObjectNamespace;
  LYING_SANDBOX: DurableObjectNamespace;
  PATIENT_SANDBOX: DurableObjectNamespace;
  MAIN_WORKER: Fetcher;
  UNCONFIGURED_WORKER: Fetcher;
  FAULTY_WORKER: Fetcher;
  PRODUCTION_WORKER: Fetcher;
  LYING_WORKER: Fetcher;
  PATIENT_WORKER: Fetcher;
  OLD_CONSUMER: Fetcher;
  RUST_CONSUMER: Fetcher;
  CODING_AGENT: Fetcher;
  NOTEBOOK: DurableObjectNamespace<Notebook>;
  KV: KVNamespace;
  D1: D1Database;
  BACKUP_BUCKET: R2Bucket;
}

/** What the guide's samples assume to be in scope. */
export interface Sample {
  env: {
    Sandbox: SandboxNamespace;
    NOTEBOOK: Env["NOTEBOOK"];
    /** The guide parses what it gets without asking whether it is there. */
    KV: Pick<KVNamespace, "put"> & { get(key: string): Promise<string> };
    D1: D1Database;
    BACKUP_BUCKET: Pick<R2Bucket, "list" | "delete">;
  };
  /** Keeps what the sample prints. */
  console: { log(...words: unknown[]): void; error(...words: unknown[]): void };
  userId: string;
  /** A handle made earlier. */
  backup: DirectoryBackup;
  previousBackup: DirectoryBackup;
}

/** What the samples of our own documents assume to be in scope. */
export interface Document extends Pick<Sample, "env" | "userId"> {
  /** Says which block runs now. */
  at(block: string): void;
}
