//! What others do: `mksquashfs` to a file on disk, and then an upload of the
//! file in parts, several at a time.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use sandbox_shared::{Compression, CompressionFormat};

use super::{
    measure::{self, Run},
    store::Store,
    tree::cores,
};
use crate::{process, project};

/// As in our own uploads.
const PART_SIZE: u64 = 8 << 20;
const PARTS_AT_A_TIME: usize = 4;

/// Writes `archive`, which must not exist, with `mksquashfs`.
pub(super) fn archive(dir: &Path, archive: &Path, compression: &Compression) -> Result<Run> {
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
        if compression.format != CompressionFormat::Lz4 {
            arguments.extend(["-Xcompression-level", level]);
        }
    }
    let mut run = measure::run(&program, &arguments)?;
    run.archive_bytes = fs::metadata(archive)?.len();
    run.usage.disk_bytes = run.archive_bytes;
    Ok(run)
}

/// Uploads a file in parts and returns how many there were.
pub(super) fn upload(archive: &Path, store: &Store) -> Result<usize> {
    let file = File::open(archive)?;
    let size = file.metadata()?.len();
    let parts = u32::try_from(size.div_ceil(PART_SIZE))?;
    let http: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let next = AtomicU32::new(0);
    let failure = Mutex::new(None);
    let send = |index: u32, buffer: &mut Vec<u8>| -> Result<()> {
        let at = u64::from(index) * PART_SIZE;
        buffer.resize(PART_SIZE.min(size - at) as usize, 0);
        file.read_exact_at(buffer, at)?;
        http.put(store.part_url(index + 1)).send(&buffer[..])?;
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..PARTS_AT_A_TIME {
            scope.spawn(|| {
                let mut buffer = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= parts {
                        return;
                    }
                    if let Err(error) = send(index, &mut buffer) {
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(error);
                        }
                        return;
                    }
                }
            });
        }
    });
    if let Ok(Some(error)) = failure.into_inner() {
        return Err(error.context("the reference's upload failed"));
    }
    if store.complete(parts as usize)? != size {
        bail!("the store has other bytes than the reference sent");
    }
    Ok(parts as usize)
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
