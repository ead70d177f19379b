//! What a directory that can be written to has to do, one behaviour a test.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use cow_fuse::cow::{self, ServeError};
use rustix::{
    fs::{
        AtFlags, CWD, FlockOperation, Mode, OFlags, XattrFlags, flock, inotify, lgetxattr,
        lsetxattr, open, statvfs,
    },
    io::Errno,
};

use crate::{
    harness::{assert_same, run, set_times, snapshot},
    mounts::{Cow, archive_of},
    view::tree,
};

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<Errno> {
    Errno::from_io_error(&result.unwrap_err())
}

#[test]
fn only_a_write_or_a_truncation_copies_content() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let at = |name: &str| cow.path().join(name);
    let big = at("src/deep/er/big");
    fs::set_permissions(&big, Permissions::from_mode(0o600)).unwrap();
    chown(&big, Some(5), Some(6)).unwrap();
    lsetxattr(&big, "user.a", b"1", XattrFlags::empty()).unwrap();
    File::open(&big)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    fs::hard_link(&big, at("link-to-big")).unwrap();
    fs::rename(&big, at("renamed")).unwrap();
    drop(OpenOptions::new().write(true).open(at("renamed")).unwrap());
    assert_eq!(cow.copies(), 0);
    let file = OpenOptions::new().write(true).open(at("renamed")).unwrap();
    file.write_all_at(b"!", 699_999).unwrap();
    assert_eq!(cow.copies(), 1);
    let mut content = fs::read(source.path().join("src/deep/er/big")).unwrap();
    content[699_999] = b'!';
    assert!(fs::read(at("link-to-big")).unwrap() == content);
    let about = at("renamed").metadata().unwrap();
    assert_eq!(
        (about.mode() & 0o7777, about.uid(), about.nlink()),
        (0o600, 5, 2)
    );
}

#[test]
fn directories_of_the_archive_can_be_renamed() {
    let source = tree();
    let mut cow = Cow::of(archive_of(source.path()));
    let at = |name: &str| cow.path().join(name);
    let inode = at("src/deep/er/big").metadata().unwrap().ino();
    fs::create_dir(at("new")).unwrap();
    fs::rename(at("src/deep"), at("new/place")).unwrap();
    fs::rename(at("new"), at("newer")).unwrap();
    fs::rename(at("many"), at("newer/place/er/many")).unwrap();
    assert_eq!(errno(fs::metadata(at("src/deep"))), Some(Errno::NOENT));
    assert_eq!(at("newer/place/er/big").metadata().unwrap().ino(), inode);
    assert_eq!(fs::read(at("newer/place/er/many/77")).unwrap(), b"77");
    assert_eq!(
        fs::read_dir(at("newer/place/er/many")).unwrap().count(),
        2000
    );
    assert_eq!(at("src").metadata().unwrap().nlink(), 2);
    let refused = fs::rename(at("newer"), at("newer/place/er/inside"));
    assert_eq!(errno(refused), Some(Errno::INVAL));
    let expected = snapshot(&cow.path());
    cow.remount();
    assert_same(&expected, &snapshot(&cow.path()));
}

#[test]
fn inode_numbers_outlive_copies_and_mounts() {
    let source = tree();
    let mut cow = Cow::of(archive_of(source.path()));
    fs::write(cow.path().join("made"), b"made").unwrap();
    let numbers = |cow: &Cow| {
        ["", "src/main.rs", "src/two", "src/deep/one", "made"]
            .map(|name| cow.path().join(name).metadata().unwrap().ino())
    };
    let before = numbers(&cow);
    fs::write(cow.path().join("src/main.rs"), b"changed").unwrap();
    fs::write(cow.path().join("src/two"), b"changed too").unwrap();
    assert_eq!(numbers(&cow), before);
    cow.remount();
    assert_eq!(numbers(&cow), before);
    fs::write(cow.path().join("another"), b"").unwrap();
    let another = cow.path().join("another").metadata().unwrap().ino();
    assert!(!before.contains(&another));
}

#[test]
fn links_of_the_archive_stay_links() {
    let source = tree();
    let mut cow = Cow::of(archive_of(source.path()));
    fs::write(cow.path().join("src/two"), b"both").unwrap();
    assert_eq!(fs::read(cow.path().join("src/deep/one")).unwrap(), b"both");
    fs::remove_file(cow.path().join("src/two")).unwrap();
    cow.remount();
    let one = cow.path().join("src/deep/one");
    assert_eq!(fs::read(&one).unwrap(), b"both");
    assert_eq!(one.metadata().unwrap().nlink(), 1);
}

