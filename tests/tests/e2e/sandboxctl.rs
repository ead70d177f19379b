//! `sandboxctl`, at a shell and in scripts.

use std::{process::Stdio, sync::Arc};

use rustix::process::{Pid, Signal, kill_process};
use sandbox_shared::{
    DirectoryBackup, RestoreBackupResult,
    catalogue::{BackupRecord, PruneResult},
    files::ExecEvent,
    log::LogEntry,
    report::CreatedBackup,
};
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    command_line::Ran,
    consumer::Setup,
    faulty_gateway::Fault,
    stage::Stage,
    tree,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

crate::tests![
    a_backup_is_listed_and_restored,
    backups_are_named_by_what_is_unmistakable,
    a_partial_backup_exits_with_3,
    a_damaged_backup_exits_with_1,
    what_does_not_exist_exits_with_10,
    a_wrong_token_exits_with_12_and_is_not_shown,
    exec_is_as_if_the_command_ran_here,
    an_interrupted_backup_leaves_nothing,
    a_lost_answer_is_asked_for,
    an_interrupted_command_is_killed,
    files_come_and_go_unchanged,
    prune_shows_what_goes_before_it_goes,
    what_is_gone_is_neither_the_latest_nor_kept,
    logs_show_what_happened_and_what_happens,
    completion_scripts_are_scripts,
];

async fn a_backup_is_listed_and_restored(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl");
    sandbox
        .run("mkdir -p src && echo 1 > src/a && echo 2 > x.log")
        .await;
    let ctl = stage.sandboxctl("ctl");

    let preview = ctl.run(&["preview", "/workspace", "-e", "*.log"]).await;
    assert!(preview.stdout.contains("+ src/a\n"), "{preview:?}");
    assert!(
        preview.stdout.contains("- x.log (excludes)\n"),
        "{preview:?}"
    );

    let arguments = [
        "backup",
        "/workspace",
        "--name",
        "first",
        "-e",
        "*.log",
        "--ttl",
        "2h",
    ];
    let ran = ctl.run(&[&arguments[..], &["--json"]].concat()).await;
    let created: CreatedBackup = ran.json();
    assert_eq!(ran.stderr, "", "no progress without a terminal");
    assert_eq!(created.counts.excluded, 1);

    let records: Vec<BackupRecord> = ctl.run(&["list", "--json"]).await.json();
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(record.id, created.backup.id);
    assert_eq!(record.name.as_deref(), Some("first"));
    assert_eq!(record.ttl.seconds(), 7200.0);
    let table = ctl.run(&["list", "--sort", "size"]).await.stdout;
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with(created.backup.id.as_str()), "{table}");
    assert!(row.contains("first  /workspace"), "{table}");
    assert!(row.ends_with("in 2 hours"), "{table}");

    let verified = ctl.run(&["verify", "latest"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    let whole = "is whole: 1 file of 2 B read, the checksum matches\n";
    assert!(verified.stdout.ends_with(whole), "{verified:?}");

    let before = tree::digest(&sandbox, "/workspace/src").await;
    sandbox.run("rm -r src").await;
    let restored: RestoreBackupResult = ctl
        .run(&["restore", created.backup.id.as_str(), "--json"])
        .await
        .json();
    assert_eq!(restored.dir, "/workspace");
    assert_eq!(tree::digest(&sandbox, "/workspace/src").await, before);
    let status = ctl.run(&["status"]).await.stdout;
    assert!(status.contains("container  running"), "{status}");
    assert!(
        status.contains(&format!("/workspace from {}", created.backup.id)),
        "{status}"
    );

    let unmounted = ctl.run(&["unmount", "/workspace"]).await;
    assert_eq!(unmounted.code, 0, "{unmounted:?}");
    assert!(sandbox.exists("/workspace/x.log").await);

    let sandboxes = ctl.run(&["sandboxes"]).await.stdout;
    assert!(
        sandboxes.lines().any(|line| line.starts_with("ctl ")),
        "{sandboxes}"
    );
}

async fn backups_are_named_by_what_is_unmistakable(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-names");
    let older = sandbox.backup("/workspace").await;
    let newer = sandbox.backup("/workspace").await;
    let ctl = stage.sandboxctl("ctl-names");
    let shown =
        async |text: &str| -> DirectoryBackup { ctl.run(&["show", text, "--json"]).await.json() };
    assert_eq!(shown("latest").await, newer);
    assert_eq!(shown(&older.id.as_str()[..13]).await, older);

    let deleted = ctl
        .run(&["delete", "latest", &older.id.as_str()[..13]])
        .await;
    assert_eq!(
        deleted.stdout,
        format!("deleted {}\ndeleted {}\n", newer.id, older.id)
    );
    let latest = ctl.run(&["show", "latest"]).await;
    assert_eq!(latest.code, 10, "{latest:?}");
    assert_eq!(ctl.run(&["list"]).await.stdout, "no backups\n");
}

async fn a_partial_backup_exits_with_3(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-partial");
    // A file system whose daemon has gone: not even root can read it.
    let dead = "mkdir dead && mount -i -t fuse \
        -o fd=3,rootmode=40000,user_id=0,group_id=0 dead dead 3<>/dev/fuse; echo x > kept";
    sandbox.run(dead).await;
    let ctl = stage.sandboxctl("ctl-partial");
    let backup = ["backup", "/workspace", "--cross-file-systems"];
    let refused = ctl.run(&backup).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.starts_with("error [BACKUP_CREATE_FAILED]: "),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("dead"), "{refused:?}");

    let partial = ctl
        .run(&[&backup[..], &["--on-unreadable", "skip"]].concat())
        .await;
    assert_eq!(partial.code, 3, "{partial:?}");
    assert!(
        partial.stdout.contains("1 could not be read:\n  dead: "),
        "{partial:?}"
    );
    assert_eq!(ctl.run(&["restore", "latest"]).await.code, 0);
    assert_eq!(sandbox.run("cat kept").await, "x\n");
}

