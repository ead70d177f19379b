import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function handleInKv({ env, userId }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  // Create a backup and store the handle in KV
  const backup = await sandbox.createBackup({
    dir: "/workspace",
  });
  await env.KV.put(`backup:${userId}`, JSON.stringify(backup));

  // Later, retrieve and restore
  const stored = await env.KV.get(`backup:${userId}`);
  const backupHandle = JSON.parse(stored);
  await sandbox.restoreBackup(backupHandle);

  return { backup, backupHandle };
}
