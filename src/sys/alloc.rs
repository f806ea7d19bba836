//! The raw allocator: jemalloc under its private prefix, or libc's without the feature `jemalloc`.
//!
//! Blocks from here carry no cookie and are in nobody's account. The exported malloc family is built
//! on them (`malloc_hook.rs` of the executable), and Lua's allocator uses them as they are
//! (core.md §9.4). A block of one kind must never reach the `free` of the other; which is why only
//! this file names the allocator.

#[cfg(feature = "jemalloc")]
use std::ffi::{CStr, c_char};
use std::ffi::{c_int, c_void};

#[cfg(feature = "jemalloc")]
use tikv_jemalloc_sys as raw;

#[cfg(not(feature = "jemalloc"))]
use libc as raw;

/// An uninitialised block of `len` bytes, null when memory runs out.
#[inline]
pub fn malloc(len: usize) -> *mut c_void {
    // SAFETY: malloc has no preconditions.
    unsafe { raw::malloc(len) }
}

/// A block of `len` zero bytes, null when memory runs out.
#[inline]
pub fn zeroed(len: usize) -> *mut c_void {
    // jemalloc's malloc has a short way for small blocks, its calloc has not; and only large blocks
    // are zero already when they come from the system.
    const SMALL: usize = 1024;
    if len > SMALL {
        // SAFETY: calloc has no preconditions.
        return unsafe { raw::calloc(1, len) };
    }
    let block = malloc(len);
    if !block.is_null() {
        // SAFETY: the block is ours and that long.
        unsafe { block.write_bytes(0, len) };
    }
    block
}

/// An uninitialised block whose address is a multiple of `align`, a power of two of at least the
/// size of a pointer; null when memory runs out.
#[inline]
pub fn aligned(align: usize, len: usize) -> *mut c_void {
    debug_assert!(align.is_power_of_two() && align >= size_of::<*const c_void>());
    let mut block = std::ptr::null_mut();
    // SAFETY: `block` is a valid place for the answer.
    match unsafe { raw::posix_memalign(&mut block, align, len) } {
        0 => block,
        _ => std::ptr::null_mut(),
    }
}

/// Changes the size of a block, or makes one when `block` is null. On failure the answer is null and
/// the block is as before.
///
/// # Safety
/// `block` is null or a live block of this allocator, and `len` is not 0.
#[inline]
pub unsafe fn realloc(block: *mut c_void, len: usize) -> *mut c_void {
    // SAFETY: passed on to the caller.
    unsafe { raw::realloc(block, len) }
}

/// Gives a block back; null is ignored.
///
/// # Safety
/// `block` is null or a live block of this allocator that nobody uses any more.
#[inline]
pub unsafe fn free(block: *mut c_void) {
    // SAFETY: passed on to the caller.
    unsafe { raw::free(block) }
}

/// Values that a control of the allocator can have: plain integers, for which any bytes are valid.
/// (Booleans travel as `u8`: the name may be that of a wider control, whose low byte is anything.)
pub trait Control: Copy + Default + sealed::Plain {}
impl Control for usize {}
impl Control for u64 {}
impl Control for c_int {}
impl Control for u8 {}

mod sealed {
    pub trait Plain {}
    impl Plain for usize {}
    impl Plain for u64 {}
    impl Plain for std::ffi::c_int {}
    impl Plain for u8 {}
}

/// Reads the control `name` and, with `new`, sets it. Answers the value read (0 if none was) and the
/// allocator's error number, 0 for success.
#[cfg(feature = "jemalloc")]
pub fn control<T: Control>(name: &CStr, new: Option<T>) -> (T, c_int) {
    let mut old = T::default();
    let mut old_len = size_of::<T>();
    let (new_at, new_len) = match &new {
        Some(value) => (std::ptr::from_ref(value).cast_mut().cast(), size_of::<T>()),
        None => (std::ptr::null_mut(), 0),
    };
    // SAFETY: both places are of the sizes given, jemalloc writes no more than `old_len` bytes and
    // only reads the new value; every bit pattern is a valid T.
    let code = unsafe {
        raw::mallctl(
            name.as_ptr(),
            std::ptr::from_mut(&mut old).cast(),
            &mut old_len,
            new_at,
            new_len,
        )
    };
    (old, code)
}

/// Triggers the control `name`, one without a value. Answers the allocator's error number.
#[cfg(feature = "jemalloc")]
pub fn trigger(name: &CStr) -> c_int {
    use std::ptr::null_mut;
    // SAFETY: null places mean that nothing is read or written.
    unsafe { raw::mallctl(name.as_ptr(), null_mut(), null_mut(), null_mut(), 0) }
}

/// Prints the allocator's statistics on stderr; `opts` is jemalloc's string of omissions.
#[cfg(feature = "jemalloc")]
pub fn print_stats(opts: Option<&CStr>) {
    let opts = opts.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: without a callback jemalloc writes to stderr; `opts` is null or a C string.
    unsafe { raw::malloc_stats_print(None, std::ptr::null_mut(), opts) }
}

/// Sets the options that jemalloc reads when it starts, which its first use does.
///
/// # Safety
/// No other thread exists yet, and `options` is a C string that stays as it is for good.
#[cfg(feature = "jemalloc")]
pub unsafe fn set_options(options: *const c_char) {
    unsafe extern "C" {
        // jemalloc's own variable. The crate declares it read-only, for programs that define it.
        #[link_name = "_rjem_malloc_conf"]
        static mut OPTIONS: *const c_char;
    }
    // SAFETY: a plain variable of C, and no other thread is there to read it.
    unsafe { OPTIONS = options }
}

