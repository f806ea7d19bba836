//! Counters that each thread keeps for itself and readers add up.
//!
//! `malloc` and `free` count here, so an update must not cost more than the allocator itself: a
//! thread writes lines that no other thread writes, with plain stores. Sums are exact: a table is
//! never thrown away, the one of an ended thread goes on under the next thread that needs one.
//!
//! Invariants:
//! 1. Only the thread that holds a table (`taken`) writes its counters, except for [`LATE`], which
//!    any thread may write and where updates are atomic.
//! 2. Tables, once published, stay where they are for the life of the process; hence the `&'static`.
//!    Pages stay until their owner gives them up, under [`MOVING`]; whoever else reads pages holds it
//!    too. Those of [`LATE`] stay for good.
//! 3. Nothing here calls the exported malloc family: memory comes from [`alloc`].
//! 4. A counter is stored with Release and read with Acquire, and readers take `freed` before
//!    `allocated`: whoever sees a block's release counted also sees its allocation counted, so a
//!    balance is never below zero for blocks counted in both.

use super::alloc;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{self, null_mut};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};

/// Number of slots a thread counts in.
pub const SLOTS: usize = 1 << 16;

/// Slots live in pages made when first used: handles grow, so the ones in use lie close together.
const PAGE: usize = 256;

/// The four running totals of a slot or of a thread (as `MemInfo`, core.md §1.16).
#[derive(Debug)]
struct Counter {
    allocated: AtomicUsize,
    allocations: AtomicUsize,
    freed: AtomicUsize,
    releases: AtomicUsize,
}

impl Counter {
    const fn new() -> Counter {
        Counter {
            allocated: AtomicUsize::new(0),
            allocations: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
        }
    }

    fn read(&self) -> Totals {
        let freed = self.freed.load(Acquire);
        let releases = self.releases.load(Acquire);
        Totals {
            allocated: self.allocated.load(Acquire),
            allocations: self.allocations.load(Acquire),
            freed,
            releases,
        }
    }
}

/// Running totals added up over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes ever allocated.
    pub allocated: usize,
    /// Blocks ever allocated.
    pub allocations: usize,
    /// Bytes ever freed.
    pub freed: usize,
    /// Blocks ever freed.
    pub releases: usize,
}

impl Totals {
    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.allocated.saturating_sub(self.freed)
    }

    /// Blocks in use.
    pub fn blocks(&self) -> usize {
        self.allocations.saturating_sub(self.releases)
    }

    /// These totals without those of `part`.
    pub fn without(self, part: Totals) -> Totals {
        Totals {
            allocated: self.allocated.wrapping_sub(part.allocated),
            allocations: self.allocations.wrapping_sub(part.allocations),
            freed: self.freed.wrapping_sub(part.freed),
            releases: self.releases.wrapping_sub(part.releases),
        }
    }

    fn add(&mut self, more: Totals) {
        self.allocated = self.allocated.wrapping_add(more.allocated);
        self.allocations = self.allocations.wrapping_add(more.allocations);
        self.freed = self.freed.wrapping_add(more.freed);
        self.releases = self.releases.wrapping_add(more.releases);
    }
}

/// One thread's counters.
#[derive(Debug)]
pub struct Table {
    /// True while a thread owns this table. Set by compare-and-swap, cleared by the owner's exit.
    taken: AtomicBool,
    /// True for [`LATE`] only.
    shared: bool,
    /// The table published before this one; written once, before publication.
    next: AtomicPtr<Table>,
    /// An address on the owner's stack.
    stack: AtomicUsize,
    /// Everything the thread counted, whatever the slot.
    all: Counter,
    /// Bytes of messages that the thread queued, and that it took out of queues.
    queued: AtomicUsize,
    unqueued: AtomicUsize,
    /// Null until the thread counts in one of the page's slots. Only the owner sets it.
    pages: [AtomicPtr<[Counter; PAGE]>; SLOTS / PAGE],
}

impl Table {
    const fn new(shared: bool) -> Table {
        Table {
            taken: AtomicBool::new(true),
            shared,
            next: AtomicPtr::new(null_mut()),
            stack: AtomicUsize::new(0),
            all: Counter::new(),
            queued: AtomicUsize::new(0),
            unqueued: AtomicUsize::new(0),
            pages: [const { AtomicPtr::new(null_mut()) }; SLOTS / PAGE],
        }
    }

