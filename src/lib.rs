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

#[cfg(not(modelled))]
#[allow(unsafe_code)]
pub mod capi;
#[cfg(not(modelled))]
pub mod config;
// Under a model checker only what is modelled is built.
#[cfg_attr(modelled, path = "core/modelled.rs")]
pub mod core;
#[cfg(not(modelled))]
pub mod net;
#[cfg(not(modelled))]
pub mod runtime;
#[cfg(not(modelled))]
pub mod settings;
pub mod sync;
#[allow(unsafe_code)]
pub mod sys;
