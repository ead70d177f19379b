/** A directory that is restored when the container starts again, and how that went. */
export interface AutoRestoreStatus {
    /** Names the objects `backups/{id}/data.sqsh` and `backups/{id}/meta.json` in the bucket. */
    id: string;
    /** Absolute path of the directory that was backed up, or that it is restored to. */
    dir: string;
    /** The strategy that was asked for. */
    strategy?: Strategy;
    /** Why it could not be restored, when that was last tried. */
    error?: Failure;
}
/** What `getBackup`, `verifyBackup` and `deleteBackup` take. */
export interface BackupById {
    /** Which backup. */
    id: string;
}
/** What `createBackup` takes. */
export interface BackupOptions {
    /**
     * Absolute path of a directory at or below `/workspace`, `/home`, `/tmp`, `/var/tmp`, `/app`
     * or one of `BACKUP_ALLOWED_ROOTS`, without `..`.
     */
    dir: string;
    /** For people: at most 256 Unicode characters, none of them a control character. */
    name?: string;
    /**
     * Seconds for which the backup may be restored; three days when absent.
     *
     * @default 259200
     */
    ttl?: number;
    /**
     * Leave out what git ignores: what `.gitignore` files name and git does not track.
     *
     * @default false
     */
    gitignore?: boolean;
    /** What else to leave out: patterns in `.gitignore` syntax, relative to `dir`. */
    excludes?: string[];
    /**
     * Of directories with a valid `CACHEDIR.TAG`, keep only the tag.
     *
     * @default false
     */
    excludeCaches?: boolean;
    /** Leave out files of more bytes than this. */
    excludeLargerThan?: number;
    /**
     * Enter directories that are other file systems. Otherwise they are kept, but empty;
     * directories that were restored are always read.
     *
     * @default false
     */
    crossFileSystems?: boolean;
    /**
     * What to do about entries that cannot be read; `fail` when absent.
     *
     * @default fail
     */
    onUnreadable?: OnUnreadable;
    /** How the archive is compressed; by zstd when absent. */
    compression?: Compression;
    /** An option of `@cloudflare/sandbox` that means nothing here: accepted, whatever it is. */
    localBucket?: unknown;
    /** An option of `@cloudflare/sandbox` that means nothing here: accepted, whatever it is. */
    multipart?: unknown;
}
/** What `listBackups` returns. */
export interface BackupPage {
    /** At most as many as were asked for, in the order that was asked for. */
    backups: BackupRecord[];
    /** For the next page; absent from the last. */
    cursor?: string;
}
/** What `previewBackup` returns: what a backup with the same options would hold. */
export interface BackupPreview {
    /** The directory. */
    dir: string;
    /** What would be in the archive and what would be left out. */
    counts: EntryCounts;
    /** Paths that would be in the archive, relative to the directory; at most the first 10,000. */
    included: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: string[];
    };
    /** What rules leave out, with everything below it; at most the first 10,000. */
    excluded: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: ExcludedEntry[];
    };
    /** What else was met. */
    report: BackupReport;
}
/** A stored backup. */
export interface BackupRecord {
    /** Which backup. */
    id: string;
    /** The directory that was backed up. */
    dir: string;
    /** As given to `createBackup`. */
    name: string | null;
    /** Bytes of the archive. */
    sizeBytes: number;
    /** Seconds from `createdAt` until it can no longer be restored. */
    ttl: number;
    /** When the backup was made. ISO 8601. */
    createdAt: string;
    /** From when on it can no longer be restored. ISO 8601. */
    expiresAt: string;
    /** Whether it can be restored now. */
    state: BackupState;
    /**
     * The id of the Durable Object that made it; absent from other writers, as are the fields
     * below.
     */
    sandbox?: string;
    /** How the archive is compressed. */
    compression?: Compression;
    /** What the archive holds. */
    counts?: EntryCounts;
}
/**
 * What a backup met that its user should know of, at most the first 100 of each kind.
 *
 * Paths are relative to the directory; bytes in them that are not UTF-8 became U+FFFD.
 */
export interface BackupReport {
    /**
     * Entries that are not in the archive because they could not be read (`onUnreadable: "skip"`).
     */
    unreadable: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: UnreadableEntry[];
    };
    /**
     * Entries that changed while they were read: `vanished` and `retyped` ones are not in the
     * archive; of the others, it has what was read.
     */
    changed: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: ChangedEntry[];
    };
    /** Directories that were kept empty because they are other file systems. */
    otherFileSystems: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: string[];
    };
    /**
     * Repositories whose index could not be read, so that it is not known which of their files are
     * tracked: `gitignore` left nothing of them out. Empty text for the one that `dir` itself is
     * in.
     */
    unreadIndexes: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: string[];
    };
    /**
     * Extended attributes outside `user.`, `trusted.`, `security.` and POSIX ACLs, which no
     * archive can hold.
     */
    droppedXattrs: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: DroppedXattr[];
    };
}
/**
 * Whether a backup can be restored.
 *
 * - `active`: It can.
 * - `expired`: Its TTL has elapsed.
 */
