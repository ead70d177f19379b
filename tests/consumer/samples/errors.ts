import { getSandbox } from "@cloudflare/sandbox";
import type { Sample } from "../env";

export async function errors({ env, console, backup }: Sample) {
  const sandbox = getSandbox(env.Sandbox, "my-sandbox");

  try {
    const backup = await sandbox.createBackup({ dir: "/workspace" });
    console.log(backup);
  } catch (error: any) {
    if (error.code === "INVALID_BACKUP_CONFIG") {
      // Missing BACKUP_BUCKET binding or invalid directory path
      console.error("Configuration error:", error.message);
    } else if (error.code === "BACKUP_CREATE_FAILED") {
      // Archive creation or upload to R2 failed
      console.error("Backup failed:", error.message);
    }
  }

  try {
    await sandbox.restoreBackup(backup);
  } catch (error: any) {
    if (error.code === "BACKUP_NOT_FOUND") {
      console.error("Backup not found in R2:", error.message);
    } else if (error.code === "BACKUP_EXPIRED") {
      console.error("Backup TTL has elapsed:", error.message);
    } else if (error.code === "BACKUP_RESTORE_FAILED") {
      console.error("Restore failed:", error.message);
    }
  }

  return {};
}
