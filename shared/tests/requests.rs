//! Requests say what they mean: what a method knows is accepted, what it does not
//! know is refused with the name that may have been meant.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence};
use sandbox_shared::{
    BackupOptions, DirectoryBackup, ErrorCode, Result, SandboxError,
    catalogue::{ListBackups, PruneBackups},
    files::{Encoding, FileContent},
    log::OperationLogQuery,
    methods::{self, Method},
    request::Input,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

const ID: &str = "0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10";

/// A method with a request that has all of its fields.
struct Whole {
    name: String,
    code: ErrorCode,
    read: Box<dyn Fn(Input) -> Result<()>>,
    request: Map<String, Value>,
    required: &'static [&'static str],
}

impl Whole {
    fn read(&self, request: &Map<String, Value>) -> Result<()> {
        (self.read)(input(&Value::Object(request.clone())))
    }
}

fn input(value: &Value) -> Input {
    Input::from_json(&value.to_string(), ErrorCode::InternalError).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is not an object"),
    }
}

fn whole<T: DeserializeOwned + 'static, R: 'static, O: DeserializeOwned + 'static>(
    method: &'static Method<T, R, O>,
    required: &'static [&'static str],
    request: Value,
) -> Whole {
    Whole {
        name: method.name.to_owned(),
        code: method.refusal,
        read: Box::new(move |input| method.read(input).map(drop)),
        request: object(request),
        required,
    }
}

fn whole_options<T: DeserializeOwned + 'static, R: 'static, O: DeserializeOwned + 'static>(
    method: &'static Method<T, R, O>,
    options: Value,
) -> Whole {
    Whole {
        name: format!("the second argument of {}", method.name),
        code: method.refusal,
        read: Box::new(move |input| method.read_options(input).map(drop)),
        request: object(options),
        required: &[],
    }
}

fn all() -> Vec<Whole> {
    let backup = json!({
        "dir": "/workspace/project", "name": "before upgrade", "ttl": 3600.5, "gitignore": true,
        "excludes": ["*.log"], "excludeCaches": true, "excludeLargerThan": 1_000_000,
        "crossFileSystems": false, "onUnreadable": "skip",
        "compression": {"format": "zstd", "level": 3, "threads": 2, "blockSize": 131_072},
    });
    let exec = json!({
        "command": "ls", "cwd": "/tmp", "env": {"A": "b"}, "timeout": 1000, "stdin": "in",
    });
    let path = json!({ "path": "/tmp/x" });
    let content = json!({ "path": "/tmp/x", "encoding": "base64" });
    vec![
        whole(&methods::CREATE_BACKUP, &["dir"], backup.clone()),
        whole(&methods::PREVIEW_BACKUP, &["dir"], backup),
        whole_options(&methods::CREATE_BACKUP, json!({ "operationId": "nightly" })),
        whole(
            &methods::RESTORE_BACKUP,
            &["id", "dir"],
            json!({
                "id": ID, "dir": "/app", "strategy": "fuse", "force": true, "autoRestore": true,
            }),
        ),
        whole_options(
            &methods::RESTORE_BACKUP,
            json!({
                "strategy": "fuse", "force": true, "autoRestore": true, "operationId": "nightly",
            }),
        ),
        whole(
            &methods::UNMOUNT_BACKUP,
            &["dir"],
            json!({ "dir": "/app", "force": true }),
        ),
        whole(
            &methods::LIST_BACKUPS,
            &[],
            json!({
                "dir": "/app", "name": "nightly", "state": "active", "sort": "sizeBytes",
                "order": "asc", "limit": 10, "cursor": "a",
            }),
        ),
        whole(&methods::GET_BACKUP, &["id"], json!({ "id": ID })),
        whole(&methods::VERIFY_BACKUP, &["id"], json!({ "id": ID })),
        whole(&methods::DELETE_BACKUP, &["id"], json!({ "id": ID })),
        whole(
            &methods::PRUNE_BACKUPS,
            &[],
            json!({
                "dir": "/app", "keepLast": 3, "keepHourly": 1, "keepDaily": 7, "keepWeekly": 4,
                "keepMonthly": 12, "keepYearly": 2, "keepWithin": 3600.5, "expired": false, "dryRun": true,
            }),
        ),
        whole(&methods::REINDEX_BACKUPS, &[], json!({})),
        whole(&methods::CANCEL_OPERATION, &[], json!({})),
        whole(
            &methods::OPERATION_OUTCOME,
            &["operationId"],
            json!({ "operationId": "nightly" }),
        ),
        whole(
            &methods::OPERATION_LOG,
            &[],
            json!({ "limit": 10, "cursor": "17" }),
        ),
        whole(&methods::EXEC, &["command"], exec.clone()),
        whole(&methods::EXEC_STREAM, &["command"], exec),
        whole(&methods::WRITE_FILE, &["path"], content.clone()),
        whole(&methods::READ_FILE, &["path"], content),
        whole(&methods::WRITE_RAW_FILE, &["path"], path.clone()),
        whole(&methods::READ_RAW_FILE, &["path"], path.clone()),
        whole(
            &methods::LIST_FILES,
            &["path"],
            json!({ "path": "/tmp", "recursive": true, "includeHidden": false }),
        ),
        whole(&methods::DELETE_FILE, &["path"], path.clone()),
        whole(
            &methods::MKDIR,
            &["path"],
            json!({ "path": "/tmp/x", "recursive": true }),
        ),
        whole(&methods::EXISTS, &["path"], path),
        whole(&methods::STATUS, &[], json!({})),
        whole(&methods::STOP, &[], json!({})),
        whole(&methods::LIST_SANDBOXES, &[], json!({})),
    ]
}

