-- The tables as they were before there were steps, each made where it was missing.
-- Times are in milliseconds since 1970.

-- `name` is empty for none. `own` is 0 for backups of other writers. `expires_at`
-- was 60 s before the backup expires.
CREATE TABLE IF NOT EXISTS backups (
    id TEXT PRIMARY KEY,
    dir TEXT NOT NULL,
    name TEXT NOT NULL,
    size_bytes REAL NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    own INTEGER NOT NULL,
    metadata TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS backups_by_age ON backups (created_at, id);
CREATE INDEX IF NOT EXISTS backups_by_dir ON backups (dir, created_at, id);

-- The journal. `upload` is empty for none.
CREATE TABLE IF NOT EXISTS operations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    dir TEXT NOT NULL,
    started_at REAL NOT NULL,
    upload TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL
);

-- `AUTOINCREMENT`, because a number must not come back when its row has gone.
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL
);
