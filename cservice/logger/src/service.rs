//! The running log service and the entry points that the core looks up.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::slice;

use skynet_sys::{PTYPE_SYSTEM, PTYPE_TEXT, SkynetContext};

use crate::line::{self, Stamp};

unsafe extern "C" {
    /// C's stdout: lines must not overtake what `print` and `io.write` of Lua services left in its buffer.
    #[cfg_attr(
        any(target_os = "macos", target_os = "freebsd"),
        link_name = "__stdoutp"
    )]
    static stdout: *mut libc::FILE;
}

enum Output {
    Stdout,
    File {
        path: PathBuf,
        file: File,
        stamp: Stamp,
    },
}

struct Logger {
    output: Output,
    /// Where a line is put together, kept between lines.
    line: Vec<u8>,
}

/// A line buffer that has grown beyond this is given back.
const KEEP: usize = 1 << 16;

/// Opens the file at its end, or says in one line why not.
fn open(path: &PathBuf) -> Result<File, String> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| format!("Can't open log file {} : {error}", path.display()))
}

impl Logger {
    fn write(&mut self, source: u32, text: &[u8]) {
        self.line.clear();
        if let Output::File { stamp, .. } = &mut self.output {
            // SAFETY: takes nothing, may be called at any time.
            stamp.write(unsafe { skynet_sys::skynet_now() }, &mut self.line);
        }
        line::write(source, text, &mut self.line);
        match &mut self.output {
            // SAFETY: C's stdout is open for the life of the process, and `line` is readable for its length.
            Output::Stdout => unsafe {
                libc::fwrite(self.line.as_ptr().cast(), 1, self.line.len(), stdout);
                libc::fflush(stdout);
            },
            // A full disk costs lines, not the node.
            Output::File { file, .. } => drop(file.write_all(&self.line)),
        }
        self.line.shrink_to(KEEP);
    }

    /// Opens the file again. If that fails, the old one is better than none.
    fn reopen(&mut self) {
        let Output::File { path, file, .. } = &mut self.output else {
            return;
        };
        match open(path) {
            Ok(new) => *file = new,
            Err(error) => self.write(0, error.as_bytes()),
        }
    }
}

/// Seconds since the epoch at which the node started.
fn start_time(context: *mut SkynetContext) -> i64 {
    // SAFETY: the context is the service's own; this command takes no parameter and returns a string that
    // lives until the next command.
    let text = unsafe {
        let text = skynet_sys::skynet_command(context, c"STARTTIME".as_ptr(), std::ptr::null());
        if text.is_null() {
            return 0;
        }
        CStr::from_ptr(text)
    };
    text.to_str().ok().and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// What the core keeps for us: empty until `logger_init` has succeeded.
type Instance = Option<Logger>;

unsafe extern "C" fn callback(
    _context: *mut SkynetContext,
    instance: *mut c_void,
    kind: c_int,
    _session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: `instance` is what `logger_init` registered, and the core runs one callback at a time.
    let Some(logger) = (unsafe { (*instance.cast::<Instance>()).as_mut() }) else {
        return 0;
    };
    match kind {
        PTYPE_TEXT => {
            let text: &[u8] = if message.is_null() {
                &[]
            } else {
                // SAFETY: the core passes a message of `size` bytes.
                unsafe { slice::from_raw_parts(message.cast(), size) }
            };
            logger.write(source, text);
        }
        PTYPE_SYSTEM => logger.reopen(),
        _ => (),
    }
    0
}

/// Makes an instance. Called by the core (core.md §3.2).
#[unsafe(no_mangle)]
pub extern "C" fn logger_create() -> *mut c_void {
    Box::into_raw(Box::new(Instance::None)).cast()
}

/// Opens the output; 0 = ready.
///
/// # Safety
/// `instance` comes from `logger_create`, `context` is its context, `parameter` is NULL (stdout) or the
/// name of a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logger_init(
    instance: *mut c_void,
    context: *mut SkynetContext,
    parameter: *const c_char,
) -> c_int {
    let output = if parameter.is_null() {
        Output::Stdout
    } else {
        // SAFETY: not NULL, hence a terminated string.
        let name = unsafe { CStr::from_ptr(parameter) };
        let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) => {
                // There may be no log to write this to.
                let _ = writeln!(std::io::stderr(), "{error}");
                return 1;
            }
        };
        let stamp = Stamp::new(start_time(context));
        Output::File { path, file, stamp }
    };
    let line = Vec::new();
    // SAFETY: the instance is ours alone until `init` returns; the callback gets it back as its user data.
    unsafe {
        *instance.cast::<Instance>() = Some(Logger { output, line });
        skynet_sys::skynet_callback(context, instance, Some(callback));
    }
    0
}

/// Closes the file. Also called when `logger_init` has failed.
///
/// # Safety
/// `instance` comes from `logger_create` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logger_release(instance: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `logger_create`.
    drop(unsafe { Box::from_raw(instance.cast::<Instance>()) });
}
