//! What upstream's `skynet_main.c` does: the command line and the way from a config file to a node.

use crate::core::command::set_env_once;
use crate::runtime::{self, Config};
use crate::sys::{signal, stderr};
use crate::{config, core};
use std::process::ExitCode;

unsafe extern "C" {
    fn luaL_initcodecache();
}

/// The main function of the executable.
pub fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        stderr::line(
            b"Need a config file. Please read skynet wiki : https://github.com/cloudwu/skynet/wiki/Config\n\
              usage: skynet configfilename",
        );
        return ExitCode::FAILURE;
    };
    signal::default_faults();
    std::panic::set_hook(Box::new(report_panic));
    runtime::init();
    signal::ignore_sigpipe();
    // SAFETY: no Lua state exists yet.
    unsafe { luaL_initcodecache() };
    match config::load(&file).and_then(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            if !line.is_empty() {
                stderr::line(&line);
            }
            ExitCode::FAILURE
        }
    }
}

fn start(settings: config::Settings) -> Result<(), Vec<u8>> {
    for (key, value) in settings {
        set_env_once(&key, &value);
    }
    runtime::run(&Config::from_env()?)
}

/// A panic is a defect of ours: names the service whose message the thread was at; the process aborts.
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    let handle = core::current_handle();
    let text = format!("skynet: internal error while :{handle:08x} was running: {info}");
    stderr::line(text.as_bytes());
}
