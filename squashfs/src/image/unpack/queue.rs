//! Work that makes more work, for several threads.

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Tasks that wait; the newest is done first, so that few of them do.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    /// Threads that are at a task.
    busy: usize,
    failed: bool,
}

impl<T: Send> Queue<T> {
    pub(super) fn new(first: T) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: vec![first],
                busy: 0,
                failed: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }

    pub(super) fn push(&self, task: T) {
        self.lock().waiting.push(task);
        self.changed.notify_one();
    }

    /// Does all tasks, and those that they push, on so many threads, each with
    /// its own `local`. The first failure ends it.
    pub(super) fn run<L, E: Send>(
        &self,
        threads: usize,
        local: impl Fn() -> L + Sync,
        work: impl Fn(T, &Self, &mut L) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let failure = Mutex::new(None);
        let run = || {
            let mut local = local();
            while let Some(task) = self.next() {
                let _busy = Busy(self);
                if let Err(error) = work(task, self, &mut local) {
                    let mut failure = failure.lock();
                    failure.get_or_insert(error);
                    self.lock().failed = true;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(run);
            }
            run();
        });
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits for a task. `None` if there will be no more.
    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            if let Some(task) = state.waiting.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// A thread at a task, even if that panics.
struct Busy<'q, T: Send>(&'q Queue<T>);

impl<T: Send> Drop for Busy<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        if state.failed || state.busy == 0 && state.waiting.is_empty() {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn work_that_makes_work_is_done_to_its_end() {
        let done = AtomicU64::new(0);
        let result = Queue::new(16).run(
            4,
            || (),
            |depth, queue, ()| {
                done.fetch_add(1, Ordering::Relaxed);
                if depth > 0 {
                    queue.push(depth - 1);
                    queue.push(depth - 1);
                }
                Ok::<_, ()>(())
            },
        );
        assert_eq!(result, Ok(()));
        assert_eq!(done.into_inner(), (1 << 17) - 1);
    }

    #[test]
    fn the_first_failure_ends_it() {
        let result = Queue::new(0).run(
            2,
            || (),
            |number, queue, ()| {
                queue.push(number + 1);
                queue.push(number + 1);
                if number < 100 { Ok(()) } else { Err(number) }
            },
        );
        assert!(result.is_err());
    }
}
