//! loom's models: every interleaving of two or three threads over a few operations. Each ends with join and
//! drain, and counts. `--cfg seeded="NAME"` puts one bug into the code, which the models must find:
//! `make loom` runs them all both ways.

#![allow(unsafe_code)]

use super::handle::{HandleTable, Registered};
use super::mailbox::{Mailbox, Popped, Pushed};
use super::message::Message;
use super::scheduler::local::{Local, Parcel};
use super::scheduler::sleepers::{Bed, News, Sleepers};
use super::timer::{Clock, Expiry, Timer};
use super::turn::{self, Next, Owner, Queue, Turn};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, thread};
use std::time::Duration;

fn message(session: i32) -> Message {
    Message::empty(1, session, 0)
}

/// Pops with the turn until it is gone.
fn drain(mailbox: &Mailbox, got: &mut Vec<i32>) {
    loop {
        // SAFETY: callers have the turn.
        match unsafe { mailbox.pop() } {
            Popped::Message(message) => got.push(message.session),
            Popped::Pending => thread::yield_now(),
            Popped::Idle { .. } => return,
        }
    }
}

/// Two threads push, and whoever gets the turn pops: nothing is lost or doubled, order holds for each sender,
/// the length is exact, and the turn is free at the end.
#[test]
fn mailbox_loses_nothing() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        drain(&mailbox, &mut Vec::new());
        let threads: Vec<_> = [[1, 2].as_slice(), [11].as_slice()]
            .into_iter()
            .map(|sessions| {
                let mailbox = mailbox.clone();
                thread::spawn(move || {
                    let mut got = Vec::new();
                    for session in sessions {
                        if mailbox.push(message(*session)) != Pushed::Queued {
                            drain(&mailbox, &mut got);
                        }
                    }
                    got
                })
            })
            .collect();
        let mut got: Vec<i32> = Vec::new();
        for thread in threads {
            got.extend(thread.join().unwrap());
        }
        assert_eq!(mailbox.len(), 0);
        let of_first: Vec<_> = got.iter().filter(|session| **session < 10).collect();
        assert_eq!(of_first.len(), 2, "{got:?}");
        got.sort_unstable();
        assert_eq!(got, [1, 2, 11]);
        assert_eq!(mailbox.push(message(3)), Pushed::Turn { retired: false });
    });
}

/// A push while the holder of the turn finds the mailbox empty: one of the two sees the message.
#[test]
fn going_idle_passes_no_message() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let sender = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.push(message(1)) != Pushed::Queued)
        };
        let mut got = Vec::new();
        drain(&mailbox, &mut got);
        if sender.join().unwrap() {
            drain(&mailbox, &mut got);
        }
        assert_eq!(got, [1]);
    });
}

/// A service that counts what becomes of it.
#[repr(C)]
struct Service {
    queue: Queue,
    fate: std::sync::Arc<Fate>,
}

