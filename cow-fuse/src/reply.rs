//! From results to answers.

use std::{
    cell::RefCell,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    time::{Duration, UNIX_EPOCH},
};

use fuser::{
    FileAttr, FileType, Generation, INodeNo, ReplyAttr, ReplyData, ReplyDirectoryPlus, ReplyEntry,
    ReplyXattr, Request,
};
use rustix::io::Errno;

/// How long the kernel may remember what it is told.
pub(super) const FOREVER: Duration = Duration::from_secs(1 << 30);

/// Node ids are never given out twice.
pub(super) const GENERATION: Generation = Generation(0);

/// Longest name, in bytes (`NAME_MAX`).
pub(super) const NAME_MAX: usize = 255;

/// "Nobody has this name", which the kernel may remember, unlike `ENOENT`.
const NOBODY: FileAttr = FileAttr {
    ino: INodeNo(0),
    size: 0,
    blocks: 0,
    atime: UNIX_EPOCH,
    mtime: UNIX_EPOCH,
    ctime: UNIX_EPOCH,
    crtime: UNIX_EPOCH,
    kind: FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
};

pub(super) fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

pub(super) fn entry(reply: ReplyEntry, found: Result<Option<FileAttr>, Errno>) {
    match found {
        Ok(found) => reply.entry(&FOREVER, &found.unwrap_or(NOBODY), GENERATION),
        Err(error) => reply.error(errno(error)),
    }
}

pub(super) fn attributes(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(found) => reply.attr(&FOREVER, &found),
        Err(error) => reply.error(errno(error)),
    }
}

/// A part of a directory: `list` gives entries by name, cookie of the next one and
/// attributes, until there is no room for more.
pub(super) fn listing(
    mut reply: ReplyDirectoryPlus,
    list: impl FnOnce(&mut dyn FnMut(&[u8], u64, FileAttr) -> bool) -> Result<(), Errno>,
) {
    let listed = list(&mut |name, next, about| {
        let name = OsStr::from_bytes(name);
        !reply.add(about.ino, next, name, &FOREVER, &about, GENERATION)
    });
    match listed {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

/// `room` is what the caller has for the value; 0 asks for its length.
pub(super) fn xattr(reply: ReplyXattr, room: u32, value: Result<Vec<u8>, Errno>) {
    match value {
        Ok(value) if room == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > room as usize => reply.error(fuser::Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(errno(error)),
    }
}

/// A list of names as `listxattr(2)` gives it. `trusted.` is for root only
/// (`xattr(7)`).
pub(super) fn xattr_names<'a>(request: &Request, names: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut list = Vec::new();
    for name in names.filter(|name| request.uid() == 0 || !name.starts_with(b"trusted.")) {
        list.extend_from_slice(name);
        list.push(0);
    }
    list
}

thread_local! {
    /// Where content is put together. One request at a time is in the making.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers with what `fill` puts into a buffer of `size` bytes.
pub(super) fn with_buffer(
    size: u32,
    reply: ReplyData,
    fill: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
) {
    BUFFER.with_borrow_mut(|buffer| {
        let size = size as usize;
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        match fill(&mut buffer[..size]) {
            Ok(length) => reply.data(&buffer[..length]),
            Err(error) => reply.error(errno(error)),
        }
    });
}
