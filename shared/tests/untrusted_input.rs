//! What comes from outside is read or refused: no document makes a reader
//! panic, an error says what is wrong, and what is accepted keeps the rules and
//! can be written and read again.
//!
//! The documents are valid ones with one or more values replaced, removed or
//! added, which get further than random bytes do.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use proptest::prelude::*;
use sandbox_shared::{
    DirectoryBackup, ErrorCode, Result,
    catalogue::BackupRecord,
    error::from_json,
    metadata::BackupMetadata,
    methods::{self, Method},
    name::MAX_NAME_CHARS,
    path::{AllowedRoots, MAX_PATH_BYTES},
    request::Input,
    selection::MAX_EXCLUDES,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value, json};
use time::{OffsetDateTime, macros::datetime};

const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";

proptest! {
    #[test]
    fn backup_options(document in altered(options())) {
        let Some(options) = asked(&methods::CREATE_BACKUP, &document)? else { return Ok(()) };
        let Ok(valid) = options.check(&AllowedRoots::default()) else { return Ok(()) };
        check_dir(valid.dir.as_str())?;
        if let Some(name) = &valid.name {
            prop_assert!(name.as_str().chars().count() <= MAX_NAME_CHARS);
        }
        prop_assert!(valid.selection.excludes.len() <= MAX_EXCLUDES);
        prop_assert!(valid.ttl.seconds() > 0.0 && valid.ttl.seconds().is_finite());
    }

    #[test]
    fn handles_and_restores(document in altered(restore())) {
        if let Some(handle) = read::<DirectoryBackup>(&document)? {
            // It becomes part of keys in the bucket.
            let id = handle.id.as_str();
            prop_assert_eq!(id.len(), ID.len());
            prop_assert!(id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
        }
        let Some(request) = asked(&methods::RESTORE_BACKUP, &document)? else { return Ok(()) };
        let Ok(valid) = request.check(&AllowedRoots::default()) else { return Ok(()) };
        check_dir(valid.dir.as_str())?;
    }

    #[test]
    fn metadata_in_the_bucket(document in altered(metadata()), now in moment()) {
        if let Some(metadata) = read::<BackupMetadata>(&document)? {
            check_metadata(metadata, now)?;
        }
    }

    /// Dates as RFC 3339 writes them, the first and the last ones among them.
    #[test]
    fn metadata_from_the_ends_of_time(
        created in r"(0000-01-01T0|9999-12-31T2|20[0-9]{2}-02-2)[0-9T:-]{0,3}[0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][012][0-9]:[0-5][0-9])",
        ttl in prop_oneof![Just(31_557_600_000.0), 0.001..1e10],
        now in moment(),
    ) {
        let mut document = metadata();
        document["createdAt"] = created.into();
        document["ttl"] = ttl.into();
        if let Some(metadata) = read::<BackupMetadata>(&document)? {
            check_metadata(metadata, now)?;
        }
    }

    #[test]
    fn lists(document in altered(list())) {
        if let Some(list) = asked(&methods::LIST_BACKUPS, &document)?
            && let Ok(size) = list.page_size()
        {
            prop_assert!((1..=1000).contains(&size));
        }
    }

    #[test]
    fn rules_of_what_to_keep(
        document in altered(prune()),
        times in proptest::collection::vec(moment(), 0..20),
    ) {
        let Some(prune) = asked(&methods::PRUNE_BACKUPS, &document)? else { return Ok(()) };
        if prune.validate().is_err() {
            return Ok(());
        }
        let keep = prune.keep();
        let mut times = times;
        times.sort_unstable_by(|a, b| b.cmp(a));
        let mut judge = keep.judge();
        let kept: Vec<bool> = times.iter().map(|time| judge.next(*time, false).keeps).collect();
        // Whatever the rules are, one that is there keeps the newest.
        if let Some(newest) = kept.first() {
            prop_assert_eq!(*newest, !keep.is_empty());
        }
    }

    #[test]
    fn commands(document in altered(command())) {
        read_request(&methods::EXEC, &document.to_string())?;
    }

    #[test]
    fn files(content in altered(content()), list in altered(list_files())) {
        read_request(&methods::READ_FILE, &content.to_string())?;
        read_request(&methods::LIST_FILES, &list.to_string())?;
    }

    #[test]
    fn text_that_is_no_document(text in prop_oneof![any::<String>(), r#"[\[\]{}":,0-9eE.+ \\a-z-]{0,60}"#]) {
        read_request(&methods::CREATE_BACKUP, &text)?;
        read_request(&methods::RESTORE_BACKUP, &text)?;
        read_text::<BackupMetadata>(&text)?;
        read_request(&methods::PRUNE_BACKUPS, &text)?;
        read_request(&methods::EXEC, &text)?;
    }
}

#[test]
fn documents_without_alterations_are_accepted() {
    let roots = AllowedRoots::default();
    accepted(&methods::CREATE_BACKUP, options())
        .check(&roots)
        .unwrap();
    accepted(&methods::RESTORE_BACKUP, restore())
        .check(&roots)
        .unwrap();
    read::<BackupMetadata>(&metadata()).unwrap().unwrap();
    accepted(&methods::LIST_BACKUPS, list());
    accepted(&methods::PRUNE_BACKUPS, prune())
        .validate()
        .unwrap();
    accepted(&methods::EXEC, command());
    accepted(&methods::READ_FILE, content());
    accepted(&methods::LIST_FILES, list_files());
}

fn accepted<T: DeserializeOwned, R, O: DeserializeOwned>(
    method: &Method<T, R, O>,
    document: Value,
) -> T {
    from_text(method, &document.to_string()).unwrap()
}

fn from_text<T: DeserializeOwned, R, O: DeserializeOwned>(
    method: &Method<T, R, O>,
    text: &str,
) -> Result<T> {
    method.read(Input::from_json(text, method.refusal)?)
}

/// What a request is read as, if it is accepted.
fn read_request<T: DeserializeOwned, R, O: DeserializeOwned>(
    method: &Method<T, R, O>,
    text: &str,
) -> Result<Option<T>, TestCaseError> {
    match from_text(method, text) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            prop_assert_eq!(error.code, method.refusal);
            prop_assert!(!error.message.is_empty());
            Ok(None)
        }
    }
}

