//! Owned blocks of the process heap, the form in which message data travels.
//!
//! Everything that crosses the C boundary comes from the `malloc` the dynamic linker gives the
//! process and goes back to its `free` (core.md §1.2), so this type keeps to those two and never
//! mixes with Rust's own allocations.

use std::ffi::c_void;
use std::ptr;

/// A `malloc`ed block, or nothing. Frees itself when dropped.
#[repr(transparent)]
#[derive(Debug)]
pub struct Block(*mut c_void);

// SAFETY: a block has one owner, and malloc/free may be called from any thread.
unsafe impl Send for Block {}

impl Block {
    /// No block; what a message without data carries.
    pub const fn null() -> Self {
        Block(ptr::null_mut())
    }

    /// An uninitialised block of `len` bytes. Ends the process when memory runs out.
    pub fn with_len(len: usize) -> Self {
        // SAFETY: malloc has no preconditions.
        let p = unsafe { libc::malloc(len.max(1)) };
        if p.is_null() {
            let text = format!("xmalloc: Out of memory trying to allocate {len} bytes");
            super::stderr::line(text.as_bytes());
            std::process::abort();
        }
        Block(p)
    }

    /// A copy of `bytes` followed by one NUL that no length counts (core.md §4.8(3)).
    pub fn copy_of(bytes: &[u8]) -> Self {
        let block = Block::with_len(bytes.len() + 1);
        // SAFETY: the block was made one byte longer than `bytes` and does not overlap it.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), block.0.cast::<u8>(), bytes.len());
            block.0.cast::<u8>().add(bytes.len()).write(0);
        }
        block
    }

    /// A block that holds `value`, for C structs that travel as messages. `T`'s destructor never runs.
    pub fn of_value<T>(value: T) -> Self {
        let block = Block::with_len(size_of::<T>());
        debug_assert!(align_of::<T>() <= 16);
        // SAFETY: the block is large enough, and malloc aligns for every fundamental type.
        unsafe { block.0.cast::<T>().write(value) };
        block
    }

    /// Takes over a pointer that C code gave away.
    ///
    /// # Safety
    /// `p` is null or a live `malloc`ed block that nobody else will free.
    pub unsafe fn from_raw(p: *mut c_void) -> Self {
        Block(p)
    }

    /// Gives the pointer away; whoever receives it calls `free`.
    pub fn into_raw(self) -> *mut c_void {
        let p = self.0;
        std::mem::forget(self);
        p
    }

    /// The address, for handing to a callback that only reads.
    pub fn as_ptr(&self) -> *mut c_void {
        self.0
    }

    /// True when there is no block.
    pub fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the block is ours and came from malloc (or is null, which free accepts).
        unsafe { libc::free(self.0) }
    }
}
