//! Results as Markdown tables, and as JSON.

use std::{
    fmt::{self, Display},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Common, measure::Spread, reference, tree::cores};
use sandbox_toolbox::{process, project};

/// A table, as Markdown.
pub(super) struct Table {
    title: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(title: &'static str, columns: &[impl ToString]) -> Self {
        Self {
            title,
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        // The first column is text, the others are numbers.
        writeln!(f, "|---{}|", "|--:".repeat(self.columns.len() - 1))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

/// What the figures were made on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    /// UTC.
    date: String,
    revision: String,
    processor: String,
    cores: usize,
    memory_bytes: u64,
    kernel: String,
    mksquashfs: String,
    /// How it was built.
    agent: String,
}

impl Machine {
    pub(super) fn here(common: &Common) -> Result<Self> {
        let first_value = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let kibibytes = first_value("/proc/meminfo", "MemTotal");
        let said = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(project::root());
            Ok::<_, anyhow::Error>(process::output(&mut command)?.trim().to_owned())
        };
        Ok(Self {
            date: said("date", &["--utc", "+%Y-%m-%d %H:%M"])?,
            revision: said("git", &["describe", "--always", "--dirty"])
                .unwrap_or_else(|_| "unknown".into()),
            processor: first_value("/proc/cpuinfo", "model name"),
            cores: cores(),
            memory_bytes: kibibytes
                .trim_end_matches(" kB")
                .parse::<u64>()
                .context("MemTotal")?
                * 1024,
            kernel: said("uname", &["--kernel-release"])?,
            mksquashfs: reference::version()?,
            agent: common.agent_build.clone(),
        })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} UTC, revision {}; {} cores of {}, {:.0} GiB of memory, Linux {}; {}; the agent \
             {}.",
            self.date,
            self.revision,
            self.cores,
            self.processor,
            self.memory_bytes as f64 / f64::from(1 << 30),
            self.kernel,
            self.mksquashfs,
            self.agent,
        )
    }
}

/// Writes what was measured to a file.
pub(super) fn write_json<T: Serialize>(path: &Path, machine: &Machine, rows: &T) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a, T> {
        machine: &'a Machine,
        rows: &'a T,
    }
    let text = serde_json::to_string_pretty(&Document { machine, rows })?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// `minimum / median / maximum`
pub(super) fn spread(spread: Spread) -> String {
    let Spread {
        minimum,
        median,
        maximum,
    } = spread;
    format!("{minimum:.2} / **{median:.2}** / {maximum:.2}")
}

/// In MiB.
pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{:.0}", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("Speed", &["tree", "s"]);
        table.row(["small".into(), "1.0".into()]);
        assert_eq!(
            table.to_string(),
            "### Speed\n\n| tree | s |\n|---|--:|\n| small | 1.0 |\n"
        );
    }
}