async fn a_damaged_backup_exits_with_1(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-damaged");
    sandbox.run("seq 100000 > numbers").await;
    let backup = sandbox.backup("/workspace").await;
    let key = format!("backups/{}/data.sqsh", backup.id);
    let mut archive = stage.bucket.get(&key).await.unwrap();
    archive[1000] ^= 1;
    stage.bucket.put(&key, archive).await;
    let ctl = stage.sandboxctl("ctl-damaged");
    let ran = ctl.run(&["verify", backup.id.as_str()]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("is DAMAGED"), "{ran:?}");
}

async fn what_does_not_exist_exits_with_10(stage: Arc<Stage>) {
    let ctl = stage.sandboxctl("ctl-absent");
    let absent = "00000000-0000-4000-8000-000000000000";
    for arguments in [
        &["restore", absent][..],
        &["restore", absent, "/workspace"],
        &["show", absent],
        &["verify", absent],
        &["show", "00000000"],
        &["restore", "latest"],
    ] {
        let ran = ctl.run(arguments).await;
        assert_eq!(ran.code, 10, "{arguments:?}: {ran:?}");
        assert!(
            ran.stderr.starts_with("error [BACKUP_NOT_FOUND]: "),
            "{ran:?}"
        );
        assert_eq!(ran.stdout, "");
    }
    let ran = ctl.run(&["show", absent, "--json"]).await;
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "BACKUP_NOT_FOUND");
    assert_eq!(error["error"]["context"]["id"], absent);
    // To delete what is not there is no failure.
    let deleted = ctl.run(&["delete", absent, "--json"]).await;
    assert_eq!(deleted.json::<Value>()["existed"], false);
}

