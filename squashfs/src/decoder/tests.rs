//! Decoders by themselves, and those in C against those in Rust.

use std::io::Write;

use fastrand::Rng;

use super::*;
use crate::format::MAX_BLOCK_SIZE;

/// Both implementations.
fn both(compressor: Compressor) -> [Decoder; 2] {
    [Decoder::new(compressor).unwrap(), Decoder::pure(compressor)]
}

#[test]
fn blocks_come_back_and_no_more_than_there_is_room_for() {
    let block = b"all work and no play ".repeat(300);
    for (compressor, stored) in [
        (Compressor::Gzip, gzip(&block).swap_remove(1)),
        (Compressor::Lz4, lz4_flex::block::compress(&block)),
        (Compressor::Zstd, zstd(&block).swap_remove(1)),
    ] {
        for mut decoder in both(compressor) {
            let mut output = vec![0; 8192];
            let length = decoder.decompress(&stored, &mut output).unwrap();
            assert!(output[..length] == block, "{compressor:?}");
            let too_small = &mut output[..block.len() - 1];
            assert_eq!(decoder.decompress(&stored, too_small), Err(Corrupt));
            let half = &stored[..stored.len() / 2];
            assert_eq!(decoder.decompress(half, &mut output), Err(Corrupt));
            // It still works after a failure.
            assert!(decoder.decompress(&stored, &mut output).is_ok());
        }
    }
}

/// Content of several sorts and lengths.
fn contents(random: &mut Rng) -> Vec<Vec<u8>> {
    let mut contents = vec![Vec::new(), b"x".to_vec()];
    for length in [100, 5000, 8192, 70_000, 131_072, 300_000] {
        let mut noise = vec![0; length];
        random.fill(&mut noise);
        let words = || (0..).flat_map(|n: u32| format!("line {} of many; ", n % 977).into_bytes());
        let prose: Vec<u8> = words().take(length).collect();
        let mut mixed = prose.clone();
        mixed[length / 3..length / 2].copy_from_slice(&noise[length / 3..length / 2]);
        contents.extend([noise, prose, mixed, vec![0; length]]);
    }
    contents
}

fn gzip(content: &[u8]) -> Vec<Vec<u8>> {
    let by = |level| {
        let level = libdeflater::CompressionLvl::new(level).unwrap();
        let mut compressor = libdeflater::Compressor::new(level);
        let mut stored = vec![0; compressor.zlib_compress_bound(content.len())];
        let length = compressor.zlib_compress(content, &mut stored).unwrap();
        stored.truncate(length);
        stored
    };
    [1, 6, 12].map(by).to_vec()
}

fn zstd(content: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = [1, 3, 19]
        .map(|level| zstd::bulk::compress(content, level).unwrap())
        .to_vec();
    // Of unknown size, in several blocks, and with a checksum.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.window_log(20).unwrap();
    for part in content.chunks(40_000) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    all.push(encoder.finish().unwrap());
    // Several frames, and one to be skipped.
    let (first, second) = content.split_at(content.len() / 2);
    all.push(
        [
            zstd::bulk::compress(first, 1).unwrap(),
            b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(),
            zstd::bulk::compress(second, 5).unwrap(),
        ]
        .concat(),
    );
    all
}

/// What a decoder makes of a block, if it takes it.
fn decoded(decoder: &mut Decoder, stored: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut output = vec![0xaa; room];
    let length = decoder.decompress(stored, &mut output).ok()?;
    output.truncate(length);
    Some(output)
}

/// What both make of a block.
fn decoded_twice(decoders: &mut [Decoder; 2], stored: &[u8], room: usize) -> [Option<Vec<u8>>; 2] {
    decoders
        .each_mut()
        .map(|decoder| decoded(decoder, stored, room))
}

/// Both make the same of a block.
fn compare(decoders: &mut [Decoder; 2], stored: &[u8], room: usize) -> Option<Vec<u8>> {
    let [in_c, in_rust] = decoded_twice(decoders, stored, room);
    assert!(
        in_c == in_rust,
        "C gives {:?} and Rust {:?} bytes of {} in {room}: {stored:x?}",
        in_c.map(|c| c.len()),
        in_rust.map(|rust| rust.len()),
        stored.len(),
    );
    in_rust
}

/// Compares both over everything that `compress` makes of some content, whole and
/// cut off, in more room and less.
fn compare_whole(compressor: Compressor, compress: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut random = Rng::with_seed(1);
    let mut decoders = both(compressor);
    for content in contents(&mut random) {
        for stored in compress(&content) {
            for room in [content.len(), content.len() + 1, MAX_BLOCK_SIZE as usize] {
                let found = compare(&mut decoders, &stored, room);
                assert!(found.as_ref() == Some(&content));
            }
            for less in [1, 2, content.len() / 2, content.len()] {
                if let Some(room) = content.len().checked_sub(less.max(1)) {
                    assert_eq!(compare(&mut decoders, &stored, room), None);
                }
            }
            for _ in 0..20 {
                let end = random.usize(..stored.len());
                compare(&mut decoders, &stored[..end], content.len());
            }
        }
    }
}

/// Compares both over blocks in which some bytes are others. Gives how many blocks
/// one takes and the other does not.
fn compare_damaged(compressor: Compressor, compress: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> u32 {
    const TRIED: u32 = 5000;
    let mut random = Rng::with_seed(2);
    let mut decoders = both(compressor);
    let contents: Vec<_> = contents(&mut random)
        .into_iter()
        .filter(|content| content.len() <= 10_000)
        .collect();
    let blocks: Vec<_> = contents
        .iter()
        .flat_map(|content| compress(content))
        .collect();
    let (mut refused, mut different) = (0, 0);
    for _ in 0..TRIED {
        let mut stored = random.choice(&blocks).unwrap().clone();
        for _ in 0..random.usize(1..4) {
            // Headers are short, and decide most.
            let most = if random.bool() { 24 } else { usize::MAX };
            let at = random.usize(..stored.len().min(most));
            stored[at] = match random.u8(..3) {
                0 => stored[at] ^ 1 << random.u8(..8),
                1 => random.u8(..),
                _ => *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap(),
            };
        }
        let room = *random.choice(&[100, 8192, 12_000]).unwrap();
        match decoded_twice(&mut decoders, &stored, room) {
            [Some(in_c), Some(in_rust)] => assert!(in_c == in_rust, "{room}: {stored:x?}"),
            [None, None] => refused += 1,
            _ => different += 1,
        }
    }
    assert!(refused > TRIED / 2, "{refused}");
    different
}

#[test]
fn gzip_in_c_and_in_rust_is_the_same() {
    compare_whole(Compressor::Gzip, gzip);
}

#[test]
fn damaged_gzip_in_c_and_in_rust_is_the_same() {
    assert_eq!(compare_damaged(Compressor::Gzip, gzip), 0);
}

#[test]
fn zstd_in_c_and_in_rust_is_the_same() {
    compare_whole(Compressor::Zstd, zstd);
}

#[test]
fn damaged_zstd_in_c_and_in_rust_is_the_same_if_both_take_it() {
    // Each refuses some of what RFC 8878 does not allow, and the one in Rust large
    // windows, too.
    let different = compare_damaged(Compressor::Zstd, zstd);
    assert!(different < 250, "{different}");
}
