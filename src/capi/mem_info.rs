//! `mem_info.h`: counters of allocations, plain and atomic (core.md §1.16, API level head).
//!
//! The core counts elsewhere (`sys::tally`); these are for modules that keep counters of their own.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// The size of a cache line.
pub const CACHE_LINE_SIZE: usize = 64;

/// Running totals, for one thread at a time.
#[repr(C)]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MemInfo {
    pub alloc: usize,
    pub alloc_count: usize,
    pub free: usize,
    pub free_count: usize,
}

/// Running totals for many threads. Allocations and releases are counted in lines of their own,
/// since they often come from different threads.
#[repr(C)]
#[derive(Debug, Default)]
pub struct AtomicMemInfo {
    allocated: Line,
    freed: Line,
}

#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Line {
    bytes: AtomicUsize,
    count: AtomicUsize,
}

const _: () = {
    assert!(size_of::<MemInfo>() == 32);
    assert!(size_of::<AtomicMemInfo>() == 128 && align_of::<AtomicMemInfo>() == 64);
    assert!(std::mem::offset_of!(AtomicMemInfo, freed) == 64);
};

impl Line {
    fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }
}

/// Sets all totals to 0.
///
/// # Safety
/// `info` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meminfo_init(info: *mut MemInfo) {
    // SAFETY: the caller's promise.
    unsafe { info.write(MemInfo::default()) }
}

/// Counts one allocation of `size` bytes.
///
/// # Safety
/// `info` is initialised and nobody else uses it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meminfo_alloc(info: *mut MemInfo, size: usize) {
    // SAFETY: the caller's promise.
    let info = unsafe { &mut *info };
    info.alloc = info.alloc.wrapping_add(size);
    info.alloc_count = info.alloc_count.wrapping_add(1);
}

/// Counts one release of `size` bytes.
///
/// # Safety
/// As [`meminfo_alloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meminfo_free(info: *mut MemInfo, size: usize) {
    // SAFETY: the caller's promise.
    let info = unsafe { &mut *info };
    info.free = info.free.wrapping_add(size);
    info.free_count = info.free_count.wrapping_add(1);
}

/// Adds the totals of `src` to `dest`.
///
/// # Safety
/// Both are initialised and nobody writes them meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meminfo_merge(dest: *mut MemInfo, src: *const MemInfo) {
    // SAFETY: the caller's promise. `src` is read first, as both may be the same.
    let src = unsafe { src.read() };
    // SAFETY: as above.
    unsafe { add(dest, src) }
}

/// Sets all totals to 0.
///
/// # Safety
/// `info` is valid for writing and no other thread uses it yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atomic_meminfo_init(info: *mut AtomicMemInfo) {
    // SAFETY: the caller's promise.
    unsafe { info.write(AtomicMemInfo::default()) }
}

/// Counts one allocation of `size` bytes; from any thread.
///
/// # Safety
/// `info` is initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atomic_meminfo_alloc(info: *mut AtomicMemInfo, size: usize) {
    // SAFETY: the caller's promise; all access is atomic.
    unsafe { &*info }.allocated.count(size);
}

/// Counts one release of `size` bytes; from any thread.
///
/// # Safety
/// `info` is initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atomic_meminfo_free(info: *mut AtomicMemInfo, size: usize) {
    // SAFETY: the caller's promise; all access is atomic.
    unsafe { &*info }.freed.count(size);
}

/// Adds the totals of `src` to `dest`.
///
/// # Safety
/// Both are initialised, and nobody else uses `dest` meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atomic_meminfo_merge(dest: *mut MemInfo, src: *const AtomicMemInfo) {
    // SAFETY: the caller's promise; all access to `src` is atomic.
    let AtomicMemInfo { allocated, freed } = unsafe { &*src };
    let now = MemInfo {
        alloc: allocated.bytes.load(Relaxed),
        alloc_count: allocated.count.load(Relaxed),
        free: freed.bytes.load(Relaxed),
        free_count: freed.count.load(Relaxed),
    };
    // SAFETY: the caller's promise.
    unsafe { add(dest, now) }
}

/// # Safety
/// `dest` is initialised and nobody else uses it meanwhile.
unsafe fn add(dest: *mut MemInfo, more: MemInfo) {
    // SAFETY: the caller's promise.
    let dest = unsafe { &mut *dest };
    dest.alloc = dest.alloc.wrapping_add(more.alloc);
    dest.alloc_count = dest.alloc_count.wrapping_add(more.alloc_count);
    dest.free = dest.free.wrapping_add(more.free);
    dest.free_count = dest.free_count.wrapping_add(more.free_count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::MaybeUninit;

    #[test]
    fn totals_add_up() {
        let mut shared = MaybeUninit::<AtomicMemInfo>::uninit();
        let mut own = MaybeUninit::<MemInfo>::uninit();
        // SAFETY: initialised first, used by this thread only.
        let sum = unsafe {
            atomic_meminfo_init(shared.as_mut_ptr());
            atomic_meminfo_alloc(shared.as_mut_ptr(), 100);
            atomic_meminfo_alloc(shared.as_mut_ptr(), 10);
            atomic_meminfo_free(shared.as_mut_ptr(), 10);
            let own = own.as_mut_ptr();
            meminfo_init(own);
            meminfo_alloc(own, 1);
            meminfo_free(own, 1);
            atomic_meminfo_merge(own, shared.as_ptr());
            meminfo_merge(own, own);
            own.read()
        };
        assert_eq!(
            sum,
            MemInfo {
                alloc: 222,
                alloc_count: 6,
                free: 22,
                free_count: 4,
            }
        );
    }
}
