//! One file, the archive, for Linux's own squashfs driver to be put on.
//!
//! The file never changes, so the kernel may keep every page of it. A request
//! is answered when its bytes have come, which may take a while, so there are
//! many threads.

use std::{ffi::OsStr, io, path::Path, sync::Arc, time::UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request,
};

use crate::{
    reply::{FOREVER, GENERATION},
    session::{self, Options, Session},
};
use squashfs::reader::ReadAt;

/// The name of the file.
pub const NAME: &str = "archive.sqsh";

const FILE: INodeNo = INodeNo(2);
/// The longest answer, in bytes: as many pages as the kernel asks for at once.
const LONGEST: u32 = 1 << 20;

/// Serves a directory with one file in it, at `mountpoint`.
///
/// # Errors
/// The file system cannot be mounted.
pub fn serve(
    archive: Arc<dyn ReadAt>,
    mountpoint: &Path,
    options: &Options,
) -> io::Result<Session> {
    Session::start(ArchiveFile { archive }, mountpoint, options, true)
}

struct ArchiveFile {
    archive: Arc<dyn ReadAt>,
}

impl ArchiveFile {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        let size = if is_file { self.archive.size() } else { 0 };
        FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file {
                FileType::RegularFile
            } else {
                FileType::Directory
            },
            perm: if is_file { 0o400 } else { 0o500 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for ArchiveFile {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        session::request(
            config,
            InitFlags::FUSE_ASYNC_READ | InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_MAX_PAGES,
        );
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            reply.entry(&FOREVER, &self.attributes(FILE), GENERATION);
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = self.archive.size().saturating_sub(offset);
        let length = left.min(u64::from(size.min(LONGEST)));
        let mut buffer = vec![0; usize::try_from(length).unwrap_or_default()];
        match self.archive.read_exact_at(&mut buffer, offset) {
            Ok(()) => reply.data(&buffer),
            Err(_) => reply.error(Errno::EIO),
        }
    }
}
