use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};
use sandbox_shared::{ErrorCode, files::ExecEvent, protocol::paths};
use serde_json::{Value, json};

use crate::{
    harness::{Agent, Events, PROGRAM, error, eventually},
    playground::Playground,
};

/// Standard output, standard error, exit code and whether it timed out.
async fn run(agent: &Agent, request: Value) -> (String, String, i32, bool) {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let mut events = agent.exec(request).await;
    let last = events.pop().unwrap();
    assert!(matches!(events.remove(0), ExecEvent::Start { pid } if pid > 0));
    for event in events {
        match event {
            ExecEvent::Stdout { data } => stdout += &data,
            ExecEvent::Stderr { data } => stderr += &data,
            other => panic!("{other:?}"),
        }
    }
    match last {
        ExecEvent::Exit {
            exit_code,
            timed_out,
            ..
        } => (stdout, stderr, exit_code, timed_out),
        other => panic!("{other:?}"),
    }
}

fn is_running(pid: &str) -> bool {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    // A zombie, which somebody else has to reap, is not running.
    let about = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && !about.unwrap_or_default().contains(") Z ")
}

#[tokio::test]
async fn output_input_environment_and_directory() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let dir = playground.small_tree("cwd");
    let request = json!({
        "command": "cat; echo $GREETING >&2; pwd; exit 7",
        "stdin": "input\n", "env": { "GREETING": "ahoj" }, "cwd": dir,
    });
    let expected = (format!("input\n{dir}\n"), "ahoj\n".into(), 7, false);
    assert_eq!(run(&agent, request).await, expected);
}

#[tokio::test]
async fn a_signal_is_128_and_its_number() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let (_, _, code, timed_out) = run(&agent, json!({ "command": "kill -TERM $$" })).await;
    assert_eq!((code, timed_out), (143, false));
}

#[tokio::test]
async fn the_token_is_not_inherited() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let (output, ..) = run(&agent, json!({ "command": "env" })).await;
    assert!(output.contains("PATH="));
    assert!(!output.contains("SANDBOX_AGENT_"), "{output}");
    assert!(!output.contains("a token for tests"));
}

#[tokio::test]
async fn characters_stay_whole_and_order_is_kept() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    // Each byte of the euro sign in a write of its own, then one that is no UTF-8.
    let command = r"for b in 342 202 254; do printf '\'$b; sleep 0.02; done; printf 'x\377y'";
    let (output, ..) = run(&agent, json!({ "command": command })).await;
    assert_eq!(output, "€x\u{fffd}y");
}

#[tokio::test]
async fn long_output_arrives_complete() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let (output, _, code, _) = run(&agent, json!({ "command": "seq 1 300000" })).await;
    assert_eq!(code, 0);
    assert!(output.lines().eq((1..=300_000).map(|n| n.to_string())));
}

#[tokio::test]
async fn the_timeout_kills_everything() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let start = Instant::now();
    let request = json!({ "command": "sleep 1000 & echo $!; sleep 1000", "timeout": 300 });
    let (output, _, code, timed_out) = run(&agent, request).await;
    assert_eq!((code, timed_out), (124, true));
    assert!(start.elapsed() < Duration::from_secs(5));
    eventually("the child is gone", || !is_running(&output)).await;
}

#[tokio::test]
async fn a_background_process_does_not_delay_the_exit_and_survives() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let file = playground.text("survived");
    // It writes to the pipe after the exit, which must not kill it.
    let command = format!(
        "(while [ ! -e {file}.go ]; do sleep 0.02; done; echo late; echo later; echo yes > {file}) & echo started"
    );
    let (output, _, code, _) = run(&agent, json!({ "command": command })).await;
    assert_eq!((output.as_str(), code), ("started\n", 0));
    std::fs::write(format!("{file}.go"), "").unwrap();
    eventually("it has written its file", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == "yes\n")
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let command = json!({ "command": "sleep 1000 & echo $!; wait" });
    let mut events = Events::of(agent.post(paths::EXEC, &command).await);
    let mut child = None;
    while child.is_none() {
        if let Some(ExecEvent::Stdout { data }) = events.next().await {
            child = Some(data);
        }
    }
    let child = child.unwrap();
    assert!(is_running(&child));
    drop(events);
    eventually("the child is gone", || !is_running(&child)).await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_command_up() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let file = playground.text("count");
    // Far more than all buffers on the way.
    let command = format!(
        "for i in $(seq 1 64); do head -c 1000000 /dev/zero | tr '\\0' x; echo $i > {file}; done"
    );
    let mut events = Events::of(
        agent
            .post(paths::EXEC, &json!({ "command": command }))
            .await,
    );
    assert!(matches!(events.next().await, Some(ExecEvent::Start { .. })));
    let written = || std::fs::read_to_string(&file).unwrap_or_default();
    let mut before = written();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = written();
        if now == before {
            break;
        }
        before = now;
    }
    assert!(
        before.trim().parse::<u32>().unwrap_or(0) < 64,
        "nothing held it up"
    );
    let mut bytes = 0;
    while let Some(event) = events.next().await {
        if let ExecEvent::Stdout { data } = event {
            bytes += data.len();
        }
    }
    assert_eq!(bytes, 64_000_000);
}

#[tokio::test]
async fn a_command_that_cannot_start_is_an_error() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let request = json!({ "command": "true", "cwd": "/no/such/directory" });
    let refused = error(agent.post(paths::EXEC, &request).await).await;
    assert_eq!(refused.code, ErrorCode::ExecFailed);
    assert!(refused.message.contains("/no/such/directory"));
    let request = json!({ "command": "true", "env": { "A=B": "c" } });
    let refused = error(agent.post(paths::EXEC, &request).await).await;
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn process_1_reaps_orphans() {
    crate::harness::require_mounts();
    let playground = Playground::new();
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", PROGRAM]);
    let agent = Agent::start_by(command, &playground);
    // It tries strategies at first, with processes that come and go.
    agent.status().await;
    // An orphan that ends after its parent is process 1's to reap.
    let (_, _, code, _) = run(&agent, json!({ "command": "(sleep 0.05 &) ; exit 3" })).await;
    assert_eq!(code, 3, "the exit status is not lost to process 1");
    let zombies = json!({ "command": "sleep 0.2; grep -l '^State:.Z' /proc/[0-9]*/status; tr '\\0' ' ' < /proc/1/cmdline" });
    let (output, ..) = run(&agent, zombies).await;
    assert!(output.trim_end().ends_with("serve"), "{output}");
    assert!(!output.contains("/status"), "zombies: {output}");
    // `unshare` heeds no other signal while it waits; with it goes the namespace.
    agent.signal(rustix::process::Signal::KILL);
}
