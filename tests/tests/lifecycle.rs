//! What `cargo xtask lifecycle` prints is what Wrangler takes, and asks R2 for
//! the right rules. Wrangler talks to a stand-in for Cloudflare's API.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    num::NonZeroU64,
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::Request, routing::any};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

/// The path and the body of each rule that was set.
type Rules = Arc<Mutex<Vec<(String, Value)>>>;

async fn cloudflare(rules: Rules) -> String {
    let answer = async move |request: Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        if parts.method == "PUT" {
            let rule = serde_json::from_slice(&body).unwrap();
            rules
                .lock()
                .unwrap()
                .push((parts.uri.path().to_owned(), rule));
        }
        Json(json!({ "success": true, "errors": [], "messages": [], "result": { "rules": [] } }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let router = Router::new().fallback(any(answer));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test]
async fn wrangler_takes_the_commands() {
    let rules = Rules::default();
    let address = cloudflare(Arc::clone(&rules)).await;
    let tools = xtask::setup::worker().unwrap().node;
    let scratch = tempfile::tempdir().unwrap();
    let commands = xtask::lifecycle::commands(NonZeroU64::new(604_800).unwrap()).unwrap();
    let readme =
        std::fs::read_to_string(sandbox_toolbox::project::root().join("README.md")).unwrap();
    for command in commands {
        assert!(readme.contains(&format!("\n{command}\n")), "{command}");
        let arguments = command.strip_prefix("npx wrangler ").unwrap();
        let output = Command::from(tools.script(&tools.wrangler).unwrap())
            .args(arguments.split(' '))
            .current_dir(scratch.path())
            .env("HOME", scratch.path())
            .env("CI", "true")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", scratch.path().join("logs"))
            .env("CLOUDFLARE_API_BASE_URL", &address)
            .env("CLOUDFLARE_API_TOKEN", "none")
            .env("CLOUDFLARE_ACCOUNT_ID", "account")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let rules = rules.lock().unwrap();
    let [(path, expire), (_, abort)] = &rules[..] else {
        panic!("{rules:?}")
    };
    assert!(
        path.ends_with("/accounts/account/r2/buckets/my-backup-bucket/lifecycle"),
        "{path}"
    );
    let days = |days: u64| json!({ "type": "Age", "maxAge": days * 86_400 });
    assert_eq!(expire["rules"][0]["conditions"]["prefix"], "backups/");
    assert_eq!(
        expire["rules"][0]["deleteObjectsTransition"]["condition"],
        days(7)
    );
    assert_eq!(abort["rules"][0]["conditions"]["prefix"], "backups/");
    assert_eq!(
        abort["rules"][0]["abortMultipartUploadsTransition"]["condition"],
        days(1)
    );
}
