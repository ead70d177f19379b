// Made by `cargo xtask generate` from shared/src: the types of the contract, and
// the methods of a sandbox.
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
/** Those that are journaled by the id of an operation. */
export const JOURNALED_METHODS = ["createBackup", "restoreBackup"];
