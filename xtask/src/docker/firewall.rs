//! The machine's packet filter, as it was before an engine added its rules.

use std::{collections::HashSet, process::Command};

use anyhow::Result;

use sandbox_toolbox::process;

/// The rules, chains and policies at one moment.
#[derive(Debug)]
pub(super) struct Firewall(Vec<Entry>);

/// A line of `iptables-save` with the table it is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    table: String,
    line: String,
}

impl Firewall {
    pub(super) fn read() -> Result<Self> {
        Ok(Self(entries(&process::output(&mut Command::new(
            "iptables-save",
        ))?)))
    }

    /// Removes what has been added since, and sets the policies back. What
    /// others have added in the meantime and cannot be told apart goes, too.
    pub(super) fn put_back(&self) -> Result<()> {
        for arguments in undo(&self.0, &Self::read()?.0) {
            process::run(Command::new("iptables").args(arguments))?;
        }
        Ok(())
    }
}

fn entries(saved: &str) -> Vec<Entry> {
    let mut table = "";
    let mut entries = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if line.starts_with([':', '-']) {
            // Without the counters of packets and bytes.
            let line = line.split(" [").next().unwrap_or(line);
            entries.push(Entry {
                table: table.to_owned(),
                line: line.to_owned(),
            });
        }
    }
    entries
}

/// Arguments of `iptables` that lead from `after` back to `before`: rules
/// first, for a chain must be empty and unused before it can go.
fn undo(before: &[Entry], after: &[Entry]) -> Vec<Vec<String>> {
    let known: HashSet<_> = before.iter().collect();
    let mut rules = Vec::new();
    let mut chains = Vec::new();
    for entry in after.iter().filter(|entry| !known.contains(entry)) {
        let words = |words: &[&str]| {
            let table = ["--table", &entry.table].into_iter();
            table
                .chain(words.iter().copied())
                .map(str::to_owned)
                .collect()
        };
        if let Some(rule) = entry.line.strip_prefix("-A ") {
            let rule: Vec<_> = rule.split(' ').collect();
            rules.push(words(&[&["--delete"], &rule[..]].concat()));
        } else if let Some((chain, policy)) = entry.line[1..].split_once(' ') {
            let was = before.iter().find_map(|was| {
                let (name, policy) = was.line.strip_prefix(':')?.split_once(' ')?;
                (was.table == entry.table && name == chain).then_some(policy)
            });
            match (was, policy) {
                (_, "-") => chains.push(words(&["--delete-chain", chain])),
                // A table that was not in use accepts.
                (was, _) => chains.push(words(&["--policy", chain, was.unwrap_or("ACCEPT")])),
            }
        }
    }
    rules.append(&mut chains);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_taken_away_and_the_rest_stays() {
        let before = "*filter\n:INPUT ACCEPT [5:300]\n:FORWARD ACCEPT [0:0]\n:OURS - [0:0]\n\
                      -A INPUT -j OURS\nCOMMIT\n";
        let after = "# by a tool\n*nat\n:POSTROUTING ACCEPT [0:0]\n\
                     -A POSTROUTING -s 10.0.0.0/8 ! -o br -j MASQUERADE\nCOMMIT\n\
                     *filter\n:INPUT ACCEPT [7:400]\n:FORWARD DROP [0:0]\n:OURS - [0:0]\n:DOCKER - [0:0]\n\
                     -A INPUT -j OURS\n-A FORWARD -o br -j DOCKER\nCOMMIT\n";
        let steps: Vec<_> = undo(&entries(before), &entries(after))
            .into_iter()
            .map(|arguments| arguments.join(" "))
            .collect();
        assert_eq!(
            steps,
            [
                "--table nat --delete POSTROUTING -s 10.0.0.0/8 ! -o br -j MASQUERADE",
                "--table filter --delete FORWARD -o br -j DOCKER",
                "--table nat --policy POSTROUTING ACCEPT",
                "--table filter --policy FORWARD ACCEPT",
                "--table filter --delete-chain DOCKER",
            ]
        );
        assert!(undo(&entries(after), &entries(after)).is_empty());
    }
}
