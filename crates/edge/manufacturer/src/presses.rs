//! The threads that make the keys and certificates of a batch.
//!
//! 1. There are as many as cores, for as long as the batch runs.
//! 2. Each takes a small piece of the work at a time, so that all end at about the same time.
//! 3. They step back behind whoever else wants a core: above all the store's one writer, which
//!    would otherwise get a share among many, while everything waits for it.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::factory::FactoryError;

/// Devices of one piece of work.
const PIECE: usize = 125;

/// How far the threads step back, of at most 19. An idle core is theirs all the same.
const STEP_BACK: i32 = 5;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when the last clone is gone and all work is done.
#[derive(Debug, Clone)]
pub(crate) struct Presses {
    jobs: Sender<Job>,
}

impl Presses {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`FactoryError::Broken`] when the system gives none.
    pub(crate) fn start() -> Result<Self, FactoryError> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..cores {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name("press".to_owned())
                .spawn(move || {
                    // Where the system does not let it, the batch takes a little longer.
                    let _as_before = rustix::process::setpriority_process(None, STEP_BACK);
                    work(&queue);
                })
                .map_err(|_| FactoryError::Broken)?;
        }
        Ok(Self { jobs })
    }

    /// Does `each` to all of `list`, on all threads; the results are in the order of the list.
    ///
    /// # Errors
    /// The first that `each` gave; [`FactoryError::Broken`] when it panicked.
    pub(crate) async fn map<T, R>(
        &self,
        list: Vec<T>,
        each: impl Fn(T) -> Result<R, FactoryError> + Clone + Send + 'static,
    ) -> Result<Vec<R>, FactoryError>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let mut results = Vec::with_capacity(list.len());
        let mut answers = Vec::with_capacity(list.len().div_ceil(PIECE));
        let mut list = list.into_iter();
        loop {
            let piece: Vec<T> = list.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            let (reply, answer) = oneshot::channel();
            let each = each.clone();
            let job = Box::new(move || {
                let done: Result<Vec<R>, _> = piece.into_iter().map(each).collect();
                // Nobody waits for the rest of a batch that failed.
                let _gone = reply.send(done);
            });
            self.jobs.send(job).map_err(|_| FactoryError::Broken)?;
            answers.push(answer);
        }
        for answer in answers {
            results.extend(answer.await.map_err(|_| FactoryError::Broken)??);
        }
        Ok(results)
    }
}

/// One thread. A job that panics is the end of its thread and of its batch, not of the process.
fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_are_in_the_order_of_the_list() {
        let presses = Presses::start().unwrap();
        let list: Vec<u32> = (0..1000).collect();
        let doubled = presses.map(list, |number| Ok(2 * number)).await.unwrap();
        assert!(doubled.into_iter().eq((0..1000).map(|number| 2 * number)));
    }

    #[tokio::test]
    async fn the_first_error_is_the_answer() {
        let presses = Presses::start().unwrap();
        let list: Vec<u32> = (0..1000).collect();
        let refuse = |number| match number {
            700 => Err(FactoryError::Broken),
            other => Ok(other),
        };
        assert!(presses.map(list, refuse).await.is_err());
    }
}
