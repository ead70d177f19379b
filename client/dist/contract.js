// The contract of a sandbox: its methods, what they take and what they give.
/** The methods of a sandbox. */
export const METHODS = [
    "createBackup",
    "previewBackup",
    "restoreBackup",
    "unmountBackup",
    "listBackups",
    "getBackup",
    "verifyBackup",
    "deleteBackup",
    "pruneBackups",
    "reindexBackups",
    "cancelOperation",
    "operationOutcome",
    "operationLog",
    "exec",
    "execStream",
    "writeFile",
    "readFile",
    "listFiles",
    "deleteFile",
    "mkdir",
    "exists",
    "status",
    "stop",
];
/** Those that are journaled by an operation's id. */
export const JOURNALED_METHODS = ["createBackup", "restoreBackup"];
