// A coding agent's hands: it runs commands in a sandbox, takes a checkpoint of
// the workspace before each, and rolls back when one fails.
//
//   POST /sessions/{session}/run       {"command": "npm test"}
//   GET  /sessions/{session}/history   the commands that were kept, oldest first
//   POST /sessions/{session}/rollback  {"step": 3}: as it was before step 3

import {
  getSandbox,
  SandboxError,
  type DirectoryBackup,
  type ExecResult,
  type Sandbox,
  type SandboxNamespace,
} from "sandbox-backup-client";
import { History } from "./history";

export interface Env {
  Sandbox: SandboxNamespace;
  HISTORY: KVNamespace;
  /** Whoever has it can run commands. */
  AGENT_TOKEN: string;
}

const WORKSPACE = "/workspace";
/** Seconds for which one can roll back. */
const CHECKPOINT_TTL = 24 * 60 * 60;
/** Milliseconds that a command may take. */
const COMMAND_TIMEOUT = 10 * 60 * 1000;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (!(await isAuthorized(request, env))) {
      return Response.json({ error: { message: "send AGENT_TOKEN as a bearer token" } }, { status: 401 });
    }
    const route = new URLPattern({ pathname: "/sessions/:session/:action" }).exec(request.url);
    const { session, action } = route?.pathname.groups ?? {};
    if (!session) return new Response("no such route", { status: 404 });
    const sandbox = getSandbox(env.Sandbox, `coding-agent-${session}`);
    const history = new History(env.HISTORY, session);
    try {
      switch (`${request.method} ${action}`) {
        case "POST run": {
          const { command } = await request.json<{ command: string }>();
          return Response.json(await run(sandbox, history, command));
        }
        case "GET history":
          return Response.json(await history.steps());
        case "POST rollback": {
          const { step } = await request.json<{ step: number }>();
          return rollBack(sandbox, history, step);
        }
        default:
          return new Response("no such route", { status: 404 });
      }
    } catch (error) {
      if (!(error instanceof SandboxError)) throw error;
      const { code, message, context, status } = error;
      return Response.json({ error: { code, message, context } }, { status });
    }
  },
};

/** Runs a command. What it did stays only if it succeeds. */
async function run(sandbox: Sandbox, history: History, command: string) {
  const step = (await history.steps()).length + 1;
  const { id, dir } = await sandbox.createBackup({
    dir: WORKSPACE,
    name: `before step ${step}`,
    ttl: CHECKPOINT_TTL,
  });
  const checkpoint: DirectoryBackup = { id, dir };
  let result: ExecResult;
  try {
    result = await sandbox.exec(command, { cwd: WORKSPACE, timeout: COMMAND_TIMEOUT });
  } catch (error) {
    // Perhaps it ran, perhaps half of it.
    await restore(sandbox, checkpoint);
    throw error;
  }
  if (result.success) {
    await history.append({ step, command, checkpoint, at: new Date().toISOString() });
  } else {
    await restore(sandbox, checkpoint);
  }
  const { exitCode, stdout, stderr } = result;
  return { step, kept: result.success, exitCode, stdout, stderr };
}

/** Puts the workspace back as it was before a step; the later ones are forgotten. */
async function rollBack(sandbox: Sandbox, history: History, step: number): Promise<Response> {
  const found = (await history.steps()).find((candidate) => candidate.step === step);
  if (!found) {
    const message = `there is no step ${step} in the history`;
    return Response.json({ error: { message } }, { status: 404 });
  }
  await restore(sandbox, found.checkpoint);
  // The checkpoints stay until they expire: the workspace is read from one.
  await history.truncate(step);
  return Response.json({ steps: step - 1 });
}

async function restore(sandbox: Sandbox, checkpoint: DirectoryBackup): Promise<void> {
  await sandbox.restoreBackup(checkpoint, {
    // What a command left running must not stand in the way.
    force: true,
    // And again when the container has slept.
    autoRestore: true,
  });
}

async function isAuthorized(request: Request, env: Env): Promise<boolean> {
  if (!env.AGENT_TOKEN) return false;
  const given = request.headers.get("authorization") ?? "";
  const digest = (text: string) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const [a, b] = await Promise.all([digest(given), digest(`Bearer ${env.AGENT_TOKEN}`)]);
  return crypto.subtle.timingSafeEqual(a, b);
}
