//! Files of the sandbox, for `readFile`, `writeFile` and their kin.
//!
//! A write replaces the file as a whole or not at all: the content goes to a
//! temporary file beside it, which takes its place at the end.

use std::{
    ffi::OsString,
    fs::{Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sandbox_shared::{
    AbsolutePath, Result, SandboxError,
    files::{ExistsResult, FileInfo, FileType, ListFilesResult},
    metadata::iso8601,
    methods::{self, Row},
};
use tokio::io::AsyncWriteExt;
use walkdir::WalkDir;

/// Permissions of a file that did not exist.
const NEW_FILE_MODE: u32 = 0o644;
/// Links that one path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// What the operating system has said to a file operation, as an error of `method`.
fn failed(
    method: &Row,
    operation: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> SandboxError {
    let path = path.into();
    move |error| {
        let message = format!("cannot {operation} {}: {error}", path.display());
        let answer = match error.kind() {
            io::ErrorKind::NotFound => method.not_found(message),
            _ => method.failed(message),
        };
        let answer = answer.with("path", path.to_string_lossy());
        match error.raw_os_error() {
            Some(errno) => {
                answer.with("errno", format!("{:?}", nix::errno::Errno::from_raw(errno)))
            }
            None => answer,
        }
    }
}

fn checked(path: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(AbsolutePath::parse(path)?.as_str()))
}

/// Opens a regular file to be read, and its size in bytes.
pub async fn open(path: &str) -> Result<(tokio::fs::File, u64)> {
    let path = checked(path)?;
    let about =
        tokio::fs::metadata(&path)
            .await
            .map_err(failed(&methods::READ_FILE, "read", &path))?;
    // Before opening: that would wait for the writer of a FIFO.
    if !about.is_file() {
        return Err(not_a_file(&path));
    }
    let file =
        tokio::fs::File::open(&path)
            .await
            .map_err(failed(&methods::READ_FILE, "read", &path))?;
    Ok((file, about.len()))
}

fn not_a_file(path: &Path) -> SandboxError {
    SandboxError::invalid_request(format!("{} is not a regular file", path.display()))
        .with("path", path.to_string_lossy())
}

/// Writes a file, and the directories above it where they are missing. A
/// symbolic link is followed. An existing file keeps its mode and owner.
pub async fn write<S, E>(path: &str, mut content: S) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let path = checked(path)?;
    let failed = |operation, path| failed(&methods::WRITE_FILE, operation, path);
    let target = follow_links(&path).map_err(failed("write", &path))?;
    let existing = match tokio::fs::metadata(&target).await {
        Ok(about) if about.is_file() => Some(about),
        Ok(_) => return Err(not_a_file(&path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("write", &path)(error)),
    };
    let parent = target.parent().ok_or_else(|| not_a_file(&path))?.to_owned();
    tokio::fs::create_dir_all(&parent)
        .await
        .map_err(failed("make", &parent))?;

    // Removed when dropped, so also when the sender goes away in the middle.
    let temporary = tempfile::Builder::new()
        .prefix(".sandbox-write-")
        .tempfile_in(&parent)
        .map_err(failed("write", &path))?;
    let mut file = temporary
        .reopen()
        .map(tokio::fs::File::from_std)
        .map_err(failed("write", &path))?;
    while let Some(chunk) = content.next().await {
        let chunk = chunk.map_err(|error| {
            SandboxError::invalid_request(format!("the content was cut off: {error}"))
        })?;
        file.write_all(&chunk)
            .await
            .map_err(failed("write", &path))?;
    }
    file.flush().await.map_err(failed("write", &path))?;
    settle(temporary, &target, existing.as_ref()).map_err(failed("write", &path))?;
    Ok(())
}

/// Gives the temporary file its mode and owner, and then its name.
fn settle(
    temporary: tempfile::NamedTempFile,
    target: &Path,
    existing: Option<&Metadata>,
) -> io::Result<()> {
    if let Some(about) = existing {
        std::os::unix::fs::fchown(temporary.as_file(), Some(about.uid()), Some(about.gid()))?;
    }
    // After the owner, whose change clears the set-id bits.
    let mode = existing.map_or(NEW_FILE_MODE, |about| about.mode() & 0o7777);
    temporary
        .as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    temporary.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// Where writing to `path` ends up: the last component's links are followed,
/// even to something that does not exist yet.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("/")).join(next),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Removes a file or a symbolic link.
pub async fn delete(path: &str) -> Result<()> {
    let path = checked(path)?;
    let about = tokio::fs::symlink_metadata(&path).await.map_err(failed(
        &methods::DELETE_FILE,
        "delete",
        &path,
    ))?;
    if about.is_dir() {
        return Err(SandboxError::invalid_request(format!(
            "{} is a directory: remove it with a command, for example rm -r",
            path.display()
        ))
        .with("path", path.to_string_lossy()));
    }
    tokio::fs::remove_file(&path)
        .await
        .map_err(failed(&methods::DELETE_FILE, "delete", &path))?;
    Ok(())
}

/// Makes a directory; with `recursive` also those above it, and one that
/// exists is fine.
pub async fn mkdir(path: &str, recursive: bool) -> Result<()> {
    let path = checked(path)?;
    let made = if recursive {
        tokio::fs::create_dir_all(&path).await
    } else {
        tokio::fs::create_dir(&path).await
    };
    made.map_err(failed(&methods::MKDIR, "make", &path))?;
    Ok(())
}

/// Whether there is something at `path`, a dangling link included.
pub async fn exists(path: &str) -> Result<ExistsResult> {
    let checked = checked(path)?;
    let exists = match tokio::fs::symlink_metadata(&checked).await {
        Ok(_) => true,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            false
        }
        Err(error) => return Err(failed(&methods::EXISTS, "look at", &checked)(error)),
    };
    Ok(ExistsResult {
        success: true,
        path: checked.to_string_lossy().into_owned(),
        exists,
    })
}

/// Lists a directory, sorted by relative path. Links are not followed.
/// Blocks.
pub fn list(path: &str, recursive: bool, include_hidden: bool) -> Result<ListFilesResult> {
    let dir = checked(path)?;
    // A path that ends in a link is still the directory behind it.
    let root = std::fs::canonicalize(&dir).map_err(failed(&methods::LIST_FILES, "list", &dir))?;
    // An error that walking would only report as an entry of its own.
    std::fs::read_dir(&root).map_err(failed(&methods::LIST_FILES, "list", &dir))?;
    let entries = WalkDir::new(&root)
        .min_depth(1)
        .max_depth(if recursive { usize::MAX } else { 1 })
        .into_iter()
        .filter_entry(|entry| {
            include_hidden || entry.depth() == 0 || !is_hidden(entry.file_name())
        });
    let mut files = Vec::new();
    for entry in entries {
        let about = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
        match about {
            Ok((about, entry)) => {
                let relative = entry.path().strip_prefix(&root).unwrap_or(entry.path());
                files.push(info(&dir, relative, &about));
            }
            // Removed while the directory was being read.
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                let path = error.path().unwrap_or(&dir).to_owned();
                return Err(failed(&methods::LIST_FILES, "list", path)(error.into()));
            }
        }
    }
    files.sort_by(|a, b| a.relative_path.cmp(&b.relative_path));
    Ok(ListFilesResult {
        success: true,
        path: dir.to_string_lossy().into_owned(),
        count: files.len(),
        files,
    })
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_gone(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn info(dir: &Path, relative: &Path, about: &Metadata) -> FileInfo {
    let kind = if about.is_file() {
        FileType::File
    } else if about.is_dir() {
        FileType::Directory
    } else if about.is_symlink() {
        FileType::Symlink
    } else {
        FileType::Other
    };
    let modified = about
        .modified()
        .map_or(time::OffsetDateTime::UNIX_EPOCH, Into::into);
    let name: OsString = relative.file_name().unwrap_or_default().to_owned();
    FileInfo {
        name: name.to_string_lossy().into_owned(),
        absolute_path: dir.join(relative).to_string_lossy().into_owned(),
        relative_path: relative.to_string_lossy().into_owned(),
        kind,
        size: about.len(),
        mode: format!("{:04o}", about.mode() & 0o7777),
        modified_at: iso8601(modified),
    }
}
