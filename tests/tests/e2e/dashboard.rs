//! The dashboard, in a browser.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fantoccini::{key::Key, wd::Locator};
use sandbox_tests::{browser::Browser, stage::Stage};

crate::tests![
    files_and_policy,
    colours_can_be_told_apart,
    what_a_person_does,
    what_a_person_does_without_a_mouse,
];

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

/// The contrast of two colours `#rrggbb` (WCAG 2.2, "contrast ratio").
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

async fn colours_can_be_told_apart(stage: Arc<Stage>) {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 1e-9);
    let address = format!("{}/dashboard.css", stage.address());
    let css = reqwest::get(address).await.unwrap().text().await.unwrap();
    let colours: HashMap<_, _> = css
        .lines()
        .filter_map(|line| {
            let (name, rest) = line
                .trim()
                .strip_prefix("--")?
                .split_once(": light-dark(")?;
            let (light, dark) = rest.strip_suffix(");")?.split_once(", ")?;
            Some((name, [light, dark]))
        })
        .collect();
    // Text needs 4.5, what shows where a field is and what a plot says needs 3
    // (WCAG 2.2, 1.4.3 and 1.4.11).
    for (front, back, least) in [
        ("ink", "paper", 4.5),
        ("ink", "card", 4.5),
        ("quiet", "paper", 4.5),
        ("quiet", "card", 4.5),
        ("accent", "paper", 4.5),
        ("on-accent", "accent", 4.5),
        ("danger", "paper", 4.5),
        ("danger", "card", 4.5),
        ("edge", "paper", 3.0),
        ("edge", "card", 3.0),
        ("accent", "card", 3.0),
    ] {
        for (theme, scheme) in ["light", "dark"].into_iter().enumerate() {
            let ratio = contrast(colours[front][theme], colours[back][theme]);
            assert!(ratio >= least, "{front} on {back}, {scheme}: {ratio:.2}");
        }
    }
}

/// Where pictures of the dashboard go, for people to look at.
async fn picture(browser: &Browser, name: &str) {
    let Ok(directory) = std::env::var("DASHBOARD_PICTURES") else {
        return;
    };
    let client = browser.client();
    for scheme in ["light", "dark"] {
        let dress = "document.documentElement.style.colorScheme = arguments[0]";
        client.execute(dress, vec![scheme.into()]).await.unwrap();
        for (width, height) in [(1280, 900), (390, 844)] {
            client.set_window_size(width, height).await.unwrap();
            let png = client.screenshot().await.unwrap();
            let path = format!("{directory}/{name}-{scheme}-{width}.png");
            std::fs::write(path, png).unwrap();
        }
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

    let verify = "#backups tr:last-child button:nth-of-type(2)";
    browser.shown(verify).await?.click().await?;
    browser
        .says(
            "message",
            "first is whole: 1 file, 9 B, the checksum matches",
        )
        .await?;
    picture(&browser, "verified").await;

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

async fn what_a_person_does_without_a_mouse(stage: Arc<Stage>) {
    let visit = tokio::time::timeout(Duration::from_secs(240), visit_by_keyboard(&stage));
    visit.await.expect("the page is stuck").unwrap();
}

/// Says how the element that has the focus is called, and whether that shows.
const FOCUSED: &str = r"
    const focused = document.activeElement;
    const name = focused.getAttribute('aria-label') ?? focused.labels?.[0]?.textContent ?? focused.textContent;
    return [name.trim(), getComputedStyle(focused).outlineStyle];
";

/// Everything that can be used and has no name; there is none.
const NAMELESS: &str = r"
    return [...document.querySelectorAll('a, button, input, select, progress, [role=region], [role=img]')]
        .filter((it) => !(it.getAttribute('aria-label') || it.labels?.[0]?.textContent || it.textContent.trim()
            || document.getElementById(it.getAttribute('aria-labelledby'))))
        .map((it) => it.id || it.outerHTML);
";

/// Goes on with Tab until the element of this name has the focus, which must show.
async fn tab_to(browser: &Browser, wanted: &str) -> anyhow::Result<()> {
    let mut met = Vec::new();
    for _ in 0..40 {
        let (name, outline): (String, String) =
            serde_json::from_value(browser.client().execute(FOCUSED, Vec::new()).await?)?;
        if name.starts_with(wanted) {
            assert_ne!(outline, "none", "{name} does not show its focus");
            return Ok(());
        }
        met.push(name);
        press(browser, Key::Tab).await?;
    }
    panic!("Tab does not lead to {wanted}, but to {met:?}");
}

async fn press(browser: &Browser, key: Key) -> anyhow::Result<()> {
    let focused = browser.client().active_element().await?;
    focused.send_keys(&char::from(key).to_string()).await?;
    Ok(())
}

async fn type_in(browser: &Browser, text: &str) -> anyhow::Result<()> {
    let focused = browser.client().active_element().await?;
    focused.send_keys(text).await?;
    Ok(())
}

async fn visit_by_keyboard(stage: &Stage) -> anyhow::Result<()> {
    let sandbox = stage.consumer.sandbox("keyboard");
    sandbox.write("/workspace/file", "content").await;
    sandbox.backup("/workspace").await;
    let browser = Browser::start().await?;
    let client = browser.client();
    client.goto(stage.address()).await?;
    browser.shown("#sign-in").await?;
    // The field has the focus from the start.
    type_in(&browser, stage.api_token()).await?;
    press(&browser, Key::Enter).await?;
    browser.shown("#overview").await?;
    tab_to(&browser, "Name").await?;
    type_in(&browser, "keyboard").await?;
    press(&browser, Key::Enter).await?;
    browser.says("sandbox-title", "keyboard").await?;
    browser.shown("#backups button").await?;
    let nameless = client.execute(NAMELESS, Vec::new()).await?;
    assert_eq!(nameless, serde_json::json!([]));

    // A dialog that is left gives the focus back.
    tab_to(&browser, "Prune").await?;
    press(&browser, Key::Enter).await?;
    browser.shown("#prune-dialog").await?;
    press(&browser, Key::Escape).await?;
    tab_to(&browser, "Prune").await?;
    let name = client.execute(FOCUSED, Vec::new()).await?;
    assert_eq!(name[0], "Prune…");

    tab_to(&browser, "Restore").await?;
    press(&browser, Key::Enter).await?;
    tab_to(&browser, "To directory").await?;
    press(&browser, Key::Enter).await?;
    browser.says("message", "Restored to /workspace").await?;
    // Back where it was, however often the page looks how things are.
    let name = client.execute(FOCUSED, Vec::new()).await?;
    assert!(
        name[0]
            .as_str()
            .is_some_and(|name| name.starts_with("Restore")),
        "{name}"
    );
    browser.says("mounts", "/workspace").await?;

    tab_to(&browser, "Delete").await?;
    press(&browser, Key::Enter).await?;
    browser.shown("#delete-dialog").await?;
    tab_to(&browser, "Delete").await?;
    press(&browser, Key::Enter).await?;
    browser.says("backups", "No backups yet").await?;
    // The button is gone with its backup: the list's heading has the focus.
    let heading = client.execute(FOCUSED, Vec::new()).await?;
    assert_eq!(heading[0], "Backups");
    browser.close().await?;
    Ok(())
}