/// What a hurried hand or another language makes of a name.
fn misspelt(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let split = |separator: char| {
        let words = letters.iter().flat_map(|letter| {
            let starts = letter.is_uppercase().then_some(separator);
            starts.into_iter().chain([letter.to_ascii_lowercase()])
        });
        words.collect::<String>()
    };
    let middle = letters.len() / 2;
    let mut swapped = letters.clone();
    swapped.swap(middle - 1, middle);
    let mut doubled = letters.clone();
    doubled.insert(middle, letters[middle]);
    let mut dropped = letters.clone();
    dropped.remove(middle);
    let mut replaced = letters.clone();
    replaced[middle] = 'q';
    let mut all = vec![
        split('_'),
        split('-'),
        name.to_uppercase(),
        name.to_lowercase(),
    ];
    all.extend([swapped, doubled, dropped, replaced].map(String::from_iter));
    all.push(format!("_{name}"));
    all.retain(|misspelt| misspelt != name);
    all
}

fn check_refusal(error: &SandboxError, of: &Whole, field: &str, nearest: &str) {
    assert_eq!(error.code, of.code, "{error}");
    let message = format!(
        "`{field}` is not a field of {}; did you mean `{nearest}`?",
        of.name
    );
    assert_eq!(error.message, message);
    assert_eq!(error.context["field"], field);
    assert_eq!(error.context["nearest"], nearest);
}

#[test]
fn what_a_method_knows_is_accepted_and_is_all_that_it_knows() {
    for method in all() {
        method.read(&method.request).unwrap();
        let mut more = method.request.clone();
        more.insert("quux".into(), json!(1));
        let read = method.read(&more);
        if method.name == methods::RESTORE_BACKUP.name {
            read.unwrap();
            continue;
        }
        let error = read.unwrap_err();
        assert_eq!(error.code, method.code);
        assert_eq!(error.context["field"], "quux");
        assert!(!error.context.contains_key("nearest"));
        let is_none = format!("`quux` is not a field of {}; there are ", method.name);
        let known = error.message.strip_prefix(&is_none).unwrap();
        // In the order of the type, which is not that of the request here.
        let known = known.split('`').skip(1).step_by(2);
        let fields = method.request.keys().map(String::as_str);
        assert_eq!(known.collect::<BTreeSet<_>>(), fields.collect(), "{error}");
    }
}

#[test]
fn whatever_field_is_misspelt_is_named_with_the_one_that_is_there() {
    let mut tried = 0;
    for method in all() {
        // Of two letters, too much of the name would be wrong.
        for field in method.request.keys().filter(|field| field.len() > 2) {
            for misspelt in misspelt(field) {
                let mut request = method.request.clone();
                let value = request.remove(field).unwrap();
                request.insert(misspelt.clone(), value);
                let error = method.read(&request).unwrap_err();
                check_refusal(&error, &method, &misspelt, field);
                tried += 1;
            }
        }
    }
    assert!(tried > 400, "{tried}");
}

