//! What the whole-process tests share: which tree is tested, a directory to run it in, a child
//! process that cannot outlive its test, and the reading of its log.
//!
//! Two environment variables choose the subject and one the reference:
//! `SKYNET_UNDER_TEST=DIR` tests a complete tree built elsewhere (executable, modules and Lua);
//! otherwise `SKYNET_NODE=DIR` names the folder with `skynet`, `cservice/` and `luaclib/` (default:
//! the package root, where `make` leaves them) and the Lua code is this package's.
//! `SKYNET_UPSTREAM=DIR` is a built upstream tree of the same Lua version to compare with.
//! With `SKYNET_TEST_WRAP=1` counters of the nodes begin just below their limits.
//! `SKYNET_TEST_PORTS=FIRST-LAST` limits the TCP and UDP ports in use, `SKYNET_TEST_KEEP=1` keeps the
//! directories of the runs.

// Every test binary compiles this module and uses its own part of it.
#![allow(dead_code, unused_imports)]

pub mod log;
pub mod port;
pub mod process;
pub mod rebuild;
pub mod stage;
pub mod tree;

pub use log::{Entry, Mask};
pub use process::{From, Node, Process};
pub use stage::Stage;
pub use tree::{Level, Tree};

use std::time::Duration;

/// How long a test waits for something that should happen at once. Generous, because the machines
/// that run tests are often busy; nobody waits this long unless the test fails.
pub const SOON: Duration = Duration::from_secs(15);

/// Whether handles, sessions, ticks, socket ids and message counts of the nodes are to wrap soon.
pub fn wrap_counters() -> bool {
    std::env::var_os("SKYNET_TEST_WRAP").is_some_and(|value| value == "1")
}

/// Says on stdout why a test did nothing. The test then counts as passed.
pub fn skipped(why: &str) {
    println!("skipped: {why}");
}
