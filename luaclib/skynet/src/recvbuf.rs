//! What a socket has received and nobody has read yet: a queue of heap blocks with byte-wise access.
//!
//! It lives in a userdata of `skynet.socketdriver`. The blocks come from the core one by one and are kept as they
//! are; a ring of descriptors orders them, four of them inside the object itself, since a reader that keeps up
//! never has more waiting. No function here calls Lua.

use core::ffi::c_void;
use core::ptr;
use core::slice;

/// Ring entries inside the object.
const INLINE: usize = 4;
/// A ring larger than this is given back when it runs empty.
const KEEP: usize = 32;

#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    size: usize,
}

const NO_BLOCK: Block = Block {
    start: ptr::null_mut(),
    size: 0,
};

pub struct RecvBuf {
    /// The ring when it has outgrown `inline`, else NULL. Its size is `capacity`, a power of two.
    spilled: *mut Block,
    capacity: usize,
    head: usize,
    count: usize,
    /// Bytes of the head block that have been read.
    offset: usize,
    /// Unread bytes.
    total: usize,
    inline: [Block; INLINE],
}

impl RecvBuf {
    pub const fn new() -> RecvBuf {
        RecvBuf {
            spilled: ptr::null_mut(),
            capacity: INLINE,
            head: 0,
            count: 0,
            offset: 0,
            total: 0,
            inline: [NO_BLOCK; INLINE],
        }
    }

    /// Unread bytes.
    pub fn len(&self) -> usize {
        self.total
    }

    fn ring(&self) -> *const Block {
        if self.spilled.is_null() {
            self.inline.as_ptr()
        } else {
            self.spilled
        }
    }

    fn ring_mut(&mut self) -> *mut Block {
        if self.spilled.is_null() {
            self.inline.as_mut_ptr()
        } else {
            self.spilled
        }
    }

    /// The unread bytes of the `index`th block.
    fn bytes(&self, index: usize) -> &[u8] {
        debug_assert!(index < self.count);
        let skip = if index == 0 { self.offset } else { 0 };
        // SAFETY: the position is inside the ring, its entry describes a block we own, and `offset` is less than
        // the size of the head block.
        unsafe {
            let block = *self.ring().add((self.head + index) & (self.capacity - 1));
            slice::from_raw_parts(block.start.add(skip), block.size - skip)
        }
    }

    /// Queues a block of the message heap and owns it from now on. False, and it is not owned, if memory ran out.
    ///
    /// # Safety
    /// `block` is a live heap block with at least `size` bytes that nobody else releases.
    #[must_use]
    pub unsafe fn push(&mut self, block: *mut c_void, size: usize) -> bool {
        if size == 0 {
            // SAFETY: ours, and empty ones have no place in the queue.
            unsafe { libc::free(block) };
            return true;
        }
        if self.count == self.capacity && !self.enlarge() {
            return false;
        }
        let at = (self.head + self.count) & (self.capacity - 1);
        // SAFETY: inside the ring, which has a free entry.
        unsafe {
            self.ring_mut().add(at).write(Block {
                start: block.cast(),
                size,
            });
        }
        self.count += 1;
        self.total += size;
        true
    }

    #[cold]
    fn enlarge(&mut self) -> bool {
        let larger = self.capacity * 2;
        // SAFETY: the new ring has room for all entries; they are copied in queue order.
        unsafe {
            let ring: *mut Block = libc::malloc(larger * size_of::<Block>()).cast();
            if ring.is_null() {
                return false;
            }
            let to_end = self.capacity - self.head;
            let old = self.ring();
            ptr::copy_nonoverlapping(old.add(self.head), ring, to_end);
            ptr::copy_nonoverlapping(old, ring.add(to_end), self.head);
            libc::free(self.spilled.cast());
            self.spilled = ring;
        }
        self.capacity = larger;
        self.head = 0;
        true
    }

    /// The first `count` unread bytes, if they lie in one block. `count` is at most `len()`.
    pub fn contiguous(&self, count: usize) -> Option<&[u8]> {
        if count == 0 {
            return Some(&[]);
        }
        self.bytes(0).get(..count)
    }

    /// Copies the first `count` unread bytes to `to`.
    ///
    /// # Safety
    /// There are that many unread bytes, and room for them at `to`.
    pub unsafe fn copy_to(&self, mut to: *mut u8, mut count: usize) {
        let mut index = 0;
        while count > 0 {
            let bytes = self.bytes(index);
            let part = bytes.len().min(count);
            // SAFETY: as the caller promises.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), to, part);
                to = to.add(part);
            }
            count -= part;
            index += 1;
        }
    }

    /// Drops the first `count` unread bytes and the blocks that are used up. `count` is at most `len()`.
    pub fn consume(&mut self, mut count: usize) {
        debug_assert!(count <= self.total);
        self.total -= count;
        while count > 0 {
            let unread = self.bytes(0).len();
            if count < unread {
                self.offset += count;
                return;
            }
            count -= unread;
            self.drop_head();
        }
    }

    fn drop_head(&mut self) {
        // SAFETY: there is a head, it is ours, and it leaves the ring.
        unsafe {
            let block = *self.ring().add(self.head);
            libc::free(block.start.cast());
        }
        self.head = (self.head + 1) & (self.capacity - 1);
        self.count -= 1;
        self.offset = 0;
        if self.count == 0 && self.capacity > KEEP {
            self.shrink();
        }
    }

    /// Back to the inline ring; the queue is empty.
    fn shrink(&mut self) {
        // SAFETY: malloc gave it, or it is NULL.
        unsafe { libc::free(self.spilled.cast()) };
        self.spilled = ptr::null_mut();
        self.capacity = INLINE;
        self.head = 0;
    }

    /// Releases everything. The buffer is empty and usable afterwards.
    pub fn clear(&mut self) {
        while self.count > 0 {
            self.drop_head();
        }
        self.total = 0;
        self.shrink();
    }

    /// How many unread bytes precede the first `separator`, which may span blocks. An empty one is found at once,
    /// but only if there are bytes at all.
    pub fn find(&self, separator: &[u8]) -> Option<usize> {
        let Some((&first, rest)) = separator.split_first() else {
            return (self.total > 0).then_some(0);
        };
        let mut before = 0;
        for index in 0..self.count {
            let bytes = self.bytes(index);
            let mut from = 0;
            while let Some(hit) = find_byte(&bytes[from..], first) {
                let at = from + hit;
                if self.total - (before + at) < separator.len() {
                    return None;
                }
                if self.matches(index, at + 1, rest) {
                    return Some(before + at);
                }
                from = at + 1;
            }
            before += bytes.len();
        }
        None
    }

    /// Whether the bytes from position `at` of block `index` on begin with `text`. There are enough of them.
    fn matches(&self, mut index: usize, mut at: usize, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            let bytes = &self.bytes(index)[at..];
            let part = bytes.len().min(text.len());
            if bytes[..part] != text[..part] {
                return false;
            }
            text = &text[part..];
            index += 1;
            at = 0;
        }
        true
    }
}

/// Position of the first `byte`.
fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: memchr looks at these bytes only and answers with a place among them.
    unsafe {
        let start = bytes.as_ptr();
        let hit = libc::memchr(start.cast(), byte.into(), bytes.len());
        (!hit.is_null()).then(|| hit.cast::<u8>().offset_from(start) as usize)
    }
}
