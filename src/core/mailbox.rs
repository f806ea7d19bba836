//! The mailbox: a service's queue of messages, and the question who runs it.
//!
//! Many threads push, one at a time pops. The right to pop is the *turn* of the mailbox: whoever pushes into a
//! mailbox without one gets it and passes it to the scheduler; the worker that has it runs the service, and
//! gives it up when it finds the mailbox empty. So a mailbox is *idle* (empty, nobody has its turn),
//! *scheduled* (its turn waits in a run queue) or *running* (a worker has it), and one worker at a time runs
//! its service (core.md §6.1).
//!
//! One word, `tail`, holds the position of the next push, the turn and whether the service is retired. A push
//! takes a position and, if it is free, the turn in one exchange; going idle is an exchange that fails when
//! a push came in between. That is why no message can be left in a mailbox that nobody runs.
//!
//! Messages lie in blocks of [`ROOM`] slots, linked in order. Positions count in steps of [`LAP`]: the last
//! number of a lap stands for "the next block is being linked", and pushes wait until it is. A slot says by its
//! `full` flag that the message is written; a position may be taken before that, see [`Popped::Pending`].

#![allow(unsafe_code)]

use super::message::Message;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, UnsafeCell, spin_loop, thread};
use crate::sys::tally;
use std::mem::MaybeUninit;

/// Length above which a service is reported as overloaded (core.md §6.4).
const OVERLOAD: usize = 1024;

/// Slots of a block; with its link a block is 512 bytes.
const ROOM: u64 = if cfg!(modelled) { 1 } else { 15 };
/// Positions of a block: one for each slot, one for linking the next block.
const LAP: u64 = ROOM + 1;

/// Bits of `tail`: somebody has the turn.
const TURN: u64 = 1;
/// The service was taken out of the handle table.
const RETIRED: u64 = 2;
/// One position.
const STEP: u64 = 4;
const SHIFT: u32 = STEP.trailing_zeros();

/// Spins for a block that another push is linking before the thread lets others run: a few instructions away
/// unless that thread was preempted.
const SPINS: u32 = if cfg!(modelled) { 0 } else { 64 };

struct Slot {
    /// Written by the push that has the position, then read by the pop that clears it. Its release and
    /// acquire pass the message on.
    full: AtomicBool,
    message: UnsafeCell<MaybeUninit<Message>>,
}

struct Block {
    /// Set, before the last slot becomes full, by the push that filled it.
    next: AtomicPtr<Block>,
    slots: [Slot; ROOM as usize],
}

impl Block {
    /// In no service's account: the sender that happens to need it may end long before the receiver.
    fn new() -> Box<Block> {
        super::unowned(|| {
            Box::new(Block {
                next: AtomicPtr::new(std::ptr::null_mut()),
                slots: std::array::from_fn(|_| Slot {
                    full: AtomicBool::new(false),
                    message: UnsafeCell::new(MaybeUninit::uninit()),
                }),
            })
        })
    }
}

/// What pushes write.
#[repr(align(64))]
struct Tail {
    /// Position of the next push << SHIFT, TURN, RETIRED.
    word: AtomicU64,
    /// The block of that position; null until the first push.
    block: AtomicPtr<Block>,
    /// A block that was read to its end, for the next push that needs one.
    spare: AtomicPtr<Block>,
}

/// What the holder of the turn writes.
#[repr(align(64))]
struct Head {
    /// Position of the next pop.
    position: AtomicU64,
    /// The block of that position; set by the first push, from then on by pops.
    block: AtomicPtr<Block>,
    /// Length at which the next overload is recorded.
    threshold: AtomicUsize,
    /// Recorded length that nobody has asked for yet; 0 when there is none.
    overload: AtomicUsize,
}

/// A queue from many threads to the one that has its turn.
pub struct Mailbox {
    tail: Tail,
    head: Head,
    /// For C code, which may pop without the turn.
    poppers: Mutex<()>,
}

/// What a push did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Somebody has the turn and will see the message.
    Queued,
    /// The caller has the turn now.
    Turn {
        /// The service was retired before.
        retired: bool,
    },
}

/// What a pop found.
#[derive(Debug)]
pub enum Popped {
    /// The oldest message.
    Message(Message),
    /// A push is on its way: its thread has a position and was stopped before it wrote the message. The turn
    /// stays with the caller, who had better do something else first.
    Pending,
    /// Nothing; the turn is gone, and with it the right to touch the mailbox.
    Idle {
        /// The service was retired before.
        retired: bool,
    },
}

