//! A scratch directory of a test, and what an agent leaves in it.

use std::{collections::BTreeSet, ffi::CStr, path::PathBuf};

use crate::harness::{Agent, eventually};

/// A directory below an allowed root, with one for the agent's state.
pub(crate) struct Playground {
    base: tempfile::TempDir,
}

impl Playground {
    pub(crate) fn new() -> Self {
        let base = tempfile::Builder::new()
            .prefix("agent-test-")
            .tempdir_in("/tmp")
            .unwrap();
        Self { base }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// A path in it, as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A directory with a file `a` and a file `sub/b`.
    pub(crate) fn small_tree(&self, name: &str) -> String {
        std::fs::create_dir_all(self.path(name).join("sub")).unwrap();
        std::fs::write(self.path(name).join("a"), "first").unwrap();
        std::fs::write(self.path(name).join("sub/b"), "second").unwrap();
        self.text(name)
    }

    /// Mounts a file system on a new directory.
    pub(crate) fn volume(&self, name: &str, kind: &str, options: &CStr) -> PathBuf {
        let dir = self.path(name);
        std::fs::create_dir(&dir).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("test", &dir, kind, flags, options).unwrap();
        dir
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Everything that mounting and transferring here have left in the system.
    pub(crate) fn footprint(&self) -> BTreeSet<String> {
        let here = self.base.path().to_str().unwrap();
        let mut found = BTreeSet::new();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(
            mounts
                .lines()
                .filter(|line| line.contains(here))
                .map(|line| format!("mount {line}")),
        );
        for process in std::fs::read_dir("/proc").unwrap() {
            let path = process.unwrap().path();
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            if line.contains(here) && (line.contains("fuse") || line.contains("serve-mount")) {
                found.insert(format!("process {}: {line}", path.display()));
            }
        }
        for device in std::fs::read_dir("/sys/block").unwrap() {
            let path = device.unwrap().path().join("loop/backing_file");
            let file = std::fs::read_to_string(path).unwrap_or_default();
            if file.contains(here) {
                found.insert(format!("loop device of {file}"));
            }
        }
        for part in ["mounts", "tmp"].map(|part| self.state_dir().join(part)) {
            let entries = std::fs::read_dir(part);
            found.extend(entries.into_iter().flatten().map(|entry| {
                let path = entry.unwrap().path();
                format!("state {}", path.display())
            }));
        }
        let beside = std::fs::read_dir(self.base.path()).unwrap();
        let names = beside.map(|entry| entry.unwrap().file_name());
        let copies = names.filter(|name| name.to_str().unwrap().starts_with(".sandbox-restore-"));
        found.extend(copies.map(|name| format!("copy {name:?}")));
        found
    }

    /// The same, once the agent has come up: it tries what works here before it
    /// answers.
    pub(crate) async fn footprint_at_rest(&self, agent: &Agent) -> BTreeSet<String> {
        agent.status().await;
        self.footprint()
    }

    /// Daemons that serve restored directories here.
    pub(crate) fn daemons(&self) -> Vec<rustix::process::Pid> {
        let footprint = self.footprint();
        let lines = footprint.iter().filter(|line| line.contains("serve-mount"));
        lines
            .map(|line| {
                let number = line.strip_prefix("process /proc/").unwrap();
                let (pid, _) = number.split_once(':').unwrap();
                rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap()
            })
            .collect()
    }

    /// Waits until nothing is left.
    pub(crate) async fn leaves_nothing(&self) {
        eventually("nothing is left", || self.footprint().is_empty()).await;
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // A test that failed may have left mounts, without which the directory
        // can be removed.
        let here = self.base.path().to_str().unwrap().to_owned();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines().rev().filter(|line| line.contains(&here)) {
            if let Some(point) = line.split(' ').nth(4) {
                let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
            }
        }
    }
}