/// The same of one that can be sent again.
fn asked<T: DeserializeOwned + Serialize + PartialEq + Debug, R, O: DeserializeOwned>(
    method: &Method<T, R, O>,
    document: &Value,
) -> Result<Option<T>, TestCaseError> {
    let value = read_request(method, &document.to_string())?;
    if let Some(value) = &value {
        let again = read_request(method, &serde_json::to_string(value).unwrap())?;
        prop_assert_eq!(again.as_ref(), Some(value));
    }
    Ok(value)
}

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    document: &Value,
) -> Result<Option<T>, TestCaseError> {
    read_text(&document.to_string())
}

/// What `text` is read as, if it is accepted.
fn read_text<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    text: &str,
) -> Result<Option<T>, TestCaseError> {
    match from_json::<T>(text, ErrorCode::InvalidBackupConfig) {
        Ok(value) => {
            let written = serde_json::to_string(&value)
                .map_err(|error| TestCaseError::fail(format!("{value:?}: {error}")))?;
            let again: T = from_json(&written, ErrorCode::InvalidBackupConfig)
                .map_err(|error| TestCaseError::fail(format!("{written}: {error}")))?;
            prop_assert_eq!(&again, &value);
            Ok(Some(value))
        }
        Err(error) => {
            prop_assert_eq!(error.code, ErrorCode::InvalidBackupConfig);
            prop_assert!(!error.message.is_empty());
            Ok(None)
        }
    }
}

fn check_dir(dir: &str) -> Result<(), TestCaseError> {
    prop_assert!(AllowedRoots::default().contains(dir));
    prop_assert!(dir.len() <= MAX_PATH_BYTES);
    prop_assert!(
        dir[1..]
            .split('/')
            .all(|name| !matches!(name, "" | "." | ".."))
    );
    Ok(())
}

/// That a list shows it, and that it expires, and stays expired.
fn check_metadata(metadata: BackupMetadata, now: OffsetDateTime) -> Result<(), TestCaseError> {
    prop_assert!(metadata.expires_at() >= metadata.created_at);
    if metadata.is_expired(now) {
        prop_assert!(metadata.is_expired(now + time::Duration::DAY));
    }
    let record = BackupRecord::new(metadata, now);
    serde_json::to_string(&record).map_err(|error| TestCaseError::fail(error.to_string()))?;
    Ok(())
}

fn options() -> Value {
    json!({
        "dir": "/workspace/project", "name": "before upgrade", "ttl": 3600, "gitignore": true,
        "excludes": ["*.log", "!keep.log"], "excludeCaches": true, "excludeLargerThan": 1_000_000,
        "crossFileSystems": false, "onUnreadable": "skip",
        "compression": {"format": "zstd", "level": 3, "threads": 2, "blockSize": 131_072},
    })
}