#[test]
fn a_file_lives_as_long_as_it_is_open() {
    let source = tree();
    let mut cow = Cow::of(archive_of(source.path()));
    let at = |name: &str| cow.path().join(name);
    let open = |name: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(at(name)).unwrap()
    };
    let (made, archived, written) = (open("made"), open("src/deep/one"), open("src/main.rs"));
    made.write_all_at(b"made", 0).unwrap();
    written.write_all_at(b"FN", 0).unwrap();
    fs::remove_file(at("made")).unwrap();
    fs::remove_file(at("src/deep/one")).unwrap();
    fs::remove_file(at("src/two")).unwrap();
    fs::write(at("over"), b"over").unwrap();
    fs::rename(at("over"), at("src/main.rs")).unwrap();
    let mut bytes = [0; 4];
    made.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"made");
    archived.write_all_at(b"1", 2).unwrap();
    archived.read_exact_at(&mut bytes[..3], 0).unwrap();
    assert_eq!(&bytes[..3], b"on1");
    written.read_exact_at(&mut bytes[..2], 0).unwrap();
    assert_eq!(&bytes[..2], b"FN");
    for file in [&made, &archived, &written] {
        assert_eq!(file.metadata().unwrap().nlink(), 0);
    }
    drop((made, archived, written));
    cow.remount();
    assert_eq!(cow.copies(), 1, "only the file that was renamed");
}

#[test]
fn a_killed_server_loses_nothing() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let at = |name: &str| cow.path().join(name);
    fs::rename(at("src"), at("moved")).unwrap();
    fs::write(at("moved/main.rs"), b"changed").unwrap();
    fs::remove_dir_all(at("many")).unwrap();
    fs::create_dir(at("many")).unwrap();
    let unsaved = File::create(at("many/unsaved")).unwrap();
    unsaved.write_all_at(b"not synced, not closed", 0).unwrap();
    fs::remove_file(at("link")).unwrap();
    let after = cow.as_if_killed();
    assert_same(&snapshot(&cow.path()), &snapshot(&after.path()));
}

#[test]
fn a_killed_server_leaves_no_content_without_a_name() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let path = cow.path().join("temporary");
    let open = File::create(&path).unwrap();
    open.write_all_at(b"content", 0).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(cow.copies(), 1);
    assert_eq!(cow.as_if_killed().copies(), 0);
}

#[test]
fn an_upper_directory_has_one_server_and_one_archive() {
    let source = tree();
    let archive = archive_of(source.path());
    let cow = Cow::of(archive.clone());
    let elsewhere = tempfile::tempdir().unwrap();
    let options = cow_fuse::Options::default();
    let second = cow::serve(archive, &cow.upper(), elsewhere.path(), &options);
    assert!(matches!(second, Err(ServeError::InUse)));
    let copy = cow.as_if_killed();
    let upper = copy.upper();
    let keep = tempfile::tempdir().unwrap();
    run(Command::new("cp")
        .arg("-a")
        .args([&upper, &keep.path().join("upper")]));
    fs::write(source.path().join("more"), b"more").unwrap();
    let other = archive_of(source.path());
    let served = cow::serve(
        other,
        &keep.path().join("upper"),
        elsewhere.path(),
        &options,
    );
    assert!(matches!(served, Err(ServeError::OtherLower)));
}

#[test]
fn memory_maps_are_shared() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let program = "
import mmap, sys
path = sys.argv[1]
with open(path, 'r+b') as a, open(path, 'r+b') as b:
    first, second = mmap.mmap(a.fileno(), 0), mmap.mmap(b.fileno(), 0)
    first[0:5] = b'mmap!'
    assert second[0:5] == b'mmap!'
    first.flush()
with open(path, 'rb') as file:
    assert file.read(5) == b'mmap!'
";
    let file = cow.path().join("src/deep/er/big");
    run(Command::new("python3").args(["-c", program]).arg(&file));
    let after = cow.as_if_killed();
    let content = fs::read(after.path().join("src/deep/er/big")).unwrap();
    assert_eq!(&content[..5], b"mmap!");
    assert_eq!(content.len(), 700_000);
}

#[test]
fn locks_exclude() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let path = cow.path().join("src/main.rs");
    let (first, second) = (File::open(&path).unwrap(), File::open(&path).unwrap());
    flock(&first, FlockOperation::NonBlockingLockExclusive).unwrap();
    let refused = flock(&second, FlockOperation::NonBlockingLockShared);
    assert_eq!(refused, Err(Errno::WOULDBLOCK));
    flock(&first, FlockOperation::Unlock).unwrap();
    flock(&second, FlockOperation::NonBlockingLockShared).unwrap();
}

