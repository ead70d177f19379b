-- `expires_at` is when the backup expires; the margin is a rule, not data.
UPDATE backups SET expires_at = expires_at + 60000;
