//! The kernel's requests, handed on; answers, handed back. Nothing is decided
//! here.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, path::Path, time::SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use rustix::{
    fs::{FallocateFlags, XattrFlags},
    io::Errno,
};

use super::{
    Cow,
    attributes::Wanted,
    content,
    inode::{Content, mode},
    names::New,
};
use crate::{
    reply::{self, NAME_MAX, errno},
    session,
};

fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn offset(offset: i64) -> Result<u64, Errno> {
    u64::try_from(offset).map_err(|_| Errno::INVAL)
}

impl Filesystem for Cow {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        session::negotiate(
            config,
            InitFlags::FUSE_CACHE_SYMLINKS
                | InitFlags::FUSE_POSIX_ACL
                | InitFlags::FUSE_DONT_MASK
                | InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        )
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply::entry(reply, self.lookup(parent.0, name.as_bytes()));
    }

    fn forget(&self, _: &Request, node: INodeNo, _: u64) {
        self.forget(node.0);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply::attributes(reply, self.attributes(node.0));
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wanted = Wanted {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
        };
        reply::attributes(reply, self.set_attributes(node.0, wanted, request.uid()));
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        match self.inode(node.0).map(|inode| inode.content) {
            Ok(Content::Target(target)) => reply.data(&target),
            Ok(_) => match self.lower.read_link(node.0) {
                Ok(target) => reply.data(&target),
                Err(error) => reply.error(errno(error)),
            },
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let new = New {
            mode,
            umask,
            device,
            target: None,
            uid: request.uid(),
            gid: request.gid(),
        };
        reply::entry(reply, self.make(parent.0, name.as_bytes(), new).map(Some));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let new = New {
            mode: mode::DIRECTORY | mode & mode::PERMISSIONS,
            umask,
            device: 0,
            target: None,
            uid: request.uid(),
            gid: request.gid(),
        };
        reply::entry(reply, self.make(parent.0, name.as_bytes(), new).map(Some));
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = New {
            mode: mode::SYMLINK | 0o777,
            umask: 0,
            device: 0,
            target: Some(target.as_os_str().as_bytes()),
            uid: request.uid(),
            gid: request.gid(),
        };
        reply::entry(reply, self.make(parent.0, name.as_bytes(), new).map(Some));
    }

    /// Refused for good, and then the kernel does with `mknod` and without a
    /// file to be released: see the parent module on opening.
    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.unlink(parent.0, name.as_bytes()));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.rmdir(parent.0, name.as_bytes()));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let from = (parent.0, name.as_bytes());
        let to = (new_parent.0, new_name.as_bytes());
        done(reply, self.rename(from, to, flags));
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.link(node.0, parent.0, name.as_bytes());
        reply::entry(reply, linked.map(Some));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
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
        reply::with_buffer(size, reply, |buffer| self.read(node.0, offset, buffer));
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        how: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.write(node.0, offset, data).and_then(|written| {
            if how.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                self.drop_set_id(node.0)?;
            }
            Ok(written)
        });
        match written {
            Ok(written) => reply.written(written as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        done(reply, self.sync(node.0, data_only));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.sync_journal());
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
        match self.store.statvfs() {
            Ok(about) => reply.statfs(
                about.f_blocks,
                about.f_bfree,
                about.f_bavail,
                about.f_files,
                about.f_ffree,
                about.f_bsize as u32,
                NAME_MAX as u32,
                about.f_frsize as u32,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setxattr(
        &self,
        _: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let how = XattrFlags::from_bits_retain(flags.cast_unsigned());
        done(reply, self.set_xattr(node.0, name.as_bytes(), value, how));
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        reply::xattr(reply, size, self.xattr(node.0, name.as_bytes()));
    }

    fn listxattr(&self, request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        let list = self
            .xattrs(node.0)
            .map(|all| reply::xattr_names(request, all.keys().map(Vec::as_slice)));
        reply::xattr(reply, size, list);
    }

    fn removexattr(&self, _: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.remove_xattr(node.0, name.as_bytes()));
    }

    fn fallocate(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let how = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        done(reply, self.allocate(node.0, offset, length, how));
    }

    fn lseek(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        from: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        match offset(from).and_then(|from| self.seek(node.0, from, whence)) {
            Ok(offset) => reply.offset(offset.cast_signed()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn copy_file_range(
        &self,
        _: &Request,
        from: INodeNo,
        _: FileHandle,
        from_offset: u64,
        to: INodeNo,
        _: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let from = content::Place {
            node: from.0,
            offset: from_offset,
        };
        let to = content::Place {
            node: to.0,
            offset: to_offset,
        };
        match self.copy(from, to, length) {
            Ok(copied) => reply.written(copied as u32),
            Err(error) => reply.error(errno(error)),
        }
    }
}
