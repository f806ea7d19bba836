//! Endless-loop detection: each worker says what it is at, and a watcher notices when it stays there
//! (core.md §6.6).

use crate::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering};

/// What one worker is at. The worker writes, the watcher reads; a torn view only costs one look.
#[derive(Default)]
pub struct WorkerMonitor {
    /// Grows with each message begun and each message done.
    version: AtomicI32,
    source: AtomicU32,
    /// Handle of the running service; 0 between messages.
    destination: AtomicU32,
    /// Type of the message.
    kind: AtomicU8,
    /// The version at the watcher's last look, and how many looks in a row have found it. Only the watcher
    /// uses these.
    seen: AtomicI32,
    looks: AtomicU32,
}

/// A worker that has been at one message since the last look.
#[derive(Debug, PartialEq, Eq)]
pub struct Stuck {
    pub source: u32,
    pub destination: u32,
    pub kind: u8,
    pub version: i32,
    /// How many times in a row the watcher has found it so; 1 is the first.
    pub looks: u32,
}

impl Stuck {
    /// Whether to say it again: at the first look, then ever less often, up to every twelfth. With a look
    /// every five seconds that is 5, 10, 20, 40, 60, 120 ... seconds.
    pub fn is_due(&self) -> bool {
        match self.looks {
            1 | 2 | 4 | 8 => true,
            looks => looks.is_multiple_of(12),
        }
    }
}

impl WorkerMonitor {
    pub const fn new() -> Self {
        WorkerMonitor {
            version: AtomicI32::new(0),
            source: AtomicU32::new(0),
            destination: AtomicU32::new(0),
            kind: AtomicU8::new(0),
            seen: AtomicI32::new(0),
            looks: AtomicU32::new(0),
        }
    }

    /// The worker begins a message of a type (both handles) or has ended it (`0, 0, 0`).
    pub fn trigger(&self, source: u32, destination: u32, kind: u8) {
        self.source.store(source, Ordering::Relaxed);
        self.destination.store(destination, Ordering::Relaxed);
        self.kind.store(kind, Ordering::Relaxed);
        // Only the worker writes.
        let version = self.version.load(Ordering::Relaxed).wrapping_add(1);
        self.version.store(version, Ordering::Relaxed);
    }

    /// Changes with each message begun and each message done.
    pub fn version(&self) -> i32 {
        self.version.load(Ordering::Relaxed)
    }

    /// The watcher's look.
    pub fn check(&self) -> Option<Stuck> {
        let version = self.version.load(Ordering::Relaxed);
        let destination = self.destination.load(Ordering::Relaxed);
        if self.seen.swap(version, Ordering::Relaxed) != version || destination == 0 {
            self.looks.store(0, Ordering::Relaxed);
            return None;
        }
        let looks = self.looks.load(Ordering::Relaxed).saturating_add(1);
        self.looks.store(looks, Ordering::Relaxed);
        Some(Stuck {
            source: self.source.load(Ordering::Relaxed),
            destination,
            kind: self.kind.load(Ordering::Relaxed),
            version,
            looks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_lasts_two_looks_is_stuck() {
        let monitor = WorkerMonitor::new();
        assert_eq!(monitor.check(), None);
        monitor.trigger(1, 2, 10);
        assert_eq!(monitor.check(), None);
        let stuck = |looks| Stuck {
            source: 1,
            destination: 2,
            kind: 10,
            version: 1,
            looks,
        };
        assert_eq!(monitor.check(), Some(stuck(1)));
        assert_eq!(monitor.check(), Some(stuck(2)));
        monitor.trigger(0, 0, 0);
        assert_eq!(monitor.check(), None);
        assert_eq!(monitor.check(), None);
        monitor.trigger(1, 2, 10);
        assert_eq!(monitor.check(), None);
        assert_eq!(monitor.check().unwrap().looks, 1);
    }

    #[test]
    fn said_ever_less_often() {
        let due: Vec<u32> = (1..40)
            .filter(|looks| {
                let (source, destination, kind, version, looks) = (0, 0, 0, 0, *looks);
                Stuck {
                    source,
                    destination,
                    kind,
                    version,
                    looks,
                }
                .is_due()
            })
            .collect();
        assert_eq!(due, [1, 2, 4, 8, 12, 24, 36]);
    }
}
