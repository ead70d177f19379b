//! Worker threads, their queue, and results that are pending.

use std::{collections::VecDeque, sync::mpsc};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The jobs that no worker has taken yet. A job is a closure that is given the
/// worker that runs it.
pub(super) struct Queue<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
}

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

struct State<W> {
    jobs: VecDeque<Job<W>>,
    closed: bool,
}

/// A result that is being worked on.
pub(super) struct PendingResult<T>(mpsc::Receiver<T>);

/// The worker that had the job is gone.
#[derive(Debug)]
pub(super) struct WorkerGone;

impl<T> PendingResult<T> {
    /// Waits for the result.
    pub(super) fn wait(self) -> Result<T, WorkerGone> {
        self.0.recv().map_err(|_| WorkerGone)
    }

    /// The result, if it is there; otherwise what one came with.
    pub(super) fn poll(self) -> Result<Result<T, Self>, WorkerGone> {
        match self.0.try_recv() {
            Ok(result) => Ok(Ok(result)),
            Err(mpsc::TryRecvError::Empty) => Ok(Err(self)),
            Err(mpsc::TryRecvError::Disconnected) => Err(WorkerGone),
        }
    }
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Adds a job to the end of the queue.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> PendingResult<T> {
        self.add(job, VecDeque::push_back)
    }

    /// Adds a job to the front of the queue.
    pub(super) fn submit_first<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> PendingResult<T> {
        self.add(job, VecDeque::push_front)
    }

    fn add<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
        push: impl FnOnce(&mut VecDeque<Job<W>>, Job<W>),
    ) -> PendingResult<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let job = Box::new(move |worker: &mut W| {
            // Nobody waits any more when the whole operation has failed.
            let _ = sender.send(job(worker));
        });
        push(&mut self.lock().jobs, job);
        self.changed.notify_one();
        PendingResult(receiver)
    }

    /// Runs jobs until the queue is closed.
    pub(super) fn work(&self, worker: &mut W) {
        while let Some(job) = self.next() {
            job(worker);
        }
    }

    fn next(&self) -> Option<Job<W>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock()
    }

    /// Closes the queue when dropped, on success and failure alike, so that
    /// the workers end.
    pub(super) fn close_on_drop(&self) -> impl Drop + '_ {
        struct Close<'a, W>(&'a Queue<W>);
        impl<W> Drop for Close<'_, W> {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                state.closed = true;
                state.jobs.clear();
                drop(state);
                self.0.changed.notify_all();
            }
        }
        Close(self)
    }
}

/// Buffers that are used again, because mapping fresh memory for each block
/// costs more than filling it.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer that may have any length and content.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut free = self.0.lock();
        free.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        let mut free = self.0.lock();
        free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_dies_is_noticed() {
        let queue = Queue::<()>::new();
        std::thread::scope(|scope| {
            let close = queue.close_on_drop();
            let worker = scope.spawn(|| queue.work(&mut ()));
            let result: PendingResult<()> = queue.submit(|()| panic!("as the test wants"));
            assert!(result.wait().is_err());
            drop(close);
            assert!(worker.join().is_err());
        });
    }

    #[test]
    fn urgent_jobs_overtake() {
        let queue = Queue::<Vec<u32>>::new();
        let first = queue.submit(|done| done.push(1));
        let last = queue.submit_first(|done| done.push(2));
        let mut done = Vec::new();
        std::thread::scope(|scope| {
            let close = queue.close_on_drop();
            let (queue, done) = (&queue, &mut done);
            scope.spawn(move || queue.work(done));
            first.wait().unwrap();
            last.wait().unwrap();
            drop(close);
        });
        assert_eq!(done, [2, 1]);
    }
}
