import { getSandbox, type DirectoryBackup } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function handleInDurableObject({ env, userId }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");
  const notebook = env.NOTEBOOK.get(env.NOTEBOOK.idFromName(userId));

  const backup = await sandbox.createBackup({ dir: "/workspace" });
  await notebook.keep("backup", backup);

  const backupHandle = (await notebook.recall("backup")) as DirectoryBackup;
  await sandbox.restoreBackup(backupHandle);

  return { backup, backupHandle };
}
