import type { Listed } from "./index.js";
/**
 * Why an operation failed. The names never change meaning.
 *
 * | code | status | when |
 * |---|---|---|
 * | `INVALID_BACKUP_CONFIG` | 400 | a binding or credential is missing (the message names which), or a dir, name, ttl, exclude pattern, handle or id is unacceptable, or an option is not known: `context.field`, and `context.nearest` if one is close to it |
 * | `BACKUP_CREATE_FAILED` | 500 | making or uploading the archive failed; nothing is left in R2 or in the container |
 * | `BACKUP_NOT_FOUND` | 404 | there is no metadata, or no archive, for the id |
 * | `BACKUP_EXPIRED` | 400 | the time to live has elapsed; `context.expiredAt` says when |
 * | `BACKUP_RESTORE_FAILED` | 500 | download, integrity check or mount failed; the directory is as it was |
 * | `CONTAINER_UNAVAILABLE` | 503 | the container could not be started or went away; safe to retry |
 * | `OPERATION_INTERRUPTED` | 409 | the Durable Object or the container restarted in the middle; `context.committed` says whether the operation had taken effect, `null` if that cannot be told |
 * | `INVALID_REQUEST` | 400 | a command or file request is malformed or has an option that is not known, or there are more arguments than the method takes |
 * | `FILE_NOT_FOUND` | 404 | the file or directory does not exist |
 * | `FILE_OPERATION_FAILED` | 422 | the operating system refused |
 * | `EXEC_FAILED` | 422 | the command could not be started at all |
 * | `INTERNAL_ERROR` | 500 | a defect in the product, or the Durable Object's storage failed; or the bucket did, in a call that has no other code for that |
 */
