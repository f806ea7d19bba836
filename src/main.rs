//! The executable: `skynet CONFIG`.

#[cfg(feature = "jemalloc")]
mod malloc_hook;

use std::process::ExitCode;

fn main() -> ExitCode {
    skynet::capi::skynet_main::main()
}
