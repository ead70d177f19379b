//! Mounts an archive until it is unmounted, for measuring and trying out:
//! `mount ARCHIVE DIRECTORY` to look at it, and
//! `mount --upper UPPER ARCHIVE DIRECTORY` to write to it, too.

use std::{env, error::Error, path::PathBuf, sync::Arc};

use cow_fuse::{Options, Session, archive::Archive, cow, view};
use squashfs::reader::{self, FileSource};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options {
        devices: true,
        ..Options::default()
    };
    let mut upper = None;
    let mut paths = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--upper" => upper = Some(PathBuf::from(value()?)),
            "--threads" => options.threads = value()?.parse()?,
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    let [archive, mountpoint] = paths.as_slice() else {
        return Err("one archive and one directory, please".into());
    };
    let source = Arc::new(FileSource::open(archive)?);
    let archive = reader::Archive::open(source, &reader::Options::default())?;
    let archive = Arc::new(Archive::new(Arc::new(archive)));
    let session: Session = match &upper {
        Some(upper) => cow::serve(archive, upper, mountpoint, &options)?,
        None => view::serve(archive, mountpoint, &options)?,
    };
    println!("mounted on {}", mountpoint.display());
    Ok(session.wait()?)
}