#[derive(Default)]
struct Fate {
    /// Messages that were run, and that were answered because the service is gone.
    run: std::sync::atomic::AtomicUsize,
    answered: std::sync::atomic::AtomicUsize,
    freed: std::sync::atomic::AtomicUsize,
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

/// A table with one service of handle 1 whose mailbox is idle.
fn one_service() -> (Arc<HandleTable<Service>>, std::sync::Arc<Fate>) {
    let table = Arc::new(HandleTable::new());
    let fate = std::sync::Arc::new(Fate::default());
    let service = Arc::new(Service {
        queue: Queue::of_service(),
        fate: fate.clone(),
    });
    table.register(&service);
    // SAFETY: the turn of a new service is its maker's.
    let turn = unsafe { turn::first(&service) };
    assert!(turn.pop().1.is_none());
    drop(service);
    (table, fate)
}

/// What a worker does with a turn.
fn serve(mut turn: Turn<Service>) {
    loop {
        let Some(service) = turn.owner() else { return };
        let fate = service.fate.clone();
        let retired = service.queue.mailbox.is_retired();
        match turn.pop() {
            (Next::Message(_), Some(rest)) => {
                turn = rest;
                let count = if retired { &fate.answered } else { &fate.run };
                count.fetch_add(1, Ordering::Relaxed);
            }
            (Next::Pending, Some(rest)) => {
                turn = rest;
                thread::yield_now();
            }
            _ => return,
        }
    }
}

/// A send races with the end of the service: what the send accepted is run or answered, exactly once, and the
/// service is freed, exactly once.
#[test]
fn a_send_to_an_ending_service_is_answered() {
    loom::model(|| {
        let (table, fate) = one_service();
        let sender = {
            let table = table.clone();
            thread::spawn(move || {
                let mark = table.readers.mark();
                let turn = table.with(&mark, 1, |service| turn::push(service, message(1)));
                let accepted = turn.is_some();
                if let Some(Some(turn)) = turn {
                    serve(turn);
                }
                accepted
            })
        };
        if let Some(service) = table.retire(1) {
            turn::retire(service);
        }
        let accepted = sender.join().unwrap();
        let count = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
        assert_eq!(
            count(&fate.run) + count(&fate.answered),
            usize::from(accepted)
        );
        assert_eq!(count(&fate.freed), 1);
    });
}

/// The same with a sender that holds a reference, whose sends are accepted whatever happens.
#[test]
fn a_reference_may_send_to_a_service_that_ended() {
    loom::model(|| {
        let (table, fate) = one_service();
        let mark = table.readers.mark();
        let service = table.grab(&mark, 1).unwrap();
        let sender = thread::spawn(move || {
            for session in 1..3 {
                if let Some(turn) = turn::push(&service, message(session)) {
                    serve(turn);
                }
            }
        });
        if let Some(service) = table.retire(1) {
            turn::retire(service);
        }
        sender.join().unwrap();
        let count = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
        assert_eq!(count(&fate.run) + count(&fate.answered), 2);
        assert_eq!(count(&fate.freed), 1);
    });
}

/// Something in the handle table that notices being looked at when it is gone.
struct Item {
    handle: std::sync::atomic::AtomicU32,
    alive: loom::cell::UnsafeCell<bool>,
}

// SAFETY: loom checks the accesses to the cell.
unsafe impl Sync for Item {}

impl Registered for Item {
    fn set_handle(&self, handle: u32) {
        self.handle.store(handle, Ordering::Relaxed);
    }
    fn handle(&self) -> u32 {
        self.handle.load(Ordering::Relaxed)
    }
}

fn item() -> Arc<Item> {
    Arc::new(Item {
        handle: std::sync::atomic::AtomicU32::new(0),
        alive: loom::cell::UnsafeCell::new(true),
    })
}

/// Look-ups race with a retirement and with a registration that grows the table: what is found is alive, and
/// what lives is found.
#[test]
fn handles_are_looked_up_while_the_table_changes() {
    loom::model(|| {
        let table = Arc::new(HandleTable::new());
        for handle in 1..=4 {
            assert_eq!(table.register(&item()), handle);
        }
        let reader = {
            let table = table.clone();
            thread::spawn(move || {
                let mark = table.readers.mark();
                // SAFETY: the table keeps what it shows, which loom checks.
                let look = |item: &Arc<Item>| item.alive.with(|alive| unsafe { *alive });
                assert_ne!(table.with(&mark, 1, look), Some(false));
                assert_eq!(table.with(&mark, 2, look), Some(true));
            })
        };
        // Grows from four slots to eight.
        table.register(&item());
        let gone = table.retire(1).unwrap();
        // SAFETY: nobody else can have it, which loom checks.
        gone.alive.with_mut(|alive| unsafe { *alive = false });
        reader.join().unwrap();
    });
}

#[derive(Debug, PartialEq, Eq)]
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

/// The owner pushes and pops while another worker steals: each entry is taken once.
#[test]
fn stealing_takes_each_entry_once() {
    loom::model(|| {
        let queue = Arc::new(Local::<Number>::new());
        queue.push(Number(1)).unwrap();
        queue.push(Number(2)).unwrap();
        let thief = {
            let queue = queue.clone();
            thread::spawn(move || {
                let own = Local::<Number>::new();
                let mut got: Vec<usize> = queue
                    .steal_into(&own)
                    .map(|item| item.0)
                    .into_iter()
                    .collect();
                got.extend(std::iter::from_fn(|| own.pop()).map(|item| item.0));
                got
            })
        };
        let mut got: Vec<usize> = queue.pop().map(|item| item.0).into_iter().collect();
        let refused = queue.push(Number(3)).err().map(|item| item.0);
        got.extend(std::iter::from_fn(|| queue.pop()).map(|item| item.0));
        got.extend(thief.join().unwrap());
        got.extend(refused);
        got.sort_unstable();
        assert_eq!(got, [1, 2, 3]);
    });
}

/// A bed made of a lock, as loom's own parking keeps no time.
#[derive(Default)]
struct Cot {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Cot {
    fn new() -> Self {
        Cot {
            woken: Mutex::new(false),
            changed: Condvar::new(),
        }
    }
}

impl Bed for Cot {
    fn sleep(&self, limit: Option<Duration>) {
        // A sleep with a limit ends by itself.
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

struct Hall {
    sleepers: Sleepers,
    beds: Vec<Cot>,
    work: AtomicUsize,
    closed: AtomicBool,
}

impl Hall {
    fn take(&self) -> bool {
        let mut work = self.work.load(Ordering::Relaxed);
        while work > 0 {
            let next =
                self.work
                    .compare_exchange(work, work - 1, Ordering::AcqRel, Ordering::Relaxed);
            match next {
                Ok(_) => return true,
                Err(now) => work = now,
            }
        }
        false
    }

    /// The life of a worker, as in `Scheduler::wait`.
    fn worker(&self, me: usize) -> usize {
        let mut done = 0;
        loop {
            let mut seeking = self.sleepers.begin();
            loop {
                if self.take() {
                    done += 1;
                    if seeking {
                        self.sleepers.end();
                        if self.work.load(Ordering::Relaxed) > 0 {
                            self.sleepers.announce(News::Work, &self.beds);
                        }
                    }
                    break;
                }
                let closed = || self.closed.load(Ordering::Relaxed);
                if closed() {
                    return done;
                }
                let anything = || closed() || self.work.load(Ordering::Relaxed) > 0;
                self.sleepers.park(me, &self.beds[me], seeking, anything);
                seeking = true;
            }
        }
    }
}

/// Work is made visible while workers go to sleep: all of it is done without anybody else's help. A lost
/// wake-up would be a deadlock, which loom reports.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let hall = Arc::new(Hall {
            sleepers: Sleepers::new(),
            beds: vec![Cot::new()],
            work: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let worker = {
            let hall = hall.clone();
            thread::spawn(move || hall.worker(0))
        };
        hall.work.fetch_add(1, Ordering::Release);
        hall.sleepers.announce(News::Work, &hall.beds);
        while hall.work.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        hall.closed.store(true, Ordering::SeqCst);
        hall.sleepers.close(&hall.beds);
        assert_eq!(worker.join().unwrap(), 1);
    });
}

/// Two workers and a burst: the one that finds something wakes the other if there is more.
#[test]
fn a_burst_is_done() {
    // Three threads: more preemptions would take hours.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(1);
    model.check(|| {
        let hall = Arc::new(Hall {
            sleepers: Sleepers::new(),
            beds: vec![Cot::new(), Cot::new()],
            work: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let workers: Vec<_> = (0..2)
            .map(|me| {
                let hall = hall.clone();
                thread::spawn(move || hall.worker(me))
            })
            .collect();
        for _ in 0..2 {
            hall.work.fetch_add(1, Ordering::Release);
            hall.sleepers.announce(News::Work, &hall.beds);
        }
        while hall.work.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        hall.closed.store(true, Ordering::SeqCst);
        hall.sleepers.close(&hall.beds);
        let done: usize = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum();
        assert_eq!(done, 2);
    });
}

/// A clock that is put forward by hand, with an alarm.
struct Manual {
    now: AtomicU64,
    alarm: Mutex<u64>,
    changed: Condvar,
}

impl Clock for Manual {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    fn set_alarm(&self, at: u64) {
        *self.alarm.lock() = at;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut alarm = self.alarm.lock();
        while *alarm > self.now() {
            self.changed.wait(&mut alarm);
        }
        *alarm = u64::MAX;
    }
}

/// A timeout is put in while the timer thread goes to sleep, and then its time comes: it fires, once. One that
/// were forgotten would be a deadlock, which loom reports.
#[test]
fn no_timeout_is_slept_over() {
    loom::model(|| {
        let timer = Arc::new(Timer::with_clock(Manual {
            now: AtomicU64::new(1),
            alarm: Mutex::new(u64::MAX),
            changed: Condvar::new(),
        }));
        let fired = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (timer, fired) = (timer.clone(), fired.clone());
            thread::spawn(move || {
                timer.run(&mut |_| {
                    fired.fetch_add(1, Ordering::Release);
                });
            })
        };
        let expiry = Expiry {
            handle: 1,
            session: 1,
        };
        timer.insert(1, expiry);
        let clock = timer.clock();
        clock.now.store(10_000_000, Ordering::Release);
        drop(clock.alarm.lock());
        clock.changed.notify_all();
        while fired.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        timer.close();
        thread.join().unwrap();
        assert_eq!(fired.load(Ordering::Acquire), 1);
    });
}
