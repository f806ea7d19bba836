//! The executable: `skynet CONFIG`.

use std::process::ExitCode;

fn main() -> ExitCode {
    skynet::capi::skynet_main::main()
}