impl Mailbox {
    /// An empty mailbox whose turn the caller has: pushes only queue until it passes the turn on or pops to the
    /// end, so a service receives nothing before it is initialised.
    pub fn new() -> Self {
        Mailbox {
            tail: Tail {
                word: AtomicU64::new(TURN),
                block: AtomicPtr::new(std::ptr::null_mut()),
                spare: AtomicPtr::new(std::ptr::null_mut()),
            },
            head: Head {
                position: AtomicU64::new(0),
                block: AtomicPtr::new(std::ptr::null_mut()),
                threshold: AtomicUsize::new(OVERLOAD),
                overload: AtomicUsize::new(0),
            },
            poppers: Mutex::new(()),
        }
    }

    /// Messages that wait, those included that are being written.
    pub fn len(&self) -> usize {
        let head = self.head.position.load(Ordering::Relaxed);
        self.len_from(head, self.tail.word.load(Ordering::Relaxed))
    }

    /// True when no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages between a position and a tail word. While the next block is being linked the tail stands
    /// behind the slots of its lap, which counts right.
    fn len_from(&self, head: u64, tail: u64) -> usize {
        let count = |position: u64| position / LAP * ROOM + position % LAP;
        count(tail >> SHIFT).saturating_sub(count(head)) as usize
    }

    /// Queues a message.
    #[must_use]
    #[inline(always)]
    pub fn push(&self, message: Message) -> Pushed {
        let bytes = message.len();
        let mut link: Option<Box<Block>> = None;
        let mut spins = 0;
        let mut tail = self.tail.word.load(Ordering::Acquire);
        loop {
            let offset = (tail >> SHIFT) % LAP;
            if offset == ROOM {
                // The push before us is linking the next block.
                spins += 1;
                if spins > SPINS {
                    thread::yield_now();
                } else {
                    spin_loop();
                }
                tail = self.tail.word.load(Ordering::Acquire);
                continue;
            }
            let mut block = self.tail.block.load(Ordering::Acquire);
            if block.is_null() {
                block = self.first_block();
            }
            let last = offset + 1 == ROOM;
            if last && link.is_none() {
                link = Some(self.spare_block());
            }
            // Acquire: with the position comes its block. Release: who pops this position sees what we did.
            match self.tail.word.compare_exchange_weak(
                tail,
                (tail + STEP) | TURN,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Err(now) => tail = now,
                Ok(_) => {
                    // SAFETY: the word did not change since the block was read, so it is the one of our
                    // position; it is freed only after our slot was full and popped.
                    let block = unsafe { &*block };
                    if last {
                        let next = link.take().map_or(std::ptr::null_mut(), Box::into_raw);
                        block.next.store(next, Ordering::Release);
                        self.tail.block.store(next, Ordering::Release);
                        // Adding keeps the flags, which others may set meanwhile.
                        self.tail.word.fetch_add(STEP, Ordering::Release);
                    }
                    let slot = &block.slots[offset as usize];
                    slot.message.with_mut(|to| {
                        // SAFETY: the position is ours alone, and its slot is empty.
                        unsafe { message.write_fields((*to).as_mut_ptr()) };
                    });
                    slot.full.store(true, Ordering::Release);
                    // Others may have to wait for what is above, but not for this.
                    if cfg!(not(modelled)) && bytes != 0 {
                        tally::mine().queued(bytes);
                    }
                    if let Some(block) = link {
                        self.recycle(block);
                    }
                    return if tail & TURN != 0 {
                        Pushed::Queued
                    } else {
                        let retired = tail & RETIRED != 0;
                        Pushed::Turn { retired }
                    };
                }
            }
        }
    }

    /// Links the first block, which pushes may do at the same time; the answer is the one that stays, or
    /// whatever came after it.
    #[cold]
    fn first_block(&self) -> *mut Block {
        let block = Box::into_raw(Block::new());
        match self.tail.block.compare_exchange(
            std::ptr::null_mut(),
            block,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => {
                self.head.block.store(block, Ordering::Release);
                block
            }
            Err(other) => {
                // SAFETY: nobody else saw ours.
                drop(unsafe { Box::from_raw(block) });
                other
            }
        }
    }

    #[cold]
    fn spare_block(&self) -> Box<Block> {
        let spare = self
            .tail
            .spare
            .swap(std::ptr::null_mut(), Ordering::Acquire);
        if spare.is_null() {
            return Block::new();
        }
        // SAFETY: the swap made us the only owner.
        unsafe { Box::from_raw(spare) }
    }

    /// Keeps one block whose slots are empty; frees what was kept before.
    fn recycle(&self, block: Box<Block>) {
        block.next.store(std::ptr::null_mut(), Ordering::Relaxed);
        let old = self.tail.spare.swap(Box::into_raw(block), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: the swap made us the only owner.
            drop(unsafe { Box::from_raw(old) });
        }
    }

