//! shuttle's models: what is too large for loom, under schedules drawn at random. A failure prints the schedule,
//! for `shuttle::replay`. `SCHEDULES` says how many are drawn.

#![allow(unsafe_code)]

use super::handle::{HandleTable, Registered};
use super::mailbox::{Mailbox, Popped, Pushed};
use super::message::Message;
use super::scheduler::local::{Local, Parcel};
use super::scheduler::sleepers::{Bed, News, Sleepers};
use super::turn::{self, Next, Owner, Queue, Turn};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, thread};
use std::sync::atomic::AtomicUsize as Count;
use std::time::Duration;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").ok();
    let schedules = schedules
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    shuttle::check_random(model, schedules);
}

/// Four senders with forty messages each, over several blocks; whoever gets the turn pops. Order holds for each
/// sender and nothing is lost.
#[test]
fn mailbox_keeps_order() {
    check(|| {
        let mailbox = Arc::new(Mailbox::new());
        // SAFETY: the maker has the turn.
        assert!(matches!(unsafe { mailbox.pop() }, Popped::Idle { .. }));
        let last = Arc::new(Mutex::new([0; 4]));
        let senders: Vec<_> = (0..4)
            .map(|me| {
                let (mailbox, last) = (mailbox.clone(), last.clone());
                thread::spawn(move || {
                    for session in 1..=40 {
                        let pushed = mailbox.push(Message::empty(me, session, 0));
                        if pushed == Pushed::Queued {
                            continue;
                        }
                        loop {
                            // SAFETY: the push gave us the turn.
                            match unsafe { mailbox.pop() } {
                                Popped::Message(message) => {
                                    let last = &mut last.lock()[message.source as usize];
                                    assert_eq!(message.session, *last + 1);
                                    *last += 1;
                                }
                                Popped::Pending => thread::yield_now(),
                                Popped::Idle { .. } => break,
                            }
                        }
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        assert_eq!(*last.lock(), [40; 4]);
        assert_eq!(mailbox.len(), 0);
    });
}

/// What becomes of a service and of what was sent to it.
#[derive(Default)]
struct Fate {
    handled: Count,
    freed: Count,
}

#[repr(C)]
struct Service {
    queue: Queue,
    fate: std::sync::Arc<Fate>,
}

// SAFETY: `repr(C)`, and the queue comes first.
unsafe impl Owner for Service {
    fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Registered for Service {
    fn set_handle(&self, handle: u32) {
        self.queue.set_handle(handle);
    }
    fn handle(&self) -> u32 {
        self.queue.handle()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.fate.freed.fetch_add(1, Ordering::Relaxed);
    }
}

struct Node {
    table: HandleTable<Service>,
    sleepers: Sleepers,
    queues: [Local<Turn<Service>>; WORKERS],
    injector: Mutex<Vec<Turn<Service>>>,
    beds: [Cot; WORKERS],
    closed: AtomicBool,
    /// Messages that were accepted and are not handled yet.
    open: AtomicUsize,
    accepted: Count,
}

const WORKERS: usize = 2;

struct Cot {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Bed for Cot {
    fn sleep(&self, limit: Option<Duration>) {
        if limit.is_some() {
            return thread::yield_now();
        }
        let mut woken = self.woken.lock();
        while !std::mem::take(&mut *woken) {
            self.changed.wait(&mut woken);
        }
    }

    fn wake(&self) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

impl Node {
    fn new() -> Self {
        Node {
            table: HandleTable::new(),
            sleepers: Sleepers::new(),
            queues: std::array::from_fn(|_| Local::new()),
            injector: Mutex::new(Vec::new()),
            beds: std::array::from_fn(|_| Cot {
                woken: Mutex::new(false),
                changed: Condvar::new(),
            }),
            closed: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            accepted: Count::new(0),
        }
    }

    fn launch(&self, fate: &std::sync::Arc<Fate>) -> u32 {
        let service = Arc::new(Service {
            queue: Queue::of_service(),
            fate: fate.clone(),
        });
        let handle = self.table.register(&service);
        // SAFETY: the turn of a new service is its maker's.
        let turn = unsafe { turn::first(&service) };
        drop(service);
        self.schedule(None, turn);
        handle
    }

    fn send(&self, me: Option<usize>, handle: u32) {
        let mark = self.table.readers.mark();
        self.open.fetch_add(1, Ordering::SeqCst);
        let message = Message::empty(1, 1, 0);
        match self
            .table
            .with(&mark, handle, |service| turn::push(service, message))
        {
            None => {
                self.open.fetch_sub(1, Ordering::SeqCst);
            }
            Some(turn) => {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                if let Some(turn) = turn {
                    self.schedule(me, turn);
                }
            }
        }
    }

    fn retire(&self, handle: u32) {
        if let Some(service) = self.table.retire(handle) {
            turn::retire(service);
        }
    }

    fn schedule(&self, me: Option<usize>, turn: Turn<Service>) {
        let refused = match me {
            None => Some(turn),
            Some(me) => self.queues[me].push(turn).err(),
        };
        if let Some(turn) = refused {
            self.injector.lock().push(turn);
        }
        self.sleepers.announce(News::Work, &self.beds);
    }

    fn take(&self, me: usize) -> Option<Turn<Service>> {
        self.queues[me]
            .pop()
            .or_else(|| self.injector.lock().pop())
            .or_else(|| self.queues[1 - me].steal_into(&self.queues[me]))
    }

    fn anything(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty()) || !self.injector.lock().is_empty()
    }

    fn worker(&self, me: usize, peer: u32) {
        let mut seeking = false;
        loop {
            if let Some(turn) = self.take(me) {
                if std::mem::take(&mut seeking) {
                    self.sleepers.end();
                    if self.anything() {
                        self.sleepers.announce(News::Work, &self.beds);
                    }
                }
                self.run(me, turn, peer);
                continue;
            }
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            seeking = seeking || self.sleepers.begin();
            let anything = || self.closed.load(Ordering::SeqCst) || self.anything();
            self.sleepers.park(me, &self.beds[me], seeking, anything);
            seeking = true;
        }
    }

    /// A few messages, the first of which sends one on to `peer`; then the turn goes to the back.
    fn run(&self, me: usize, mut turn: Turn<Service>, peer: u32) {
        for round in 0..3 {
            let Some(service) = turn.owner() else { return };
            let fate = service.fate.clone();
            match turn.pop() {
                (Next::Message(_), Some(rest)) => {
                    turn = rest;
                    fate.handled.fetch_add(1, Ordering::Relaxed);
                    if round == 0 && self.accepted.load(Ordering::Relaxed) < 30 {
                        self.send(Some(me), peer);
                    }
                    self.open.fetch_sub(1, Ordering::SeqCst);
                }
                (Next::Pending, Some(rest)) => {
                    turn = rest;
                    thread::yield_now();
                }
                _ => return,
            }
        }
        self.schedule(Some(me), turn);
    }
}

/// Two workers, two senders and somebody who ends and launches services: every message that was accepted is handled,
/// by the service or because it ended, every service is freed, and the workers come to rest.
#[test]
fn a_node_loses_nothing() {
    check(|| {
        let node = Arc::new(Node::new());
        let fate = std::sync::Arc::new(Fate::default());
        let first = node.launch(&fate);
        let second = node.launch(&fate);
        let workers: Vec<_> = [second, first]
            .into_iter()
            .enumerate()
            .map(|(me, peer)| {
                let node = node.clone();
                thread::spawn(move || node.worker(me, peer))
            })
            .collect();
        let senders: Vec<_> = [first, second]
            .into_iter()
            .map(|handle| {
                let node = node.clone();
                thread::spawn(move || (0..6).for_each(|_| node.send(None, handle)))
            })
            .collect();
        node.retire(first);
        let third = node.launch(&fate);
        node.send(None, third);
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        while node.open.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        node.retire(second);
        node.retire(third);
        while fate.freed.load(Ordering::Relaxed) < 3 {
            thread::yield_now();
        }
        node.closed.store(true, Ordering::SeqCst);
        node.sleepers.close(&node.beds);
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
        let handled = fate.handled.load(Ordering::Relaxed);
        assert_eq!(handled, node.accepted.load(Ordering::Relaxed));
        assert_eq!(fate.freed.load(Ordering::Relaxed), 3);
    });
}

#[derive(Debug)]
struct Number(usize);

impl Parcel for Number {
    type Target = u8;
    fn into_raw(self) -> *mut u8 {
        std::ptr::without_provenance_mut(self.0)
    }
    unsafe fn from_raw(raw: *mut u8) -> Self {
        Number(raw.addr())
    }
}

/// Two thieves, and an owner that goes on pushing and takes what does not fit.
#[test]
fn stealing_takes_each_entry_once() {
    check(|| {
        let queue = Arc::new(Local::<Number>::new());
        let thieves: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || {
                    let own = Local::<Number>::new();
                    let mut got = Vec::new();
                    for _ in 0..8 {
                        got.extend(queue.steal_into(&own).map(|item| item.0));
                        got.extend(std::iter::from_fn(|| own.pop()).map(|item| item.0));
                    }
                    got
                })
            })
            .collect();
        let mut got = Vec::new();
        for number in 1..=20 {
            let mut item = Number(number);
            while let Err(back) = queue.push(item) {
                item = back;
                got.extend(queue.pop().map(|item| item.0));
            }
        }
        for thief in thieves {
            got.extend(thief.join().unwrap());
        }
        got.extend(std::iter::from_fn(|| queue.pop()).map(|item| item.0));
        got.sort_unstable();
        assert_eq!(got, (1..=20).collect::<Vec<_>>());
    });
}
