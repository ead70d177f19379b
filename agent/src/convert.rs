//! Between the words of the contract and those of the archive library.

use std::path::Path;

use sandbox_shared::{
    Compression, CompressionFormat, EntryCounts, OnUnreadable, SandboxError,
    methods::Row,
    report::{
        BackupReport, ChangeKind, ChangedEntry, DroppedXattr, LeftOutEntry, Listed, UnreadableEntry,
    },
};
use squashfs::{
    format::{DEFAULT_BLOCK_SIZE, compressor::Compressor},
    image::{ArchiveError, LeftOut},
    report::{self, Report, Unreadable},
    tally::Tally,
    tree::Counts,
    writer,
};

use crate::scan::Notes;

/// Most items of one list of a report.
const REPORTED: usize = 100;
/// Most entries that a restored directory names which lack something.
const SHOWN: usize = 20;

/// How to write an archive.
pub(crate) fn options(compression: &Compression, on_unreadable: OnUnreadable) -> writer::Options {
    writer::Options {
        compressor: compressor(compression.format),
        level: compression.level,
        block_size: compression.block_size.unwrap_or(DEFAULT_BLOCK_SIZE),
        threads: compression.threads,
        on_unreadable: match on_unreadable {
            OnUnreadable::Fail => writer::OnUnreadable::Fail,
            OnUnreadable::Skip => writer::OnUnreadable::Skip,
        },
        ..writer::Options::default()
    }
}

fn compressor(format: CompressionFormat) -> Compressor {
    // A test says that the library has every format of the contract.
    Compressor::from_name(format.as_str()).unwrap_or(Compressor::Zstd)
}

/// What was found and left out, as far as it is known by now.
pub(crate) fn counts(counts: Counts, notes: &Notes, report: &Report) -> EntryCounts {
    let Counts {
        files,
        directories,
        symlinks,
        special,
        bytes,
    } = counts;
    EntryCounts {
        files,
        directories,
        symlinks,
        special,
        bytes,
        excluded: notes.excluded,
        unreadable: report.unreadable.count(),
        changed: report.changes.count(),
    }
}

/// A report as it is sent.
pub(crate) fn report(report: &Report, notes: &Notes) -> BackupReport {
    BackupReport {
        unreadable: unreadable(&report.unreadable),
        changed: listed(&report.changes, REPORTED, |change| ChangedEntry {
            path: text(&change.path),
            change: change_kind(change.kind),
        }),
        other_file_systems: listed(&notes.other_file_systems, REPORTED, |path| text(path)),
        unread_indexes: listed(&notes.unread_indexes, REPORTED, |path| text(path)),
        dropped_xattrs: listed(&report.dropped_xattrs, REPORTED, |(path, name)| {
            DroppedXattr {
                path: text(path),
                name: name.clone(),
            }
        }),
    }
}

/// Entries that could not be read.
pub(crate) fn unreadable(tally: &Tally<Unreadable>) -> Listed<UnreadableEntry> {
    listed(tally, REPORTED, |unreadable| UnreadableEntry {
        path: text(&unreadable.path),
        error: unreadable.errno.to_string(),
    })
}

const fn change_kind(kind: report::ChangeKind) -> ChangeKind {
    match kind {
        report::ChangeKind::Vanished => ChangeKind::Vanished,
        report::ChangeKind::Retyped => ChangeKind::Retyped,
        report::ChangeKind::Replaced => ChangeKind::Replaced,
        report::ChangeKind::Shrunk => ChangeKind::Shrunk,
        report::ChangeKind::Grown => ChangeKind::Grown,
        report::ChangeKind::Modified => ChangeKind::Modified,
    }
}

/// What could not be unpacked.
pub(crate) fn left_out(tally: &Tally<LeftOut>) -> Listed<LeftOutEntry> {
    listed(tally, SHOWN, |left_out| LeftOutEntry {
        path: text(&left_out.path),
        what: left_out.what.clone(),
    })
}

/// The error that `method` answers with.
pub(crate) fn archive_error(error: &ArchiveError, method: &Row) -> SandboxError {
    let described = method.failed(error.to_string());
    match error {
        ArchiveError::NoSpace { needed, available } => described
            .with("neededBytes", *needed)
            .with("availableBytes", *available),
        _ => described,
    }
}

fn listed<T, U>(tally: &Tally<T>, most: usize, convert: impl Fn(&T) -> U) -> Listed<U> {
    Listed {
        count: tally.count(),
        first: tally.first().iter().take(most).map(convert).collect(),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use sandbox_shared::compression::BLOCK_SIZES;
    use squashfs::format::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE};
    use strum::VariantArray;

    use super::*;

    #[test]
    fn the_contract_allows_what_the_writer_can_do() {
        assert_eq!(BLOCK_SIZES, MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE);
        for &format in CompressionFormat::VARIANTS {
            let compressor = compressor(format);
            assert_eq!(format.as_str(), compressor.name());
            let levels = squashfs::writer::levels(compressor);
            assert_eq!(format.levels(), levels.map(|(levels, _)| levels));
        }
    }
}
