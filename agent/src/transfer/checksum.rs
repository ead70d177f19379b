//! The checksums of an archive that is made and read in parts.

use std::{io, num::NonZeroU64};

use md5::Md5;
use sandbox_shared::{ArchiveChecksum, hex};
use sha2::{Digest, Sha256};
use squashfs::reader::ReadAt;

/// Bytes read at a time.
const READ: usize = 1 << 20;

/// Collects the digests of parts, in any order.
pub struct PartDigests {
    part_size_bytes: NonZeroU64,
    digests: Vec<[u8; 32]>,
}

impl PartDigests {
    /// For parts of this size, the last excepted.
    pub fn new(part_size_bytes: NonZeroU64) -> Self {
        Self {
            part_size_bytes,
            digests: Vec::new(),
        }
    }

    /// Takes the content of one part, numbered from 1.
    pub fn add(&mut self, number: u32, content: &[u8]) {
        let index = number.saturating_sub(1) as usize;
        if self.digests.len() <= index {
            self.digests.resize(index + 1, [0; 32]);
        }
        self.digests[index] = Sha256::digest(content).into();
    }

    /// The checksum of all parts.
    pub fn finish(&self) -> ArchiveChecksum {
        let mut all = Sha256::new();
        for digest in &self.digests {
            all.update(digest);
        }
        ArchiveChecksum {
            sha256: hex(&all.finalize()),
            part_size_bytes: self.part_size_bytes,
        }
    }
}

/// The checksum of an archive, in parts of `part_size_bytes`. Blocks.
pub fn of_archive(
    archive: &dyn ReadAt,
    part_size_bytes: NonZeroU64,
) -> io::Result<ArchiveChecksum> {
    let mut digests = PartDigests::new(part_size_bytes);
    let mut buffer = vec![0; READ];
    let mut offset = 0;
    while offset < archive.size() {
        let mut digest = Sha256::new();
        let end = archive
            .size()
            .min(offset.saturating_add(part_size_bytes.get()));
        while offset < end {
            let most = usize::try_from(end - offset).unwrap_or(READ).min(READ);
            archive.read_exact_at(&mut buffer[..most], offset)?;
            digest.update(&buffer[..most]);
            offset += most as u64;
        }
        digests.digests.push(digest.finalize().into());
    }
    Ok(digests.finish())
}

/// What a store checks a part by (RFC 1864).
pub type ContentMd5 = [u8; 16];

/// The MD5 of a part.
pub fn content_md5(part: &[u8]) -> ContentMd5 {
    Md5::digest(part).into()
}

/// The ETag that a store gives to an object made of parts with these MD5s.
pub fn multipart_etag(parts: &[ContentMd5]) -> String {
    let digest = Md5::digest(parts.as_flattened());
    format!("{}-{}", hex(&digest), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_checksum_of_its_parts_in_whatever_order_they_came() {
        let mut content: Vec<u8> = (0..250).collect();
        let size = NonZeroU64::new(100).unwrap();
        let mut parts = PartDigests::new(size);
        for number in [2, 3, 1] {
            let part = content.chunks(100).nth(number - 1).unwrap();
            parts.add(u32::try_from(number).unwrap(), part);
        }
        assert_eq!(of_archive(&content, size).unwrap(), parts.finish());
        content.extend(b"more");
        assert_ne!(of_archive(&content, size).unwrap(), parts.finish());
    }

    #[test]
    fn the_etag_of_parts_is_what_md5sum_computes() {
        // for part in abc def; do printf $part | md5sum | xxd -r -p; done | md5sum
        let parts = [content_md5(b"abc"), content_md5(b"def")];
        assert_eq!(multipart_etag(&parts), "4c8e93283780e078db9e0c6b9b3f8043-2");
    }

    #[test]
    fn the_digest_of_digests_is_what_sha256sum_computes() {
        // printf abc | sha256sum | xxd -r -p | sha256sum
        let mut parts = PartDigests::new(NonZeroU64::MIN);
        parts.add(1, b"abc");
        assert_eq!(
            parts.finish().sha256,
            "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"
        );
    }
}
