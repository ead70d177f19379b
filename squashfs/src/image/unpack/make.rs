//! Making entries.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, linkat, mknodat, openat, symlinkat},
    io::Errno,
};

use super::{New, PERMISSIONS, Unpacker, at, attributes::mode_of};
use crate::{
    image::ArchiveError,
    reader::{Attributes, InodeRef, Kind, ReadError},
};

/// The directory that is being filled.
pub(super) struct Parent<'a> {
    pub(super) directory: &'a New,
    pub(super) path: Vec<u8>,
    /// What new entries belong to.
    pub(super) gid: Gid,
}

impl Parent<'_> {
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.directory.handle.as_fd()
    }

    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        match self.path.as_slice() {
            b"" => name.to_vec(),
            path => [path, b"/", name].concat(),
        }
    }
}

impl Unpacker<'_> {
    /// Makes an entry under its first name, and links its others to that.
    pub(super) fn make_or_link(
        &self,
        parent: &Parent<'_>,
        name: &[u8],
        inode: InodeRef,
        attributes: Attributes,
    ) -> Result<Option<New>, ArchiveError> {
        // Held until the first name is there: others may ask for it at once.
        let mut first_names = self.first_names.lock();
        let Some(first) = first_names.get(&inode) else {
            let made = self.make(parent, name, inode, attributes)?;
            first_names.insert(inode, parent.join(name));
            return Ok(made);
        };
        let slash = first.iter().rposition(|&byte| byte == b'/');
        let (directory, first) = match slash {
            Some(slash) => (&first[..slash], &first[slash + 1..]),
            None => (&[][..], first.as_slice()),
        };
        self.root
            .open_directory(directory)
            .and_then(|from| linkat(from, first, parent.handle(), name, AtFlags::empty()))
            .map_err(at(&parent.join(name)))?;
        Ok(None)
    }

    /// Makes an entry that is not a directory. Gives a regular file open and
    /// empty; anything else is complete then.
    pub(super) fn make(
        &self,
        parent: &Parent<'_>,
        name: &[u8],
        inode: InodeRef,
        attributes: Attributes,
    ) -> Result<Option<New>, ArchiveError> {
        let failed = |errno: Errno| at(&parent.join(name))(errno);
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let permissions = mode_of(&attributes) & PERMISSIONS;
        let (kind, mode) = match attributes.kind {
            Kind::File => {
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                let handle = openat(parent.handle(), name, flags, permissions);
                return Ok(Some(New {
                    handle: handle.map_err(failed)?,
                    inode,
                    attributes,
                    gid: parent.gid,
                    mode: permissions - self.umask,
                }));
            }
            // Only its listing says that it is no directory.
            Kind::Directory => {
                return Err(ArchiveError::from(ReadError::Damaged {
                    what: "a directory says that a file is of another kind",
                    at: self.archive.superblock().directory_table.get(),
                }));
            }
            Kind::Symlink => {
                let target = self.archive.read_link(inode)?;
                symlinkat(target, parent.handle(), name).map_err(failed)?;
                // A link's own permissions mean nothing and cannot be set.
                (None, mode_of(&attributes))
            }
            Kind::BlockDevice => (Some(FileType::BlockDevice), permissions),
            Kind::CharDevice => (Some(FileType::CharacterDevice), permissions),
            Kind::Fifo => (Some(FileType::Fifo), permissions),
            Kind::Socket => (Some(FileType::Socket), permissions),
        };
        if let Some(kind) = kind {
            match mknodat(parent.handle(), name, kind, mode, attributes.device) {
                Err(Errno::PERM) if !self.uid.is_root() => {
                    self.leave_out(parent.join(name), b"device");
                    return Ok(None);
                }
                result => result.map_err(failed)?,
            }
        }
        // It must not be opened for more than this.
        let handle = openat(parent.handle(), name, flags | OFlags::PATH, Mode::empty());
        let new = New {
            handle: handle.map_err(failed)?,
            inode,
            attributes,
            gid: parent.gid,
            mode: match kind {
                Some(_) => mode - self.umask,
                None => mode,
            },
        };
        self.finish(&new, &|| parent.join(name))?;
        Ok(None)
    }
}
