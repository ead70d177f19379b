//! The mount table of this process, `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::{
    collections::HashSet,
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u64,
    parent: u64,
    /// Where.
    pub(super) point: PathBuf,
    /// The device number of its file system, `major:minor`: every mount of
    /// the same file system has the same.
    pub(super) device: String,
}

/// All mounts, in the order they were made.
pub(super) fn read() -> io::Result<Vec<Entry>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// All mounts that no other covers, in the order they were made.
pub(super) fn uncovered() -> io::Result<Vec<Entry>> {
    let mut mounts = read()?;
    let covered: HashSet<_> = mounts
        .iter()
        .map(|entry| (entry.parent, entry.point.clone()))
        .collect();
    mounts.retain(|entry| !covered.contains(&(entry.id, entry.point.clone())));
    Ok(mounts)
}

/// What is mounted at `point` on top of everything else there.
pub(super) fn topmost(point: &Path) -> io::Result<Option<Entry>> {
    Ok(uncovered()?.into_iter().find(|entry| entry.point == point))
}

fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let text = |index: usize| std::str::from_utf8(fields.get(index)?).ok();
            Some(Entry {
                id: text(0)?.parse().ok()?,
                parent: text(1)?.parse().ok()?,
                device: text(2)?.to_owned(),
                point: unescape(fields.get(4)?).into(),
            })
        })
        .collect()
}

/// Blanks, line breaks and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unescaped() {
        let table = b"36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/\\134root rw\n\
            37 36 0:30 / /mnt/a\\040b rw - overlay sandbox-x rw,lowerdir=/l\n";
        let entries = parse(table);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].point, Path::new("/mnt/a b"));
        assert_eq!(entries[1].device, "0:30");
        assert_eq!(entries[1].parent, entries[0].id);
    }

    #[test]
    fn the_root_is_a_mount() {
        assert!(topmost(Path::new("/")).unwrap().is_some());
    }
}
