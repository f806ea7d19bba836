//! A drop-in core for the skynet actor framework.
//!
//! The map of the house:
//! - [`sys`]: unsafe islands over the operating system; imports nothing of ours
//! - [`core`]: contexts, handles, mailboxes, scheduler, timer, log
//! - [`net`]: the socket engine
//! - [`config`]: the config file; [`runtime`]: start, threads, stop
//! - [`capi`]: the C functions, one file per header; imports everything, and nothing imports it but `main`

pub mod capi;
pub mod config;
pub mod core;
pub mod net;
pub mod runtime;
pub mod sync;
pub mod sys;
