//! `skynet_imp.h`: starting a node (core.md §1.13).

use super::optional_text;
use crate::runtime::{self, Config, Failure, Owner};
use std::ffi::{CStr, c_char, c_int};

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

impl SkynetConfig {
    /// The settings in Rust's form; NULL reads as the default of the config file's key (core.md §2.4).
    ///
    /// # Safety
    /// The strings are NULL or C strings.
    pub(super) unsafe fn read(&self) -> Config {
        // SAFETY: the caller's promise.
        let or_default = |text: *const c_char, default: &CStr| unsafe {
            optional_text(text).unwrap_or(default).to_owned()
        };
        Config {
            thread: self.thread,
            harbor: self.harbor,
            profile: self.profile != 0,
            // SAFETY: the caller's promise.
            daemon: unsafe { optional_text(self.daemon) }.map(Into::into),
            module_path: or_default(self.module_path, c"./cservice/?.so"),
            bootstrap: or_default(self.bootstrap, c"snlua bootstrap"),
            // SAFETY: the caller's promise.
            logger: unsafe { optional_text(self.logger) }.map(Into::into),
            logservice: or_default(self.logservice, c"logger"),
        }
    }
}

/// Runs a node until its last service is gone. When it cannot start, says why on stderr and ends the
/// process with code 1, as upstream does. Only when the process has, or had, its node does it return after
/// the line on stderr. `skynetx_start` returns in every case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_start(config: *mut SkynetConfig) {
    // SAFETY: the caller's struct and its strings are valid through the call.
    let config = unsafe { (*config).read() };
    if let Err(failure) = runtime::run(&config, Owner::Program) {
        failure.print();
        if !matches!(failure, Failure::Started) {
            std::process::exit(1);
        }
    }
}
