//! Damaged archives never make the reader panic, hang or take much memory.
//!
//! Archives of the stored corpus are changed at random and walked through, for
//! ten seconds or `FUZZ_SECONDS`. Each change follows from a number, which a
//! failure prints; `FUZZ_START` begins with another number than 0. Longer, in an
//! optimized build:
//!
//! ```text
//! FUZZ_SECONDS=3600 FUZZ_START=1000000000 cargo test --release -p squashfs --test fuzz
//! ```

#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    ops::Range,
    panic,
    path::Path,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rustix::process::{Resource, Rlimit, setrlimit};

mod exercise;

use exercise::exercise;

/// How long one archive may take, in an unoptimized build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Address space that is enough for all of this, many times over.
const MEMORY: u64 = 4 << 30;

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn from_env(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

#[test]
fn the_corpus_itself_is_in_order() {
    for bytes in corpus() {
        assert!(exercise(bytes).unwrap() >= 10);
    }
}

#[test]
fn changed_archives_do_no_harm() {
    setrlimit(
        Resource::As,
        Rlimit {
            current: Some(MEMORY),
            maximum: None,
        },
    )
    .unwrap();
    let corpus = corpus();
    let time = Duration::from_secs(from_env("FUZZ_SECONDS", 10));
    let start = from_env("FUZZ_START", 0);
    let started = Instant::now();
    let mut opened = 0;
    let mut number = start;
    while started.elapsed() < time {
        let bytes = changed(&corpus, number);
        let begun = Instant::now();
        let result = panic::catch_unwind(|| exercise(bytes));
        let took = begun.elapsed();
        match result {
            Ok(result) => opened += u64::from(result.is_ok()),
            Err(_) => panic!("FUZZ_START={number} makes it panic"),
        }
        assert!(took < PATIENCE, "FUZZ_START={number} takes {took:?}");
        number += 1;
    }
    let tried = number - start;
    println!("{tried} archives, of which {opened} could be opened");
    // Otherwise the changes are too coarse to get anywhere.
    assert!(opened > tried / 10, "{opened} of {tried}");
}

/// An archive of the corpus with a few changes, always the same for a number.
fn changed(corpus: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(number);
    let mut bytes = random.choice(corpus).unwrap().clone();
    let superblock = 0..96;
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (inodes, directories) = (word(64) as usize, word(72) as usize);
    let regions = [
        superblock,
        inodes..directories,
        directories..bytes.len(),
        inodes..bytes.len(),
        0..bytes.len(),
    ];
    for _ in 0..random.u32(1..4) {
        let region = random.choice(&regions).unwrap().clone();
        change(&mut bytes, region, &mut random);
    }
    if random.u32(..10) == 0 {
        bytes.truncate(random.usize(..bytes.len()));
    }
    bytes
}

fn change(bytes: &mut [u8], region: Range<usize>, random: &mut Rng) {
    let length = bytes.len() as u64;
    let at = random.usize(region.start..region.end - 8);
    let width = *random.choice(&[1, 2, 4, 8]).unwrap();
    // Fields are at even offsets, mostly.
    let at = if random.bool() { at & !1 } else { at };
    let mut old = [0; 8];
    old[..width].copy_from_slice(&bytes[at..at + width]);
    let old = u64::from_le_bytes(old);
    let new = match random.u32(..9) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << random.u32(..64),
        3 => old.wrapping_add(random.u64(1..9)),
        4 => old.wrapping_sub(random.u64(1..9)),
        5 => old ^ (1 << random.u32(..8 * width as u32)),
        6 => random.u64(..=length),
        7 => random.u64(..),
        _ => {
            // A piece of the archive in another place.
            let source = random.usize(region.start..region.end - 8);
            bytes.copy_within(source..source + 8, at);
            return;
        }
    };
    bytes[at..at + width].copy_from_slice(&new.to_le_bytes()[..width]);
}
