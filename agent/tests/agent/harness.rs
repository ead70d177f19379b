//! A running agent, in a playground that nobody else uses.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rstest::fixture;
use sandbox_shared::{
    BackupId, Compression, ErrorCode, SandboxError, Selection, Strategy,
    error::from_json,
    files::ExecEvent,
    protocol::{
        AgentStatus, ArchiveSource, CreateBackup, CreateEvent, MountState, MountStatus, PartUrl,
        PartUrls, RestoreBackup, RestoreEvent, UploadedArchive, env, paths,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{playground::Playground, store::Store};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox-agent");
pub(crate) const TOKEN: &str = "a token for tests";
/// What takes longer than this never happens.
const PATIENCE: Duration = Duration::from_secs(20);

/// What most tests begin with.
pub(crate) type Setting = (Playground, Agent, Store);

#[fixture]
pub(crate) async fn setting() -> Setting {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    (playground, agent, Store::start().await)
}

pub(crate) fn id() -> BackupId {
    BackupId::parse("0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10").unwrap()
}

/// Fails with a reason where mounting cannot work.
pub(crate) fn require_mounts() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test mounts file systems: run it as root"
    );
    for device in ["/dev/fuse", "/dev/loop-control"] {
        assert!(Path::new(device).exists(), "this test needs {device}");
    }
}

/// Waits until `condition` holds. For what happens in other processes, of
/// which there is no event.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The program, serving.
pub(crate) struct Agent {
    process: Child,
    client: Client,
    origin: String,
}

impl Agent {
    pub(crate) fn start(playground: &Playground) -> Self {
        Self::start_by(Command::new(PROGRAM), playground)
    }

    /// Starts one that gives a store which does nothing one second.
    pub(crate) fn start_impatient(playground: &Playground) -> Self {
        let mut command = Command::new(PROGRAM);
        command.env(env::STORE_TIMEOUT, "1");
        Self::start_by(command, playground)
    }

