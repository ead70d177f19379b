//! An archive as the parts of an upload.

use std::{io, num::NonZeroU64};

use bytes::Bytes;
use sandbox_shared::{ArchiveChecksum, protocol::MAX_PARTS};
use squashfs::{format::superblock::Superblock, writer::Sink};
use tokio::sync::mpsc;

use crate::transfer::{TransferError, checksum::PartDigests, upload::PartBody};

type Parts = mpsc::Sender<Result<PartBody, TransferError>>;

/// Cuts an archive into parts of equal size, the last excepted, and sends each
/// when it is full. The first part waits for the superblock, which is in it,
/// and goes last. Blocks while nobody takes parts.
pub(super) struct PartSink {
    part_size: usize,
    parts: Parts,
    /// The part that is being filled.
    number: u32,
    current: Vec<u8>,
    /// The first part, once another is being filled.
    first: Option<Vec<u8>>,
    digests: PartDigests,
}

impl PartSink {
    pub(super) fn new(part_size: NonZeroU64, parts: Parts) -> Self {
        Self {
            part_size: usize::try_from(part_size.get()).unwrap_or(usize::MAX),
            parts,
            number: 1,
            current: vec![0; Superblock::SIZE],
            first: None,
            digests: PartDigests::new(part_size),
        }
    }

    /// Of the whole archive, once it is finished.
    pub(super) fn checksum(&self) -> ArchiveChecksum {
        self.digests.finish()
    }

    fn send(&mut self, number: u32, content: Vec<u8>) -> io::Result<()> {
        self.digests.add(number, &content);
        let bytes = Bytes::from(content);
        self.parts
            .blocking_send(Ok(PartBody { number, bytes }))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Puts the full part away and begins the next.
    fn next_part(&mut self) -> io::Result<()> {
        if self.number == MAX_PARTS {
            return Err(io::Error::other(TransferError::TooLarge));
        }
        let full = std::mem::replace(&mut self.current, Vec::with_capacity(self.part_size));
        if self.number == 1 {
            self.first = Some(full);
        } else {
            self.send(self.number, full)?;
        }
        self.number += 1;
        Ok(())
    }
}

impl Sink for PartSink {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // Only now, so that the last part is never empty.
            if self.current.len() == self.part_size {
                self.next_part()?;
            }
            let room = self.part_size - self.current.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.current.extend_from_slice(fits);
            bytes = rest;
        }
        Ok(())
    }

    fn finish(&mut self, superblock: &[u8; Superblock::SIZE]) -> io::Result<()> {
        let last = std::mem::take(&mut self.current);
        let mut first = match self.first.take() {
            Some(first) => {
                self.send(self.number, last)?;
                first
            }
            None => last,
        };
        first[..Superblock::SIZE].copy_from_slice(superblock);
        self.send(1, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts that come of `length` bytes after the superblock.
    fn parts_of(length: usize) -> Vec<(u32, Bytes)> {
        let (sender, mut parts) = mpsc::channel(16);
        let mut sink = PartSink::new(NonZeroU64::new(100).unwrap(), sender);
        for chunk in vec![7; length].chunks(33) {
            sink.write(chunk).unwrap();
        }
        sink.finish(&[9; Superblock::SIZE]).unwrap();
        drop(sink);
        std::iter::from_fn(|| parts.blocking_recv())
            .map(|part| part.unwrap())
            .map(|part| (part.number, part.bytes))
            .collect()
    }

    #[test]
    fn parts_are_equal_but_the_last_and_the_first_comes_last() {
        for (length, expected) in [
            (0, vec![(1, 96)]),
            (4, vec![(1, 100)]),
            (5, vec![(2, 1), (1, 100)]),
            (104, vec![(2, 100), (1, 100)]),
            (105, vec![(2, 100), (3, 1), (1, 100)]),
        ] {
            let parts = parts_of(length);
            let sizes: Vec<_> = parts.iter().map(|(n, b)| (*n, b.len())).collect();
            assert_eq!(sizes, expected, "{length}");
            let (_, first) = parts.last().unwrap();
            assert!(first[..96].iter().all(|byte| *byte == 9));
            assert!(first[96..].iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn nobody_taking_parts_is_an_error() {
        let (sender, parts) = mpsc::channel(1);
        drop(parts);
        let mut sink = PartSink::new(NonZeroU64::new(100).unwrap(), sender);
        assert!(sink.finish(&[0; Superblock::SIZE]).is_err());
    }
}
