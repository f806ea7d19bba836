//! Time: the centisecond clock, and timeouts that become messages.
//!
//! Ticks are centiseconds of the monotonic clock. A timeout of *n* ticks is due at the tick of its
//! insertion plus *n*, and timeouts of one tick fire in the order they were set (core.md §7.2). The
//! timer thread sleeps until the earliest of them, for ever when there is none, and an insertion that
//! is due earlier wakes it.

use crate::sync::{Condvar, Mutex};
use crate::sys::clock;
use std::collections::BTreeMap;
use std::time::Duration;

const TICK_NS: u64 = 10_000_000;

/// A timeout that is due: who waits for it, and under which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub handle: u32,
    pub session: i32,
}

/// Pending timeouts and the thread that waits for them.
pub struct Timer {
    state: Mutex<State>,
    earlier: Condvar,
}

struct State {
    /// Set by [`Timer::start`]; the clock reads 0 before.
    origin: Option<Origin>,
    due: BTreeMap<u64, Vec<Expiry>>,
    /// The tick the timer thread sleeps until, while it sleeps.
    sleeping_until: Option<u64>,
    closed: bool,
}

#[derive(Clone, Copy)]
struct Origin {
    /// Seconds since the epoch at start.
    wall_seconds: u32,
    /// What `now` was at start: the centisecond part of the wall clock.
    now: u64,
    /// Tick of the monotonic clock at start.
    tick: u64,
}

impl Timer {
    pub const fn new() -> Self {
        Timer {
            state: Mutex::new(State {
                origin: None,
                due: BTreeMap::new(),
                sleeping_until: None,
                closed: false,
            }),
            earlier: Condvar::new(),
        }
    }

    /// Starts the clock (core.md §7.3). Later calls change nothing.
    pub fn start(&self) {
        let wall = clock::realtime_ns();
        self.state.lock().origin.get_or_insert(Origin {
            wall_seconds: (wall / 1_000_000_000) as u32,
            now: wall % 1_000_000_000 / TICK_NS,
            tick: tick(),
        });
    }

    /// Wall-clock seconds since the epoch when the clock was started.
    pub fn start_time(&self) -> u32 {
        self.state
            .lock()
            .origin
            .map_or(0, |origin| origin.wall_seconds)
    }

    /// Centiseconds, counted so that `start_time + now / 100` is the time of day.
    pub fn now(&self) -> u64 {
        let tick = tick();
        self.state
            .lock()
            .origin
            .map_or(0, |origin| origin.now + (tick - origin.tick))
    }

    /// Stores a timeout of `ticks` > 0.
    pub fn insert(&self, ticks: u32, expiry: Expiry) {
        let mut state = self.state.lock();
        let due = tick() + u64::from(ticks);
        state.due.entry(due).or_default().push(expiry);
        let wake = state.sleeping_until.is_some_and(|until| due < until);
        if wake {
            // One wake-up is enough, however many come before the thread runs.
            state.sleeping_until = Some(due);
            drop(state);
            self.earlier.notify_one();
        }
    }

    /// Hands every timeout that is due by now to `fire`, in order. `fire` runs without a lock.
    pub fn expire(&self, fire: &mut dyn FnMut(Expiry)) {
        loop {
            let mut state = self.state.lock();
            let Some(entry) = state.due.first_entry() else {
                return;
            };
            if *entry.key() > tick() {
                return;
            }
            let batch = entry.remove();
            drop(state);
            batch.into_iter().for_each(&mut *fire);
        }
    }

    /// The timer thread: fires timeouts until [`Timer::close`] is called.
    pub fn run(&self, fire: &mut dyn FnMut(Expiry)) {
        loop {
            self.expire(fire);
            let mut state = self.state.lock();
            if state.closed {
                return;
            }
            match state.due.first_key_value().map(|(due, _)| *due) {
                None => {
                    state.sleeping_until = Some(u64::MAX);
                    self.earlier.wait(&mut state);
                }
                Some(due) => {
                    let wait = (due * TICK_NS).saturating_sub(clock::monotonic_ns());
                    if wait > 0 {
                        state.sleeping_until = Some(due);
                        self.earlier
                            .wait_for(&mut state, Duration::from_nanos(wait));
                    }
                }
            }
            state.sleeping_until = None;
        }
    }

    /// Ends [`Timer::run`]; pending timeouts are not fired.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.earlier.notify_one();
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

fn tick() -> u64 {
    clock::monotonic_ns() / TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(session: i32) -> Expiry {
        Expiry { handle: 1, session }
    }

    #[test]
    fn fires_in_order_of_tick_then_insertion() {
        let timer = Timer::new();
        timer.start();
        timer.insert(3, expiry(3));
        timer.insert(1, expiry(1));
        timer.insert(1, expiry(2));
        timer.insert(100_000, expiry(4));
        let mut fired = Vec::new();
        timer.expire(&mut |expiry| fired.push(expiry.session));
        assert!(!fired.contains(&3), "not due yet");
        std::thread::sleep(Duration::from_millis(45));
        timer.expire(&mut |expiry| fired.push(expiry.session));
        assert_eq!(fired, [1, 2, 3]);
    }

    #[test]
    fn an_earlier_timeout_wakes_the_thread() {
        let timer = Timer::new();
        timer.start();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| timer.run(&mut |expiry| sender.send(expiry).unwrap()));
            timer.insert(1_000_000, expiry(1));
            std::thread::sleep(Duration::from_millis(20));
            timer.insert(2, expiry(2));
            assert_eq!(
                receiver
                    .recv_timeout(Duration::from_secs(10))
                    .unwrap()
                    .session,
                2
            );
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
