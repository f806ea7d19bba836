//! Where the resident memory of the process is.
//!
//! Three sources are put together: the accounts of services ([`memory`], and counters that services publish for
//! what they do not allocate with `malloc`, which is Lua's memory), the allocator's own figures, and the pages that
//! the system says are there. Nobody is asked to answer, so a service that is busy has its figures as well.
//!
//! The figures are not of one moment: what is allocated while they are taken is in some of them.

#![allow(unsafe_code)]

use super::context::Context;
use super::memory;
use super::node::NODE;
use super::unowned;
use crate::sync::Mutex;
use crate::sys::alloc::arenas;
use crate::sys::{lua, resident, tally};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// A counter that a service publishes.
struct Counter {
    handle: u32,
    bytes: *const AtomicUsize,
}

// SAFETY: the counter is atomic, and alive as long as it is in the table.
unsafe impl Send for Counter {}

/// The counters, by the address of the context. A context that is taken out of the handle table stays here until
/// its last reference goes, because its memory does; by then its handle may be another's.
static COUNTERS: Mutex<BTreeMap<usize, Counter>> = Mutex::new(BTreeMap::new());

fn key(context: &Context) -> usize {
    std::ptr::from_ref(context).addr()
}

/// From now on the bytes that `counter` counts are shown as those of the service; null ends that.
///
/// # Safety
/// The counter is valid until the service's `_release` is called, or another one takes its place.
pub unsafe fn publish(context: &Context, counter: *const AtomicUsize) {
    let handle = context.handle();
    unowned(|| {
        let mut counters = COUNTERS.lock();
        if counter.is_null() {
            counters.remove(&key(context));
        } else {
            let entry = Counter {
                handle,
                bytes: counter,
            };
            counters.insert(key(context), entry);
        }
    });
    context.set_published(!counter.is_null());
}

/// Ends what [`publish`] began, for a service that is about to be released.
pub fn withdraw(context: &Context) {
    unowned(|| COUNTERS.lock().remove(&key(context)));
}

/// The memory of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub handle: u32,
    /// Bytes of its Lua state, or whatever it publishes.
    pub lua: usize,
    /// Bytes of the blocks that it allocated.
    pub c: usize,
    /// Messages that wait for it.
    pub messages: usize,
}

/// The live services, in the order of the handle table.
pub fn services() -> Vec<Service> {
    services_with(&published())
}

fn services_with(published: &BTreeMap<u32, usize>) -> Vec<Service> {
    let service = |handle| {
        let messages = NODE.with(handle, |context| context.mailbox().len())?;
        Some(Service {
            handle,
            lua: published.get(&handle).copied().unwrap_or(0),
            c: memory::of(handle),
            messages,
        })
    };
    NODE.handles.all().into_iter().filter_map(service).collect()
}

/// Of a handle that two contexts have had, the sum.
fn published() -> BTreeMap<u32, usize> {
    let counters = COUNTERS.lock();
    let mut published = BTreeMap::new();
    for counter in counters.values() {
        // SAFETY: what is in the table is alive (see `publish`), and leaves it under the lock.
        *published.entry(counter.handle).or_default() += unsafe { (*counter.bytes).load(Relaxed) };
    }
    published
}

/// The memory of the process in bytes. [`Footprint::sum`] says how the parts add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What the system says is resident; 0 where it does not.
    pub resident: usize,
    /// Lua's memory, of live services and of ended ones that somebody has a reference to.
    pub lua: usize,
    pub lua_ended: usize,
    /// Blocks of `malloc`: of live services, of ended ones, and of nobody.
    pub c: usize,
    pub c_ended: usize,
    pub c_nobody: usize,
    /// What else the allocator has given out: Lua states that nobody counts, and sizes rounded up.
    pub uncounted: usize,
    /// Free blocks that threads keep for themselves.
    pub thread_caches: usize,
    /// Free blocks on pages that have used ones too.
    pub fragments: usize,
    /// Free pages that were not given back yet.
    pub free_pages: usize,
    /// The allocator's own.
    pub metadata: usize,
    /// What of all this is not resident, because it was not touched yet. Goes off the sum.
    pub untouched: usize,
    /// Program, libraries and their variables.
    pub files: usize,
    pub stacks: usize,
    /// Memory of other allocators, the kernel's pages.
    pub other: usize,
    /// Of the blocks of `malloc`: payload of messages that wait.
    pub messages: usize,
    /// Of the blocks of `malloc`: compiled files, tables and strings that Lua states share.
    pub shared: usize,
    /// Addresses that the allocator keeps without memory behind them. In no sum.
    pub retained: usize,
}

