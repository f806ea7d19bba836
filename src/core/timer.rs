//! Time: the centisecond clock, and timeouts that become messages.
//!
//! Ticks are centiseconds of the monotonic clock. A timeout of *n* ticks is due at the tick of its
//! insertion plus *n*, and timeouts of one tick fire in the order they were set (core.md §7.2). Timeouts in
//! milliseconds, an addition, are due when the time has passed, to a tenth of a millisecond and never
//! before.
//!
//! The timer thread waits for an alarm that is set to the earliest due time, or to none. Putting in and
//! going to sleep, in steps that each hold the lock:
//! 1. The thread, awake, looks for the earliest due time, writes it into `armed` and sets the alarm to it;
//!    then it waits without the lock.
//! 2. Who puts in a timeout that is due before `armed` does the same. The thread, already waiting or about
//!    to wait, is woken at the earlier time and only then.
//! 3. The thread, woken, writes [`AWAKE`]: until step 1 comes round nobody needs to set the alarm.

use super::pending::{Lane, Pending, UNIT_NS};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, const_fn};
use crate::sys::alarm::Alarm;
use crate::sys::clock;
use std::io;
use std::sync::OnceLock;

pub use super::pending::Expiry;

const TICK_NS: u64 = UNIT_NS[Lane::Grid as usize];
/// Timeouts that are taken out under one lock: what somebody who puts one in may have to wait for.
const BATCH: usize = 64;

/// Value of `armed` while no thread waits for the alarm: earlier than all.
const AWAKE: u64 = 0;
/// Value of `armed` while the thread waits and the alarm is not set.
const NEVER: u64 = u64::MAX;

/// What the timer needs of the system; tests and models have their own.
pub trait Clock {
    /// Nanoseconds. Never goes back.
    fn now(&self) -> u64;
    /// The same, some milliseconds behind if that is cheaper.
    fn about_now(&self) -> u64 {
        self.now()
    }
    /// Sets the alarm to a time, which may be past, in place of what it was set to before.
    fn set_alarm(&self, at: u64);
    /// Returns once the alarm has gone off. Only the timer thread waits.
    fn wait(&self);
}

/// The monotonic clock of the system.
pub struct System {
    alarm: Alarm,
    /// Added to the system's time; a multiple of a tick.
    ahead: AtomicU64,
}

impl Clock for System {
    fn now(&self) -> u64 {
        clock::monotonic_ns() + self.ahead.load(Ordering::Relaxed)
    }
    fn about_now(&self) -> u64 {
        clock::monotonic_coarse_ns() + self.ahead.load(Ordering::Relaxed)
    }
    fn set_alarm(&self, at: u64) {
        self.alarm
            .set(at.saturating_sub(self.ahead.load(Ordering::Relaxed)));
    }
    fn wait(&self) {
        self.alarm.wait();
    }
}

/// Pending timeouts and the thread that waits for them.
pub struct Timer<C = System> {
    clock: C,
    /// Set by [`Timer::start`]; `now` is 0 before.
    origin: OnceLock<Origin>,
    state: Mutex<State>,
}

struct State {
    pending: Pending,
    /// What the alarm is set to while the timer thread waits for it, [`AWAKE`] or [`NEVER`].
    armed: u64,
    closed: bool,
}

#[derive(Clone, Copy)]
struct Origin {
    /// Seconds since the epoch at start.
    wall_seconds: u32,
    /// What `now` was at start: the centisecond part of the wall clock.
    now: u64,
    /// Tick of the clock at start.
    tick: u64,
}

impl Timer {
    const_fn! {
        pub fn new() -> Self {
            Timer::with_clock(System {
                alarm: Alarm::new(),
                ahead: AtomicU64::new(0),
            })
        }
    }

    /// Gets what [`Timer::run`] needs from the system.
    pub fn open(&self) -> io::Result<()> {
        self.clock.alarm.open()
    }

