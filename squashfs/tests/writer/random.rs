//! Random trees and random edits, with Linux's driver as the judge.

use proptest::prelude::*;
use squashfs::format::compressor::Compressor;
use squashfs::writer::Options;

use crate::{
    edits::{apply, edits},
    harness::*,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_trees_come_back(
        first in edits(),
        second in edits(),
        format in prop::sample::select(vec![
            Compressor::Lz4, Compressor::Zstd, Compressor::Gzip,
        ]),
        block_log in 12u32..=20,
        pack_tails in any::<bool>(),
        threads in 1..5u32,
    ) {
        let source = tempfile::tempdir().unwrap();
        let mut options = Options { pack_tails, ..options(format, 1 << block_log) };
        options.threads = Some(threads);
        for edits in [first, second] {
            for (path, edit) in &edits {
                apply(source.path(), path, edit);
            }
            assert_round_trip(source.path(), &options);
        }
    }
}
