//! Daemon mode: going to the background and the pid file (core.md §11.3).

use super::stderr;
use std::ffi::{CStr, OsStr};
use std::io::Error;
use std::os::unix::ffi::OsStrExt;

/// The process that the pid file names, when it lives and is not us.
fn running(path: &CStr) -> Option<i32> {
    let text = std::fs::read(OsStr::from_bytes(path.to_bytes())).ok()?;
    let pid = first_integer(&String::from_utf8_lossy(&text))?;
    let me = std::process::id() as i32;
    if pid <= 0 || pid == me {
        return None;
    }
    // SAFETY: signal 0 only asks whether the process exists.
    let gone = unsafe { libc::kill(pid, 0) } != 0
        && Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
    (!gone).then_some(pid)
}

fn first_integer(text: &str) -> Option<i32> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Goes to the background and writes the pid file, which stays locked for the life of the process.
/// The error is the line for the operator.
pub fn enter(pid_file: &CStr) -> Result<(), Vec<u8>> {
    if let Some(pid) = running(pid_file) {
        return Err(format!("Skynet is already running, pid = {pid}.").into_bytes());
    }
    // Opened and locked before the fork, whose child keeps the lock: what fails is seen by whoever
    // started us, as an exit code.
    let fd = lock(pid_file)?;
    // SAFETY: the contract puts this before any other thread exists.
    if unsafe { libc::daemon(1, 1) } != 0 {
        return Err(b"Can't daemonize.".to_vec());
    }
    let line = format!("{}\n", std::process::id());
    // SAFETY: `line` is readable for its length.
    if unsafe { libc::write(fd, line.as_ptr().cast(), line.len()) } != line.len() as isize {
        return Err(b"Can't write pid.".to_vec());
    }
    redirect();
    Ok(())
}

/// Opens the pid file and takes its lock, which the descriptor holds for the life of the process.
fn lock(path: &CStr) -> Result<libc::c_int, Vec<u8>> {
    // SAFETY: a C string and plain flags.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o644) };
    if fd < 0 {
        return Err([b"Can't create pidfile [", path.to_bytes(), b"]."].concat());
    }
    // SAFETY: `fd` is open.
    if unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let mut text = [0u8; 32];
        // SAFETY: `text` is writable for its length.
        let read = unsafe { libc::read(fd, text.as_mut_ptr().cast(), text.len()) };
        let holder = usize::try_from(read)
            .ok()
            .and_then(|len| first_integer(&String::from_utf8_lossy(&text[..len])));
        return Err(match holder {
            Some(pid) => format!("Can't lock pidfile, lock is held by pid {pid}.").into_bytes(),
            None => b"Can't lock and read pidfile.".to_vec(),
        });
    }
    Ok(fd)
}

/// Points the three standard streams to /dev/null.
fn redirect() {
    // SAFETY: a C string and plain flags.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    if null < 0 {
        stderr::line(format!("Unable to open /dev/null: {}", Error::last_os_error()).as_bytes());
        return;
    }
    for (fd, name) in [(0, "stdin"), (1, "stdout"), (2, "stderr")] {
        // SAFETY: both are descriptors.
        if unsafe { libc::dup2(null, fd) } < 0 {
            let why = Error::last_os_error();
            stderr::line(format!("Unable to dup2 {name}({fd}): {why}").as_bytes());
        }
    }
    if null > 2 {
        // SAFETY: ours, and no longer used.
        unsafe { libc::close(null) };
    }
}

/// Removes the pid file at the end.
pub fn leave(pid_file: &CStr) -> Result<(), Error> {
    // SAFETY: a C string.
    if unsafe { libc::unlink(pid_file.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_read_leniently() {
        assert_eq!(first_integer("123\nrest"), Some(123));
        assert_eq!(first_integer("  7"), Some(7));
        assert_eq!(first_integer("x"), None);
        assert_eq!(first_integer(""), None);
    }
}
