//! `skynet_mq.h`: mailboxes and the run queue as C code sees them (core.md §1.9, §6.10).
//!
//! A `struct message_queue *` is the address of a [`Mailbox`] in its `Arc`. A queue that comes out of the
//! run queue (or is returned by a dispatch) is *lent*: its reference goes with the pointer, and comes back
//! when the pointer is given to a dispatch, to `skynet_globalmq_push` or to `skynet_mq_release`. A queue
//! from `skynet_mq_create` is alive until it is marked and then released, by `skynet_mq_release` or by the
//! dispatch that finds it in the run queue. Any number of threads may push and pop.

use crate::core::mailbox::Mailbox;
use crate::core::message::Message;
use crate::core::node::NODE;
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

/// Lends a mailbox to C code.
pub(super) fn lend(mailbox: Option<Arc<Mailbox>>) -> *mut MessageQueue {
    mailbox.map_or(std::ptr::null_mut(), |mailbox| {
        let q = Arc::as_ptr(&mailbox).cast_mut().cast();
        mailbox.lend();
        q
    })
}

/// The reference behind a pointer: the lent one, or one more.
///
/// # Safety
/// `q` is NULL or a live queue.
pub(super) unsafe fn take_back(q: *mut MessageQueue) -> Option<Arc<Mailbox>> {
    let q = q.cast::<Mailbox>();
    // SAFETY: a live queue is the content of an Arc.
    unsafe {
        q.as_ref()?.take_back().or_else(|| {
            Arc::increment_strong_count(q);
            Some(Arc::from_raw(q))
        })
    }
}

/// Puts a mailbox into the run queue, which takes a reference of its own.
///
/// # Safety
/// `q` is a live queue.
unsafe fn schedule(q: *mut MessageQueue) {
    let q = q.cast::<Mailbox>();
    // SAFETY: a live queue is the content of an Arc; the extra count is the one we consume.
    unsafe {
        Arc::increment_strong_count(q);
        NODE.run_queue.push(Arc::from_raw(q));
    }
}

/// # Safety
/// `q` is a live queue.
unsafe fn mailbox<'a>(q: *mut MessageQueue) -> &'a Mailbox {
    // SAFETY: a queue pointer is the content of an Arc.
    unsafe { &*q.cast::<Mailbox>() }
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
    // SAFETY: the caller's pointer is what the header says.
    if let Some(mailbox) = unsafe { take_back(queue) } {
        NODE.run_queue.push(mailbox);
    }
}

/// Takes the queue at the head of the run queue, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_globalmq_pop() -> *mut MessageQueue {
    lend(NODE.run_queue.pop())
}

/// A new empty queue that counts as scheduled: it does not enter the run queue by itself. The creator's,
/// until `skynet_mq_release`.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_mq_create(handle: u32) -> *mut MessageQueue {
    let mailbox = Arc::new(Mailbox::new(handle));
    let q = Arc::as_ptr(&mailbox).cast_mut().cast();
    mailbox.keep();
    q
}

/// Marks a queue for destruction and schedules it when it is idle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_mark_release(q: *mut MessageQueue) {
    // SAFETY: the caller's pointer is what the header says.
    unsafe {
        if mailbox(q).doom() {
            schedule(q);
        }
    }
}

/// Frees a marked queue, its messages through `drop_func`; puts an unmarked one back into the run queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_release(
    q: *mut MessageQueue,
    drop_func: MessageDrop,
    ud: *mut c_void,
) {
    // SAFETY: the caller's pointers are what the header says.
    unsafe {
        let Some(queue) = take_back(q) else { return };
        if !queue.is_doomed() {
            NODE.run_queue.push(queue);
            return;
        }
        while let Some(message) = queue.pop() {
            if let Some(drop_func) = drop_func {
                drop_func(&mut to_c(message), ud);
            }
        }
        drop(queue.forget());
    }
}

/// The handle the queue was made for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_handle(q: *mut MessageQueue) -> u32 {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { mailbox(q) }.handle()
}

/// Takes the oldest message: 0, or 1 when there is none and the queue is idle now. The data becomes the
/// caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_pop(q: *mut MessageQueue, message: *mut SkynetMessage) -> c_int {
    // SAFETY: the caller's pointers are what the header says.
    unsafe {
        match mailbox(q).pop() {
            Some(taken) => {
                message.write(to_c(taken));
                0
            }
            None => 1,
        }
    }
}

/// Queues a copy of the descriptor; the data becomes the queue's. Schedules an idle queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_push(q: *mut MessageQueue, message: *mut SkynetMessage) {
    // SAFETY: the caller's pointers are what the header says.
    unsafe {
        let SkynetMessage {
            source,
            session,
            data,
            sz,
        } = message.read();
        if mailbox(q).push(Message::from_raw(source, session, data, sz)) {
            schedule(q);
        }
    }
}

/// Messages that wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_length(q: *mut MessageQueue) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { mailbox(q) }.len() as c_int
}

/// The length recorded when the queue was found overloaded, or 0; reading clears it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_mq_overload(q: *mut MessageQueue) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { mailbox(q) }.take_overload() as c_int
}

/// Prepares the run queue; there is nothing to prepare.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_mq_init() {}
