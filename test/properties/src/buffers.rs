//! The receive buffers of `skynet.socketdriver`.

use crate::input::Input;
use crate::recvbuf::RecvBuf;

/// A block of the message heap.
fn block(bytes: &[u8]) -> *mut libc::c_void {
    // SAFETY: the block has room for the bytes.
    unsafe {
        let block = libc::malloc(bytes.len().max(1));
        assert!(!block.is_null());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.cast(), bytes.len());
        block
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return (!bytes.is_empty()).then_some(0);
    }
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// A buffer of blocks is the bytes one after the other.
pub fn receive_buffer(data: &[u8]) {
    let mut input = Input::new(data);
    let mut buffer = RecvBuf::new();
    let mut model = Vec::new();
    while !input.is_empty() {
        match input.byte() {
            0..=3 => {
                buffer.clear();
                model.clear();
            }
            4..=90 => {
                let count = input.below(model.len() + 1);
                let mut taken = vec![0; count];
                match buffer.contiguous(count) {
                    Some(bytes) => taken.copy_from_slice(bytes),
                    // SAFETY: there are that many bytes, and room for them.
                    None => unsafe { buffer.copy_to(taken.as_mut_ptr(), count) },
                }
                assert_eq!(taken, model[..count]);
                buffer.consume(count);
                model.drain(..count);
            }
            91..=130 => {
                let length = input.below(6);
                let wanted = input.bytes(length);
                assert_eq!(buffer.find(wanted), find(&model, wanted));
                // And one that is there.
                let from = input.below(model.len() + 1);
                let wanted = &model[from..model.len().min(from + length)];
                assert_eq!(buffer.find(wanted), find(&model, wanted));
            }
            how => {
                let count = usize::from(how - 131) % 40;
                let bytes = input.bytes(count);
                // SAFETY: a live block of that size that is nobody else's.
                assert!(unsafe { buffer.push(block(bytes), bytes.len()) });
                model.extend_from_slice(bytes);
            }
        }
        assert_eq!(buffer.len(), model.len());
    }
    buffer.clear();
}
