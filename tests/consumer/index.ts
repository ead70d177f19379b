// The consumer's routes, for the tests:
//
//   POST   /samples/{name}      runs a sample of the guide
//   POST   /documents/{name}    runs the samples of a document, one after the other
//   POST   /call                one method through the client package
//   POST   /stub-call           one method on the bare Durable Object stub
//   POST   /object-id           the id of a sandbox's Durable Object
//   *      /old/…               the same, in the consumer with an old compatibility date
//   *      /rust                the consumer in Rust
//   *      /coding-agent/…      the example of that name
//   *      /bucket/{key}        objects of BACKUP_BUCKET, as far as the S3 stand-in needs them
//   GET    /bucket?prefix=      their keys
//   *      /workers/{worker}/…  a sandbox Worker that is set up in another way
//   *      everything else      my-sandbox-worker

import { getSandbox, parseSSEStream, type ExecEvent, type SandboxNamespace } from "@cloudflare/sandbox";
import { bucket } from "./bucket";
import type { Env, Sample } from "./env";
import { documents } from "./generated/documents";
import { checkpoint } from "./samples/checkpoint";
import { copyOnWrite } from "./samples/copy-on-write";
import { create } from "./samples/create";
import { deleteById } from "./samples/delete-by-id";
import { deleteOld } from "./samples/delete-old";
import { errors } from "./samples/errors";
import { handleInD1 } from "./samples/handle-in-d1";
import { handleInDurableObject } from "./samples/handle-in-durable-object";
import { handleInKv } from "./samples/handle-in-kv";
import { named } from "./samples/named";
import { replaceLatest } from "./samples/replace-latest";
import { restore } from "./samples/restore";
import { ttl } from "./samples/ttl";

export { Notebook } from "./notebook";

const SAMPLES: Record<string, (sample: Sample) => Promise<object>> = {
  checkpoint,
  "copy-on-write": copyOnWrite,
  create,
  "delete-by-id": deleteById,
  "delete-old": deleteOld,
  errors,
  "handle-in-d1": handleInD1,
  "handle-in-durable-object": handleInDurableObject,
  "handle-in-kv": handleInKv,
  named,
  "replace-latest": replaceLatest,
  restore,
  ttl,
};

/** A sandbox Worker, by the way it is set up. */
type Setup = "main" | "unconfigured" | "faulty" | "production" | "lying" | "patient";

function namespace(env: Env, setup: Setup = "main"): DurableObjectNamespace {
  return {
    main: env.Sandbox,
    unconfigured: env.UNCONFIGURED_SANDBOX,
    faulty: env.FAULTY_SANDBOX,
    production: env.PRODUCTION_SANDBOX,
    lying: env.LYING_SANDBOX,
    patient: env.PATIENT_SANDBOX,
  }[setup];
}

function worker(env: Env, setup: Setup): Fetcher {
  return {
    main: env.MAIN_WORKER,
    unconfigured: env.UNCONFIGURED_WORKER,
    faulty: env.FAULTY_WORKER,
    production: env.PRODUCTION_WORKER,
    lying: env.LYING_WORKER,
    patient: env.PATIENT_WORKER,
  }[setup];
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const [, route, ...rest] = url.pathname.split("/");
    switch (route) {
      case "samples":
        return answer(async () => runSample(rest[0], await request.json(), env));
      case "documents":
        return answer(async () => runDocument(rest.join("/"), await request.json(), env));
      case "call":
        return answer(async () => call(await request.json(), env));
      case "stub-call":
        return answer(async () => callStub(await request.json(), env));
      case "object-id":
        return answer(async () => objectId(await request.json(), env));
      case "old":
        return env.OLD_CONSUMER.fetch(withPath(request, url, rest));
      case "rust":
        return env.RUST_CONSUMER.fetch(request);
      case "coding-agent":
        return env.CODING_AGENT.fetch(withPath(request, url, rest));
      case "bucket":
        return bucket(request, url, rest.join("/"), env.BACKUP_BUCKET);
      case "workers":
        return worker(env, rest[0] as Setup).fetch(withPath(request, url, rest.slice(1)));
      default:
        return env.MAIN_WORKER.fetch(request);
    }
  },
};

function withPath(request: Request, url: URL, path: string[]): Request {
  return new Request(new URL(`/${path.join("/")}${url.search}`, url), request);
}

/** What `run` gives or throws, as JSON. */
async function answer(run: () => Promise<unknown>): Promise<Response> {
  try {
    return Response.json({ value: (await run()) ?? null });
  } catch (error: any) {
    const { name, message, code, context, status } = error;
    const isError = error instanceof Error;
    return Response.json({ error: { isError, name, message, code, context, status } });
  }
}

