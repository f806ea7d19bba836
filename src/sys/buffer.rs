//! Bytes on their way to a socket, in the three forms in which C code hands them over
//! (core.md §1.5, §8.9(2)).
//!
//! The invariant of [`SendBytes`]: `data` is readable for `len` bytes until `owner` is dropped, and
//! nobody writes there meanwhile.

use super::block::Block;
use std::ffi::c_void;
use std::slice;

/// The functions that turn a user object into bytes (core.md §1.18(3)).
#[derive(Clone, Copy, Debug)]
pub struct ObjectInterface {
    /// The object's first byte.
    pub buffer: unsafe extern "C" fn(*const c_void) -> *const c_void,
    /// How many bytes there are.
    pub size: unsafe extern "C" fn(*const c_void) -> usize,
    /// Gives the object back.
    pub free: unsafe extern "C" fn(*mut c_void),
}

/// Bytes that the engine owns; gives them back when dropped.
#[derive(Debug)]
pub struct SendBytes {
    data: *const u8,
    len: usize,
    /// Kept for its destructor.
    _owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Heap(#[allow(dead_code)] Block),
    Object {
        object: *mut c_void,
        free: unsafe extern "C" fn(*mut c_void),
    },
}

// SAFETY: one owner, bytes that nobody writes; malloc'ed blocks may be freed by any thread, and an
// installed object interface is called by whichever thread is done with the object by contract.
unsafe impl Send for SendBytes {}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Owner::Object { object, free } = *self {
            // SAFETY: the object was given to us with this function, and this is the only call.
            unsafe { free(object) }
        }
    }
}

impl SendBytes {
    /// Takes over a `malloc`ed block of `len` bytes; a null block counts as empty.
    ///
    /// # Safety
    /// `block` is null or holds at least `len` initialised bytes.
    pub unsafe fn from_block(block: Block, len: usize) -> SendBytes {
        let data = block.as_ptr().cast::<u8>().cast_const();
        SendBytes {
            data,
            len: if data.is_null() { 0 } else { len },
            _owner: Owner::Heap(block),
        }
    }

    /// Takes over a user object.
    ///
    /// # Safety
    /// `object` is one that `interface` was made for, and nobody else will free it.
    pub unsafe fn from_object(object: *mut c_void, interface: &ObjectInterface) -> SendBytes {
        // SAFETY: passed on to the caller.
        let (data, len) = unsafe { ((interface.buffer)(object), (interface.size)(object)) };
        let data = data.cast::<u8>();
        SendBytes {
            data,
            len: if data.is_null() { 0 } else { len },
            _owner: Owner::Object {
                object,
                free: interface.free,
            },
        }
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> SendBytes {
        // SAFETY: copy_of fills that many bytes.
        unsafe { SendBytes::from_block(Block::copy_of(bytes), bytes.len()) }
    }

    pub fn as_slice(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the invariant of the type.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

/// Bytes that a caller wants sent.
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// The engine's from now on, also when it refuses them.
    Owned(SendBytes),
    /// The caller's; the engine copies what it cannot send at once.
    Borrowed(&'a [u8]),
}

impl Outgoing<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Outgoing::Owned(bytes) => bytes.as_slice(),
            Outgoing::Borrowed(bytes) => bytes,
        }
    }

    /// Keeps what follows the first `sent` bytes: the bytes to keep, and the offset in them.
    pub fn keep(self, sent: usize) -> (SendBytes, usize) {
        match self {
            Outgoing::Owned(bytes) => (bytes, sent),
            Outgoing::Borrowed(bytes) => (SendBytes::copy_of(&bytes[sent..]), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static FREED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn data(object: *const c_void) -> *const c_void {
        object
    }
    unsafe extern "C" fn size(_: *const c_void) -> usize {
        3
    }
    unsafe extern "C" fn free(_: *mut c_void) {
        FREED.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn an_object_is_read_through_its_interface_and_freed_once() {
        let interface = ObjectInterface {
            buffer: data,
            size,
            free,
        };
        let mut object = *b"abc";
        // SAFETY: the object is three bytes and outlives the value.
        let bytes = unsafe { SendBytes::from_object(object.as_mut_ptr().cast(), &interface) };
        assert_eq!(bytes.as_slice(), b"abc");
        let (kept, offset) = Outgoing::Owned(bytes).keep(2);
        assert_eq!((kept.as_slice(), offset), (&b"abc"[..], 2));
        assert_eq!(FREED.load(Ordering::Relaxed), 0);
        drop(kept);
        assert_eq!(FREED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn borrowed_bytes_are_copied_from_where_they_matter() {
        let (kept, offset) = Outgoing::Borrowed(b"hello").keep(2);
        assert_eq!((kept.as_slice(), offset), (&b"llo"[..], 0));
    }

    #[test]
    fn a_null_block_is_empty() {
        // SAFETY: null needs no bytes.
        let bytes = unsafe { SendBytes::from_block(Block::null(), 17) };
        assert_eq!(bytes.as_slice(), b"");
    }
}