/// What jemalloc says of its arenas together, and what it can be told about them. Without jemalloc there is
/// nothing to know and nothing to do.
pub mod arenas {
    /// Bytes, as jemalloc counts them.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct HeapFigures {
        /// Blocks given out, with those that threads keep for themselves.
        pub allocated: usize,
        pub thread_caches: usize,
        /// Pages that are in use.
        pub active: usize,
        /// Free pages that may be resident, and those that are until the system wants them.
        pub dirty: usize,
        pub muzzy: usize,
        /// Used and free pages and jemalloc's own, touched or not. Muzzy ones are not in it.
        pub resident: usize,
        /// Addresses without memory.
        pub retained: usize,
    }

    #[cfg(feature = "jemalloc")]
    use super::{CStr, control, trigger};

    /// Figures are of the time of this call.
    #[cfg(feature = "jemalloc")]
    pub fn refresh() {
        control(c"epoch", Some(1u64));
    }

    #[cfg(feature = "jemalloc")]
    fn bytes(name: &CStr) -> usize {
        control::<usize>(name, None).0
    }

    /// Bytes of pages that are in use.
    #[cfg(feature = "jemalloc")]
    pub fn active() -> usize {
        bytes(c"stats.active")
    }

    /// Bytes of pages that were freed and not given back.
    #[cfg(feature = "jemalloc")]
    pub fn dirty() -> usize {
        // 4096 stands for all arenas.
        bytes(c"stats.arenas.4096.pdirty") * bytes(c"arenas.page")
    }

    /// The figures of the last [`refresh`].
    #[cfg(feature = "jemalloc")]
    pub fn heap() -> Option<HeapFigures> {
        let pages = |name| bytes(name) * bytes(c"arenas.page");
        Some(HeapFigures {
            allocated: bytes(c"stats.allocated"),
            thread_caches: bytes(c"stats.arenas.4096.tcache_bytes"),
            active: active(),
            dirty: dirty(),
            muzzy: pages(c"stats.arenas.4096.pmuzzy"),
            resident: bytes(c"stats.resident"),
            retained: bytes(c"stats.retained"),
        })
    }

    /// Whether the time that freed pages are kept, and who gives them back, is as jemalloc comes.
    #[cfg(feature = "jemalloc")]
    pub fn has_default_decay() -> bool {
        const DIRTY_MS: isize = 10_000;
        control::<usize>(c"opt.dirty_decay_ms", None).0 as isize == DIRTY_MS
            && control::<usize>(c"arenas.dirty_decay_ms", None).0 as isize == DIRTY_MS
            && control::<u8>(c"background_thread", None).0 == 0
    }

    /// Gives back what has been free for the time that is set.
    #[cfg(feature = "jemalloc")]
    pub fn decay() {
        trigger(c"arena.4096.decay");
    }

    /// Gives back everything that is free.
    #[cfg(feature = "jemalloc")]
    pub fn purge() {
        trigger(c"arena.4096.purge");
    }

    /// Gives up the free blocks that the calling thread keeps for itself.
    #[cfg(feature = "jemalloc")]
    pub fn flush_thread() {
        trigger(c"thread.tcache.flush");
    }

    #[cfg(not(feature = "jemalloc"))]
    mod nothing {
        pub fn flush_thread() {}
        pub fn heap() -> Option<super::HeapFigures> {
            None
        }
        pub fn refresh() {}
        pub fn active() -> usize {
            0
        }
        pub fn dirty() -> usize {
            0
        }
        pub fn has_default_decay() -> bool {
            false
        }
        pub fn decay() {}
        pub fn purge() {}
    }
    #[cfg(not(feature = "jemalloc"))]
    pub use nothing::*;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_bytes() {
        let p = malloc(100).cast::<u8>();
        // SAFETY: 100 bytes are ours; realloc keeps them.
        unsafe {
            p.write_bytes(0x5a, 100);
            let p = realloc(p.cast(), 100_000).cast::<u8>();
            assert!((0..100).all(|i| p.add(i).read() == 0x5a));
            free(p.cast());
            free(std::ptr::null_mut());
        }
    }

    #[test]
    fn zeroed_blocks_are_zero() {
        let p = zeroed(5000).cast::<u8>();
        // SAFETY: 5000 bytes are ours.
        unsafe {
            assert!((0..5000).all(|i| p.add(i).read() == 0));
            free(p.cast());
        }
    }

    #[test]
    fn alignments_hold() {
        for shift in 3..20 {
            let p = aligned(1 << shift, 10);
            assert_eq!(p as usize % (1 << shift), 0);
            // SAFETY: the block is ours.
            unsafe { free(p) };
        }
    }

    #[test]
    fn too_much_memory_is_null() {
        assert!(malloc(usize::MAX / 2).is_null());
        assert!(aligned(4096, usize::MAX / 2).is_null());
    }

    #[cfg(feature = "jemalloc")]
    #[test]
    fn controls_read_write_and_refuse() {
        let (first, code) = control(c"epoch", Some(1usize));
        assert_eq!(code, 0);
        assert!(first > 0);
        assert_eq!(
            control::<usize>(c"no.such.control", None),
            (0, libc::ENOENT)
        );
        assert!(control::<usize>(c"stats.allocated", None).0 > 0);
        assert_eq!(control::<u8>(c"config.stats", None), (1, 0));
        assert_eq!(trigger(c"thread.tcache.flush"), 0);
        assert_eq!(trigger(c"no.such.control"), libc::ENOENT);
    }
}
