//! The scheduler: turns that wait for a worker, and workers that wait for a turn.
//!
//! 1. A turn that a worker makes (its service sends to an idle one) goes into the worker's own queue; any other
//!    thread puts it into the injector. Workers take from their own queue first, and from the injector now and
//!    then even if theirs is not empty.
//! 2. What waits in a worker's queue may be stolen by a worker without work, but for the last entry: its worker will
//!    most likely end its message in a moment and find it in its cache. That one is *reserved*; it is stolen when the
//!    worker has been at the same message for two looks. A worker that never runs out of work looks as well, once a
//!    millisecond at one other, so that nothing waits behind a long message for ever.
//! 3. Whoever makes a turn visible wakes a worker if none is looking ([`sleepers`]). A worker without work looks
//!    everywhere for [`SPIN`], then *watches*, asleep between two looks, as long as others do something, and then
//!    parks. An idle node sleeps entirely.
//! 4. A worker stays with a mailbox for a bounded slice (`context::run_slice`), then the turn goes to the back; into
//!    the injector, if somebody could help.

pub mod local;
pub mod sleepers;

use super::context::Turn;
use super::monitor::WorkerMonitor;
use super::reclaim;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::ticks;
use crossbeam_queue::SegQueue;
use local::Local;
use sleepers::{Bed, News, Sleepers};
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a worker looks for work before it sleeps. Longer finds more and burns more; a sleep and its wake-up
/// cost about this much.
const SPIN: Duration = Duration::from_micros(10);
/// Sleep between the first two looks of the watcher, and between later ones: where timers are dear, a sleep
/// costs 15 µs of CPU, and what has gone well for a while will most likely go on.
const FIRST_MOMENT: Duration = Duration::from_micros(50);
const LAST_MOMENT: Duration = Duration::from_micros(400);
/// The watcher parks after so many looks that saw nobody do anything.
const QUIET_LOOKS: u32 = 2;
/// Every so many turns the injector comes before the own queue.
const INJECTOR_FIRST: u32 = 8;
/// Every so many turns a worker sees whether it is time to look at another.
const LOOK_AFTER: u32 = 64;
/// Time between two looks of a worker that has work of its own.
const LOOK_PERIOD: Duration = Duration::from_millis(1);

/// A worker's part of the scheduler.
pub struct Worker {
    index: usize,
    local: Local<Turn>,
    bed: ThreadBed,
    /// What the worker is at. Its version moves with every message.
    pub monitor: WorkerMonitor,
}

/// Sleeping in the manner of the standard library.
struct ThreadBed(OnceLock<std::thread::Thread>);

impl Bed for ThreadBed {
    fn sleep(&self, limit: Option<Duration>) {
        match limit {
            Some(limit) => std::thread::park_timeout(limit),
            None => std::thread::park(),
        }
    }

