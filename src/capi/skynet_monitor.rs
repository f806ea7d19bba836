//! `skynet_monitor.h`: what a worker is at, for foreign worker loops (core.md §6.6).

use crate::core::monitor::WorkerMonitor;
use crate::runtime;

/// A monitor for one worker; to be freed by `skynet_monitor_delete`.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_monitor_new() -> *mut WorkerMonitor {
    Box::into_raw(Box::new(WorkerMonitor::new()))
}

/// Frees a monitor. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_monitor_delete(sm: *mut WorkerMonitor) {
    if !sm.is_null() {
        // SAFETY: it came from `skynet_monitor_new` and is not used again.
        drop(unsafe { Box::from_raw(sm) });
    }
}

/// The worker begins a message, or has ended it (`0, 0`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_monitor_trigger(
    sm: *mut WorkerMonitor,
    source: u32,
    destination: u32,
) {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { &*sm }.trigger(source, destination);
}

/// Flags and logs a message that has not ended since the last check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_monitor_check(sm: *mut WorkerMonitor) {
    // SAFETY: the caller's pointer is what the header says.
    runtime::check(unsafe { &*sm });
}