export type BackupState = "active" | "expired";
/** Options of the call itself. */
export interface CallOptions {
    /**
     * By this the caller can ask for `operationOutcome`, even if it is itself interrupted: up to
     * 64 letters, digits, `-` and `_`, another for each call. A random UUID when absent.
     */
    operationId?: string;
}
/** What `cancelOperation` returns. */
export interface CancelResult {
    /** The operation that was under way, if there was one. It has ended. */
    cancelled: Operation | null;
}
/**
 * In what way an entry changed.
 *
 * - `vanished`: It went away, and is not in the archive.
 * - `retyped`: It became another kind of entry, and is not in the archive.
 * - `replaced`: It became another file, whose content and metadata are in the archive.
 * - `shrunk`: It became shorter; the archive has what was left.
 * - `grown`: It became longer; the archive has at least what was there at first.
 * - `modified`: It was written to, or its metadata changed. The archive may have some bytes
 *   from before and some from after.
 */
export type ChangeKind = "vanished" | "retyped" | "replaced" | "shrunk" | "grown" | "modified";
/** An entry that changed between the moment it was found and the end of reading it. */
export interface ChangedEntry {
    /** Which entry. */
    path: string;
    /** What became of it. */
    change: ChangeKind;
}
/**
 * What comparing checksums says.
 *
 * - `matches`: The bytes are those that were stored.
 * - `differs`: They are not.
 * - `notRecorded`: Other writers record no checksum, so there is nothing to compare with.
 */
export type ChecksumVerdict = "matches" | "differs" | "notRecorded";
/** How the archive of a backup is compressed. */
export interface Compression {
    /**
     * The compressor.
     *
     * @default zstd
     */
    format?: CompressionFormat;
    /** 1 to 22 for zstd, 1 to 9 for gzip; lz4 has none. The format's own default when absent. */
    level?: number;
    /** Compressing threads, 1 to 256; as many as there are cores when absent. */
    threads?: number;
    /**
     * Bytes of a data block: a power of two from 4096 to 1048576, 131072 when absent. Larger
     * blocks compress better and make small reads slower.
     *
     * @default 131072
     */
    blockSize?: number;
}
/**
 * A compressor of SquashFS archives.
 *
 * - `lz4`: Fastest; archives are about 1.5 times as large as with zstd.
 * - `zstd`: The default: nearly as fast as lz4 when reading, and far smaller.
 * - `gzip`: For readers that know nothing else.
 */
export type CompressionFormat = "lz4" | "zstd" | "gzip";
/**
 * Whether a container runs.
 *
 * - `running`: It does.
 * - `stopped`: It does not, and starts with the first call that needs it.
 */
export type ContainerState = "running" | "stopped";
/** How a container is. */
export interface ContainerStatus {
    /** Whether it runs. */
    state: ContainerState;
    /** How restored directories can be served in it, best first; empty while it is stopped. */
    strategies: Strategy[];
}
/** What `createBackup` returns: the handle, and what became of the directory. */
export interface CreatedBackup {
    /** Names the objects `backups/{id}/data.sqsh` and `backups/{id}/meta.json` in the bucket. */
    id: string;
    /** Absolute path of the directory that was backed up, or that it is restored to. */
    dir: string;
    /** Bytes of the archive. */
    sizeBytes: number;
    /** What went into it and what was left out. */
    counts: EntryCounts;
    /** What was met that you should know of. */
    report: BackupReport;
}
/** What `deleteBackup` returns. */
export interface DeleteBackupResult {
    /** Always true; a failure is an error. */
    success: true;
    /** Which backup. */
    id: string;
    /** Whether there was one to delete. */
    existed: boolean;
}
/**
 * The handle of a backup: plain JSON, safe to keep in KV, D1 or Durable Object storage.
 *
 * Unknown fields are ignored, so a handle that `@cloudflare/sandbox` made is accepted as well.
 */
export interface DirectoryBackup {
    /** Names the objects `backups/{id}/data.sqsh` and `backups/{id}/meta.json` in the bucket. */
    id: string;
    /** Absolute path of the directory that was backed up, or that it is restored to. */
    dir: string;
}
/** An extended attribute outside `user.`, `trusted.`, `security.` and POSIX ACLs. */
export interface DroppedXattr {
    /** Which entry. */
    path: string;
    /** The attribute's name. */
    name: string;
}
/**
 * How file content travels as text.
 *
 * - `utf-8`: As it is.
 * - `base64`: RFC 4648, with padding.
 */
