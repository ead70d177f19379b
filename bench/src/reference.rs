//! What others do: `mksquashfs` to a file on disk, and then an upload of the
//! file in parts, several at a time.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use sandbox_shared::Compression;

use super::{
    measure::{self, Run},
    store::Store,
    tree::cores,
};
use sandbox_toolbox::{process, project};

/// As in our own uploads.
const PART_SIZE: u64 = 8 << 20;
const PARTS_AT_A_TIME: usize = 4;

/// Writes `archive`, which must not exist, with `mksquashfs`. Looking for
/// duplicates, it compares each file with all others of its size, which takes
/// it minutes where there are 100,000 of them.
pub(super) fn archive(
    dir: &Path,
    archive: &Path,
    compression: &Compression,
    finds_duplicates: bool,
) -> Result<Run> {
    let program = project::find_program("mksquashfs").context("mksquashfs is not installed")?;
    let threads = cores().to_string();
    let level = compression.level.map(|level| level.to_string());
    let mut arguments = vec![
        dir.to_str().context("not a path in UTF-8")?,
        archive.to_str().context("not a path in UTF-8")?,
        "-comp",
        compression.format.as_str(),
        "-b",
        "131072",
        "-processors",
        &threads,
        "-noappend",
        "-no-progress",
        "-quiet",
    ];
    if let Some(level) = level.as_deref() {
        arguments.extend(["-Xcompression-level", level]);
    }
    if !finds_duplicates {
        arguments.push("-no-duplicates");
    }
    let mut run = measure::run(&program, &arguments)?;
    run.archive_bytes = fs::metadata(archive)?.len();
    run.usage.disk_bytes = run.archive_bytes;
    Ok(run)
}

/// Uploads a file in parts.
pub(super) fn upload(archive: &Path, store: &Store) -> Result<()> {
    let file = File::open(archive)?;
    let size = file.metadata()?.len();
    let parts = u32::try_from(size.div_ceil(PART_SIZE))?;
    let http = http();
    in_parallel(parts, |index, buffer| {
        let at = u64::from(index) * PART_SIZE;
        buffer.resize(PART_SIZE.min(size - at) as usize, 0);
        file.read_exact_at(buffer, at)?;
        http.put(store.part_url(index + 1)).send(&buffer[..])?;
        Ok(())
    })
    .context("the reference's upload failed")?;
    if store.complete(parts as usize)? != size {
        bail!("the store has other bytes than the reference sent");
    }
    Ok(())
}

/// Downloads the archive that a store offers, `size` bytes.
pub(super) fn download(store: &Store, size: u64, archive: &Path) -> Result<()> {
    let file = File::create(archive)?;
    let ranges = u32::try_from(size.div_ceil(PART_SIZE))?;
    let http = http();
    in_parallel(ranges, |index, buffer| {
        let at = u64::from(index) * PART_SIZE;
        let end = size.min(at + PART_SIZE);
        buffer.clear();
        http.get(store.archive_url())
            .header("Range", format!("bytes={at}-{}", end - 1))
            .call()?
            .into_body()
            .into_reader()
            .read_to_end(buffer)?;
        Ok(file.write_all_at(buffer, at)?)
    })
    .context("the reference's download failed")
}

fn http() -> ureq::Agent {
    ureq::Agent::config_builder().proxy(None).build().into()
}

/// Calls `work` with every index below `count`, several at a time, and room
/// for a part.
fn in_parallel(count: u32, work: impl Fn(u32, &mut Vec<u8>) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU32::new(0);
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..PARTS_AT_A_TIME {
            scope.spawn(|| {
                let mut buffer = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    if let Err(error) = work(index, &mut buffer) {
                        next.store(count, Ordering::Relaxed);
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The version of `mksquashfs`, as it says it.
pub(super) fn version() -> Result<String> {
    let program = project::find_program("mksquashfs").context("mksquashfs is not installed")?;
    let text = process::output(std::process::Command::new(program).arg("-version"))?;
    let first = text.lines().next().unwrap_or_default();
    Ok(first.replace(" version", ""))
}

/// Fails unless `unsquashfs` can read the whole structure of an archive.
pub(super) fn check(archive: &Path) -> Result<()> {
    let program = project::find_program("unsquashfs").context("unsquashfs is not installed")?;
    let mut command = std::process::Command::new(program);
    process::output(command.arg("-ls").arg(archive)).map(drop)
}
