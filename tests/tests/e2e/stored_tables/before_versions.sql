CREATE TABLE operations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        operation TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,
        id TEXT NOT NULL,
        dir TEXT NOT NULL,
        started_at REAL NOT NULL,
        upload TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL
    );
INSERT INTO operations VALUES(1,'op-first','createBackup','a2abb119-74c8-430c-bdce-92f168d1b917','/workspace',1795892626562.0,'9rVnJ5OptzdO','committed');
INSERT INTO operations VALUES(2,'op-second','createBackup','0e1b04cd-b4a2-4983-b444-13ee90ffabd9','/workspace',1795892626681.0,'_wkJPrECp51-','committed');
INSERT INTO operations VALUES(3,'op-restore','restoreBackup','a2abb119-74c8-430c-bdce-92f168d1b917','/workspace',1795892626767.0,'','committed');
INSERT INTO operations VALUES(4,'op-failed','createBackup','4b75f2d4-bfea-4f76-8ce8-7c611458e0fe','/workspace',1795892626846.0,'loqG0HIiKLJ3','notCommitted');
CREATE TABLE backups (
        id TEXT PRIMARY KEY,
        dir TEXT NOT NULL,
        name TEXT NOT NULL,
        size_bytes REAL NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        own INTEGER NOT NULL,
        metadata TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO backups VALUES('0e1b04cd-b4a2-4983-b444-13ee90ffabd9','/workspace','second',4096.0,1795892626681.0,1796151766681.0,1,'{"id":"0e1b04cd-b4a2-4983-b444-13ee90ffabd9","dir":"/workspace","name":"second","sizeBytes":4096,"ttl":259200,"createdAt":"2026-11-28T19:03:46.681Z","sha256":"7db514d180da77f0a28a168b58a88e13a220a7801c912515bda04ad3fe486a48","partSizeBytes":8388608,"compression":{"format":"zstd"},"counts":{"files":1,"directories":1,"symlinks":0,"special":0,"bytes":7,"excluded":0,"unreadable":0,"changed":0},"sandbox":"457c975613a0b14d02a785d66817a456ced70eb71d98bfae4b00982584254be9","sandboxName":"zz-fixture","formatVersion":1}');
INSERT INTO backups VALUES('a2abb119-74c8-430c-bdce-92f168d1b917','/workspace','first',4096.0,1795892626562.0,1796151766562.0,1,'{"id":"a2abb119-74c8-430c-bdce-92f168d1b917","dir":"/workspace","name":"first","sizeBytes":4096,"ttl":259200,"createdAt":"2026-11-28T19:03:46.562Z","sha256":"7db514d180da77f0a28a168b58a88e13a220a7801c912515bda04ad3fe486a48","partSizeBytes":8388608,"compression":{"format":"zstd"},"counts":{"files":1,"directories":1,"symlinks":0,"special":0,"bytes":7,"excluded":0,"unreadable":0,"changed":0},"sandbox":"457c975613a0b14d02a785d66817a456ced70eb71d98bfae4b00982584254be9","sandboxName":"zz-fixture","formatVersion":1}');
CREATE INDEX backups_by_age ON backups (created_at, id);
CREATE INDEX backups_by_dir ON backups (dir, created_at, id);
CREATE TABLE log (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        operation TEXT NOT NULL
    );
INSERT INTO log VALUES(1,'{"type":"createBackup","id":"a2abb119-74c8-430c-bdce-92f168d1b917","dir":"/workspace","startedAt":"2026-11-28T19:03:46.563Z","outcome":"ok","bytes":7,"bytesUploaded":4096,"durationMs":100,"phasesMs":{"starting":48,"scanning":1,"uploading":41,"committing":10}}');
INSERT INTO log VALUES(2,'{"type":"createBackup","id":"0e1b04cd-b4a2-4983-b444-13ee90ffabd9","dir":"/workspace","startedAt":"2026-11-28T19:03:46.681Z","outcome":"ok","bytes":7,"bytesUploaded":4096,"durationMs":75,"phasesMs":{"starting":46,"scanning":0,"uploading":21,"committing":8}}');
INSERT INTO log VALUES(3,'{"type":"restoreBackup","id":"a2abb119-74c8-430c-bdce-92f168d1b917","dir":"/workspace","startedAt":"2026-11-28T19:03:46.771Z","outcome":"ok","strategy":"overlay","bytes":0,"durationMs":53,"phasesMs":{"starting":52,"mounting":1}}');
INSERT INTO log VALUES(4,'{"type":"createBackup","id":"4b75f2d4-bfea-4f76-8ce8-7c611458e0fe","dir":"/workspace","startedAt":"2026-11-28T19:03:46.846Z","outcome":"BACKUP_CREATE_FAILED","error":"R2 failed while completing the upload: Error: complete: We encountered an internal error. Please try again. (10001)","bytes":7,"bytesUploaded":4096,"durationMs":75,"phasesMs":{"starting":45,"scanning":0,"uploading":23,"committing":7}}');
