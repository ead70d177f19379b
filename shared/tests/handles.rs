//! A handle may hold whatever its owner keeps in it, but no option that is misspelt.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sandbox_shared::{
    DirectoryBackup, ErrorCode, RestoreRequest, catalogue::BackupRecord, log::LogEntry,
    metadata::BackupMetadata, methods, progress::Operation, protocol::MountStatus,
    report::CreatedBackup, request::Input, status::AutoRestoreStatus,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";

fn input(value: &Value) -> Input {
    Input::from_json(&value.to_string(), ErrorCode::InternalError).unwrap()
}

/// What users may have kept of a backup, with all of its fields.
fn handles() -> Vec<Value> {
    let counts = json!({
        "files": 1, "directories": 1, "symlinks": 0, "special": 0, "bytes": 5, "excluded": 1,
        "unreadable": 0, "changed": 0,
    });
    let none = json!({ "count": 0, "first": [] });
    let left_out = json!({ "count": 1, "first": [{ "path": "dev", "what": "device" }] });
    let report = json!({
        "unreadable": none, "changed": none, "otherFileSystems": none, "unreadIndexes": none,
        "droppedXattrs": none,
    });
    let moment = "2026-02-23T10:11:12.345Z";
    let compression = json!({ "format": "zstd", "level": 3, "threads": 1, "blockSize": 4096 });
    fn of<T: DeserializeOwned + Serialize>(handle: Value) -> Value {
        // It is what the type is written as, to the last field.
        let written = serde_json::to_value(T::deserialize(&handle).unwrap()).unwrap();
        assert_eq!(written, handle);
        handle
    }
    vec![
        of::<DirectoryBackup>(json!({ "id": ID, "dir": "/app" })),
        json!({ "id": ID, "dir": "/app", "localBucket": true }),
        of::<CreatedBackup>(json!({
            "id": ID, "dir": "/app", "sizeBytes": 4096, "counts": counts, "report": report,
        })),
        of::<BackupRecord>(json!({
            "id": ID, "dir": "/app", "name": "nightly", "sizeBytes": 4096, "ttl": 60,
            "createdAt": moment, "expiresAt": moment, "state": "active", "sandbox": "5d3f",
            "compression": compression, "counts": counts,
        })),
        of::<BackupMetadata>(json!({
            "id": ID, "dir": "/app", "name": "nightly", "sizeBytes": 4096, "ttl": 60,
            "createdAt": moment, "sha256": "ab", "partSizeBytes": 8_388_608,
            "compression": compression, "counts": counts, "sandbox": "5d3f",
            "sandboxName": "mine", "formatVersion": 1,
        })),
        json!({
            "success": true, "dir": "/app", "id": ID, "strategy": "extract", "leftOut": left_out,
        }),
        of::<MountStatus>(json!({
            "id": ID, "dir": "/app", "strategy": "kernel", "state": "active", "sizeBytes": 4096,
            "cachedBytes": 1, "verified": false, "urlExpiresAt": moment, "problem": "no route",
            "leftOut": left_out,
        })),
        of::<AutoRestoreStatus>(json!({
            "id": ID, "dir": "/app", "strategy": "fuse",
            "error": { "code": "BACKUP_EXPIRED", "message": "it has", "context": { "id": ID } },
        })),
        of::<LogEntry>(json!({
            "number": 3, "type": "restoreBackup", "id": ID, "dir": "/app", "startedAt": moment,
            "outcome": "BACKUP_EXPIRED", "error": "it has", "strategy": "fuse", "bytes": 0,
            "bytesUploaded": 1, "durationMs": 180, "phasesMs": { "starting": 180 },
        })),
        of::<Operation>(json!({
            "type": "createBackup", "id": ID, "dir": "/app", "startedAt": moment,
            "phase": "scanning", "bytesDone": 1, "bytesTotal": 2, "bytesPerSecond": 3,
            "secondsLeft": 4, "strategy": "fuse", "entriesScanned": 5, "bytesScanned": 6,
            "filesRead": 7, "bytesRead": 8, "bytesCompressed": 9, "bytesUploaded": 10,
        })),
        // What an owner may add.
        json!({
            "id": ID, "dir": "/app", "_id": 1, "userId": "u", "label": "l", "kind": "k", "tags": [],
            "createdBy": "me", "restoredAt": moment, "lastRestore": moment, "restore": true,
            "state": 1, "source": "s", "note": null, "expired": false, "dryRun": false,
            "operationId": "x", "path": "/app", "strategies": ["fuse"],
        }),
    ]
}

#[test]
fn a_handle_is_accepted_with_all_that_is_in_it() {
    for handle in handles() {
        let request = methods::RESTORE_BACKUP.read(input(&handle)).unwrap();
        assert_eq!(request.dir, "/app", "{handle}");
        assert!(!request.force && !request.auto_restore, "{handle}");
    }
}

#[test]
fn an_option_in_a_handle_may_not_be_misspelt() {
    for handle in handles() {
        for (misspelt, option) in [
            ("autorestore", "autoRestore"),
            ("auto_restore", "autoRestore"),
            ("autoRestored", "autoRestore"),
            ("stragegy", "strategy"),
            ("Strategy", "strategy"),
            ("forced", "force"),
            ("FORCE", "force"),
            ("dri", "dir"),
        ] {
            let mut handle = handle.clone();
            handle[misspelt] = json!(true);
            let error = methods::RESTORE_BACKUP.read(input(&handle)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidBackupConfig);
            assert_eq!(error.context["field"], misspelt);
            assert_eq!(error.context["nearest"], option);
        }
    }
}

#[test]
fn a_second_argument_overrides_the_handle() {
    let handle = json!({ "id": ID, "dir": "/app", "strategy": "fuse", "force": true });
    let restore = |options: Value| {
        let options = methods::RESTORE_BACKUP
            .read_options(input(&options))
            .unwrap();
        methods::RESTORE_BACKUP
            .read(input(&handle))
            .unwrap()
            .with(&options)
    };
    let plain: RestoreRequest = restore(json!({}));
    assert!(plain.force && !plain.auto_restore);
    let other = restore(json!({ "force": false, "autoRestore": true, "strategy": "extract" }));
    assert!(!other.force && other.auto_restore);
    assert_eq!(other.strategy, Some(sandbox_shared::Strategy::Extract));
}

proptest! {
    /// Whatever a field of a handle is called, it is accepted, unless the refusal
    /// names an option.
    #[test]
    fn an_owner_names_what_is_kept_in_a_handle(
        name in prop_oneof![any::<String>(), "[a-zA-Z_]{1,12}", "(auto|force|strat|dir)[a-zA-Z_]{0,8}"],
    ) {
        let known = ["id", "dir", "strategy", "force", "autoRestore"];
        prop_assume!(!known.contains(&name.as_str()));
        let handle = json!({ "id": ID, "dir": "/app", name.as_str(): ["any", { "thing": 1 }] });
        if let Err(error) = methods::RESTORE_BACKUP.read(input(&handle)) {
            prop_assert_eq!(&error.context["field"], &name);
            let nearest = error.context["nearest"].as_str().unwrap();
            prop_assert!(known[1..].contains(&nearest));
            let longer = name.len().abs_diff(nearest.len());
            let separators = name.matches(['_', '-']).count();
            prop_assert!(longer <= 2 + separators, "{name} is not {nearest}");
        }
    }
}
