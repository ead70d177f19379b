//! The changes on disk: a file of lines, each a change that is done or not.
//!
//! A line is its length and checksum and a list of [`Delta`]s. The first one says
//! what the file is and which lower tree it goes with. Reading stops at the first
//! line that is not whole: the server was killed while it wrote it, and nobody
//! has had an answer. What was read is rewritten at each start, and whenever
//! the file has grown far beyond what it says.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    ServeError,
    tree::{Delta, Tree},
};

const NAME: &str = "journal";
const VERSION: u32 = 1;

/// Longest line, in bytes. A change is a few inodes and names, and an inode
/// little more than its extended attributes, of which there are not so many.
const LONGEST: usize = 64 << 20;

/// Deltas on a line when the whole table is written.
const PER_LINE: usize = 256;

/// Below this many bytes the file is not worth rewriting.
const SMALL: u64 = 32 << 20;

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    version: u32,
    lower: &'a [u8],
}

/// A journal that is open for writing.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    lower: Vec<u8>,
    /// Locked as long as it is open, so that there is only one server.
    lock: File,
    file: File,
    length: u64,
    length_when_new: u64,
    unsynced: AtomicBool,
    line: Vec<u8>,
}

impl Journal {
    /// Opens the journal of an upper directory, and gives the table that it
    /// describes. `lower` identifies the lower tree.
    pub(super) fn open(directory: &Path, lower: &[u8]) -> Result<(Self, Tree), ServeError> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(directory.join("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(ServeError::InUse),
            result => result.map_err(io::Error::from)?,
        }
        let path = directory.join(NAME);
        let (tree, old_length) = match fs::read(&path) {
            Ok(bytes) => replay(&bytes, lower)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Tree::default(), 0),
            Err(error) => return Err(error.into()),
        };
        let (file, length) = match rewrite(directory, lower, &tree) {
            // The old one is as good, up to where it is whole.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && old_length > 0 => {
                let file = OpenOptions::new().read(true).write(true).open(path)?;
                file.set_len(old_length)?;
                (file, old_length)
            }
            written => written?,
        };
        let journal = Self {
            directory: directory.to_owned(),
            lower: lower.to_owned(),
            lock,
            file,
            length,
            length_when_new: length,
            unsynced: AtomicBool::new(true),
            line: Vec::new(),
        };
        Ok((journal, tree))
    }

    /// Adds a change: all of it or, if that fails, nothing.
    pub(super) fn append(&mut self, change: &[Delta]) -> Result<(), Errno> {
        self.line.clear();
        push_line(&mut self.line, change)?;
        self.unsynced.store(true, Ordering::Release);
        if let Err(error) = self.file.write_all_at(&self.line, self.length) {
            // The next line goes over what was written of this one.
            let _ = self.file.set_len(self.length);
            return Err(errno(&error));
        }
        self.length += self.line.len() as u64;
        Ok(())
    }

    /// Rewrites the file if most of it is history.
    pub(super) fn tidy(&mut self, tree: &Tree) {
        if self.length < SMALL.max(4 * self.length_when_new) {
            return;
        }
        match rewrite(&self.directory, &self.lower, tree) {
            Ok((file, length)) => {
                (self.file, self.length) = (file, length);
                self.unsynced.store(true, Ordering::Release);
            }
            // No room, perhaps. The old one is as good; try again later.
            Err(_) => self.length_when_new = self.length,
        }
        self.length_when_new = self.length_when_new.max(self.length);
    }

    /// What has to be synced to have all changes on disk; `None` if they are.
    pub(super) fn unsynced(&self) -> io::Result<Option<File>> {
        if self.unsynced.swap(false, Ordering::AcqRel) {
            self.file.try_clone().map(Some)
        } else {
            Ok(None)
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// The system's number for an error.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn push_line(bytes: &mut Vec<u8>, change: &(impl Serialize + ?Sized)) -> Result<(), Errno> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 8]);
    *bytes = postcard::to_extend(change, std::mem::take(bytes)).map_err(|_| Errno::INVAL)?;
    let payload = &bytes[start + 8..];
    let length = u32::try_from(payload.len()).map_err(|_| Errno::NOSPC)?;
    if payload.len() > LONGEST {
        return Err(Errno::NOSPC);
    }
    let sum = checksum(payload);
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    bytes[start + 4..start + 8].copy_from_slice(&sum);
    Ok(())
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let hash = blake3::hash(payload);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

/// The next whole line's payload; what follows is left in `bytes`.
fn take_line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if checksum(payload) != *sum {
        return None;
    }
    *bytes = rest;
    Some(payload)
}

/// The table that a journal describes, and the length of what is whole of it.
fn replay(journal: &[u8], lower: &[u8]) -> Result<(Tree, u64), ServeError> {
    let mut bytes = journal;
    let header = take_line(&mut bytes).ok_or(ServeError::Journal("it has no header"))?;
    let header: Header<'_> = postcard::from_bytes(header)
        .map_err(|_| ServeError::Journal("its header makes no sense"))?;
    if header.version != VERSION {
        return Err(ServeError::Journal("it is of another version"));
    }
    if header.lower != lower {
        return Err(ServeError::OtherLower);
    }
    let mut tree = Tree::default();
    while let Some(change) = take_line(&mut bytes) {
        let change: Vec<Delta> = postcard::from_bytes(change)
            .map_err(|_| ServeError::Journal("a change makes no sense"))?;
        change.into_iter().for_each(|delta| tree.apply(delta));
    }
    // Whoever had one open was there before this server.
    tree.drop_nameless();
    Ok((tree, (journal.len() - bytes.len()) as u64))
}

/// Puts a new journal in the place of the old one, in one step.
fn rewrite(directory: &Path, lower: &[u8], tree: &Tree) -> io::Result<(File, u64)> {
    let path = directory.join("journal.new");
    // Where there is no room for it, it must not take what there is.
    write_to(&path, lower, tree)
        .and_then(|written| fs::rename(&path, directory.join(NAME)).map(|()| written))
        .inspect_err(|_| drop(fs::remove_file(&path)))
}

fn write_to(path: &Path, lower: &[u8], tree: &Tree) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    let mut length = 0;
    let mut bytes = Vec::new();
    let header = Header {
        version: VERSION,
        lower,
    };
    push_line(&mut bytes, &header)?;
    let mut deltas = tree.deltas();
    loop {
        let line: Vec<_> = deltas.by_ref().take(PER_LINE).collect();
        if !line.is_empty() {
            push_line(&mut bytes, &line)?;
        }
        if bytes.len() >= 1 << 20 || line.is_empty() {
            file.write_all_at(&bytes, length)?;
            length += bytes.len() as u64;
            bytes.clear();
        }
        if line.is_empty() {
            break;
        }
    }
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Entry, *};

    fn drop(node: u64) -> [Delta; 1] {
        [Delta::NextNode(node)]
    }

    fn next_node(directory: &Path) -> u64 {
        let (_, tree) = Journal::open(directory, b"lower").unwrap();
        tree.next_node()
    }

    const FAR: u64 = 1 << 50;

    #[test]
    fn a_torn_line_is_as_if_never_written() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let (mut journal, _) = Journal::open(directory, b"lower").unwrap();
        journal.append(&drop(FAR)).unwrap();
        let whole = fs::read(directory.join(NAME)).unwrap();
        journal.append(&drop(FAR + 1)).unwrap();
        let longer = fs::read(directory.join(NAME)).unwrap();
        std::mem::drop(journal);
        for length in whole.len()..longer.len() {
            fs::write(directory.join(NAME), &longer[..length]).unwrap();
            assert_eq!(next_node(directory), FAR, "{length}");
        }
        fs::write(directory.join(NAME), &longer).unwrap();
        assert_eq!(next_node(directory), FAR + 1);
    }

    #[test]
    fn one_server_and_one_lower_tree() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let (journal, _) = Journal::open(directory, b"lower").unwrap();
        let second = Journal::open(directory, b"lower");
        assert!(matches!(second, Err(ServeError::InUse)));
        std::mem::drop(journal);
        let other = Journal::open(directory, b"another");
        assert!(matches!(other, Err(ServeError::OtherLower)));
        fs::write(directory.join(NAME), b"something else").unwrap();
        let garbage = Journal::open(directory, b"lower");
        assert!(matches!(garbage, Err(ServeError::Journal(_))));
    }

    #[test]
    fn history_is_tidied_away() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let (mut journal, tree) = Journal::open(directory, b"lower").unwrap();
        let long = vec![b'n'; 1 << 20];
        let entry = Delta::Entry {
            directory: 1,
            name: long.into(),
            to: Entry::Lower,
        };
        for _ in 0..40 {
            journal.append(std::slice::from_ref(&entry)).unwrap();
            journal.tidy(&tree);
        }
        journal.append(&drop(FAR)).unwrap();
        std::mem::drop(journal);
        assert!(fs::metadata(directory.join(NAME)).unwrap().len() < 16 << 20);
        assert_eq!(next_node(directory), FAR);
    }
}