    /// Starts it through another program, whose last argument it becomes.
    pub(crate) fn start_by(mut command: Command, playground: &Playground) -> Self {
        // Without it no client can be built, even one for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        let mut process = command
            .arg("serve")
            .env(env::TOKEN, TOKEN)
            .env(env::LISTEN, "127.0.0.1:0")
            .env(env::STATE_DIR, playground.state_dir())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit(' ').next().unwrap();
        Self {
            origin: format!("http://{address}"),
            client,
            process,
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks for something, and gives all of the answer if it comes to its end.
    pub(crate) async fn try_post<T: Serialize>(&self, path: &str, body: &T) -> Option<String> {
        let request = self
            .request(Method::POST, path)
            .body(serde_json::to_string(body).unwrap());
        request.send().await.ok()?.text().await.ok()
    }

    /// The most that it has had in memory, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// How many files of a playground it has open, nameless ones included.
    pub(crate) fn open_files_below(&self, playground: &Playground) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        files
            .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
            .filter(|target| target.starts_with(playground.path("")))
            .count()
    }

    pub(crate) fn request_without_token(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.origin))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_without_token(method, path).bearer_auth(TOKEN)
    }

    pub(crate) async fn post<T: Serialize>(&self, path: &str, body: &T) -> Response {
        self.request(Method::POST, path)
            .body(serde_json::to_string(body).unwrap())
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn status(&self) -> AgentStatus {
        let response = self
            .request(Method::GET, paths::STATUS)
            .send()
            .await
            .unwrap();
        answer(response).await
    }

    /// How a restored directory is.
    pub(crate) async fn mount(&self, dir: &str) -> MountStatus {
        let mounts = self.status().await.mounts;
        mounts.into_iter().find(|mount| mount.dir == dir).unwrap()
    }

    /// Waits until a restored directory is as asked.
    pub(crate) async fn mount_is(&self, dir: &str, so: impl Fn(&MountStatus) -> bool) {
        let start = Instant::now();
        loop {
            let mount = self.mount(dir).await;
            if so(&mount) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "still {mount:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a restored directory can be read.
    pub(crate) async fn is_active(&self, dir: &str) {
        self.mount_is(dir, |mount| mount.state == MountState::Active)
            .await;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("the agent has ended", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }

    /// Runs a command to its end.
    pub(crate) async fn exec(&self, request: serde_json::Value) -> Vec<ExecEvent> {
        let mut events = Events::of(self.post(paths::EXEC, &request).await);
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        all
    }

    /// Starts a backup.
    pub(crate) async fn start_backup(&self, request: &CreateBackup) -> Events {
        Events::of(self.post(paths::BACKUPS, request).await)
    }

    /// Follows a backup to its end, and hands out URLs of `store`.
    pub(crate) async fn finish_backup(&self, mut events: Events, store: &Store) -> CreateEvent {
        while let Some(event) = events.next().await {
            match event {
                CreateEvent::PartsNeeded { first, count } => {
                    self.give_parts(store, first, count).await;
                }
                CreateEvent::Uploaded(_) | CreateEvent::Failed(_) => return event,
                _ => {}
            }
        }
        panic!("the stream ended without a terminal event");
    }

    pub(crate) async fn give_parts(&self, store: &Store, first: u32, count: u32) {
        let urls = (first..first + count).map(|number| PartUrl {
            number,
            url: store.part_url(number),
        });
        let path = paths::BACKUP_PARTS.replace("{id}", id().as_str());
        let response = self
            .post(
                &path,
                &PartUrls {
                    urls: urls.collect(),
                },
            )
            .await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    /// Backs a directory up, and completes the upload as the store does.
    pub(crate) async fn backup(&self, dir: &str, store: &Store) -> Box<UploadedArchive> {
        let events = self.start_backup(&create_request(dir)).await;
        match self.finish_backup(events, store).await {
            CreateEvent::Uploaded(archive) => {
                store.complete(&archive.parts);
                archive
            }
            other => panic!("{other:?}"),
        }
    }

    /// Restores what `store` holds.
    pub(crate) async fn restore(&self, request: &RestoreBackup) -> RestoreEvent {
        let mut events = Events::of(self.post(paths::RESTORES, request).await);
        while let Some(event) = events.next().await {
            if !matches!(event, RestoreEvent::Progress { .. }) {
                return event;
            }
        }
        panic!("the stream ended without a terminal event");
    }

    /// Restores, and expects it to succeed.
    pub(crate) async fn restored(&self, request: &RestoreBackup) -> Strategy {
        match self.restore(request).await {
            RestoreEvent::Mounted(status) => status.strategy,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn unmount(&self, dir: &str) {
        self.unmount_by(dir, false).await;
    }

    /// Takes a restored directory away, also under those who use it.
    pub(crate) async fn unmount_by(&self, dir: &str, force: bool) {
        let request = json!({ "dir": dir, "force": force });
        let response = self.post(paths::UNMOUNT, &request).await;
        let status = response.status();
        assert_eq!(status, StatusCode::OK, "{}", response.text().await.unwrap());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Killed, it could leave a program behind that is just about to mount.
        let start = Instant::now();
        while let Ok(None) = self.process.try_wait() {
            if start.elapsed() > PATIENCE {
                let _ = self.process.kill();
            } else {
                self.signal(rustix::process::Signal::TERM);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(crate) fn create_request(dir: &str) -> CreateBackup {
    CreateBackup {
        id: id(),
        dir: dir.to_owned(),
        selection: Selection::default(),
        compression: Compression::default(),
    }
}

pub(crate) fn restore_request(
    dir: &str,
    store: &Store,
    archive: &UploadedArchive,
    strategy: Option<Strategy>,
) -> RestoreBackup {
    RestoreBackup {
        id: id(),
        dir: dir.to_owned(),
        source: ArchiveSource {
            url: store.archive_url(),
            url_expires_at: None,
            size_bytes: archive.size_bytes,
            checksum: Some(archive.checksum.clone()),
        },
        strategy,
        force: false,
    }
}

/// A successful answer.
pub(crate) async fn answer<T: DeserializeOwned>(response: Response) -> T {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    from_json(&text, ErrorCode::InternalError).unwrap()
}

/// The error in an answer, whose status must be the one of its code.
pub(crate) async fn error(response: Response) -> SandboxError {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let error: SandboxError = serde_json::from_str(&text).expect(&text);
    assert_eq!(status, error.code.http_status());
    error
}

/// A stream of events.
pub(crate) struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["content-type"],
            sandbox_shared::protocol::EVENT_STREAM_TYPE
        );
        Self {
            response,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            self.buffer
                .extend_from_slice(&chunk.expect("an event in time").unwrap()?);
        }
    }
}
