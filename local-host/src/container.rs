//! Starting, watching and killing containers.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Signal, geteuid};
use tokio::{
    sync::{Mutex, watch},
    task::{self, JoinSet},
};

use super::{
    Options,
    disk::{self, AGENT, Disks},
    front::{Activity, Front},
};
use sandbox_shared::protocol::env;
use sandbox_toolbox::process::{Contained, ExitCode};

/// What root in a container may do: what Docker allows, and mounting.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
];

/// All containers of a host.
#[derive(Debug)]
pub(super) struct Platform {
    agent: PathBuf,
    logs: PathBuf,
    loop_devices: bool,
    inactivity_timeout: Duration,
    disks: Arc<Disks>,
    containers: Mutex<Containers>,
}

#[derive(Debug, Default)]
struct Containers {
    /// The last one of each id.
    by_id: HashMap<String, Container>,
    /// One task for each that is not gone.
    keepers: JoinSet<()>,
}

/// A container that runs, or has run.
#[derive(Clone, Debug)]
pub(super) struct Container {
    /// Where its agent is reached.
    pub(super) address: SocketAddr,
    /// What its object does with it.
    pub(super) activity: Activity,
    process: Arc<Contained>,
    gone: watch::Receiver<bool>,
}

/// What starting gives.
#[derive(Debug)]
pub(super) enum Started {
    /// A new container.
    New(Container),
    /// The one that was there.
    Running(Container),
}

impl Platform {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let agent = options
            .agent
            .canonicalize()
            .with_context(|| format!("there is no agent at {}", options.agent.display()))?;
        fs::create_dir_all(&options.logs)?;
        Ok(Self {
            agent,
            logs: options.logs.clone(),
            loop_devices: options.loop_devices,
            inactivity_timeout: options.inactivity_timeout,
            disks: Arc::new(Disks::new(&options.disks)?),
            containers: Mutex::default(),
        })
    }

    /// Starts a container, unless it runs. Its agent may need a moment more
    /// until it listens.
    pub(super) async fn start(
        &self,
        id: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Started> {
        let mut containers = self.containers.lock().await;
        if let Some(container) = containers.by_id.get(id)
            && container.is_running()
        {
            return Ok(Started::Running(container.clone()));
        }
        let disk = self.disks.make(id).context("cannot make a disk")?;
        let agent = free_address()?;
        let activity = Activity::new(self.inactivity_timeout);
        let front = Front::new(agent, activity.clone()).await?;
        let address = front.address()?;
        let process = match self.spawn(id, &disk, agent, environment) {
            Ok(process) => Arc::new(process),
            Err(error) => {
                disk::remove(&disk).ok();
                return Err(error);
            }
        };
        let (end, gone) = watch::channel(false);
        let mut exit = process.exit();
        let (inactive, kept) = (activity.clone(), process.clone());
        containers.keepers.spawn(async move {
            let ended = exit.wait_for(Option::is_some);
            let served = async {
                tokio::select! {
                    () = front.serve() => {}
                    () = inactive.ended() => {}
                }
                // By force, as `wrangler dev` does it with Docker.
                kept.signal(Signal::KILL).ok();
                std::future::pending().await
            };
            tokio::select! {
                _ = ended => {}
                () = served => {}
            }
            if let Ok(Err(error)) = task::spawn_blocking(move || disk::remove(&disk)).await {
                eprintln!("container host: a disk is not removed: {error}");
            }
            end.send_replace(true);
        });
        let container = Container {
            address,
            activity,
            process,
            gone,
        };
        containers.by_id.insert(id.into(), container.clone());
        Ok(Started::New(container))
    }

    /// The last container of this id.
    pub(super) async fn get(&self, id: &str) -> Option<Container> {
        self.containers.lock().await.by_id.get(id).cloned()
    }

    /// Kills all containers and returns when nothing is left of them.
    pub(super) async fn shut_down(&self) {
        let mut containers = self.containers.lock().await;
        for container in containers.by_id.values() {
            container.signal(Signal::KILL).ok();
        }
        while containers.keepers.join_next().await.is_some() {}
    }

    fn spawn(
        &self,
        id: &str,
        disk: &Path,
        address: SocketAddr,
        environment: &BTreeMap<String, String>,
    ) -> Result<Contained> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.logs.join(format!("{id}.log")))?;
        let mut command = Contained::command()?;
        command.args(["--unshare-ipc", "--unshare-uts", "--hostname", id]);
        if !geteuid().is_root() {
            command.args(["--unshare-user", "--uid", "0", "--gid", "0"]);
        }
        command.args(["--cap-drop", "ALL"]);
        for capability in CAPABILITIES {
            command.args(["--cap-add", capability]);
        }
        command.arg("--bind").arg(disk).arg("/");
        for (outside, inside) in disk::system() {
            command.arg("--ro-bind").args([outside, inside]);
        }
        command
            .arg("--ro-bind")
            .arg(&self.agent)
            .arg(AGENT)
            .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"])
            .args(["--dev-bind-try", "/dev/fuse", "/dev/fuse"]);
        if self.loop_devices {
            for device in disk::loop_devices()? {
                command.arg("--dev-bind").args([&device, &device]);
            }
        }
        command
            .args(["--chdir", "/workspace", "--", AGENT, "serve"])
            .env_clear()
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/sandbox/bin",
            )
            .envs(environment)
            .env(env::LISTEN, address.to_string())
            .stdout(log.try_clone()?)
            .stderr(log);
        Contained::spawn(command)
    }
}

impl Container {
    pub(super) fn is_running(&self) -> bool {
        self.process.exit().borrow().is_none()
    }

    pub(super) fn signal(&self, signal: Signal) -> std::io::Result<()> {
        self.process.signal(signal)
    }

    /// Returns when it has ended; its disk may still be there.
    pub(super) async fn wait(&self) -> ExitCode {
        let mut exit = self.process.exit();
        let code = exit.wait_for(Option::is_some).await;
        code.ok().and_then(|code| *code).unwrap_or(-1)
    }

    /// Returns when nothing of it is left.
    pub(super) async fn gone(&self) {
        self.gone.clone().wait_for(|gone| *gone).await.ok();
    }
}

/// Where agents listen: not on the address from which connections on this machine
/// are made, whose ports come and go.
const AGENTS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A port for an agent that is free now; the kernel hands out others first before
/// it comes back to this one.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((AGENTS, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
