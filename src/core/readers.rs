//! Readers of a shared table who take no lock: each says in a word of its own when it is inside, and who
//! changed the table can wait until everybody that was inside then has left.

#![allow(unsafe_code)]

use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence};
use crate::sync::{const_fn, spin_loop, thread};
#[cfg(not(modelled))]
use std::cell::{Cell, OnceCell};
use std::ops::Deref;

/// Looks at a reader that is inside before the waiting thread lets others run.
const SPINS: u32 = if cfg!(modelled) { 0 } else { 100 };

/// One reader's word. On a cache line of its own, so that readers do not disturb each other.
#[repr(align(64))]
pub struct Record {
    /// Odd while the thread is inside. Only its thread writes.
    visits: AtomicU32,
    /// A thread has the record. Records of threads that ended are used again.
    used: AtomicBool,
    /// Set before the record is linked.
    next: *const Record,
}

/// All readers of a table. Records are freed with it.
pub struct Readers {
    first: AtomicPtr<Record>,
}

/// A reader's membership: its record, until it is dropped.
pub struct Mark(*const Record);

#[cfg(not(modelled))]
thread_local! {
    /// The record of [`OWN`], for those in a hurry.
    static RECORD: Cell<Option<&'static Record>> = const { Cell::new(None) };
    /// The thread's membership in the node's table.
    static OWN: OnceCell<Own> = const { OnceCell::new() };
}

/// A mark that goes with its thread.
#[cfg(not(modelled))]
struct Own(Mark);

#[cfg(not(modelled))]
impl Drop for Own {
    fn drop(&mut self) {
        RECORD.set(None);
    }
}

/// The time inside; ends when it is dropped.
pub struct Reading<'a> {
    record: &'a Record,
    /// What `visits` is to be afterwards.
    after: u32,
}

impl Readers {
    const_fn! {
        pub fn new() -> Self {
            Readers {
                first: AtomicPtr::new(std::ptr::null_mut()),
            }
        }
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        let mut next: *const Record = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: records live as long as the list.
            let record = unsafe { next.as_ref() }?;
            next = record.next;
            Some(record)
        })
    }

    /// Makes the calling thread a reader. The table must outlive the mark.
    pub fn mark(&self) -> Mark {
        let free = self.records().find(|record| {
            !record.used.load(Ordering::Relaxed) && !record.used.swap(true, Ordering::AcqRel)
        });
        if let Some(record) = free {
            return Mark(record);
        }
        let record = super::unowned(|| {
            Box::into_raw(Box::new(Record {
                visits: AtomicU32::new(0),
                used: AtomicBool::new(true),
                next: std::ptr::null(),
            }))
        });
        let mut first = self.first.load(Ordering::Acquire);
        loop {
            // SAFETY: the record is ours until it is linked.
            unsafe { (*record).next = first };
            match self.first.compare_exchange_weak(
                first,
                record,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Mark(record),
                Err(now) => first = now,
            }
        }
    }

    /// The calling thread's own record; `None` in a thread that is ending, which takes a [`Readers::mark`]. Only
    /// for the table of the node, of which there is one.
    #[cfg(not(modelled))]
    #[inline(always)]
    pub fn of_thread(&'static self) -> Option<&'static Record> {
        RECORD.get().or_else(|| self.enlist())
    }

    #[cfg(not(modelled))]
    #[cold]
    fn enlist(&'static self) -> Option<&'static Record> {
        let record = OWN.try_with(|own| own.get_or_init(|| Own(self.mark())).0.0);
        // SAFETY: records live as long as the list, which is static, and this one is the thread's until its
        // locals are destroyed; then `RECORD` is cleared first.
        let record = unsafe { record.ok()?.as_ref() };
        RECORD.set(record);
        record
    }

    /// Waits until every reader that is inside now has left. Not for a thread that is inside.
    pub fn wait(&self) {
        // Pairs with the fence in `enter`: a reader that we do not see inside sees what we changed.
        fence(Ordering::SeqCst);
        for record in self.records() {
            let visits = record.visits.load(Ordering::Acquire);
            if visits.is_multiple_of(2) {
                continue;
            }
            let mut spins = 0;
            while record.visits.load(Ordering::Acquire) == visits {
                spins += 1;
                if spins > SPINS {
                    thread::yield_now();
                } else {
                    spin_loop();
                }
            }
        }
    }
}

impl Default for Readers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let mut next = self.first.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: nobody else has the list any more.
            let record = unsafe { Box::from_raw(next) };
            next = record.next.cast_mut();
        }
    }
}

impl Deref for Mark {
    type Target = Record;

    fn deref(&self) -> &Record {
        // SAFETY: records live as long as the table, which outlives its marks.
        unsafe { &*self.0 }
    }
}

impl Record {
    /// Goes inside. Going inside once more while inside is allowed.
    #[inline(always)]
    pub fn enter(&self) -> Reading<'_> {
        let record = self;
        let visits = record.visits.load(Ordering::Relaxed);
        if !visits.is_multiple_of(2) {
            return Reading {
                record,
                after: visits,
            };
        }
        // Release: who waits for an earlier visit and sees this one instead knows that the earlier is over.
        record
            .visits
            .store(visits.wrapping_add(1), Ordering::Release);
        // Pairs with the fence in `wait`.
        fence(Ordering::SeqCst);
        Reading {
            record,
            after: visits.wrapping_add(2),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.used.store(false, Ordering::Release);
    }
}

impl Drop for Reading<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.record.visits.store(self.after, Ordering::Release);
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_writer_waits_for_those_inside_and_no_others() {
        let readers = Readers::new();
        let outside = readers.mark();
        let inside = readers.mark();
        let left = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let reading = inside.enter();
            drop(inside.enter());
            let waiter = scope.spawn(|| {
                readers.wait();
                left.load(Ordering::SeqCst)
            });
            std::thread::sleep(std::time::Duration::from_millis(20));
            left.store(1, Ordering::SeqCst);
            drop(reading);
            assert_eq!(waiter.join().unwrap(), 1);
        });
        drop(outside);
        readers.wait();
    }

    #[test]
    fn records_are_used_again() {
        let readers = Readers::new();
        let first = readers.mark().0;
        let second = readers.mark();
        assert_eq!(first, second.0);
        assert_ne!(readers.mark().0, second.0);
    }
}
