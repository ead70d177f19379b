//! Which paths a git index names: gitformat-index(5), versions 2 to 4.
//!
//! The index is read as a stream, and of each path only a hash is kept, so that
//! a million files take ten megabytes. Should two paths ever have the same hash,
//! one too many counts as tracked, and is kept.

use std::{
    fs::File,
    hash::{DefaultHasher, Hasher},
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom},
};

/// A larger index is not read.
const LARGEST: u64 = 256 << 20;
/// Nor a longer path; Linux's system calls take 4096 bytes.
const LONGEST_PATH: usize = 64 << 10;

/// Of SHA-1 and SHA-256. The index does not say which it has, but by the wrong
/// one it cannot be read.
const HASHES: [usize; 2] = [20, 32];

const FILE_TYPE: u32 = 0o170_000;
const SUBMODULE: u32 = 0o160_000;
const DIRECTORY: u32 = 0o040_000;

/// The paths that an index names, relative to the root of the working tree.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    /// Of files, and of the directories they are in, these with a `/` in the end.
    paths: Vec<u64>,
    /// Of directories, with a `/`, below which everything may be tracked.
    whole: Vec<u64>,
    /// No more than these are kept.
    most: usize,
}

/// What an index has of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Some files below it.
    Part,
    /// It is a submodule, or the index does not have the files below it one by
    /// one (`git sparse-checkout --sparse-index`).
    Whole,
}

impl Tracked {
    /// Reads an index that has at most `most` files and directories. If it is a
    /// split one, `shared` opens the file of that name, which has the other part.
    ///
    /// # Errors
    /// If it is damaged, too large, or of a kind that is not known.
    pub(super) fn read(
        index: &mut File,
        shared: impl FnOnce(&str) -> io::Result<File>,
        most: usize,
    ) -> io::Result<Self> {
        let mut tracked = Self {
            most,
            ..Self::default()
        };
        if let Some(name) = tracked.add(index)? {
            // What was removed from the index since that part was written still
            // counts as tracked.
            if tracked.add(&mut shared(&name)?)?.is_some() {
                return Err(invalid());
            }
        }
        for hashes in [&mut tracked.paths, &mut tracked.whole] {
            hashes.sort_unstable();
            hashes.dedup();
            hashes.shrink_to_fit();
        }
        Ok(tracked)
    }

    /// How many files and directories are known.
    pub(super) fn count(&self) -> usize {
        self.paths.len() + self.whole.len()
    }

    /// Whether `path`, which is no directory, is tracked.
    pub(super) fn has_file(&self, path: &[u8]) -> bool {
        contains(&self.paths, path)
            || !self.whole.is_empty() && directories(path).any(|path| contains(&self.whole, path))
    }

    /// What is tracked below the directory `path`, if anything is.
    pub(super) fn directory(&self, path: &[u8]) -> Option<Extent> {
        let path = [path, b"/"].concat();
        if !self.whole.is_empty() && directories(&path).any(|path| contains(&self.whole, path)) {
            return Some(Extent::Whole);
        }
        contains(&self.paths, &path).then_some(Extent::Part)
    }

    /// Adds what a file names, and gives the name of the file that has the rest,
    /// if there is one.
    fn add(&mut self, file: &mut File) -> io::Result<Option<String>> {
        let (paths, whole) = (self.paths.len(), self.whole.len());
        let size = file.metadata()?.len();
        if size > LARGEST {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let mut result = Err(invalid());
        for hash in HASHES {
            file.seek(SeekFrom::Start(0))?;
            let input = BufReader::new(&*file);
            result = Input {
                input,
                left: size,
                hash,
            }
            .read(self);
            match &result {
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    self.paths.truncate(paths);
                    self.whole.truncate(whole);
                }
                _ => break,
            }
        }
        result
    }