interface SampleInput extends Partial<Pick<Sample, "userId" | "backup" | "previousBackup">> {
  setup?: Setup;
  /** A directory with programs that commands find before all others. */
  programs?: string;
  /** Backups whose objects the listing shows as this many days old. */
  aged?: { id: string; days: number };
}

async function runSample(name: string, input: SampleInput, env: Env): Promise<object> {
  const printed: string[] = [];
  const print = (...words: unknown[]) => void printed.push(words.join(" "));
  const nothing = undefined as never;
  const result = await SAMPLES[name]({
    env: sampleEnv(env, input),
    console: { log: print, error: print },
    userId: input.userId ?? nothing,
    backup: input.backup ?? nothing,
    previousBackup: input.previousBackup ?? nothing,
  });
  return { printed, ...result };
}

function sampleEnv(env: Env, input: SampleInput): Sample["env"] {
  return {
    Sandbox: withPrograms(namespace(env, input.setup), input.programs),
    NOTEBOOK: env.NOTEBOOK,
    KV: { put: env.KV.put.bind(env.KV), get: async (key) => (await env.KV.get(key))! },
    D1: env.D1,
    BACKUP_BUCKET: aging(env.BACKUP_BUCKET, input.aged),
  };
}

async function runDocument(name: string, input: SampleInput, env: Env): Promise<void> {
  let at = name;
  const document = { env: sampleEnv(env, input), userId: "user", at: (block: string) => void (at = block) };
  try {
    await documents[name](document);
  } catch (error: any) {
    error.message = `${at}: ${error.message}`;
    throw error;
  }
}

/** The sandboxes themselves, except that commands find the test's own programs. */
function withPrograms(sandboxes: DurableObjectNamespace, directory?: string): SandboxNamespace {
  if (directory === undefined) return sandboxes;
  const options = { env: { PATH: `${directory}:/usr/bin:/bin` } };
  return {
    idFromName: (name) => sandboxes.idFromName(name),
    get: (id) => ({
      invoke: (method: string, args: unknown[]) =>
        (sandboxes.get(id) as any).invoke(method, method === "exec" ? [args[0], options] : args),
    }),
  };
}

/** The bucket itself, except that its listing shows one backup as older than it is. */
function aging(
  bucket: R2Bucket,
  aged: SampleInput["aged"],
): Pick<R2Bucket, "list" | "delete"> {
  return {
    delete: (keys) => bucket.delete(keys),
    async list(options) {
      const listed = await bucket.list(options);
      const objects = listed.objects.map(({ key, uploaded }) => {
        const age = aged && key.includes(aged.id) ? aged.days * 24 * 60 * 60 * 1000 : 0;
        return { key, uploaded: new Date(uploaded.getTime() - age) };
      });
      return { ...listed, objects } as R2Objects;
    },
  };
}

interface Call {
  setup?: Setup;
  sandbox: string;
  method: string;
  /** With stand-ins for what JSON does not have: see {@link meant}. */
  args: unknown[];
  /** Of a stream, no more events are read after one that holds this text. */
  until?: string;
}

/**
 * What an argument stands for, at any depth: `{"$base64": "…"}` for the bytes, `{"$undefined": 1}`
 * for `undefined`, `{"$number": "NaN"}` for the number, `{"$map": {…}}` and `{"$set": […]}` for those.
 */
function meant(argument: any): unknown {
  if (typeof argument !== "object" || argument === null) return argument;
  if (Array.isArray(argument)) return argument.map(meant);
  if ("$undefined" in argument) return undefined;
  if ("$base64" in argument) return Uint8Array.from(atob(argument.$base64), (char) => char.charCodeAt(0));
  if ("$number" in argument) return Number(argument.$number);
  if ("$map" in argument) return new Map(Object.entries(argument.$map));
  if ("$set" in argument) return new Set(argument.$set);
  return Object.fromEntries(Object.entries(argument).map(([name, value]) => [name, meant(value)]));
}

async function call({ setup, sandbox, method, args, until }: Call, env: Env): Promise<unknown> {
  const client: any = getSandbox(namespace(env, setup), sandbox);
  const result = await client[method](...args.map(meant));
  return result instanceof ReadableStream ? collect(result, until) : result;
}

async function collect(stream: ReadableStream<Uint8Array>, until?: string): Promise<ExecEvent[]> {
  const events: ExecEvent[] = [];
  for await (const event of parseSSEStream(stream)) {
    events.push(event);
    if (until !== undefined && JSON.stringify(event).includes(until)) break;
  }
  return events;
}

function objectId({ setup, sandbox }: Call, env: Env): string {
  return namespace(env, setup).idFromName(sandbox).toString();
}

async function callStub({ setup, sandbox, method, args }: Call, env: Env): Promise<unknown> {
  const sandboxes = namespace(env, setup);
  const stub: any = sandboxes.get(sandboxes.idFromName(sandbox));
  return stub[method](...args.map(meant));
}
