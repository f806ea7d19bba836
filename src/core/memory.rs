//! Who uses how much memory: the accounts behind the exported malloc family (core.md §9.2, §9.3).
//!
//! A block is charged to the service that runs on the allocating thread and released from the same
//! account, whoever frees it. Accounts are slots, found by the low 16 bits of the handle; a slot has
//! an owner, and the two API levels differ in who may become one:
//!
//! - head: whoever allocates. A slot is never reset, so a later service with the same low bits goes
//!   on with the balance. Hidden prefixes of blocks count. What handle 0 allocates (threads outside
//!   the core, fresh workers) is in slot 0 and, as long as slot 0 is owned by handle 0, in no sum.
//! - 1.8: who finds the slot without owner or without balance. Others' blocks are in no slot, but in
//!   the total, as is everything. Prefixes do not count.
//!
//! The numbers themselves are in [`tally`]; this file is the policy. It runs inside `malloc`, before
//! `main` and after a thread's destructors: nothing here allocates, locks or needs to be set up,
//! except for the queries at the end.

use crate::core::{self, API_HEAD};
use crate::sys::tally::{self, SLOTS, Totals};
use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// The handle a slot is shown under, 0 when it has none. Written by allocating threads, and only
/// when it changes, so that the line stays shared between them. Says nothing about the counters of
/// the slot, hence Relaxed.
static OWNERS: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];

/// At level 1.8, a thread asks for the balance of a slot that somebody else owns when another
/// service than last time finds it so, and then every so many allocations: adding up is not free.
const RETRY: u32 = 64;

thread_local! {
    // The handle last found without a slot on this thread, and its allocations until the next try.
    static HOMELESS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// What a block must remember to be released from the account it was charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The service that was running.
    pub handle: u32,
    /// False when the block is in the total only.
    pub in_slot: bool,
}

impl Charge {
    fn slot(self) -> Option<u16> {
        self.in_slot.then_some(slot_of(self.handle))
    }
}

fn slot_of(handle: u32) -> u16 {
    handle as u16
}

/// Charges the running service with a new block of `len` bytes behind a hidden prefix.
#[inline]
pub fn allocated(len: usize, prefix: usize) -> Charge {
    charge(API_HEAD, core::current_handle(), len, prefix)
}

/// Takes a block from the account it was charged to; `len` and `prefix` as they were then.
#[inline]
pub fn freed(charge: Charge, len: usize, prefix: usize) {
    release(API_HEAD, charge, len, prefix);
}

#[inline]
fn charge(head: bool, handle: u32, len: usize, prefix: usize) -> Charge {
    let owner = &OWNERS[usize::from(slot_of(handle))];
    let in_slot = if owner.load(Relaxed) == handle {
        true
    } else if head {
        owner.store(handle, Relaxed);
        true
    } else {
        settle(handle)
    };
    let charge = Charge { handle, in_slot };
    tally::mine().allocated(charge.slot(), counted(head, len, prefix));
    charge
}

#[inline]
fn release(head: bool, charge: Charge, len: usize, prefix: usize) {
    tally::mine().freed(charge.slot(), counted(head, len, prefix));
}

/// The size that statistics show for a block.
#[inline]
fn counted(head: bool, len: usize, prefix: usize) -> usize {
    if head { len + prefix } else { len }
}

/// Level 1.8: makes `handle` the owner of its slot if it may be, and says whether it is.
#[cold]
fn settle(handle: u32) -> bool {
    let slot = slot_of(handle);
    let owner = &OWNERS[usize::from(slot)];
    let holder = owner.load(Relaxed);
    if holder != 0 {
        let (homeless, wait) = HOMELESS.get();
        if homeless == handle && wait > 0 {
            HOMELESS.set((handle, wait - 1));
            return false;
        }
        if tally::slot(slot).bytes() > 0 {
            HOMELESS.set((handle, RETRY));
            return false;
        }
    }
    match owner.compare_exchange(holder, handle, Relaxed, Relaxed) {
        Ok(_) => true,
        Err(other) => other == handle,
    }
}

