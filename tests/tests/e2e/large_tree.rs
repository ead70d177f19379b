//! 20,000 files and 200 MiB, compared by checksum and metadata, with figures.

use std::{sync::Arc, time::Instant};

use sandbox_tests::{consumer::Sandbox, stage::Stage, tree};

pub(crate) fn tests() -> crate::Tests {
    crate::tests![twenty_thousand_files];
    crate::Tests {
        alone: true,
        ..tests()
    }
}

/// Deterministic: 200 directories of 100 files, 200 MiB in all, half of it
/// repetitive text, half incompressible; modes, times, links.
const MAKE_TREE: &str = r#"
use strict;
srand 42;
my $noise = pack "L*", map { int rand 4294967296 } 1 .. 65536;
my $text = join "", map { "line $_: the quick brown fox jumps over the lazy dog\n" } 1 .. 2000;
for my $dir (0 .. 199) {
    my $path = sprintf "tree/%02d/%03d", $dir % 20, $dir;
    mkdir "tree"; mkdir sprintf "tree/%02d", $dir % 20; mkdir $path or die $!;
    for my $file (0 .. 99) {
        my $n = 100 * $dir + $file;
        my $size = 980 + ($n * 7919) % 19028;
        my $source = $n % 2 ? $noise : $text;
        open my $out, ">", "$path/file-$file" or die $!;
        binmode $out;
        print $out "$n\n", substr $source, ($n * 104729) % (length($source) - $size), $size;
        close $out or die $!;
        chmod 0600 | ($n % 64), "$path/file-$file";
        utime 1, 1500000000 + $n, "$path/file-$file";
    }
    symlink "file-$dir", "$path/link" or die $! if $dir % 10 == 0;
    link "$path/file-0", "$path/hard" or die $! if $dir % 10 == 1;
    chmod 0711, $path if $dir % 3 == 0;
}
system "find tree -type l -exec touch -h -d \@1400000000 {} + ; find tree -type d -exec touch -d \@1300000000 {} +";
"#;

/// Peak resident memory of the agent in KiB; it is the parent of what it runs.
async fn agent_peak_kib(sandbox: &Sandbox) -> u64 {
    let command = "sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status";
    sandbox.run(command).await.trim().parse().unwrap()
}

async fn twenty_thousand_files(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("twenty-thousand-files");
    sandbox.write("/tmp/make-tree.pl", MAKE_TREE).await;
    sandbox.run("perl /tmp/make-tree.pl").await;
    let size = sandbox
        .run("find tree -type f -printf '%s\n' | awk '{n++; s+=$1} END {print n, s}'")
        .await;
    let (files, bytes) = size.trim().split_once(' ').unwrap();
    let (files, bytes): (u64, u64) = (files.parse().unwrap(), bytes.parse().unwrap());
    assert!(
        files >= 20_000 && bytes >= 200 << 20,
        "{files} files, {bytes} bytes"
    );
    let before = tree::digest(&sandbox, "/workspace/tree").await;
    let idle = agent_peak_kib(&sandbox).await;

    let start = Instant::now();
    let backup = sandbox.backup("/workspace/tree").await;
    let create = start.elapsed();
    let peak_of_create = agent_peak_kib(&sandbox).await;

    sandbox.run("rm -r tree").await;
    let start = Instant::now();
    let restored = sandbox.restore_backup(&backup).await.unwrap();
    let restore = start.elapsed();
    let peak_of_both = agent_peak_kib(&sandbox).await;
    assert_eq!(tree::digest(&sandbox, "/workspace/tree").await, before);

    let metadata = stage.bucket.metadata(&backup.id).await;
    println!(
        "{files} files, {bytes} bytes, archive {} bytes\n\
         create {:.2} s, restore {:.2} s ({})\n\
         agent's peak memory: idle {idle} KiB, after create {peak_of_create} KiB, after restore \
         {peak_of_both} KiB",
        metadata.size_bytes,
        create.as_secs_f64(),
        restore.as_secs_f64(),
        restored.strategy,
    );
    assert!(
        peak_of_both < 256 << 10,
        "the agent took {peak_of_both} KiB"
    );
}
