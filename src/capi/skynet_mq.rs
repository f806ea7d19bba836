//! `skynet_mq.h`: mailboxes and the run queue as C code sees them (core.md §1.9, §6.10).
//!
//! A `struct message_queue *` is the address of a [`Queue`]. One that comes out of the run queue, or is returned by
//! a dispatch, brings its [`Turn`] along; the turn goes back when the pointer is given to a dispatch, to
//! `skynet_globalmq_push` or to `skynet_mq_release`, and ends when `skynet_mq_pop` finds nothing. A queue from
//! `skynet_mq_create` is its creator's, turn included. Any number of threads may push, and pop from the queues
//! that C code made.

use crate::core::context::{Context, Turn};
use crate::core::mailbox::{Popped, Pushed};
use crate::core::message::Message;
use crate::core::node::NODE;
use crate::core::scheduler::local::Parcel;
use crate::core::turn::{Next, Queue};
use crate::sync::Arc;
use std::ffi::{c_int, c_void};

/// A queue, known to C by address only.
#[repr(C)]
pub struct MessageQueue {
    _opaque: [u8; 0],
}

/// One message as it is queued.
#[repr(C)]
pub struct SkynetMessage {
    pub source: u32,
    pub session: c_int,
    pub data: *mut c_void,
    /// The type in the top byte, the length in the others.
    pub sz: usize,
}

const _: () = assert!(size_of::<SkynetMessage>() == 24);

/// What becomes of a message of a queue that is freed.
pub type MessageDrop = Option<unsafe extern "C" fn(message: *mut SkynetMessage, ud: *mut c_void)>;

/// Gives a turn to C code, as the address of its queue.
pub(super) fn lend(turn: Option<Turn>) -> *mut MessageQueue {
    turn.map_or(std::ptr::null_mut(), |turn| turn.into_raw().cast())
}

/// The turn that came with a pointer; `None` for NULL.
///
/// # Safety
/// `q` is NULL or a queue whose turn the caller has.
pub(super) unsafe fn taken(q: *mut MessageQueue) -> Option<Turn> {
    // SAFETY: passed on.
    (!q.is_null()).then(|| unsafe { Turn::from_raw(q.cast()) })
}

/// # Safety
/// `q` is a live queue.
unsafe fn queue<'a>(q: *mut MessageQueue) -> &'a Queue {
    // SAFETY: passed on.
    unsafe { &*q.cast::<Queue>() }
}

/// The message that a C struct describes; its data is the message's.
///
/// # Safety
/// `message` is valid, and its data from `skynet_malloc` or NULL.
pub(super) unsafe fn message(message: *const SkynetMessage) -> Message {
    // SAFETY: passed on.
    unsafe {
        let SkynetMessage {
            source,
            session,
            data,
            sz,
        } = message.read();
        Message::from_raw(source, session, data, sz)
    }
}

fn to_c(message: Message) -> SkynetMessage {
    let (source, session, sz) = (message.source, message.session, message.raw_sz());
    SkynetMessage {
        source,
        session,
        data: message.data.into_raw(),
        sz,
    }
}

/// Puts a queue at the tail of the run queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_globalmq_push(queue: *mut MessageQueue) {
    // SAFETY: the caller has the queue's turn, as the header says.
    if let Some(turn) = unsafe { taken(queue) } {
        NODE.scheduler.schedule(turn);
    }
}

/// Takes the queue at the head of the run queue, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_globalmq_pop() -> *mut MessageQueue {
    lend(NODE.scheduler.take())
}

/// A new empty queue that counts as scheduled: it does not enter the run queue by itself. The creator's,
/// until `skynet_mq_release`.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_mq_create(handle: u32) -> *mut MessageQueue {
    Box::into_raw(Queue::alone(handle)).cast()
}

/// Marks a queue for destruction and schedules it when it is idle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_mark_release(q: *mut MessageQueue) {
    // SAFETY: the caller's pointer is what the header says.
    let queue = unsafe { queue(q) };
    // The queue of a service is freed with the service.
    if !queue.is_alone() {
        return;
    }
    let claimed = {
        // Who is just giving up the turn is done with the queue when it lets the lock go.
        let _poppers = queue.mailbox.lock_poppers();
        queue.doom();
        queue.mailbox.claim()
    };
    if claimed {
        // SAFETY: the claim gave us the turn.
        NODE.scheduler.schedule(unsafe { Turn::from_raw(q.cast()) });
    }
}

