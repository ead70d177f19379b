//! Counting without bound, remembering within bounds.

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

    /// Counts one more.
    pub fn add(&mut self, item: T) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(item);
        }
    }
}
