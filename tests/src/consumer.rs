//! The consumer Worker as tests call it: samples of the guide, and single
//! methods over Durable Object RPC.

use anyhow::{Context, Result};
use reqwest::Client;
use sandbox_shared::{
    DirectoryBackup, RestoreBackupResult,
    files::{ExecEvent, ExecResult, ExistsResult, ListFilesResult, ReadFileResult},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// How a sandbox Worker is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setup {
    /// As in development: archives travel through the Worker's gateway.
    Main,
    /// Neither credentials, nor a gateway, nor an API token.
    Unconfigured,
    /// As in development, except that the gateway is a [`crate::faulty_gateway`]
    /// and the bucket fails on demand (`tests/consumer/faulty.mjs`).
    Faulty,
    /// As in production: archives travel through presigned URLs of an S3 server.
    Production,
    /// As in development, except that another program answers in the agent's place,
    /// a [`crate::liar`], and that containers never sleep.
    Lying,
    /// In containers of Docker only: they sleep later than those of
    /// [`Setup::Main`] do there.
    Patient,
}

impl Setup {
    /// Those of the stage without Docker.
    pub const ALL: [Self; 5] = [
        Self::Main,
        Self::Unconfigured,
        Self::Faulty,
        Self::Production,
        Self::Lying,
    ];

    /// The word for it in the consumer's routes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Unconfigured => "unconfigured",
            Self::Faulty => "faulty",
            Self::Production => "production",
            Self::Lying => "lying",
            Self::Patient => "patient",
        }
    }
}

/// What was thrown at a caller in JavaScript.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thrown {
    /// Whether it is an `Error` object.
    pub is_error: bool,
    /// `error.name`
    pub name: String,
    /// `error.message`
    pub message: String,
    /// `error.code`
    pub code: Option<String>,
    /// `error.context`
    pub context: Option<Map<String, Value>>,
    /// `error.status`
    pub status: Option<u16>,
}

impl Thrown {
    /// `error.code`, or nothing.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }
}

/// The outcome of a call.
pub type Called<T> = Result<T, Thrown>;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Value(T),
    Error(Thrown),
}

/// A consumer Worker.
#[derive(Clone, Debug)]
pub struct Consumer {
    client: Client,
    /// Without a slash at its end.
    address: String,
}

impl Consumer {
    /// The consumer whose routes are below `address`.
    pub fn new(client: Client, address: String) -> Self {
        Self { client, address }
    }

    async fn post<T: DeserializeOwned>(&self, route: &str, body: &Value) -> Called<T> {
        let answer: Result<Answer<T>> = async {
            let response = self
                .client
                .post(format!("{}/{route}", self.address))
                .json(body)
                .send()
                .await?;
            let text = response.text().await?;
            serde_json::from_str(&text).with_context(|| text)
        }
        .await;
        match answer {
            Ok(Answer::Value(value)) => Ok(value),
            Ok(Answer::Error(thrown)) => Err(thrown),
            Err(error) => panic!("the consumer's {route} gave no answer: {error:#}"),
        }
    }

    /// Runs a sample of the guide.
    pub async fn run_sample(&self, name: &str, input: Value) -> Called<Value> {
        self.post(&format!("samples/{name}"), &input).await
    }

    /// Runs the samples of one of our documents, which must succeed.
    pub async fn run_document(&self, name: &str, input: Value) {
        let ran: Called<Value> = self.post(&format!("documents/{name}"), &input).await;
        ran.unwrap_or_else(|thrown| panic!("{thrown:?}"));
    }

    /// A sandbox of `my-sandbox-worker`.
    pub fn sandbox(&self, name: &str) -> Sandbox {
        self.sandbox_of(Setup::Main, name)
    }

    /// A sandbox of the Worker that is set up like this.
    pub fn sandbox_of(&self, setup: Setup, name: &str) -> Sandbox {
        Sandbox {
            consumer: self.clone(),
            route: "call",
            setup,
            name: name.to_owned(),
        }
    }
}

/// A sandbox, reached through the client package.
#[derive(Clone, Debug)]
pub struct Sandbox {
    consumer: Consumer,
    route: &'static str,
    setup: Setup,
    name: String,
}

