//! Clocks, in the units the core counts in.

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clocks used here exist on every Linux; `time` is ours.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time
}

fn nanos(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of the monotonic clock.
pub fn monotonic_ns() -> u64 {
    nanos(read(libc::CLOCK_MONOTONIC))
}

/// The same, as of the kernel's last tick: some milliseconds behind, and cheaper.
pub fn monotonic_coarse_ns() -> u64 {
    nanos(read(libc::CLOCK_MONOTONIC_COARSE))
}

/// Nanoseconds since the epoch.
pub fn realtime_ns() -> u64 {
    nanos(read(libc::CLOCK_REALTIME))
}

/// CPU time of the calling thread in microseconds (core.md §7.4).
pub fn thread_cpu_us() -> u64 {
    thread_cpu_ns() / 1000
}

/// CPU time of the calling thread in nanoseconds. A system call, and not a fast one.
pub fn thread_cpu_ns() -> u64 {
    nanos(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// Lets the calling thread's timed sleeps end when they are due, instead of up to 50 µs later.
pub fn sleep_exactly() {
    // SAFETY: concerns the calling thread only; a kernel that does not know it changes nothing.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// A time since the epoch in the form of C's `ctime`, newline included, local time zone.
pub fn ctime(seconds: u64) -> String {
    let time = seconds as libc::time_t;
    let mut buffer = [0u8; 64];
    // SAFETY: ctime_r needs at least 26 bytes.
    let text = unsafe { libc::ctime_r(&time, buffer.as_mut_ptr().cast()) };
    if text.is_null() {
        return "?\n".to_string();
    }
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}
