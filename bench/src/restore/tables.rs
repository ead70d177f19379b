//! The tables of what was measured.

use sandbox_shared::Strategy;

use super::{FIRST_FILE, StartRow, Task, WorkRow};
use crate::{
    Common,
    report::{Table, mebibytes, spread},
    stack::Stack,
};

pub(super) fn work_table(rows: &[WorkRow]) -> Table {
    let mut columns = vec!["task, seconds".to_owned()];
    for row in rows {
        if !columns.contains(&row.stack) {
            columns.push(row.stack.clone());
        }
    }
    let mut table = Table::new(
        "Work in a restored directory (medians; × is how often faster than squashfuse + fuse-overlayfs)",
        &columns,
    );
    let find = |stack: &str, task: Task| {
        rows.iter()
            .find(|row| row.stack == stack && row.task == task)
            .map(|row| row.seconds.median)
    };
    for task in Task::ALL {
        let reference = find(&Stack::Fuse.name(), task);
        let cells = columns
            .iter()
            .skip(1)
            .map(|stack| match (find(stack, task), reference) {
                (Some(ours), Some(theirs)) => format!("{ours:.2} ({:.1}×)", theirs / ours),
                (Some(ours), None) => format!("{ours:.2}"),
                (None, _) => String::new(),
            });
        table.row(std::iter::once(task.title().to_owned()).chain(cells));
    }
    table
}

/// What is asked of the strategies, in the times of others.
pub(super) fn targets(common: &Common, rows: &[WorkRow]) -> Table {
    let median = |stack: Stack, task: Task| {
        rows.iter()
            .find(|row| row.stack == stack.name() && row.task == task)
            .map(|row| row.seconds.median)
    };
    let [kernel, overlay, fuse] =
        [Strategy::Kernel, Strategy::Overlay, Strategy::Fuse].map(Stack::Ours);
    let mut asked = vec![
        (kernel, Task::ColdWalk, Stack::Fuse, 1.0 / 20.0),
        (kernel, Task::ColdWalk, Stack::Linux, 1.15),
        (kernel, Task::ColdRead, Stack::Linux, 1.15),
        (kernel, Task::ColdWalk, Stack::Plain, 1.0),
        (kernel, Task::ColdRead, Stack::Plain, 1.0),
        (overlay, Task::ColdWalk, Stack::Fuse, 1.0 / 8.0),
        (overlay, Task::WarmWalk, Stack::Fuse, 1.0 / 20.0),
        (fuse, Task::ColdWalk, Stack::Fuse, 1.0 / 5.0),
        (fuse, Task::WarmWalk, Stack::Fuse, 1.0 / 10.0),
    ];
    asked.extend(Task::ALL.map(|task| (fuse, task, Stack::Fuse, 1.0)));
    let mut table = Table::new(
        "Targets: time in the time of another",
        &["strategy", "task", "than", "÷", "target", ""],
    );
    for (stack, task, other, most) in asked {
        // A strategy that does not work here has no figures.
        if let (Some(ours), Some(theirs)) = (median(stack, task), median(other, task)) {
            table.row([
                stack.name(),
                task.title().into(),
                other.name(),
                format!("{:.2}", ours / theirs),
                format!("≤ {most:.2}"),
                common.verdict(ours / theirs <= most),
            ]);
        }
    }
    table
}

pub(super) fn start_table(common: &Common, rows: &[StartRow]) -> Table {
    let mut table = Table::new(
        "From restoreBackup to the first file, from a store of 100 MB/s with 20 ms of latency",
        &[
            "strategy",
            "archive MB",
            "first file s (minimum / median / maximum)",
            "target",
            "",
            "requests until then",
            "all files read s",
            "÷ what the store takes",
            "fetched ÷ archive",
            "peak memory MiB",
        ],
    );
    let lazy = [Strategy::Kernel, Strategy::Overlay, Strategy::Fuse]
        .map(|strategy| Stack::Ours(strategy).name());
    for row in rows {
        let store = row.archive_bytes as f64 / 100e6;
        // The others have to wait for all of the archive.
        let (target, verdict) = match lazy.contains(&row.stack) {
            true => (
                format!("≤ {FIRST_FILE}"),
                common.verdict(row.first_file_seconds.median <= FIRST_FILE),
            ),
            false => Default::default(),
        };
        table.row([
            row.stack.clone(),
            format!("{:.0}", row.archive_bytes as f64 / 1e6),
            spread(row.first_file_seconds),
            target,
            verdict,
            row.first_file_requests.to_string(),
            format!("{:.1}", row.everything_seconds),
            format!("{:.2}", row.everything_seconds / store),
            format!("{:.2}", row.bytes_read as f64 / row.archive_bytes as f64),
            mebibytes(row.peak_memory_bytes as f64),
        ]);
    }
    table
}
