//! Random trees, with Linux's driver as the judge.

use proptest::prelude::*;
use squashfs::format::compressor::Compressor;
use squashfs::{image, writer::Options};

use crate::{
    edits::{apply, edits},
    foreign::mksquashfs,
    harness::*,
    view::*,
};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(16)
    })]

    #[test]
    fn random_trees_are_read(
        edits in edits(),
        compressor in prop::sample::select(vec!["gzip", "lzo", "lz4", "xz", "zstd"]),
        format in prop::sample::select(vec![
            Compressor::Lz4, Compressor::Zstd, Compressor::Gzip,
        ]),
        block_log in 12u32..=20,
        pack_tails in any::<bool>(),
    ) {
        let source = tempfile::tempdir().unwrap();
        for (path, edit) in &edits {
            apply(source.path(), path, edit);
        }
        let options = Options { pack_tails, ..options(format, 1 << block_log) };
        let ours = Archive::of(source.path(), &options);
        let block_size = (1 << block_log).to_string();
        let (_directory, theirs) =
            mksquashfs(source.path(), &["-comp", compressor, "-b", &block_size]);
        for path in [&ours.path, &theirs] {
            let mounted = mount_file(path);
            let expected = with_acl_names(snapshot(mounted.path()));
            assert_same(&expected, &view(&open(path)));

            let directory = tempfile::tempdir().unwrap();
            let unpacked = directory.path().join("unpacked");
            prop_assert!(image::unpack(path, &unpacked).unwrap().is_empty());
            assert_same(&with_links_counted(expected), &snapshot(&unpacked));
        }
    }
}
