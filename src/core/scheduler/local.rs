//! A worker's own run queue: the worker pushes and pops, others steal. First in, first out, bounded.

#![allow(unsafe_code)]

use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Entries; a power of two.
const SIZE: usize = if cfg!(loom) { 2 } else { 256 };

/// What fits into an entry: something that is one pointer.
pub trait Parcel: Send + Sized {
    type Target;
    fn into_raw(self) -> *mut Self::Target;
    /// # Safety
    /// The pointer came from [`Parcel::into_raw`], and this is its only way back.
    unsafe fn from_raw(raw: *mut Self::Target) -> Self;
}

/// Things that belong to whoever took them out. What is in the queue when it is dropped is forgotten.
///
/// Invariant: the entries at `head..tail` are full. Only the owner moves `tail`; anybody moves `head`, by an
/// exchange that fails when somebody else was faster, after reading what it takes. The counters do not wrap in
/// the life of a process, so an exchange that succeeds proves that the entries were not overwritten.
#[repr(align(64))]
pub struct Local<P: Parcel> {
    /// Next entry to take.
    head: AtomicU64,
    /// Next entry to fill. The owner writes, thieves read.
    tail: AtomicU64,
    entries: [AtomicPtr<P::Target>; SIZE],
}

// SAFETY: the queue is a place for parcels, which go to any thread; pointers to their targets are not used.
unsafe impl<P: Parcel> Send for Local<P> {}
// SAFETY: as above.
unsafe impl<P: Parcel> Sync for Local<P> {}

impl<P: Parcel> Local<P> {
    pub fn new() -> Self {
        Local {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            entries: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
        }
    }

    fn entry(&self, at: u64) -> &AtomicPtr<P::Target> {
        &self.entries[at as usize % SIZE]
    }

    /// True when no entry is full, as far as the caller can know.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries are full, as far as the caller can know.
    pub fn len(&self) -> usize {
        let tail = self.tail.load(Ordering::Acquire);
        tail.saturating_sub(self.head.load(Ordering::Acquire)) as usize
    }

    /// The address of what would be taken next, for comparing; 0 when there is nothing.
    pub fn peek(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        if head == self.tail.load(Ordering::Acquire) {
            return 0;
        }
        self.entry(head).load(Ordering::Relaxed).addr()
    }

    /// Puts an entry at the tail; gives it back when there is no room. Otherwise the answer is how many
    /// there are now, at most. Only for the owner.
    pub fn push(&self, item: P) -> Result<usize, P> {
        let tail = self.tail.load(Ordering::Relaxed);
        // Acquire: who moved the head is done with the entry that we fill.
        let head = self.head.load(Ordering::Acquire);
        if tail - head >= SIZE as u64 {
            return Err(item);
        }
        self.entry(tail).store(item.into_raw(), Ordering::Relaxed);
        // Release: thieves that see the new tail see the entry.
        self.tail.store(tail + 1, Ordering::Release);
        Ok((tail + 1 - head) as usize)
    }

    /// Takes the entry at the head. Anybody may.
    pub fn pop(&self) -> Option<P> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head == self.tail.load(Ordering::Acquire) {
                return None;
            }
            let item = self.entry(head).load(Ordering::Relaxed);
            match self.take(head, 1) {
                // SAFETY: the entry was full, and the exchange made it ours alone.
                Ok(()) => return Some(unsafe { P::from_raw(item) }),
                Err(now) => head = now,
            }
        }
    }

    /// Takes the entry at the head if it is still what [`Local::peek`] saw: what a thief that watches does.
    pub fn pop_if(&self, address: usize) -> Option<P> {
        let head = self.head.load(Ordering::Acquire);
        let full = head != self.tail.load(Ordering::Acquire);
        let item = self.entry(head).load(Ordering::Relaxed);
        if !full || item.addr() != address {
            return None;
        }
        self.take(head, 1).ok()?;
        // SAFETY: as in `pop`.
        Some(unsafe { P::from_raw(item) })
    }

    /// Moves half of the entries, rounded up, into `to`, whose owner the caller is, and which is empty. Gives
    /// one of them straight to the caller.
    pub fn steal_into(&self, to: &Local<P>) -> Option<P> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let full = self.tail.load(Ordering::Acquire).saturating_sub(head);
            let many = full - full / 2;
            if many == 0 {
                return None;
            }
            if full > SIZE as u64 {
                // The two loads are of different times.
                head = self.head.load(Ordering::Acquire);
                continue;
            }
            let first = self.entry(head).load(Ordering::Relaxed);
            let start = to.tail.load(Ordering::Relaxed);
            for i in 1..many {
                let item = self.entry(head + i).load(Ordering::Relaxed);
                to.entry(start + i - 1).store(item, Ordering::Relaxed);
            }
            match self.take(head, many) {
                Ok(()) => {
                    #[cfg(seeded = "steal")]
                    let first = self.entry(head).load(Ordering::Relaxed);
                    to.tail.store(start + many - 1, Ordering::Release);
                    // SAFETY: as in `pop`; the others went on in `to`.
                    return Some(unsafe { P::from_raw(first) });
                }
                Err(now) => head = now,
            }
        }
    }

    /// Claims `many` entries from `head` on.
    fn take(&self, head: u64, many: u64) -> Result<(), u64> {
        self.head
            .compare_exchange(head, head + many, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }
}

