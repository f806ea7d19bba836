//! skynet core.
pub mod capi;
pub mod core;
pub mod net;
pub mod sys;