#[test]
fn objects_in_objects_are_read_as_strictly() {
    let all = all();
    for (misspelt, field) in [
        ("blocksize", "blockSize"),
        ("block_size", "blockSize"),
        ("lvel", "level"),
        ("thread", "threads"),
        ("Format", "format"),
    ] {
        for method in &all[..2] {
            let mut request = method.request.clone();
            request["compression"] = json!({ misspelt: 1 });
            let error = method.read(&request).unwrap_err();
            let full = |name| format!("compression.{name}");
            check_refusal(&error, method, &full(misspelt), &full(field));
        }
    }
    // What the names of variables are is the caller's.
    let env = json!({ "command": "env", "env": { "comand": "x", "CWD": "y" } });
    methods::EXEC.read(input(&env)).unwrap();
}

#[test]
fn what_would_have_been_done_without_it_is_refused() {
    let refused = |request: Value| methods::PRUNE_BACKUPS.read(input(&request)).unwrap_err();
    assert_eq!(
        refused(json!({ "keepLast": 1, "dry_run": true })).message,
        "`dry_run` is not a field of pruneBackups; did you mean `dryRun`?"
    );
    let create = json!({ "dir": "/app", "exclude": [".env"] });
    let error = methods::CREATE_BACKUP.read(input(&create)).unwrap_err();
    assert_eq!(
        error.message,
        "`exclude` is not a field of createBackup; did you mean `excludes`?"
    );
    // By position, as Rust would take it.
    let list = json!(["/app", 1]);
    assert!(methods::PRUNE_BACKUPS.read(input(&list)).is_err());
    // Twice: which one was meant?
    let twice = r#"{"keepLast": 1, "dryRun": true, "dryRun": false}"#;
    let twice = Input::from_json(twice, ErrorCode::InternalError).unwrap();
    let error = methods::PRUNE_BACKUPS.read(twice).unwrap_err();
    assert_eq!(error.message, "duplicate field `dryRun`");
}

#[test]
fn where_a_method_takes_nothing_nothing_may_stand() {
    let empty = Input::from_query::<String, String>([]);
    methods::PRUNE_BACKUPS.takes_none("query", empty).unwrap();
    let query = Input::from_query([("dryRun", "true")]);
    let error = methods::PRUNE_BACKUPS
        .takes_none("query", query)
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidBackupConfig);
    assert_eq!(
        error.message,
        "`dryRun` is not a field of the query of pruneBackups; there are none"
    );
}

#[test]
fn queries_are_read_as_what_the_method_takes() {
    let list =
        |query: &[(&str, &str)]| methods::LIST_FILES.read(Input::from_query(query.iter().copied()));
    for (text, meant) in [
        ("true", true),
        ("1", true),
        ("", true),
        ("false", false),
        ("0", false),
    ] {
        assert_eq!(
            list(&[("path", "/x"), ("recursive", text)])
                .unwrap()
                .recursive,
            meant
        );
    }
    assert!(list(&[("path", "/x")]).unwrap().include_hidden);
    for (query, message) in [
        (
            &[("path", "/x"), ("recursive", "perhaps")][..],
            "recursive: must be true or false",
        ),
        (&[("path", "/x"), ("path", "/y")], "duplicate field `path`"),
        (&[("recursive", "true")], "missing field `path`"),
        (
            &[("pth", "/x")],
            "`pth` is not a field of listFiles; did you mean `path`?",
        ),
        (
            &[("path", "/x"), ("recursve", "true")],
            "`recursve` is not a field of listFiles; did you mean `recursive`?",
        ),
    ] {
        let error = list(query).unwrap_err();
        assert_eq!(
            (error.code, &*error.message),
            (ErrorCode::InvalidRequest, message)
        );
    }
    let page = |limit: &str| {
        methods::OPERATION_LOG.read(Input::from_query([("limit", limit), ("cursor", "5")]))
    };
    let read = page("7").unwrap();
    assert_eq!((read.limit, read.cursor.as_deref()), (Some(7), Some("5")));
    for limit in ["", "x", "-1", "1.5", "4294967296"] {
        let error = page(limit).unwrap_err();
        assert!(error.message.starts_with("limit: "), "{limit}: {error}");
    }
}