    /// The oldest message; an empty mailbox becomes idle.
    ///
    /// # Safety
    /// The caller has the turn, or keeps every other thread from popping.
    #[inline(always)]
    pub unsafe fn pop(&self) -> Popped {
        // SAFETY: passed on.
        match unsafe { self.take() } {
            Some(message) => Popped::Message(message),
            // SAFETY: passed on.
            None => unsafe { self.go_idle() },
        }
    }

    /// What [`Mailbox::pop`] does when no message is written.
    unsafe fn go_idle(&self) -> Popped {
        let position = self.head.position.load(Ordering::Relaxed);
        let tail = self.tail.word.load(Ordering::Acquire);
        if tail >> SHIFT != position {
            return Popped::Pending;
        }
        self.head.threshold.store(OVERLOAD, Ordering::Relaxed);
        let retired = tail & RETIRED != 0;
        if tail & TURN == 0 {
            // C code that pops without the turn.
            return Popped::Idle { retired };
        }
        #[cfg(seeded = "mailbox")]
        {
            self.tail.word.fetch_and(!TURN, Ordering::AcqRel);
            return Popped::Idle { retired };
        }
        // Release: the next holder of the turn sees what this one wrote. A failure means that somebody pushed,
        // or retired the service, in between.
        #[cfg(not(seeded = "mailbox"))]
        match self.tail.word.compare_exchange(
            tail,
            tail & !TURN,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Popped::Idle { retired },
            // SAFETY: passed on.
            Err(_) => unsafe { self.pop_again() },
        }
    }

    #[cfg(not(seeded = "mailbox"))]
    #[cold]
    #[inline(never)]
    unsafe fn pop_again(&self) -> Popped {
        // SAFETY: passed on.
        unsafe { self.pop() }
    }

    /// The oldest message, if it is written. The turn stays where it is.
    ///
    /// # Safety
    /// As [`Mailbox::pop`].
    #[inline(always)]
    pub unsafe fn take(&self) -> Option<Message> {
        let block = self.head.block.load(Ordering::Acquire);
        // SAFETY: the block of the head is freed by pops only.
        let here = unsafe { block.as_ref() }?;
        let position = self.head.position.load(Ordering::Relaxed);
        let offset = position % LAP;
        let slot = &here.slots[offset as usize];
        // Acquire: pairs with the release of the push that wrote the message.
        if !slot.full.load(Ordering::Acquire) {
            return None;
        }
        let message = slot.message.with(|from| {
            // SAFETY: a full slot holds a message, which we take out. Field by field, as it was written: a wider
            // read of what was written in parts a moment ago stalls the processor.
            unsafe { Message::read_fields((*from).as_ptr()) }
        });
        slot.full.store(false, Ordering::Relaxed);
        if cfg!(not(modelled)) && !message.is_empty() {
            tally::mine().unqueued(message.len());
        }
        let position = if offset + 1 == ROOM {
            // Set before the last slot became full.
            let next = here.next.load(Ordering::Acquire);
            self.head.block.store(next, Ordering::Relaxed);
            // SAFETY: every push into this block is done, and we are the only one that pops.
            self.recycle(unsafe { Box::from_raw(block) });
            position + 2
        } else {
            position + 1
        };
        self.head.position.store(position, Ordering::Relaxed);
        self.note_length(position);
        Some(message)
    }

    /// Records an overload (core.md §6.4).
    fn note_length(&self, position: u64) {
        let left = self.len_from(position, self.tail.word.load(Ordering::Relaxed));
        let mut threshold = self.head.threshold.load(Ordering::Relaxed);
        if left > threshold {
            self.head.overload.store(left, Ordering::Relaxed);
            while threshold < left {
                threshold *= 2;
            }
            self.head.threshold.store(threshold, Ordering::Relaxed);
        }
    }

    /// The length recorded since the last call when it passed the threshold, else 0.
    pub fn take_overload(&self) -> usize {
        if self.head.overload.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.head.overload.swap(0, Ordering::Relaxed)
    }

    /// Marks the service as retired. True when somebody has the turn.
    pub fn retire(&self) -> bool {
        self.tail.word.fetch_or(RETIRED, Ordering::AcqRel) & TURN != 0
    }

    /// Whether [`Mailbox::retire`] was called.
    pub fn is_retired(&self) -> bool {
        self.tail.word.load(Ordering::Acquire) & RETIRED != 0
    }

    /// Takes the turn of an idle mailbox. False when somebody has it.
    pub fn claim(&self) -> bool {
        self.tail.word.fetch_or(TURN, Ordering::AcqRel) & TURN == 0
    }

    /// Keeps other callers of this function out, for C code that pops without the turn.
    pub fn lock_poppers(&self) -> MutexGuard<'_, ()> {
        self.poppers.lock()
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // SAFETY: nobody else has the mailbox any more.
        while unsafe { self.take() }.is_some() {}
        for block in [&self.head.block, &self.tail.spare] {
            let block = block.load(Ordering::Relaxed);
            if !block.is_null() {
                // SAFETY: as above; with every message taken the tail's block is the head's.
                drop(unsafe { Box::from_raw(block) });
            }
        }
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;

