//! `list` and `show`.

use std::process::ExitCode;

use comfy_table::CellAlignment::{Left, Right};
use sandbox_shared::catalogue::BackupRecord;
use serde_json::Value;

use super::{Context, Done};
use crate::{
    arguments::List,
    failure::Failure,
    output::{self, age, bytes, counted, printable, until},
    selector::{self, Pages},
};

/// Lists backups, all pages of them.
pub(super) async fn list(context: &Context, arguments: List) -> Done {
    let limit = arguments.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut query = arguments.query();
    query.limit = u32::try_from(limit).ok();
    let mut pages = Pages::new(query);
    let (mut records, mut json) = (Vec::new(), Vec::new());
    while records.len() < limit
        && let Some(mut page) = pages.next(&context.api).await?
    {
        if let Value::Array(backups) = page.json["backups"].take() {
            json.extend(backups);
        }
        records.extend(page.value.backups);
    }
    records.truncate(limit);
    json.truncate(limit);
    if context.json {
        output::print_json(&json)?;
    } else if records.is_empty() {
        output::print("no backups\n")?;
    } else {
        let size = records.iter().map(|record| record.size_bytes).sum();
        let count = counted(records.len() as u64, "backup", "backups");
        output::print(&(table(&records) + &format!("{count}, {}\n", bytes(size))))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Backups as a table.
pub(super) fn table(records: &[BackupRecord]) -> String {
    let header = [
        ("ID", Left),
        ("NAME", Left),
        ("DIRECTORY", Left),
        ("SIZE", Right),
        ("CREATED", Left),
        ("EXPIRES", Left),
    ];
    let rows = records.iter().map(|record| {
        [
            record.id.to_string(),
            printable(record.name.as_deref().unwrap_or("-")),
            printable(&record.dir),
            bytes(record.size_bytes),
            age(record.created_at),
            until(record.expires_at),
        ]
    });
    output::table(header, rows)
}

/// Shows one backup.
pub(super) async fn show(context: &Context, backup: &str) -> Result<ExitCode, Failure> {
    let answer = selector::record(&context.api, backup).await?;
    context.say(&answer, |record| {
        let mut lines = vec![
            ("id", record.id.to_string()),
            ("name", record.name.clone().unwrap_or_else(|| "-".into())),
            ("directory", record.dir.clone()),
            ("size", bytes(record.size_bytes)),
            (
                "created",
                with_time(record.created_at, age(record.created_at)),
            ),
            (
                "expires",
                with_time(record.expires_at, until(record.expires_at)),
            ),
        ];
        if let Some(counts) = &record.counts {
            let files = counted(counts.files, "file", "files");
            lines.push(("content", format!("{files}, {}", bytes(counts.bytes))));
            if counts.excluded > 0 {
                lines.push(("left out", counts.excluded.to_string()));
            }
            if counts.unreadable > 0 {
                lines.push(("unreadable", counts.unreadable.to_string()));
            }
        }
        if let Some(compression) = &record.compression {
            lines.push(("compression", compression.format.as_str().into()));
        }
        lines
            .into_iter()
            .map(|(name, value)| format!("{name:13}{}\n", printable(&value)))
            .collect()
    })
}

fn with_time(time: time::OffsetDateTime, relative: String) -> String {
    format!("{} ({relative})", sandbox_shared::metadata::iso8601(time))
}
