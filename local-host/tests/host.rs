//! The container host with a shell script in the place of the agent: what it
//! promises about containers does not depend on what runs in them.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sandbox_local_host::{Host, Options};
use sandbox_toolbox::project;
use serde_json::{Value, json};
use ureq::{Agent, http::Response};

/// Runs what the test gave it in the environment; prints what the test reads.
const STAND_IN: &str = "#!/bin/sh\neval \"$SCRIPT\"\n";

struct Fixture {
    directory: PathBuf,
    host: Option<Host>,
    url: String,
    token: String,
    http: Agent,
}

impl Fixture {
    fn new(test: &str) -> Self {
        Self::with_inactivity_timeout(test, Duration::from_secs(600))
    }

    fn with_inactivity_timeout(test: &str, inactivity_timeout: Duration) -> Self {
        let directory = project::target_dir().join("tmp/host").join(test);
        fs::remove_dir_all(&directory).ok();
        fs::create_dir_all(&directory).unwrap();
        let agent = directory.join("agent");
        fs::write(&agent, STAND_IN).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        let host = Host::start(Options {
            agent,
            disks: directory.join("disks"),
            logs: directory.join("logs"),
            port: 0,
            token: None,
            loop_devices: false,
            inactivity_timeout,
        })
        .unwrap();
        Self {
            url: host.url(),
            token: host.token().into(),
            directory,
            host: Some(host),
            http: Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into(),
        }
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}/v1/containers/{path}", self.url));
        let request = request.header("Authorization", self.authorization());
        answer(request.send_json(body).unwrap())
    }

    fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.put(format!("{}/v1/containers/{path}", self.url));
        let request = request.header("Authorization", self.authorization());
        answer(request.send_json(body).unwrap())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}/v1/containers/{path}", self.url));
        let request = request.header("Authorization", self.authorization());
        answer(request.call().unwrap())
    }

    fn delete(&self, id: &str) -> (u16, Value) {
        let request = self.http.delete(format!("{}/v1/containers/{id}", self.url));
        let request = request.header("Authorization", self.authorization());
        answer(request.call().unwrap())
    }

    fn start(&self, id: &str, script: &str) -> (u16, Value) {
        self.post(
            &format!("{id}/start"),
            &json!({ "env": { "SCRIPT": script } }),
        )
    }

    /// Runs a script in a container to its end and returns what it printed.
    fn run(&self, id: &str, script: &str) -> String {
        let log = self.directory.join(format!("logs/{id}.log"));
        let before = fs::read(&log).map_or(0, |log| log.len());
        assert_eq!(self.start(id, script).0, 200);
        let (status, end) = self.get(&format!("{id}/wait"));
        let printed = String::from_utf8(fs::read(&log).unwrap().split_off(before)).unwrap();
        assert_eq!((status, &end["exitCode"]), (200, &json!(0)), "{printed}");
        printed
    }

    /// Starts a container and returns once its script has printed "ready".
    fn run_on(&self, id: &str, script: &str) {
        let fifo = self.directory.join(format!("logs/{id}.log"));
        make_fifo(&fifo);
        // Opened for both, so that neither end waits for the other.
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .open(&fifo)
            .unwrap();
        assert_eq!(self.start(id, script).0, 200);
        let mut line = [0; 6];
        std::io::Read::read_exact(&mut file, &mut line).unwrap();
        assert_eq!(&line, b"ready\n");
    }

    /// How many disks there are.
    fn disks(&self) -> usize {
        let hosts = fs::read_dir(self.directory.join("disks")).unwrap();
        let hosts = hosts.map(|host| host.unwrap().path());
        hosts
            .filter(|host| host.is_dir())
            .map(|host| directories(&host))
            .sum()
    }
}

