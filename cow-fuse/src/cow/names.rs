//! Making, linking, renaming and removing.
//!
//! The kernel makes one change at a time in a directory, and holds an inode
//! while its names change, so what is looked up before the table is held is still
//! so afterwards.

use std::sync::atomic::Ordering;

use fuser::{FileAttr, RenameFlags};
use rustix::io::Errno;

use super::{
    Cow,
    change::Change,
    inode::{Content, Inode, Time, mode},
};
use crate::reply::NAME_MAX;

/// Names that a node can have: what ext4 allows.
const LINK_MAX: u32 = 65_000;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct New<'a> {
    /// Type and permissions, before the umask.
    pub(super) mode: u32,
    pub(super) umask: u32,
    pub(super) device: u32,
    pub(super) target: Option<&'a [u8]>,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A name in a directory, and what is known of that directory.
struct Place<'a> {
    directory: u64,
    known: Inode,
    name: &'a [u8],
    in_lower: bool,
}

impl Cow {
    pub(super) fn lookup(&self, directory: u64, name: &[u8]) -> Result<Option<FileAttr>, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.find(directory, name)?
            .map(|node| self.attributes(node))
            .transpose()
    }

    pub(super) fn make(
        &self,
        directory: u64,
        name: &[u8],
        new: New<'_>,
    ) -> Result<FileAttr, Errno> {
        let place = self.place(directory, name)?;
        if self.find(directory, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let (mut mode, xattrs) = self.inherit(directory, &place.known, new.mode, new.umask)?;
        let is_directory = mode & mode::TYPE == mode::DIRECTORY;
        let mut gid = new.gid;
        if place.known.mode & mode::SET_GID != 0 {
            gid = place.known.gid;
            if is_directory {
                mode |= mode::SET_GID;
            }
        }
        let now = Time::now();
        let inode = Inode {
            mode,
            uid: new.uid,
            gid,
            links: if is_directory { 2 } else { 1 },
            device: new.device,
            atime: now,
            mtime: now,
            ctime: now,
            content: new
                .target
                .map_or(Content::Own, |target| Content::Target(target.into())),
            xattrs,
        };
        let node = self.new_node();
        if inode.is_stored() {
            self.store.create(node)?;
        }
        let mut change = self.change();
        change.inode(node, &inode);
        let above = change.touch(directory, &place.known);
        if is_directory {
            above.links = above.links.saturating_add(1);
        }
        change.link(directory, name, node);
        change.commit().inspect_err(|_| self.store.remove(node))?;
        self.attributes(node)
    }

    pub(super) fn link(&self, node: u64, directory: u64, name: &[u8]) -> Result<FileAttr, Errno> {
        let place = self.place(directory, name)?;
        if self.find(directory, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        let known = self.inode(node)?;
        if known.is_directory() {
            return Err(Errno::PERM);
        }
        let mut change = self.change();
        let now = change.now;
        let inode = change.inode(node, &known);
        match inode.links {
            0 => return Err(Errno::NOENT),
            LINK_MAX.. => return Err(Errno::MLINK),
            _ => inode.links += 1,
        }
        inode.ctime = now;
        change.touch(directory, &place.known);
        change.link(directory, name, node);
        change.commit()?;
        self.attributes(node)
    }

    pub(super) fn unlink(&self, directory: u64, name: &[u8]) -> Result<(), Errno> {
        self.remove(directory, name, false)
    }

    pub(super) fn rmdir(&self, directory: u64, name: &[u8]) -> Result<(), Errno> {
        self.remove(directory, name, true)
    }

    fn remove(&self, directory: u64, name: &[u8], want_directory: bool) -> Result<(), Errno> {
        let place = self.place(directory, name)?;
        let node = self.find(directory, name)?.ok_or(Errno::NOENT)?;
        let known = self.inode(node)?;
        match (known.is_directory(), want_directory) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) => self.require_empty(node)?,
            (false, false) => {}
        }
        let mut change = self.change();
        change.unlink(directory, name, place.in_lower);
        let above = change.touch(directory, &place.known);
        if want_directory {
            above.links = above.links.saturating_sub(1);
        }
        let orphaned = take_link(&mut change, node, &known);
        change.commit()?;
        self.count_orphan(orphaned);
        Ok(())
    }

    pub(super) fn rename(
        &self,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        if flags.contains(RenameFlags::RENAME_WHITEOUT) || exchange && no_replace {
            return Err(Errno::INVAL);
        }
        let from = self.place(from.0, from.1)?;
        let to = self.place(to.0, to.1)?;
        let node = self.find(from.directory, from.name)?.ok_or(Errno::NOENT)?;
        let known = self.inode(node)?;
        let target = match self.find(to.directory, to.name)? {
            Some(target) => Some((target, self.inode(target)?)),
            None => None,
        };
        match &target {
            None if exchange => return Err(Errno::NOENT),
            Some(_) if no_replace => return Err(Errno::EXIST),
            // Two names of one file: nothing to do, says rename(2).
            Some((target, _)) if *target == node => return Ok(()),
            Some((target, about)) if !exchange => {
                match (known.is_directory(), about.is_directory()) {
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    (true, true) => self.require_empty(*target)?,
                    (false, false) => {}
                }
            }
            _ => {}
        }

        let mut change = self.change();
        let now = change.now;
        change.touch(from.directory, &from.known);
        change.touch(to.directory, &to.known);
        change.inode(node, &known).ctime = now;
        move_link(&mut change, &from, &to, &known);
        let mut orphaned = false;
        match target {
            Some((target, about)) if exchange => {
                change.inode(target, &about).ctime = now;
                move_link(&mut change, &to, &from, &about);
                change.link(from.directory, from.name, target);
            }
            target => {
                change.unlink(from.directory, from.name, from.in_lower);
                if let Some((target, about)) = target {
                    if about.is_directory() {
                        let above = change.inode(to.directory, &to.known);
                        above.links = above.links.saturating_sub(1);
                    }
                    orphaned = take_link(&mut change, target, &about);
                }
            }
        }
        change.link(to.directory, to.name, node);
        change.commit()?;
        self.count_orphan(orphaned);
        Ok(())
    }

    /// The kernel has let go of a node. If it has no name either, it is gone.
    pub(super) fn forget(&self, node: u64) {
        // Nearly all have names, and nearly always there is no orphan at all.
        if self.orphans.load(Ordering::Acquire) == 0 {
            return;
        }
        let nameless = self
            .tree()
            .tree
            .inode(node)
            .is_some_and(|inode| inode.links == 0);
        if !nameless {
            return;
        }
        let mut change = self.change();
        if change.drop_nameless(node) && change.commit().is_ok() {
            self.orphans.fetch_sub(1, Ordering::AcqRel);
            self.store.remove(node);
        }
    }

    fn count_orphan(&self, orphaned: bool) {
        if orphaned {
            self.orphans.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn place<'a>(&self, directory: u64, name: &'a [u8]) -> Result<Place<'a>, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let known = self.inode(directory)?;
        if !known.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if known.links == 0 {
            return Err(Errno::NOENT);
        }
        Ok(Place {
            directory,
            known,
            name,
            in_lower: self.in_lower(directory, name)?,
        })
    }
}

/// Takes one name from a node. Says whether that was the last.
fn take_link(change: &mut Change<'_>, node: u64, known: &Inode) -> bool {
    let now = change.now;
    let inode = change.inode(node, known);
    inode.ctime = now;
    inode.links = if inode.is_directory() {
        0
    } else {
        inode.links.saturating_sub(1)
    };
    inode.links == 0
}

/// A directory has a link in the one that it is in.
fn move_link(change: &mut Change<'_>, from: &Place<'_>, to: &Place<'_>, moved: &Inode) {
    if moved.is_directory() && from.directory != to.directory {
        let above = change.inode(from.directory, &from.known);
        above.links = above.links.saturating_sub(1);
        let above = change.inode(to.directory, &to.known);
        above.links = above.links.saturating_add(1);
    }
}
