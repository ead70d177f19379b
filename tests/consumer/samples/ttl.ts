import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function ttl({ env }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  // Short-lived backup for a quick operation
  const shortBackup = await sandbox.createBackup({
    dir: "/workspace",
    ttl: 600, // 10 minutes
  });

  // Long-lived backup for extended workflows
  const longBackup = await sandbox.createBackup({
    dir: "/workspace",
    ttl: 604800, // 7 days
  });

  return { shortBackup, longBackup };
}
