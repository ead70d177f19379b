//! File content that compresses as the real thing does: source text, web
//! pages and programs, made from a seed.
//!
//! What matters to an archiver is how much repeats, over which distance, and
//! how much a compressor can do about it. The same seed gives the same bytes
//! on every machine.

use std::io::{self, Write};

use fastrand::Rng;

/// Distinct words of all text.
const WORDS: usize = 6000;
/// Recurring sequences of bytes in programs.
const INSTRUCTIONS: usize = 3000;
/// Lines that the next one may repeat.
const NEAR: usize = 48;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Source code.
    Source,
    /// Pages of generated documentation.
    Page,
    /// Programs and libraries.
    Program,
    /// What no compressor can shorten.
    Random,
}

/// Writes content of every kind.
pub(super) struct Content {
    words: Vec<String>,
    instructions: Vec<Vec<u8>>,
}

impl Content {
    pub(super) fn new() -> Self {
        let mut rng = Rng::with_seed(0x736e_6170);
        Self {
            words: (0..WORDS).map(|_| word(&mut rng)).collect(),
            instructions: (0..INSTRUCTIONS)
                .map(|_| (0..rng.usize(2..9)).map(|_| rng.u8(..)).collect())
                .collect(),
        }
    }

    /// A word, those at the front of the list far more often.
    pub(super) fn word(&self, rng: &mut Rng) -> &str {
        &self.words[skewed(rng, self.words.len())]
    }

    /// Writes exactly `size` bytes that depend on nothing but the arguments.
    pub(super) fn write(
        &self,
        kind: Kind,
        seed: u64,
        size: u64,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let mut rng = Rng::with_seed(seed);
        let mut left = size;
        let mut chunk = Vec::new();
        let mut near = Vec::new();
        while left > 0 {
            chunk.clear();
            match kind {
                Kind::Source => self.line(&mut rng, &mut near, &mut chunk),
                Kind::Page => self.element(&mut rng, &mut chunk),
                Kind::Program => self.section(&mut rng, &mut chunk),
                Kind::Random => {
                    chunk.resize(64 << 10, 0);
                    rng.fill(&mut chunk);
                }
            }
            let length = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            output.write_all(&chunk[..length])?;
            left -= length as u64;
        }
        Ok(())
    }

    /// A line of code; now and then much like one of those before it.
    fn line(&self, rng: &mut Rng, near: &mut Vec<Vec<u8>>, line: &mut Vec<u8>) {
        const JOINTS: [&str; 8] = [" ", ".", "(", ", ", " = ", " => ", "::", ": "];
        const ENDS: [&str; 6] = [";", ");", " {", "", ",", ":"];
        if !near.is_empty() && rng.u8(..) < 70 {
            line.extend_from_slice(&near[rng.usize(..near.len())]);
            line.truncate(line.len() - rng.usize(..line.len() / 2 + 1) - 1);
            line.extend_from_slice(self.word(rng).as_bytes());
        } else {
            line.resize(2 * skewed(rng, 9), b' ');
            for _ in 0..rng.usize(1..8) {
                line.extend_from_slice(self.word(rng).as_bytes());
                line.extend_from_slice(JOINTS[skewed(rng, JOINTS.len())].as_bytes());
            }
            if rng.u8(..) < 12 {
                line.extend_from_slice(format!("{:#x}", rng.u64(..)).as_bytes());
            }
        }
        line.extend_from_slice(ENDS[rng.usize(..ENDS.len())].as_bytes());
        line.push(b'\n');
        if near.len() < NEAR {
            near.push(line.clone());
        } else {
            near[rng.usize(..NEAR)].clone_from(line);
        }
    }

    /// An element of a page: much markup, some text.
    fn element(&self, rng: &mut Rng, element: &mut Vec<u8>) {
        let name = self.word(rng);
        let parent = self.word(rng);
        let head = format!(
            "<section id=\"method.{name}\" class=\"method\"><a class=\"src rightside\" \
             href=\"../src/{parent}/{name}.html#{line}\">Source</a><h4 class=\"code-header\">\
             pub fn <a href=\"#method.{name}\" class=\"fn\">{name}</a>(&amp;self) -&gt; \
             <a class=\"struct\" href=\"struct.{parent}.html\" title=\"struct {parent}\">{parent}</a>\
             </h4></section><div class=\"docblock\"><p>",
            line = rng.u16(1..2000),
        );
        element.extend_from_slice(head.as_bytes());
        for _ in 0..rng.usize(4..40) {
            element.extend_from_slice(self.word(rng).as_bytes());
            element.push(b' ');
        }
        element.extend_from_slice(b"</p>\n</div>");
    }

    /// A few kilobytes of code, tables, text, padding or packed data.
    fn section(&self, rng: &mut Rng, section: &mut Vec<u8>) {
        let length = rng.usize(1 << 10..16 << 10);
        match rng.u8(..100) {
            0..60 => {
                while section.len() < length {
                    let next = skewed(rng, self.instructions.len());
                    section.extend_from_slice(&self.instructions[next]);
                    // An operand.
                    if rng.u8(..) < 100 {
                        section.extend_from_slice(&rng.u16(..).to_le_bytes());
                    }
                }
            }
            60..75 => {
                let mut address = rng.u32(..);
                while section.len() < length {
                    address = address.wrapping_add(u32::from(rng.u8(..)) * 8);
                    section.extend_from_slice(&u64::from(address).to_le_bytes());
                }
            }
            75..88 => {
                while section.len() < length {
                    section.extend_from_slice(self.word(rng).as_bytes());
                    section.push(0);
                }
            }
            88..94 => section.resize(length, 0),
            _ => {
                section.resize(length, 0);
                rng.fill(section);
            }
        }
    }
}

/// An index below `length`, small ones far more often than large ones.
fn skewed(rng: &mut Rng, length: usize) -> usize {
    let uniform = rng.f64();
    (uniform * uniform * uniform * length as f64) as usize
}

fn word(rng: &mut Rng) -> String {
    const ONSETS: &[u8] = b"bcdfglmnprstvwk";
    const NUCLEI: &[u8] = b"aeiouy";
    let syllables = rng.usize(1..5);
    let mut word = String::new();
    for _ in 0..syllables {
        word.push(ONSETS[rng.usize(..ONSETS.len())].into());
        word.push(NUCLEI[rng.usize(..NUCLEI.len())].into());
        if rng.u8(..) < 100 {
            word.push(ONSETS[rng.usize(..ONSETS.len())].into());
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: Kind, seed: u64, size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Content::new().write(kind, seed, size, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn content_depends_on_kind_seed_and_size_alone() {
        for kind in [Kind::Source, Kind::Page, Kind::Program, Kind::Random] {
            let content = made(kind, 7, 100_000);
            assert_eq!(content.len(), 100_000);
            assert_eq!(content, made(kind, 7, 100_000));
            assert_ne!(content, made(kind, 8, 100_000));
            assert_eq!(content[..5000], made(kind, 7, 5000));
        }
    }
}