#[test]
fn what_is_not_an_object_or_no_value_at_all_is_named() {
    let create = |request| methods::CREATE_BACKUP.read(request).unwrap_err().message;
    assert_eq!(
        create(input(&json!(null))),
        "invalid type: null, expected an object"
    );
    assert_eq!(
        create(input(&json!({ "dir": "/app", "compression": "zstd" }))),
        "compression: invalid type: string \"zstd\", expected an object"
    );
    let with_ttl = |ttl: f64| {
        Input::EMPTY
            .with("dir", Input::Text("/app".into()))
            .with("ttl", ttl.into())
    };
    for ttl in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        assert!(create(with_ttl(ttl)).starts_with("ttl"), "{ttl}");
    }
    assert_eq!(
        methods::CREATE_BACKUP
            .read(with_ttl(60.0))
            .unwrap()
            .ttl
            .unwrap()
            .seconds(),
        60.0
    );
}

#[test]
fn options_of_the_older_package_that_mean_nothing_here_are_accepted() {
    let request = json!({ "dir": "/app", "localBucket": true, "multipart": {"any": ["thing"]} });
    for read in [
        methods::CREATE_BACKUP.read(input(&request)),
        methods::PREVIEW_BACKUP.read(input(&request)),
    ] {
        assert_eq!(read.unwrap(), BackupOptions::new("/app"));
    }
    // They are accepted as they are called there.
    let error = methods::CREATE_BACKUP.read(input(&json!({ "dir": "/app", "local_bucket": true })));
    assert_eq!(error.unwrap_err().context["field"], "local_bucket");
    let exec = json!({ "command": "ls", "origin": "user", "bufferSize": 1024 });
    methods::EXEC_STREAM.read(input(&exec)).unwrap();
    // These would mean something.
    for field in ["onOutput", "stream", "signal", "encoding", "sessionId"] {
        let exec = json!({ "command": "ls", field: true });
        assert!(methods::EXEC.read(input(&exec)).is_err(), "{field}");
    }
}

/// What the client for Rust sends.
#[test]
fn what_types_are_written_as_is_accepted() {
    fn sent<T: Serialize + DeserializeOwned, R, O: DeserializeOwned>(
        method: &Method<T, R, O>,
        request: &T,
    ) {
        let request = serde_json::to_value(request).unwrap();
        method
            .read(input(&request))
            .unwrap_or_else(|error| panic!("{request}: {error}"));
    }
    let handle: DirectoryBackup =
        serde_json::from_value(json!({ "id": ID, "dir": "/app" })).unwrap();
    sent(&methods::CREATE_BACKUP, &BackupOptions::new("/app"));
    sent(&methods::RESTORE_BACKUP, &handle.into());
    sent(&methods::LIST_BACKUPS, &ListBackups::default());
    sent(&methods::PRUNE_BACKUPS, &PruneBackups::default());
    sent(&methods::OPERATION_LOG, &OperationLogQuery::default());
    sent(&methods::EXEC, &"ls".into());
    sent(&methods::LIST_FILES, &"/tmp".try_into().unwrap());
    sent(&methods::MKDIR, &"/tmp".try_into().unwrap());
    let file = FileContent {
        path: "/tmp".parse().unwrap(),
        encoding: Some(Encoding::Utf8),
    };
    sent(&methods::READ_FILE, &file);
}

proptest! {
    #[test]
    fn no_choice_of_known_fields_is_refused(
        chosen in subsequence((0..10).collect::<Vec<_>>(), 0..=10),
    ) {
        for method in all() {
            let kept = |(number, (field, _)): &(usize, (&String, &Value))| {
                chosen.contains(number) || method.required.contains(&field.as_str())
            };
            let request = method.request.iter().enumerate().filter(kept);
            let request = request.map(|(_, (field, value))| (field.clone(), value.clone()));
            let read = method.read(&request.collect());
            prop_assert!(read.is_ok(), "{}: {:?}", method.name, read);
        }
    }
}