    /// Counts a block of `bytes` bytes as allocated: in total, and in `slot` unless it is None.
    #[inline]
    pub fn allocated(&'static self, slot: Option<u16>, bytes: usize) {
        self.bump(&self.all.allocated, bytes);
        self.bump(&self.all.allocations, 1);
        if let Some(slot) = slot {
            let counter = self.counter(slot);
            self.bump(&counter.allocated, bytes);
            self.bump(&counter.allocations, 1);
        }
    }

    /// Counts a block of `bytes` bytes as released, like [`Table::allocated`].
    #[inline]
    pub fn freed(&'static self, slot: Option<u16>, bytes: usize) {
        self.bump(&self.all.freed, bytes);
        self.bump(&self.all.releases, 1);
        if let Some(slot) = slot {
            let counter = self.counter(slot);
            self.bump(&counter.freed, bytes);
            self.bump(&counter.releases, 1);
        }
    }

    /// Counts a message of `bytes` bytes as put into a queue.
    #[inline]
    pub fn queued(&'static self, bytes: usize) {
        self.bump(&self.queued, bytes);
    }

    /// Counts a message of `bytes` bytes as taken out of a queue.
    #[inline]
    pub fn unqueued(&'static self, bytes: usize) {
        self.bump(&self.unqueued, bytes);
    }

    /// Adds to one of our counters.
    #[inline]
    fn bump(&self, counter: &AtomicUsize, n: usize) {
        if self.shared {
            counter.fetch_add(n, Release);
        } else {
            // We are the only writer (invariant 1).
            counter.store(counter.load(Relaxed).wrapping_add(n), Release);
        }
    }

    #[inline]
    fn counter(&self, slot: u16) -> &Counter {
        let slot = usize::from(slot);
        let page = self.pages[slot / PAGE].load(Acquire);
        // SAFETY: only we could give up the page (invariant 2), and do so between two counts.
        let page = match unsafe { page.as_ref() } {
            Some(page) => page,
            None => self.add_page(slot / PAGE),
        };
        &page[slot % PAGE]
    }

    #[cold]
    fn add_page(&self, index: usize) -> &[Counter; PAGE] {
        let page = zeroed::<[Counter; PAGE]>();
        match self.pages[index].compare_exchange(null_mut(), page, Release, Acquire) {
            // SAFETY: the page is zeroed, which is a valid array of counters, and now published.
            Ok(_) => unsafe { &*page },
            Err(other) => {
                // Another thread was first, which only LATE knows.
                // SAFETY: our page was never published; the other one stays (invariant 2).
                unsafe {
                    alloc::free(page.cast());
                    &*other
                }
            }
        }
    }

    /// Gives up the pages: what they count is from now on in [`LATE`]. For the owner, when it has nothing to do
    /// and memory is to go back: a thread comes by all services, so that in time every thread has every page.
    pub fn give_up_pages(&'static self) {
        if self.shared {
            return;
        }
        let _still = MOVING.lock();
        for (index, place) in self.pages.iter().enumerate() {
            let page = place.swap(null_mut(), Relaxed);
            // SAFETY: it was published, and nobody else gives it up (invariant 2).
            let Some(counters) = (unsafe { page.as_ref() }) else {
                continue;
            };
            for (offset, counter) in counters.iter().enumerate() {
                let totals = counter.read();
                if totals != Totals::default() {
                    LATE.add((index * PAGE + offset) as u16, totals);
                }
            }
            // SAFETY: readers hold the lock, and our own references end with each count.
            unsafe { alloc::free(page.cast()) };
        }
    }

    fn add(&self, slot: u16, totals: Totals) {
        let counter = self.counter(slot);
        self.bump(&counter.allocated, totals.allocated);
        self.bump(&counter.allocations, totals.allocations);
        self.bump(&counter.freed, totals.freed);
        self.bump(&counter.releases, totals.releases);
    }