    fn message(session: i32) -> Message {
        Message::empty(0, session, 0)
    }

    fn pop(mailbox: &Mailbox) -> Option<i32> {
        // SAFETY: these tests pop on one thread.
        match unsafe { mailbox.pop() } {
            Popped::Message(message) => Some(message.session),
            Popped::Pending => panic!("nobody pushes"),
            Popped::Idle { .. } => None,
        }
    }

    #[test]
    fn the_first_push_into_an_idle_mailbox_gets_the_turn() {
        let mailbox = Mailbox::new();
        assert_eq!(mailbox.push(message(1)), Pushed::Queued, "the maker has it");
        assert_eq!(pop(&mailbox), Some(1));
        assert_eq!(pop(&mailbox), None);
        assert_eq!(mailbox.push(message(2)), Pushed::Turn { retired: false });
        assert_eq!(mailbox.push(message(3)), Pushed::Queued);
        assert_eq!(mailbox.len(), 2);
        assert_eq!(pop(&mailbox), Some(2));
        assert_eq!(pop(&mailbox), Some(3));
        assert!(
            mailbox.retire(),
            "the turn is ours until the pop that finds nothing"
        );
        assert_eq!(pop(&mailbox), None);
        assert_eq!(mailbox.push(message(4)), Pushed::Turn { retired: true });
    }

    #[test]
    fn keeps_order_and_length_over_many_blocks() {
        let mailbox = Mailbox::new();
        let (mut pushed, mut popped) = (0, 0);
        for round in 1..200 {
            for _ in 0..round % 37 {
                let _ = mailbox.push(message(pushed));
                pushed += 1;
            }
            for _ in 0..round % 31 {
                if popped < pushed {
                    assert_eq!(pop(&mailbox), Some(popped));
                    popped += 1;
                }
            }
            assert_eq!(mailbox.len(), (pushed - popped) as usize);
        }
        while popped < pushed {
            assert_eq!(pop(&mailbox), Some(popped));
            popped += 1;
        }
        assert_eq!(pop(&mailbox), None);
    }

    #[test]
    fn what_is_left_is_freed_with_the_mailbox() {
        let mailbox = Mailbox::new();
        for session in 0..100 {
            let _ = mailbox.push(Message::with_bytes(1, session, 0, b"payload"));
        }
        assert_eq!(mailbox.len(), 100);
    }

    #[test]
    fn many_threads_push_and_one_at_a_time_pops() {
        const SENDERS: i32 = 4;
        const EACH: i32 = if cfg!(miri) { 100 } else { 20_000 };
        let mailbox = Mailbox::new();
        assert_eq!(pop(&mailbox), None);
        let turns = std::sync::mpsc::channel();
        let mut last = [0; SENDERS as usize];
        let mut got = 0;
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (mailbox, turn) = (&mailbox, turns.0.clone());
                scope.spawn(move || {
                    for session in 1..=EACH {
                        let message = Message::empty(sender as u32, session, 0);
                        if mailbox.push(message) != Pushed::Queued {
                            turn.send(()).unwrap();
                        }
                    }
                });
            }
            while got < SENDERS * EACH {
                turns.1.recv().unwrap();
                loop {
                    // SAFETY: the turn came through the channel.
                    match unsafe { mailbox.pop() } {
                        Popped::Message(message) => {
                            let last = &mut last[message.source as usize];
                            assert_eq!(message.session, *last + 1);
                            *last += 1;
                            got += 1;
                        }
                        Popped::Pending => std::thread::yield_now(),
                        Popped::Idle { retired } => break assert!(!retired),
                    }
                }
            }
        });
        assert!(turns.1.try_recv().is_err() && mailbox.is_empty());
    }

    #[test]
    fn overload_is_recorded_once_per_doubling() {
        let mailbox = Mailbox::new();
        for i in 0..1026 {
            let _ = mailbox.push(message(i));
        }
        assert_eq!(
            mailbox.take_overload(),
            0,
            "nothing before a message is taken"
        );
        pop(&mailbox);
        assert_eq!(mailbox.take_overload(), 1025);
        assert_eq!(mailbox.take_overload(), 0);
        for i in 0..500 {
            let _ = mailbox.push(message(i));
        }
        pop(&mailbox);
        assert_eq!(mailbox.take_overload(), 0, "the mark is 2048 now");
        while pop(&mailbox).is_some() {}
        for i in 0..1026 {
            let _ = mailbox.push(message(i));
        }
        pop(&mailbox);
        assert_eq!(
            mailbox.take_overload(),
            1025,
            "an empty mailbox resets the mark"
        );
    }
}
