//! The turn of a mailbox as a thing one can have: what run queues hold and workers run.
//!
//! While a service lives, the handle table's reference keeps its context, and a turn needs none of its own: a
//! retirement that finds the turn taken leaves that reference to whoever has it ([`Context::retire`]). So the
//! turn of a retired service carries a reference, the turn of a live one does not, and running a message costs no
//! reference count.

#![allow(unsafe_code)]

use super::context::Context;
use super::mailbox::{Mailbox, Popped};
use super::message::Message;
use super::scheduler::local::Parcel;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::ptr::NonNull;

/// A mailbox with what C code wants to know of it: `struct message_queue`. The first part of every context;
/// C code also makes some that belong to no service.
#[repr(C)]
pub struct Queue {
    pub mailbox: Mailbox,
    /// Handle of the service the queue is for. Written once, at registration.
    handle: AtomicU32,
    /// Made by C code.
    alone: bool,
    /// To be freed by the one that finds it in the run queue.
    doomed: AtomicBool,
}

impl Queue {
    /// The queue of a context.
    pub fn of_service() -> Self {
        Queue {
            mailbox: Mailbox::new(),
            handle: AtomicU32::new(0),
            alone: false,
            doomed: AtomicBool::new(false),
        }
    }

    /// A queue of C code's own.
    pub fn alone(handle: u32) -> Box<Self> {
        Box::new(Queue {
            handle: AtomicU32::new(handle),
            alone: true,
            ..Queue::of_service()
        })
    }

    pub fn handle(&self) -> u32 {
        self.handle.load(Ordering::Relaxed)
    }

    pub(super) fn set_handle(&self, handle: u32) {
        self.handle.store(handle, Ordering::Relaxed);
    }

    /// Whether C code made it.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Marks it to be freed.
    pub fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// Whether it is marked.
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }
}

/// The right, and the duty, to run a mailbox. Made where a push or a claim got it; ends where a pop finds
/// nothing. Dropping one would leave the mailbox unserved for ever.
#[must_use]
pub struct Turn(NonNull<Queue>);

// SAFETY: whoever has the turn may use the queue, on any thread.
unsafe impl Send for Turn {}

/// What popping with a turn gave.
pub enum Next {
    /// The oldest message.
    Message(Message),
    /// The next message is being written by a thread that was stopped; better come back later.
    Pending,
    /// Nothing: the turn is gone.
    Idle,
}

impl Parcel for Turn {
    type Target = Queue;

    /// The address; the turn goes with it.
    fn into_raw(self) -> *mut Queue {
        self.0.as_ptr()
    }

    /// The turn of the queue at this address. The caller has it, from a push, a claim or
    /// [`Parcel::into_raw`], and a reference with it if the service is retired.
    unsafe fn from_raw(queue: *mut Queue) -> Turn {
        // SAFETY: a turn is of a queue that exists.
        Turn(unsafe { NonNull::new_unchecked(queue) })
    }
}

impl Turn {
    /// The queue.
    pub fn queue(&self) -> &Queue {
        // SAFETY: the turn keeps it.
        unsafe { self.0.as_ref() }
    }

    /// The context the queue is part of, `None` for a queue of C code's own.
    pub fn context(&self) -> Option<&Context> {
        if self.queue().alone {
            return None;
        }
        // SAFETY: a queue that is not alone is the first part of a context, which the turn keeps.
        Some(unsafe { self.0.cast::<Context>().as_ref() })
    }

    /// Takes the oldest message. After [`Next::Idle`] the turn is gone, and is to be forgotten.
    fn pop_raw(&self) -> Next {
        let queue = self.queue();
        let poppers = queue.alone.then(|| queue.mailbox.lock_poppers());
        // SAFETY: we have the turn, and the lock where C code pops without one.
        let popped = unsafe { queue.mailbox.pop() };
        drop(poppers);
        match popped {
            Popped::Message(message) => Next::Message(message),
            Popped::Pending => Next::Pending,
            Popped::Idle { retired } => {
                // A live service may be freed by now; a retired one is ours to free.
                if retired {
                    // SAFETY: the turn of a retired service carries a reference.
                    drop(unsafe { Arc::from_raw(self.0.as_ptr().cast::<Context>()) });
                }
                Next::Idle
            }
        }
    }

    /// Takes the oldest message and gives the turn back, unless there was none.
    pub fn pop(self) -> (Next, Option<Turn>) {
        match self.pop_raw() {
            Next::Idle => (Next::Idle, None),
            next => (next, Some(self)),
        }
    }
}