export type ErrorCode = "INVALID_BACKUP_CONFIG" | "BACKUP_CREATE_FAILED" | "BACKUP_NOT_FOUND" | "BACKUP_EXPIRED" | "BACKUP_RESTORE_FAILED" | "CONTAINER_UNAVAILABLE" | "OPERATION_INTERRUPTED" | "INVALID_REQUEST" | "FILE_NOT_FOUND" | "FILE_OPERATION_FAILED" | "EXEC_FAILED" | "INTERNAL_ERROR";
/** How the archive of a backup is compressed. */
export interface Compression {
    /** `zstd` when absent. `lz4` is fastest and largest; `gzip` is for readers that know nothing else. */
    format?: "lz4" | "zstd" | "gzip";
    /** 1 to 22 for zstd, 1 to 9 for gzip; lz4 has none. */
    level?: number;
    /** Compressing threads, 1 to 256; as many as there are cores when absent. */
    threads?: number;
    /**
     * Bytes of a data block: a power of two from 4096 to 1048576, 131072 when absent.
     * Larger blocks compress better and make small reads slower.
     */
    blockSize?: number;
}
/** What {@link Sandbox.createBackup} takes. */
export interface BackupOptions {
    /** Absolute path of a directory at or below `/workspace`, `/home`, `/tmp`, `/var/tmp` or `/app`. */
    dir: string;
    /** For people. At most 256 Unicode characters, none of them a control character. */
    name?: string;
    /** Seconds for which the backup may be restored: positive; 259200 (three days) when absent. */
    ttl?: number;
    /** Leave out what git ignores: what `.gitignore` files name and git does not track. False when absent. */
    gitignore?: boolean;
    /** What else to leave out: patterns in `.gitignore` syntax, relative to `dir`. */
    excludes?: string[];
    /** Of directories with a valid `CACHEDIR.TAG`, keep only the tag. False when absent. */
    excludeCaches?: boolean;
    /** Leave out files of more bytes than this. */
    excludeLargerThan?: number;
    /**
     * Enter directories that are other file systems. When false or absent they are kept, but
     * empty; directories that were restored are always read.
     */
    crossFileSystems?: boolean;
    /** What to do about entries that cannot be read: `fail` (the default), or leave them out and report them. */
    onUnreadable?: "fail" | "skip";
    /** zstd when absent. */
    compression?: Compression;
    /** Of `@cloudflare/sandbox`: accepted, and means nothing here. */
    localBucket?: boolean;
    /** Likewise. */
    multipart?: boolean;
}
/** The handle of a backup: plain JSON, safe to keep in KV, D1 or Durable Object storage. */
export interface DirectoryBackup {
    /** A UUID version 4; names the objects `backups/{id}/data.sqsh` and `backups/{id}/meta.json`. */
    readonly id: string;
    /** Absolute path of the directory that was backed up; a restore may name another. */
    readonly dir: string;
}
/** What an archive holds, by kind of entry, and what was left out of it. */
export interface EntryCounts {
    /** Regular files; each name of a hard-linked file counts. */
    files: number;
    /** The top one included. */
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
 * What a backup met that you should know of, at most the first 100 of each.
 * Paths are relative to the directory; bytes that are not UTF-8 became U+FFFD.
 */
export interface BackupReport {
    /** Entries that are not in the archive because they could not be read (`onUnreadable: "skip"`). */
    unreadable: Listed<{
        path: string;
        error: string;
    }>;
    /**
     * Entries that changed while they were read: `vanished` and `retyped` ones are not in the
     * archive; of the others, it has what was read.
     */
    changed: Listed<{
        /** Which entry. */
        path: string;
        /** What became of it. */
        change: "vanished" | "retyped" | "replaced" | "shrunk" | "grown" | "modified";
    }>;
    /** Directories that were kept empty because they are other file systems. */
    otherFileSystems: Listed<string>;
    /**
     * Repositories whose index could not be read, so that it is not known which of their files are
     * tracked: `gitignore` left nothing of them out. Empty for the one that `dir` itself is in.
     */
    unreadIndexes: Listed<string>;
    /** Extended attributes outside `user.`, `trusted.`, `security.` and POSIX ACLs, which no archive can hold. */
    droppedXattrs: Listed<{
        path: string;
        name: string;
    }>;
}
/** What {@link Sandbox.previewBackup} gives. */
export interface BackupPreview {
    /** The directory. */
    dir: string;
    /** What would be in the archive and what would be left out. */
    counts: EntryCounts;
    /** Paths that would be in the archive, relative to `dir`; at most the first 10,000. */
    included: Listed<string>;
    /** What rules leave out, with everything below; at most the first 10,000. */
    excluded: Listed<{
        /** Which entry. */
        path: string;
        /** The option that leaves it out. */
        rule: "excludes" | "gitignore" | "excludeCaches" | "excludeLargerThan";
    }>;
    /** What else was met. */
    report: BackupReport;
}
/** What {@link Sandbox.createBackup} gives: the handle, and what became of the directory. */
export interface CreatedBackup extends DirectoryBackup {
    /** Bytes of the archive. */
    readonly sizeBytes: number;
    /** What went into it and what was left out. */
    readonly counts: EntryCounts;
    /** What was met. */
    readonly report: BackupReport;
}
/** A stored backup. */
export interface BackupRecord extends DirectoryBackup {
    /** As given to {@link Sandbox.createBackup}. */
    readonly name: string | null;
    /** Bytes of the archive. */
    readonly sizeBytes: number;
    /** Seconds from `createdAt` until it can no longer be restored. */
    readonly ttl: number;
    /** ISO 8601. */
    readonly createdAt: string;
    /** ISO 8601. */
    readonly expiresAt: string;
    /** Whether it can be restored now. */
    readonly state: "active" | "expired";
    /** The id of the Durable Object that made it; absent from other writers, as are the fields below. */
    readonly sandbox?: string;
    /** How the archive is compressed. */
    readonly compression?: Compression;
    /** What the archive holds. */
    readonly counts?: EntryCounts;
}
/** What {@link Sandbox.listBackups} takes: filters, an order, a page. */
export interface ListBackups {
    /** Only backups of this directory. */
    dir?: string;
    /** Only backups of this name. */
    name?: string;
    /** Only backups that can, or can no longer, be restored. */
    state?: "active" | "expired";
    /** What they are sorted by; `createdAt` when absent. */
    sort?: "createdAt" | "expiresAt" | "sizeBytes" | "name" | "dir";
    /** `desc` when absent. */
    order?: "asc" | "desc";
    /** Records of a page: 1 to 1000, 100 when absent. */
    limit?: number;
    /** Of the page before; filters and order must be the same. */
    cursor?: string;
}
/** What {@link Sandbox.listBackups} gives. */
export interface BackupPage {
    /** At most as many as were asked for. */
    backups: BackupRecord[];
    /** For the next page; absent from the last. */
    cursor?: string;
}
/**
 * What {@link Sandbox.pruneBackups} takes. The rules apply to each directory by itself, and a
 * backup that any of them wants is kept. Hours, days, weeks (from Monday), months and years are
 * those of the calendar in UTC; of each that has backups, the newest one is kept. Backups that
 * have expired, or are gone from the bucket, take no place from those that can be restored.
 */
export interface PruneBackups {
    /** Only backups of this directory. */
    dir?: string;
    /** Keep the last so many. */
    keepLast?: number;
    /** Keep the newest of each of the last so many hours that have one. */
    keepHourly?: number;
    /** The same of days. */
    keepDaily?: number;
    /** The same of weeks. */
    keepWeekly?: number;
    /** The same of months. */
    keepMonthly?: number;
    /** The same of years. */
    keepYearly?: number;
    /** Keep what was made within so many seconds before the newest one that can be restored. */
    keepWithin?: number;
    /**
     * Delete what can no longer be restored, whatever the rules say. Otherwise it is kept while it
     * would be if it had not expired. False when absent.
     */
    expired?: boolean;
    /**
     * Delete nothing, and tell what would be deleted. What is `missing` leaves the list all the
     * same. False when absent.
     */
    dryRun?: boolean;
}
/** What {@link Sandbox.pruneBackups} gives. */
export interface PruneResult {
    /** Whether nothing was deleted. */
    dryRun: boolean;
    /** How many backups are kept. */
    kept: number;
    /** What was deleted, or would be; at most the first 1000. */
    deleted: Listed<BackupRecord>;
    /** Bytes of their archives. */
    freedBytes: number;
    /**
     * What a rule would have kept, but cannot be restored any more: an object is missing from the
     * bucket, or the archive is not of the size that the metadata says. It took no place, and is
     * not listed any more. At most the first 1000; absent when there is nothing of the kind.
     */
    missing?: Listed<BackupRecord>;
}
/** What {@link Sandbox.verifyBackup} gives. A damaged archive is a result, not an error. */
export interface VerifyBackupResult {
    /** Which backup. */
    id: string;
    /** Whether all of it can be read and is what was stored. */
    valid: boolean;
    /** Bytes of the archive in the bucket. */
    sizeBytes: number;
    /** What is wrong: the first 100. Damaged metadata hides what comes after it. */
    problems: string[];
    /** Whether the bytes are those that were stored; other writers record no checksum. */
    checksum: "matches" | "differs" | "notRecorded";
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
 * How a restored directory is served, best first: Linux's own squashfs, a
 * FUSE view below overlayfs, copy-on-write in user space, a plain copy.
 */
export type Strategy = "kernel" | "overlay" | "fuse" | "extract";
/** How {@link Sandbox.restoreBackup} restores. */
export interface RestoreOptions {
    /** Forces one strategy; the best that works in the container when absent. */
    readonly strategy?: Strategy;
    /** Takes an older restore away under the processes that use it; false when absent. */
    readonly force?: boolean;
    /** Puts the backup back whenever the container has started again; false when absent. */
    readonly autoRestore?: boolean;
}
/** What {@link Sandbox.restoreBackup} takes; what else a handle holds is ignored, unless its name is close to one of these. */
export interface RestoreRequest extends DirectoryBackup, RestoreOptions {
}
/** What {@link Sandbox.restoreBackup} gives. */
export interface RestoreBackupResult {
    /** A failure is thrown, never returned. */
    success: true;
    /** Where the backup now is. */
    dir: string;
    /** Which backup. */
    id: string;
    /** How it is served. */
    strategy: Strategy;
    /**
     * With the strategy `extract`, what could not be unpacked for want of privileges or of a file system
     * that can hold it: an `owner`, a `device`, or an extended attribute by its name.
     */
    leftOut?: Listed<{
        path: string;
        what: string;
    }>;
}
/** What {@link Sandbox.unmountBackup} gives. */
export interface UnmountResult {
    /** A failure is thrown, never returned. */
    success: true;
    /** The directory, as it was before the restore. */
    dir: string;
}
/** What {@link Sandbox.exec} takes. */
export interface ExecRequest {
    /** For `/bin/sh -c`. */
    command: string;
    /** Absolute path of the working directory; `/workspace` when absent. */
    cwd?: string;
    /** Variables added to the environment. */
    env?: Record<string, string>;
    /** Milliseconds after which the whole process group is killed; no limit when absent. */
    timeout?: number;
    /** Text for standard input; empty when absent. */
    stdin?: string;
    /** Of `@cloudflare/sandbox`: accepted, and means nothing here. */
    origin?: "user" | "internal";
    /** Likewise. */
    bufferSize?: number;
}
/** What {@link Sandbox.exec} gives. A command that fails is a result, not an error. */
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
    /** True when the timeout ended the command. */
    timedOut?: boolean;
    /** True when an output was longer than 8 MiB and only its beginning is here. */
    truncated?: boolean;
}
/** One event of {@link Sandbox.execStream}; `exit` is always the last. */
export type ExecEvent = 
/** It runs, in a process group of this number. */
{
    type: "start";
    pid: number;
}
/** It wrote to standard output: whole characters; bytes that are not UTF-8 became U+FFFD. */
 | {
    type: "stdout";
    data: string;
}
/** It wrote to standard error, likewise. */
 | {
    type: "stderr";
    data: string;
}
/** It is over. */
 | {
    type: "exit";
    /** As in {@link ExecResult}. */
    exitCode: number;
    /** Whether the timeout ended it. */
    timedOut: boolean;
    /** Milliseconds from start to exit. */
    duration: number;
};
/** How file content travels as text. */
export type Encoding = "utf-8" | "utf8" | "base64";
/** What {@link Sandbox.readFile} takes, and {@link Sandbox.writeFile} beside the content. */
export interface FileContent {
    /** Absolute. */
    path: string;
    /** `utf-8` when absent. */
    encoding?: Encoding;
}
/** What {@link Sandbox.listFiles} takes. */
export interface ListFiles {
    /** A directory. */
    path: string;
    /** Also what is in subdirectories. False when absent. */
    recursive?: boolean;
    /** Also names that begin with a dot. True when absent. */
    includeHidden?: boolean;
}
/** What {@link Sandbox.mkdir} takes. */
export interface MakeDirectory {
    /** A directory. */
    path: string;
    /** Make parents as needed, and accept a directory that exists. False when absent. */
    recursive?: boolean;
}
/** What writing, deleting and making directories give. */
export interface FileOperationResult {
    /** A failure is thrown, never returned. */
    success: true;
    /** What was operated on. */
    path: string;
}
/** What {@link Sandbox.readFile} gives. */
export interface ReadFileResult extends FileOperationResult {
    /** In `encoding`. */
    content: string;
    /** `base64` when asked for, or when the content is not UTF-8. */
    encoding: "utf-8" | "base64";
    /** Bytes of the file. */
    size: number;
}
/** One entry of {@link Sandbox.listFiles}. */
export interface FileInfo {
    /** Last component; bytes that are not UTF-8 become U+FFFD. */
    name: string;
    /** From the root of the file system. */
    absolutePath: string;
    /** From the directory that was listed. */
    relativePath: string;
    /** A symbolic link is not followed. */
    type: "file" | "directory" | "symlink" | "other";
    /** Bytes. */
    size: number;
    /** Permission bits in octal, such as `"0644"`. */
    mode: string;
    /** ISO 8601, UTC. */
    modifiedAt: string;
}
/** What {@link Sandbox.listFiles} gives, sorted by relative path. */
export interface ListFilesResult extends FileOperationResult {
    /** The entries. */
    files: FileInfo[];
    /** How many. */
    count: number;
}
/** What {@link Sandbox.exists} gives. */
export interface ExistsResult extends FileOperationResult {
    /** Whether something is there, a dangling symbolic link included. */
    exists: boolean;
}
/** One restored directory. */
export interface MountStatus {
    /** Which backup. */
    id: string;
    /** Where. */
    dir: string;
    /** How it is served. */
    strategy: Strategy;
    /**
     * `damaged` when the archive turned out not to be what was stored: what is
     * not in memory yet cannot be read; `lost` when what served it died.
     */
    state: "active" | "damaged" | "lost";
    /** Bytes of the archive. */
    sizeBytes: number;
    /** Bytes of the archive that are in the container; the rest comes on demand and in the background. */
    cachedBytes: number;
    /** Whether all of the archive has been found to be what was stored. */
    verified: boolean;
    /** ISO 8601: when the URL that the rest comes from is to have been renewed. */
    urlExpiresAt?: string;
    /** Why bytes that are missing did not come when they were last tried for. */
    problem?: string;
    /** See {@link RestoreBackupResult}. */
    leftOut?: Listed<{
        path: string;
        what: string;
    }>;
}
/** A directory that is put back when the container starts again. */
export interface AutoRestoreStatus extends DirectoryBackup {
    /** The strategy that was asked for. */
    strategy?: Strategy;
    /** Why it could not be, when that was last tried. */
    error?: {
        code: ErrorCode;
        message: string;
        context?: Record<string, unknown>;
    };
}
/**
 * A sandbox: a container with its Durable Object. Backups and restores of one
 * sandbox run one after the other. Every method throws {@link SandboxError}.
 */
export interface Sandbox {
    /**
     * Takes a snapshot of a directory into R2.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`, `OPERATION_INTERRUPTED`
     */
    createBackup(options: BackupOptions, call?: CallOptions): Promise<CreatedBackup>;
    /**
     * Tells what a backup with the same options would hold. Stores nothing.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_CREATE_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    previewBackup(options: BackupOptions): Promise<BackupPreview>;
    /**
     * Puts a backup in place of `backup.dir`, copy-on-write: writes never reach
     * the backup, and restoring again discards them. It answers as soon as the
     * directory can be read; content comes when it is needed. The mount does not
     * outlive the container: restore again after a restart, or ask for
     * `autoRestore`.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `BACKUP_EXPIRED`, `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`, `OPERATION_INTERRUPTED`
     */
    restoreBackup(backup: RestoreRequest, options?: RestoreOptions & CallOptions): Promise<RestoreBackupResult>;
    /**
     * What became of a backup or restore whose answer was lost. The client asks by itself when the
     * Durable Object goes away in the middle of a call: `context.committed` of the error says it.
     * @throws `INVALID_BACKUP_CONFIG`, `INTERNAL_ERROR` when the bucket fails
     */
    operationOutcome(operationId: string): Promise<OperationOutcome>;
    /**
     * Takes a restored directory away again; what it covered reappears. Where
     * processes use it, only by `force`: the error names them.
     * @throws `INVALID_BACKUP_CONFIG` when it is not a restored directory, `BACKUP_RESTORE_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    unmountBackup(dir: string, options?: {
        force?: boolean;
    }): Promise<UnmountResult>;
    /**
     * Backups of this sandbox, the newest first unless something else is asked for. Starts nothing.
     * It is an index: what something else has deleted from the bucket is in it until it is next looked
     * for, by {@link Sandbox.getBackup}, say, or {@link Sandbox.pruneBackups}.
     * @throws `INVALID_BACKUP_CONFIG`
     */
    listBackups(query?: ListBackups): Promise<BackupPage>;
    /**
     * A stored backup as the bucket has it, whichever sandbox made it. Starts nothing.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `INTERNAL_ERROR` when the bucket fails
     */
    getBackup(backup: string | {
        id: string;
    }): Promise<BackupRecord>;
    /**
     * Reads all of a stored backup in the container, whichever sandbox made it, expired or not, and
     * tells whether it is whole. Nothing is restored, and nothing of it is kept.
     * @throws `INVALID_BACKUP_CONFIG`, `BACKUP_NOT_FOUND`, `BACKUP_RESTORE_FAILED` when the archive cannot be fetched, `CONTAINER_UNAVAILABLE`
     */
    verifyBackup(backup: string | {
        id: string;
    }): Promise<VerifyBackupResult>;
    /**
     * Deletes a backup for good, whichever sandbox made it. Deleting what is not there succeeds.
     * @throws `INVALID_BACKUP_CONFIG`, `INTERNAL_ERROR` when the bucket fails
     */
    deleteBackup(backup: string | {
        id: string;
    }): Promise<{
        success: true;
        id: string;
        existed: boolean;
    }>;
    /**
     * Deletes the backups of this sandbox that no rule keeps. The newest that can be restored is kept
     * by every rule; what rules keep is looked up in the bucket before anything is deleted.
     * @throws `INVALID_BACKUP_CONFIG` when no rule is given, `INTERNAL_ERROR` when the bucket fails
     */
    pruneBackups(rules: PruneBackups): Promise<PruneResult>;
    /**
     * Makes the index that {@link Sandbox.listBackups} reads anew from the bucket, with the backups
     * of writers that do not say which sandbox was theirs, such as `@cloudflare/sandbox` 0.12.
     * @throws `INVALID_BACKUP_CONFIG`, `INTERNAL_ERROR` when the bucket fails
     */
    reindexBackups(): Promise<{
        indexed: number;
        unreadable: Listed<string>;
    }>;
    /**
     * Ends the backup or restore under way and waits until nothing of it is left; its caller
     * gets an error whose `context.cancelled` is true. One that is about to commit still does.
     * {@link Sandbox.status} shows what is under way.
     */
    cancelOperation(): Promise<{
        cancelled: Operation | null;
    }>;
    /** The backups, restores and verifications that have ended, the last one first; 1000 are kept. Starts nothing. */
    operationLog(query?: OperationLogQuery): Promise<OperationLogPage>;
    /**
     * Runs a command with `/bin/sh -c` and waits for its end.
     * @throws `INVALID_REQUEST`, `EXEC_FAILED`, `CONTAINER_UNAVAILABLE`
     */
    exec(command: string, options?: Omit<ExecRequest, "command">): Promise<ExecResult>;
    /**
     * Runs a command and streams its output as server-sent events, each of them
     * an {@link ExecEvent} in JSON; {@link parseSSEStream} reads them.
     * Cancelling the stream kills the command's process group.
     */
    execStream(command: string, options?: Omit<ExecRequest, "command">): Promise<ReadableStream<Uint8Array>>;
    /**
     * Writes a file, replacing what was there and making its parent directories.
     * A string is written as UTF-8, or decoded first when `encoding` is `base64`.
     */
    writeFile(path: string, content: string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>, options?: Omit<FileContent, "path">): Promise<FileOperationResult>;
    /** Reads a file. Content that is not UTF-8 arrives as base64, whatever was asked for. */
    readFile(path: string, options?: Omit<FileContent, "path">): Promise<ReadFileResult>;
    /** What is in a directory. */
    listFiles(path: string, options?: Omit<ListFiles, "path">): Promise<ListFilesResult>;
    /** Deletes a file or a symbolic link. */
    deleteFile(path: string): Promise<FileOperationResult>;
    /** Makes a directory. */
    mkdir(path: string, options?: Omit<MakeDirectory, "path">): Promise<FileOperationResult>;
    /** Whether something is at a path. */
    exists(path: string): Promise<ExistsResult>;
    /** How the container is, and what is restored in it. Starts nothing. */
    status(): Promise<SandboxStatus>;
    /** Destroys the container. The next call starts a new one, without its files and mounts. */
    stop(): Promise<void>;
}
/** A backup, restore or verification under way. */
export interface Operation {
    /** Which method. */
    type: "createBackup" | "restoreBackup" | "verifyBackup";
    /** Which backup. */
    id: string;
    /** The directory. */
    dir: string;
    /** ISO 8601. */
    startedAt: string;
    /** What it does now. */
    phase: "starting" | "scanning" | "uploading" | "committing" | "mounting" | "verifying";
    /** Bytes of files (backup) or of the archive (otherwise) that are done. */
    bytesDone: number;
    /** Bytes there are, when that is known. */
    bytesTotal?: number;
    /** Bytes of `bytesDone` in a second, lately. */
    bytesPerSecond?: number;
    /** Seconds until all bytes are done, at that rate. */
    secondsLeft?: number;
    /** Of a restore, once it is known. */
    strategy?: Strategy;
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
/** How a call is called. */
export interface CallOptions {
    /**
     * By this the caller can ask for {@link Sandbox.operationOutcome}, even if it is itself
     * interrupted: up to 64 letters, digits, `-` and `_`, another for each call. A random UUID when
     * absent.
     */
    operationId?: string;
}
/** What {@link Sandbox.operationOutcome} gives. */
export interface OperationOutcome {
    /** As it was given. */
    operationId: string;
    /**
     * `committed` when it has taken effect; `notCommitted` when it has not, and nothing is left of
     * it; `uncertain` when that cannot be told, and it is safe to repeat; `unknown` when it never
     * began, or ended long ago.
     */
    state: "running" | "committed" | "notCommitted" | "uncertain" | "unknown";
    /** Whether it has taken effect; `null` if that cannot be told, or not yet. */
    committed: boolean | null;
    /** Which method. */
    type?: "createBackup" | "restoreBackup";
    /** The backup that it made or restored. */
    backup?: DirectoryBackup;
    /** ISO 8601. */
    startedAt?: string;
}
/** What {@link Sandbox.operationLog} takes. */
export interface OperationLogQuery {
    /** Entries of a page: 1 to 1000, 100 when absent. */
    limit?: number;
    /** Of the page before. */
    cursor?: string;
}
/** A backup, restore or verification that has ended. */
export interface LogEntry {
    /** Counts the operations of a sandbox, from 1. */
    number: number;
    /** What it was. */
    type: "createBackup" | "restoreBackup" | "verifyBackup";
    /** Which backup. */
    id: string;
    /** The directory. */
    dir: string;
    /** ISO 8601. */
    startedAt: string;
    /** How it ended. */
    outcome: "ok" | ErrorCode;
    /** The message of the error. */
    error?: string;
    /** Of a restore: how the directory is served. */
    strategy?: Strategy;
    /** Bytes of files (backup) or of the archive (otherwise) that were done. */
    bytes: number;
    /** Of a backup: bytes of archive that R2 has taken. */
    bytesUploaded?: number;
    /** Milliseconds from start to end. */
    durationMs: number;
    /** Milliseconds of each phase. */
    phasesMs: Partial<Record<Operation["phase"], number>>;
}
/** What {@link Sandbox.operationLog} gives. */
export interface OperationLogPage {
    /** The last one first. */
    operations: LogEntry[];
    /** For the next page; absent from the last. */
    cursor?: string;
}
/** What {@link Sandbox.status} gives. */
export interface SandboxStatus {
    /** The container. */
    container: {
        /** A stopped one starts with the first call that needs it. */
        state: "running" | "stopped";
        /** How backups can be served in it, best first; empty while it is stopped. */
        strategies: Strategy[];
    };
    /** Restored directories. */
    mounts: MountStatus[];
    /** What is put back when the container starts again. */
    autoRestore: AutoRestoreStatus[];
    /** The operation that runs. */
    operation: Operation | null;
}
/** The methods of a sandbox. */
export declare const METHODS: readonly ["createBackup", "previewBackup", "restoreBackup", "unmountBackup", "listBackups", "getBackup", "verifyBackup", "deleteBackup", "pruneBackups", "reindexBackups", "cancelOperation", "operationOutcome", "operationLog", "exec", "execStream", "writeFile", "readFile", "listFiles", "deleteFile", "mkdir", "exists", "status", "stop"];
/** Those that are journaled by an operation's id. */
export declare const JOURNALED_METHODS: readonly ["createBackup", "restoreBackup"];