    /// The counters of `slot` as far as this table has any; under [`MOVING`].
    fn read(&self, slot: u16) -> Totals {
        let slot = usize::from(slot);
        let page = self.pages[slot / PAGE].load(Acquire);
        // SAFETY: a page that is set stays as long as we hold the lock (invariant 2).
        match unsafe { page.as_ref() } {
            Some(page) => page[slot % PAGE].read(),
            None => Totals::default(),
        }
    }
}

/// Held while pages are given up, and by readers of pages. It is taken inside `malloc`, where nothing may be
/// allocated or set up.
static MOVING: Spin = Spin(AtomicBool::new(false));

/// A lock for a few instructions, and now and then for a millisecond.
struct Spin(AtomicBool);

impl Spin {
    fn lock(&self) -> SpinGuard<'_> {
        while self
            .0
            .compare_exchange_weak(false, true, Acquire, Relaxed)
            .is_err()
        {
            std::thread::yield_now();
        }
        SpinGuard(self)
    }
}

struct SpinGuard<'a>(&'a Spin);

impl Drop for SpinGuard<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Release);
    }
}

/// Where threads count that have already given their table back: destructors of other libraries'
/// thread data still free memory then. Also what was in pages that were given up.
static LATE: Table = Table::new(true);

/// All tables but [`LATE`], the newest first. Only ever grows.
static TABLES: AtomicPtr<Table> = AtomicPtr::new(null_mut());

thread_local! {
    // Constant and without destructor, so that reading it neither allocates nor registers anything:
    // `malloc` reads it in threads that are just being born or dying.
    static MINE: Cell<*const Table> = const { Cell::new(ptr::null()) };
}

/// The calling thread's counters.
#[inline]
pub fn mine() -> &'static Table {
    let table = MINE.get();
    // SAFETY: only published tables and LATE are ever stored there (invariant 2).
    match unsafe { table.as_ref() } {
        Some(table) => table,
        None => enter(),
    }
}

/// The totals over all threads and slots.
pub fn all() -> Totals {
    sum(|table| table.all.read())
}

/// The totals of one slot over all threads.
pub fn slot(slot: u16) -> Totals {
    let _still = MOVING.lock();
    sum(|table| table.read(slot))
}

/// Bytes of the messages that are in queues.
pub fn in_queues() -> usize {
    let (mut queued, mut unqueued) = (0usize, 0usize);
    // As in `sum`. A message may be taken out before it is counted as put in.
    for_each(|table| unqueued = unqueued.wrapping_add(table.unqueued.load(Acquire)));
    for_each(|table| queued = queued.wrapping_add(table.queued.load(Acquire)));
    let bytes = queued.wrapping_sub(unqueued);
    if bytes > isize::MAX as usize {
        return 0;
    }
    bytes
}

/// An address on the stack of each thread that counts here, which are those that have allocated.
pub fn stacks() -> Vec<usize> {
    let mut stacks = Vec::new();
    for_each(|table| {
        let stack = table.stack.load(Relaxed);
        if !table.shared && table.taken.load(Relaxed) && stack != 0 {
            stacks.push(stack);
        }
    });
    stacks
}

/// Adds up what `part` says of each table. Freed amounts are all read before the allocated ones
/// (invariant 4), so the tables are visited twice.
fn sum(part: impl Fn(&Table) -> Totals) -> Totals {
    let mut freed = Totals::default();
    let mut allocated = Totals::default();
    for_each(|table| freed.add(part(table)));
    for_each(|table| allocated.add(part(table)));
    Totals {
        freed: freed.freed,
        releases: freed.releases,
        ..allocated
    }
}

fn for_each(mut visit: impl FnMut(&'static Table)) {
    visit(&LATE);
    let mut at = TABLES.load(Acquire);
    // SAFETY: published tables stay (invariant 2).
    while let Some(table) = unsafe { at.as_ref() } {
        visit(table);
        at = table.next.load(Relaxed);
    }
}

/// Gives the calling thread a table: that of an ended thread, or a new one.
#[cold]
fn enter() -> &'static Table {
    let mut found = None;
    for_each(|table| {
        if found.is_none()
            && !table.taken.load(Relaxed)
            && table
                .taken
                // Acquire: sees the counters the former owner stored before its Release in `leave`.
                .compare_exchange(false, true, Acquire, Relaxed)
                .is_ok()
        {
            found = Some(table);
        }
    });
    let table = found.unwrap_or_else(publish);
    let here = 0u8;
    table.stack.store(ptr::from_ref(&here).addr(), Relaxed);
    // Before the next line, which may allocate and thus come here again.
    MINE.set(table);
    at_thread_exit(table);
    table
}

