//! The turn of a mailbox as a thing one can have: what run queues hold and workers run.
//!
//! While a service lives, the handle table's reference keeps its context, and a turn needs none of its own: a
//! retirement that finds the turn taken leaves that reference to whoever has it ([`retire`]). So the turn of a
//! retired service carries a reference, the turn of a live one does not, and running a message costs no
//! reference count.

#![allow(unsafe_code)]

use super::mailbox::{Mailbox, Popped, Pushed};
use super::message::Message;
use super::scheduler::local::Parcel;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// What has a queue: a context.
///
/// # Safety
/// The type is `repr(C)` and its first field is the [`Queue`] that `queue` gives, one from
/// [`Queue::of_service`].
pub unsafe trait Owner: Send + Sync {
    fn queue(&self) -> &Queue;
}

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
pub struct Turn<O>(NonNull<Queue>, PhantomData<Arc<O>>);

// SAFETY: whoever has the turn may use the queue and its owner, on any thread.
unsafe impl<O: Owner> Send for Turn<O> {}

/// What popping with a turn gave.
pub enum Next {
    /// The oldest message.
    Message(Message),
    /// The next message is being written by a thread that was stopped; better come back later.
    Pending,
    /// Nothing: the turn is gone.
    Idle,
}

impl<O: Owner> Parcel for Turn<O> {
    type Target = Queue;

    /// The address; the turn goes with it.
    fn into_raw(self) -> *mut Queue {
        self.0.as_ptr()
    }

    /// The turn of the queue at this address. The caller has it, from a push, a claim or
    /// [`Parcel::into_raw`], and a reference with it if the service is retired.
    unsafe fn from_raw(queue: *mut Queue) -> Self {
        // SAFETY: a turn is of a queue that exists.
        Turn(unsafe { NonNull::new_unchecked(queue) }, PhantomData)
    }
}

/// Queues a message, whatever the state of the service. A turn is to be given to the scheduler.
#[must_use]
#[inline(always)]
pub fn push<O: Owner>(owner: &Arc<O>, message: Message) -> Option<Turn<O>> {
    match owner.queue().mailbox.push(message) {
        Pushed::Queued => None,
        Pushed::Turn { retired } => {
            if retired {
                let _ = Arc::into_raw(owner.clone());
            }
            // SAFETY: the push gave us the turn, and a retired service's takes the reference along.
            Some(unsafe { first(owner) })
        }
    }
}

/// The turn of a new service, which is its maker's.
///
/// # Safety
/// The caller has the turn, and a reference with it if the service is retired.
pub unsafe fn first<O: Owner>(owner: &Arc<O>) -> Turn<O> {
    // SAFETY: passed on; the queue is the first field of its owner.
    unsafe { Turn::from_raw(Arc::as_ptr(owner).cast_mut().cast()) }
}

/// The end of a service that was taken out of the handle table, whose reference is given here: it goes with the
/// turn if somebody has that. Who has the turn answers what is queued.
pub fn retire<O: Owner>(owner: Arc<O>) {
    if owner.queue().mailbox.retire() {
        let _ = Arc::into_raw(owner);
    }
}

impl<O: Owner> Turn<O> {
    /// The queue.
    pub fn queue(&self) -> &Queue {
        // SAFETY: the turn keeps it.
        unsafe { self.0.as_ref() }
    }

    /// The service the queue is part of, `None` for a queue of C code's own.
    pub fn owner(&self) -> Option<&O> {
        if self.queue().alone {
            return None;
        }
        // SAFETY: a queue that is not alone is the first field of its owner, which the turn keeps.
        Some(unsafe { self.0.cast::<O>().as_ref() })
    }

    /// Takes the oldest message and gives the turn back, unless there was none.
    #[inline(always)]
    pub fn pop(self) -> (Next, Option<Self>) {
        let queue = self.queue();
        let poppers = queue.alone.then(|| queue.mailbox.lock_poppers());
        // SAFETY: we have the turn, and the lock where C code pops without one.
        let popped = unsafe { queue.mailbox.pop() };
        drop(poppers);
        match popped {
            Popped::Message(message) => (Next::Message(message), Some(self)),
            Popped::Pending => (Next::Pending, Some(self)),
            Popped::Idle { retired } => {
                // A live service may be freed by now; a retired one is ours to free.
                if retired {
                    // SAFETY: the turn of a retired service carries a reference.
                    drop(unsafe { Arc::from_raw(self.0.as_ptr().cast::<O>().cast_const()) });
                }
                (Next::Idle, None)
            }
        }
    }
}
