//! The core: contexts, handles, mailboxes, scheduler, timer, log. The map:
//!
//! - [`node`]: the process-wide state, one value that the rest hangs on
//! - [`context`]: a service, its launch, its callback, its end
//! - [`handle`], [`address`]: numbers and names of services
//! - [`readers`]: how handles are looked up without a lock
//! - [`message`], [`mailbox`], [`turn`], [`scheduler`]: what is sent, where it waits, who runs it
//! - [`meter`]: what CPU time is spent on
//! - [`send`], [`command`]: what services ask for
//! - [`timer`], [`pending`]: the clock, and timeouts
//! - [`memory`], [`footprint`], [`reclaim`]: who uses how much memory, where it is, when it goes back
//! - [`monitor`], [`log`], [`env`], [`module`], [`harbor`]: one concern each

pub mod address;
pub mod command;
pub mod context;
pub mod env;
pub mod footprint;
pub mod handle;
pub mod harbor;
pub mod log;
pub mod mailbox;
pub mod memory;
pub mod message;
pub mod meter;
pub mod module;
pub mod monitor;
pub mod node;
pub mod pending;
pub mod readers;
pub mod reclaim;
pub mod scheduler;
pub mod send;
pub mod timer;
pub mod turn;

pub use context::{current_handle, init_thread, unowned};
pub use log::{log, log_parts};

use crate::sys::stderr;
use message::Message;
use std::fmt;

/// True at API level head, false at level 1.8 (core.md §13).
pub const API_HEAD: bool = cfg!(any(
    feature = "apihead",
    all(feature = "lua55", not(feature = "api18"))
));

/// What level head puts before some log lines (core.md §13.3).
pub const ERROR_MARK: &str = if API_HEAD { "error: " } else { "" };

/// How many steps before their limits counters begin that are to wrap soon (`sk_debug_wrap`).
pub const WRAP_AFTER: u32 = 50;

/// Queues `message` for a local service; gives it back when there is none (core.md §4.13(1)).
pub fn push(handle: u32, message: Message) -> Result<(), Message> {
    node::NODE.push(handle, message)
}

/// As [`push`]; says how many messages wait at the service now.
pub fn push_counted(handle: u32, message: Message) -> Result<usize, Message> {
    node::NODE.push_counted(handle, message)
}

/// Centiseconds of the node's clock (core.md §7.3(2)).
pub fn now() -> u64 {
    node::NODE.timer.now()
}

/// As [`now`], some milliseconds behind and cheaper.
pub fn about_now() -> u64 {
    node::NODE.timer.about_now()
}

/// Ends the process where the contract says that it aborts (core.md §0.1(3)): says why on stderr.
pub fn fatal(why: fmt::Arguments<'_>) -> ! {
    stderr::line(format!("skynet: {why}").as_bytes());
    std::process::abort();
}
