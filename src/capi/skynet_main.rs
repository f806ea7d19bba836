//! What upstream's `skynet_main.c` does: the command line and the way from a config file to a node.

use crate::config;
use crate::core::command::set_env_once;
use crate::runtime::{self, Config, Failure, Owner};
use crate::sys::{signal, stderr};
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
    runtime::init();
    signal::ignore_sigpipe();
    // SAFETY: no Lua state exists yet.
    unsafe { luaL_initcodecache() };
    match config::load(&file)
        .map_err(Failure::Setting)
        .and_then(start)
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

fn start(settings: config::Settings) -> Result<(), Failure> {
    for (key, mut value) in settings {
        if key.as_c_str() == c"thread" && value.as_c_str() == c"auto" {
            value = runtime::auto_thread();
        }
        set_env_once(&key, &value);
    }
    runtime::run(&Config::from_env()?, Owner::Executable)
}
