//! Shared objects: opening them and finding a module's entry points.

use super::cabi::EntryPoints;
use std::ffi::{CStr, CString, c_void};

unsafe extern "C" {
    /// Not called from here: it stands for this core among all that are in the process.
    fn skynetx_error_bytes();
}

/// The name of the function above.
const MARKER: &CStr = c"skynetx_error_bytes";

/// Whether modules find the core's functions. They do not in a program that opened libskynet.so with
/// RTLD_LOCAL, or that contains libskynet.a and does not export it.
pub fn is_visible() -> bool {
    // SAFETY: NULL stands for the program with everything that is visible to libraries opened later; the
    // handle needs no closing.
    unsafe {
        let program = libc::dlopen(std::ptr::null(), libc::RTLD_LAZY);
        !libc::dlsym(program, MARKER.as_ptr()).is_null()
    }
}

/// An open shared object. It is never closed (core.md §3.3(1)).
pub struct Library(*mut c_void);

impl Library {
    /// Opens `path`, every symbol at once and visible to libraries loaded later. The error is the
    /// dynamic linker's text.
    pub fn open(path: &CStr) -> Result<Library, CString> {
        // SAFETY: the path is a C string; what the library's constructors do is its own matter.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if !handle.is_null() {
            return Ok(Library(handle));
        }
        // SAFETY: dlerror gives null or a C string valid until the next dl call of this thread.
        let text = unsafe {
            let text = libc::dlerror();
            if text.is_null() {
                c"unknown error".to_owned()
            } else {
                CStr::from_ptr(text).into()
            }
        };
        Err(text)
    }

    /// The dynamic linker's handle.
    pub fn as_ptr(&self) -> *mut c_void {
        self.0
    }

    /// The file of another core that came along with this library, because the library, or one that it
    /// depends on, was linked with libskynet.so or libskynet.a.
    pub fn foreign_core(&self) -> Option<CString> {
        // SAFETY: an open library and a C string. Only the library and its dependencies are searched.
        let found = unsafe { libc::dlsym(self.0, MARKER.as_ptr()) };
        if found.is_null() || found.cast_const() == skynetx_error_bytes as *const c_void {
            return None;
        }
        // SAFETY: a zeroed Dl_info is valid; the name it gets is that of a loaded library, as a C string.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            let known = libc::dladdr(found, &mut info) != 0 && !info.dli_fname.is_null();
            Some(if known {
                CStr::from_ptr(info.dli_fname).into()
            } else {
                c"libskynet.so".into()
            })
        }
    }

    /// The entry points `<base>_create` … `<base>_signal`, as far as they exist.
    pub fn entry_points(&self, base: &CStr) -> EntryPoints {
        let find = |suffix: &str| {
            let mut name = base.to_bytes().to_vec();
            name.extend_from_slice(suffix.as_bytes());
            let name = CString::new(name).ok()?;
            // SAFETY: an open library and a C string.
            let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
            (!symbol.is_null()).then_some(symbol)
        };
        // SAFETY: by the module contract (core.md §1.10, §3.2) these names have these types; a data
        // pointer and a function pointer have the same representation on every platform with dlsym.
        unsafe {
            EntryPoints {
                create: find("_create").map(|p| std::mem::transmute(p)),
                init: find("_init").map(|p| std::mem::transmute(p)),
                release: find("_release").map(|p| std::mem::transmute(p)),
                signal: find("_signal").map(|p| std::mem::transmute(p)),
            }
        }
    }
}
