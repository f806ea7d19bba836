//! The core as loom sees it: what has a protocol between threads, and the models of it.

pub mod handle;
pub mod mailbox;
pub mod message;
pub mod pending;
pub mod readers;
pub mod timer;
pub mod turn;

pub mod scheduler {
    pub mod local;
    pub mod sleepers;
}

#[cfg(test)]
mod models;

use std::fmt;

/// As in the real core.
pub const WRAP_AFTER: u32 = 50;

/// There are no accounts here.
pub fn unowned<R>(allocate: impl FnOnce() -> R) -> R {
    allocate()
}

/// As in the real core.
pub fn fatal(why: fmt::Arguments<'_>) -> ! {
    panic!("{why}");
}
