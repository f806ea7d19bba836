//! `skynet_malloc.h`: Lua's allocator and string copies (core.md §9.4, §9.7).
//!
//! The rest of that header is the malloc family of the process, see `malloc_hook.rs` of the
//! executable.

use crate::sys::alloc;
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

/// Resizes a block of the raw allocator, for Lua states: no accounting, and NULL when memory runs
/// out. `nsize` 0 frees `ptr` and answers NULL. `osize` is not needed.
///
/// # Safety
/// `ptr` is NULL or a live block of this function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_lalloc(
    ptr: *mut c_void,
    osize: usize,
    nsize: usize,
) -> *mut c_void {
    let _ = osize;
    // SAFETY: the caller's promise.
    unsafe {
        if nsize == 0 {
            alloc::free(ptr);
            return null_mut();
        }
        alloc::realloc(ptr, nsize)
    }
}

/// A copy of a string, to be released with `skynet_free`. NULL gives NULL.
///
/// # Safety
/// `str` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_strdup(str: *const c_char) -> *mut c_char {
    if str.is_null() {
        return null_mut();
    }
    // SAFETY: `str` is a C string; the process's strdup allocates with the process's malloc.
    unsafe { libc::strdup(str) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn lalloc_allocates_grows_shrinks_and_frees() {
        // SAFETY: each block is used only until the next call, within its size.
        unsafe {
            let p = skynet_lalloc(null_mut(), 0, 10);
            p.cast::<u8>().write_bytes(7, 10);
            let p = skynet_lalloc(p, 10, 10_000);
            let p = skynet_lalloc(p, 10_000, 5);
            assert_eq!(std::slice::from_raw_parts(p.cast::<u8>(), 5), [7; 5]);
            assert!(skynet_lalloc(p, 5, 0).is_null());
            assert!(skynet_lalloc(null_mut(), 0, 0).is_null());
            assert!(skynet_lalloc(null_mut(), 0, usize::MAX / 2).is_null());
        }
    }

    #[test]
    fn strdup_copies() {
        // SAFETY: a C string, and the copy is freed once.
        unsafe {
            let p = skynet_strdup(c"hello".as_ptr());
            assert_eq!(CStr::from_ptr(p), c"hello");
            libc::free(p.cast());
            assert!(skynet_strdup(std::ptr::null()).is_null());
        }
    }
}
