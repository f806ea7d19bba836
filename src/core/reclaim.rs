//! Gives memory back to the system when much of it was freed.
//!
//! The allocator keeps freed pages for a while and gives them back bit by bit, but only while threads allocate
//! and free in the same arena. After a mass exit nobody does. So the monitor thread looks now and then, and not at
//! all once nothing runs and nothing is left to give back.

use crate::sys::alloc::arenas;
use crate::sys::tally;
use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Time between two looks at a node that does something, and after a look that saw much.
const PERIOD: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(2);
/// Freed pages are much from here on, and as part of what is in use.
const MUCH: usize = 1 << 20;
const PART: usize = 16;
/// Looks that follow the last activity: until the allocator's own time for freed pages has passed.
const LOOKS_AFTER: u32 = 3;

/// What there is to know of an allocator, and to do.
pub trait Heap {
    /// Bytes of pages that are in use.
    fn active(&self) -> usize;
    /// Bytes of pages that were freed and not given back.
    fn dirty(&self) -> usize;
    /// Whether the allocator may be told when to give pages back: whoever set it up had no wish.
    fn may_purge(&self) -> bool;
    /// Gives back what has been free for as long as the allocator's settings say.
    fn decay(&self);
    /// Gives back everything that is free.
    fn purge(&self);
    /// Has threads give up what they keep for themselves: each free block of theirs holds the pages around it.
    fn empty_caches(&self);
}

/// Grows when threads are to give up what they keep.
static ROUND: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

/// Asks threads to give up what they keep.
pub fn ask_threads() {
    ROUND.fetch_add(1, Relaxed);
}

/// For a thread that has nothing to do: gives up what it keeps if it is asked to.
#[inline]
pub fn give_up_if_asked() {
    let round = ROUND.load(Relaxed);
    if SEEN.replace(round) != round {
        arenas::flush_thread();
        tally::mine().give_up_pages();
    }
}

/// What the looks remember.
pub struct Reclaim {
    activity: u64,
    /// Looks since something happened.
    quiet: u32,
    /// Whether the last look saw much.
    much: bool,
}

impl Reclaim {
    pub fn new() -> Self {
        Reclaim {
            activity: 0,
            quiet: LOOKS_AFTER,
            much: false,
        }
    }

    /// A look. `activity` is any number that changes when the node does something. The answer is when to look
    /// again; `None` when that can wait until something happens.
    ///
    /// What a busy node frees it needs again in a moment, so only what is free at two looks in a row goes at once.
    pub fn look(&mut self, activity: u64, heap: &impl Heap) -> Option<Duration> {
        self.quiet = match activity == self.activity {
            true => self.quiet.saturating_add(1),
            false => 0,
        };
        self.activity = activity;
        if self.quiet > LOOKS_AFTER && !self.much {
            return None;
        }
        heap.decay();
        let before = self.much;
        self.much = heap.dirty() > MUCH.max(heap.active() / PART) && heap.may_purge();
        if self.much && !before {
            heap.empty_caches();
        } else if self.much {
            heap.purge();
            self.much = false;
        }
        Some(if self.much { SOON } else { PERIOD })
    }
}

impl Default for Reclaim {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        active: Cell<usize>,
        dirty: Cell<usize>,
        fixed: bool,
        caches: Cell<u32>,
        decays: Cell<u32>,
        purges: Cell<u32>,
    }

    impl Heap for Fake {
        fn active(&self) -> usize {
            self.active.get()
        }
        fn dirty(&self) -> usize {
            self.dirty.get()
        }
        fn may_purge(&self) -> bool {
            !self.fixed
        }
        fn decay(&self) {
            self.decays.set(self.decays.get() + 1);
        }
        fn empty_caches(&self) {
            self.caches.set(self.caches.get() + 1);
        }
        fn purge(&self) {
            self.purges.set(self.purges.get() + 1);
            self.dirty.set(0);
        }
    }

    #[test]
    fn what_is_free_at_two_looks_goes() {
        let (mut reclaim, heap) = (Reclaim::new(), Fake::default());
        heap.dirty.set(1 << 30);
        assert_eq!(reclaim.look(1, &heap), Some(SOON));
        assert_eq!((heap.purges.get(), heap.caches.get()), (0, 1));
        assert_eq!(reclaim.look(2, &heap), Some(PERIOD));
        assert_eq!((heap.purges.get(), heap.dirty.get()), (1, 0));
        assert_eq!(heap.caches.get(), 1);
        // The next heap of free pages has two looks as well.
        heap.dirty.set(1 << 30);
        assert_eq!(reclaim.look(3, &heap), Some(SOON));
        heap.dirty.set(0);
        assert_eq!(reclaim.look(4, &heap), Some(PERIOD));
        assert_eq!(heap.purges.get(), 1);
    }

    #[test]
    fn little_is_left_to_the_allocator() {
        let (mut reclaim, heap) = (Reclaim::new(), Fake::default());
        heap.dirty.set(MUCH);
        assert_eq!(reclaim.look(1, &heap), Some(PERIOD));
        heap.active.set(100 * MUCH);
        heap.dirty.set(6 * MUCH);
        assert_eq!(reclaim.look(2, &heap), Some(PERIOD));
        assert_eq!((heap.purges.get(), heap.decays.get()), (0, 2));
    }

    #[test]
    fn settings_win() {
        let heap = Fake {
            fixed: true,
            ..Fake::default()
        };
        let mut reclaim = Reclaim::new();
        heap.dirty.set(1 << 30);
        for activity in 1..5 {
            assert_eq!(reclaim.look(activity, &heap), Some(PERIOD));
        }
        assert_eq!((heap.purges.get(), heap.decays.get()), (0, 4));
    }

    #[test]
    fn nothing_is_looked_at_when_nothing_happens() {
        let (mut reclaim, heap) = (Reclaim::new(), Fake::default());
        assert_eq!(reclaim.look(0, &heap), None);
        assert_eq!(reclaim.look(1, &heap), Some(PERIOD));
        for _ in 0..LOOKS_AFTER {
            assert_eq!(reclaim.look(1, &heap), Some(PERIOD));
        }
        assert_eq!(heap.decays.get(), 1 + LOOKS_AFTER);
        assert_eq!(reclaim.look(1, &heap), None);
        assert_eq!(heap.decays.get(), 1 + LOOKS_AFTER);
        assert_eq!(reclaim.look(2, &heap), Some(PERIOD));
    }
}
