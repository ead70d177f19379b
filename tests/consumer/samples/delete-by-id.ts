import type { Sample } from "../env";

export async function deleteById({ env, backup }: Sample) {
  const backupId = backup.id;
  await env.BACKUP_BUCKET.delete(`backups/${backupId}/data.sqsh`);
  await env.BACKUP_BUCKET.delete(`backups/${backupId}/meta.json`);

  return {};
}
