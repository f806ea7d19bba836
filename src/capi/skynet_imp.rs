//! `skynet_imp.h`: starting a node (core.md §1.13).

use super::{optional_text, text};
use crate::runtime::{self, Config};
use crate::sys::stderr;
use std::ffi::{c_char, c_int};

/// Kinds of threads, for `skynet_initthread`.
pub const THREAD_WORKER: c_int = 0;
pub const THREAD_MAIN: c_int = 1;
pub const THREAD_SOCKET: c_int = 2;
pub const THREAD_TIMER: c_int = 3;
pub const THREAD_MONITOR: c_int = 4;

/// What the config file says (core.md §2.4). `daemon` and `logger` may be NULL.
#[repr(C)]
pub struct SkynetConfig {
    pub thread: c_int,
    pub harbor: c_int,
    pub profile: c_int,
    pub daemon: *const c_char,
    pub module_path: *const c_char,
    pub bootstrap: *const c_char,
    pub logger: *const c_char,
    pub logservice: *const c_char,
}

const _: () = assert!(size_of::<SkynetConfig>() == 56);

/// Runs a node until its last service is gone. When it cannot start, says why on stderr and ends the
/// process with code 1, as upstream does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_start(config: *mut SkynetConfig) {
    // SAFETY: the caller's struct and its strings are valid through the call.
    let config = unsafe {
        let config = &*config;
        Config {
            thread: config.thread,
            harbor: config.harbor,
            profile: config.profile != 0,
            daemon: optional_text(config.daemon).map(Into::into),
            module_path: text(config.module_path).into(),
            bootstrap: text(config.bootstrap).into(),
            logger: optional_text(config.logger).map(Into::into),
            logservice: text(config.logservice).into(),
        }
    };
    if let Err(line) = runtime::run(&config) {
        if !line.is_empty() {
            stderr::line(&line);
        }
        std::process::exit(1);
    }
}
