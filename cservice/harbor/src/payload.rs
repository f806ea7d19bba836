//! A message buffer of the process-wide allocator: the core gives us such buffers and takes them back.

use std::ffi::c_void;
use std::ptr::{copy_nonoverlapping, null_mut};
use std::slice;

/// Owns `size` bytes at `start`, or nothing if `start` is NULL.
pub struct Payload {
    start: *mut c_void,
    size: usize,
}

impl Payload {
    /// Takes over a buffer of the core.
    ///
    /// # Safety
    /// `start` is NULL, or came from the process-wide `malloc`, is ours, and has `size` bytes.
    #[cfg_attr(test, expect(dead_code))]
    pub unsafe fn from_raw(start: *mut c_void, size: usize) -> Payload {
        Payload { start, size }
    }

    /// A buffer with the bytes of `parts` one after the other.
    pub fn concat(parts: &[&[u8]]) -> Payload {
        let size = parts.iter().map(|part| part.len()).sum();
        // SAFETY: any size is allowed.
        let start = unsafe { libc::malloc(size) };
        if start.is_null() && size > 0 {
            let layout =
                std::alloc::Layout::from_size_align(size, 1).expect("slices fit in memory");
            std::alloc::handle_alloc_error(layout);
        }
        let mut end = start.cast::<u8>();
        for part in parts {
            // SAFETY: the buffer is new and has room for all parts.
            unsafe {
                copy_nonoverlapping(part.as_ptr(), end, part.len());
                end = end.add(part.len());
            }
        }
        Payload { start, size }
    }

    pub fn bytes(&self) -> &[u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: what `Payload` promises.
        unsafe { slice::from_raw_parts(self.start.cast(), self.size) }
    }

    /// Gives the buffer away.
    #[cfg_attr(test, expect(dead_code))]
    pub fn into_raw(self) -> (*mut c_void, usize) {
        let mut this = self;
        (std::mem::replace(&mut this.start, null_mut()), this.size)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        // SAFETY: ours, and from this allocator; NULL is allowed.
        unsafe { libc::free(self.start) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_parts() {
        let payload = Payload::concat(&[b"ab", b"", b"cde"]);
        assert_eq!(payload.bytes(), b"abcde");
        assert_eq!(Payload::concat(&[]).bytes(), b"");
    }
}
