//! `logs`

use std::{process::ExitCode, time::Duration};

use sandbox_shared::log::{DEFAULT_LOG_PAGE, LogEntry, OperationLogPage, OperationLogQuery};
use serde_json::Value;

use super::{Context, Done};
use crate::{
    api::Answer,
    failure::Failure,
    output::{self, bytes, milliseconds, printable},
};

/// How often new ones are looked for. Looking starts no container.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shows the last operations, the oldest first, as logs are read.
pub(super) async fn logs(context: &Context, lines: u32, follow: bool) -> Done {
    let (entries, _) = page(context, lines, None).await?;
    let mut last = print(context, entries)?.unwrap_or_default();
    if !follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let new = since(context, last).await?;
        last = print(context, new)?.unwrap_or(last);
    }
}

/// An entry and the JSON it came as.
type Entry = (LogEntry, Value);

/// Entries after the one with the number `last`, the newest first.
async fn since(context: &Context, last: u64) -> Result<Vec<Entry>, Failure> {
    let mut new = Vec::new();
    let mut cursor = None;
    loop {
        let (entries, next) = page(context, DEFAULT_LOG_PAGE, cursor).await?;
        for entry in entries {
            if entry.0.number <= last {
                return Ok(new);
            }
            new.push(entry);
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(new),
        }
    }
}

async fn page(
    context: &Context,
    limit: u32,
    cursor: Option<String>,
) -> Result<(Vec<Entry>, Option<String>), Failure> {
    let query = OperationLogQuery {
        limit: Some(limit),
        cursor,
    };
    let mut page: Answer<OperationLogPage> = context.api.get(&["log"], &query).await?;
    let json = match page.json["operations"].take() {
        Value::Array(json) => json,
        _ => Vec::new(),
    };
    let entries = page.value.operations.into_iter().zip(json).collect();
    Ok((entries, page.value.cursor))
}

/// Prints entries, the last first, and gives the greatest number.
fn print(context: &Context, entries: Vec<Entry>) -> Result<Option<u64>, Failure> {
    let newest = entries.first().map(|(entry, _)| entry.number);
    for (entry, json) in entries.iter().rev() {
        if context.json {
            output::print_json(json)?;
        } else {
            output::print(&describe(entry))?;
        }
    }
    Ok(newest)
}

fn describe(LogEntry { operation, .. }: &LogEntry) -> String {
    let mut text = format!(
        "{}  {:13}  {}  {}  {}  {}",
        operation.started_at,
        operation.kind.as_str(),
        operation.id,
        operation.outcome,
        milliseconds(operation.duration_ms),
        printable(&operation.dir),
    );
    if let Some(strategy) = operation.strategy {
        text += &format!("  {strategy}");
    }
    if operation.bytes > 0 {
        text += &format!("  {}", bytes(operation.bytes));
    }
    if let Some(error) = &operation.error {
        text += &format!("  {}", printable(error));
    }
    text + "\n"
}