async fn a_wrong_token_exits_with_12_and_is_not_shown(stage: Arc<Stage>) {
    let ctl = stage.sandboxctl("ctl-token").with_token("not-the-secret");
    let ran = ctl.run(&["list"]).await;
    assert_eq!(ran.code, 12, "{ran:?}");
    assert!(ran.stderr.starts_with("error [UNAUTHORIZED]: "), "{ran:?}");
    for Ran { stdout, stderr, .. } in [ran, ctl.run(&["list", "--help"]).await] {
        assert!(!(stdout + &stderr).contains("not-the-secret"));
    }
}

async fn exec_is_as_if_the_command_ran_here(stage: Arc<Stage>) {
    let ctl = stage.sandboxctl("ctl-exec");
    let ran = ctl
        .run(&["exec", "--", "echo out; echo err >&2; exit 7"])
        .await;
    assert_eq!(
        (ran.code, &*ran.stdout, &*ran.stderr),
        (7, "out\n", "err\n")
    );
    let ran = ctl
        .run(&["exec", "--", "printf", "<%s>", "a b", "$HOME", "*"])
        .await;
    assert_eq!(ran.stdout, "<a b><$HOME><*>");
    let ran = ctl
        .run(&[
            "exec",
            "--cwd",
            "/tmp",
            "--env",
            "A=b c",
            "--",
            "pwd; echo $A",
        ])
        .await;
    assert_eq!(ran.stdout, "/tmp\nb c\n");
    let ran = ctl
        .run_with_input(&["exec", "--", "tr", "a-z", "A-Z"], "é!\nx".as_bytes())
        .await;
    assert_eq!(ran.stdout, "é!\nX");
    let ran = ctl
        .run(&["exec", "--timeout", "0.2", "--", "sleep 60"])
        .await;
    assert_eq!(ran.code, 124, "{ran:?}");

    let ran = ctl.run(&["exec", "--json", "--", "echo x; exit 3"]).await;
    assert_eq!(ran.code, 3);
    let events: Vec<ExecEvent> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let data = "x\n".to_owned();
    assert!(events.contains(&ExecEvent::Stdout { data }), "{events:?}");
    assert!(matches!(
        events.last(),
        Some(ExecEvent::Exit { exit_code: 3, .. })
    ));

    // Its own failures are told apart from those of commands.
    let ran = ctl.with_token("wrong").run(&["exec", "--", "true"]).await;
    assert_eq!(ran.code, 125, "{ran:?}");
}

fn interrupt(process: &tokio::process::Child) {
    let id = i32::try_from(process.id().expect("it runs")).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
}

async fn an_interrupted_backup_leaves_nothing(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "ctl-interrupted");
    sandbox
        .run("for n in 1 2 3 4; do head -c 6000000 /dev/urandom > $n; done")
        .await;
    let gateway = stage.faulty_gateway(Fault::HoldsParts).await;
    let ctl = stage.sandboxctl_of(Setup::Faulty, "ctl-interrupted");
    let process = ctl.command(&["backup", "/workspace"]).spawn().unwrap();
    let operation = loop {
        let operation = sandbox.status().await["operation"].clone();
        if operation["phase"] == "uploading" {
            break operation;
        }
    };
    interrupt(&process);
    let ran = Ran::of(process.wait_with_output().await.unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_eq!(ran.stderr, "error: interrupted: nothing of it is left\n");
    assert_eq!(ran.stdout, "");

    assert_eq!(sandbox.status().await["operation"], Value::Null);
    let id = operation["id"].as_str().unwrap();
    assert_eq!(stage.bucket.keys(&format!("backups/{id}/")).await, [""; 0]);
    let records: Vec<BackupRecord> = ctl.run(&["list", "--json"]).await.json();
    assert_eq!(records, []);
    gateway.set(Fault::None);
    assert_eq!(ctl.run(&["backup", "/workspace"]).await.code, 0);
}

