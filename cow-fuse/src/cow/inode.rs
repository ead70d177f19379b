//! What is kept of a node that differs from the lower tree.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fuser::{FileType, TimeOrNow};
use rustix::{
    fs::Timespec,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

use crate::lower::Attributes;

/// Extended attributes by their full names.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inode {
    /// As `st_mode` has it: type and permissions.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Number of names; 0 if it lives only as long as somebody has it open.
    pub(super) links: u32,
    /// As FUSE carries it; see [`Attributes::device`].
    pub(super) device: u32,
    /// Of a file with content of its own, this and `mtime` are those of its file
    /// in the store.
    pub(super) atime: Time,
    pub(super) mtime: Time,
    /// The later one of this and that of its file in the store counts.
    pub(super) ctime: Time,
    pub(super) content: Content,
    /// `None`: those in the lower tree.
    pub(super) xattrs: Option<Box<Xattrs>>,
}

/// Where content, entries or target are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    /// In the lower tree, under the same number.
    Lower,
    /// Of a file: in the store. All entries of a directory are in the table.
    Own,
    /// A link's target.
    Target(Box<[u8]>),
}

/// Bits of [`Inode::mode`].
pub(super) mod mode {
    pub(crate) const TYPE: u32 = 0o170_000;
    pub(crate) const SOCKET: u32 = 0o140_000;
    pub(crate) const SYMLINK: u32 = 0o120_000;
    pub(crate) const FILE: u32 = 0o100_000;
    pub(crate) const BLOCK_DEVICE: u32 = 0o060_000;
    pub(crate) const DIRECTORY: u32 = 0o040_000;
    pub(crate) const CHAR_DEVICE: u32 = 0o020_000;
    pub(crate) const FIFO: u32 = 0o010_000;
    pub(crate) const SET_UID: u32 = 0o4000;
    pub(crate) const SET_GID: u32 = 0o2000;
    pub(crate) const GROUP_EXECUTE: u32 = 0o010;
    /// All that `chmod(2)` can change.
    pub(crate) const PERMISSIONS: u32 = 0o7777;
}

impl Inode {
    pub(super) fn of_lower(about: &Attributes) -> Self {
        let kind = match about.kind {
            FileType::Directory => mode::DIRECTORY,
            FileType::RegularFile => mode::FILE,
            FileType::Symlink => mode::SYMLINK,
            FileType::BlockDevice => mode::BLOCK_DEVICE,
            FileType::CharDevice => mode::CHAR_DEVICE,
            FileType::NamedPipe => mode::FIFO,
            FileType::Socket => mode::SOCKET,
        };
        let time = Time {
            seconds: about.mtime,
            nanoseconds: 0,
        };
        Self {
            mode: kind | u32::from(about.mode),
            uid: about.uid,
            gid: about.gid,
            links: about.link_count,
            device: about.device,
            atime: time,
            mtime: time,
            ctime: time,
            content: Content::Lower,
            xattrs: None,
        }
    }

    pub(super) const fn is_directory(&self) -> bool {
        self.mode & mode::TYPE == mode::DIRECTORY
    }

    pub(super) const fn is_file(&self) -> bool {
        self.mode & mode::TYPE == mode::FILE
    }

    /// Whether it is a file in the store.
    pub(super) const fn is_stored(&self) -> bool {
        self.is_file() && matches!(self.content, Content::Own)
    }

    pub(super) const fn file_type(&self) -> FileType {
        match self.mode & mode::TYPE {
            mode::DIRECTORY => FileType::Directory,
            mode::SYMLINK => FileType::Symlink,
            mode::BLOCK_DEVICE => FileType::BlockDevice,
            mode::CHAR_DEVICE => FileType::CharDevice,
            mode::FIFO => FileType::NamedPipe,
            mode::SOCKET => FileType::Socket,
            _ => FileType::RegularFile,
        }
    }

