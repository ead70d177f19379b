//! Containers in which memory runs out: Linux kills something, and never what
//! somebody's work is served by while there is a command to be killed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use sandbox_shared::protocol::paths;
use serde_json::json;

use crate::{
    harness::{
        Agent, Events, PROGRAM, create_request, eventually, require_mounts, restore_request,
    },
    lazy::{LAZY, backup, content},
    playground::Playground,
    store::Store,
    tree,
};

const MIB: u64 = 1 << 20;

/// A control group whose memory is limited, of either version
/// (`cgroups(7)`). Its processes must have ended when it is dropped.
struct Group {
    dir: PathBuf,
    /// Where the limit, and the count of processes that were killed, are.
    limit: &'static str,
    events: &'static str,
}

impl Group {
    fn new() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let (root, limit, events) = match root.join("cgroup.controllers").exists() {
            true => (root.to_owned(), "memory.max", "memory.events"),
            false => (
                root.join("memory"),
                "memory.limit_in_bytes",
                "memory.oom_control",
            ),
        };
        let dir = root.join(format!("agent-test-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&dir).expect("a control group of one's own");
        // Nothing is swapped out, in either version.
        for swap in ["memory.swap.max", "memory.swappiness"].map(|name| dir.join(name)) {
            if swap.exists() {
                std::fs::write(swap, "0").unwrap();
            }
        }
        Self { dir, limit, events }
    }

    fn limit(&self, bytes: u64) {
        std::fs::write(self.dir.join(self.limit), bytes.to_string()).unwrap();
    }

    /// An agent in it.
    fn start_agent(&self, playground: &Playground) -> Agent {
        let mut command = Command::new("/bin/sh");
        let join = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        command.arg("-c").arg(join).arg(&self.dir).arg(PROGRAM);
        Agent::start_by(command, playground)
    }

    /// Processes that were killed in it for want of memory.
    fn kills(&self) -> u64 {
        let events = std::fs::read_to_string(self.dir.join(self.events)).unwrap();
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills.expect("Linux counts them").parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while a test that has failed still has processes in it.
        let _ = std::fs::remove_dir(&self.dir);
    }
}

#[tokio::test]
async fn commands_are_killed_before_what_serves_restored_directories() {
    require_mounts();
    let group = Group::new();
    let playground = Playground::new();
    let (agent, store) = (group.start_agent(&playground), Store::start().await);
    let archive = backup(&playground, 8, &agent, &store).await;
    let source = tree::read(&playground.path("source"));
    for strategy in LAZY {
        let dir = playground.text(strategy.as_str());
        let request = restore_request(&dir, &store, &archive, Some(strategy));
        agent.restored(&request).await;
        std::fs::write(playground.path(strategy.as_str()).join("work"), "unsaved").unwrap();
    }
    let daemons = playground.daemons();
    assert_eq!(daemons.len(), LAZY.len());
    group.limit(256 * MIB);

    // Each of them is smaller than the agent, and together they are too large.
    let command = "for n in $(seq 150); do \
                   dd if=/dev/zero bs=4M count=1 2>/dev/null | sleep 1000 & done; wait";
    let running = agent
        .post(paths::EXEC, &json!({ "command": command }))
        .await;
    let running = Events::of(running);
    eventually("commands are killed", || group.kills() >= 20).await;

    let echo = json!({ "command": "echo here" });
    let answer = agent.try_post(paths::EXEC, &echo).await.unwrap();
    assert!(answer.contains("here"), "{answer}");
    assert_eq!(playground.daemons(), daemons);
    for strategy in LAZY {
        agent.is_active(&playground.text(strategy.as_str())).await;
        let path = playground.path(strategy.as_str());
        assert_eq!(std::fs::read(path.join("work")).unwrap(), b"unsaved");
        std::fs::remove_file(path.join("work")).unwrap();
        assert_eq!(tree::read(&path).len(), source.len());
        assert!(std::fs::read(path.join("7")).unwrap() == content(7));
    }
    // With its reader it ends, and so does the last of what it has started.
    drop(running);
    for strategy in LAZY {
        agent.unmount(&playground.text(strategy.as_str())).await;
    }
    assert_eq!(playground.footprint(), [].into());
}

#[tokio::test]
async fn an_agent_that_is_killed_for_want_of_memory_leaves_nothing() {
    require_mounts();
    let group = Group::new();
    let playground = Playground::new();
    let store = Store::start().await;
    let agent = group.start_agent(&playground);
    backup(&playground, 60, &agent, &store).await;
    let source = playground.text("source");
    agent.status().await;
    // Less than the parts of an archive that are in memory at a time take.
    group.limit(24 * MIB);

    // It waits for nobody before it has as many of them as it may have.
    let request = create_request(&source);
    let backup = agent.try_post(paths::BACKUPS, &request);
    let killed = eventually("the agent is killed", || group.kills() == 1);
    let (answer, ()) = tokio::join!(backup, killed);
    assert_eq!(answer, None);
    drop(agent);

    let agent = Agent::start(&playground);
    agent.status().await;
    assert_eq!(playground.footprint(), [].into());
    agent.backup(&source, &store).await;
}