async fn a_lost_answer_is_asked_for(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox_of(Setup::Faulty, "ctl-lost");
    sandbox.run("head -c 6000000 /dev/urandom > data").await;
    let _gateway = stage.faulty_gateway(Fault::HoldsParts).await;
    let ctl = stage.sandboxctl_of(Setup::Faulty, "ctl-lost");
    let (ctl, relay) = ctl.through_a_relay().await;
    let arguments = ["backup", "/workspace", "--json"];
    let process = ctl.command(&arguments).spawn().unwrap();
    while sandbox.status().await["operation"]["phase"] != "uploading" {}
    relay.cut();
    let ran = Ran::of(process.wait_with_output().await.unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    let failure: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(failure["error"]["code"], "OPERATION_INTERRUPTED", "{ran:?}");
    let context = &failure["error"]["context"];
    assert_ne!(context["committed"], true, "{ran:?}");
    // Who hangs up cancels.
    let operation = context["operationId"].clone();
    loop {
        let outcome: Value = sandbox
            .call("operationOutcome", json!([operation]))
            .await
            .unwrap();
        match outcome["state"].as_str().unwrap() {
            "running" => {}
            state => break assert_eq!(state, "notCommitted"),
        }
    }
}

async fn an_interrupted_command_is_killed(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-killed");
    let ctl = stage.sandboxctl("ctl-killed");
    let command = "echo begun; sleep 1000000";
    let mut process = ctl.command(&["exec", "--", command]).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(output.next_line().await.unwrap().as_deref(), Some("begun"));
    interrupt(&process);
    assert_eq!(process.wait().await.unwrap().code(), Some(130));
    // The brackets keep it from finding itself.
    let gone = "while grep -qs '[s]leep.1000000' /proc/[0-9]*/cmdline; do sleep 0.05; done";
    sandbox.run(gone).await;
}

async fn files_come_and_go_unchanged(stage: Arc<Stage>) {
    let ctl = stage.sandboxctl("ctl-files");
    let local = tempfile::tempdir().unwrap();
    let path = |name: &str| local.path().join(name).to_str().unwrap().to_owned();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(path("in"), &content).unwrap();
    let put = ctl.run(&["put", &path("in"), "/workspace/sub/a"]).await;
    assert_eq!(put.stdout, "wrote /workspace/sub/a\n", "{put:?}");
    let get = ctl.run(&["get", "/workspace/sub/a", &path("out")]).await;
    assert_eq!(get.code, 0, "{get:?}");
    assert!(std::fs::read(path("out")).unwrap() == content);

    ctl.run_with_input(&["put", "-", "/workspace/b"], b"text")
        .await;
    assert_eq!(ctl.run(&["get", "/workspace/b"]).await.stdout, "text");
    let listed = ctl.run(&["ls", "-r"]).await.stdout;
    let names: Vec<_> = listed
        .lines()
        .skip(1)
        .map(|line| line.rsplit("  ").next().unwrap())
        .collect();
    assert_eq!(names, ["b", "sub/", "sub/a"], "{listed}");

    // A file that is there stays as it is when another cannot be had.
    let absent = ctl.run(&["get", "/workspace/none", &path("out")]).await;
    assert!(
        absent.stderr.starts_with("error [FILE_NOT_FOUND]: "),
        "{absent:?}"
    );
    assert!(std::fs::read(path("out")).unwrap() == content);
    assert_eq!(std::fs::read_dir(local.path()).unwrap().count(), 2);
}

async fn prune_shows_what_goes_before_it_goes(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-prune");
    let older = sandbox.backup("/workspace").await;
    let newer = sandbox.backup("/workspace").await;
    let ctl = stage.sandboxctl("ctl-prune");
    let prune = ["prune", "--keep-last", "1"];
    let dry = ctl.run(&[&prune[..], &["--dry-run"]].concat()).await.stdout;
    assert!(
        dry.contains(older.id.as_str()) && !dry.contains(newer.id.as_str()),
        "{dry}"
    );
    assert!(dry.contains("1 backup would be deleted, "), "{dry}");
    assert_eq!(stage.bucket.keys_of(&older.id).await.len(), 2);

    let done: PruneResult = ctl.run(&[&prune[..], &["--json"]].concat()).await.json();
    assert_eq!((done.deleted.count, done.kept), (1, 1));
    assert_eq!(stage.bucket.keys_of(&older.id).await.len(), 0);
    let none = ctl.run(&["prune", "--dry-run"]).await;
    assert_eq!(none.code, 1, "{none:?}");
}

async fn what_is_gone_is_neither_the_latest_nor_kept(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-gone");
    let ctl = stage.sandboxctl("ctl-gone");
    let (kept, gone) = (
        sandbox.backup("/workspace").await,
        sandbox.backup("/workspace").await,
    );
    stage.bucket.delete(&metadata_key(&gone.id)).await;
    let restored = ctl.run(&["restore", "latest"]).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(restored.stdout.contains(kept.id.as_str()), "{restored:?}");
    sandbox.run("echo x > file").await;

    let gone = sandbox.backup("/workspace").await;
    stage.bucket.delete(&archive_key(&gone.id)).await;
    let pruned = ctl.run(&["prune", "--keep-last", "1"]).await.stdout;
    assert!(
        pruned.contains("0 backups deleted, 0 B freed; 1 kept\n"),
        "{pruned}"
    );
    let (_, missing) = pruned.split_once("1 backup was gone").unwrap();
    assert!(missing.contains(gone.id.as_str()), "{pruned}");
    assert_eq!(stage.bucket.keys_of(&kept.id).await.len(), 2);
    let none = ctl.run(&["prune", "--keep-yearly", "1"]).await;
    assert_eq!(none.code, 0, "{none:?}");
}

async fn logs_show_what_happened_and_what_happens(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ctl-logs");
    let first = sandbox.backup("/workspace").await;
    let ctl = stage.sandboxctl("ctl-logs");
    let mut process = ctl
        .command(&["logs", "--follow", "--json"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut next = async || -> LogEntry {
        serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
    };
    assert_eq!(next().await.operation.id, first.id);
    let restored = sandbox.restore_backup(&first).await.unwrap();
    let entry = next().await;
    assert_eq!(
        (entry.number, entry.operation.strategy),
        (2, Some(restored.strategy))
    );
    interrupt(&process);
    assert_eq!(process.wait().await.unwrap().code(), Some(130));

    let text = ctl.run(&["logs", "-n", "1"]).await.stdout;
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("restoreBackup"), "{text}");
    let cancelled: Value = ctl.run(&["cancel", "--json"]).await.json();
    assert_eq!(cancelled, json!({ "cancelled": null }));
}

async fn completion_scripts_are_scripts(stage: Arc<Stage>) {
    let ctl = stage.sandboxctl("ctl-completions");
    let script = ctl.run(&["completions", "bash"]).await.stdout;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = bash.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).await.unwrap();
    drop(stdin);
    let checked = Ran::of(bash.wait_with_output().await.unwrap());
    assert_eq!((checked.code, &*checked.stderr), (0, ""));
    // What a person at bash gets for `sandboxctl re<Tab>`.
    let complete = format!(
        "{script}\nCOMP_WORDS=(sandboxctl re); COMP_CWORD=1\n\
         _sandboxctl sandboxctl re sandboxctl; echo ${{COMPREPLY[@]}}"
    );
    let completed = Command::new("bash")
        .args(["-c", &complete])
        .output()
        .await
        .unwrap();
    assert_eq!(Ran::of(completed).stdout, "restore reindex\n");
    for shell in ["zsh", "fish"] {
        let ran = ctl.run(&["completions", shell]).await;
        assert!(ran.stdout.contains("reindex"), "{shell}");
    }
}
