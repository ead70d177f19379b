//! Directories, merged: the lower tree's entries that are not hidden, then those
//! that have been made.

use fuser::FileAttr;
use rustix::io::Errno;

use super::Cow;
use crate::lower::{COOKIE_END, DOTS};

/// Cookies of entries that are not the lower tree's are above this.
const MADE: u64 = COOKIE_END + DOTS.len() as u64;

impl Cow {
    /// Gives `add` the entries of a directory from a cookie on, until it has
    /// room for no more.
    pub(super) fn list(
        &self,
        directory: u64,
        from: u64,
        mut add: impl FnMut(&[u8], u64, FileAttr) -> bool,
    ) -> Result<(), Errno> {
        let dots = DOTS.len() as u64;
        for (cookie, name) in DOTS.iter().enumerate().skip(from.min(dots) as usize) {
            // Nobody looks at what `..` says: the kernel knows better.
            if !add(name, cookie as u64 + 1, self.attributes(directory)?) {
                return Ok(());
            }
        }
        if from < MADE && !self.tree().tree.is_own_directory(directory) {
            let mut room = true;
            self.lower
                .read_dir(directory, from.saturating_sub(dots), &mut |entry| {
                    if self.tree().tree.hides(directory, entry.name) {
                        return Ok(true);
                    }
                    let about = self.attributes(entry.node)?;
                    room = add(entry.name, entry.next + dots, about);
                    Ok(room)
                })?;
            if !room {
                return Ok(());
            }
        }
        let mut at = from.saturating_sub(MADE);
        loop {
            let next = self.tree().tree.entry_after(directory, at);
            let Some((cookie, name, node)) = next else {
                return Ok(());
            };
            if !add(&name, MADE + cookie, self.attributes(node)?) {
                return Ok(());
            }
            at = cookie;
        }
    }

    /// `ENOTEMPTY` if there is anything in a directory.
    pub(super) fn require_empty(&self, directory: u64) -> Result<(), Errno> {
        if self.tree().tree.entry_after(directory, 0).is_some() {
            return Err(Errno::NOTEMPTY);
        }
        if self.tree().tree.is_own_directory(directory) {
            return Ok(());
        }
        self.lower.read_dir(directory, 0, &mut |entry| {
            if self.tree().tree.hides(directory, entry.name) {
                Ok(true)
            } else {
                Err(Errno::NOTEMPTY)
            }
        })
    }
}
