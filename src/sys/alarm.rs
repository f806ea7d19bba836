//! An alarm on the monotonic clock: one thread waits for it, any thread says when it goes off.
//!
//! A timer of the kernel, so that setting an earlier time is a system call for who sets it and nothing for
//! the thread that waits, which is woken once, when the time has come, and without the slack that sleeping
//! threads get.

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// See the file comment. There is none before [`Alarm::open`].
pub struct Alarm {
    fd: OnceLock<OwnedFd>,
}

impl Alarm {
    pub const fn new() -> Self {
        Alarm {
            fd: OnceLock::new(),
        }
    }

    /// Asks the system for the alarm. A second call changes nothing.
    pub fn open(&self) -> io::Result<()> {
        if self.fd.get().is_none() {
            let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
            let _ = self.fd.set(fd);
        }
        Ok(())
    }

    /// Lets the alarm go off when the clock shows `at` nanoseconds, at once if it does already, and not at
    /// the time it was set to before.
    pub fn set(&self, at: u64) {
        // All zero would stop the alarm.
        let at = at.max(1);
        let time = |ns: u64| Timespec {
            tv_sec: (ns / 1_000_000_000) as i64,
            tv_nsec: (ns % 1_000_000_000) as _,
        };
        let once = Itimerspec {
            it_interval: time(0),
            it_value: time(at),
        };
        if let Some(fd) = self.fd.get() {
            // Fails only for times that cannot be, and u64 nanoseconds are 584 years.
            let _ = timerfd_settime(fd, TimerfdTimerFlags::ABSTIME, &once);
        }
    }

    /// Waits until the alarm goes off. One thread waits, after [`Alarm::open`].
    pub fn wait(&self) {
        let fd = self.fd.get().expect("the alarm was opened");
        let mut count = [0; 8];
        while read(fd, &mut count) == Err(Errno::INTR) {}
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}
