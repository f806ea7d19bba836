//! SIGPIPE and SIGHUP (core.md §11.1), and SIGTERM and SIGINT where the node is to take them.
//!
//! A handler may do next to nothing, so it only writes to an eventfd; an ordinary thread reads it and
//! does the work. Nobody polls.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// The eventfd; −1 before [`watch`].
static EVENT: AtomicI32 = AtomicI32::new(-1);
static HANGUP: AtomicBool = AtomicBool::new(false);
/// SIGTERM or SIGINT, the last that came; 0 when there was none.
static STOP: AtomicI32 = AtomicI32::new(0);
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

/// Whose signal handlers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours, whatever was there.
    Always,
    /// The program's; ours only where there is none.
    IfDefault,
}

/// The signals that ask a node to stop.
const STOPPERS: [c_int; 2] = [libc::SIGTERM, libc::SIGINT];

/// Installs handlers, as far as `claim` goes: for SIGHUP, and with `stop` for those that ask to stop.
pub fn watch(claim: Claim, stop: bool) -> std::io::Result<()> {
    if EVENT.load(Ordering::Acquire) < 0 {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        EVENT.store(fd, Ordering::Release);
    }
    install(libc::SIGHUP, claim)?;
    if stop {
        STOPPERS
            .iter()
            .try_for_each(|signal| install(*signal, claim))?;
    }
    Ok(())
}

fn install(signal: c_int, claim: Claim) -> std::io::Result<()> {
    if claim == Claim::IfDefault && disposition(signal) != libc::SIG_DFL {
        return Ok(());
    }
    // SAFETY: a zeroed sigaction is valid; the handler below is async-signal-safe.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler();
        action.sa_flags = libc::SA_RESTART;
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut()) < 0
    };
    if failed {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives signals that have our handler their default action back.
pub fn unwatch() {
    give_back(libc::SIGHUP);
    unwatch_stop();
}

/// As [`unwatch`], for those that ask to stop: the next one ends the process.
pub fn unwatch_stop() {
    STOPPERS.iter().for_each(|signal| give_back(*signal));
}

fn give_back(signal: c_int) {
    if disposition(signal) == handler() {
        // SAFETY: setting a disposition has no preconditions.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn handler() -> libc::sighandler_t {
    on_signal as *const () as libc::sighandler_t
}

extern "C" fn on_signal(signal: c_int) {
    match signal {
        libc::SIGHUP => HANGUP.store(true, Ordering::Release),
        _ => STOP.store(signal, Ordering::Release),
    }
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

/// What [`wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Hangup,
    /// Somebody asks the node to stop, by the signal of this name.
    Stop(&'static str),
    /// The time is up.
    Timeout,
    /// [`close`] was called.
    Closed,
}

/// Waits for the next signal, at most for `limit`. Only one thread waits.
pub fn wait(limit: Option<Duration>) -> Event {
    let end = limit.map(|limit| std::time::Instant::now() + limit);
    loop {
        if CLOSED.load(Ordering::Acquire) {
            return Event::Closed;
        }
        match STOP.swap(0, Ordering::AcqRel) {
            0 => {}
            libc::SIGINT => return Event::Stop("SIGINT"),
            _ => return Event::Stop("SIGTERM"),
        }
        if HANGUP.swap(false, Ordering::AcqRel) {
            return Event::Hangup;
        }
        let left = end.map(|end| end.saturating_duration_since(std::time::Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Event::Timeout;
        }
        // Rounded up, or the last millisecond would be spent in a spin.
        let left = left.map_or(-1, |left| {
            (left.as_millis() + 1).min(c_int::MAX as u128) as c_int
        });
        let mut event = libc::pollfd {
            fd: EVENT.load(Ordering::Acquire),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut count = 0u64;
        // SAFETY: one pollfd, and `count` is eight writable bytes. The eventfd does not block, and neither
        // call matters when it fails: what has happened is in the flags.
        unsafe {
            if libc::poll(&mut event, 1, left) > 0 {
                libc::read(event.fd, (&raw mut count).cast(), 8);
            }
        }
    }
}

/// Ends [`wait`].
pub fn close() {
    CLOSED.store(true, Ordering::Release);
    ring();
}
