//! Blocks that were made to fill memory.
//!
//! Address space is limited while they are decompressed, so that whoever asks for too
//! much of it ends the process.

#![allow(clippy::unwrap_used)]

use std::{fs, io::Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use squashfs::{
    decoder::{Corrupt, Decoder},
    format::compressor::Compressor,
};

/// What the caller allows, in bytes.
const ROOM: usize = 8192;
/// What a decoder may take beside it, in bytes.
const BESIDE: u64 = 16 << 20;
/// What the bombs decompress to, in bytes.
const BOMB: usize = 256 << 20;

fn zlib_bomb() -> Vec<u8> {
    let level = libdeflater::CompressionLvl::new(9).unwrap();
    let mut compressor = libdeflater::Compressor::new(level);
    let zeros = vec![0; BOMB];
    let mut stored = vec![0; BOMB / 256];
    let length = compressor.zlib_compress(&zeros, &mut stored).unwrap();
    stored.truncate(length);
    stored
}

fn zstd_bombs() -> Vec<Vec<u8>> {
    const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
    const SINGLE_SEGMENT_OF_8_BYTES: u8 = 0b1110_0000;
    let zeros = vec![0; BOMB];
    // 128 KiB of one byte: a block of four bytes.
    let block = |is_last: u32| {
        let header = 128 << 13 | 1 << 1 | is_last;
        [&u32::to_le_bytes(header)[..3], b"z"].concat()
    };
    let blocks = [block(0).repeat(BOMB >> 17), block(1)].concat();
    // Windows of 2^10 to 2^41 bytes.
    let mut bombs: Vec<_> = (0..32u8)
        .map(|exponent| [MAGIC, &[0, exponent << 3], &blocks].concat())
        .collect();
    for size in [BOMB as u64, 1 << 40, u64::MAX] {
        let header = [&[SINGLE_SEGMENT_OF_8_BYTES][..], &size.to_le_bytes()].concat();
        bombs.push([MAGIC, &header, &blocks].concat());
    }
    bombs.push(zstd::bulk::compress(&zeros, 3).unwrap());
    let mut stream = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    stream.window_log(27).unwrap();
    stream.write_all(&zeros).unwrap();
    bombs.push(stream.finish().unwrap());
    // A frame to be skipped that does not end.
    bombs.push(b"\x50\x2a\x4d\x18\xff\xff\xff\xff".to_vec());
    bombs
}

/// With a dictionary of 4 GiB.
fn lzma_bomb() -> Vec<u8> {
    [b"\x5d\xff\xff\xff\xff".as_slice(), &[0xff; 8], &[0; 4096]].concat()
}

/// With a dictionary of 4 GiB.
fn xz_bomb() -> Vec<u8> {
    let with_crc = |bytes: &[u8]| [bytes, &crc32(bytes).to_le_bytes()].concat();
    let header = [b"\xfd7zXZ\0".to_vec(), with_crc(b"\0\x01")].concat();
    // Twelve bytes: one filter, LZMA2, whose property says 4 GiB.
    let block = with_crc(b"\x02\0\x21\x01\x28\0\0\0");
    [header, block, b"\x01\x1f\xff".to_vec(), vec![0; 4096]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn address_space() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[test]
fn bombs_are_refused_in_little_memory() {
    let lz4 = lz4_flex::block::compress(&vec![0; BOMB]);
    let bombs = [
        (Compressor::Gzip, vec![zlib_bomb()]),
        (Compressor::Zstd, zstd_bombs()),
        (Compressor::Lz4, vec![lz4]),
        (Compressor::Lzo, vec![[&[0x20][..], &[0; 1 << 20]].concat()]),
        (Compressor::Lzma, vec![lzma_bomb()]),
        (Compressor::Xz, vec![xz_bomb()]),
    ];
    let mut output = vec![0; ROOM];
    let before = getrlimit(Resource::As);
    let limit = |current| {
        let maximum = before.maximum;
        setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
    };
    for (compressor, bombs) in &bombs {
        for mut decoder in [
            Decoder::new(*compressor).unwrap(),
            Decoder::pure(*compressor),
        ] {
            for (number, bomb) in bombs.iter().enumerate() {
                limit(Some(address_space() + BESIDE));
                let found = decoder.decompress(bomb, &mut output);
                limit(before.current);
                assert_eq!(found, Err(Corrupt), "{compressor:?} {number}");
            }
        }
    }
}
