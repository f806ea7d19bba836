//! The C service `logger`: writes what the node logs to stdout or to a file.
//!
//! Launch: `logger [file]`. A log line arrives as a text message; with a file each line begins with the
//! local time. A system message (the core sends one on SIGHUP) opens the file again by its name, so that
//! a rotated log continues in a new file.
//!
//! - `line`: what a line looks like
//! - `service`: the service and its C entry points

mod line;
#[cfg(not(test))]
mod service;
