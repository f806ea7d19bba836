//! Handles and names: which number, or which local name, is which service.
//!
//! A handle is 32 bits: the node number on top of a 24-bit local number (core.md §4.1). Local
//! numbers grow and are not used again before the counter wraps; numbers whose slot is taken are
//! skipped (core.md §4.3). The table knows nothing about services beyond their handle.
//!
//! Looking a handle up takes no lock and writes nothing that another thread writes: the thread says in its own
//! [`Record`] that it is looking. Who takes a service out of the table waits until every thread that may have
//! seen it has finished looking, which is a matter of nanoseconds: what is done under a mark is short, and never
//! runs a service.

#![allow(unsafe_code)]

use super::readers::{Readers, Record};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::{Arc, Mutex, const_fn};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// The local part of a handle.
pub const HANDLE_MASK: u32 = 0x00ff_ffff;
/// Position of the node number in a handle.
pub const REMOTE_SHIFT: u32 = 24;
const FIRST_SIZE: usize = 4;
/// First number that [`HandleTable::skip_to_end`] leaves out.
const LOW: u32 = 32;
const MAX_SIZE: usize = 1 << REMOTE_SHIFT;

/// What the table stores: something that is told its handle once, while it is registered.
pub trait Registered {
    /// Called once, before anybody can look the handle up.
    fn set_handle(&self, handle: u32);
    fn handle(&self) -> u32;
}

/// Handle → service and name → handle.
pub struct HandleTable<T> {
    /// Who is looking a handle up.
    pub readers: Readers,
    /// The slots; null before the first registration. Written under the lock of `inner`.
    slots: AtomicPtr<Slots<T>>,
    inner: Mutex<Inner>,
}

/// Power-of-two many; the slot of a handle is its low bits. A full slot owns a reference.
struct Slots<T>(Box<[AtomicPtr<T>]>);

struct Inner {
    /// Node number, already shifted into place.
    node: u32,
    /// Next local number to try, 1..=`HANDLE_MASK`.
    next: u32,
    /// For tests: from [`LOW`] the numbers go on just below their limit.
    skip: bool,
    names: BTreeMap<CString, u32>,
    /// Which names a handle owns, so that retiring does not search them all.
    named: BTreeMap<u32, Vec<CString>>,
}

// SAFETY: the table owns references to services and hands them to any thread.
unsafe impl<T: Send + Sync> Send for HandleTable<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for HandleTable<T> {}

impl<T> Slots<T> {
    fn new(size: usize) -> Box<Self> {
        let empty = || AtomicPtr::new(std::ptr::null_mut());
        Box::new(Slots(std::iter::repeat_with(empty).take(size).collect()))
    }

    fn index(&self, handle: u32) -> usize {
        (handle & HANDLE_MASK) as usize & (self.0.len() - 1)
    }

    fn slot(&self, handle: u32) -> &AtomicPtr<T> {
        &self.0[self.index(handle)]
    }

    /// The first number, from `next` on, whose slot is free.
    fn free_number(&self, next: u32) -> Option<u32> {
        let mut local = next;
        for _ in 0..self.0.len() {
            if self.slot(local).load(Ordering::Relaxed).is_null() {
                return Some(local);
            }
            local = successor(local);
        }
        None
    }
}

impl<T: Registered> HandleTable<T> {
    const_fn! {
        pub fn new() -> Self {
            HandleTable {
                readers: Readers::new(),
                slots: AtomicPtr::new(std::ptr::null_mut()),
                inner: Mutex::new(Inner::new()),
            }
        }
    }

    /// Sets the node number that new handles carry. Only its low byte counts.
    pub fn set_node(&self, node: u32) {
        self.inner.lock().node = (node & 0xff) << REMOTE_SHIFT;
    }

    /// The slots, for those under the lock of `inner`, who alone replace them.
    fn current(&self) -> Option<&Slots<T>> {
        // SAFETY: slots are freed by `grow`, under the lock that the caller has.
        unsafe { self.slots.load(Ordering::Acquire).as_ref() }
    }

    /// For tests: after the first few services, new numbers come from just below the limit.
    pub fn skip_to_end(&self) {
        self.inner.lock().skip = true;
    }

