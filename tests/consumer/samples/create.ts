import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function create({ env, console }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  // Create a backup of /workspace
  const backup = await sandbox.createBackup({ dir: "/workspace" });
  console.log(`Backup created: ${backup.id}`);

  return { backup };
}
