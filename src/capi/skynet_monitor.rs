//! `skynet_monitor.h`: what a worker is at, for foreign worker loops (core.md §6.6).

use crate::core::monitor::WorkerMonitor as SkynetMonitor;
use crate::runtime;

/// A monitor for one worker; to be freed by `skynet_monitor_delete`.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_monitor_new() -> *mut SkynetMonitor {
    Box::into_raw(Box::new(SkynetMonitor::new()))
}

/// Frees a monitor. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_monitor_delete(sm: *mut SkynetMonitor) {
    if !sm.is_null() {
        // SAFETY: it came from `skynet_monitor_new` and is not used again.
        drop(unsafe { Box::from_raw(sm) });
    }
}

/// The worker begins a message from `source` at `destination`; both are 0 when it is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_monitor_trigger(
    sm: *mut SkynetMonitor,
    source: u32,
    destination: u32,
) {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { &*sm }.trigger(source, destination, 0);
}

/// Marks and logs a message that has not ended since the last check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_monitor_check(sm: *mut SkynetMonitor) {
    // SAFETY: the caller's pointer is what the header says.
    if let Some(stuck) = unsafe { &*sm }.check() {
        runtime::mark_endless(&stuck);
        runtime::say_endless(&stuck);
    }
}
