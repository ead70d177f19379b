//! What several of them have in common.

use sandbox_shared::{
    ArchiveChecksum, BackupId, BackupMetadata, BackupOptions, Compression, CompressionFormat,
    DirectoryBackup, EntryCounts, ErrorCode, OnUnreadable, RestoreBackupResult, SandboxError,
    Strategy, Ttl,
    catalogue::BackupRecord,
    progress::{Operation, OperationKind, Phase},
    protocol::CreateProgress,
    report::{
        BackupReport, ChangeKind, ChangedEntry, CreatedBackup, DroppedXattr, LeftOutEntry, Listed,
        UnreadableEntry,
    },
};
use time::{OffsetDateTime, macros::datetime};

pub(crate) fn id() -> BackupId {
    BackupId::from_random([7; 16])
}

pub(crate) fn moment() -> OffsetDateTime {
    datetime!(2026-03-01 12:00 UTC)
}

pub(crate) fn one<T>(item: T) -> Listed<T> {
    Listed {
        count: 1,
        first: vec![item],
    }
}

pub(crate) fn handle() -> DirectoryBackup {
    DirectoryBackup {
        id: id(),
        dir: "/workspace".into(),
    }
}

pub(crate) fn error() -> SandboxError {
    SandboxError::new(ErrorCode::BackupExpired, "too late").with("expiredAt", "2026-03-01")
}

pub(crate) fn compression() -> Compression {
    Compression {
        format: CompressionFormat::Zstd,
        level: Some(3),
        threads: Some(1),
        block_size: Some(131_072),
    }
}

pub(crate) fn options() -> BackupOptions {
    BackupOptions {
        dir: "/workspace".into(),
        name: Some("name".parse().unwrap()),
        ttl: Some(Ttl::DEFAULT),
        gitignore: true,
        excludes: vec!["*.log".into()],
        exclude_caches: true,
        exclude_larger_than: Some(1),
        cross_file_systems: true,
        on_unreadable: OnUnreadable::Skip,
        compression: compression(),
    }
}

pub(crate) fn counts() -> EntryCounts {
    EntryCounts {
        files: 1,
        directories: 1,
        symlinks: 1,
        special: 1,
        bytes: 1,
        excluded: 1,
        unreadable: 1,
        changed: 1,
    }
}

pub(crate) fn report() -> BackupReport {
    BackupReport {
        unreadable: one(UnreadableEntry {
            path: "file".into(),
            error: "refused".into(),
        }),
        changed: one(ChangedEntry {
            path: "file".into(),
            change: ChangeKind::Vanished,
        }),
        other_file_systems: one("mnt".to_owned()),
        unread_indexes: one("clone".to_owned()),
        dropped_xattrs: one(DroppedXattr {
            path: "file".into(),
            name: "system.name".into(),
        }),
    }
}

pub(crate) fn created() -> CreatedBackup {
    CreatedBackup {
        backup: handle(),
        size_bytes: 1,
        counts: counts(),
        report: report(),
    }
}

pub(crate) fn metadata() -> BackupMetadata {
    BackupMetadata {
        id: id(),
        dir: "/workspace".into(),
        name: Some("name".into()),
        size_bytes: 1,
        ttl: Ttl::DEFAULT,
        created_at: moment(),
        checksum: Some(ArchiveChecksum {
            sha256: "00ff".into(),
            part_size_bytes: 1.try_into().unwrap(),
        }),
        compression: Some(compression()),
        counts: Some(counts()),
        sandbox: Some("00ff".into()),
        sandbox_name: Some("mine".into()),
        format_version: Some(1),
    }
}

pub(crate) fn record() -> BackupRecord {
    BackupRecord::new(metadata(), moment())
}

pub(crate) fn left_out() -> Listed<LeftOutEntry> {
    one(LeftOutEntry {
        path: "file".into(),
        what: "owner".into(),
    })
}

pub(crate) fn restored() -> RestoreBackupResult {
    RestoreBackupResult {
        success: true,
        dir: "/workspace".into(),
        id: id(),
        strategy: Strategy::Extract,
        left_out: left_out(),
    }
}

pub(crate) fn operation() -> Operation {
    Operation {
        kind: OperationKind::CreateBackup,
        id: id(),
        dir: "/workspace".into(),
        started_at: "2026-03-01T12:00:00Z".into(),
        phase: Phase::Uploading,
        strategy: Some(Strategy::Extract),
        bytes_done: 1,
        bytes_total: Some(1),
        bytes_per_second: Some(1),
        seconds_left: Some(1),
        files: Some(1),
        backup: Some(CreateProgress {
            entries_scanned: 1,
            bytes_scanned: 1,
            files_read: 1,
            bytes_read: 1,
            bytes_compressed: 1,
            bytes_uploaded: 1,
        }),
    }
}