#[test]
fn watchers_are_told() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let watcher = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let what = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY;
    inotify::add_watch(&watcher, cow.path().join("src"), what).unwrap();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(watcher, &mut buffer);
        while let Ok(event) = reader.next() {
            let name = event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            if send.send(name.unwrap_or_default()).is_err() {
                break;
            }
        }
    });
    fs::write(cow.path().join("src/new"), b"new").unwrap();
    let event = || receive.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!([event(), event()], ["new", "new"], "made, and written to");
}

#[test]
fn temporary_files_without_a_name_are_refused_clearly() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let refused = open(cow.path(), flags, Mode::RUSR).unwrap_err();
    assert_eq!(refused, Errno::OPNOTSUPP);
}

#[test]
fn set_id_bits_go_with_a_new_owner_and_a_foreign_write() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let path = cow.path().join("src/main.rs");
    let mode = || path.metadata().unwrap().mode() & 0o7777;
    let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    set(0o6777);
    chown(&path, Some(1), None).unwrap();
    assert_eq!(mode(), 0o777);
    set(0o6777);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all(b"by root")
        .unwrap();
    assert_eq!(mode(), 0o6777, "root may");
    allow_others(&cow.path());
    as_nobody("echo >> \"$1\"", &path);
    assert_eq!(mode(), 0o777);
    set(0o6777);
    as_nobody("truncate -s 5 \"$1\"", &path);
    assert_eq!(mode(), 0o777);
}

/// Temporary directories are their owner's only; what is mounted there is to be
/// seen by others.
fn allow_others(path: &Path) {
    for directory in path.ancestors() {
        let mode = directory.metadata().unwrap().mode();
        if mode & 0o111 != 0o111 {
            fs::set_permissions(directory, Permissions::from_mode(mode & 0o7777 | 0o111)).unwrap();
        }
    }
}

fn as_nobody(script: &str, path: &Path) {
    let mut setpriv = Command::new("setpriv");
    setpriv.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "sh",
        "-c",
    ]);
    run(setpriv.args([script, "sh"]).arg(path));
}

#[test]
fn permissions_are_checked() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let at = |name: &str| cow.path().join(name);
    allow_others(&cow.path());
    fs::set_permissions(at("src/main.rs"), Permissions::from_mode(0o640)).unwrap();
    as_nobody("! cat \"$1\" 2>&1", &at("src/main.rs"));
    as_nobody("! touch \"$1\" 2>&1", &at("src/new"));
    fs::set_permissions(at("src"), Permissions::from_mode(0o1777)).unwrap();
    as_nobody("touch \"$1\"", &at("src/new"));
    as_nobody("! rm -f \"$1\" 2>&1", &at("src/main.rs"));
    assert_eq!(at("src/new").metadata().unwrap().uid(), 65534);
    fs::set_permissions(at("many"), Permissions::from_mode(0o2777)).unwrap();
    chown(at("many"), None, Some(42)).unwrap();
    as_nobody("umask 027; mkdir \"$1\"", &at("many/inside"));
    let inside = at("many/inside").metadata().unwrap();
    assert_eq!((inside.gid(), inside.mode() & 0o7777), (42, 0o2750));
}

#[test]
fn acls_are_kept_inherited_and_obeyed() {
    let source = tree();
    run(Command::new("setfacl")
        .args(["-m", "u:65534:r--,g:77:rwx"])
        .arg(source.path().join("src/main.rs")));
    let mut cow = Cow::of(archive_of(source.path()));
    allow_others(&cow.path());
    let at = |name: &str| cow.path().join(name);
    let main = at("src/main.rs");
    let acl = |path: &Path| {
        let mut command = Command::new("getfacl");
        let output = command.args(["-cpnE"]).arg(path).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .replace('\n', " ")
    };
    assert_eq!(
        acl(&main),
        "user::rw- user:65534:r-- group::r-- group:77:rwx mask::rwx other::r--"
    );
    fs::set_permissions(&main, Permissions::from_mode(0o640)).unwrap();
    assert!(
        acl(&main).contains("mask::r-- other::---"),
        "{}",
        acl(&main)
    );
    as_nobody("cat \"$1\" > /dev/null", &main);
    run(Command::new("setfacl").args(["-x", "u:65534"]).arg(&main));
    as_nobody("! cat \"$1\" 2>&1", &main);

    run(Command::new("setfacl")
        .args(["-dm", "u:65534:rwx"])
        .arg(at("src")));
    fs::create_dir(at("src/made")).unwrap();
    File::create(at("src/made/file")).unwrap();
    assert_eq!(
        acl(&at("src/made/file")),
        "user::rw- user:65534:rwx group::r-x mask::rw- other::r--"
    );
    assert!(acl(&at("src/made")).contains("default:user:65534:rwx"));
    as_nobody("echo >> \"$1\"", &at("src/made/file"));
    run(Command::new("setfacl").arg("-b").arg(at("src/made/file")));
    assert_eq!(acl(&at("src/made/file")), "user::rw- group::r-- other::r--");
    let before = acl(&at("src/made"));
    cow.remount();
    assert_eq!(acl(&cow.path().join("src/made")), before);
}