/// A new table, in the list and ours.
fn publish() -> &'static Table {
    let table = zeroed::<Table>();
    // SAFETY: the block is big enough for a table, aligned and ours alone.
    unsafe { table.write(Table::new(false)) };
    // SAFETY: just written, never freed.
    let table: &'static Table = unsafe { &*table };
    let mut head = TABLES.load(Relaxed);
    loop {
        table.next.store(head, Relaxed);
        // Release: whoever loads the head sees the table's fields.
        match TABLES.compare_exchange_weak(head, ptr::from_ref(table).cast_mut(), Release, Relaxed)
        {
            Ok(_) => return table,
            Err(now) => head = now,
        }
    }
}

/// Arranges for `leave` when the calling thread ends. Thread-specific data of pthreads rather than
/// Rust's: its destructors run last, after those of Rust's and C++'s thread locals. Should no key be
/// left, the table of the thread stays taken.
fn at_thread_exit(table: &'static Table) {
    /// The key + 1; 0 before it was made, `NONE` when that failed.
    static KEY: AtomicUsize = AtomicUsize::new(0);
    const NONE: usize = usize::MAX;

    let mut key = KEY.load(Acquire);
    if key == 0 {
        let mut fresh: libc::pthread_key_t = 0;
        // SAFETY: `fresh` is a valid place, `leave` takes what is stored under the key.
        let made = unsafe { libc::pthread_key_create(&mut fresh, Some(leave)) } == 0;
        let mine = if made { fresh as usize + 1 } else { NONE };
        key = match KEY.compare_exchange(0, mine, Release, Acquire) {
            Ok(_) => mine,
            Err(theirs) => {
                if made {
                    // SAFETY: the key is ours and was never used.
                    unsafe { libc::pthread_key_delete(fresh) };
                }
                theirs
            }
        };
    }
    if key != NONE {
        // SAFETY: the key was made above and is never deleted.
        unsafe {
            libc::pthread_setspecific(
                (key - 1) as libc::pthread_key_t,
                ptr::from_ref(table).cast(),
            )
        };
    }
}

/// The thread ends: its table is free for another.
extern "C" fn leave(table: *mut c_void) {
    MINE.set(&LATE);
    // SAFETY: `at_thread_exit` stored a reference to a published table.
    let table = unsafe { &*table.cast::<Table>() };
    // Release: the next owner continues from our last values.
    table.taken.store(false, Release);
}