/// Bytes in use in the whole process.
pub fn used() -> usize {
    total(API_HEAD).bytes()
}

/// Blocks in use in the whole process.
pub fn blocks() -> usize {
    total(API_HEAD).blocks()
}

fn total(head: bool) -> Totals {
    if head && OWNERS[0].load(Relaxed) == 0 {
        tally::all().without(tally::slot(0))
    } else {
        tally::all()
    }
}

/// Bytes in the account of `handle`; 0 when its slot belongs to another.
pub fn of(handle: u32) -> usize {
    let slot = slot_of(handle);
    if OWNERS[usize::from(slot)].load(Relaxed) == handle {
        tally::slot(slot).bytes()
    } else {
        0
    }
}

/// The accounts worth showing, as (handle, bytes), in the order of their slots.
pub fn accounts() -> impl Iterator<Item = (u32, usize)> {
    accounts_at(API_HEAD)
}

fn accounts_at(head: bool) -> impl Iterator<Item = (u32, usize)> {
    OWNERS
        .iter()
        .zip(0..=u16::MAX)
        .filter_map(move |(owner, slot)| {
            let handle = owner.load(Relaxed);
            if handle == 0 {
                return None;
            }
            let bytes = tally::slot(slot).bytes();
            (head || bytes > 0).then_some((handle, bytes))
        })
}

/// What a service that has ended left in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub handle: u32,
    pub bytes: usize,
    pub blocks: usize,
}

/// The accounts of services that have ended while blocks of theirs are in use, in the order of their
/// slots; `alive` knows who has not. Such an account says what was forgotten, or handed on to others.
///
/// At level head a service that is given the slot, 65,536 launches later, takes these blocks over with
/// the rest of the balance.
pub fn left(alive: impl Fn(u32) -> bool) -> impl Iterator<Item = Left> {
    OWNERS
        .iter()
        .zip(0..=u16::MAX)
        .filter_map(move |(owner, slot)| {
            let handle = owner.load(Relaxed);
            if handle == 0 || alive(handle) {
                return None;
            }
            let balance = tally::slot(slot);
            let (bytes, blocks) = (balance.bytes(), balance.blocks());
            (blocks > 0).then_some(Left {
                handle,
                bytes,
                blocks,
            })
        })
}

/// Writes the accounts to the log, from source 0.
pub fn dump() {
    core::log(0, format_args!("dump all service mem:"));
    let mut total = 0;
    for (handle, bytes) in accounts() {
        total += bytes;
        let rest = if API_HEAD { bytes } else { bytes % 1024 };
        core::log(
            0,
            format_args!(":{handle:08x} -> {}kb {rest}b", bytes >> 10),
        );
    }
    core::log(0, format_args!("+total: {}kb", total >> 10));
}

#[cfg(test)]
mod tests {
    use super::*;

    // The accounts are the process's: every test has low bits of its own.
    const HEAD: bool = true;
    const V18: bool = false;

    fn bytes(handle: u32) -> usize {
        of(handle)
    }

    #[test]
    fn prefixes_count_at_head_only() {
        let old = charge(V18, 0x0100_1001, 100, 16);
        let new = charge(HEAD, 0x0100_1002, 100, 64);
        assert_eq!(bytes(0x0100_1001), 100);
        assert_eq!(bytes(0x0100_1002), 164);
        release(V18, old, 100, 16);
        release(HEAD, new, 100, 64);
        assert_eq!(bytes(0x0100_1001), 0);
        assert_eq!(bytes(0x0100_1002), 0);
    }

    #[test]
    fn the_allocating_service_is_released_wherever_the_block_is_freed() {
        let block = charge(API_HEAD, 0x1003, 50, 0);
        std::thread::spawn(move || {
            charge(API_HEAD, 0x1004, 8, 0);
            release(API_HEAD, block, 50, 0);
        })
        .join()
        .unwrap();
        assert_eq!(bytes(0x1003), 0);
        assert_eq!(bytes(0x1004), 8);
    }

