import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function checkpoint({ env, console }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  // Save checkpoint before risky operation
  const checkpoint = await sandbox.createBackup({ dir: "/workspace" });

  await sandbox.exec("npm install some-experimental-package");
  await sandbox.exec("npm run build");

  // Restore to checkpoint if something goes wrong
  await sandbox.restoreBackup(checkpoint);
  console.log("Rolled back to checkpoint");

  return { checkpoint };
}
