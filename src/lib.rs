//! A drop-in core for the skynet actor framework.
//!
//! The map of the house:
//! - [`sys`]: unsafe islands over the operating system; imports nothing of ours
//! - [`core`]: contexts, handles, mailboxes, scheduler, timer, log
//! - [`net`]: the socket engine
//! - [`config`]: the config file; [`runtime`]: start, threads, stop
//! - [`capi`]: the C functions, one file per header; imports everything, and nothing imports it but `main`
//!
//! Unsafe code is denied except in islands, which say at their head what makes them sound: `sys` and `capi`,
//! and the files of `core` and `net` that open with `#![allow(unsafe_code)]`.
#![deny(unsafe_code)]

#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod capi;
#[cfg(not(loom))]
pub mod config;
// Under loom only what is modelled is built.
#[cfg_attr(loom, path = "core/modelled.rs")]
pub mod core;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod runtime;
pub mod sync;
#[allow(unsafe_code)]
pub mod sys;