    fn wake(&self) {
        // Unset: the thread has not begun, and will look before it sleeps.
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

impl Bed for Worker {
    fn sleep(&self, limit: Option<Duration>) {
        self.bed.sleep(limit);
        // Woken by `rouse`, it goes on sleeping.
        if limit.is_none() {
            reclaim::give_up_if_asked();
        }
    }

    fn wake(&self) {
        self.bed.wake();
    }
}

thread_local! {
    /// The worker that this thread is.
    static WORKER: Cell<Option<&'static Worker>> = const { Cell::new(None) };
    /// Turns that this worker took, for [`INJECTOR_FIRST`] and [`LOOK_AFTER`].
    static TAKEN: Cell<u32> = const { Cell::new(0) };
    /// The last look of a worker that has work of its own.
    static LOOKOUT: Cell<Lookout> = const {
        Cell::new(Lookout {
            at: 0,
            index: 0,
            look: Look {
                reserved: 0,
                progress: 0,
            },
        })
    };
}

/// See the file comment.
pub struct Scheduler {
    injector: SegQueue<Turn>,
    workers: OnceLock<Vec<Worker>>,
    sleepers: Sleepers,
    closed: AtomicBool,
}

/// What one worker saw of another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    /// Which turn the worker comes to next; 0 when none.
    reserved: usize,
    progress: i32,
}

/// Whom a worker looked at, when, and what it saw.
#[derive(Clone, Copy)]
struct Lookout {
    at: u64,
    index: usize,
    look: Look,
}

impl Look {
    fn at(worker: &Worker) -> Look {
        Look {
            reserved: worker.local.peek(),
            progress: worker.monitor.version(),
        }
    }
}

impl Scheduler {
    pub const fn new() -> Self {
        Scheduler {
            injector: SegQueue::new(),
            workers: OnceLock::new(),
            sleepers: Sleepers::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Makes room for `count` workers; only the first call does.
    pub fn set_workers(&self, count: usize) -> &[Worker] {
        self.workers.get_or_init(|| {
            (0..count)
                .map(|index| Worker {
                    index,
                    local: Local::new(),
                    bed: ThreadBed(OnceLock::new()),
                    monitor: WorkerMonitor::new(),
                })
                .collect()
        })
    }

    /// The workers; none under somebody else's start.
    pub fn workers(&self) -> &[Worker] {
        self.workers.get().map_or(&[], Vec::as_slice)
    }

    /// Makes the calling thread worker `index`, for good.
    pub fn enter(&'static self, index: usize) -> &'static Worker {
        let worker = &self.workers()[index];
        let _ = worker.bed.0.set(std::thread::current());
        WORKER.set(Some(worker));
        worker
    }

    /// Gives a turn to whoever has time for it.
    pub fn schedule(&self, turn: Turn) {
        let news = match WORKER.get() {
            None => {
                self.injector.push(turn);
                News::Work
            }
            Some(worker) => match worker.local.push(turn) {
                Ok(1) => News::Reserved,
                Ok(_) => News::Work,
                Err(turn) => {
                    self.injector.push(turn);
                    News::Work
                }
            },
        };
        self.sleepers.announce(news, self.workers());
    }

    /// A turn that is at hand: of the calling worker, or any that nobody has taken yet.
    pub fn take(&self) -> Option<Turn> {
        let Some(worker) = WORKER.get() else {
            return self.injector.pop();
        };
        let count = TAKEN.get().wrapping_add(1);
        TAKEN.set(count);
        if count.is_multiple_of(INJECTOR_FIRST)
            && let Some(turn) = self.injector.pop()
        {
            return Some(turn);
        }
        if count.is_multiple_of(LOOK_AFTER)
            && let Some(turn) = self.relieve(worker)
        {
            return Some(turn);
        }
        worker.local.pop().or_else(|| self.injector.pop())
    }

    /// Takes a turn from a worker that is at the same message as at the last look, a millisecond ago at least.
    fn relieve(&self, me: &Worker) -> Option<Turn> {
        let last = LOOKOUT.get();
        let at = ticks::now();
        if at.wrapping_sub(last.at) < ticks::from_duration(LOOK_PERIOD) {
            return None;
        }
        let workers = self.workers();
        let stuck = last.look.reserved != 0 && Look::at(&workers[last.index]) == last.look;
        let turn = stuck
            .then(|| workers[last.index].local.pop_if(last.look.reserved))
            .flatten();
        let index = if stuck {
            last.index
        } else {
            let next = (last.index + 1) % workers.len();
            if next == me.index {
                (next + 1) % workers.len()
            } else {
                next
            }
        };
        let look = Look::at(&workers[index]);
        LOOKOUT.set(Lookout { at, index, look });
        turn
    }

    /// The next turn at hand, with `turn` behind it; `turn` itself if there is no other.
    pub fn turn_over(&self, turn: Turn) -> Turn {
        match self.take() {
            None => turn,
            Some(next) => {
                // Two mailboxes with more in them than a slice: a worker that has none may take one.
                if self.sleepers.somebody() {
                    self.injector.push(turn);
                    self.sleepers.announce(News::Work, self.workers());
                } else {
                    self.schedule(turn);
                }
                next
            }
        }
    }

    /// Has every worker that sleeps see whether it is asked for memory.
    pub fn rouse(&self) {
        self.workers().iter().for_each(Bed::wake);
    }

    /// Waits for a turn; `None` once the node ends, whatever still waits.
    pub fn wait(&self, worker: &Worker) -> Option<Turn> {
        let mut seeking = self.sleepers.begin();
        loop {
            if self.is_closed() {
                return None;
            }
            if let Some(turn) = self.take() {
                if seeking {
                    self.stop_seeking();
                }
                return Some(turn);
            }
            if seeking && let Some(turn) = self.seek(worker) {
                self.stop_seeking();
                return Some(turn);
            }
            let anything = || self.is_closed() || self.news().is_some();
            self.sleepers.park(worker.index, worker, seeking, anything);
            seeking = true;
        }
    }

    /// Looks everywhere: awake for a while, then now and then as long as others do something.
    fn seek(&self, me: &Worker) -> Option<Turn> {
        let mut looks = self.look();
        let spin = ticks::from_duration(SPIN);
        let start = ticks::now();
        while ticks::now().wrapping_sub(start) < spin {
            if let Some(turn) = self.steal(me) {
                return Some(turn);
            }
            std::hint::spin_loop();
        }
        let mut moment = FIRST_MOMENT;
        let mut quiet = 0;
        loop {
            if let Some(turn) = self.steal_stuck(&looks) {
                return Some(turn);
            }
            let now = self.look();
            let moved = now != looks || now.iter().any(|look| look.reserved != 0);
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet == QUIET_LOOKS || self.is_closed() {
                return None;
            }
            looks = now;
            let work = || self.is_closed() || self.news() == Some(News::Work);
            self.sleepers.watch(me.index, me, moment, work);
            moment = (moment * 2).min(LAST_MOMENT);
            if let Some(turn) = self.steal(me) {
                return Some(turn);
            }
        }
    }

    fn look(&self) -> Vec<Look> {
        self.workers().iter().map(Look::at).collect()
    }

    /// Takes from the injector, or half of what a worker has more than one of.
    fn steal(&self, me: &Worker) -> Option<Turn> {
        if let Some(turn) = self.injector.pop() {
            return Some(turn);
        }
        let workers = self.workers();
        let others = (1..workers.len()).map(|i| &workers[(me.index + i) % workers.len()]);
        for other in others {
            if other.local.len() > 1
                && let Some(turn) = other.local.steal_into(&me.local)
            {
                return Some(turn);
            }
        }
        None
    }

    /// Takes what a worker reserved for itself and does not get to.
    fn steal_stuck(&self, looks: &[Look]) -> Option<Turn> {
        for (worker, look) in self.workers().iter().zip(looks) {
            if look.reserved != 0
                && look.progress == worker.monitor.version()
                && let Some(turn) = worker.local.pop_if(look.reserved)
            {
                return Some(turn);
            }
        }
        None
    }

    /// The searcher goes to work; another takes its place if there is more.
    fn stop_seeking(&self) {
        self.sleepers.end();
        if let Some(news) = self.news() {
            self.sleepers.announce(news, self.workers());
        }
    }

    /// What waits anywhere.
    fn news(&self) -> Option<News> {
        if !self.injector.is_empty() {
            return Some(News::Work);
        }
        let most = self.workers().iter().map(|worker| worker.local.len()).max();
        match most.unwrap_or(0) {
            0 => None,
            1 => Some(News::Reserved),
            _ => Some(News::Work),
        }
    }

    /// A turn from wherever one waits, once there are no workers any more.
    pub fn take_left(&self) -> Option<Turn> {
        let left = || self.workers().iter().find_map(|worker| worker.local.pop());
        self.injector.pop().or_else(left)
    }

    /// True once [`Scheduler::close`] was called: workers end after their current slice.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Lets every worker end.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.sleepers.close(self.workers());
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

/// Messages in one batch of a foreign worker loop when `left` remain behind the first (core.md §6.3(2)).
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
    }
}
