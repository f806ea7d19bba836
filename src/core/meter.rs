//! What a thread's CPU time is spent on, without a system call for each message.
//!
//! The end of one message is the beginning of the next: one reading of the cheap clock ([`ticks`]) for each. It
//! counts time in which the thread did not run as well, so now and then the thread's CPU clock is read, and
//! what it shows less than was charged is taken off the message that has just ended: at the end of each message
//! that took long enough to hide a pause ([`SUSPECT`]), and once a millisecond of short ones ([`WINDOW`]).

use crate::sys::{clock, ticks};
use std::cell::Cell;
use std::time::Duration;

const WINDOW: Duration = Duration::from_millis(1);
/// A reading takes half a microsecond, so this is dear enough; but what a shorter message hides, one that waits for
/// another thread for instance, is taken off others.
const SUSPECT: Duration = Duration::from_micros(30);
/// A thread that comes back to messages after more than this did something else, or slept.
const GAP: Duration = Duration::from_micros(20);

/// The account of one thread. Times are ticks unless they say otherwise.
struct Meter {
    /// End of the last message.
    last: Cell<u64>,
    /// When the CPU clock was read, and what it said.
    base: Cell<u64>,
    base_cpu_ns: Cell<u64>,
    /// Charged to services since, or known to be nobody's.
    charged: Cell<u64>,
    /// Messages went unmeasured since `last`.
    stale: Cell<bool>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            last: Cell::new(0),
            base: Cell::new(0),
            base_cpu_ns: Cell::new(0),
            charged: Cell::new(0),
            stale: Cell::new(true),
        }
    };
}

/// The thread turns to messages after something else.
pub fn resume() {
    METER.with(Meter::resume);
}

/// A message ran that is not measured.
pub fn skip() {
    METER.with(|meter| meter.stale.set(true));
}

/// A message that is measured begins.
#[inline]
pub fn begin() {
    METER.with(|meter| {
        if meter.stale.get() {
            meter.resume();
        }
    });
}

/// A message has ended: its ticks, and the time.
#[inline]
pub fn lap() -> Lap {
    METER.with(Meter::lap)
}

/// See [`lap`].
#[derive(Clone, Copy)]
pub struct Lap {
    /// CPU of the message, in ticks.
    pub spent: u64,
    /// When it ended.
    pub end: u64,
}

/// CPU of the calling thread since its current message began, in nanoseconds.
pub fn current_ns() -> u64 {
    METER.with(|meter| {
        let cpu = clock::thread_cpu_ns().saturating_sub(meter.base_cpu_ns.get());
        cpu.saturating_sub(to_ns(meter.charged.get()))
    })
}

/// Ticks as nanoseconds.
pub fn to_ns(ticks: u64) -> u64 {
    (ticks as f64 / ticks::rate()) as u64
}

impl Meter {
    fn resume(&self) {
        let now = ticks::now();
        let gap = now.wrapping_sub(self.last.get());
        if self.base.get() == 0 || gap > ticks::from_duration(GAP) {
            self.base_cpu_ns.set(clock::thread_cpu_ns());
            self.charged.set(0);
            let now = ticks::now();
            self.base.set(now);
            self.last.set(now);
        } else {
            self.charged.set(self.charged.get() + gap);
            self.last.set(now);
        }
        self.stale.set(false);
    }

    fn lap(&self) -> Lap {
        let now = ticks::now();
        // Another processor's counter may be a little behind.
        let spent = now.saturating_sub(self.last.get());
        self.last.set(now);
        let window = now.saturating_sub(self.base.get());
        if spent < ticks::from_duration(SUSPECT) && window < ticks::from_duration(WINDOW) {
            self.charged.set(self.charged.get() + spent);
            return Lap { spent, end: now };
        }
        let cpu_ns = clock::thread_cpu_ns();
        let used = (cpu_ns.saturating_sub(self.base_cpu_ns.get()) as f64 * ticks::rate()) as u64;
        let before = self.charged.get();
        // What was charged beyond the truth is made up for by the messages to come.
        self.charged.set(before.saturating_sub(used));
        self.base_cpu_ns.set(cpu_ns);
        self.base.set(now);
        Lap {
            spent: used.saturating_sub(before),
            end: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(span: Duration) {
        let start = clock::thread_cpu_ns();
        while clock::thread_cpu_ns() - start < span.as_nanos() as u64 {}
    }

    #[test]
    fn sleeping_is_not_charged() {
        resume();
        let start = clock::thread_cpu_ns();
        let mut spent = 0;
        for _ in 0..20 {
            begin();
            burn(Duration::from_millis(2));
            std::thread::sleep(Duration::from_millis(2));
            spent += lap().spent;
        }
        let truth = (clock::thread_cpu_ns() - start) as f64;
        let ratio = to_ns(spent) as f64 / truth;
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_current_message_is_known_while_it_runs() {
        resume();
        lap();
        burn(Duration::from_millis(5));
        let ns = current_ns();
        assert!((4_900_000..20_000_000).contains(&ns), "{ns}");
        assert!(to_ns(lap().spent) >= 4_900_000);
        assert!(current_ns() < 2_000_000);
    }
}
