//! SIGPIPE and SIGHUP (core.md §11.1).
//!
//! A handler may do next to nothing, so it only writes to an eventfd; an ordinary thread reads it and
//! does the work. Nobody polls.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The eventfd; −1 before [`watch_hangup`].
static EVENT: AtomicI32 = AtomicI32::new(-1);
static HANGUP: AtomicBool = AtomicBool::new(false);
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Ignores SIGPIPE: a write to a closed connection is an error code, not the end.
pub fn ignore_sigpipe() {
    // SAFETY: setting a disposition has no preconditions.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// As [`ignore_sigpipe`], unless the program has its own idea of SIGPIPE.
pub fn ignore_default_sigpipe() {
    if disposition(libc::SIGPIPE) == libc::SIG_DFL {
        ignore_sigpipe();
    }
}

/// What happens on a signal: a handler's address, or one of the two constants.
fn disposition(signal: c_int) -> libc::sighandler_t {
    // SAFETY: a zeroed sigaction is valid, and this one is only written.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action);
        action.sa_sigaction
    }
}

/// Gives SIGSEGV and SIGBUS their default action, which Rust's run-time replaces: a fault is to end the
/// process with the core file that operators expect.
pub fn default_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: setting a disposition has no preconditions.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Whose SIGHUP handlers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours, whatever was there.
    Always,
    /// The program's; ours only where there is none.
    IfDefault,
}

/// Installs the SIGHUP handler, as far as `claim` goes.
pub fn watch_hangup(claim: Claim) -> std::io::Result<()> {
    if EVENT.load(Ordering::Acquire) < 0 {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        EVENT.store(fd, Ordering::Release);
    }
    if claim == Claim::IfDefault && disposition(libc::SIGHUP) != libc::SIG_DFL {
        return Ok(());
    }
    // SAFETY: a zeroed sigaction is valid; the handler below is async-signal-safe.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler();
        action.sa_flags = libc::SA_RESTART;
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(libc::SIGHUP, &action, std::ptr::null_mut()) < 0
    };
    if failed {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives SIGHUP its default action back if our handler is still there.
pub fn unwatch_hangup() {
    if disposition(libc::SIGHUP) == handler() {
        // SAFETY: setting a disposition has no preconditions.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
    }
}

fn handler() -> libc::sighandler_t {
    on_hangup as *const () as libc::sighandler_t
}

extern "C" fn on_hangup(_signal: c_int) {
    HANGUP.store(true, Ordering::Release);
    ring();
}

fn ring() {
    let one = 1u64;
    let fd = EVENT.load(Ordering::Acquire);
    // SAFETY: `one` is eight readable bytes; write is async-signal-safe. errno is put back because a
    // handler must not change it under the code it interrupts.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(fd, (&raw const one).cast(), 8);
        *errno = saved;
    }
}

/// Waits for the next SIGHUP; false once [`close`] was called.
pub fn wait_hangup() -> bool {
    let fd = EVENT.load(Ordering::Acquire);
    loop {
        if CLOSED.load(Ordering::Acquire) {
            return false;
        }
        if HANGUP.swap(false, Ordering::AcqRel) {
            return true;
        }
        let mut count = 0u64;
        // SAFETY: `count` is eight writable bytes.
        let read = unsafe { libc::read(fd, (&raw mut count).cast(), 8) };
        let interrupted = std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
        if read < 0 && !interrupted {
            return false;
        }
    }
}

/// Ends [`wait_hangup`].
pub fn close() {
    CLOSED.store(true, Ordering::Release);
    ring();
}