    /// Takes the set-id bits away, as a write or a change of owner does: the
    /// group's only if it means what its name says (`chmod(2)`, "mandatory
    /// locking").
    pub(super) const fn drop_set_id(&mut self) {
        self.mode &= !mode::SET_UID;
        if self.mode & mode::GROUP_EXECUTE != 0 {
            self.mode &= !mode::SET_GID;
        }
    }

    pub(super) const fn has_set_id(&self) -> bool {
        self.mode & mode::SET_UID != 0
            || self.mode & (mode::SET_GID | mode::GROUP_EXECUTE)
                == mode::SET_GID | mode::GROUP_EXECUTE
    }
}

/// A point in time, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Time {
    pub(super) seconds: i64,
    /// Below 10⁹, and counted forwards, before 1970 too.
    pub(super) nanoseconds: u32,
}

impl Time {
    /// By the clock that Linux stamps files with, so that ours and those in the
    /// store go together.
    pub(super) fn now() -> Self {
        clock_gettime(ClockId::RealtimeCoarse).into()
    }

    pub(super) fn from_request(time: TimeOrNow, now: Self) -> Self {
        let TimeOrNow::SpecificTime(time) = time else {
            return now;
        };
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
            // fuser 0.18 takes both numbers for a distance from 1970, though the
            // nanoseconds count forwards there, too.
            Err(error) => Self {
                seconds: 0_i64.saturating_sub_unsigned(error.duration().as_secs()),
                nanoseconds: error.duration().subsec_nanos(),
            },
        }
    }

    pub(super) const fn to_timespec(self) -> Timespec {
        Timespec {
            tv_sec: self.seconds,
            tv_nsec: self.nanoseconds as _,
        }
    }
}

impl From<Timespec> for Time {
    fn from(time: Timespec) -> Self {
        Self {
            seconds: time.tv_sec,
            nanoseconds: u32::try_from(time.tv_nsec).unwrap_or(0),
        }
    }
}

impl From<Time> for SystemTime {
    fn from(time: Time) -> Self {
        let whole = Duration::from_secs(time.seconds.unsigned_abs());
        let base = if time.seconds < 0 {
            UNIX_EPOCH.checked_sub(whole)
        } else {
            UNIX_EPOCH.checked_add(whole)
        };
        base.and_then(|base| base.checked_add(Duration::from_nanos(time.nanoseconds.into())))
            .unwrap_or(UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        let now = Time::now();
        for (seconds, nanoseconds) in [
            (0_i64, 0),
            (-1, 0),
            (-1, 999_999_999),
            (-2, 1),
            (1 << 33, 5),
        ] {
            // As fuser 0.18 reads them.
            let distance = Duration::new(seconds.unsigned_abs(), nanoseconds);
            let read = match seconds < 0 {
                true => UNIX_EPOCH - distance,
                false => UNIX_EPOCH + distance,
            };
            let time = Time::from_request(TimeOrNow::SpecificTime(read), now);
            assert_eq!((time.seconds, time.nanoseconds), (seconds, nanoseconds));
        }
        let before = Time {
            seconds: -1,
            nanoseconds: 999_999_999,
        };
        assert_eq!(
            SystemTime::from(before),
            UNIX_EPOCH - Duration::from_nanos(1)
        );
        assert_eq!(Time::from_request(TimeOrNow::Now, now), now);
    }

    #[test]
    fn set_gid_without_execute_stays() {
        let mut inode = Inode {
            mode: mode::FILE | 0o6755,
            uid: 0,
            gid: 0,
            links: 1,
            device: 0,
            atime: Time::now(),
            mtime: Time::now(),
            ctime: Time::now(),
            content: Content::Own,
            xattrs: None,
        };
        assert!(inode.has_set_id());
        inode.drop_set_id();
        assert_eq!(inode.mode, mode::FILE | 0o755);
        inode.mode = mode::FILE | 0o2644;
        assert!(!inode.has_set_id());
        inode.drop_set_id();
        assert_eq!(inode.mode, mode::FILE | 0o2644);
    }
}
