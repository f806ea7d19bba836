//! Lines from standard input, read by a thread so that a polling client never waits for its user.
//!
//! One thread and one queue per process, however many Lua states open the module. The thread lives until
//! the process ends, so the object is pinned in memory: a Lua state that closes unloads its C modules.

use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// Longest piece of a line, without the terminating NUL.
pub const PIECE_MAX: usize = 1023;

/// Lines that may wait; a client that lets more pile up has stopped looking.
const QUEUE_MAX: usize = 1024;

/// Pushed by the reader thread, popped by Lua.
static LINES: Mutex<VecDeque<Box<[u8]>>> = Mutex::new(VecDeque::new());

/// Whether the thread could be started; empty before the first attempt.
static STARTED: OnceLock<bool> = OnceLock::new();

unsafe extern "C" {
    /// C's stream, not Rust's: the script may have read its first lines by `io.read`, and what C has
    /// buffered then must not be lost.
    static stdin: *mut libc::FILE;
}

/// Starts the reader, once. False if the system gave no thread.
pub fn start() -> bool {
    *STARTED.get_or_init(|| {
        pin_object();
        let spawned = thread::Builder::new()
            .name("stdin".into())
            .spawn(read_forever);
        spawned.is_ok()
    })
}

/// Takes the oldest line into `line` and returns its length.
pub fn next_line(line: &mut [u8; PIECE_MAX]) -> Option<usize> {
    let first = lines().pop_front()?;
    line[..first.len()].copy_from_slice(&first);
    Some(first.len())
}

fn lines() -> std::sync::MutexGuard<'static, VecDeque<Box<[u8]>>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_forever() {
    loop {
        let mut piece: [c_char; PIECE_MAX + 1] = [0; PIECE_MAX + 1];
        // SAFETY: C's stream is open for the life of the process; the length is the array's.
        let got = unsafe { libc::fgets(piece.as_mut_ptr(), piece.len() as c_int, stdin) };
        if got.is_null() {
            // SAFETY: as above.
            let ended = unsafe { libc::feof(stdin) } != 0;
            if ended || !wait_after_error(&io::Error::last_os_error()) {
                // The user has left, so the client ends, as upstream's does.
                std::process::exit(1);
            }
            continue;
        }
        // SAFETY: fgets ended the text with NUL inside the array.
        let text = unsafe { core::ffi::CStr::from_ptr(piece.as_ptr()) }.to_bytes();
        // The last byte is the newline, save in an overlong line and in the last line of a file.
        let line = &text[..text.len().saturating_sub(1)];
        let mut queue = lines();
        if queue.len() == QUEUE_MAX {
            drop(queue);
            std::process::exit(1);
        }
        queue.push_back(line.into());
    }
}

/// After a failed read: true when it is worth another try.
fn wait_after_error(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::Interrupted => {}
        io::ErrorKind::WouldBlock => {
            let mut entry = libc::pollfd {
                fd: libc::STDIN_FILENO,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry. The result does not matter, the next read tells.
            unsafe { libc::poll(&mut entry, 1, -1) };
        }
        _ => return false,
    }
    // SAFETY: C's stream is open for the life of the process.
    unsafe { libc::clearerr(stdin) };
    true
}

/// Keeps this object mapped when the last handle to it is closed. Where the loader cannot do that, all
/// stays well as long as nobody closes the Lua state early.
fn pin_object() {
    let inside: *const c_void = (pin_object as fn()) as *const c_void;
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is one of this object's; `info` is plain data, valid when all zero, and the
    // name in it lives as long as the object.
    unsafe {
        if libc::dladdr(inside, info.as_mut_ptr()) == 0 {
            return;
        }
        let name = info.assume_init().dli_fname;
        if !name.is_null() {
            libc::dlopen(
                name,
                libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE,
            );
        }
    }
}
