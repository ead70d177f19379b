import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function named({ env, console }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  const backup = await sandbox.createBackup({
    dir: "/workspace",
    name: "before-migration",
  });
  console.log(`Backup ID: ${backup.id}`);

  return { backup };
}
