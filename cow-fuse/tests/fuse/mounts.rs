//! Mounting archives.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use cow_fuse::{Session, archive, lower::Lower};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use squashfs::{
    reader::{Archive, FileSource, Options},
    writer,
};
use tempfile::TempDir;

use crate::harness;

/// An archive of a tree, open for reading.
pub(crate) fn archive_of(tree: &Path) -> Arc<dyn Lower> {
    let file = harness::Archive::of(tree, &writer::Options::default());
    // The file's name goes, its content stays.
    let source = Arc::new(FileSource::open(&file.path).unwrap());
    let archive = Archive::open(source, &Options::default()).unwrap();
    Arc::new(archive::Archive::new(Arc::new(archive)))
}

fn options() -> cow_fuse::Options {
    cow_fuse::Options {
        threads: 4,
        ..cow_fuse::Options::default()
    }
}

/// A mounted view.
pub(crate) struct View {
    session: Option<Session>,
    directory: TempDir,
}

impl View {
    pub(crate) fn of(archive: Arc<dyn Lower>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let session = cow_fuse::view::serve(archive, directory.path(), &options()).unwrap();
        Self {
            session: Some(session),
            directory,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        stop(self.session.take());
    }
}

fn stop(session: Option<Session>) {
    if let Some(session) = session {
        session.unmount().unwrap();
        session.wait().unwrap();
    }
}

/// Linux's overlayfs over something.
pub(crate) struct Overlay {
    directory: TempDir,
    _view: Option<View>,
}

impl Overlay {
    /// Over a view.
    pub(crate) fn of(archive: Arc<dyn Lower>) -> Self {
        let view = View::of(archive);
        let mut overlay = Self::over(view.path());
        overlay._view = Some(view);
        overlay
    }

    /// Over a directory, which must outlive it.
    pub(crate) fn over(lower: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        let data = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=on",
            lower.display(),
            upper.display(),
            work.display()
        );
        let data = std::ffi::CString::new(data).unwrap();
        let flags = MountFlags::empty();
        mount("overlay", &merged, "overlay", flags, data.as_c_str()).unwrap();
        Self {
            directory,
            _view: None,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("merged")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unmount(self.path(), UnmountFlags::DETACH).unwrap();
    }
}

/// A mounted copy-on-write file system.
pub(crate) struct Cow {
    session: Option<Session>,
    archive: Arc<dyn Lower>,
    directory: TempDir,
}

impl Cow {
    pub(crate) fn of(archive: Arc<dyn Lower>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["upper", "merged"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut cow = Self {
            session: None,
            archive,
            directory,
        };
        cow.mount();
        cow
    }

    fn mount(&mut self) {
        let (upper, merged) = (self.upper(), self.path());
        let session = cow_fuse::cow::serve(self.archive.clone(), &upper, &merged, &options());
        self.session = Some(session.unwrap());
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("merged")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.directory.path().join("upper")
    }

    /// Unmounts, waits for the server to end, and mounts again.
    pub(crate) fn remount(&mut self) {
        stop(self.session.take());
        self.mount();
    }

    /// What another server finds if this one is killed now: all that it has
    /// written is in files, and they are copied as they are.
    pub(crate) fn as_if_killed(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("merged")).unwrap();
        harness::run(
            std::process::Command::new("cp")
                .arg("-a")
                .args([self.upper(), directory.path().join("upper")]),
        );
        let mut cow = Self {
            session: None,
            archive: self.archive.clone(),
            directory,
        };
        cow.mount();
        cow
    }

    /// Files that have content in the upper directory.
    pub(crate) fn copies(&self) -> usize {
        fs::read_dir(self.upper().join("data")).unwrap().count()
    }
}

impl Drop for Cow {
    fn drop(&mut self) {
        stop(self.session.take());
    }
}
