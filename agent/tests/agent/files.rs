use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use reqwest::{Method, StatusCode};
use sandbox_shared::{
    ErrorCode,
    files::{ExistsResult, FileType, ListFilesResult},
    protocol::paths,
};

use crate::{
    harness::{Agent, answer, error},
    playground::Playground,
};

async fn write(agent: &Agent, path: &str, content: impl Into<reqwest::Body>) -> reqwest::Response {
    agent
        .request(Method::PUT, paths::FILES)
        .query(&[("path", path)])
        .body(content)
        .send()
        .await
        .unwrap()
}

async fn get(agent: &Agent, route: &str, query: &[(&str, &str)]) -> reqwest::Response {
    agent
        .request(Method::GET, route)
        .query(query)
        .send()
        .await
        .unwrap()
}

async fn delete(agent: &Agent, path: &str) -> reqwest::Response {
    agent
        .request(Method::DELETE, paths::FILES)
        .query(&[("path", path)])
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_written_is_read() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let path = playground.text("made/on the way/žluťoučký 🐎 & 50% +1\nline");
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7) as u8).collect();
    let response = write(&agent, &path, content.clone()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = get(&agent, paths::FILES, &[("path", &path)]).await;
    assert_eq!(response.content_length(), Some(3_000_000));
    assert_eq!(response.bytes().await.unwrap(), content);
}

#[tokio::test]
async fn an_existing_file_keeps_mode_and_owner_and_links_are_followed() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let file = playground.path("script");
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(4321)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4750)).unwrap();
    symlink("script", playground.path("link")).unwrap();
    write(&agent, &playground.text("link"), "new").await;
    let about = file.metadata().unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(
        (about.mode() & 0o7777, about.uid(), about.gid()),
        (0o4750, 1234, 4321)
    );
    assert!(playground.path("link").is_symlink());
}

#[tokio::test]
async fn a_write_that_is_cut_off_changes_nothing() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let dir = playground.small_tree("tree");
    let pieces = futures_util::stream::iter([
        Ok("half".to_owned()),
        Err(std::io::Error::other("the writer is gone")),
    ]);
    let sent = agent
        .request(Method::PUT, paths::FILES)
        .query(&[("path", format!("{dir}/a"))])
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await;
    assert!(sent.is_err());
    crate::harness::eventually("the temporary file is gone", || {
        std::fs::read_dir(&dir).unwrap().count() == 2
    })
    .await;
    assert_eq!(
        std::fs::read_to_string(format!("{dir}/a")).unwrap(),
        "first"
    );
}

#[tokio::test]
async fn failures_have_codes() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let dir = playground.small_tree("tree");
    let missing = error(get(&agent, paths::FILES, &[("path", "/no/such")]).await).await;
    assert_eq!(missing.code, ErrorCode::FileNotFound);
    assert_eq!(missing.context["errno"], "ENOENT");
    let below = format!("{dir}/a/below");
    let failed = error(write(&agent, &below, "x").await).await;
    assert_eq!(failed.code, ErrorCode::FileOperationFailed);
    assert_eq!(failed.context["errno"], "ENOTDIR");
    // Writing makes what is missing: nothing that was asked for is not there.
    let no_place = error(write(&agent, "/proc/no/such", "x").await).await;
    assert_eq!(no_place.code, ErrorCode::FileOperationFailed);
    assert_eq!(no_place.context["errno"], "ENOENT");
    for response in [
        get(&agent, paths::FILES, &[("path", &dir)]).await,
        get(&agent, paths::FILES, &[("path", "relative")]).await,
        get(&agent, paths::FILES, &[]).await,
        write(&agent, &dir, "x").await,
        delete(&agent, &dir).await,
    ] {
        assert_eq!(error(response).await.code, ErrorCode::InvalidRequest);
    }
}

#[tokio::test]
async fn delete_removes_files_and_links_only() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let dir = playground.small_tree("tree");
    symlink("sub", playground.path("tree/link")).unwrap();
    for name in ["a", "link"] {
        let response = delete(&agent, &format!("{dir}/{name}")).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert!(playground.path("tree/sub/b").exists());
    let again = error(delete(&agent, &format!("{dir}/a")).await).await;
    assert_eq!(again.code, ErrorCode::FileNotFound);
}

#[tokio::test]
async fn listing() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let dir = playground.small_tree("tree");
    std::fs::create_dir(playground.path("tree/.hidden")).unwrap();
    std::fs::write(playground.path("tree/.hidden/x"), "").unwrap();
    symlink("a", playground.path("tree/link")).unwrap();
    let list = async |query: &[(&str, &str)]| {
        let query = [&[("path", dir.as_str())], query].concat();
        answer::<ListFilesResult>(get(&agent, paths::LIST, &query).await).await
    };
    let names = |result: &ListFilesResult| {
        let names = result.files.iter().map(|file| file.relative_path.clone());
        names.collect::<Vec<_>>().join(" ")
    };
    let plain = list(&[]).await;
    assert_eq!(names(&plain), "a link sub");
    assert_eq!(plain.count, 3);
    assert_eq!(plain.files[1].kind, FileType::Symlink);
    assert_eq!(
        (plain.files[0].size, plain.files[0].mode.as_str()),
        (5, "0644")
    );
    let all = list(&[("recursive", "true"), ("includeHidden", "true")]).await;
    assert_eq!(names(&all), ".hidden .hidden/x a link sub sub/b");
    let seen = list(&[("recursive", "true")]).await;
    assert_eq!(names(&seen), "a link sub sub/b");
}

#[tokio::test]
async fn directories_and_existence() {
    let playground = Playground::new();
    let agent = Agent::start(&playground);
    let path = playground.text("x/y");
    let mkdir = async |recursive: &str| {
        let query = [("path", path.as_str()), ("recursive", recursive)];
        let request = agent.request(Method::POST, paths::MKDIR).query(&query);
        request.send().await.unwrap()
    };
    assert_eq!(
        error(mkdir("false").await).await.code,
        ErrorCode::FileNotFound
    );
    assert_eq!(mkdir("true").await.status(), StatusCode::OK);
    assert_eq!(mkdir("true").await.status(), StatusCode::OK);
    let again = error(mkdir("false").await).await;
    assert_eq!(again.context["errno"], "EEXIST");
    symlink("nowhere", playground.path("x/dangling")).unwrap();
    for (name, there) in [("x/y", true), ("x/dangling", true), ("x/none", false)] {
        let query = [("path", playground.text(name))];
        let query: Vec<_> = query.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let result: ExistsResult = answer(get(&agent, paths::EXISTS, &query).await).await;
        assert_eq!(result.exists, there, "{name}");
    }
}
