//! The executable: `skynet CONFIG`.

#[cfg(feature = "jemalloc")]
mod malloc_hook;

use std::ffi::c_int;
use std::process::ExitCode;

/// Ignores SIGPIPE (core.md §11.1); 0. No header has it: upstream's executable exports it by accident,
/// and so does ours.
#[unsafe(no_mangle)]
pub extern "C" fn sigign() -> c_int {
    skynet::sys::signal::ignore_sigpipe();
    0
}

fn main() -> ExitCode {
    skynet::capi::skynet_main::main()
}