    /// Gives `service` a handle and makes it visible.
    /// Ends the process when 2^24 services are alive.
    pub fn register(&self, service: &Arc<T>) -> u32 {
        let mut inner = self.inner.lock();
        let local = loop {
            let found = self
                .current()
                .and_then(|slots| slots.free_number(inner.next));
            match found {
                Some(local) => break local,
                None => self.grow(),
            }
        };
        inner.next = match successor(local) {
            LOW if std::mem::take(&mut inner.skip) => HANDLE_MASK - super::WRAP_AFTER,
            next => next,
        };
        let handle = inner.node | local;
        service.set_handle(handle);
        let service = Arc::into_raw(service.clone()).cast_mut();
        if let Some(slots) = self.current() {
            // Release: who finds the service finds it with its handle.
            slots.slot(local).store(service, Ordering::Release);
        }
        handle
    }

    /// Doubles the slots. Under the lock of `inner`.
    fn grow(&self) {
        let old = self.slots.load(Ordering::Acquire);
        let size = self.current().map_or(FIRST_SIZE, |slots| slots.0.len() * 2);
        if size > MAX_SIZE {
            super::fatal(format_args!(
                "no handle left: {} services are alive",
                size / 2
            ));
        }
        let slots = super::unowned(|| Slots::new(size));
        for service in self.current().into_iter().flat_map(|old| old.0.iter()) {
            let service = service.load(Ordering::Relaxed);
            // SAFETY: a full slot holds a reference.
            if let Some(live) = unsafe { service.as_ref() } {
                slots.slot(live.handle()).store(service, Ordering::Relaxed);
            }
        }
        self.slots.store(Box::into_raw(slots), Ordering::Release);
        if !old.is_null() {
            self.readers.wait();
            // SAFETY: nobody can find the old slots any more, and who had found them is done. The references
            // moved.
            drop(unsafe { Box::from_raw(old) });
        }
    }

    /// True when no service was ever registered.
    pub fn is_unused(&self) -> bool {
        self.slots.load(Ordering::Acquire).is_null()
    }

    /// Runs `f` on a live service. `f` is short: it runs no service, waits for nothing and retires nobody.
    #[inline(always)]
    pub fn with<R>(&self, mark: &Record, handle: u32, f: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        let _reading = mark.enter();
        // SAFETY: slots and services that were found stay until the mark is left.
        let service = unsafe {
            let slots = self.slots.load(Ordering::Acquire).as_ref()?;
            let service = slots.slot(handle).load(Ordering::Acquire).as_ref()?;
            // The slot's reference, borrowed.
            std::mem::ManuallyDrop::new(Arc::from_raw(service))
        };
        (service.handle() == handle).then(|| f(&service))
    }

    /// A reference to a live service.
    pub fn grab(&self, mark: &Record, handle: u32) -> Option<Arc<T>> {
        self.with(mark, handle, Arc::clone)
    }

    /// Takes a handle and its names out: from now on nobody finds them. The answer is the table's reference.
    /// Not for a thread that is looking a handle up.
    pub fn retire(&self, handle: u32) -> Option<Arc<T>> {
        let mut inner = self.inner.lock();
        let slot = self.current()?.slot(handle);
        let service = slot.load(Ordering::Acquire);
        // SAFETY: a full slot holds a reference.
        if unsafe { service.as_ref() }?.handle() != handle {
            return None;
        }
        slot.store(std::ptr::null_mut(), Ordering::Release);
        for name in inner.named.remove(&handle).unwrap_or_default() {
            inner.names.remove(&name);
        }
        drop(inner);
        if !cfg!(seeded = "retire") {
            self.readers.wait();
        }
        // SAFETY: the slot's reference, which nobody looks at through the table any more.
        Some(unsafe { Arc::from_raw(service) })
    }

    /// The live handles, lowest slot first.
    pub fn all(&self) -> Vec<u32> {
        let _inner = self.inner.lock();
        let slots = self.current().into_iter().flat_map(|slots| slots.0.iter());
        // SAFETY: a full slot holds a reference, and slots are emptied under the lock.
        slots
            .filter_map(|slot| unsafe { slot.load(Ordering::Acquire).as_ref() })
            .map(Registered::handle)
            .collect()
    }

    /// The handle that owns `name` (without its dot), or `None`.
    pub fn find_name(&self, name: &CStr) -> Option<u32> {
        self.inner.lock().names.get(name).copied()
    }