    /// Adds a path, and those of its directories that `previous` does not have.
    fn add_path(&mut self, path: &[u8], mode: u32, previous: &[u8]) -> io::Result<()> {
        let common = path
            .iter()
            .zip(previous)
            .take_while(|(a, b)| a == b)
            .count();
        let known = path[..common].iter().rposition(|&byte| byte == b'/');
        let known = known.map_or(0, |slash| slash + 1);
        let added = directories(path).filter(|directory| directory.len() > known);
        self.paths.extend(added.map(hash_of));
        match mode & FILE_TYPE {
            SUBMODULE => {
                let directory = hash_of(&[path, b"/"].concat());
                self.whole.push(directory);
                self.paths.push(hash_of(path));
            }
            DIRECTORY => self.whole.push(hash_of(path)),
            _ => self.paths.push(hash_of(path)),
        }
        if self.count() > self.most {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(())
    }
}

/// The directories that lead to `path`, each with a `/` in the end.
fn directories(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(slash, _)| &path[..=slash])
}

fn hash_of(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}

fn contains(hashes: &[u64], path: &[u8]) -> bool {
    hashes.binary_search(&hash_of(path)).is_ok()
}

fn invalid() -> io::Error {
    ErrorKind::InvalidData.into()
}

/// An index that is being read.
struct Input<R> {
    input: R,
    /// Bytes that have not been read.
    left: u64,
    /// Bytes of an object's name.
    hash: usize,
}

impl<R: BufRead> Input<R> {
    fn read(mut self, tracked: &mut Tracked) -> io::Result<Option<String>> {
        if self.bytes()? != *b"DIRC" {
            return Err(invalid());
        }
        let version = self.number()?;
        if !(2..=4).contains(&version) {
            return Err(invalid());
        }
        let mut path = Vec::new();
        let mut previous = Vec::new();
        for _ in 0..self.number()? {
            std::mem::swap(&mut path, &mut previous);
            let mode = self.entry(version, &mut path, &previous)?;
            if path < previous {
                return Err(invalid());
            }
            // An entry of a split index without a path changes one of the other part.
            if !path.is_empty() {
                tracked.add_path(&path, mode, &previous)?;
            }
        }
        self.extensions()
    }

    /// Reads an entry's path, and gives its mode.
    fn entry(&mut self, version: u32, path: &mut Vec<u8>, previous: &[u8]) -> io::Result<u32> {
        const LONG: usize = 0xfff;
        const EXTENDED: u16 = 0x4000;
        let before = self.left;
        // Times, device and inode; then owner, group, size and the object.
        self.skip(24)?;
        let mode = self.number()?;
        self.skip(12 + self.hash as u64)?;
        let flags = u16::from_be_bytes(self.bytes()?);
        if flags & EXTENDED != 0 {
            if version == 2 {
                return Err(invalid());
            }
            self.skip(2)?;
        }
        path.clear();
        if version == 4 {
            let stripped = self.offset()?;
            let kept = previous.len().checked_sub(stripped).ok_or_else(invalid)?;
            path.extend_from_slice(&previous[..kept]);
        }
        self.until_nul(path)?;
        let length = usize::from(flags) & LONG;
        if length != path.len().min(LONG) {
            return Err(invalid());
        }
        if version < 4 {
            // One NUL has been read; up to seven more fill the last eight bytes.
            let fill = (before - self.left).next_multiple_of(8) - (before - self.left);
            self.skip(fill)?;
        }
        Ok(mode)
    }

    /// Reads up to the end, and gives the name of the file that has the rest of a
    /// split index.
    fn extensions(mut self) -> io::Result<Option<String>> {
        let mut shared = None;
        while self.left > self.hash as u64 {
            let signature: [u8; 4] = self.bytes()?;
            let size = u64::from(self.number()?);
            match &signature {
                b"link" if size >= self.hash as u64 => {
                    let mut name = vec![0; self.hash];
                    self.exact(&mut name)?;
                    self.skip(size - self.hash as u64)?;
                    let is_named = name.iter().any(|&byte| byte != 0);
                    let digits = name.iter().map(|byte| format!("{byte:02x}"));
                    shared =
                        is_named.then(|| format!("sharedindex.{}", digits.collect::<String>()));
                }
                // That there are directories in it shows in their modes.
                b"sdir" => self.skip(size)?,
                // Git may pass over those that begin with a capital, and no other.
                [b'A'..=b'Z', ..] => self.skip(size)?,
                _ => return Err(invalid()),
            }
        }
        if self.left < self.hash as u64 {
            return Err(invalid());
        }
        Ok(shared)
    }