impl Footprint {
    /// What the parts add up to; but for what happened meanwhile, `resident`.
    pub fn sum(&self) -> usize {
        let parts = [
            self.lua,
            self.lua_ended,
            self.c,
            self.c_ended,
            self.c_nobody,
            self.uncounted,
            self.thread_caches,
            self.fragments,
            self.free_pages,
            self.metadata,
            self.files,
            self.stacks,
            self.other,
        ];
        parts.iter().sum::<usize>().saturating_sub(self.untouched)
    }
}

/// The figures of now.
pub fn footprint() -> Footprint {
    let mut print = Footprint::default();
    let published = published();
    for service in services_with(&published) {
        print.lua += service.lua;
        print.c += service.c;
    }
    print.lua_ended = published.values().sum::<usize>() - print.lua;
    let alive = |handle| NODE.with(handle, |_| ()).is_some();
    print.c_ended = memory::left(alive).map(|left| left.bytes).sum();
    print.c_nobody = tally::all().bytes().saturating_sub(print.c + print.c_ended);
    print.messages = tally::in_queues();
    print.shared = lua::shared();

    arenas::refresh();
    let counted = print.lua + print.lua_ended + print.c + print.c_ended + print.c_nobody;
    let heap = arenas::heap().unwrap_or(arenas::HeapFigures {
        // Another allocator; all that is known of it is what we count.
        allocated: counted,
        active: counted,
        resident: counted,
        ..Default::default()
    });
    print.thread_caches = heap.thread_caches;
    print.uncounted = heap.allocated.saturating_sub(counted + heap.thread_caches);
    print.fragments = heap.active.saturating_sub(heap.allocated);
    print.free_pages = heap.dirty;
    print.metadata = heap.resident.saturating_sub(heap.active + heap.dirty);
    print.retained = heap.retained;

    let stacks = tally::stacks();
    let is_stack = |range: &std::ops::Range<usize>| stacks.iter().any(|at| range.contains(at));
    if let Some(pages) = resident::resident(is_stack) {
        print.resident = pages.total;
        print.files = pages.files;
        print.stacks = pages.stacks;
        print.untouched = heap.resident.saturating_sub(pages.anonymous);
        // Muzzy pages are there until the system wants them.
        let more = pages.anonymous.saturating_sub(heap.resident);
        let muzzy = more.min(heap.muzzy);
        print.free_pages += muzzy;
        print.other = pages.other + more - muzzy;
    }
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_those_of_the_sum() {
        let one = Footprint {
            resident: 1 << 40,
            lua: 1,
            lua_ended: 1 << 1,
            c: 1 << 2,
            c_ended: 1 << 3,
            c_nobody: 1 << 4,
            uncounted: 1 << 5,
            thread_caches: 1 << 6,
            fragments: 1 << 7,
            free_pages: 1 << 8,
            metadata: 1 << 9,
            files: 1 << 10,
            stacks: 1 << 11,
            other: 1 << 12,
            untouched: 100,
            messages: 1 << 41,
            shared: 1 << 42,
            retained: 1 << 43,
        };
        assert_eq!(one.sum(), (1 << 13) - 1 - 100);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_large_block_is_resident() {
        use crate::sys::alloc;
        const SIZE: usize = 64 << 20;
        let before = footprint();
        let block = alloc::malloc(SIZE);
        // SAFETY: the block is ours and that long.
        unsafe { block.cast::<u8>().write_bytes(1, SIZE) };
        let after = footprint();
        // SAFETY: nobody else has it.
        unsafe { alloc::free(block) };
        // Tests that run beside this one use memory, and count what does not exist: the sum is for whole nodes.
        let grown = after.resident.saturating_sub(before.resident);
        assert!(grown > SIZE - (SIZE >> 3), "{before:?} {after:?}");
        let other = after.other.saturating_sub(before.other);
        assert!(
            other < SIZE >> 3 || !cfg!(feature = "jemalloc"),
            "{before:?} {after:?}"
        );
    }
}
