//! What other processes of the sandbox can learn of the token and the URLs that
//! the agent's own have in memory.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use sandbox_shared::Strategy;

use crate::{
    harness::{Agent, PROGRAM, TOKEN, require_mounts, restore_request},
    playground::Playground,
    store::Store,
};

/// Root as it is in most containers.
const ROOT: &[&str] = &["--bounding-set=-sys_ptrace"];
const SOMEBODY: &[&str] = &["--reuid=65534", "--regid=65534", "--clear-groups"];

/// What is in memory, and what leads to it.
const PRIVATE: [&str; 2] = ["mem", "fd/0"];

/// A command with the privileges of [`ROOT`] or [`SOMEBODY`].
fn by(privileges: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(privileges);
    command
}

fn can_open(privileges: &[&str], pid: u32, file: &str) -> bool {
    let mut open = by(privileges);
    open.args(["sh", "-c", "exec < \"$0\""]);
    let opened = open.arg(format!("/proc/{pid}/{file}"));
    opened.stderr(Stdio::null()).status().unwrap().success()
}

fn assert_private(pid: u32) {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let line = String::from_utf8_lossy(&line);
    assert!(line.contains("serve"), "{line}");
    for privileges in [ROOT, SOMEBODY] {
        assert!(can_open(privileges, pid, "cmdline"));
        for file in PRIVATE {
            assert!(!can_open(privileges, pid, file), "{line}: {file}");
        }
    }
    // Even to root with every privilege.
    for file in ["environ", "cmdline"] {
        let content = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        let content = String::from_utf8_lossy(&content);
        assert!(!content.contains(TOKEN), "{line}: {file}");
    }
}

fn children(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let pids = children.split_whitespace();
    pids.map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn another_process_of_root_can_be_looked_into() {
    // Or the tests below would show nothing.
    let mut other = by(ROOT)
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    other.stdin.as_mut().unwrap().write_all(b"?").unwrap();
    // What answers is no longer `setpriv`.
    let answer = other.stdout.as_mut().unwrap().read_exact(&mut [0]);
    let is_readable = can_open(ROOT, other.id(), "mem");
    other.kill().unwrap();
    other.wait().unwrap();
    answer.unwrap();
    assert!(is_readable);
}

#[tokio::test]
async fn nobody_looks_into_the_processes_that_hold_secrets() {
    require_mounts();
    let playground = Playground::new();
    let mut root = by(ROOT);
    root.arg(PROGRAM);
    let agent = Agent::start_by(root, &playground);
    let store = Store::start().await;
    let archive = agent.backup(&playground.small_tree("source"), &store).await;
    let dir = playground.text("target");
    let request = restore_request(&dir, &store, &archive, Some(Strategy::Fuse));
    agent.restored(&request).await;
    assert_private(agent.pid());
    let daemons = playground.daemons();
    assert_eq!(daemons.len(), 1);
    for daemon in daemons {
        assert_private(daemon.as_raw_nonzero().get().cast_unsigned());
    }
    agent.unmount(&dir).await;
    playground.leaves_nothing().await;
}

#[tokio::test]
async fn nobody_looks_into_process_1() {
    require_mounts();
    let playground = Playground::new();
    let mut container = by(ROOT);
    container.args(["unshare", "--pid", "--fork", "--kill-child"]);
    container.args(["--mount-proc", PROGRAM]);
    let agent = Agent::start_by(container, &playground);
    // It tries strategies at first, with processes that come and go.
    agent.status().await;
    let [init] = children(agent.pid())[..] else {
        panic!("one child of unshare");
    };
    assert_private(init);
    let [agent_itself] = children(init)[..] else {
        panic!("one child of process 1");
    };
    assert_private(agent_itself);
    agent.signal(rustix::process::Signal::KILL);
}
