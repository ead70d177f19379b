import type { Sample } from "../env";

export async function deleteOld({ env, console }: Sample) {
  // List all backup objects in the bucket
  const listed = await env.BACKUP_BUCKET.list({ prefix: "backups/" });

  for (const object of listed.objects) {
    // Parse the backup ID from the key (backups/{id}/data.sqsh or backups/{id}/meta.json)
    const parts = object.key.split("/");
    const backupId = parts[1];

    // Delete objects older than 7 days
    const ageMs = Date.now() - object.uploaded.getTime();
    const sevenDaysMs = 7 * 24 * 60 * 60 * 1000;
    if (ageMs > sevenDaysMs) {
      await env.BACKUP_BUCKET.delete(object.key);
      console.log(`Deleted expired object: ${object.key}`);
    }
  }

  return {};
}
