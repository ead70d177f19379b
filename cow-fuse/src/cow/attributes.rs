//! Attributes: asking and setting.

use fuser::{FileAttr, INodeNo, TimeOrNow};
use rustix::{
    fs::{Timestamps, futimens},
    io::Errno,
};

use super::{
    Cow, acl,
    inode::{Content, Inode, Time, mode},
};
use crate::{lower::file_attr, xattr};

/// What `setattr` is asked to set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<TimeOrNow>,
    pub(super) mtime: Option<TimeOrNow>,
}

impl Cow {
    /// What `stat(2)` shall say.
    pub(super) fn attributes(&self, node: u64) -> Result<FileAttr, Errno> {
        let inode = self.tree().tree.inode(node).cloned();
        match inode {
            Some(inode) => self.describe(node, &inode),
            None => {
                let about = self.lower.attributes(node)?;
                Ok(file_attr(node, &about, self.block_size))
            }
        }
    }

    fn describe(&self, node: u64, inode: &Inode) -> Result<FileAttr, Errno> {
        let (mut size, mut blocks) = (0, 0);
        let (mut atime, mut mtime, mut ctime) = (inode.atime, inode.mtime, inode.ctime);
        match &inode.content {
            Content::Lower => {
                let about = self.lower.attributes(node)?;
                (size, blocks) = (about.size, about.blocks);
            }
            Content::Target(target) => size = target.len() as u64,
            Content::Own if inode.is_file() => {
                let stat = self.store.stat(node)?;
                size = stat.st_size.cast_unsigned();
                blocks = stat.st_blocks.cast_unsigned();
                atime = time(stat.st_atime, stat.st_atime_nsec);
                mtime = time(stat.st_mtime, stat.st_mtime_nsec);
                ctime = ctime.max(time(stat.st_ctime, stat.st_ctime_nsec));
            }
            Content::Own if inode.is_directory() => (size, blocks) = (4096, 8),
            Content::Own => {}
        }
        Ok(FileAttr {
            ino: INodeNo(node),
            size,
            blocks,
            atime: atime.into(),
            mtime: mtime.into(),
            ctime: ctime.into(),
            crtime: ctime.into(),
            kind: inode.file_type(),
            perm: (inode.mode & mode::PERMISSIONS) as u16,
            nlink: inode.links,
            uid: inode.uid,
            gid: inode.gid,
            rdev: inode.device,
            blksize: self.block_size,
            flags: 0,
        })
    }

    /// `chmod(2)`, `chown(2)`, `truncate(2)`, `utimensat(2)`. Whether the caller
    /// may has been checked by the kernel.
    pub(super) fn set_attributes(
        &self,
        node: u64,
        wanted: Wanted,
        caller: u32,
    ) -> Result<FileAttr, Errno> {
        let mut known = self.inode(node)?;
        // As the kernel does it: a new owner does not get the old one's rights,
        // and others than root lose them by changing the content.
        let owned = wanted.uid.is_some() || wanted.gid.is_some();
        let drop_set_id = !known.is_directory()
            && wanted.mode.is_none()
            && known.has_set_id()
            && (owned || wanted.size.is_some() && caller != 0);
        if let Some(size) = wanted.size {
            if !known.is_file() {
                return Err(Errno::INVAL);
            }
            self.truncate(node, size)?;
            known = self.inode(node)?;
        }
        let times = wanted.atime.is_some() || wanted.mtime.is_some();
        if !owned && !times && !drop_set_id && wanted.mode.is_none() {
            return self.attributes(node);
        }

        // A change of mode is one of the ACL, if there is one.
        let acl = match wanted.mode {
            Some(_) => self.xattr_of(node, &known, xattr::ACL_ACCESS)?,
            None => None,
        };
        let all_xattrs = match &acl {
            Some(_) => Some(Box::new(self.xattrs_of(node, &known)?)),
            None => None,
        };
        let mut change = self.change();
        let now = change.now;
        let inode = change.inode(node, &known);
        inode.ctime = now;
        if let Some(uid) = wanted.uid {
            inode.uid = uid;
        }
        if let Some(gid) = wanted.gid {
            inode.gid = gid;
        }
        if drop_set_id {
            inode.drop_set_id();
        }
        if let Some(wanted) = wanted.mode {
            inode.mode = inode.mode & !mode::PERMISSIONS | wanted & mode::PERMISSIONS;
            if let (Some(acl), Some(mut all)) = (acl, all_xattrs) {
                let acl = acl::Acl::parse(&acl)?.with_mode(wanted);
                all.insert(xattr::ACL_ACCESS.to_vec(), acl.to_bytes());
                inode.xattrs = Some(all);
            }
        }
        let atime = wanted.atime.map(|time| Time::from_request(time, now));
        let mtime = wanted.mtime.map(|time| Time::from_request(time, now));
        if inode.is_stored() {
            if times {
                let file = self.store.file(node)?;
                futimens(&file, &timestamps(atime, mtime))?;
            }
        } else {
            inode.atime = atime.unwrap_or(inode.atime);
            inode.mtime = mtime.unwrap_or(inode.mtime);
        }
        change.commit()?;
        self.attributes(node)
    }
}

/// Times to set on a file in the store; `None` leaves one as it is.
pub(super) fn timestamps(atime: Option<Time>, mtime: Option<Time>) -> Timestamps {
    let omit = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    };
    Timestamps {
        last_access: atime.map_or(omit, Time::to_timespec),
        last_modification: mtime.map_or(omit, Time::to_timespec),
    }
}

fn time(seconds: i64, nanoseconds: u64) -> Time {
    Time {
        seconds,
        nanoseconds: nanoseconds as u32,
    }
}