impl<P: Parcel> Default for Local<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Item(usize);

    impl Parcel for Item {
        type Target = u8;
        fn into_raw(self) -> *mut u8 {
            std::ptr::without_provenance_mut(self.0)
        }
        unsafe fn from_raw(raw: *mut u8) -> Self {
            Item(raw.addr())
        }
    }

    #[test]
    fn is_a_bounded_fifo() {
        let queue = Local::new();
        for round in 0..3 {
            for i in 1..=SIZE {
                assert_eq!(queue.push(Item(i)), Ok(i));
            }
            assert_eq!(queue.push(Item(7)), Err(Item(7)), "round {round}");
            assert_eq!(queue.peek(), 1);
            for i in 1..=SIZE {
                assert_eq!(queue.pop(), Some(Item(i)));
            }
            assert_eq!(queue.pop(), None);
            assert_eq!(queue.peek(), 0);
        }
    }

    #[test]
    fn half_is_stolen_rounded_up() {
        let (from, to) = (Local::new(), Local::new());
        assert_eq!(from.steal_into(&to), None);
        from.push(Item(1)).unwrap();
        assert_eq!(from.pop_if(2), None);
        assert_eq!(from.steal_into(&to), Some(Item(1)));
        assert_eq!((from.len(), to.len()), (0, 0));
        for i in 1..=5 {
            from.push(Item(i)).unwrap();
        }
        assert_eq!(from.steal_into(&to), Some(Item(1)));
        assert_eq!((from.len(), to.len()), (2, 2));
        let stolen = (to.pop(), to.pop(), to.pop());
        assert_eq!(stolen, (Some(Item(2)), Some(Item(3)), None));
        assert_eq!(from.pop_if(4), Some(Item(4)));
        assert_eq!(from.pop(), Some(Item(5)));
    }

    #[test]
    fn every_entry_is_taken_once() {
        const ALL: usize = if cfg!(miri) { 300 } else { 300_000 };
        let queue = Local::<Item>::new();
        let done = std::sync::atomic::AtomicBool::new(false);
        let mut counts = vec![0_u8; ALL + 1];
        std::thread::scope(|scope| {
            let thieves: Vec<_> = (0..3)
                .map(|_| {
                    let (queue, done) = (&queue, &done);
                    scope.spawn(move || {
                        let own = Local::new();
                        let mut got = Vec::new();
                        while !done.load(Ordering::Relaxed) {
                            got.extend(queue.steal_into(&own).map(|item| item.0));
                            while let Some(item) = own.pop() {
                                got.push(item.0);
                            }
                        }
                        got
                    })
                })
                .collect();
            for i in 1..=ALL {
                while queue.push(Item(i)).is_err() {
                    std::thread::yield_now();
                }
                if i % 3 == 0
                    && let Some(item) = queue.pop()
                {
                    counts[item.0] += 1;
                }
            }
            while let Some(item) = queue.pop() {
                counts[item.0] += 1;
            }
            done.store(true, Ordering::Relaxed);
            for thief in thieves {
                for number in thief.join().unwrap() {
                    counts[number] += 1;
                }
            }
        });
        assert!(counts[1..].iter().all(|count| *count == 1));
    }
}