export type Encoding = "utf-8" | "base64";
/** What an archive holds, by kind of entry, and what was left out of it. */
export interface EntryCounts {
    /** Regular files; each name of a hard-linked file counts. */
    files: number;
    /** Directories, the top one included. */
    directories: number;
    /** Symbolic links. */
    symlinks: number;
    /** FIFOs, sockets and device nodes. */
    special: number;
    /** Bytes of file content, before compression. */
    bytes: number;
    /** Entries that exclude rules left out. A directory counts once, whatever is in it. */
    excluded: number;
    /** Entries that were left out because they could not be read. */
    unreadable: number;
    /** Entries that changed while they were read. */
    changed: number;
}
/**
 * Machine-readable reason of a failure. The names are part of the public contract and never
 * change meaning.
 *
 * - `INVALID_BACKUP_CONFIG`: (400) A binding or credential is missing (the message names
 *   which), or an option, handle or id is unacceptable or not known: `context.field`, and
 *   `context.nearest` if one is close to it.
 * - `BACKUP_CREATE_FAILED`: (500) Making the archive or uploading it failed. Nothing is left
 *   behind.
 * - `BACKUP_NOT_FOUND`: (404) There is no metadata, or no archive, for the id.
 * - `BACKUP_EXPIRED`: (400) The backup's time to live has elapsed; `context.expiredAt` says
 *   when.
 * - `BACKUP_RESTORE_FAILED`: (500) Download, integrity check or mount failed. The target is as
 *   it was.
 * - `CONTAINER_UNAVAILABLE`: (503) The container could not be started or went away. Safe to
 *   retry.
 * - `OPERATION_INTERRUPTED`: (409) The Durable Object or the container restarted in the
 *   middle; `context.committed` says whether the operation had taken effect.
 * - `INVALID_REQUEST`: (400) A request to run a command or touch a file is malformed or has an
 *   option that is not known (`context.field`, `context.nearest`), or there are more arguments
 *   than the method takes.
 * - `FILE_NOT_FOUND`: (404) The file or directory does not exist.
 * - `FILE_OPERATION_FAILED`: (422) The operating system refused a file operation.
 * - `EXEC_FAILED`: (422) A command could not be started at all.
 * - `UNAUTHORIZED`: (401) The bearer token is missing or wrong.
 * - `NOT_CONFIGURED`: (503) The Worker lacks the secret that guards its HTTP routes.
 * - `ROUTE_NOT_FOUND`: (404) No such HTTP route.
 * - `METHOD_NOT_ALLOWED`: (405) The route exists, the method does not.
 * - `INTERNAL_ERROR`: (500) A defect in this product, or the Durable Object's storage failed;
 *   or the bucket did, in a method that has no other code for that. Also what a code of a
 *   newer writer is read as.
 */
export type ErrorCode = "INVALID_BACKUP_CONFIG" | "BACKUP_CREATE_FAILED" | "BACKUP_NOT_FOUND" | "BACKUP_EXPIRED" | "BACKUP_RESTORE_FAILED" | "CONTAINER_UNAVAILABLE" | "OPERATION_INTERRUPTED" | "INVALID_REQUEST" | "FILE_NOT_FOUND" | "FILE_OPERATION_FAILED" | "EXEC_FAILED" | "UNAUTHORIZED" | "NOT_CONFIGURED" | "ROUTE_NOT_FOUND" | "METHOD_NOT_ALLOWED" | "INTERNAL_ERROR";
/** An entry that a rule leaves out, with everything below it. */
export interface ExcludedEntry {
    /** Which entry, relative to the directory. */
    path: string;
    /** The option that leaves it out. */
    rule: Exclusion;
}
/**
 * Why an entry was left out.
 *
 * - `excludes`: A pattern of `excludes`.
 * - `gitignore`: git ignores it.
 * - `excludeCaches`: It is in a directory with a `CACHEDIR.TAG`.
 * - `excludeLargerThan`: It is larger than `excludeLargerThan`.
 */
export type Exclusion = "excludes" | "gitignore" | "excludeCaches" | "excludeLargerThan";
/**
 * What a command that runs does, as one server-sent event.
 *
 * - `start`: The command runs.
 * - `stdout`: It wrote to standard output.
 * - `stderr`: It wrote to standard error.
 * - `exit`: It has ended. Always the last event.
 */
export type ExecEvent = {
    type: "start";
    /** Its process id, which is also its process group. */
    pid: number;
} | {
    type: "stdout";
    /** Whole characters; bytes that are not UTF-8 become U+FFFD. */
    data: string;
} | {
    type: "stderr";
    /** Whole characters; bytes that are not UTF-8 become U+FFFD. */
    data: string;
} | {
    type: "exit";
    /** As a shell reports it: 128 + n after signal n, 124 after the timeout. */
    exitCode: number;
    /** Whether the timeout ended it. */
    timedOut: boolean;
    /** Milliseconds from start to exit. */
    duration: number;
};
/** What `exec` takes. */
export interface ExecRequest {
    /** A command line for `/bin/sh -c`. */
    command: string;
    /**
     * Absolute path of the working directory; `/workspace` when absent.
     *
     * @default /workspace
     */
    cwd?: string;
    /** Variables added to the environment. */
    env?: {
        [k: string]: string;
    };
    /** Milliseconds after which the whole process group is killed; no limit when absent. */
    timeout?: number;
    /** Text that the command reads on its standard input; empty when absent. */
    stdin?: string;
    /** An option of `@cloudflare/sandbox` that means nothing here: accepted, whatever it is. */
    origin?: unknown;
    /** An option of `@cloudflare/sandbox` that means nothing here: accepted, whatever it is. */
    bufferSize?: unknown;
}
/** What `exec` returns. A command that fails is a result, not an error. */
export interface ExecResult {
    /** Whether the exit code is 0. */
    success: boolean;
    /** As a shell reports it: 128 + n after signal n, 124 after the timeout. */
    exitCode: number;
    /** Standard output; bytes that are not UTF-8 become U+FFFD. */
    stdout: string;
    /** Standard error, likewise. */
    stderr: string;
    /** Milliseconds from start to exit. */
    duration: number;
    /** Present and true when the timeout ended the command. */
    timedOut?: boolean;
    /** Present and true when an output was longer than 8 MiB and only its beginning is here. */
    truncated?: boolean;
}
/** What `exists` returns. */
export interface ExistsResult {
    /** Always true; a failure is an error. */
    success: true;
    /** What was asked about. */
    path: string;
    /** Whether something is there, a dangling symbolic link included. */
    exists: boolean;
}
/**
 * A failure: its code, a message that says what happened and what to do, and facts that a
 * program may want.
 */
