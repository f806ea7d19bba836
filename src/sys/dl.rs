//! Shared objects: opening them and finding a module's entry points.

use super::cabi::EntryPoints;
use std::ffi::{CStr, CString, c_void};

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