#[test]
fn times_before_1970_are_kept() {
    let source = tree();
    let mut cow = Cow::of(archive_of(source.path()));
    fs::write(cow.path().join("file"), "").unwrap();
    let times = [
        ("file", -2, 800_000_000),
        ("file", -1, 1),
        ("src", -2, 800_000_000),
        // The kernel cuts off the fraction of the first second of all.
        ("src", i64::MIN, 0),
        ("src", i64::MIN + 1, 999_999_999),
    ];
    for (name, tv_sec, tv_nsec) in times {
        set_times(&cow.path().join(name), tv_sec, tv_nsec).unwrap();
        let about = fs::metadata(cow.path().join(name)).unwrap();
        assert_eq!((about.mtime(), about.mtime_nsec()), (tv_sec, tv_nsec));
        assert_eq!((about.atime(), about.atime_nsec()), (tv_sec, tv_nsec));
        cow.remount();
        let about = fs::metadata(cow.path().join(name)).unwrap();
        assert_eq!((about.mtime(), about.mtime_nsec()), (tv_sec, tv_nsec));
    }
}

#[test]
fn xattrs_are_bounded_and_private_where_they_have_to_be() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let path = cow.path().join("src/main.rs");
    let big = vec![1; 60_000];
    for number in 0..4 {
        lsetxattr(&path, format!("user.{number}"), &big, XattrFlags::empty()).unwrap();
    }
    let full = lsetxattr(&path, "user.5", &big, XattrFlags::empty());
    assert_eq!(full, Err(Errno::NOSPC));
    lsetxattr(&path, "trusted.secret", b"s", XattrFlags::empty()).unwrap();
    let mut none = [0; 1];
    let unknown = lgetxattr(&path, "system.unheard_of", &mut none[..]);
    assert_eq!(unknown, Err(Errno::OPNOTSUPP));
    allow_others(&cow.path());
    as_nobody("! getfattr -m- \"$1\" | grep trusted", &path);
}

#[test]
fn the_room_is_that_of_the_upper_file_system() {
    let source = tree();
    let cow = Cow::of(archive_of(source.path()));
    let (here, there) = (statvfs(cow.path()).unwrap(), statvfs(cow.upper()).unwrap());
    assert_eq!(here.f_blocks, there.f_blocks);
    assert!(here.f_bavail > 0);
}

#[test]
fn a_full_disk_is_an_error_and_not_damage() {
    let source = tree();
    let archive = archive_of(source.path());
    let directory = tempfile::tempdir().unwrap();
    let [upper, merged] = ["upper", "merged"].map(|name| directory.path().join(name));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&merged).unwrap();
    run(Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(&upper));
    let session = cow::serve(archive, &upper, &merged, &cow_fuse::Options::default()).unwrap();
    let big = OpenOptions::new()
        .write(true)
        .open(merged.join("src/deep/er/big"))
        .unwrap();
    assert_eq!(errno(big.write_all_at(b"x", 0)), Some(Errno::NOSPC));
    drop(big);
    let before = fs::read(source.path().join("src/deep/er/big")).unwrap();
    assert!(fs::read(merged.join("src/deep/er/big")).unwrap() == before);
    let mut made = 0;
    let refused = loop {
        match File::create(merged.join(format!("n{made}"))) {
            Ok(mut file) => match file.write_all(&[1; 4096]) {
                Ok(()) => made += 1,
                Err(error) => break error,
            },
            Err(error) => break error,
        }
    };
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::NOSPC));
    assert!(made > 10, "{made}");
    for number in 0..made {
        fs::remove_file(merged.join(format!("n{number}"))).unwrap();
    }
    rustix::fs::unlinkat(CWD, merged.join("many/1"), AtFlags::empty()).unwrap();
    fs::write(merged.join("fits"), [1; 100]).unwrap();
    session.unmount().unwrap();
    session.wait().unwrap();
    run(Command::new("umount").arg(&upper));
}