export interface Failure {
    /** Machine-readable reason. */
    code: ErrorCode;
    /** For people. Never holds a URL, a token or a credential. */
    message: string;
    /** Facts about this failure, by name. */
    context?: {
        [k: string]: unknown;
    };
}
/** What `readFile` takes, and `writeFile` beside the content. */
export interface FileContent {
    /** Absolute path. */
    path: string;
    /** How the content travels as text; `utf-8`, which is also called `utf8`, when absent. */
    encoding?: "utf-8" | "utf8" | "base64";
}
/** One entry of `listFiles`. */
export interface FileInfo {
    /** Last component; bytes that are not UTF-8 become U+FFFD. */
    name: string;
    /** From the root of the file system. */
    absolutePath: string;
    /** From the directory that was listed. */
    relativePath: string;
    /** What it is. */
    type: FileType;
    /** Bytes. */
    size: number;
    /** Permission bits in octal, such as `"0644"`. */
    mode: string;
    /** ISO 8601, UTC. */
    modifiedAt: string;
}
/** What `writeFile`, `deleteFile` and `mkdir` return. */
export interface FileOperationResult {
    /** Always true; a failure is an error. */
    success: true;
    /** What was operated on. */
    path: string;
}
/** What methods take that take a path only. */
export interface FilePath {
    /** Absolute path. */
    path: string;
}
/**
 * What kind of thing a directory entry is.
 *
 * - `file`: A regular file.
 * - `directory`: A directory.
 * - `symlink`: A symbolic link, which is not followed.
 * - `other`: A FIFO, socket or device node.
 */
export type FileType = "file" | "directory" | "symlink" | "other";
/** Something of an entry that could not be restored. */
export interface LeftOutEntry {
    /** Which entry, relative to the directory; empty for the directory itself. */
    path: string;
    /** `owner`, `device`, or an extended attribute by its name. */
    what: string;
}
/** What `listBackups` takes: filters, an order, a page. */
export interface ListBackups {
    /** Only backups of this directory. */
    dir?: string;
    /** Only backups of this name. */
    name?: string;
    /** Only backups that can, or can no longer, be restored. */
    state?: BackupState;
    /**
     * What they are sorted by; `createdAt` when absent.
     *
     * @default createdAt
     */
    sort?: SortBy;
    /**
     * In which direction; `desc` when absent.
     *
     * @default desc
     */
    order?: SortOrder;
    /**
     * Records of a page: 1 to 1000, 100 when absent.
     *
     * @default 100
     */
    limit?: number;
    /** `cursor` of the page before; filters and order must be the same. */
    cursor?: string;
}
/** What `listFiles` takes. */
export interface ListFiles {
    /** Absolute path of a directory. */
    path: string;
    /**
     * Also what is in subdirectories.
     *
     * @default false
     */
    recursive?: boolean;
    /**
     * Also names that begin with a dot.
     *
     * @default true
     */
    includeHidden?: boolean;
}
/** What `listFiles` returns, sorted by relative path. */
export interface ListFilesResult {
    /** Always true; a failure is an error. */
    success: true;
    /** The directory. */
    path: string;
    /** Its entries. */
    files: FileInfo[];
    /** How many. */
    count: number;
}
/** An operation in the log of its sandbox. */
export interface LogEntry {
    /** Counts the operations of a sandbox, from 1. */
    number: number;
    /** Which method it is of. */
    type: OperationKind;
    /** Which backup. */
    id: string;
    /** The directory. */
    dir: string;
    /** ISO 8601, UTC. */
    startedAt: string;
    /** `ok`, or the code of the error. */
    outcome: "ok" | ErrorCode;
    /** The message of the error. */
    error?: string;
    /** Of a restore: how the directory is served. */
    strategy?: Strategy;
    /** Bytes of files (backup) or of the archive (otherwise) that were done. */
    bytes: number;
    /** Of a backup: bytes of archive that R2 has taken. */
    bytesUploaded?: number;
    /** Milliseconds from start to end; of an interrupted one, until that was found. */
    durationMs: number;
    /** Milliseconds of each phase. */
    phasesMs: {
        starting?: number;
        scanning?: number;
        uploading?: number;
        committing?: number;
        mounting?: number;
        verifying?: number;
    };
}
/** What `mkdir` takes. */
export interface MakeDirectory {
    /** Absolute path of a directory. */
    path: string;
    /**
     * Make parents as needed, and accept a directory that exists.
     *
     * @default false
     */
    recursive?: boolean;
}
/**
 * Whether a restored directory can be read.
 *
 * - `active`: It can.
 * - `damaged`: The archive is not what was stored: what is not in memory yet cannot be read
 *   any more. Restore another backup.
 * - `lost`: What served it ended: restore again.
 */
