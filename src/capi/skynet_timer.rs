//! `skynet_timer.h`: timeouts and clocks (core.md §7). `skynet_now` is in `skynet.h`.

use crate::core::command;
use crate::core::node::NODE;
use crate::sys::clock;
use std::ffi::c_int;

/// Sends PTYPE_RESPONSE with the session to the handle, `time` centiseconds from now. The session, or −1
/// when `time` is not positive and there is no such service.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_timeout(handle: u32, time: c_int, session: c_int) -> c_int {
    if command::set_timeout(handle, time, session) {
        session
    } else {
        -1
    }
}

/// Fires what is due. The node's own timer thread needs no such call.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_updatetime() {
    NODE.timer.expire(&mut |expiry| {
        command::expire(expiry);
    });
}

/// Seconds since the epoch when the node started; skynet_now() counts on from there.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_starttime() -> u32 {
    NODE.timer.start_time()
}

/// CPU time of the calling thread in microseconds.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_thread_time() -> u64 {
    clock::thread_cpu_us()
}

/// Starts the clock; starts no thread.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_timer_init() {
    NODE.timer.start();
}
