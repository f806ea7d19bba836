//! Daemon mode: going to the background and the pid file (core.md §11.3).

use std::ffi::CStr;
use std::io::Error;

fn show(path: &CStr) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}

/// The process that the pid file names, when it lives and is not us.
fn running(path: &CStr) -> Option<i32> {
    let path = std::path::PathBuf::from(std::ffi::OsString::from(show(path).as_ref()));
    let pid = first_integer(&std::fs::read_to_string(path).ok()?)?;
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
pub fn enter(pid_file: &CStr) -> Result<(), String> {
    if let Some(pid) = running(pid_file) {
        return Err(format!("Skynet is already running, pid = {pid}."));
    }
    // Opened and locked before the fork, whose child keeps the lock: what fails is seen by whoever
    // started us, as an exit code.
    let fd = lock(pid_file)?;
    // SAFETY: the contract puts this before any other thread exists.
    if unsafe { libc::daemon(1, 1) } != 0 {
        return Err("Can't daemonize.".to_string());
    }
    let line = format!("{}\n", std::process::id());
    // SAFETY: `line` is readable for its length.
    if unsafe { libc::write(fd, line.as_ptr().cast(), line.len()) } != line.len() as isize {
        return Err("Can't write pid.".to_string());
    }
    redirect();
    Ok(())
}

/// Opens the pid file and takes its lock, which the descriptor holds for the life of the process.
fn lock(path: &CStr) -> Result<libc::c_int, String> {
    let name = show(path);
    // SAFETY: a C string and plain flags.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o644) };
    if fd < 0 {
        return Err(format!("Can't create pidfile [{name}]."));
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
            Some(pid) => format!("Can't lock pidfile, lock is held by pid {pid}."),
            None => "Can't lock and read pidfile.".to_string(),
        });
    }
    Ok(fd)
}

/// Points the three standard streams to /dev/null.
fn redirect() {
    // SAFETY: a C string and plain flags.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
    if null < 0 {
        eprintln!("Unable to open /dev/null: {}", Error::last_os_error());
        return;
    }
    for (fd, name) in [(0, "stdin"), (1, "stdout"), (2, "stderr")] {
        // SAFETY: both are descriptors.
        if unsafe { libc::dup2(null, fd) } < 0 {
            eprintln!("Unable to dup2 {name}({fd}): {}", Error::last_os_error());
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
