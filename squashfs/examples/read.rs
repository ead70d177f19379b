//! Reads an archive in one of several ways, for measuring:
//! `read list|walk|content|verify|unpack|backhand ARCHIVE [DIRECTORY]`

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use squashfs::{
    image,
    reader::{Archive, FileSource, InodeRef, Kind, Options, ReadError},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    match arguments.as_slice() {
        ["list", archive] => println!("{:?}", image::list(Path::new(archive))?),
        ["walk", archive] => println!("{} files", files(&open(archive)?)?.len()),
        ["content", archive] => println!("{} bytes", content(&open(archive)?)?),
        ["verify", archive] => image::read_through(Path::new(archive))?,
        ["unpack", archive, directory] => {
            let left_out = image::unpack(Path::new(archive), Path::new(directory))?;
            println!("{} left out", left_out.count());
        }
        ["backhand", archive] => println!("{} bytes", by_backhand(archive)?),
        _ => return Err("list|walk|content|verify|unpack|backhand ARCHIVE [DIRECTORY]".into()),
    }
    println!("{:.3?}", started.elapsed());
    Ok(())
}

fn open(path: &str) -> Result<Archive, Box<dyn Error>> {
    let source = FileSource::open(Path::new(path))?;
    Ok(Archive::open(Arc::new(source), &Options::default())?)
}

/// All regular files, after asking for the attributes of everything.
fn files(archive: &Archive) -> Result<Vec<InodeRef>, ReadError> {
    let mut files = Vec::new();
    let mut pending = vec![archive.root()];
    while let Some(directory) = pending.pop() {
        let mut entries = archive.read_dir(directory, 0)?;
        while let Some(entry) = entries.next_entry()? {
            match archive.attributes(entry.inode)?.kind {
                Kind::Directory => pending.push(entry.inode),
                Kind::File => files.push(entry.inode),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// Reads all files as a file system does, 128 KiB at a time, on all cores.
fn content(archive: &Archive) -> Result<u64, Box<dyn Error>> {
    let files = files(archive)?;
    let next = AtomicUsize::new(0);
    let bytes = AtomicU64::new(0);
    let work = || -> Result<(), ReadError> {
        let mut buffer = vec![0; 128 << 10];
        while let Some(&file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut offset = 0;
            loop {
                let length = archive.read(file, offset, &mut buffer)? as u64;
                if length == 0 {
                    break;
                }
                offset += length;
            }
            bytes.fetch_add(offset, Ordering::Relaxed);
        }
        Ok(())
    };
    let threads = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    Ok(bytes.into_inner())
}

/// The same by another reader, on one core.
fn by_backhand(path: &str) -> Result<u64, Box<dyn Error>> {
    let archive = backhand::FilesystemReader::from_reader(BufReader::new(File::open(path)?))?;
    let mut bytes = 0;
    for node in archive.files() {
        if let backhand::InnerNode::File(file) = &node.inner {
            let mut reader = archive.file(file).reader();
            bytes += io::copy(&mut reader.by_ref(), &mut io::sink())?;
        }
    }
    Ok(bytes)
}