    fn exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(buffer.len() as u64)
            .ok_or_else(invalid)?;
        self.input.read_exact(buffer)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(length).ok_or_else(invalid)?;
        let mut to_skip = length;
        while to_skip > 0 {
            let ready = self.input.fill_buf()?.len() as u64;
            if ready == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let step = ready.min(to_skip);
            self.input.consume(step as usize);
            to_skip -= step;
        }
        Ok(())
    }

    /// A number as in packs: seven bits a byte, each further byte one more.
    fn offset(&mut self) -> io::Result<usize> {
        let [mut byte] = self.bytes()?;
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            [byte] = self.bytes()?;
            if value > LONGEST_PATH {
                return Err(invalid());
            }
            value = (value + 1) << 7 | usize::from(byte & 0x7f);
        }
        Ok(value)
    }

    /// Appends what comes before the next NUL, and reads that.
    fn until_nul(&mut self, path: &mut Vec<u8>) -> io::Result<()> {
        let longest = self
            .left
            .min((LONGEST_PATH - path.len().min(LONGEST_PATH)) as u64);
        let read = self.input.by_ref().take(longest).read_until(b'\0', path)?;
        self.left -= read as u64;
        if read == 0 || path.pop() != Some(b'\0') {
            return Err(invalid());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Tracked> {
        let mut file = tempfile::tempfile()?;
        io::Write::write_all(&mut file, bytes)?;
        Tracked::read(&mut file, |_| Err(ErrorKind::NotFound.into()), 1000)
    }

    /// An index of git's own.
    fn made(version: &str) -> Vec<u8> {
        let root = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            let status = git.arg("-C").arg(root.path()).args(arguments).status();
            assert!(status.unwrap().success());
        };
        git(&["init", "--quiet"]);
        git(&["config", "index.version", version]);
        for path in ["a/b/first", "a/b/second", "a/c", "z"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
            fs::write(path, "").unwrap();
        }
        git(&["add", "."]);
        fs::read(root.path().join(".git/index")).unwrap()
    }

    #[test]
    fn paths_and_their_directories_are_known() {
        for version in ["2", "4"] {
            let tracked = read(&made(version)).unwrap();
            for path in ["a/b/first", "a/b/second", "a/c", "z"] {
                assert!(tracked.has_file(path.as_bytes()), "{path}");
                assert_eq!(tracked.directory(path.as_bytes()), None, "{path}");
            }
            for path in ["a", "a/b"] {
                assert!(!tracked.has_file(path.as_bytes()), "{path}");
                assert_eq!(tracked.directory(path.as_bytes()), Some(Extent::Part));
            }
            assert!(!tracked.has_file(b"a/b/fir"));
            assert_eq!(tracked.count(), 6);
        }
    }

    #[test]
    fn damage_is_an_error_or_changes_what_is_known() {
        for version in ["2", "4"] {
            let whole = made(version);
            for length in 0..whole.len() {
                assert!(read(&whole[..length]).is_err(), "{length}");
            }
            let mut random = fastrand::Rng::with_seed(1);
            for _ in 0..2000 {
                let mut damaged = whole.clone();
                for _ in 0..random.usize(1..4) {
                    damaged[random.usize(0..whole.len())] = random.u8(..);
                }
                // Must end, and not in a panic.
                let _ = read(&damaged);
            }
        }
    }

    #[test]
    fn no_more_paths_are_read_than_there_is_room_for() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &made("2")).unwrap();
        let mut read = |most| Tracked::read(&mut file, |_| Err(ErrorKind::NotFound.into()), most);
        assert!(read(6).is_ok());
        assert_eq!(read(5).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
