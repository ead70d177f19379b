//! A lower tree as it is, read-only.
//!
//! Made to be the lower layer of an overlay: names, attributes, listings, links
//! and pages are the kernel's for good once it has seen them; a listing brings
//! the attributes of everything it lists; names that do not exist are remembered
//! too. Inode numbers are the same at every mount of a tree.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use fuser::{
    FileAttr, FileHandle, Filesystem, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectoryPlus, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyXattr, Request,
};
use rustix::io::Errno;

use crate::{
    lower::{DOTS, Lower, Usage, file_attr},
    reply::{self, NAME_MAX},
    session::{self, Options, Session},
    xattr,
};

/// Mounts the tree `lower` on the directory `mountpoint`.
///
/// # Errors
/// `/dev/fuse` cannot be opened, or the mount is refused.
pub fn serve(lower: Arc<dyn Lower>, mountpoint: &Path, options: &Options) -> io::Result<Session> {
    let view = View {
        block_size: lower.block_size(),
        lower,
    };
    Session::start(view, mountpoint, options, true)
}

struct View {
    lower: Arc<dyn Lower>,
    block_size: u32,
}

impl View {
    fn attributes(&self, node: u64) -> Result<FileAttr, Errno> {
        let about = self.lower.attributes(node)?;
        Ok(file_attr(node, &about, self.block_size))
    }

    fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<FileAttr>, Errno> {
        // How the kernel asks for a node whose handle (`open_by_handle_at(2)`)
        // overlayfs has kept.
        if name == b"." {
            return self.attributes(directory).map(Some);
        }
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.lower
            .lookup(directory, name)?
            .map(|node| self.attributes(node))
            .transpose()
    }

    /// Gives `add` the entries of a directory from a cookie on, until it has
    /// room for no more.
    fn list(
        &self,
        directory: u64,
        from: u64,
        mut add: impl FnMut(&[u8], u64, FileAttr) -> bool,
    ) -> Result<(), Errno> {
        for (cookie, name) in DOTS.iter().enumerate().skip(from as usize) {
            // Nobody looks at what `..` says: the kernel knows better.
            if !add(name, cookie as u64 + 1, self.attributes(directory)?) {
                return Ok(());
            }
        }
        let dots = DOTS.len() as u64;
        let from = from.saturating_sub(dots);
        self.lower.read_dir(directory, from, &mut |entry| {
            let about = self.attributes(entry.node)?;
            Ok(add(entry.name, entry.next + dots, about))
        })
    }
}

impl Filesystem for View {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        session::negotiate(
            config,
            InitFlags::FUSE_CACHE_SYMLINKS
                | InitFlags::FUSE_EXPORT_SUPPORT
                | InitFlags::FUSE_POSIX_ACL,
        )
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply::entry(reply, self.lookup(parent.0, name.as_bytes()));
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply::attributes(reply, self.attributes(node.0));
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        match self.lower.read_link(node.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(reply::errno(error)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply::with_buffer(size, reply, |buffer| {
            self.lower.read(node.0, offset, buffer)
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        reply::listing(reply, |add| self.list(node.0, offset, add));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let Usage { bytes, nodes } = self.lower.usage();
        let blocks = bytes.div_ceil(self.block_size.into());
        let longest = NAME_MAX as u32;
        reply.statfs(
            blocks,
            0,
            0,
            nodes,
            0,
            self.block_size,
            longest,
            self.block_size,
        );
    }

    /// A tree without any attributes answers as Linux's own driver does, and
    /// only once: overlayfs would ask for each file's.
    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if !self.lower.has_xattrs() {
            return reply.error(fuser::Errno::ENOSYS);
        }
        let name = name.as_bytes();
        let value = xattr::check(name)
            .and_then(|()| self.lower.xattr(node.0, name))
            .and_then(|value| value.ok_or(Errno::NODATA));
        reply::xattr(reply, size, value);
    }

    fn listxattr(&self, request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        if !self.lower.has_xattrs() {
            return reply.error(fuser::Errno::ENOSYS);
        }
        let all = self.lower.xattrs(node.0);
        let list = all
            .map(|all| reply::xattr_names(request, all.iter().map(|xattr| xattr.name.as_slice())));
        reply::xattr(reply, size, list);
    }

    fn lseek(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let found = u64::try_from(offset)
            .map_err(|_| Errno::NXIO)
            .and_then(|offset| self.lower.seek(node.0, offset, whence));
        match found {
            Ok(offset) => reply.offset(offset.cast_signed()),
            Err(error) => reply.error(reply::errno(error)),
        }
    }
}
