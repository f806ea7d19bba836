//! The run queue: mailboxes that have something to do, and workers that wait for them.
//!
//! Whoever schedules a mailbox wakes a sleeping worker at once (upstream's workers wake on a tick).

use super::mailbox::Mailbox;
use crate::sync::{Arc, Condvar, Mutex};
use std::collections::VecDeque;

/// First in, first out; safe for any number of threads on either end.
pub struct RunQueue {
    inner: Mutex<Inner>,
    work: Condvar,
}

struct Inner {
    queue: VecDeque<Arc<Mailbox>>,
    sleeping: usize,
    closed: bool,
}

impl RunQueue {
    pub const fn new() -> Self {
        RunQueue {
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                sleeping: 0,
                closed: false,
            }),
            work: Condvar::new(),
        }
    }

    /// Puts a scheduled mailbox at the tail.
    pub fn push(&self, mailbox: Arc<Mailbox>) {
        let mut inner = self.inner.lock();
        inner.queue.push_back(mailbox);
        let wake = inner.sleeping > 0;
        drop(inner);
        if wake {
            self.work.notify_one();
        }
    }

    /// The mailbox at the head, if any.
    pub fn pop(&self) -> Option<Arc<Mailbox>> {
        self.inner.lock().queue.pop_front()
    }

    /// Waits for a mailbox; `None` once the queue is closed, whatever is still in it.
    pub fn wait(&self) -> Option<Arc<Mailbox>> {
        let mut inner = self.inner.lock();
        loop {
            if inner.closed {
                return None;
            }
            if let Some(mailbox) = inner.queue.pop_front() {
                return Some(mailbox);
            }
            inner.sleeping += 1;
            self.work.wait(&mut inner);
            inner.sleeping -= 1;
        }
    }

    /// True once [`RunQueue::close`] was called: workers end after their current batch.
    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Lets every worker end.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.work.notify_all();
    }
}

impl Default for RunQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// How much worker `index` takes from one mailbox before it turns to the next (core.md §6.3).
pub fn worker_weight(index: usize) -> i32 {
    match index {
        0..4 => -1,
        4..8 => 0,
        8..16 => 1,
        16..24 => 2,
        24..32 => 3,
        _ => 0,
    }
}

/// Messages in one batch when `left` remain behind the first (core.md §6.3(2)).
pub fn batch_size(weight: i32, left: usize) -> usize {
    match u32::try_from(weight) {
        Ok(shift) => left.checked_shr(shift).unwrap_or(0).max(1),
        Err(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_the_weight() {
        assert_eq!(batch_size(-1, 100), 1);
        assert_eq!(batch_size(0, 100), 100);
        assert_eq!(batch_size(0, 0), 1);
        assert_eq!(batch_size(3, 100), 12);
        assert_eq!(batch_size(3, 7), 1);
        let weights: Vec<i32> = [0, 3, 4, 7, 8, 15, 16, 23, 24, 31, 32, 99]
            .into_iter()
            .map(worker_weight)
            .collect();
        assert_eq!(weights, [-1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 0, 0]);
    }

    #[test]
    fn a_push_wakes_a_sleeper_and_close_ends_all() {
        let queue = RunQueue::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut got = 0;
                        while queue.wait().is_some() {
                            got += 1;
                        }
                        got
                    })
                })
                .collect();
            for handle in 0..1000 {
                queue.push(Arc::new(Mailbox::new(handle)));
            }
            while !queue.inner.lock().queue.is_empty() {
                std::thread::yield_now();
            }
            queue.close();
            let total: usize = workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum();
            assert_eq!(total, 1000);
        });
    }
}
