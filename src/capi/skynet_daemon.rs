//! `skynet_daemon.h`: daemon mode (core.md §11.3).

use super::text;
use crate::sys::{daemon, stderr};
use std::ffi::{c_char, c_int};

/// Goes to the background and writes the pid file: 0, or 1 after a line on stderr.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daemon_init(pidfile: *const c_char) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    match daemon::enter(unsafe { text(pidfile) }) {
        Ok(()) => 0,
        Err(line) => {
            stderr::line(&line);
            1
        }
    }
}

/// Removes the pid file: what `unlink` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daemon_exit(pidfile: *const c_char) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    if daemon::leave(unsafe { text(pidfile) }).is_ok() {
        0
    } else {
        -1
    }
}
