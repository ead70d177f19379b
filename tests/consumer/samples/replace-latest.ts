import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function replaceLatest({ env, previousBackup }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  // Delete the previous backup's R2 objects before creating a new one
  if (previousBackup) {
    await env.BACKUP_BUCKET.delete(`backups/${previousBackup.id}/data.sqsh`);
    await env.BACKUP_BUCKET.delete(`backups/${previousBackup.id}/meta.json`);
  }

  const backup = await sandbox.createBackup({
    dir: "/workspace",
    name: "latest",
  });

  // Store the handle so you can delete it next time
  await env.KV.put("latest-backup", JSON.stringify(backup));

  return { backup, latest: await env.KV.get("latest-backup") };
}
