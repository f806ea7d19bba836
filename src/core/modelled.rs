//! The core as loom sees it: what has a protocol between threads, and the models of it.

pub mod handle;
pub mod mailbox;
pub mod message;
pub mod readers;
pub mod turn;

pub mod scheduler {
    pub mod local;
    pub mod sleepers;
}

#[cfg(test)]
mod models;

use std::fmt;

/// As in the real core.
pub fn fatal(why: fmt::Arguments<'_>) -> ! {
    panic!("{why}");
}
