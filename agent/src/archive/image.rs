//! Looking at finished images.

use std::{
    fs::File,
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use serde::Serialize;

use super::ArchiveError;

/// Bytes of a superblock.
const SUPERBLOCK: usize = 96;

/// The facts of a superblock (Linux, `Documentation/filesystems/squashfs.rst`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Superblock {
    /// `gzip`, `lz4`, `zstd`, …
    pub compression: &'static str,
    /// Bytes of a data block.
    pub block_size: u32,
    /// Inodes: hard links count once.
    pub inodes: u32,
    /// Blocks that hold the ends of several files.
    pub fragments: u32,
    /// Seconds since 1970.
    pub modified_at: u32,
    /// Bytes of the image, without padding.
    pub bytes_used: u64,
}

impl Superblock {
    /// Reads the superblock of an image.
    pub fn read(path: &Path) -> Result<Self, ArchiveError> {
        let mut file = File::open(path).map_err(|source| ArchiveError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let size = file.metadata()?.len();
        let mut bytes = [0; SUPERBLOCK];
        file.read_exact(&mut bytes)
            .map_err(|_| ArchiveError::Malformed("it is shorter than a superblock"))?;
        Self::parse(&bytes, size)
    }

    fn parse(bytes: &[u8; SUPERBLOCK], size: u64) -> Result<Self, ArchiveError> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if !bytes.starts_with(b"hsqs") {
            return Err(ArchiveError::Malformed("it does not begin with its magic"));
        }
        if (u16_at(28), u16_at(30)) != (4, 0) {
            return Err(ArchiveError::Malformed("it is of another version"));
        }
        let compression = match u16_at(20) {
            1 => "gzip",
            2 => "lzma",
            3 => "lzo",
            4 => "xz",
            5 => "lz4",
            6 => "zstd",
            _ => return Err(ArchiveError::Malformed("its compressor is unknown")),
        };
        let bytes_used = u64_at(40);
        if bytes_used > size {
            return Err(ArchiveError::Malformed("its end is missing"));
        }
        Ok(Self {
            compression,
            block_size: u32_at(12),
            inodes: u32_at(4),
            fragments: u32_at(16),
            modified_at: u32_at(8),
            bytes_used,
        })
    }
}

/// Names in an image, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Regular files; each name of a hard-linked file counts.
    pub files: u64,
    /// Directories, the top one included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// FIFOs, sockets and device nodes.
    pub special: u64,
}

/// Counts the names in an image. Blocks.
pub fn list(image: &Path) -> Result<Listing, ArchiveError> {
    let listing = unsquashfs(&["-lln"], None, image)?;
    let mut counts = Listing::default();
    for line in listing.split(|byte| *byte == b'\n') {
        // What follows a line break within a name is not an entry.
        if !is_entry(line) {
            continue;
        }
        match line.first() {
            Some(b'-') => counts.files += 1,
            Some(b'd') => counts.directories += 1,
            Some(b'l') => counts.symlinks += 1,
            _ => counts.special += 1,
        }
    }
    Ok(counts)
}

/// Whether a line begins with kind, permissions, and numeric owner.
fn is_entry(line: &[u8]) -> bool {
    let (Some(kind), Some(mode), Some(b' ')) = (line.first(), line.get(1..10), line.get(10)) else {
        return false;
    };
    let owner = line[11..].split(|byte| *byte == b' ').next();
    b"-dlcbps".contains(kind)
        && mode.iter().all(|byte| b"-rwxsStT".contains(byte))
        && owner.is_some_and(|owner| {
            owner.contains(&b'/') && owner.iter().all(|b| b.is_ascii_digit() || *b == b'/')
        })
}

/// Unpacks an image into `directory`, which must not exist. Blocks.
pub fn unpack(image: &Path, directory: &Path) -> Result<(), ArchiveError> {
    unsquashfs(&["-no-progress", "-quiet", "-dest"], Some(directory), image)?;
    Ok(())
}

/// Reads everything that is in an image. Blocks.
pub fn read_through(image: &Path) -> Result<(), ArchiveError> {
    // As a pseudo file, which holds all metadata and all content.
    unsquashfs(
        &["-no-progress", "-quiet", "-pf"],
        Some(Path::new("/dev/null")),
        image,
    )?;
    Ok(())
}

fn unsquashfs(
    arguments: &[&str],
    argument: Option<&Path>,
    image: &Path,
) -> Result<Vec<u8>, ArchiveError> {
    let failed = |reason| ArchiveError::Tool {
        program: "unsquashfs",
        reason,
    };
    let output = Command::new("unsquashfs")
        .args(arguments)
        .args(argument)
        // Absolute, so that no name looks like an option.
        .arg(std::path::absolute(image)?)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.trim().lines().last().unwrap_or("it did not say why");
    Err(failed(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_refused() {
        let mut bytes = [0; SUPERBLOCK];
        assert!(Superblock::parse(&bytes, 4096).is_err());
        bytes[..4].copy_from_slice(b"hsqs");
        bytes[20] = 6;
        bytes[28] = 4;
        bytes[41] = 0x10;
        assert_eq!(Superblock::parse(&bytes, 4096).unwrap().bytes_used, 4096);
        assert!(Superblock::parse(&bytes, 4095).is_err());
    }
}
