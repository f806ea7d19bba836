//! The table of sockets: ids and the slots they live in (core.md §8.1).
//!
//! Each slot has its own lock. A thread never holds the locks of two slots at once.

use super::event::SocketId;
use super::socket::Socket;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use std::ops::{Deref, DerefMut};

/// How many sockets there can be.
pub const MAX_SOCKETS: usize = 1 << 16;

/// The ids go from 1 to this and then begin again.
const MAX_ID: u64 = i32::MAX as u64;

type Slot = Mutex<Option<Box<Socket>>>;

/// All sockets of an engine.
pub struct Slots {
    slots: Box<[Slot]>,
    /// The id to try next, minus one, as a free-running counter.
    counter: AtomicU64,
    /// Slots in use. Spares a search through a full table.
    used: AtomicUsize,
}

/// A socket, locked.
pub struct Locked<'a> {
    slot: MutexGuard<'a, Option<Box<Socket>>>,
    used: &'a AtomicUsize,
}

impl Default for Slots {
    fn default() -> Self {
        Slots {
            slots: (0..MAX_SOCKETS).map(|_| Slot::default()).collect(),
            counter: AtomicU64::new(0),
            used: AtomicUsize::new(0),
        }
    }
}

impl Slots {
    fn slot(&self, id: SocketId) -> &Slot {
        &self.slots[id.0 as usize % MAX_SOCKETS]
    }

    fn next_id(&self) -> SocketId {
        SocketId((self.counter.fetch_add(1, Ordering::Relaxed) % MAX_ID) as i32 + 1)
    }

    /// Lets the next ids be `count` below the last one.
    pub fn skip_to_end(&self, count: u32) {
        let next = MAX_ID - u64::from(count);
        self.counter.store(next, Ordering::Relaxed);
    }

    /// How many slots are in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Puts a new socket into a free slot and returns it locked; nothing when the table is full.
    pub fn insert(&self, make: impl FnOnce(SocketId) -> Socket) -> Option<Locked<'_>> {
        for _ in 0..MAX_SOCKETS {
            if self.used() >= MAX_SOCKETS {
                return None;
            }
            let id = self.next_id();
            // A slot that is locked is in use or about to change hands: the next one is as good.
            let Some(mut slot) = self.slot(id).try_lock() else {
                continue;
            };
            if slot.is_none() {
                self.used.fetch_add(1, Ordering::Relaxed);
                *slot = Some(Box::new(make(id)));
                return Some(Locked {
                    slot,
                    used: &self.used,
                });
            }
        }
        None
    }

    /// The socket with this id, if there still is one.
    pub fn lock(&self, id: SocketId) -> Option<Locked<'_>> {
        if id.0 <= 0 {
            return None;
        }
        let slot = self.slot(id).lock();
        let found = slot.as_ref().is_some_and(|socket| socket.id == id);
        found.then_some(Locked {
            slot,
            used: &self.used,
        })
    }

    /// Calls `visit` with each socket, by slot.
    pub fn for_each(&self, mut visit: impl FnMut(&Socket)) {
        for slot in &self.slots {
            if let Some(socket) = slot.lock().as_deref() {
                visit(socket);
            }
        }
    }

    /// Takes all sockets out, one by one.
    pub fn take_all(&self) -> impl Iterator<Item = Box<Socket>> {
        self.slots.iter().filter_map(|slot| {
            let socket = slot.lock().take()?;
            self.used.fetch_sub(1, Ordering::Relaxed);
            Some(socket)
        })
    }
}

impl Locked<'_> {
    /// Frees the slot and returns what was in it, so that it can be dropped without the lock.
    pub fn remove(mut self) -> Option<Box<Socket>> {
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.slot.take()
    }
}

impl Deref for Locked<'_> {
    type Target = Socket;
    fn deref(&self) -> &Socket {
        // Both ways to make a Locked check this, and `remove` consumes it.
        self.slot.as_deref().expect("a locked slot holds a socket")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Socket {
        self.slot
            .as_deref_mut()
            .expect("a locked slot holds a socket")
    }
}

#[cfg(test)]
mod tests {
    use super::super::socket::{Kind, Phase};
    use super::*;

    fn insert(slots: &Slots) -> Option<SocketId> {
        slots
            .insert(|id| Socket::new(id, 0, Kind::Tcp, Phase::Open, None))
            .map(|socket| socket.id)
    }

    #[test]
    fn ids_begin_at_one_and_skip_used_slots() {
        let slots = Slots::default();
        assert_eq!(insert(&slots), Some(SocketId(1)));
        assert_eq!(insert(&slots), Some(SocketId(2)));
        slots.lock(SocketId(2)).unwrap().remove();
        slots.counter.store(MAX_SOCKETS as u64, Ordering::Relaxed);
        // The id whose slot is that of 1 is skipped.
        assert_eq!(insert(&slots), Some(SocketId(MAX_SOCKETS as i32 + 2)));
        assert!(slots.lock(SocketId(2)).is_none());
        assert!(slots.lock(SocketId(MAX_SOCKETS as i32 + 1)).is_none());
        assert!(slots.lock(SocketId(0)).is_none());
        assert!(slots.lock(SocketId(-1)).is_none());
    }

    #[test]
    fn ids_wrap_without_becoming_zero_or_negative() {
        let slots = Slots::default();
        slots.counter.store(MAX_ID - 1, Ordering::Relaxed);
        assert_eq!(insert(&slots), Some(SocketId(i32::MAX)));
        assert_eq!(insert(&slots), Some(SocketId(1)));
    }

    #[test]
    fn a_full_table_refuses() {
        let slots = Slots::default();
        for _ in 0..MAX_SOCKETS {
            assert!(insert(&slots).is_some());
        }
        assert_eq!(insert(&slots), None);
        slots.lock(SocketId(77)).unwrap().remove();
        assert_eq!(insert(&slots), Some(SocketId(MAX_SOCKETS as i32 + 77)));
        assert_eq!(slots.take_all().count(), MAX_SOCKETS);
    }
}
