//! Reading ahead of those who read in sequence.

use std::ops::Range;

use super::cache::CHUNK;

/// Readers that are told apart.
const STREAMS: usize = 16;
/// The first window, in chunks.
const FIRST: u32 = 4;
/// The largest window, in chunks: several times what is under way at a time on
/// a fast connection.
const LARGEST: u32 = ((16 << 20) / CHUNK) as u32;

/// Who reads where.
#[derive(Default)]
pub(super) struct Streams {
    /// Most recently seen last.
    streams: Vec<Stream>,
}

struct Stream {
    /// The chunk after the last that was read.
    next: u32,
    /// The chunk after the last that was read ahead.
    ahead: u32,
    window: u32,
}

impl Streams {
    /// Notes a read, and gives the chunks to read ahead now: none for who
    /// jumps about, and for who reads in sequence twice as many every time.
    pub(super) fn note(&mut self, chunks: &Range<u32>) -> Range<u32> {
        let follows = |stream: &Stream| {
            // The last chunk is often asked for again, for its second half.
            chunks.start + 1 >= stream.next && chunks.start <= stream.next.max(stream.ahead)
        };
        let Some(index) = self.streams.iter().rposition(follows) else {
            if self.streams.len() == STREAMS {
                self.streams.remove(0);
            }
            self.streams.push(Stream {
                next: chunks.end,
                ahead: chunks.end,
                window: 0,
            });
            return 0..0;
        };
        let mut stream = self.streams.remove(index);
        let moved = chunks.end > stream.next;
        stream.next = stream.next.max(chunks.end);
        stream.ahead = stream.ahead.max(stream.next);
        let mut more = 0..0;
        // As soon as half of what is ahead has been used up.
        if moved && stream.ahead - stream.next <= stream.window / 2 {
            stream.window = (stream.window * 2).clamp(FIRST, LARGEST);
            let end = stream.next.saturating_add(stream.window);
            more = stream.ahead..end.max(stream.ahead);
            stream.ahead = more.end;
        }
        self.streams.push(stream);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_reads_grow_a_window_without_a_gap() {
        let mut streams = Streams::default();
        assert!(streams.note(&(10..11)).is_empty());
        let mut ahead = 11;
        let mut largest = 0;
        for chunk in 11..1000 {
            let more = streams.note(&(chunk..chunk + 1));
            if !more.is_empty() {
                assert_eq!(more.start, ahead.max(chunk + 1));
                ahead = more.end;
            }
            assert!(ahead > chunk, "read ahead of chunk {chunk}");
            largest = largest.max(ahead - chunk - 1);
        }
        assert!(largest <= LARGEST && largest > LARGEST / 2);
    }

    #[test]
    fn random_reads_and_repeated_ones_read_nothing_ahead() {
        let mut streams = Streams::default();
        for chunk in [500, 3, 900, 40, 700, 40, 3, 500] {
            assert!(streams.note(&(chunk..chunk + 1)).is_empty(), "{chunk}");
        }
    }

    #[test]
    fn two_readers_in_sequence_are_told_apart() {
        let mut streams = Streams::default();
        let mut ahead = [0; 2];
        for step in 0..50 {
            for (reader, start) in [(0, 0), (1, 10_000)] {
                let chunk = start + step;
                let more = streams.note(&(chunk..chunk + 1));
                ahead[reader] = ahead[reader].max(more.end);
            }
        }
        assert!(ahead[0] > 50 && ahead[0] < 200);
        assert!(ahead[1] > 10_050 && ahead[1] < 10_200);
    }
}