fn restore() -> Value {
    json!({
        "id": ID, "dir": "/workspace", "strategy": "overlay", "force": true, "autoRestore": false,
    })
}

fn metadata() -> Value {
    json!({
        "id": ID, "dir": "/workspace", "name": "nightly", "sizeBytes": 4096, "ttl": 259_200,
        "createdAt": "2026-02-23T10:11:12.345Z", "sha256": "ab", "partSizeBytes": 8_388_608,
        "compression": {"format": "lz4"}, "counts": {"files": 1, "bytes": 2},
        "sandbox": "00ff", "sandboxName": "mine", "formatVersion": 1,
    })
}

fn list() -> Value {
    json!({
        "dir": "/workspace", "name": "nightly", "state": "active", "sort": "sizeBytes",
        "order": "asc", "limit": 10, "cursor": "a",
    })
}

fn prune() -> Value {
    json!({
        "dir": "/workspace", "keepLast": 3, "keepHourly": 1, "keepDaily": 7, "keepWeekly": 4,
        "keepMonthly": 12, "keepYearly": 2, "keepWithin": 3600.5, "expired": false, "dryRun": true,
    })
}

fn command() -> Value {
    json!({
        "command": "ls", "cwd": "/workspace", "env": {"A": "b"}, "timeout": 1000, "stdin": "in",
    })
}

fn content() -> Value {
    json!({ "path": "/tmp/x", "encoding": "base64" })
}

fn list_files() -> Value {
    json!({ "path": "/tmp", "recursive": true, "includeHidden": false })
}

fn moment() -> impl Strategy<Value = OffsetDateTime> {
    let range = datetime!(1970-01-01 0:00 UTC).unix_timestamp()
        ..datetime!(9999-12-30 0:00 UTC).unix_timestamp();
    range.prop_map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap())
}

/// One change of a document.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Add(String, Value),
}

/// `document` with up to three changes.
fn altered(document: Value) -> impl Strategy<Value = Value> {
    let change = prop_oneof![
        4 => value().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => (any::<String>(), value()).prop_map(|(key, value)| Change::Add(key, value)),
    ];
    proptest::collection::vec((any::<prop::sample::Index>(), change), 0..4).prop_map(
        move |changes| {
            let mut altered = document.clone();
            for (index, change) in changes {
                alter(&mut altered, index, change);
            }
            altered
        },
    )
}

fn alter(document: &mut Value, index: prop::sample::Index, change: Change) {
    let Some(fields) = document.as_object_mut().filter(|fields| !fields.is_empty()) else {
        return;
    };
    let keys: Vec<String> = fields.keys().cloned().collect();
    let key = index.get(&keys);
    match change {
        // Also inside of what the field holds.
        Change::Replace(value) => match fields.get_mut(key) {
            Some(inner @ Value::Object(_)) if !value.is_object() => {
                alter(inner, index, Change::Replace(value));
            }
            _ => {
                fields.insert(key.clone(), value);
            }
        },
        Change::Remove => {
            fields.remove(key);
        }
        Change::Add(key, value) => {
            fields.insert(key, value);
        }
    }
}

/// Any JSON value, the awkward ones more often.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::Number),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (-3i64..1025).prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
        prop::sample::select(vec![0.0, -0.0, 1e-300, 1e300, 9_007_199_254_740_992.0])
            .prop_filter_map("finite", Number::from_f64),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r"(/(workspace|tmp|home|\.|\.\.|a|))*",
        prop::sample::select(vec![
            "",
            "/",
            "//",
            "/workspace/../etc",
            "/workspace\0",
            "/workspacex",
            "..",
            "\u{202e}",
            ID,
            "0B5D6A2E-6F3C-4B52-9D1E-8A4F7C3B2A10",
            "9999-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00+23:59",
            "active",
            "zstd",
            "gzip",
            "lz4",
            "fuse",
            "skip",
        ])
        .prop_map(str::to_owned),
        (MAX_NAME_CHARS - 2..MAX_NAME_CHARS + 3).prop_map(|length| "é".repeat(length)),
        (MAX_PATH_BYTES - 12..MAX_PATH_BYTES + 2).prop_map(|length| {
            format!("/workspace/{}", "x".repeat(length - "/workspace/".len()))
        }),
    ]
}
