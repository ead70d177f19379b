//! Reading an archive that is not here, as a program does that cannot wait in the
//! middle of a call: it is told which bytes are missing, fetches them and asks again.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use squashfs::reader::{Archive, Fetched, InodeRef, Kind, Options, ReadAt, ReadError};

/// Keeps nothing in memory that it need not.
const STINGY: Options = Options {
    cache_bytes: 0,
    preload_bytes: 0,
};

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let files = fs::read_dir(directory).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

/// An archive far away, and what has been fetched of it.
struct Remote {
    bytes: Vec<u8>,
    fetched: Arc<Fetched>,
    requests: usize,
    fetched_bytes: u64,
}

impl Remote {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            fetched: Arc::new(Fetched::new(bytes.len() as u64)),
            bytes,
            requests: 0,
            fetched_bytes: 0,
        }
    }

    /// Does `work` as often as bytes are missing.
    fn until_here<T>(&mut self, work: impl Fn() -> Result<T, ReadError>) -> T {
        let mut last = None;
        loop {
            match work() {
                Err(ReadError::Missing { range }) => {
                    assert_ne!(last, Some(range.clone()), "asked for twice");
                    let piece = &self.bytes[range.start as usize..range.end as usize];
                    assert!(!piece.is_empty());
                    self.fetched.insert(range.start, piece.to_vec());
                    self.requests += 1;
                    self.fetched_bytes += piece.len() as u64;
                    last = Some(range);
                }
                done => return done.unwrap(),
            }
        }
    }

    fn open(&mut self, options: &Options) -> Archive {
        let fetched = Arc::clone(&self.fetched);
        self.until_here(|| Archive::open(Arc::clone(&fetched) as Arc<dyn ReadAt>, options))
    }
}

/// Names below a directory, with what they name.
fn names(archive: &Archive, directory: InodeRef) -> Result<Vec<(Vec<u8>, InodeRef)>, ReadError> {
    let mut names = Vec::new();
    let mut entries = archive.read_dir(directory, 0)?;
    while let Some(entry) = entries.next_entry()? {
        names.push((entry.name.to_vec(), entry.inode));
    }
    Ok(names)
}

fn content(archive: &Archive, file: InodeRef) -> Result<Vec<u8>, ReadError> {
    let mut content = vec![0; archive.attributes(file)?.size as usize];
    let length = archive.read(file, 0, &mut content)?;
    assert_eq!(length, content.len());
    Ok(content)
}

#[test]
fn everything_can_be_read_that_is_fetched_when_it_is_missing() {
    for bytes in corpus() {
        for options in [STINGY, Options::default()] {
            let here = Archive::open(Arc::new(bytes.clone()), &options).unwrap();
            let mut remote = Remote::new(bytes.clone());
            let archive = remote.open(&options);
            let mut pending = vec![archive.root()];
            let mut files = 0;
            while let Some(inode) = pending.pop() {
                let attributes = remote.until_here(|| archive.attributes(inode));
                assert_eq!(attributes, here.attributes(inode).unwrap());
                let xattrs = remote.until_here(|| archive.xattrs(inode));
                assert_eq!(xattrs, here.xattrs(inode).unwrap());
                match attributes.kind {
                    Kind::Directory => {
                        let found = remote.until_here(|| names(&archive, inode));
                        assert_eq!(found, names(&here, inode).unwrap());
                        for (name, child) in found {
                            let known = remote.until_here(|| archive.lookup(inode, &name));
                            assert_eq!(known, Some(child));
                            pending.push(child);
                        }
                    }
                    Kind::File => {
                        let found = remote.until_here(|| content(&archive, inode));
                        assert!(found == content(&here, inode).unwrap());
                        files += 1;
                    }
                    _ => {}
                }
            }
            assert!(files > 1);
        }
    }
}

#[test]
fn only_what_is_needed_is_asked_for() {
    for bytes in corpus() {
        let size = bytes.len() as u64;
        let mut remote = Remote::new(bytes);
        let archive = remote.open(&Options::default());
        // The superblock, and the tables, which lie together.
        assert_eq!(remote.requests, 2);
        let superblock = *archive.superblock();
        let tables = superblock.bytes_used.get() - superblock.inode_table.get();
        assert_eq!(remote.fetched_bytes, 96 + tables);
        let root = names(&archive, archive.root()).unwrap();
        assert_eq!(remote.requests, 2);
        let is_file = |inode: InodeRef| archive.attributes(inode).unwrap().kind == Kind::File;
        let (_, file) = root.into_iter().find(|(_, inode)| is_file(*inode)).unwrap();
        let found = remote.until_here(|| content(&archive, file));
        assert!(remote.fetched_bytes <= size);

        // Tables are in memory, and so are blocks that were decompressed.
        remote.fetched.clear();
        assert!(remote.until_here(|| content(&archive, file)) == found);
        assert!(!names(&archive, archive.root()).unwrap().is_empty());
    }
}

#[test]
fn what_is_not_here_is_no_damage() {
    for bytes in corpus() {
        let fetched = Fetched::new(bytes.len() as u64);
        let missing = squashfs::reader::read_superblock(&fetched).unwrap_err();
        assert!(
            matches!(&missing, ReadError::Missing { range } if *range == (0..96)),
            "{missing}"
        );
        fetched.insert(0, bytes[..4096].to_vec());
        squashfs::reader::read_superblock(&fetched).unwrap();
        let opened = Archive::open(Arc::new(fetched), &STINGY).unwrap_err();
        assert!(matches!(opened, ReadError::Missing { .. }), "{opened}");
    }
}
