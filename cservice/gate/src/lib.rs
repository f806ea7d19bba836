//! The C service `gate`: a TCP front end that cuts client streams into packets and hands them on.
//!
//! Launch: `gate <S|L> <watchdog> <bind> <client_tag> <max>`. A watchdog service hears about connections
//! as text; a packet goes to the broker, else to the receiver that `forward` named, else to the watchdog.
//!
//! - `param`: the launch parameter
//! - `command`: the text commands that other services send
//! - `scan`: numbers, words and handles in such text
//! - `framing`: from a byte stream to packets
//! - `service`: the service itself and its C entry points; the only module that touches the core
//!
//! The first four are plain functions on bytes, so that the unit tests need no executable to link with.

mod command;
mod framing;
mod param;
mod scan;
#[cfg(not(test))]
mod service;
