//! Directory trees: a difficult one, and what is in one.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, mknodat, setxattr};

/// Names that have broken backup tools.
pub(crate) fn odd_names() -> Vec<&'static OsStr> {
    [
        b"with space".as_slice(),
        b" leading",
        b"trailing ",
        b"new\nline",
        b"-rf",
        b"--help",
        b"quote\"s' and `ticks`",
        b"back\\slash\\",
        b"star*?[a-z]{x,y}",
        b"#hash !bang ~tilde $HOME",
        "žluťoučký kůň 🐎".as_bytes(),
        b"not utf-8 \xff\xfe\xc3",
        b"tab\tand\x01control\x7f",
        b"..dots..",
        b"colon:comma,equals=",
    ]
    .map(OsStr::from_bytes)
    .to_vec()
}

/// Makes a tree with all that an archive has to keep.
pub(crate) fn make_difficult(root: &Path) {
    std::fs::create_dir_all(root.join("empty")).unwrap();
    for name in odd_names() {
        std::fs::create_dir(root.join("empty").with_file_name(name)).unwrap();
        std::fs::write(root.join(name).join(name), name.as_bytes()).unwrap();
    }
    std::fs::write(root.join("nothing"), "").unwrap();
    // More than a block, compressible and not.
    std::fs::write(root.join("zeros"), vec![0; 1_000_000]).unwrap();
    let noise: Vec<u8> = (0..400_000_u32)
        .flat_map(|i| (u64::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).to_le_bytes())
        .collect();
    std::fs::write(root.join("noise"), noise).unwrap();
    std::fs::hard_link(root.join("noise"), root.join("noise again")).unwrap();
    symlink("nowhere/at all", root.join("dangling")).unwrap();
    symlink("a".repeat(300), root.join("long link")).unwrap();
    symlink("./a//b/../c/", root.join("untidy link")).unwrap();
    let deep = root.join((["deep component of a path"; 12]).join("/"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), "reached").unwrap();
    for (name, mode) in [
        ("setuid", 0o4755),
        ("unreadable", 0),
        ("sticky dir", 0o1777),
    ] {
        let path = root.join(name);
        if name.ends_with("dir") {
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, name).unwrap();
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(root.join("nothing"), Some(1234), Some(4321)).unwrap();
    mknodat(
        CWD,
        root.join("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let value = b"bytes \0 and \xff";
    setxattr(root.join("noise"), "user.kept", value, XattrFlags::empty()).unwrap();
    setxattr(root.join("empty"), "user.kept", value, XattrFlags::empty()).unwrap();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o751)).unwrap();
}

/// What one entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    mode: u32,
    owner: (u32, u32),
    /// Seconds; not of the top directory.
    modified: Option<i64>,
    content: Vec<u8>,
    attribute: Option<Vec<u8>>,
}

impl Entry {
    /// The kind of file, as the four highest bits of its mode.
    pub(crate) fn kind(&self) -> u32 {
        self.mode >> 12
    }
}

/// Everything in a tree, by relative path.
pub(crate) fn read(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let about = path.symlink_metadata().unwrap();
        let content = if about.is_file() {
            std::fs::read(&path).unwrap()
        } else if about.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            target.as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        if about.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let mut value = [0; 100];
        let attribute = lgetxattr(&path, "user.kept", &mut value[..]).ok();
        let entry = Entry {
            mode: about.mode(),
            owner: (about.uid(), about.gid()),
            modified: (path != root).then(|| about.mtime()),
            content,
            attribute: attribute.map(|length| value[..length].to_vec()),
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
    }
    found
}

/// Fails with the first difference.
pub(crate) fn assert_same(expected: &BTreeMap<PathBuf, Entry>, actual: &BTreeMap<PathBuf, Entry>) {
    assert!(expected.keys().eq(actual.keys()), "names differ");
    for (path, entry) in expected {
        assert!(actual[path] == *entry, "{path:?} differs");
    }
}