impl Sandbox {
    /// The same sandbox through its bare Durable Object stub.
    #[must_use]
    pub fn bare_stub(mut self) -> Self {
        self.route = "stub-call";
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of its Durable Object, which is also that of its container.
    pub async fn object_id(&self) -> String {
        let body = json!({ "setup": self.setup, "sandbox": self.name });
        let id = self.consumer.post("object-id", &body).await;
        id.expect("ids of objects are made, not asked for")
    }

    /// Calls a method.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, args: Value) -> Called<T> {
        let body = json!({
            "setup": self.setup, "sandbox": self.name, "method": method, "args": args,
        });
        self.consumer.post(self.route, &body).await
    }

    /// Makes calls to the bucket of a [`Setup::Faulty`] sandbox fail, each once:
    /// what `planFaults` of `tests/consumer/faulty.mjs` takes.
    pub async fn plan_faults(&self, how: &str, faults: &[(&str, &str, &str)]) {
        let faults: Vec<_> = faults
            .iter()
            .map(|(operation, key, when)| {
                json!({ "operation": operation, "key": key, "when": when, "how": how })
            })
            .collect();
        let stub = self.clone().bare_stub();
        let _: Value = stub.call("planFaults", json!([faults])).await.unwrap();
    }

    /// Resets the object of a [`Setup::Faulty`] or [`Setup::Lying`] sandbox, as
    /// an eviction or an update of the Worker does.
    pub async fn reset(&self) {
        let stub = self.clone().bare_stub();
        let lost = stub.call::<Value>("resetNow", json!([])).await;
        lost.expect_err("its answer goes with the object");
    }

    /// Lets the alarm of a [`Setup::Faulty`] or [`Setup::Lying`] sandbox ring, and
    /// returns in how many milliseconds it would have, if it was set.
    pub async fn ring_alarm(&self) -> Option<f64> {
        let stub = self.clone().bare_stub();
        stub.call("ringAlarm", json!([])).await.unwrap()
    }

    /// How many uploads of a [`Setup::Faulty`] sandbox still take parts.
    pub async fn open_uploads(&self) -> u64 {
        let stub = self.clone().bare_stub();
        stub.call("openUploads", json!([])).await.unwrap()
    }

    /// `createBackup({dir, ...options})`
    pub async fn create_backup(&self, options: Value) -> Called<DirectoryBackup> {
        self.call("createBackup", json!([options])).await
    }

    /// `createBackup({dir})`, which must succeed.
    pub async fn backup(&self, dir: &str) -> DirectoryBackup {
        self.create_backup(json!({ "dir": dir })).await.unwrap()
    }

    /// `restoreBackup(backup)`
    pub async fn restore_backup(&self, backup: impl Serialize) -> Called<RestoreBackupResult> {
        self.call("restoreBackup", json!([backup])).await
    }

    /// `exec(command, options)`
    pub async fn exec(&self, command: &str, options: Value) -> Called<ExecResult> {
        self.call("exec", json!([command, options])).await
    }

    /// `execStream(command, options)`, all of its events.
    pub async fn exec_stream(&self, command: &str, options: Value) -> Called<Vec<ExecEvent>> {
        self.call("execStream", json!([command, options])).await
    }

    /// `execStream(command)`, left as soon as an event holds `text`.
    pub async fn exec_stream_until(&self, command: &str, text: &str) -> Called<Vec<ExecEvent>> {
        let body = json!({
            "setup": self.setup, "sandbox": self.name, "method": "execStream",
            "args": [command], "until": text,
        });
        self.consumer.post(self.route, &body).await
    }

    /// What a command that must succeed writes to standard output.
    pub async fn run(&self, command: &str) -> String {
        let result = self.exec(command, json!({})).await.unwrap();
        assert!(result.success, "{command}: {result:?}");
        result.stdout
    }

    /// `writeFile(path, text)`, which must succeed.
    pub async fn write(&self, path: &str, text: &str) {
        let _: Value = self.call("writeFile", json!([path, text])).await.unwrap();
    }

    /// `readFile(path)`
    pub async fn read_file(&self, path: &str) -> Called<ReadFileResult> {
        self.call("readFile", json!([path])).await
    }

    /// The text of a file that must be there.
    pub async fn read(&self, path: &str) -> String {
        self.read_file(path).await.unwrap().content
    }

    /// `listFiles(path, options)`
    pub async fn list_files(&self, path: &str, options: Value) -> Called<ListFilesResult> {
        self.call("listFiles", json!([path, options])).await
    }

    /// `exists(path)`
    pub async fn exists(&self, path: &str) -> bool {
        let result: ExistsResult = self.call("exists", json!([path])).await.unwrap();
        result.exists
    }

    /// `status()`
    pub async fn status(&self) -> Value {
        self.call("status", json!([])).await.unwrap()
    }
}