fn directories(path: &Path) -> usize {
    let entries = fs::read_dir(path).unwrap();
    entries
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count()
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_bits_truncate(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn answer(mut response: Response<ureq::Body>) -> (u16, Value) {
    (
        response.status().as_u16(),
        response.body_mut().read_json().unwrap(),
    )
}

#[test]
fn every_start_has_a_fresh_disk_with_the_directories_of_a_sandbox() {
    let host = Fixture::new("fresh");
    let script =
        "ls -A /workspace /home /tmp /var/tmp /app /var/lib/sandbox-agent | grep -v '^/\\|^$'
        for dir in /workspace /home /tmp /var/tmp /app /root /var/lib/sandbox-agent; do
            echo mine > $dir/file || exit 1
        done
        pwd";
    assert_eq!(host.run("one", script), "/workspace\n");
    assert_eq!(host.run("one", script), "/workspace\n");
}

#[test]
fn containers_share_neither_files_nor_processes() {
    let host = Fixture::new("isolated");
    host.run_on(
        "one",
        "touch /workspace/one /tmp/one; echo ready; sleep 1000",
    );
    let seen = host.run(
        "two",
        "ls /workspace /tmp; echo; echo /proc/[0-9]*; hostname",
    );
    assert!(!seen.contains("one"), "{seen}");
    assert!(seen.ends_with("\n/proc/1\ntwo\n"), "{seen}");
}

#[test]
fn the_machine_is_read_only_and_its_secrets_are_not_there() {
    let host = Fixture::new("read-only");
    let printed = host.run(
        "one",
        "touch /usr/x /etc/ssl/x 2>/dev/null && echo writable
        cat /etc/passwd | wc -l; ls /etc/shadow /root/.cargo 2>/dev/null; echo end",
    );
    assert_eq!(printed, "2\nend\n");
}

#[test]
fn fuse_and_overlay_file_systems_can_be_mounted() {
    let host = Fixture::new("mounts");
    let printed = host.run(
        "one",
        "set -e
        mkdir source view upper work target
        echo original > source/file
        mksquashfs source archive -quiet -no-progress >/dev/null
        squashfuse archive view
        cat view/file
        # Not the machine's root: the kernel wants its markers in other attributes.
        grep -q 4294967295 /proc/self/uid_map || userxattr=,userxattr
        mount -t overlay overlay -o lowerdir=source,upperdir=upper,workdir=work$userxattr target
        echo changed > target/file
        cat upper/file",
    );
    assert_eq!(printed, "original\nchanged\n");
}

#[test]
fn a_killed_container_leaves_nothing() {
    let host = Fixture::new("killed");
    let script = "setsid sleep 1000 & mkdir -m 0 /tmp/closed; echo ready; sleep 1000";
    host.run_on("one", script);
    assert_eq!(host.disks(), 1);
    assert_eq!(host.get("one").1["running"], true);
    assert_eq!(host.delete("one"), (200, json!({ "running": false })));
    assert_eq!(host.disks(), 0);
    assert_eq!(host.get("one"), (200, json!({ "running": false })));
    assert_eq!(
        host.get("one/wait").1,
        json!({ "exitCode": 137, "signal": 9 })
    );
    assert_eq!(host.delete("one").0, 200);
    assert_eq!(host.delete("never").0, 200);
}

#[test]
fn a_running_container_is_not_started_again() {
    let host = Fixture::new("twice");
    host.run_on("one", "echo ready; sleep 1000");
    let (_, running) = host.get("one");
    let (status, answer) = host.start("one", "exit 0");
    assert_eq!((status, &answer["address"]), (409, &running["address"]));
    assert!(
        running["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
}

#[test]
fn the_agent_is_told_where_to_listen_and_nothing_of_our_environment() {
    let host = Fixture::new("environment");
    let printed = host.run("one", "env");
    assert!(
        printed.contains("SANDBOX_AGENT_LISTEN=127.0.0.2:"),
        "{printed}"
    );
    assert!(!printed.contains("CARGO"), "{printed}");
}

#[test]
fn a_container_ends_when_its_object_has_been_inactive_for_too_long() {
    let timeout = Duration::from_millis(300);
    let host = Fixture::with_inactivity_timeout("inactive", timeout);
    host.run_on("kept", "echo ready; sleep 1000");
    let longer = json!({ "milliseconds": 600_000 });
    let kept = host.put("kept/inactivity-timeout", &longer);
    assert_eq!(kept, (200, json!({ "running": true })));
    host.run_on("forgotten", "echo ready; sleep 1000");
    assert_eq!(
        host.get("forgotten/wait").1,
        json!({ "exitCode": 137, "signal": 9 })
    );
    assert_eq!(host.get("kept").1["running"], true);
    let none = host.put("forgotten/inactivity-timeout", &longer);
    assert_eq!(none, (200, json!({ "running": false })));
}

#[test]
fn signals_reach_the_agent_and_the_exit_code_comes_back() {
    let host = Fixture::new("signals");
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    host.run_on("one", script);
    assert_eq!(host.post("one/signal", &json!({ "signal": 15 })).0, 200);
    assert_eq!(
        host.get("one/wait").1,
        json!({ "exitCode": 5, "signal": null })
    );
    assert_eq!(host.post("one/signal", &json!({ "signal": 9999 })).0, 400);
}

#[test]
fn a_container_that_never_ran_has_nothing_to_wait_for() {
    let host = Fixture::new("never");
    assert_eq!(
        host.get("one/wait").1,
        json!({ "exitCode": null, "signal": null })
    );
}

#[test]
fn ids_that_are_no_file_names_are_refused() {
    let host = Fixture::new("ids");
    for id in ["..", "a.b", "a%2Fb", "%20", &"a".repeat(65)] {
        assert_eq!(host.start(id, "exit 0").0, 400, "{id}");
    }
    assert_eq!(host.start(&"a".repeat(64), "exit 0").0, 200);
}

#[test]
fn without_the_token_nothing_answers() {
    let mut host = Fixture::new("token");
    host.token.push('0');
    assert_eq!(host.start("one", "exit 0").0, 401);
    assert_eq!(host.delete("one").0, 401);
}

#[test]
fn a_host_that_ends_takes_its_containers_along() {
    let mut host = Fixture::new("end");
    host.run_on("one", "echo ready; sleep 1000");
    host.run_on("two", "echo ready; sleep 1000");
    assert_eq!(host.disks(), 2);
    host.host.take();
    assert_eq!(host.disks(), 0);
}