    /// Gives `handle` a name. The answer points to the table's own copy, valid until the handle is
    /// retired; `None` when the name is taken. Whether the handle lives is not checked
    /// (core.md §4.5(2)).
    pub fn set_name(&self, handle: u32, name: &CStr) -> Option<*const std::ffi::c_char> {
        let mut inner = self.inner.lock();
        if inner.names.contains_key(name) {
            return None;
        }
        inner.names.insert(name.to_owned(), handle);
        inner.named.entry(handle).or_default().push(name.to_owned());
        // A C string keeps its heap address when the tree moves its owner around.
        inner.names.get_key_value(name).map(|(key, _)| key.as_ptr())
    }
}

impl<T> Drop for HandleTable<T> {
    fn drop(&mut self) {
        let slots = self.slots.load(Ordering::Relaxed);
        if slots.is_null() {
            return;
        }
        // SAFETY: nobody else has the table any more; each full slot owns a reference.
        unsafe {
            for slot in Box::from_raw(slots).0.iter() {
                let service = slot.load(Ordering::Relaxed);
                if !service.is_null() {
                    drop(Arc::from_raw(service));
                }
            }
        }
    }
}

impl Inner {
    const fn new() -> Self {
        Inner {
            node: 0,
            next: 1,
            skip: false,
            names: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }
}

impl<T: Registered> Default for HandleTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn successor(local: u32) -> u32 {
    if local >= HANDLE_MASK { 1 } else { local + 1 }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicU32, Ordering};

    struct Item(AtomicU32);

    impl Registered for Item {
        fn set_handle(&self, handle: u32) {
            self.0.store(handle, Ordering::Relaxed);
        }
        fn handle(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn item() -> Arc<Item> {
        Arc::new(Item(AtomicU32::new(0)))
    }

    #[test]
    fn numbers_grow_and_skip_taken_slots() {
        let table = HandleTable::new();
        table.set_node(1);
        let keep = table.register(&item());
        assert_eq!(keep, 0x0100_0001);
        // With four slots and 1 alive, 5 and 9 would share its slot.
        let mut seen = Vec::new();
        for _ in 0..8 {
            let handle = table.register(&item());
            seen.push(handle & HANDLE_MASK);
            assert!(table.retire(handle).is_some());
            assert!(table.retire(handle).is_none());
        }
        assert_eq!(seen, [2, 3, 4, 6, 7, 8, 10, 11]);
        let mark = table.readers.mark();
        assert!(table.grab(&mark, keep).is_some());
        assert!(
            table.grab(&mark, keep & HANDLE_MASK).is_none(),
            "the node number is part of the handle"
        );
    }

    #[test]
    fn grows_and_wraps() {
        let table = HandleTable::new();
        let handles: Vec<u32> = (0..100).map(|_| table.register(&item())).collect();
        assert_eq!(handles, (1..=100).collect::<Vec<u32>>());
        let mark = table.readers.mark();
        for handle in &handles {
            assert_eq!(table.grab(&mark, *handle).unwrap().handle(), *handle);
        }
        table.inner.lock().next = HANDLE_MASK;
        assert_eq!(table.register(&item()), HANDLE_MASK);
        assert_eq!(table.register(&item()), 101, "1..=100 are taken");
    }

    #[test]
    fn skips_to_its_end() {
        let table = HandleTable::new();
        table.skip_to_end();
        let handles: Vec<u32> = (0..200).map(|_| table.register(&item())).collect();
        let (low, rest) = handles.split_at(LOW as usize - 1);
        assert_eq!(low.last(), Some(&(LOW - 1)));
        let (high, again) = rest.split_at(rest.partition_point(|handle| *handle > HANDLE_MASK / 2));
        assert!(high.len() > 10 && high.iter().all(|handle| *handle >= HANDLE_MASK - 50));
        // Those that are taken are left out, and it does not skip again.
        assert!(again.len() > 100 && again.is_sorted() && again[0] >= LOW);
        assert!(again.iter().all(|handle| *handle < 1000));
    }

    #[test]
    fn names_go_with_their_handle() {
        let table = HandleTable::new();
        let handle = table.register(&item());
        assert!(table.set_name(handle, c"db").is_some());
        assert!(table.set_name(handle, c"database").is_some());
        assert!(table.set_name(handle, c"db").is_none());
        assert_eq!(table.find_name(c"db"), Some(handle));
        table.retire(handle);
        assert_eq!(table.find_name(c"db"), None);
        assert_eq!(table.find_name(c"database"), None);
        // A name for a handle that never lived is kept (core.md §4.5(2)).
        assert!(table.set_name(0x77, c"ghost").is_some());
        assert_eq!(table.find_name(c"ghost"), Some(0x77));
    }
}
