//! Extended attributes, as they come from the file system.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{fgetxattr, flistxattr, lgetxattr, llistxattr},
    io::Errno,
};

use super::proc_path;

/// The attributes of one file, sorted by name; names with their prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XattrSet(pub(crate) Vec<(Vec<u8>, Vec<u8>)>);

impl XattrSet {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The attributes of an open file or directory.
///
/// # Errors
/// Those of the system.
pub fn read_xattrs(file: BorrowedFd<'_>) -> Result<XattrSet, Errno> {
    read(
        |buffer| flistxattr(file, buffer),
        |name, buffer| fgetxattr(file, name, buffer),
    )
}

/// The attributes of an entry that must not be opened: a link, a FIFO, a
/// device. The last component is not followed, and the directory is named by
/// its handle.
///
/// # Errors
/// Those of the system.
pub fn read_xattrs_of_entry(directory: BorrowedFd<'_>, name: &[u8]) -> Result<XattrSet, Errno> {
    let mut path = proc_path(directory).into_bytes();
    path.push(b'/');
    path.extend_from_slice(name);
    read(
        |buffer| llistxattr(path.as_slice(), buffer),
        |name, buffer| lgetxattr(path.as_slice(), name, buffer),
    )
}

fn read(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<XattrSet, Errno> {
    // Nearly every file has none, and then nothing is allocated.
    let mut small = [0; 256];
    let names = match list(&mut small) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(XattrSet::default()),
        Ok(length) => small[..length].to_vec(),
        Err(Errno::RANGE) => with_growing_buffer(&list)?,
        Err(errno) => return Err(errno),
    };
    let mut set = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|n| !n.is_empty()) {
        match with_growing_buffer(|buffer| get(name, buffer)) {
            Ok(value) => set.push((name.to_vec(), value)),
            // Taken away since it was listed, or listed but not for us.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    set.sort();
    Ok(XattrSet(set))
}

/// Linux's limit for a list of names, and for a value.
const LARGEST: usize = 64 * 1024;

fn with_growing_buffer(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1024];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < LARGEST => buffer.resize(LARGEST, 0),
            Err(errno) => return Err(errno),
        }
    }
}