export type MountState = "active" | "damaged" | "lost";
/** One restored directory. */
export interface MountStatus {
    /** Which backup. */
    id: string;
    /** Where. */
    dir: string;
    /** How it is served. */
    strategy: Strategy;
    /** Whether it can be read. */
    state: MountState;
    /** Bytes of the archive. */
    sizeBytes: number;
    /**
     * Bytes of the archive that are in the container; the rest is fetched on demand and in the
     * background.
     */
    cachedBytes: number;
    /** Whether all of the archive was found to be what was stored. */
    verified: boolean;
    /** When the URL that the rest is fetched from expires: it is renewed before. ISO 8601. */
    urlExpiresAt?: string;
    /** Why bytes that are missing could not be fetched when that was last tried. */
    problem?: string;
    /** With the strategy `extract`, what could not be unpacked. */
    leftOut?: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: LeftOutEntry[];
    };
}
/**
 * What to do about entries that cannot be read.
 *
 * - `fail`: Fail; the error names them.
 * - `skip`: Leave them out; the report names them.
 */
export type OnUnreadable = "fail" | "skip";
/** A backup, restore or verification under way. */
export interface Operation {
    /** Which method it is of. */
    type: OperationKind;
    /** Which backup. */
    id: string;
    /** The directory. */
    dir: string;
    /** ISO 8601, UTC. */
    startedAt: string;
    /** What it does now. */
    phase: Phase;
    /** Of a restore: how the directory is served, once that is known. */
    strategy?: Strategy;
    /** Bytes of files (backup) or of the archive (otherwise) that are done. */
    bytesDone: number;
    /** Bytes there are, when that is known. */
    bytesTotal?: number;
    /** Bytes of `bytesDone` in a second, lately. */
    bytesPerSecond?: number;
    /** Seconds until all bytes are done, at that rate. */
    secondsLeft?: number;
    /** Of a backup: entries found so far. */
    entriesScanned?: number;
    /** Of a backup: bytes of the files found so far. */
    bytesScanned?: number;
    /** Of a backup: files whose content is in the archive. */
    filesRead?: number;
    /** Of a backup: bytes of file content that were read. */
    bytesRead?: number;
    /** Of a backup: bytes of archive that were made of them. */
    bytesCompressed?: number;
    /** Of a backup: bytes of archive that R2 has taken. */
    bytesUploaded?: number;
}
/** What `operationOutcome` takes. */
export interface OperationById {
    /** As it was given with the call: as `operationId`, or in the header `Operation-Id`. */
    operationId: string;
}
/**
 * The method that an operation is of.
 *
 * - `createBackup`: `createBackup`.
 * - `restoreBackup`: `restoreBackup`, or a restore because of `autoRestore`.
 * - `verifyBackup`: `verifyBackup`.
 */
export type OperationKind = "createBackup" | "restoreBackup" | "verifyBackup";
/** What `operationLog` returns: operations that have ended, the last one first. */
export interface OperationLogPage {
    /** At most as many as were asked for. */
    operations: LogEntry[];
    /** For the next page; absent from the last. */
    cursor?: string;
}
/** What `operationLog` takes. */
export interface OperationLogQuery {
    /**
     * Entries of a page: 1 to 1000, 100 when absent.
     *
     * @default 100
     */
    limit?: number;
    /** `cursor` of the page before. */
    cursor?: string;
}
/** What `operationOutcome` returns. */
export interface OperationOutcome {
    /** As it was given. */
    operationId: string;
    /** How far it got. */
    state: OperationState;
    /** Whether it has taken effect; `null` if that cannot be told, or not yet. */
    committed: boolean | null;
    /** Which method it is of. */
    type?: "createBackup" | "restoreBackup";
    /** The backup that it made or restored. */
    backup?: DirectoryBackup;
    /** When it began. ISO 8601. */
    startedAt?: string;
}
/**
 * How far an operation got.
 *
 * - `running`: It is under way.
 * - `committed`: It has taken effect: the backup exists, the directory is restored.
 * - `notCommitted`: It has not, and nothing is left of it.
 * - `uncertain`: It was interrupted, and whether it has taken effect cannot be told. It is
 *   safe to repeat.
 * - `unknown`: Nothing is known of it: it never began, or ended long ago.
 */
export type OperationState = "running" | "committed" | "notCommitted" | "uncertain" | "unknown";
/**
 * What an operation does.
 *
 * - `starting`: The container starts.
 * - `scanning`: The tree is walked.
 * - `uploading`: Files are read, compressed and uploaded.
 * - `committing`: The parts become an archive, and the backup is recorded.
 * - `mounting`: The archive is fetched and mounted.
 * - `verifying`: The archive is fetched and read.
 */
export type Phase = "starting" | "scanning" | "uploading" | "committing" | "mounting" | "verifying";
/**
 * What `pruneBackups` takes.
 *
 * The rules apply to each directory by itself, and a backup that any of them wants is kept.
 * Hours, days, weeks (from Monday), months and years are those of the calendar in UTC; of each
 * that has backups, the newest one is kept. Backups that have expired, or are gone from the
 * bucket, take no place from those that can be restored.
 */
