//! The mailbox: a service's queue of messages and the question whether it is to be run.
//!
//! A mailbox is *idle* (empty, in no run queue), *scheduled* (in a run queue) or *running* (a worker
//! has it); `scheduled` is true in the last two. Whoever pushes into an idle mailbox gets the duty to
//! schedule it; whoever finds it empty makes it idle. So it is in one place at a time, and one worker
//! at a time runs its service (core.md §6.1).

use super::message::Message;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use std::collections::VecDeque;

/// Length above which a service is reported as overloaded (core.md §6.4).
const OVERLOAD: usize = 1024;

/// A queue from many threads to the one worker that runs its service.
pub struct Mailbox {
    handle: u32,
    /// Written under the lock, read by anybody for statistics.
    len: AtomicUsize,
    /// The reference that C code has, see `capi/skynet_mq.rs`.
    loan: Mutex<Loan>,
    inner: Mutex<Inner>,
}

/// What keeps a mailbox alive that C code knows by its address.
#[derive(Default)]
struct Loan {
    reference: Option<Arc<Mailbox>>,
    /// Made by C code and not freed yet: the reference stays whatever else happens.
    created: bool,
}

struct Inner {
    /// Allocates with the first message.
    queue: VecDeque<Message>,
    scheduled: bool,
    doomed: bool,
    /// Length at which the next overload is recorded.
    threshold: usize,
    /// Recorded length that nobody has asked for yet; 0 when there is none.
    overload: usize,
}

impl Mailbox {
    /// An empty mailbox that counts as scheduled: pushes only queue until [`Mailbox::pop`] finds it
    /// empty, so a service receives nothing before it is initialised.
    pub fn new(handle: u32) -> Self {
        Mailbox {
            handle,
            len: AtomicUsize::new(0),
            loan: Mutex::default(),
            inner: Mutex::new(Inner {
                queue: VecDeque::new(),
                scheduled: true,
                doomed: false,
                threshold: OVERLOAD,
                overload: 0,
            }),
        }
    }

    /// Handle of the service that this mailbox belongs to.
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// True when no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Queues a message. True when the caller must put the mailbox into a run queue.
    #[must_use]
    pub fn push(&self, message: Message) -> bool {
        let mut inner = self.inner.lock();
        inner.queue.push_back(message);
        self.len.store(inner.queue.len(), Ordering::Relaxed);
        !std::mem::replace(&mut inner.scheduled, true)
    }

    /// The oldest message; `None` makes the mailbox idle. Only for the worker that runs it.
    pub fn pop(&self) -> Option<Message> {
        let mut inner = self.inner.lock();
        let Some(message) = inner.queue.pop_front() else {
            inner.scheduled = false;
            inner.threshold = OVERLOAD;
            return None;
        };
        let left = inner.queue.len();
        self.len.store(left, Ordering::Relaxed);
        if left > inner.threshold {
            inner.overload = left;
            while inner.threshold < left {
                inner.threshold *= 2;
            }
        }
        Some(message)
    }

    /// Makes a mailbox that C code created or keeps ready to be freed; true when it was idle and the caller
    /// must put it into a run queue, whose reader then frees it (core.md §6.10(4)).
    #[must_use]
    pub fn doom(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.doomed = true;
        !std::mem::replace(&mut inner.scheduled, true)
    }

    /// Whether [`Mailbox::doom`] was called.
    pub fn is_doomed(&self) -> bool {
        self.inner.lock().doomed
    }

    /// Keeps a mailbox alive for C code, which is about to get its address.
    pub fn lend(self: Arc<Self>) {
        let loan = Arc::clone(&self);
        loan.loan.lock().reference.get_or_insert(self);
    }

    /// As [`Mailbox::lend`], for a mailbox that C code makes: until [`Mailbox::forget`], whatever is taken
    /// back meanwhile.
    pub fn keep(self: Arc<Self>) {
        self.loan.lock().created = true;
        self.lend();
    }

    /// The reference that C code had and gives up, or one more if it made the mailbox. `None` when it had
    /// none.
    pub fn take_back(&self) -> Option<Arc<Mailbox>> {
        let mut loan = self.loan.lock();
        if loan.created {
            loan.reference.clone()
        } else {
            loan.reference.take()
        }
    }

    /// The reference of a mailbox that C code frees. `None` when it did that before.
    pub fn forget(&self) -> Option<Arc<Mailbox>> {
        let mut loan = self.loan.lock();
        loan.created = false;
        loan.reference.take()
    }

    /// The length recorded since the last call when it passed the threshold, else 0.
    pub fn take_overload(&self) -> usize {
        std::mem::take(&mut self.inner.lock().overload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(session: i32) -> Message {
        Message::empty(0, session, 0)
    }

    #[test]
    fn the_first_push_into_an_idle_mailbox_schedules() {
        let mailbox = Mailbox::new(7);
        assert!(
            !mailbox.push(message(1)),
            "a new mailbox counts as scheduled"
        );
        assert_eq!(mailbox.pop().unwrap().session, 1);
        assert!(mailbox.pop().is_none());
        assert!(mailbox.push(message(2)));
        assert!(!mailbox.push(message(3)));
        assert_eq!(mailbox.len(), 2);
        assert_eq!(mailbox.pop().unwrap().session, 2);
        assert_eq!(mailbox.pop().unwrap().session, 3);
    }

    #[test]
    fn a_loan_ends_once_and_what_c_code_made_stays() {
        let mailbox = Arc::new(Mailbox::new(1));
        Arc::clone(&mailbox).lend();
        Arc::clone(&mailbox).lend();
        assert_eq!(Arc::strong_count(&mailbox), 2);
        assert!(mailbox.take_back().is_some());
        assert!(mailbox.take_back().is_none());

        Arc::clone(&mailbox).keep();
        Arc::clone(&mailbox).lend();
        assert!(mailbox.take_back().is_some());
        assert!(mailbox.take_back().is_some());
        assert_eq!(Arc::strong_count(&mailbox), 2);
        assert!(mailbox.forget().is_some());
        assert!(mailbox.forget().is_none());
        assert_eq!(Arc::strong_count(&mailbox), 1);
    }

    #[test]
    fn overload_is_recorded_once_per_doubling() {
        let mailbox = Mailbox::new(1);
        for i in 0..1026 {
            let _ = mailbox.push(message(i));
        }
        assert_eq!(
            mailbox.take_overload(),
            0,
            "nothing before a message is taken"
        );
        mailbox.pop();
        assert_eq!(mailbox.take_overload(), 1025);
        assert_eq!(mailbox.take_overload(), 0);
        for i in 0..500 {
            let _ = mailbox.push(message(i));
        }
        mailbox.pop();
        assert_eq!(mailbox.take_overload(), 0, "the mark is 2048 now");
        while mailbox.pop().is_some() {}
        for i in 0..1026 {
            let _ = mailbox.push(message(i));
        }
        mailbox.pop();
        assert_eq!(
            mailbox.take_overload(),
            1025,
            "an empty mailbox resets the mark"
        );
    }
}
