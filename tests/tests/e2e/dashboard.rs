//! The dashboard, in a browser.

use std::{sync::Arc, time::Duration};

use fantoccini::wd::Locator;
use sandbox_tests::{browser::Browser, stage::Stage};

crate::tests![files_and_policy, what_a_person_does];

/// Compressed, all of it together.
const MOST_BYTES: usize = 60_000;

async fn files_and_policy(stage: Arc<Stage>) {
    let mut bytes = 0;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard.css", "text/css; charset=utf-8"),
        ("/dashboard.js", "text/javascript; charset=utf-8"),
    ] {
        let address = format!("{}{path}", stage.address());
        let response = reqwest::get(address).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], content_type);
        let policy = response.headers()["content-security-policy"].to_str();
        assert!(policy.unwrap().starts_with("default-src 'none';"), "{path}");
        bytes += response.bytes().await.unwrap().len();
    }
    // Without compression, even.
    assert!(bytes < MOST_BYTES, "{bytes}");
}

/// Where pictures of the dashboard go, for people to look at.
async fn picture(browser: &Browser, name: &str) {
    let Ok(directory) = std::env::var("DASHBOARD_PICTURES") else {
        return;
    };
    for (width, height) in [(1280, 900), (390, 844)] {
        let client = browser.client();
        client.set_window_size(width, height).await.unwrap();
        let png = client.screenshot().await.unwrap();
        std::fs::write(format!("{directory}/{name}-{width}.png"), png).unwrap();
    }
    browser.client().set_window_size(1280, 900).await.unwrap();
}

async fn what_a_person_does(stage: Arc<Stage>) {
    let visit = tokio::time::timeout(Duration::from_secs(240), visit(&stage));
    visit.await.expect("the page is stuck").unwrap();
}

async fn visit(stage: &Stage) -> anyhow::Result<()> {
    let sandbox = stage.consumer.sandbox("dashboard");
    sandbox.write("/workspace/file", "as it was").await;
    let browser = Browser::start().await?;
    let client = browser.client();
    client.goto(stage.address()).await?;

    browser.fill("token", "wrong").await?;
    client
        .find(Locator::Css("#sign-in button"))
        .await?
        .click()
        .await?;
    browser.says("message", "not accepted").await?;
    picture(&browser, "sign-in").await;
    browser.fill("token", stage.api_token()).await?;
    client
        .find(Locator::Css("#sign-in button"))
        .await?
        .click()
        .await?;
    browser.shown("#overview").await?;
    picture(&browser, "overview").await;

    browser.fill("open-name", "dashboard").await?;
    client
        .find(Locator::Css("#open button"))
        .await?
        .click()
        .await?;
    browser.says("backups", "No backups yet").await?;
    for name in ["first", "<b>second</b>"] {
        browser.click("create").await?;
        browser.fill("create-name", name).await?;
        let go = "#create-dialog button[value=ok]";
        browser.shown(go).await?.click().await?;
        browser.says("backups", name).await?;
        browser.says("message", "Backed up 1 file of").await?;
    }
    picture(&browser, "sandbox").await;

    sandbox.write("/workspace/file", "changed").await;
    let restore = "#backups tr:last-child button";
    browser.shown(restore).await?.click().await?;
    browser.says("restore-what", "first").await?;
    picture(&browser, "restore").await;
    let go = "#restore-dialog button[value=ok]";
    browser.shown(go).await?.click().await?;
    browser.says("message", "Restored to /workspace").await?;
    browser.says("mounts", "/workspace").await?;
    assert_eq!(sandbox.read("/workspace/file").await, "as it was");

    browser.click("prune").await?;
    let preview = "#prune-dialog button[type=submit]";
    browser.fill("keep-last", "1").await?;
    browser.shown(preview).await?.click().await?;
    browser.says("prune-result", "1 would be deleted").await?;
    browser.says("prune-list", "first").await?;
    picture(&browser, "prune").await;
    browser.click("prune-go").await?;
    browser.says("prune-result", "1 deleted").await?;
    browser.click("prune-close").await?;

    browser
        .shown("#backups tr button:last-child")
        .await?
        .click()
        .await?;
    browser.says("delete-what", "second").await?;
    let go = "#delete-dialog button[value=ok]";
    browser.shown(go).await?.click().await?;
    browser.says("backups", "No backups yet").await?;

    client
        .find(Locator::Css("#mounts button"))
        .await?
        .click()
        .await?;
    browser.says("mounts", "None.").await?;
    assert_eq!(sandbox.read("/workspace/file").await, "changed");
    browser.close().await?;
    Ok(())
}