    /// For tests: puts the clock forward, so that ticks pass a limit soon. Only before [`Timer::start`].
    pub fn set_tick(&self, tick: u64) {
        let ahead = tick.saturating_sub(self.tick()) * TICK_NS;
        self.clock.ahead.fetch_add(ahead, Ordering::Relaxed);
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock> Timer<C> {
    const_fn! {
        pub fn with_clock(clock: C) -> Self {
            Timer {
                clock,
                origin: OnceLock::new(),
                state: Mutex::new(State {
                    pending: Pending::new(),
                    armed: AWAKE,
                    closed: false,
                }),
            }
        }
    }

    #[cfg(modelled)]
    pub fn clock(&self) -> &C {
        &self.clock
    }

    fn tick(&self) -> u64 {
        self.clock.now() / TICK_NS
    }

    /// Starts the clock (core.md §7.3). Later calls change nothing.
    pub fn start(&self) {
        let wall = clock::realtime_ns();
        self.origin.get_or_init(|| Origin {
            wall_seconds: (wall / 1_000_000_000) as u32,
            now: wall % 1_000_000_000 / TICK_NS,
            tick: self.tick(),
        });
    }

    /// Wall-clock seconds since the epoch when the clock was started.
    pub fn start_time(&self) -> u32 {
        self.origin.get().map_or(0, |origin| origin.wall_seconds)
    }

    /// Centiseconds, counted so that `start_time + now / 100` is the time of day.
    pub fn now(&self) -> u64 {
        self.count(self.clock.now())
    }

    /// As [`Timer::now`], some milliseconds behind and cheaper; for statistics.
    pub fn about_now(&self) -> u64 {
        self.count(self.clock.about_now())
    }

    fn count(&self, ns: u64) -> u64 {
        self.origin.get().map_or(0, |origin| {
            origin.now + (ns / TICK_NS).saturating_sub(origin.tick)
        })
    }

    /// Stores a timeout of `ticks` > 0.
    pub fn insert(&self, ticks: u32, expiry: Expiry) {
        let now = self.tick();
        self.put(Lane::Grid, now, now + u64::from(ticks), expiry);
    }

    /// Stores a timeout of `ms` > 0 milliseconds.
    pub fn insert_ms(&self, ms: u32, expiry: Expiry) {
        let unit = UNIT_NS[Lane::Exact as usize];
        let now = self.clock.now();
        let due = (now + u64::from(ms) * 1_000_000).div_ceil(unit);
        self.put(Lane::Exact, now / unit, due, expiry);
    }

    fn put(&self, lane: Lane, now: u64, due: u64, expiry: Expiry) {
        let mut state = self.state.lock();
        // What the list needs is in no service's account: it is used again by others.
        let at = super::unowned(|| state.pending.insert(lane, now, due, expiry));
        if at < state.armed {
            // Under the lock: `armed` and the alarm must not part.
            state.armed = at;
            self.clock.set_alarm(at);
        }
    }

    /// Takes a timeout back. False when it has fired or there was none; of several with the same session
    /// it is the last one.
    pub fn cancel(&self, expiry: Expiry) -> bool {
        // The alarm stays: at worst the thread wakes once for nothing.
        self.state.lock().pending.cancel(expiry)
    }

    /// Hands every timeout that is due by now to `fire`, in order. `fire` runs without a lock.
    pub fn expire(&self, fire: &mut dyn FnMut(Expiry)) {
        let mut batch = Vec::new();
        loop {
            let now = self.clock.now();
            let more = self.state.lock().pending.take(now, BATCH, &mut batch);
            batch.drain(..).for_each(&mut *fire);
            if !more {
                return;
            }
        }
    }

    /// The timer thread: fires timeouts until [`Timer::close`] is called.
    pub fn run(&self, fire: &mut dyn FnMut(Expiry)) {
        loop {
            self.expire(fire);
            {
                let mut state = self.state.lock();
                if state.closed {
                    return;
                }
                let first = state.pending.first().unwrap_or(NEVER);
                #[cfg(seeded = "timer")]
                {
                    drop(state);
                    state = self.state.lock();
                }
                state.armed = first;
                if state.armed != NEVER {
                    self.clock.set_alarm(state.armed);
                }
            }
            self.clock.wait();
            self.state.lock().armed = AWAKE;
        }
    }

    /// Ends [`Timer::run`]; pending timeouts are not fired.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        // From now on nobody sets the alarm to another time.
        state.armed = AWAKE;
        self.clock.set_alarm(0);
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use crate::sync::Condvar;
    use std::time::Duration;

    fn expiry(session: i32) -> Expiry {
        Expiry { handle: 1, session }
    }

    /// A clock that stands still unless it is put forward.
    struct Manual {
        now: AtomicU64,
        alarm: Mutex<u64>,
        changed: Condvar,
        settings: AtomicU64,
    }

    fn manual(now: u64) -> Timer<Manual> {
        Timer::with_clock(Manual {
            now: AtomicU64::new(now),
            alarm: Mutex::new(NEVER),
            changed: Condvar::new(),
            settings: AtomicU64::new(0),
        })
    }

    impl Manual {
        fn forward(&self, ns: u64) {
            self.now.fetch_add(ns, Ordering::Relaxed);
            // So that nobody is between looking at the time and waiting.
            drop(self.alarm.lock());
            self.changed.notify_all();
        }
    }

    impl Clock for Manual {
        fn now(&self) -> u64 {
            self.now.load(Ordering::Relaxed)
        }
        fn set_alarm(&self, at: u64) {
            self.settings.fetch_add(1, Ordering::Relaxed);
            *self.alarm.lock() = at;
            self.changed.notify_all();
        }
        fn wait(&self) {
            let mut alarm = self.alarm.lock();
            while *alarm > self.now() {
                self.changed.wait(&mut alarm);
            }
            *alarm = NEVER;
        }
    }

    fn fired(timer: &Timer<Manual>) -> Vec<i32> {
        let mut fired = Vec::new();
        timer.expire(&mut |expiry| fired.push(expiry.session));
        fired
    }

    #[test]
    fn due_when_its_tick_begins() {
        let timer = manual(5 * TICK_NS + 9_000_000);
        timer.insert(1, expiry(1));
        timer.insert(3, expiry(3));
        timer.insert(1, expiry(2));
        timer.clock.forward(999_999);
        assert_eq!(fired(&timer), []);
        timer.clock.forward(1);
        assert_eq!(fired(&timer), [1, 2], "one millisecond later");
        timer.clock.forward(2 * TICK_NS - 1);
        assert_eq!(fired(&timer), []);
        timer.clock.forward(1);
        assert_eq!(fired(&timer), [3]);
    }

    #[test]
    fn milliseconds_are_never_early() {
        let timer = manual(123_456_789);
        timer.insert_ms(7, expiry(1));
        timer.clock.forward(6_999_999);
        assert_eq!(fired(&timer), []);
        timer.clock.forward(100_000);
        assert_eq!(fired(&timer), [1]);
    }

    #[test]
    fn cancelled_or_fired_not_both() {
        let timer = manual(1);
        timer.insert(2, expiry(1));
        timer.insert_ms(20, expiry(2));
        timer.insert(2, expiry(3));
        assert!(timer.cancel(expiry(1)));
        assert!(timer.cancel(expiry(2)));
        assert!(!timer.cancel(expiry(1)));
        timer.clock.forward(3 * TICK_NS);
        assert_eq!(fired(&timer), [3]);
        assert!(!timer.cancel(expiry(3)));
    }

    /// A month passes in no time, as after a suspension: what is due comes once and in order, and it does
    /// not take a step for each tick that was missed.
    #[test]
    fn a_jump_fires_what_is_due_once_and_in_order() {
        const MONTH: u64 = 30 * 24 * 3600 * 100;
        let timer = manual(17);
        let mut expected = Vec::new();
        for session in 0..3000_i32 {
            let ticks = 1 + session as u64 * session as u64 % MONTH;
            timer.insert(ticks as u32, expiry(session));
            expected.push((ticks, session));
        }
        timer.insert(i32::MAX as u32, expiry(-1));
        timer.clock.forward(MONTH * TICK_NS);
        expected.sort();
        let expected: Vec<i32> = expected.into_iter().map(|(_, session)| session).collect();
        assert_eq!(fired(&timer), expected);
        assert_eq!(fired(&timer), []);
        timer
            .clock
            .forward((i32::MAX as u64 - MONTH) * TICK_NS - TICK_NS);
        assert_eq!(fired(&timer), []);
        timer.clock.forward(TICK_NS);
        assert_eq!(fired(&timer), [-1]);
    }

    #[test]
    fn only_an_earlier_timeout_sets_the_alarm() {
        let timer = manual(1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let wait = || receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        let asleep = || {
            while timer.state.lock().armed == AWAKE {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| timer.run(&mut |expiry| sender.send(expiry).unwrap()));
            asleep();
            assert_eq!(timer.clock.settings.load(Ordering::Relaxed), 0);
            for session in 1..=5 {
                timer.insert(10, expiry(session));
                timer.insert(50, expiry(10 + session));
            }
            assert_eq!(timer.clock.settings.load(Ordering::Relaxed), 1);
            timer.insert(2, expiry(0));
            assert_eq!(timer.clock.settings.load(Ordering::Relaxed), 2);
            timer.clock.forward(3 * TICK_NS);
            assert_eq!(wait().session, 0);
            timer.clock.forward(10 * TICK_NS);
            for session in 1..=5 {
                assert_eq!(wait().session, session);
            }
            timer.close();
            let settings = timer.clock.settings.load(Ordering::Relaxed);
            timer.insert(1, expiry(20));
            assert_eq!(timer.clock.settings.load(Ordering::Relaxed), settings);
            thread.join().unwrap();
        });
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn the_system_clock_wakes_the_thread() {
        let timer = Timer::new();
        timer.open().unwrap();
        // Ticks pass 2^32 while this runs.
        timer.set_tick((1 << 32) - 3);
        timer.start();
        let (sender, receiver) = std::sync::mpsc::channel();
        let wait = || receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| timer.run(&mut |expiry| sender.send(expiry).unwrap()));
            timer.insert(i32::MAX as u32, expiry(9));
            std::thread::sleep(Duration::from_millis(10));
            let start = std::time::Instant::now();
            timer.insert(5, expiry(2));
            timer.insert_ms(3, expiry(1));
            assert_eq!(wait().session, 1);
            assert!(start.elapsed() >= Duration::from_millis(3));
            assert_eq!(wait().session, 2);
            assert!(start.elapsed() >= Duration::from_millis(40));
            timer.close();
            thread.join().unwrap();
        });
    }

    #[test]
    fn now_counts_centiseconds_of_the_day() {
        let timer = Timer::new();
        assert_eq!((timer.now(), timer.start_time()), (0, 0));
        timer.start();
        let now = timer.now();
        assert!(now < 200, "{now}");
        let wall = clock::realtime_ns() / 1_000_000_000;
        assert!(u64::from(timer.start_time()).abs_diff(wall) <= 1);
        std::thread::sleep(Duration::from_millis(30));
        assert!(timer.now() >= now + 2);
    }
}
