//! Handles and names: which number, or which local name, is which service.
//!
//! A handle is 32 bits: the node number on top of a 24-bit local number (core.md §4.1). Local
//! numbers grow and are not used again before the counter wraps; numbers whose slot is taken are
//! skipped (core.md §4.3). The table knows nothing about services beyond their handle.

use crate::sync::{Arc, RwLock};
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
    inner: RwLock<Inner<T>>,
}

struct Inner<T> {
    /// Node number, already shifted into place.
    node: u32,
    /// Next local number to try, 1..=`HANDLE_MASK`.
    next: u32,
    /// For tests: from [`LOW`] the numbers go on just below their limit.
    skip: bool,
    /// Power-of-two many; the slot of a handle is its low bits.
    slots: Vec<Option<Arc<T>>>,
    names: BTreeMap<CString, u32>,
    /// Which names a handle owns, so that retiring does not search them all.
    named: BTreeMap<u32, Vec<CString>>,
}

impl<T: Registered> HandleTable<T> {
    pub const fn new() -> Self {
        HandleTable {
            inner: RwLock::new(Inner {
                node: 0,
                next: 1,
                skip: false,
                slots: Vec::new(),
                names: BTreeMap::new(),
                named: BTreeMap::new(),
            }),
        }
    }

    /// Sets the node number that new handles carry. Only its low byte counts.
    pub fn set_node(&self, node: u32) {
        self.inner.write().node = (node & 0xff) << REMOTE_SHIFT;
    }

    /// For tests: after the first few services, new numbers come from just below the limit.
    pub fn skip_to_end(&self) {
        self.inner.write().skip = true;
    }

    /// Gives `service` a handle and makes it visible.
    /// Ends the process when 2^24 services are alive.
    pub fn register(&self, service: &Arc<T>) -> u32 {
        let mut inner = self.inner.write();
        if inner.slots.is_empty() {
            inner.slots.resize_with(FIRST_SIZE, || None);
        }
        let (local, slot) = loop {
            match inner.free_number() {
                Some(found) => break found,
                None => inner.grow(),
            }
        };
        inner.next = match successor(local) {
            LOW if std::mem::take(&mut inner.skip) => HANDLE_MASK - super::WRAP_AFTER,
            next => next,
        };
        let handle = inner.node | local;
        service.set_handle(handle);
        inner.slots[slot] = Some(service.clone());
        handle
    }

    /// True when no service was ever registered.
    pub fn is_unused(&self) -> bool {
        self.inner.read().slots.is_empty()
    }

    /// Runs `f` on a live service.
    pub fn with<R>(&self, handle: u32, f: impl FnOnce(&T) -> R) -> Option<R> {
        let inner = self.inner.read();
        inner.find(handle).map(|service| f(service))
    }

    /// A reference to a live service.
    pub fn grab(&self, handle: u32) -> Option<Arc<T>> {
        self.inner.read().find(handle).cloned()
    }

    /// Takes a handle and its names out. The caller drops the reference, outside the table's lock.
    pub fn retire(&self, handle: u32) -> Option<Arc<T>> {
        let mut inner = self.inner.write();
        inner.find(handle)?;
        let slot = inner.slot(handle);
        let service = inner.slots[slot].take();
        for name in inner.named.remove(&handle).unwrap_or_default() {
            inner.names.remove(&name);
        }
        service
    }

    /// The live handles, lowest slot first.
    pub fn all(&self) -> Vec<u32> {
        self.inner
            .read()
            .slots
            .iter()
            .flatten()
            .map(|service| service.handle())
            .collect()
    }

    /// The handle that owns `name` (without its dot), or `None`.
    pub fn find_name(&self, name: &CStr) -> Option<u32> {
        self.inner.read().names.get(name).copied()
    }

    /// Gives `handle` a name. The answer points to the table's own copy, valid until the handle is
    /// retired; `None` when the name is taken. Whether the handle lives is not checked
    /// (core.md §4.5(2)).
    pub fn set_name(&self, handle: u32, name: &CStr) -> Option<*const std::ffi::c_char> {
        let mut inner = self.inner.write();
        if inner.names.contains_key(name) {
            return None;
        }
        inner.names.insert(name.to_owned(), handle);
        inner.named.entry(handle).or_default().push(name.to_owned());
        // A C string keeps its heap address when the tree moves its owner around.
        inner.names.get_key_value(name).map(|(key, _)| key.as_ptr())
    }
}

impl<T: Registered> Default for HandleTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Registered> Inner<T> {
    fn slot(&self, handle: u32) -> usize {
        (handle & HANDLE_MASK) as usize & (self.slots.len() - 1)
    }

    fn find(&self, handle: u32) -> Option<&Arc<T>> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot(handle)]
            .as_ref()
            .filter(|service| service.handle() == handle)
    }

    /// The first number, from `next` on, whose slot is free.
    fn free_number(&self) -> Option<(u32, usize)> {
        let mut local = self.next;
        for _ in 0..self.slots.len() {
            let slot = self.slot(local);
            if self.slots[slot].is_none() {
                return Some((local, slot));
            }
            local = successor(local);
        }
        None
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        if size > MAX_SIZE {
            super::fatal(format_args!(
                "no handle left: {} services are alive",
                self.slots.len()
            ));
        }
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(size, || None);
        for service in old.into_iter().flatten() {
            let slot = self.slot(service.handle());
            self.slots[slot] = Some(service);
        }
    }
}

fn successor(local: u32) -> u32 {
    if local >= HANDLE_MASK { 1 } else { local + 1 }
}

#[cfg(test)]
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
        assert!(table.grab(keep).is_some());
        assert!(
            table.grab(keep & HANDLE_MASK).is_none(),
            "the node number is part of the handle"
        );
    }

    #[test]
    fn grows_and_wraps() {
        let table = HandleTable::new();
        let handles: Vec<u32> = (0..100).map(|_| table.register(&item())).collect();
        assert_eq!(handles, (1..=100).collect::<Vec<u32>>());
        for handle in &handles {
            assert_eq!(table.grab(*handle).unwrap().handle(), *handle);
        }
        table.inner.write().next = HANDLE_MASK;
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
