//! Ten thousand backups of one sandbox: lists come in pages, at the end as fast
//! as at the beginning, and memory does not grow with them. Only measured when
//! asked: `cargo xtask bench list`.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use sandbox_shared::BackupId;
use sandbox_tests::{
    bucket::{archive_key, metadata_key},
    consumer::Sandbox,
    processes,
    stage::Stage,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) fn tests() -> crate::Tests {
    crate::tests![ten_thousand_backups];
    crate::Tests {
        alone: true,
        on_demand: true,
        ..tests()
    }
}

const BACKUPS: usize = 10_000;
const DIRECTORIES: usize = 10;
const PAGE: usize = 100;
/// Requests under way at a time while backups are put into the bucket.
const PUT_AT_ONCE: usize = 8;
/// Bytes by which reading all pages may make the runtime grow.
const MOST_GROWTH: u64 = 64 << 20;

async fn put_backups(stage: &Stage, sandbox: &str) {
    let now = OffsetDateTime::now_utc();
    let puts = (0..BACKUPS).map(|number| {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        let id = BackupId::from_random(bytes);
        let created_at = now - Duration::from_secs(number as u64);
        let metadata = json!({
            "id": id, "dir": format!("/workspace/{}", number % DIRECTORIES), "name": format!("backup {number}"),
            "sizeBytes": 4096 + number, "ttl": 259_200, "createdAt": created_at.format(&Rfc3339).unwrap(),
            "sandbox": sandbox, "formatVersion": 1,
        });
        async move {
            // Pruning looks at the newest of each directory.
            if number < DIRECTORIES {
                let archive = vec![0; 4096 + number];
                stage.bucket.put(&archive_key(&id), archive).await;
            }
            let metadata = metadata.to_string().into_bytes();
            stage.bucket.put(&metadata_key(&id), metadata).await;
        }
    });
    stream::iter(puts)
        .buffer_unordered(PUT_AT_ONCE)
        .collect::<()>()
        .await;
}

/// Bytes that the `workerd` processes below this one have in memory.
fn runtime_memory() -> u64 {
    let runtime = processes::below_this()
        .into_iter()
        .filter(|process| process.name == "workerd");
    let bytes = runtime.map(|process| process.resident).sum();
    assert!(bytes > 0, "no workerd is below this process");
    bytes
}

async fn timed<T>(what: &str, work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    let took = began.elapsed();
    println!("| {what} | {:.1} ms |", took.as_secs_f64() * 1000.0);
    (done, took)
}

async fn call(sandbox: &Sandbox, method: &str, argument: Value) -> Value {
    sandbox.call(method, json!([argument])).await.unwrap()
}

async fn ten_thousand_backups(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("ten-thousand");
    put_backups(&stage, &sandbox.object_id().await).await;
    let at_first = runtime_memory();
    let (indexed, _) = timed(
        "`reindexBackups`",
        call(&sandbox, "reindexBackups", json!({})),
    )
    .await;
    // Other tests may have left backups that belong to nobody.
    let indexed = indexed["indexed"].as_u64().unwrap() as usize;
    assert!(indexed >= BACKUPS);

    let before = runtime_memory();
    let (mut seen, mut times, mut cursor) = (HashSet::new(), Vec::new(), None);
    loop {
        let query = json!({ "limit": PAGE, "cursor": cursor });
        let began = Instant::now();
        let page = call(&sandbox, "listBackups", query).await;
        times.push(began.elapsed());
        for backup in page["backups"].as_array().unwrap() {
            assert!(
                seen.insert(backup["id"].to_string()),
                "{backup} comes twice"
            );
        }
        cursor = page.get("cursor").cloned();
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), indexed);
    let growth = runtime_memory().saturating_sub(before);
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (first, last) = (
        median(&times[1..11]),
        median(&times[times.len() - 11..times.len() - 1]),
    );
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    println!(
        "| a page of {PAGE}, median of the first ten | {:.1} ms |",
        ms(first)
    );
    println!(
        "| a page of {PAGE}, median of the last ten | {:.1} ms |",
        ms(last)
    );
    println!(
        "| all {} pages | {:.1} ms |",
        times.len(),
        ms(times.iter().sum())
    );
    println!(
        "| memory of the runtime when they are stored, indexed, listed | {} MiB, {:+} MiB, {:+} MiB |",
        at_first >> 20,
        (before as i64 - at_first as i64) >> 20,
        growth >> 20
    );
    assert!(last < first * 4, "pages get slower: {first:?}, {last:?}");
    assert!(growth < MOST_GROWTH, "{growth} bytes");

    for sort in ["name", "sizeBytes", "dir"] {
        let query = json!({ "sort": sort, "limit": 1000, "dir": "/workspace/3" });
        let what = format!("1,000 of one directory by `{sort}`");
        let (page, _) = timed(&what, call(&sandbox, "listBackups", query)).await;
        assert_eq!(
            page["backups"].as_array().unwrap().len(),
            BACKUPS / DIRECTORIES
        );
    }
    let rules = json!({ "keepLast": 1 });
    let (pruned, _) = timed(
        "`pruneBackups`, all but one of each directory",
        call(&sandbox, "pruneBackups", rules),
    )
    .await;
    assert_eq!(pruned["deleted"]["count"], BACKUPS - DIRECTORIES);
}
