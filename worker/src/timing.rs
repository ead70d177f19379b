//! What an answer over HTTP took, for its `Server-Timing` header (W3C, "Server
//! Timing"): how long the request waited for the container to come up, for the
//! agent in it, and for R2, and how long it took in all.
//!
//! Parts do not overlap: what is measured within another part is of that one,
//! and calls that run side by side count once. An operation that is streamed
//! goes on after its headers; the log has its durations.

use std::{cell::RefCell, rc::Rc};

use time::OffsetDateTime;

use crate::clock;

tokio::task_local! {
    /// Of the request that is answered.
    static TIMINGS: Rc<RefCell<Timings>>;
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The container, until its agent answers.
    Container,
    /// The agent's answers.
    Agent,
    /// R2.
    Store,
}

const PARTS: [(Part, &str); 3] = [
    (Part::Container, "container"),
    (Part::Agent, "agent"),
    (Part::Store, "store"),
];

#[derive(Clone, Debug, Default)]
struct Timings {
    /// Milliseconds, in the order of [`PARTS`]; none of what was not waited for.
    spent: [Option<i64>; PARTS.len()],
    /// What is being waited for, since when, and how many times at once.
    current: Option<(Part, OffsetDateTime, u32)>,
}

impl Timings {
    /// Whether this wait counts.
    fn begin(&mut self, part: Part, now: OffsetDateTime) -> bool {
        match &mut self.current {
            None => self.current = Some((part, now, 1)),
            Some((outer, _, times)) if *outer == part => *times += 1,
            Some(_) => return false,
        }
        true
    }

    /// Ends a wait that counts.
    fn end(&mut self, now: OffsetDateTime) {
        let Some((part, since, times)) = &mut self.current else {
            return;
        };
        *times -= 1;
        if *times == 0 {
            let spent = &mut self.spent[*part as usize];
            *spent = Some(spent.unwrap_or_default() + millis(now - *since));
            self.current = None;
        }
    }

    fn header(&self) -> Vec<String> {
        let spent = PARTS.iter().zip(self.spent);
        spent
            .filter_map(|((_, name), spent)| Some(metric(name, spent?)))
            .collect()
    }
}

fn millis(duration: time::Duration) -> i64 {
    i64::try_from(duration.whole_milliseconds()).unwrap_or(i64::MAX)
}

fn metric(name: &str, millis: i64) -> String {
    format!("{name};dur={millis}")
}

/// A wait that counts, for as long as it lasts.
struct Waiting(Rc<RefCell<Timings>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.borrow_mut().end(clock::now());
    }
}

/// Waits for `work` and notes how long that takes, if a request is measured.
pub async fn measure<T>(part: Part, work: impl Future<Output = T>) -> T {
    let timings = TIMINGS.try_with(Rc::clone).ok();
    let _waiting = timings
        .filter(|timings| timings.borrow_mut().begin(part, clock::now()))
        .map(Waiting);
    work.await
}

/// Answers a request, and gives what it waited for as the metrics of a
/// `Server-Timing` header.
pub async fn parts<T>(answer: impl Future<Output = T>) -> (T, Vec<String>) {
    let timings = Rc::default();
    let answered = TIMINGS.scope(Rc::clone(&timings), answer).await;
    let metrics = timings.borrow().header();
    (answered, metrics)
}

/// As [`parts`], with the time in all.
pub async fn parts_and_total<T>(answer: impl Future<Output = T>) -> (T, Vec<String>) {
    let began = clock::now();
    let (answered, mut metrics) = parts(answer).await;
    metrics.push(metric("total", millis(clock::now() - began)));
    (answered, metrics)
}

/// The response with more metrics.
pub fn with_metrics(
    response: worker::Response,
    metrics: &[String],
) -> worker::Result<worker::Response> {
    if metrics.is_empty() {
        return Ok(response);
    }
    // Those of an answer that was fetched cannot be changed.
    let headers = response.headers().clone();
    headers.append("server-timing", &metrics.join(", "))?;
    Ok(response.with_headers(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(milliseconds)
    }

    #[test]
    fn waits_add_up_and_what_is_within_another_is_not_counted_twice() {
        let mut timings = Timings::default();
        assert!(timings.begin(Part::Container, at(0)));
        assert!(!timings.begin(Part::Agent, at(10)));
        timings.end(at(50));
        assert!(timings.begin(Part::Agent, at(60)));
        timings.end(at(75));
        assert!(timings.begin(Part::Agent, at(80)));
        timings.end(at(85));
        assert_eq!(timings.header(), ["container;dur=50", "agent;dur=20"]);
    }

    #[test]
    fn calls_side_by_side_count_once() {
        let mut timings = Timings::default();
        assert!(timings.begin(Part::Store, at(0)));
        assert!(timings.begin(Part::Store, at(1)));
        timings.end(at(5));
        timings.end(at(9));
        assert_eq!(timings.header(), ["store;dur=9"]);
    }
}
