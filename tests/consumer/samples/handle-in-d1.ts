import { getSandbox, type DirectoryBackup } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function handleInD1({ env, userId }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  await env.D1.exec("CREATE TABLE IF NOT EXISTS backups (user TEXT PRIMARY KEY, handle TEXT NOT NULL)");
  const backup = await sandbox.createBackup({ dir: "/workspace" });
  await env.D1.prepare("INSERT OR REPLACE INTO backups VALUES (?, ?)")
    .bind(userId, JSON.stringify(backup))
    .run();

  const stored = await env.D1.prepare("SELECT handle FROM backups WHERE user = ?")
    .bind(userId)
    .first<string>("handle");
  const backupHandle: DirectoryBackup = JSON.parse(stored!);
  await sandbox.restoreBackup(backupHandle);

  return { backup, backupHandle };
}