/// Zeroed memory of the raw allocator for one T. Without it nothing can be counted, and the process
/// is out of memory anyway.
fn zeroed<T>() -> *mut T {
    const { assert!(align_of::<T>() <= 16) };
    let block = alloc::zeroed(size_of::<T>()).cast::<T>();
    if block.is_null() {
        std::process::abort();
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    // The registry is the process's: every test has slots of its own.

    #[test]
    fn sums_over_threads_are_exact() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 10_000;
        let before = all();
        let barrier = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|t| {
                let barrier = barrier.clone();
                std::thread::spawn(move || {
                    barrier.wait();
                    for i in 0..ROUNDS {
                        mine().allocated(Some(1000), 3);
                        mine().freed(Some(1000), 1);
                        // Another page, and a slot of this thread.
                        mine().allocated(Some(40_000 + t as u16), i);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let n = THREADS * ROUNDS;
        assert_eq!(
            slot(1000),
            Totals {
                allocated: 3 * n,
                allocations: n,
                freed: n,
                releases: n,
            }
        );
        for t in 0..THREADS {
            let own = slot(40_000 + t as u16);
            assert_eq!(own.bytes(), ROUNDS * (ROUNDS - 1) / 2);
            assert_eq!(own.blocks(), ROUNDS);
        }
        // Other tests count as well, so the total is only known from below.
        assert!(all().without(before).allocations >= 2 * n);
    }

    #[test]
    fn pages_are_given_up_while_others_read() {
        const ROUNDS: usize = 1000;
        const SLOT: u16 = 5000;
        let counting = std::thread::spawn(|| {
            for _ in 0..ROUNDS {
                mine().allocated(Some(SLOT), 3);
                mine().give_up_pages();
                mine().freed(Some(SLOT), 2);
            }
            mine().give_up_pages();
            assert!(mine().pages.iter().all(|page| page.load(Relaxed).is_null()));
        });
        let mut seen = Totals::default();
        while !counting.is_finished() {
            let now = slot(SLOT);
            assert!(now.allocated >= seen.allocated && now.freed >= seen.freed);
            seen = now;
        }
        counting.join().unwrap();
        assert_eq!(
            slot(SLOT),
            Totals {
                allocated: 3 * ROUNDS,
                allocations: ROUNDS,
                freed: 2 * ROUNDS,
                releases: ROUNDS,
            }
        );
    }

    #[test]
    fn messages_are_counted_where_they_wait() {
        const SIZE: usize = 1 << 40;
        let before = in_queues();
        mine().queued(SIZE);
        assert!(in_queues() - before >= SIZE - (1 << 30));
        std::thread::spawn(|| mine().unqueued(SIZE)).join().unwrap();
        assert!(in_queues().abs_diff(before) < 1 << 30);
    }

    #[test]
    fn stacks_of_living_threads_are_known() {
        let near = |at: usize| stacks().iter().any(|stack| stack.abs_diff(at) < 1 << 20);
        std::thread::spawn(move || {
            mine();
            let here = 0u8;
            assert!(near(ptr::from_ref(&here).addr()));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn tables_of_ended_threads_are_used_again() {
        let mut before = 0;
        for_each(|_| before += 1);
        for _ in 0..200 {
            std::thread::spawn(|| mine().allocated(Some(2000), 1))
                .join()
                .unwrap();
        }
        let mut after = 0;
        for_each(|_| after += 1);
        // Tests that run beside this one may hold some.
        assert!(after - before < 50, "{before} tables became {after}");
        assert_eq!(slot(2000).bytes(), 200);
    }

    /// A destructor that sets its value again runs once more, after ours has run: the way in which
    /// memory is freed by a thread that has already left.
    #[test]
    fn threads_that_have_left_still_count() {
        static KEY: AtomicUsize = AtomicUsize::new(0);

        extern "C" fn linger(round: *mut c_void) {
            if round as usize == 1 {
                let key = KEY.load(Relaxed) as libc::pthread_key_t;
                // SAFETY: the key was made by the test; the value is only a number.
                unsafe { libc::pthread_setspecific(key, ptr::without_provenance(2)) };
            } else {
                assert!(mine().shared);
                mine().freed(Some(3000), 4);
                mine().freed(None, 4);
            }
        }

        let mut key = 0;
        // SAFETY: a valid place for the key.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(linger)) };
        assert_eq!(made, 0);
        KEY.store(key as usize, Relaxed);
        std::thread::spawn(move || {
            // SAFETY: the key exists; the value is only a number.
            unsafe { libc::pthread_setspecific(key, ptr::without_provenance(1)) };
            mine().allocated(Some(3000), 10);
            assert!(!mine().shared);
        })
        .join()
        .unwrap();
        assert_eq!(slot(3000).bytes(), 6);
        assert_eq!(slot(3000).releases, 1);
    }

    #[test]
    fn readers_never_see_more_freed_than_allocated() {
        let (send, receive) = std::sync::mpsc::sync_channel::<()>(64);
        let giver = std::thread::spawn(move || {
            for _ in 0..20_000 {
                mine().allocated(Some(4000), 7);
                send.send(()).unwrap();
            }
        });
        let taker = std::thread::spawn(move || {
            while receive.recv().is_ok() {
                mine().freed(Some(4000), 7);
            }
        });
        while !taker.is_finished() {
            let now = slot(4000);
            assert!(now.freed <= now.allocated);
            assert!(now.releases <= now.allocations);
        }
        giver.join().unwrap();
        taker.join().unwrap();
        assert_eq!(slot(4000).blocks(), 0);
        assert_eq!(slot(4000).allocations, 20_000);
    }
}
