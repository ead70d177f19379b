//! A Docker engine of our own, for tests that need real containers.
//!
//! It has its own bridge, socket and data, whether or not the machine runs
//! another engine, and it runs in namespaces of its own: when it ends, or we
//! die however suddenly, its processes, containers and mounts are gone. When it
//! is dropped, so are its bridge, its firewall rules and its control groups; if
//! we are killed, those stay. Its images stay always, for the next run.

mod firewall;
mod images;

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::setup;
use firewall::Firewall;
use sandbox_toolbox::{
    process::{self, Contained, Log},
    project,
};

pub use images::{AGENT_IMAGE, BUSYBOX_IMAGE, EGRESS_IMAGE};

/// Debian's client. Another on `PATH` may be one that cannot build.
const CLIENT: &str = "/usr/bin/docker";

/// Our bridge, and the parent of our containers' control groups.
const NAME: &str = "sandbox-tests";
/// The bridge's address: what containers call this machine.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 83, 1);
const PREFIX: u8 = 24;

/// The line by which the engine says that it serves.
const READY: &str = "API listen on";
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(20);

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// What stands between Wrangler and Docker's client: drops the flags that are
/// only for buildx, lets `pull` succeed, because all images are here already,
/// and says that the engine is rootless, because only then does Wrangler give
/// containers FUSE on Linux, as the platform does.
const WRAPPER: &str = r#"#!/bin/sh
for argument; do
  shift
  case $argument in
    --load | --provenance=*) ;;
    *SecurityOptions*) echo '["name=rootless"]'; exit ;;
    *) set -- "$@" "$argument" ;;
  esac
done
[ "$1" = pull ] && exit
exec CLIENT "$@"
"#;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    state: PathBuf,
    // Undone in this order.
    process: Option<Contained>,
    log: Option<thread::JoinHandle<()>>,
    _network: Network,
    _lock: File,
}

impl Engine {
    /// Starts an engine with its data in cargo's target directory. There is
    /// one at a time on a machine: waits for another to end.
    pub fn start() -> Result<Self> {
        let is_root = rustix::process::geteuid().is_root();
        ensure!(is_root, "a Docker engine needs root");
        setup::docker()?;
        let cache = project::tool_cache()?;
        fs::create_dir_all(&cache)?;
        let lock = File::create(cache.join("docker.lock"))?;
        lock.lock()?;

        let state = project::target_dir().join("docker");
        fs::create_dir_all(&state)?;
        let state = state.canonicalize()?;
        let engine = Self {
            process: None,
            log: None,
            _network: Network::make()?,
            _lock: lock,
            state,
        };
        engine.launch()
    }

    fn launch(mut self) -> Result<Self> {
        let configuration = self.state.join("daemon.json");
        fs::write(&configuration, "{}")?;
        let wrapper = self.wrapper();
        fs::write(&wrapper, WRAPPER.replace("CLIENT", CLIENT))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        // Of an engine that was killed.
        for stale in ["docker.pid", "docker.sock"] {
            fs::remove_file(self.state.join(stale)).ok();
        }
        let dockerd = project::find_program("dockerd").context("dockerd is missing")?;
        let (output, end) = io::pipe()?;
        let mut command = Contained::command()?;
        command
            .args(["--dev-bind", "/", "/", "--proc", "/proc"])
            // Where its helpers put sockets, whatever they are told.
            .args(["--tmpfs", "/run/containerd", "--"])
            .arg(dockerd)
            .arg("--config-file")
            .arg(configuration)
            .args(["--bridge", NAME, "--cgroup-parent", NAME])
            .args(["--storage-driver", "overlay2", "--data-root"])
            .arg(self.state.join("data"))
            .arg("--exec-root")
            .arg(self.state.join("exec"))
            .arg("--pidfile")
            .arg(self.state.join("docker.pid"))
            .args(["--host", &self.host()])
            .stdout(end.try_clone()?)
            .stderr(end);
        let path = self.state.join("dockerd.log");
        let log = Log::new(&path, READY, false)?;
        let (collector, ready) = log.collect(output);
        self.log = Some(collector);
        self.process = Some(Contained::spawn(command)?);
        if ready.recv_timeout(START_PATIENCE).is_err() {
            bail!(
                "the Docker engine does not start:\n{}",
                process::last_lines(&path)
            );
        }
        Ok(self)
    }

    /// Its address, as in `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.state.join("docker.sock").display())
    }

    /// What containers call this machine.
    pub fn gateway(&self) -> Ipv4Addr {
        GATEWAY
    }

    /// Docker's client as Wrangler is to call it (`WRANGLER_DOCKER_BIN`).
    pub fn wrapper(&self) -> PathBuf {
        self.state.join("docker")
    }

    /// Docker's client.
    pub fn client(&self) -> Command {
        let mut client = Command::new(CLIENT);
        client
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_BUILDKIT", "1");
        client
    }

    /// Runs Docker's client and returns what it wrote, without the last line's end.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = process::output(self.client().args(arguments))?;
        Ok(output.trim_end().to_owned())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It would ask them to end, and wait.
        if let Ok(containers) = self.docker(&["ps", "--all", "--quiet"])
            && !containers.is_empty()
        {
            let mut remove = self.client();
            remove.args(["rm", "--force", "--volumes"]);
            // Wrangler may be removing them, too.
            remove.args(containers.lines()).stdout(Stdio::null());
            remove.stderr(Stdio::null()).status().ok();
        }
        if let Some(process) = self.process.take() {
            process.stop(STOP_PATIENCE).ok();
        }
        if let Some(log) = self.log.take() {
            log.join().ok();
        }
        for controller in fs::read_dir(CONTROL_GROUPS).into_iter().flatten().flatten() {
            remove_control_groups(&controller.path().join(NAME));
        }
        remove_control_groups(&Path::new(CONTROL_GROUPS).join(NAME));
    }
}

/// Removes a control group and those in it; they are empty.
fn remove_control_groups(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_control_groups(&inner.path());
        }
    }
    fs::remove_dir(group).ok();
}

/// Our bridge; and what the engine changes of the machine's network, put back
/// when this is dropped.
#[derive(Debug)]
struct Network {
    firewall: Firewall,
    forwarding: String,
}

impl Network {
    fn make() -> Result<Self> {
        let network = Self {
            firewall: Firewall::read()?,
            forwarding: fs::read_to_string(FORWARDING)?,
        };
        // Of an engine that was killed.
        remove_bridge();
        let ip = |arguments: &[&str]| process::run(Command::new("ip").args(arguments));
        ip(&["link", "add", NAME, "type", "bridge"])?;
        let address = format!("{GATEWAY}/{PREFIX}");
        ip(&["address", "add", &address, "dev", NAME])?;
        ip(&["link", "set", NAME, "up"])?;
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.firewall.put_back() {
            eprintln!("the firewall is not as it was: {error:#}");
        }
        fs::write(FORWARDING, &self.forwarding).ok();
        remove_bridge();
    }
}

fn remove_bridge() {
    Command::new("ip")
        .args(["link", "delete", NAME])
        .stderr(Stdio::null())
        .status()
        .ok();
}
