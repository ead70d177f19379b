//! Makes an archive of a directory, for measuring:
//! `archive [--format zstd] [--level 3] [--threads 2] [--block-size 131072] [--pack-tails] DIR OUTPUT`

use std::{env, error::Error, fs::File, path::Path, time::Instant};

use sandbox_agent::scan::{self, Control, Scanned, Selection, Source};
use squashfs::{
    format::compressor::Compressor,
    writer::{self, FileSink, Options},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut paths = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--format" => {
                options.compressor = match value()?.as_str() {
                    "lz4" => Compressor::Lz4,
                    "zstd" => Compressor::Zstd,
                    "gzip" => Compressor::Gzip,
                    other => return Err(format!("no format {other}").into()),
                }
            }
            "--level" => options.level = Some(value()?.parse()?),
            "--threads" => options.threads = Some(value()?.parse()?),
            "--block-size" => options.block_size = value()?.parse()?,
            "--pack-tails" => options.pack_tails = true,
            _ => paths.push(argument),
        }
    }
    let [directory, output] = paths.as_slice() else {
        return Err("one directory and one output, please".into());
    };
    let started = Instant::now();
    let control = Control::default();
    let source = Source::open(Path::new(directory))?;
    let Scanned { tree, .. } = scan::scan(source, &Selection::default(), &mut (), &control)?;
    let scanned = started.elapsed();
    let mut sink = FileSink::new(File::create(output)?);
    let summary = writer::write(&tree, &options, &control.writer, &mut sink)?;
    println!(
        "{:?}: scanned in {scanned:.2?}, done in {:.2?}; {} bytes, {} duplicates, {} changed",
        summary.counts,
        started.elapsed(),
        summary.size,
        summary.duplicates,
        summary.report.changes.count(),
    );
    Ok(())
}