export interface PruneBackups {
    /** Only backups of this directory. */
    dir?: string;
    /** Keep the newest so many. */
    keepLast?: number;
    /** Keep the newest of each of the last so many hours that have backups. */
    keepHourly?: number;
    /** Keep the newest of each of the last so many days that have backups. */
    keepDaily?: number;
    /** Keep the newest of each of the last so many weeks that have backups. */
    keepWeekly?: number;
    /** Keep the newest of each of the last so many months that have backups. */
    keepMonthly?: number;
    /** Keep the newest of each of the last so many years that have backups. */
    keepYearly?: number;
    /** Keep what was made within so many seconds before the newest one that can be restored. */
    keepWithin?: number;
    /**
     * Delete what can no longer be restored, whatever the rules say. Otherwise it is kept while it
     * would be if it had not expired.
     *
     * @default false
     */
    expired?: boolean;
    /**
     * Delete nothing, and return what would be deleted. What is `missing` leaves the index all the
     * same.
     *
     * @default false
     */
    dryRun?: boolean;
}
/** What `pruneBackups` returns. */
export interface PruneResult {
    /** Whether nothing was deleted. */
    dryRun: boolean;
    /** How many backups are kept. */
    kept: number;
    /** What was deleted, or would be; at most the first 1000. */
    deleted: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: BackupRecord[];
    };
    /** Bytes of their archives. */
    freedBytes: number;
    /**
     * What a rule would have kept, but cannot be restored any more: an object is missing from the
     * bucket, or the archive is not of the size that the metadata says. It took no place, and is
     * not listed any more. At most the first 1000; absent when there is nothing of the kind.
     */
    missing?: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: BackupRecord[];
    };
}
/** What `readFile` returns. */
export interface ReadFileResult {
    /** Always true; a failure is an error. */
    success: true;
    /** The file. */
    path: string;
    /** Its content, in `encoding`. */
    content: string;
    /** `base64` when asked for, or when the content is not UTF-8. */
    encoding: Encoding;
    /** Bytes of the file. */
    size: number;
}
/** What `reindexBackups` returns. */
export interface ReindexResult {
    /** Backups in the index now. */
    indexed: number;
    /** Keys of metadata in the bucket that cannot be read; at most the first 1000. */
    unreadable: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: string[];
    };
}
/** What `restoreBackup` returns. */
export interface RestoreBackupResult {
    /** Always true; a failure is an error. */
    success: true;
    /** Where the backup now is. */
    dir: string;
    /** Which backup. */
    id: string;
    /** How it is served. */
    strategy: Strategy;
    /**
     * With the strategy `extract`, what could not be unpacked for want of privileges or of a file
     * system that can hold it.
     */
    leftOut?: {
        /** How many there were. */
        count: number;
        /** The first of them, in the order they were met. */
        first: LeftOutEntry[];
    };
}
/** How a backup is restored. Fields that are given here stand above those beside the handle. */
export interface RestoreOptions {
    /** Forces one strategy; the best that works in the container when absent. */
    strategy?: Strategy;
    /** Unmount an older restore of the directory even while processes use it; false when absent. */
    force?: boolean;
    /** Restore the backup again whenever the container has started again; false when absent. */
    autoRestore?: boolean;
    /**
     * By this the caller can ask for `operationOutcome`, even if it is itself interrupted: up to
     * 64 letters, digits, `-` and `_`, another for each call. A random UUID when absent.
     */
    operationId?: string;
}
/**
 * What `restoreBackup` takes: a handle, whose `dir` may be another directory than the one that
 * was backed up, and how to restore it. What else a handle holds is ignored, unless its name
 * is close to one of these.
 */
export interface RestoreRequest {
    /** Which backup. */
    id: string;
    /**
     * Absolute path of the directory to restore to, at or below an allowed root. Made if it is not
     * there, covered if it is not empty.
     */
    dir: string;
    /** Forces one strategy; the best that works in the container when absent. */
    strategy?: Strategy;
    /**
     * Unmount an older restore of the directory even while processes use it.
     *
     * @default false
     */
    force?: boolean;
    /**
     * Restore the backup again whenever the container has started again.
     *
     * @default false
     */
    autoRestore?: boolean;
}
/** What `status` returns. */
export interface SandboxStatus {
    /** The container. */
    container: ContainerStatus;
    /** Restored directories. */
    mounts: MountStatus[];
    /** What is restored when the container starts again. */
    autoRestore: AutoRestoreStatus[];
    /** The operation under way; `null` if there is none. */
    operation: Operation | null;
}
/**
 * By what a list is sorted.
 *
 * - `createdAt`: When the backup was made.
 * - `expiresAt`: When it can no longer be restored.
 * - `sizeBytes`: Bytes of the archive.
 * - `name`: The name, by its bytes; backups without one come first.
 * - `dir`: The directory, by its bytes.
 */
export type SortBy = "createdAt" | "expiresAt" | "sizeBytes" | "name" | "dir";
/**
 * In which direction a list is sorted.
 *
 * - `asc`: From the least.
 * - `desc`: From the greatest.
 */
