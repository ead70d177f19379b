//! An S3 server that we did not write accepts the URLs that we sign, and
//! refuses them once anything about them is changed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::time::Duration;

use reqwest::{Client, StatusCode, header};
use s3s_fs::FileSystem;
use sandbox_tests::s3_server::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use sandbox_worker::storage::sigv4::{self, Credentials, Request};
use tempfile::TempDir;
use time::OffsetDateTime;

const KEY: &str = "backups/0b5d6a2e-6f3c-4b52-9d1e-8a4f7c3b2a10/data.sqsh";
const FIVE_MEBIBYTES: usize = 5 << 20;

struct Store {
    server: S3Server,
    client: Client,
    _root: TempDir,
}

impl Store {
    /// A store with one empty bucket, called `bucket`.
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("bucket")).unwrap();
        let server = S3Server::start(FileSystem::new(root.path()).unwrap())
            .await
            .unwrap();
        Self {
            server,
            client: Client::new(),
            _root: root,
        }
    }

    fn url(&self, method: &str, query: &[(&str, &str)]) -> String {
        self.url_made(OffsetDateTime::now_utc(), method, query)
    }

    /// A URL that is good for a minute from `made`.
    fn url_made(&self, made: OffsetDateTime, method: &str, query: &[(&str, &str)]) -> String {
        sigv4::presign(
            &Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
            "auto",
            &Request {
                method,
                origin: self.server.origin(),
                path: &format!("/bucket/{KEY}"),
                query,
            },
            made,
            Duration::from_secs(60),
        )
    }

    async fn put(&self, url: &str, body: Vec<u8>) -> reqwest::Response {
        self.client.put(url).body(body).send().await.unwrap()
    }

    async fn get(&self, url: &str) -> reqwest::Response {
        self.client.get(url).send().await.unwrap()
    }
}

#[tokio::test]
async fn an_object_is_put_and_read_whole_and_in_ranges() {
    let store = Store::start().await;
    let content = b"0123456789".to_vec();
    let put = store.put(&store.url("PUT", &[]), content).await;
    assert_eq!(put.status(), StatusCode::OK);

    let whole = store.get(&store.url("GET", &[])).await;
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");

    let range = store
        .client
        .get(store.url("GET", &[]))
        .header(header::RANGE, "bytes=3-5")
        .send()
        .await
        .unwrap();
    assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range.bytes().await.unwrap(), "345");

    let head = store.client.head(store.url("HEAD", &[]));
    let head = head.send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "10");
}

#[tokio::test]
async fn an_object_is_uploaded_in_parts() {
    let store = Store::start().await;
    let created = store.client.post(store.url("POST", &[("uploads", "")]));
    let created = created.send().await.unwrap().text().await.unwrap();
    let upload_id = element(&created, "UploadId");

    let parts = [vec![b'a'; FIVE_MEBIBYTES], b"the rest".to_vec()];
    let mut list = String::new();
    for (number, part) in (1..).zip(parts.clone()) {
        let query = [
            ("partNumber", &*number.to_string()),
            ("uploadId", upload_id),
        ];
        let answer = store.put(&store.url("PUT", &query), part).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let etag = answer.headers()[header::ETAG].to_str().unwrap();
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let completed = store
        .client
        .post(store.url("POST", &[("uploadId", upload_id)]))
        .body(format!(
            "<CompleteMultipartUpload>{list}</CompleteMultipartUpload>"
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(completed.status(), StatusCode::OK);

    let whole = store.get(&store.url("GET", &[])).await;
    assert!(whole.bytes().await.unwrap() == parts.concat());
}

#[tokio::test]
async fn a_tampered_url_is_refused() {
    let store = Store::start().await;
    let good = store.url("PUT", &[("partNumber", "1"), ("uploadId", "u")]);
    for (from, to) in [
        ("partNumber=1", "partNumber=2"),
        ("uploadId=u", "uploadId=v"),
        ("X-Amz-Expires=60", "X-Amz-Expires=600"),
        ("data.sqsh", "meta.json"),
        ("&partNumber=1", ""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        let answer = store.put(&bad, b"x".to_vec()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{from}");
    }
    let put_as_get = store.get(&store.url("PUT", &[])).await;
    assert_eq!(put_as_get.status(), StatusCode::FORBIDDEN);

    let (unsigned, signature) = good.split_at(good.len() - 64);
    let flipped = if signature.starts_with('0') { "1" } else { "0" };
    let answer = store
        .put(
            &format!("{unsigned}{flipped}{}", &signature[1..]),
            b"x".to_vec(),
        )
        .await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_expired_url_is_refused() {
    let store = Store::start().await;
    let put_signed_ago = async |seconds| {
        let made = OffsetDateTime::now_utc() - time::Duration::seconds(seconds);
        let url = store.url_made(made, "PUT", &[]);
        store.put(&url, b"x".to_vec()).await.status()
    };
    assert_eq!(put_signed_ago(62).await, StatusCode::FORBIDDEN);
    assert_eq!(put_signed_ago(30).await, StatusCode::OK);
}

/// The text of an XML element that occurs once.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    xml.split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map(|(text, _)| text)
        .unwrap_or_else(|| panic!("no {name} in {xml}"))
}
