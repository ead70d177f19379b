//! A lower tree that is no archive.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc};

use cow_fuse::{
    Options, cow,
    cow::ServeError,
    lower::{Attributes, Entry, FileType, Lower, ROOT, Usage, Xattr},
    view,
};
use rustix::io::Errno;

const FILE: u64 = ROOT + 1;
const NAME: &[u8] = b"file";

/// A directory with one file in it.
#[derive(Debug)]
struct OneFile {
    content: &'static [u8],
}

impl Lower for OneFile {
    fn identity(&self) -> &[u8] {
        self.content
    }

    fn block_size(&self) -> u32 {
        4096
    }

    fn usage(&self) -> Usage {
        Usage {
            bytes: self.content.len() as u64,
            nodes: 2,
        }
    }

    fn has_xattrs(&self) -> bool {
        false
    }

    fn attributes(&self, node: u64) -> Result<Attributes, Errno> {
        let (kind, mode, link_count, size) = match node {
            ROOT => (FileType::Directory, 0o755, 2, 0),
            FILE => (FileType::RegularFile, 0o640, 1, self.content.len() as u64),
            _ => return Err(Errno::STALE),
        };
        Ok(Attributes {
            kind,
            mode,
            uid: 12,
            gid: 34,
            mtime: -56,
            link_count,
            size,
            blocks: size.div_ceil(512),
            device: 0,
        })
    }

    fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Errno> {
        match directory {
            ROOT => Ok((name == NAME).then_some(FILE)),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn read_dir(
        &self,
        _directory: u64,
        from: u64,
        each: &mut dyn FnMut(Entry<'_>) -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let entry = Entry {
            name: NAME,
            node: FILE,
            next: 1,
        };
        match from {
            0 => each(entry).map(drop),
            _ => Ok(()),
        }
    }

    fn read_link(&self, _node: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::INVAL)
    }

    fn read(&self, _node: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let rest = self.content.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn seek(&self, _node: u64, offset: u64, _whence: i32) -> Result<u64, Errno> {
        let end = self.content.len() as u64;
        (offset < end).then_some(offset).ok_or(Errno::NXIO)
    }

    fn xattrs(&self, _node: u64) -> Result<Vec<Xattr>, Errno> {
        Ok(Vec::new())
    }

    fn xattr(&self, _node: u64, _name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        Ok(None)
    }
}

#[test]
fn any_tree_can_be_below() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["view", "merged", "upper"] {
        fs::create_dir(at(name)).unwrap();
    }
    let lower = Arc::new(OneFile {
        content: b"as it was",
    });
    let options = Options::default();

    let session = view::serve(lower.clone(), &at("view"), &options).unwrap();
    assert_eq!(fs::read(at("view/file")).unwrap(), b"as it was");
    let about = fs::metadata(at("view/file")).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mtime()), (12, 34, -56));
    session.unmount().unwrap();
    session.wait().unwrap();

    let serve = || cow::serve(lower.clone(), &at("upper"), &at("merged"), &options);
    let session = serve().unwrap();
    fs::write(at("merged/file"), "changed").unwrap();
    fs::rename(at("merged/file"), at("merged/renamed")).unwrap();
    fs::write(at("merged/new"), "new").unwrap();
    session.unmount().unwrap();
    session.wait().unwrap();

    let session = serve().unwrap();
    assert_eq!(fs::read(at("merged/renamed")).unwrap(), b"changed");
    assert_eq!(fs::read(at("merged/new")).unwrap(), b"new");
    assert_eq!(fs::read_dir(at("merged")).unwrap().count(), 2);
    session.unmount().unwrap();
    session.wait().unwrap();

    let other = Arc::new(OneFile { content: b"other" });
    let served = cow::serve(other, &at("upper"), &at("merged"), &options);
    assert!(matches!(served, Err(ServeError::OtherLower)));
}
