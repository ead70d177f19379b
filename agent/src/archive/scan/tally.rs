//! Counting without bound, remembering within bounds.

use super::Unreadable;

/// Counts everything and keeps the first [`Tally::KEPT`] for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<T> {
    first: Vec<T>,
    count: u64,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            count: 0,
        }
    }
}

impl<T> Tally<T> {
    /// How many are kept.
    pub const KEPT: usize = 1000;

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first [`Self::KEPT`], in the order they were met.
    pub fn first(&self) -> &[T] {
        &self.first
    }

    pub(crate) fn add(&mut self, item: T) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(item);
        }
    }
}

/// How many entries an error message names.
const NAMED: usize = 10;

pub(crate) fn describe_unreadable(tally: &Tally<Unreadable>) -> String {
    let entries = if tally.count == 1 { "entry" } else { "entries" };
    let mut text = format!("{} {entries} could not be read: ", tally.count);
    for (index, unreadable) in tally.first.iter().take(NAMED).enumerate() {
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(&unreadable.to_string());
    }
    if tally.count > NAMED as u64 {
        text.push_str("; …");
    }
    text
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn counts_all_keeps_some_and_names_ten() {
        let mut tally = Tally::default();
        for number in 0..2500 {
            tally.add(Unreadable {
                path: format!("file-{number}").into(),
                errno: Errno::ACCESS,
            });
        }
        assert_eq!(tally.count(), 2500);
        assert_eq!(tally.first().len(), 1000);
        let text = describe_unreadable(&tally);
        assert!(
            text.starts_with("2500 entries could not be read: file-0: "),
            "{text}"
        );
        assert!(
            text.contains("file-9:") && !text.contains("file-10:"),
            "{text}"
        );
    }
}
