//! A headless Chromium, driven over WebDriver (W3C).

use std::process::Stdio;

use anyhow::{Context, Result};
use fantoccini::{Client, ClientBuilder, elements::Element, error::CmdError, wd::Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Chromium's own services would look for the Internet.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser with one window. It ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Child,
    /// What the browser writes; removed after it has ended.
    _scratch: TempDir,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", scratch.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("chromedriver")?;
        let output = driver.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        let port = loop {
            let line = lines.next_line().await?.context("chromedriver ended")?;
            let port = line.split_once("started successfully on port ");
            if let Some((_, port)) = port {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let capabilities = json!({ "goog:chromeOptions": { "args": ARGUMENTS } });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().cloned().unwrap_or_default())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await?;
        Ok(Self {
            client,
            _driver: driver,
            _scratch: scratch,
        })
    }

    /// The window.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an element that is shown.
    pub async fn shown(&self, css: &str) -> Result<Element, CmdError> {
        loop {
            let found = self.client.wait().for_element(Locator::Css(css)).await?;
            if found.is_displayed().await? {
                return Ok(found);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until an element has `text` in it.
    pub async fn says(&self, css: &str, text: &str) -> Result<(), CmdError> {
        let path = format!("//*[@id='{css}'][contains(., '{text}')]");
        self.client
            .wait()
            .for_element(Locator::XPath(&path))
            .await
            .map(drop)
    }

    /// Clicks on the element with this id.
    pub async fn click(&self, id: &str) -> Result<(), CmdError> {
        self.shown(&format!("#{id}")).await?.click().await
    }

    /// Types into the field with this id, in place of what is there.
    pub async fn fill(&self, id: &str, text: &str) -> Result<(), CmdError> {
        let field = self.shown(&format!("#{id}")).await?;
        field.clear().await?;
        field.send_keys(text).await
    }

    /// Ends the browser; dropping it alone would leave it running.
    pub async fn close(self) -> Result<(), CmdError> {
        self.client.clone().close().await
    }
}
