//! A scanned tree as a stream of tar entries.
//!
//! Tar is the one way into `mksquashfs` that takes an exact list of entries
//! with any bytes in their names: its exclude lists are read by line, match by
//! inode or by wildcard, and version 4.5.1 never comes back from
//! `-cpiostyle0`.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{File, Metadata},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{OFlags, lgetxattr, llistxattr};
use tar::{Builder, EntryType, Header};

use super::{ArchiveError, Progress, Scan};

/// Linux's `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const XATTR_LIMIT: usize = 64 << 10;

pub(super) fn write(
    scan: &Scan,
    output: impl Write,
    progress: &Progress,
) -> Result<(), ArchiveError> {
    let mut builder = Builder::new(output);
    let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
    for entry in &scan.entries {
        let path = scan.root.join(&entry.path);
        let unreadable = |source| ArchiveError::Unreadable {
            path: path.clone(),
            source,
            more: 0,
        };
        let about = &entry.about;
        let identity = (about.dev(), about.ino());
        let mut header = header(about);
        if about.nlink() > 1 && !about.is_dir() {
            if let Some(first) = linked.get(&identity) {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                builder.append_link(&mut header, &entry.path, first)?;
                continue;
            }
            linked.insert(identity, entry.path.clone());
        }
        let records = attributes(&path).map_err(unreadable)?;
        builder.append_pax_extensions(
            records
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice())),
        )?;
        if about.is_file() {
            // Not through a link that has taken the file's place.
            let file = rustix::fs::open(
                &path,
                OFlags::NOFOLLOW | OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .map_err(|error| unreadable(error.into()))?;
            let mut content = Content {
                file: File::from(file),
                left: about.len(),
                progress,
                failure: None,
            };
            let appended = builder.append_data(&mut header, &entry.path, &mut content);
            if let Some(source) = content.failure {
                return Err(unreadable(source));
            }
            if content.left > 0 && appended.is_ok() {
                return Err(ArchiveError::Changed(path));
            }
            appended?;
        } else if about.is_symlink() {
            let target = std::fs::read_link(&path).map_err(unreadable)?;
            // As it is: `append_link` would tidy it, as if it were a path.
            match header.set_link_name_literal(target.as_os_str().as_bytes()) {
                Ok(()) => builder.append_data(&mut header, &entry.path, io::empty())?,
                // Too long for a header: goes before it in full.
                Err(_) => builder.append_link(&mut header, &entry.path, target)?,
            }
        } else {
            builder.append_data(&mut header, &entry.path, io::empty())?;
        }
        if progress.is_cancelled() {
            return Err(ArchiveError::Cancelled);
        }
    }
    builder.into_inner()?.flush()?;
    Ok(())
}

fn header(about: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    let kind = about.file_type();
    header.set_entry_type(if kind.is_dir() {
        EntryType::Directory
    } else if kind.is_symlink() {
        EntryType::Symlink
    } else if kind.is_fifo() {
        EntryType::Fifo
    } else if kind.is_char_device() {
        EntryType::Char
    } else if kind.is_block_device() {
        EntryType::Block
    } else {
        EntryType::Regular
    });
    header.set_mode(about.mode() & 0o7777);
    header.set_uid(about.uid().into());
    header.set_gid(about.gid().into());
    // SquashFS keeps 32 bits of seconds since 1970.
    header.set_mtime(u64::try_from(about.mtime()).unwrap_or(0));
    header.set_size(if kind.is_file() { about.len() } else { 0 });
    // Only fails for a header of another format.
    let _ = header.set_device_major(rustix::fs::major(about.rdev()));
    let _ = header.set_device_minor(rustix::fs::minor(about.rdev()));
    header
}

/// Extended attributes as pax records, in the convention of star.
fn attributes(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; XATTR_LIMIT];
    let length = match llistxattr(path, &mut names[..]) {
        Ok(0) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => length,
        Err(error) => return Err(error.into()),
    };
    let mut attributes = Vec::new();
    for name in names[..length].split(|byte| *byte == 0) {
        // Those that an image can hold.
        let Some(text) = std::str::from_utf8(name).ok().filter(|name| {
            ["user.", "trusted.", "security."]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        }) else {
            continue;
        };
        let mut value = vec![0; XATTR_LIMIT];
        match lgetxattr(path, OsStr::from_bytes(name), &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(rustix::io::Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        }
        attributes.push((format!("SCHILY.xattr.{text}"), value));
    }
    Ok(attributes)
}

/// A file's content: as many bytes as the header has promised.
struct Content<'a> {
    file: File,
    left: u64,
    progress: &'a Progress,
    failure: Option<io::Error>,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || self.progress.is_cancelled() {
            return Ok(0);
        }
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match self.file.read(&mut buffer[..most]) {
            Ok(length) => {
                self.left -= length as u64;
                self.progress.add(length as u64);
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.failure = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}
