//! Takes arbitrary bytes as an archive and walks through all of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/squashfs_fuzz/exercise.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| {
    let _ = exercise::exercise(bytes.to_vec());
});
