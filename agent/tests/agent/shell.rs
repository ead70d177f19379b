//! The command line.

use std::{
    fs::Permissions,
    io::Read,
    os::unix::{
        fs::{FileExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{PROGRAM, require_mounts},
    playground::Playground,
    store::{Fault, Store},
    tree,
};

fn run(playground: &Playground, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env("SANDBOX_AGENT_STATE_DIR", playground.state_dir())
        .current_dir(playground.path(""))
        .output()
        .unwrap()
}

fn succeed(playground: &Playground, arguments: &[&str]) -> String {
    let output = run(playground, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn fail(playground: &Playground, code: i32, arguments: &[&str]) -> String {
    let output = run(playground, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn there_and_back() {
    require_mounts();
    let playground = Playground::new();
    tree::make_difficult(&playground.path("source"));
    let original = tree::read(&playground.path("source"));
    for format in ["zstd", "lz4", "gzip"] {
        let said = succeed(
            &playground,
            &[
                "create",
                "source",
                "--output",
                "x.sqsh",
                "--format",
                format,
                "--threads",
                "2",
            ],
        );
        assert!(said.contains("; 0 left out"), "{said}");
        let json = succeed(&playground, &["inspect", "x.sqsh", "--json"]);
        let facts: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(facts["compression"], format);
        let of_kind = |bits: u32| {
            let entries = original.values();
            entries.filter(|entry| entry.kind() == bits).count()
        };
        assert_eq!(facts["files"], of_kind(0o10));
        assert_eq!(facts["directories"], of_kind(0o4));
        assert_eq!(facts["symlinks"], of_kind(0o12));
        assert_eq!(facts["special"], of_kind(0o1));
        succeed(&playground, &["verify", "x.sqsh"]);

        let said = succeed(&playground, &["restore", "x.sqsh", "target"]);
        assert!(said.contains("target ("), "{said}");
        tree::assert_same(&original, &tree::read(&playground.path("target")));
        succeed(&playground, &["unmount", "target"]);
        assert!(!playground.path("target").exists());
        assert_eq!(playground.footprint(), [].into());
    }
}

#[test]
fn standard_output_takes_an_archive_if_it_is_a_file() {
    let playground = Playground::new();
    playground.small_tree("source");
    let create = |stdout: Stdio| {
        Command::new(PROGRAM)
            .args(["create", "source", "--output", "-"])
            .current_dir(playground.path(""))
            .stdout(stdout)
            .output()
            .unwrap()
    };
    let file = std::fs::File::create(playground.path("x.sqsh")).unwrap();
    let output = create(file.into());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.starts_with("2 files"),
        "{said}"
    );
    succeed(&playground, &["verify", "x.sqsh"]);

    let output = create(Stdio::piped());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("redirect it to a new file"), "{said}");
}

#[test]
fn a_dry_run_lists_every_decision_and_writes_nothing() {
    let playground = Playground::new();
    playground.small_tree("source");
    std::fs::write(playground.path("source/x.log"), "").unwrap();
    let arguments = ["create", "source", "--dry-run", "--exclude", "*.log"];
    let said = succeed(&playground, &arguments);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.contains(&"- x.log (excludes)"), "{said}");
    let included = lines.iter().filter(|line| line.starts_with("+ ")).count();
    assert_eq!(included, 3, "{said}");
    assert!(lines.last().unwrap().ends_with("; 1 left out"), "{said}");
    assert_eq!(std::fs::read_dir(playground.path("")).unwrap().count(), 1);

    let error = fail(&playground, 2, &["create", "source"]);
    assert!(error.contains("--output"), "{error}");
}

#[test]
fn what_cannot_be_read_fails_the_archive_or_is_named() {
    let playground = Playground::new();
    playground.small_tree("source");
    let secret = playground.path("source/secret");
    std::fs::write(&secret, "x").unwrap();
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(playground.path(""), Permissions::from_mode(0o777)).unwrap();
    let create = |choice: &str| {
        Command::new(PROGRAM)
            .args(["create", "source", "-o", "x.sqsh", "--json"])
            .args(["--on-unreadable", choice])
            .current_dir(playground.path(""))
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap()
    };
    let output = create("fail");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("1 entry could not be read: secret: "),
        "{said}"
    );
    assert!(
        said.ends_with("Leave them out with --on-unreadable skip or --exclude\n"),
        "{said}"
    );
    assert!(!playground.path("x.sqsh").exists());

    let output = create("skip");
    assert_eq!(output.status.code(), Some(3));
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["counts"]["unreadable"], 1);
    assert_eq!(outcome["counts"]["files"], 2);
    assert_eq!(
        outcome["report"]["unreadable"]["first"][0]["path"],
        "secret"
    );
    succeed(&playground, &["verify", "x.sqsh"]);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let playground = Playground::new();
    playground.small_tree("source");
    // Takes much longer than it does to be interrupted.
    let huge = std::fs::File::create(playground.path("source/huge")).unwrap();
    for offset in 0..1 << 16 {
        huge.write_all_at(b"x", offset << 20).unwrap();
    }
    let mut process = Command::new(PROGRAM)
        .args(["create", "source", "-o", "x.sqsh"])
        .current_dir(playground.path(""))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The temporary file is there: the work has begun.
    while std::fs::read_dir(playground.path("")).unwrap().count() < 2 {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(process.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    process.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("cancelled"), "{said}");
    assert_eq!(std::fs::read_dir(playground.path("")).unwrap().count(), 1);
}

#[test]
fn a_restored_directory_does_not_depend_on_the_file() {
    require_mounts();
    let playground = Playground::new();
    playground.small_tree("source");
    succeed(&playground, &["create", "source", "-o", "x.sqsh"]);
    succeed(
        &playground,
        &["restore", "x.sqsh", "target", "--strategy", "overlay"],
    );
    std::fs::write(playground.path("x.sqsh"), "truncated").unwrap();
    let text = std::fs::read_to_string(playground.path("target/sub/b")).unwrap();
    assert_eq!(text, "second");
    succeed(&playground, &["unmount", "target"]);
    assert_eq!(playground.footprint(), [].into());
}

#[test]
fn patterns_leave_things_out() {
    let playground = Playground::new();
    playground.small_tree("source");
    let said = succeed(
        &playground,
        &[
            "create",
            "source",
            "-o",
            "x.sqsh",
            "--exclude",
            "/a",
            "--exclude",
            "b",
        ],
    );
    assert!(said.starts_with("0 files, 2 directories"), "{said}");
    assert!(said.contains("; 2 left out\n"), "{said}");
}

#[test]
fn an_archive_is_not_in_itself() {
    let playground = Playground::new();
    playground.small_tree("source");
    let plain = succeed(&playground, &["create", "source", "-o", "x.sqsh"]);
    // What is there already is to be replaced, and not in the archive either.
    for _ in 0..2 {
        let said = succeed(&playground, &["create", "source", "-o", "source/x.sqsh"]);
        assert_eq!(said, plain);
    }
    let output = Command::new(PROGRAM)
        .args(["create", "source", "--output", "-"])
        .current_dir(playground.path(""))
        .stdout(std::fs::File::create(playground.path("source/x.sqsh")).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), plain);
    // Another file of that kind is.
    let said = succeed(&playground, &["create", "source", "-o", "source/y.sqsh"]);
    assert!(said.starts_with("3 files"), "{said}");
}

#[test]
fn a_damaged_archive_is_noticed() {
    let playground = Playground::new();
    playground.small_tree("source");
    let lines: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    std::fs::write(playground.path("source/lines"), lines).unwrap();
    succeed(&playground, &["create", "source", "-o", "x.sqsh"]);
    let sum = succeed(&playground, &["verify", "x.sqsh"]);
    succeed(&playground, &["verify", "x.sqsh", "--sha256", sum.trim()]);
    let said = fail(
        &playground,
        1,
        &["verify", "x.sqsh", "--sha256", &"0".repeat(64)],
    );
    assert!(said.contains(sum.trim()), "{said}");

    let mut bytes = std::fs::read(playground.path("x.sqsh")).unwrap();
    let whole = bytes.len();
    bytes[20_000..24_000].fill(0x55);
    std::fs::write(playground.path("x.sqsh"), &bytes).unwrap();
    fail(&playground, 1, &["verify", "x.sqsh"]);
    std::fs::write(playground.path("x.sqsh"), &bytes[..whole / 2]).unwrap();
    let said = fail(&playground, 1, &["inspect", "x.sqsh"]);
    assert!(said.contains("its end is missing"), "{said}");
}

#[tokio::test]
async fn each_command_says_what_has_failed() {
    let playground = Playground::new();
    let store = Store::start().await;
    store.fail([Fault::Status(404), Fault::Status(403)]);
    let archive = store.archive_url();
    std::fs::write(playground.path("garbage"), [7; 5000]).unwrap();
    playground.small_tree("source");
    for (arguments, why) in [
        (
            &["create", "source", "-o", "no/x"][..],
            "no/x: No such file",
        ),
        (&["create", "garbage", "-o", "x"], "cannot read "),
        (&["inspect", "absent"], "cannot read absent: No such file"),
        (&["inspect", "garbage"], "not a SquashFS 4.0 archive"),
        (&["verify", "absent"], "cannot read absent: No such file"),
        (&["verify", "garbage"], "not a SquashFS 4.0 archive"),
        (&["restore", "absent", "target"], "No such file"),
        (
            &["restore", "garbage", "target"],
            "not a SquashFS 4.0 archive",
        ),
        (&["restore", &archive, "target"], "no such object (404)"),
        (
            &["restore", &archive, "target"],
            "the request (403 Forbidden)",
        ),
        (&["restore", "source", "/"], "dir / would cover"),
    ] {
        let said = fail(&playground, 1, arguments);
        assert!(said.starts_with("sandbox-agent: "), "{said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert!(!said.contains("Signature"), "{arguments:?}: {said}");
        // Codes are for programs.
        assert!(!said.contains("_FAILED"), "{arguments:?}: {said}");
        assert!(!said.contains("INVALID_"), "{arguments:?}: {said}");
    }
    assert!(!playground.path("target").exists());
    assert_eq!(playground.footprint(), [].into());
}

#[test]
fn wrong_usage_is_2_and_failure_is_1() {
    let playground = Playground::new();
    fail(&playground, 2, &[]);
    fail(&playground, 2, &["create", "source"]);
    fail(
        &playground,
        2,
        &["restore", "x", "y", "--strategy", "magic"],
    );
    let said = fail(&playground, 1, &["create", "missing", "-o", "x.sqsh"]);
    assert!(said.contains("missing"), "{said}");
    let said = fail(&playground, 1, &["unmount", "missing"]);
    assert!(said.contains("not a restored directory"), "{said}");
    assert!(!playground.path("x.sqsh").exists());
}
