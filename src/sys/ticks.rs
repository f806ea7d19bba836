//! The cheapest clock there is: the processor's time stamp counter where it runs evenly, else the monotonic
//! clock. For measuring short spans; the unit is settled in the first tenth of a second, and stays: the counter may
//! run on while a machine sleeps, which the monotonic clock does not count.

use super::clock;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Origin {
    /// The time stamp counter exists and does not stop or change its pace.
    counter: bool,
    ticks: u64,
    ns: u64,
}

static ORIGIN: OnceLock<Origin> = OnceLock::new();

/// How much of the process's life a rate is taken from, at least and at most.
const ENOUGH_NS: u64 = 200_000;
const SETTLED_NS: u64 = 100_000_000;

/// The settled rate, as its bits; 0 before.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Ticks in 1,024 ns, for those who need no better; 0 before the first [`rate`].
static PER_1024_NS: AtomicU64 = AtomicU64::new(0);

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every x86-64 has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "x86_64")]
fn counter_is_even() -> bool {
    use core::arch::x86_64::__cpuid;
    // Leaf 0x8000_0007, EDX bit 8: invariant TSC.
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    clock::monotonic_ns()
}

#[cfg(not(target_arch = "x86_64"))]
fn counter_is_even() -> bool {
    true
}

fn origin() -> &'static Origin {
    ORIGIN.get_or_init(|| Origin {
        counter: counter_is_even(),
        ticks: counter(),
        ns: clock::monotonic_ns(),
    })
}

/// Ticks since some time in the past. Two readings on different threads may disagree by a few.
#[inline]
pub fn now() -> u64 {
    if origin().counter {
        counter()
    } else {
        clock::monotonic_ns()
    }
}

/// Ticks in a nanosecond.
pub fn rate() -> f64 {
    let origin = origin();
    if !origin.counter {
        PER_1024_NS.store(1024, Ordering::Relaxed);
        return 1.0;
    }
    let settled = RATE.load(Ordering::Relaxed);
    if settled != 0 {
        return f64::from_bits(settled);
    }
    loop {
        let ns = clock::monotonic_ns() - origin.ns;
        let ticks = counter().wrapping_sub(origin.ticks);
        if ns >= ENOUGH_NS {
            let rate = ticks as f64 / ns as f64;
            PER_1024_NS.store((rate * 1024.0) as u64, Ordering::Relaxed);
            if ns >= SETTLED_NS {
                RATE.store(rate.to_bits(), Ordering::Relaxed);
            }
            return rate;
        }
        std::hint::spin_loop();
    }
}

/// A span in ticks, roughly.
pub fn from_duration(span: Duration) -> u64 {
    let mut per_1024_ns = PER_1024_NS.load(Ordering::Relaxed);
    if per_1024_ns == 0 {
        rate();
        per_1024_ns = PER_1024_NS.load(Ordering::Relaxed);
    }
    (span.as_nanos() as u64 * per_1024_ns) >> 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_measure_time() {
        let (ticks, ns) = (now(), clock::monotonic_ns());
        std::thread::sleep(Duration::from_millis(20));
        let (ticks, ns) = (now() - ticks, clock::monotonic_ns() - ns);
        let measured = ticks as f64 / rate();
        assert!((measured / ns as f64 - 1.0).abs() < 0.2, "{measured} {ns}");
        let rough = from_duration(Duration::from_nanos(ns));
        assert!((rough as f64 / ticks as f64 - 1.0).abs() < 0.2);
    }
}
