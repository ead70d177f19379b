//! The consumer in Rust as tests call it.

use reqwest::Client;
use sandbox_shared::SandboxError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

/// A Worker that reaches sandboxes through the client crate.
#[derive(Clone, Debug)]
pub struct RustConsumer {
    client: Client,
    address: String,
}

/// What it answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer<T> {
    Value(T),
    Error(SandboxError),
}

impl RustConsumer {
    pub(crate) fn new(client: Client, address: String) -> Self {
        Self { client, address }
    }

    /// Calls a method of a sandbox.
    pub async fn call<T: DeserializeOwned>(
        &self,
        sandbox: &str,
        method: &str,
        args: impl Serialize,
    ) -> Result<T, SandboxError> {
        self.call_of("Sandbox", sandbox, method, args).await
    }

    /// The same, by another binding.
    pub async fn call_of<T: DeserializeOwned>(
        &self,
        binding: &str,
        sandbox: &str,
        method: &str,
        args: impl Serialize,
    ) -> Result<T, SandboxError> {
        let call =
            json!({ "binding": binding, "sandbox": sandbox, "method": method, "args": args });
        let request = self.client.post(&self.address).json(&call);
        let text = request.send().await.unwrap().text().await.unwrap();
        match serde_json::from_str(&text) {
            Ok(Answer::Value(value)) => Ok(value),
            Ok(Answer::Error(error)) => Err(error),
            Err(error) => panic!("{method} gave {text}: {error}"),
        }
    }
}