export type SortOrder = "asc" | "desc";
/** What is stored of one sandbox. */
export interface StoredSandbox {
    /** The id of its Durable Object; absent for backups of other writers. */
    sandbox?: string;
    /** Its name, if it is known. */
    name?: string;
    /** How many backups. */
    backups: number;
    /** Bytes of their archives. */
    sizeBytes: number;
    /** When the newest of them was stored. ISO 8601. */
    newestAt: string;
}
/** The sandboxes that have backups. */
export interface StoredSandboxes {
    /** The one with the most bytes first. */
    sandboxes: StoredSandbox[];
}
/**
 * How a restored directory is served. Tried in this order.
 *
 * - `kernel`: Linux's own squashfs, overlayfs on top.
 * - `overlay`: A FUSE view of the archive, overlayfs on top.
 * - `fuse`: A copy-on-write file system in user space (FUSE).
 * - `extract`: A plain unpacked copy.
 */
export type Strategy = "kernel" | "overlay" | "fuse" | "extract";
/** What `unmountBackup` takes. */
export interface UnmountBackup {
    /** Absolute path of the directory that was restored to. */
    dir: string;
    /**
     * Also while processes use it.
     *
     * @default false
     */
    force?: boolean;
}
/** What `unmountBackup` returns. */
export interface UnmountResult {
    /** Always true; a failure is an error. */
    success: true;
    /** The directory, as it was before the restore. */
    dir: string;
}
/** An entry that could not be read. */
export interface UnreadableEntry {
    /** Which entry; empty for the directory itself. */
    path: string;
    /** What the operating system said. */
    error: string;
}
/** What `verifyBackup` returns. A damaged archive is a result, not an error. */
export interface VerifyBackupResult {
    /** Which backup. */
    id: string;
    /** Whether all of it can be read and is what was stored. */
    valid: boolean;
    /** Bytes of the archive in the bucket. */
    sizeBytes: number;
    /**
     * What is wrong, for people: at most the first 100. Damaged metadata hides what comes after
     * it.
     */
    problems: string[];
    /** Whether the bytes are those that were stored. */
    checksum: ChecksumVerdict;
    /** Regular files that were met; each name of a hard-linked file counts. */
    files: number;
    /** Directories that were met, the top one included. */
    directories: number;
    /** Symbolic links that were met. */
    symlinks: number;
    /** FIFOs, sockets and device nodes that were met. */
    special: number;
    /** Bytes of file content; files with several names count once. */
    bytes: number;
}
/**
 * A sandbox: a container with its Durable Object. Backups and restores of one sandbox run one after
 * the other. Every method throws a `SandboxError` when it fails. Beside the codes that are named
 * with it, there are `INVALID_REQUEST` for more arguments than it takes, `OPERATION_INTERRUPTED`
 * when the Durable Object goes away, `INTERNAL_ERROR`, and those of the restores that `autoRestore`
 * asks for, which come before anything else in a new container.
 */