/// Frees a marked queue, and that of a service that has ended, their messages through `drop_func`; puts another
/// one back into the run queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_release(
    q: *mut MessageQueue,
    drop_func: MessageDrop,
    ud: *mut c_void,
) {
    // SAFETY: the caller's pointer is what the header says.
    let Some(turn) = (unsafe { taken(q) }) else {
        return;
    };
    let drop_message = |message| match drop_func {
        // SAFETY: the caller's function, called as the header says.
        Some(drop_func) => unsafe { drop_func(&mut to_c(message), ud) },
        None => drop(message),
    };
    let queue = turn.queue();
    if queue.is_alone() && queue.is_doomed() {
        // SAFETY: the caller made the queue, has its turn and gives it up.
        let queue = unsafe { Box::from_raw(turn.into_raw()) };
        // SAFETY: as above.
        while let Some(message) = unsafe { queue.mailbox.take() } {
            drop_message(message);
        }
    } else if !queue.is_alone() && queue.mailbox.is_retired() {
        // The turn takes the service's last reference along.
        let mut turn = Some(turn);
        while let Some(rest) = turn {
            let (next, rest) = rest.pop();
            turn = rest;
            match next {
                Next::Message(message) => drop_message(message),
                Next::Pending => std::thread::yield_now(),
                Next::Idle => {}
            }
        }
    } else {
        NODE.scheduler.schedule(turn);
    }
}

/// The handle the queue was made for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_handle(q: *mut MessageQueue) -> u32 {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { queue(q) }.handle()
}

/// Takes the oldest message: 0, or 1 when there is none and the queue is idle now. The data becomes the
/// caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_pop(q: *mut MessageQueue, message: *mut SkynetMessage) -> c_int {
    // SAFETY: the caller's pointers are what the header says.
    let queue = unsafe { queue(q) };
    if !queue.is_alone() {
        // SAFETY: the queue of a service is popped by who has its turn, which stays the caller's.
        let mut turn = unsafe { Turn::from_raw(q.cast()) };
        loop {
            match turn.pop() {
                (Next::Message(taken), _) => {
                    // SAFETY: as above.
                    unsafe { message.write(to_c(taken)) };
                    return 0;
                }
                (Next::Pending, Some(rest)) => {
                    turn = rest;
                    std::thread::yield_now();
                }
                _ => return 1,
            }
        }
    }
    let _poppers = queue.mailbox.lock_poppers();
    loop {
        // SAFETY: the lock keeps other poppers out.
        match unsafe { queue.mailbox.pop() } {
            Popped::Message(taken) => {
                // SAFETY: as above.
                unsafe { message.write(to_c(taken)) };
                return 0;
            }
            Popped::Pending => std::thread::yield_now(),
            Popped::Idle { .. } => return 1,
        }
    }
}

/// Queues a copy of the descriptor; the data becomes the queue's. Schedules an idle queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_push(q: *mut MessageQueue, message: *mut SkynetMessage) {
    // SAFETY: the caller's pointers are what the header says.
    let (queue, message) = unsafe { (queue(q), self::message(message)) };
    if let Pushed::Turn { retired } = queue.mailbox.push(message) {
        if retired && !queue.is_alone() {
            // SAFETY: the caller keeps the context, or the queue would not be there.
            unsafe { Arc::increment_strong_count(q.cast::<Context>()) };
        }
        // SAFETY: the push gave us the turn, and a retired service's has its reference.
        NODE.scheduler.schedule(unsafe { Turn::from_raw(q.cast()) });
    }
}

/// Messages that wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_length(q: *mut MessageQueue) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { queue(q) }.mailbox.len() as c_int
}

/// The length recorded when the queue was found overloaded, or 0; reading clears it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_overload(q: *mut MessageQueue) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { queue(q) }.mailbox.take_overload() as c_int
}

/// Prepares the run queue; there is nothing to prepare.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_mq_init() {}
