//! What people read: aligned columns, sizes, ages, errors.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount, HumanDuration};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::failure::{ApiError, Failure};

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::local("standard output"))
}

/// Writes one line of JSON to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|error| Failure::NotOurs(error.to_string()))?;
    print(&(json + "\n"))
}

/// Writes an error to standard error, in which form it was asked for.
pub(crate) fn complain(failure: &Failure, json: bool) {
    if failure.reader_has_gone() {
        return;
    }
    let mut text = String::new();
    if json {
        #[derive(Serialize)]
        struct ErrorBody<'a> {
            error: &'a ApiError,
        }
        let error = match failure {
            Failure::Api(error) => error.clone(),
            other => ApiError {
                code: other.code().unwrap_or("SANDBOXCTL").to_owned(),
                message: other.to_string(),
                context: serde_json::Map::new(),
            },
        };
        text = serde_json::to_string(&ErrorBody { error: &error }).unwrap_or_default();
        text.push('\n');
    } else {
        let code = failure.code().map(|code| format!(" [{code}]"));
        let _ = writeln!(
            text,
            "error{}: {}",
            code.unwrap_or_default(),
            printable(&failure.to_string())
        );
        if let Some(advice) = failure.advice() {
            let _ = writeln!(text, "  {advice}");
        }
    }
    // Nothing is left to be told if this fails.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Columns of a table, those with numbers marked.
pub(crate) fn table<const N: usize>(
    header: [(&str, CellAlignment); N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.map(|(name, _)| name));
    for row in rows {
        table.add_row(row);
    }
    for (column, (_, alignment)) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        column.set_cell_alignment(alignment);
    }
    table.trim_fmt() + "\n"
}

/// Such as `1.50 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// Such as `12,345 files`.
pub(crate) fn counted(count: u64, one: &str, more: &str) -> String {
    format!(
        "{} {}",
        HumanCount(count),
        if count == 1 { one } else { more }
    )
}

/// Such as `3 hours ago`.
pub(crate) fn age(then: OffsetDateTime) -> String {
    match Duration::try_from(OffsetDateTime::now_utc() - then) {
        Ok(age) => format!("{} ago", HumanDuration(age)),
        // The Worker's clock is a little ahead of ours.
        Err(_) => "now".into(),
    }
}

/// The same of a time in ISO 8601; as it is if it is none.
pub(crate) fn age_of(text: &str) -> String {
    OffsetDateTime::parse(text, &Rfc3339).map_or_else(|_| printable(text), age)
}

/// Such as `in 3 days`.
pub(crate) fn until(then: OffsetDateTime) -> String {
    match Duration::try_from(then - OffsetDateTime::now_utc()) {
        Ok(left) => format!("in {}", HumanDuration(left)),
        Err(_) => "expired".into(),
    }
}

/// Such as `1.2s`, `340ms`.
pub(crate) fn milliseconds(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds}ms"),
        1000..60_000 => format!("{:.1}s", milliseconds as f64 / 1000.0),
        _ => format!("{}m{}s", milliseconds / 60_000, milliseconds / 1000 % 60),
    }
}

/// What comes out of a sandbox, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_nothing_to_obey() {
        assert_eq!(printable("a\u{1b}[31mb\rc é"), "a\\u{1b}[31mb\\rc é");
    }

    #[test]
    fn durations_are_short() {
        let texts = [340, 1250, 61_000].map(milliseconds);
        assert_eq!(texts, ["340ms", "1.2s", "1m1s"]);
    }

    #[test]
    fn columns_are_aligned() {
        let header = [
            ("NAME", CellAlignment::Left),
            ("SIZE", CellAlignment::Right),
        ];
        let rows = [["a", "1 B"], ["long name", "20 KiB"]].map(|row| row.map(str::to_owned));
        let expected = "\
NAME         SIZE
a             1 B
long name  20 KiB
";
        assert_eq!(table(header, rows.into_iter()), expected);
    }

    #[test]
    fn expired_is_not_a_time_to_come() {
        let now = OffsetDateTime::now_utc();
        assert_eq!(until(now - Duration::from_secs(1)), "expired");
        assert_eq!(until(now + Duration::from_secs(7201)), "in 2 hours");
        assert_eq!(age(now - Duration::from_secs(7201)), "2 hours ago");
    }
}