export interface Sandbox {
    /**
     * Takes a snapshot of a directory and stores it in R2.
     *
     * A backup exists once this has answered, and not before; a failure leaves nothing.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`,
     * `OPERATION_INTERRUPTED`
     */
    createBackup(options: BackupOptions, call?: CallOptions): Promise<CreatedBackup>;
    /**
     * Returns what a backup with the same options would hold. Stores nothing.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    previewBackup(options: BackupOptions): Promise<BackupPreview>;
    /**
     * Restores a backup to a directory, copy-on-write.
     *
     * Writes never reach the backup, and restoring again discards them. The answer comes as soon
     * as the directory can be read; content is fetched when it is needed. The mount does not
     * outlive the container: restore again after a restart, or ask for `autoRestore`.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `BACKUP_RESTORE_FAILED`,
     * `BACKUP_EXPIRED`, `CONTAINER_UNAVAILABLE`, `OPERATION_INTERRUPTED`
     */
    restoreBackup(backup: RestoreRequest, options?: RestoreOptions): Promise<RestoreBackupResult>;
    /**
     * Unmounts a restored directory. What it covered is visible again.
     *
     * Where processes use it, only with `force`: `context.processes` of the error names them.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    unmountBackup(dir: string, options?: Omit<UnmountBackup, "dir">): Promise<UnmountResult>;
    /**
     * Lists the backups of this sandbox, a page at a time.
     *
     * The newest first unless another order is asked for. It reads an index: what something else
     * has deleted from the bucket stays in it until it is next looked for, such as by `getBackup`
     * or `pruneBackups`. Does not start the container.
     * @throws `INVALID_BACKUP_CONFIG`
     */
    listBackups(query?: ListBackups): Promise<BackupPage>;
    /**
     * Returns a stored backup as the bucket has it, whichever sandbox made it.
     *
     * Does not start the container.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`
     */
    getBackup(backup: string | BackupById): Promise<BackupRecord>;
    /**
     * Reads all of a stored backup in the container and checks that it is whole.
     *
     * Whichever sandbox made it, expired or not. Nothing is restored, and nothing of it is kept. A
     * damaged archive is a result, not an error.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `BACKUP_RESTORE_FAILED`,
     * `CONTAINER_UNAVAILABLE`
     */
    verifyBackup(backup: string | BackupById): Promise<VerifyBackupResult>;
    /**
     * Deletes a backup for good, whichever sandbox made it.
     *
     * Deleting what is not there succeeds. Does not start the container.
     * @throws `INVALID_BACKUP_CONFIG`
     */
    deleteBackup(backup: string | BackupById): Promise<DeleteBackupResult>;
    /**
     * Deletes the backups of this sandbox that no rule keeps.
     *
     * The newest that can be restored is kept by every rule; what rules keep is looked up in the
     * bucket before anything is deleted. At least one rule must be given. Does not start the
     * container.
     * @throws `INVALID_BACKUP_CONFIG`
     */
    pruneBackups(rules: PruneBackups): Promise<PruneResult>;
    /**
     * Rebuilds the index that `listBackups` reads from the bucket.
     *
     * With the backups of writers that do not say which sandbox was theirs, such as
     * `@cloudflare/sandbox` 0.12. Does not start the container.
     * @throws `INVALID_BACKUP_CONFIG`
     */
    reindexBackups(): Promise<ReindexResult>;
    /**
     * Cancels the backup, restore or verification under way.
     *
     * Waits until nothing of it is left; its caller gets an error whose `context.cancelled` is
     * true. One that is about to commit still does.
     * @throws `INVALID_BACKUP_CONFIG`
     */
    cancelOperation(): Promise<CancelResult>;
    /**
     * Returns what became of a backup or restore whose answer was lost.
     *
     * The JavaScript and the Rust client ask by themselves when the Durable Object goes away in
     * the middle of a call: `context.committed` of the error says it.
     * @throws `INVALID_BACKUP_CONFIG`, `CONTAINER_UNAVAILABLE`
     */
    operationOutcome(operationId: string): Promise<OperationOutcome>;
    /**
     * Lists the backups, restores and verifications that have ended, the last one first.
     *
     * 1000 are kept. Does not start the container.
     * @throws `INVALID_REQUEST`
     */
    operationLog(query?: OperationLogQuery): Promise<OperationLogPage>;
    /**
     * Runs a command with `/bin/sh -c` and waits for its end.
     *
     * A command that fails is a result, not an error.
     * @throws `INVALID_REQUEST`, `EXEC_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    exec(command: string, options?: Omit<ExecRequest, "command">): Promise<ExecResult>;
    /**
     * Runs a command and streams its output as server-sent events.
     *
     * Each is an `ExecEvent` in JSON; `parseSSEStream` reads them. Cancelling the stream kills the
     * command's process group.
     * @throws `INVALID_REQUEST`, `EXEC_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    execStream(command: string, options?: Omit<ExecRequest, "command">): Promise<ReadableStream<Uint8Array>>;
    /**
     * Writes a file, replacing what was there and making its parent directories.
     *
     * A string is written as UTF-8, or decoded first when `encoding` is `base64`.
     * @throws `INVALID_REQUEST`, `FILE_OPERATION_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    writeFile(path: string, content: string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>, options?: Omit<FileContent, "path">): Promise<FileOperationResult>;
    /**
     * Reads a file. Content that is not UTF-8 is returned as base64, whatever was asked for.
     * @throws `INVALID_REQUEST`, `FILE_NOT_FOUND`, `FILE_OPERATION_FAILED`,
     * `CONTAINER_UNAVAILABLE`
     */
    readFile(path: string, options?: Omit<FileContent, "path">): Promise<ReadFileResult>;
    /**
     * Lists what is in a directory, sorted by relative path.
     * @throws `INVALID_REQUEST`, `FILE_NOT_FOUND`, `FILE_OPERATION_FAILED`,
     * `CONTAINER_UNAVAILABLE`
     */
    listFiles(path: string, options?: Omit<ListFiles, "path">): Promise<ListFilesResult>;
    /**
     * Deletes a file or a symbolic link.
     * @throws `INVALID_REQUEST`, `FILE_NOT_FOUND`, `FILE_OPERATION_FAILED`,
     * `CONTAINER_UNAVAILABLE`
     */
    deleteFile(path: string): Promise<FileOperationResult>;
    /**
     * Makes a directory.
     * @throws `INVALID_REQUEST`, `FILE_NOT_FOUND`, `FILE_OPERATION_FAILED`,
     * `CONTAINER_UNAVAILABLE`
     */
    mkdir(path: string, options?: Omit<MakeDirectory, "path">): Promise<FileOperationResult>;
    /**
     * Returns whether something is at a path, a dangling symbolic link included.
     * @throws `INVALID_REQUEST`, `FILE_OPERATION_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    exists(path: string): Promise<ExistsResult>;
    /**
     * Returns how the container is, and what is restored in it.
     *
     * Does not start the container.
     * @throws `INVALID_REQUEST`, `CONTAINER_UNAVAILABLE`
     */
    status(): Promise<SandboxStatus>;
    /**
     * Destroys the container.
     *
     * The next call starts a new one, without its files and mounts.
     * @throws `INVALID_REQUEST`
     */
    stop(): Promise<void>;
}
/** The methods of a sandbox. */
export declare const METHODS: readonly ["createBackup", "previewBackup", "restoreBackup", "unmountBackup", "listBackups", "getBackup", "verifyBackup", "deleteBackup", "pruneBackups", "reindexBackups", "cancelOperation", "operationOutcome", "operationLog", "exec", "execStream", "writeFile", "readFile", "listFiles", "deleteFile", "mkdir", "exists", "status", "stop"];
/** Those that are journaled by the id of an operation. */
export declare const JOURNALED_METHODS: readonly ["createBackup", "restoreBackup"];
