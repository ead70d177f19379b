import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function restore({ env, console }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  const backup = await sandbox.createBackup({ dir: "/workspace" });

  const result = await sandbox.restoreBackup(backup);
  console.log(`Restored: ${result.success}`);

  return { backup, result };
}
