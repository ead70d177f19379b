//! Many globs at once.

use std::collections::HashMap;

use super::glob::{self, literal_length};

/// So many are tried one after the other.
const FEW: usize = 16;

/// A part of a glob by which it is found.
type Gram = [u8; 3];

/// A glob, of a path or of its last component only.
#[derive(Debug)]
struct Glob {
    of_name: bool,
    /// How many bytes of the text come before the first wildcard.
    literal: usize,
    text: Box<[u8]>,
}

impl Glob {
    fn matches(&self, path: &[u8], name: &[u8]) -> bool {
        let whole = if self.of_name { name } else { path };
        // What comes before the first wildcard is compared first, and no part of
        // the glob then. It shows: git takes the stars of `a**/b` for those of
        // `**/b`.
        let (literal, glob) = self.text.split_at(self.literal);
        whole
            .strip_prefix(literal)
            .is_some_and(|rest| glob::matches(glob, rest))
    }
}

/// Globs with something to say. Of those that match, the last is wanted.
#[derive(Debug)]
pub(super) struct Globs<T> {
    globs: Vec<(Glob, T)>,
    /// Of globs with three bytes that are in all that they match: those.
    by_gram: HashMap<Gram, Vec<usize>>,
    /// The others.
    without: Vec<usize>,
}

impl<T> Default for Globs<T> {
    fn default() -> Self {
        Self {
            globs: Vec::new(),
            by_gram: HashMap::new(),
            without: Vec::new(),
        }
    }
}

impl<T> Globs<T> {
    pub(super) fn push(&mut self, text: &[u8], of_name: bool, says: T) {
        let index = self.globs.len();
        match glob::longest_literal(text).last_chunk() {
            Some(gram) => self.by_gram.entry(*gram).or_default().push(index),
            None => self.without.push(index),
        }
        let glob = Glob {
            of_name,
            literal: literal_length(text),
            text: text.into(),
        };
        self.globs.push((glob, says));
    }

    /// What the last one says of those that match and that `may` decide.
    pub(super) fn last(&self, path: &[u8], name: &[u8], may: impl Fn(&T) -> bool) -> Option<&T> {
        let decides = |index: usize| {
            let (glob, says) = &self.globs[index];
            may(says) && glob.matches(path, name)
        };
        let last = if self.globs.len() <= FEW {
            (0..self.globs.len()).rev().find(|index| decides(*index))
        } else {
            let mut last = self
                .without
                .iter()
                .rev()
                .copied()
                .find(|index| decides(*index));
            for gram in path.windows(size_of::<Gram>()) {
                let Some(globs) = self.by_gram.get(gram) else {
                    continue;
                };
                let later = globs.iter().rev().take_while(|index| last < Some(**index));
                last = later.copied().find(|index| decides(*index)).or(last);
            }
            last
        };
        last.map(|index| &self.globs[index].1)
    }
}
