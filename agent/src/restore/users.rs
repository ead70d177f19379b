//! Which processes use a directory: work in it, run a program of it, or have
//! something of it open or mapped.

use std::{fmt, path::Path};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// Names at most as many.
const MOST: usize = 10;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub pid: u32,
    /// Its program, as the kernel names it.
    pub command: String,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.command, self.pid)
    }
}

/// Those that use the mount with this number.
pub(super) fn of_mount(mount: u64) -> Vec<User> {
    find(|reference| mount_of(reference) == Some(mount))
}

/// Those that use a directory, or one in it, by its present name.
pub(super) fn of_directory(directory: &Path) -> Vec<User> {
    find(|reference| std::fs::read_link(reference).is_ok_and(|path| path.starts_with(directory)))
}

/// The number of the mount that a path leads to, through a link if it is one.
fn mount_of(path: &Path) -> Option<u64> {
    let about = statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID).ok()?;
    Some(about.stx_mnt_id)
}

/// Processes one of whose links below `/proc` is as asked. Those that are
/// ending, or not ours to look at, count as having none.
fn find(is_use: impl Fn(&Path) -> bool) -> Vec<User> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let users = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let process = entry.path();
        let single = ["cwd", "root", "exe"].map(|name| process.join(name));
        let many = ["fd", "map_files"].into_iter().flat_map(|name| {
            let entries = std::fs::read_dir(process.join(name));
            entries.into_iter().flatten().flatten().map(|e| e.path())
        });
        single
            .into_iter()
            .chain(many)
            .any(|reference| is_use(&reference))
            .then(|| User {
                pid,
                command: std::fs::read_to_string(process.join("comm"))
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned(),
            })
    });
    users.take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_in_a_directory_and_one_with_an_open_file_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        std::fs::create_dir(path.join("sub")).unwrap();
        let open = std::fs::File::create(path.join("open")).unwrap();
        let mut inside = Command::new("cat")
            .current_dir(path.join("sub"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let found = of_directory(&path);
        let pids: Vec<u32> = found.iter().map(|user| user.pid).collect();
        assert!(pids.contains(&inside.id()), "{found:?}");
        assert!(pids.contains(&std::process::id()), "{found:?}");
        assert!(found.iter().any(|user| user.command == "cat"));
        drop((open, inside.stdin.take()));
        inside.wait().unwrap();
        assert_eq!(of_directory(&path), []);
    }
}
