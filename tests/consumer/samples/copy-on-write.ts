import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function copyOnWrite({ env }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  const backup = await sandbox.createBackup({ dir: "/workspace" });
  await sandbox.restoreBackup(backup);

  // New writes go to the upper layer — the backup is unchanged
  await sandbox.writeFile(
    "/workspace/new-file.txt",
    "This does not modify the backup",
  );

  const written = await sandbox.readFile("/workspace/new-file.txt");

  // Restore the same backup again to discard changes
  await sandbox.restoreBackup(backup);

  return { backup, written, after: await sandbox.exists("/workspace/new-file.txt") };
}
