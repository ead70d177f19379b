//! Making the image, with `mksquashfs`.

use std::{
    fs::File,
    io::{BufWriter, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use sandbox_shared::{Compression, CompressionFormat};

use super::{ArchiveError, Scan, tree};

/// Bytes handed over at a time.
const BUFFER: usize = 1 << 20;
/// What `mksquashfs` may use for its queues, so that memory does not grow with the tree.
const MEMORY: &str = "128M";

/// How far an archive is, and whether anybody still wants it.
#[derive(Debug, Default)]
pub struct Progress {
    bytes_read: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Bytes of file content that are in the archive.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Ends the work at the next opportunity.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Writes the image of what was scanned to `output`, replacing what is there.
/// Blocks.
pub fn pack(
    scan: &Scan,
    compression: &Compression,
    output: &Path,
    progress: &Progress,
) -> Result<(), ArchiveError> {
    let said = tempfile::tempfile()?;
    let child = mksquashfs(scan, compression, output, &said)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut child = KillOnDrop(child);
    let Some(input) = child.0.stdin.take() else {
        return Err(failed("it has no standard input".into()));
    };
    let written = tree::write(scan, BufWriter::with_capacity(BUFFER, input), progress);
    match written {
        // It does not read on: why, it has said.
        Err(ArchiveError::Local(_)) | Ok(()) => {}
        Err(error) => return Err(error),
    }
    let status = child.0.wait()?;
    if !status.success() || written.is_err() {
        return Err(failed(last_words(said)));
    }
    Ok(())
}

fn mksquashfs(scan: &Scan, compression: &Compression, output: &Path, said: &File) -> Command {
    let mut command = Command::new("mksquashfs");
    command.arg("-").arg(output);
    command.args([
        "-tar",
        "-noappend",
        "-no-progress",
        "-quiet",
        "-exit-on-error",
    ]);
    command.args(["-mem", MEMORY]);
    command.args(["-comp", compression.format.as_str()]);
    let level = compression.level.or(match compression.format {
        CompressionFormat::Lz4 => None,
        // Those of the compressors themselves, not the far slower ones of mksquashfs.
        CompressionFormat::Zstd => Some(3),
        CompressionFormat::Gzip => Some(6),
    });
    if let Some(level) = level {
        command.args(["-Xcompression-level", &level.to_string()]);
    }
    if let Some(threads) = compression.threads {
        command.args(["-processors", &threads.to_string()]);
    }
    // The top directory is not in the stream. Of its attributes, mksquashfs
    // 4.5.1 takes only the mode from elsewhere.
    let mode = scan.about.mode() & 0o7777;
    command.args(["-root-mode", &format!("{mode:o}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(said.try_clone().map_or_else(|_| Stdio::null(), Stdio::from));
    command
}

fn failed(reason: String) -> ArchiveError {
    ArchiveError::Tool {
        program: "mksquashfs",
        reason,
    }
}

/// The last line that a program wrote.
fn last_words(mut said: File) -> String {
    use std::io::Seek;
    let mut text = String::new();
    let read = said.rewind().and_then(|()| said.read_to_string(&mut text));
    match (read, text.trim().lines().last()) {
        (Ok(_), Some(line)) => line.to_owned(),
        _ => "it did not say why".to_owned(),
    }
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // After `wait` both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
