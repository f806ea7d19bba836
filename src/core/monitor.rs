//! Endless-loop detection: each worker says what it is at, and a watcher notices when it stays there
//! (core.md §6.6).

use crate::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// What one worker is at. The worker writes, the watcher reads; a torn view only costs one look.
#[derive(Default)]
pub struct WorkerMonitor {
    /// Grows with each message begun and each message done.
    version: AtomicI32,
    /// The version at the watcher's last look. Only the watcher uses it.
    seen: AtomicI32,
    source: AtomicU32,
    /// Handle of the running service; 0 between messages.
    destination: AtomicU32,
}

/// A worker that has been at one message since the last look.
#[derive(Debug, PartialEq, Eq)]
pub struct Stuck {
    pub source: u32,
    pub destination: u32,
    pub version: i32,
}

impl WorkerMonitor {
    pub const fn new() -> Self {
        WorkerMonitor {
            version: AtomicI32::new(0),
            seen: AtomicI32::new(0),
            source: AtomicU32::new(0),
            destination: AtomicU32::new(0),
        }
    }

    /// The worker begins a message (both handles) or has ended it (`0, 0`).
    pub fn trigger(&self, source: u32, destination: u32) {
        self.source.store(source, Ordering::Relaxed);
        self.destination.store(destination, Ordering::Relaxed);
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
        if self.seen.swap(version, Ordering::Relaxed) != version {
            return None;
        }
        let destination = self.destination.load(Ordering::Relaxed);
        (destination != 0).then(|| Stuck {
            source: self.source.load(Ordering::Relaxed),
            destination,
            version,
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
        monitor.trigger(1, 2);
        assert_eq!(monitor.check(), None);
        let stuck = Stuck {
            source: 1,
            destination: 2,
            version: 1,
        };
        assert_eq!(monitor.check(), Some(stuck));
        monitor.trigger(0, 0);
        assert_eq!(monitor.check(), None);
        assert_eq!(monitor.check(), None);
    }
}