    #[test]
    fn head_hands_the_balance_to_the_next_in_the_slot() {
        charge(HEAD, 0x0001_1005, 100, 0);
        let block = charge(HEAD, 0x0002_1005, 10, 0);
        assert_eq!(bytes(0x0001_1005), 0);
        assert_eq!(bytes(0x0002_1005), 110);
        release(HEAD, block, 10, 0);
        assert!(accounts_at(HEAD).any(|a| a == (0x0002_1005, 100)));
    }

    #[test]
    fn v18_keeps_a_slot_while_it_has_a_balance() {
        let first = charge(V18, 0x0001_1006, 100, 0);
        let stray = charge(V18, 0x0002_1006, 10, 0);
        assert!(!stray.in_slot);
        assert_eq!(bytes(0x0001_1006), 100);
        assert_eq!(bytes(0x0002_1006), 0);
        release(V18, stray, 10, 0);
        assert_eq!(bytes(0x0001_1006), 100);

        // Free again, the slot goes to the next that asks; who was refused asks again before long.
        release(V18, first, 100, 0);
        assert!((0..=RETRY).any(|_| charge(V18, 0x0002_1006, 0, 0).in_slot));
        charge(V18, 0x0002_1006, 10, 0);
        assert_eq!(bytes(0x0002_1006), 10);

        // A newcomer is not put off.
        let third = charge(V18, 0x0003_1006, 1, 0);
        assert!(!third.in_slot);
        let holder = Charge {
            handle: 0x0002_1006,
            in_slot: true,
        };
        release(V18, holder, 10, 0);
        assert!(charge(V18, 0x0004_1006, 1, 0).in_slot);
    }

    #[test]
    fn empty_accounts_show_at_head_only() {
        let block = charge(HEAD, 0x1007, 5, 0);
        release(HEAD, block, 5, 0);
        assert!(accounts_at(HEAD).any(|a| a == (0x1007, 0)));
        assert!(accounts_at(V18).all(|(handle, _)| handle != 0x1007));
    }

    #[test]
    fn what_is_left_is_that_of_the_ended() {
        const GONE: u32 = 0x1008;
        const ALIVE: u32 = 0x1009;
        let found = |handle| left(|h| h == ALIVE).find(|left| left.handle == handle);
        let blocks = [charge(API_HEAD, GONE, 100, 0), charge(API_HEAD, GONE, 0, 0)];
        let kept = charge(API_HEAD, ALIVE, 100, 0);
        let expected = |bytes, blocks| {
            Some(Left {
                handle: GONE,
                bytes,
                blocks,
            })
        };
        assert_eq!(found(GONE), expected(100, 2));
        assert_eq!(found(ALIVE), None);
        // An empty block is a block.
        release(API_HEAD, blocks[0], 100, 0);
        assert_eq!(found(GONE), expected(0, 1));
        release(API_HEAD, blocks[1], 0, 0);
        assert_eq!(found(GONE), None);
        release(API_HEAD, kept, 100, 0);
    }

    #[test]
    fn handle_zero_is_in_no_sum_at_head() {
        // 1 << 40 stands out from what the tests beside this one count.
        let (v18, head) = (total(V18).bytes(), total(HEAD).bytes());
        let block = charge(API_HEAD, 0, 1 << 40, 0);
        // Other tests free meanwhile.
        assert!(total(V18).bytes() - v18 >= (1 << 40) - (1 << 36));
        assert!(total(HEAD).bytes().abs_diff(head) < 1 << 40);
        assert!(bytes(0) >= 1 << 40);
        assert!(accounts_at(HEAD).all(|(handle, _)| handle != 0));
        release(API_HEAD, block, 1 << 40, 0);
    }
}
