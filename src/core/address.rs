//! Addresses as text: `:hex` is a handle, `.name` a local name (core.md §4.1(2), §5.0(5)).

use super::node::NODE;
use super::{ERROR_MARK, log_parts};
use crate::sys::num;
use std::ffi::CStr;

/// The text behind the first character.
fn rest(text: &CStr) -> &CStr {
    CStr::from_bytes_with_nul(&text.to_bytes_with_nul()[1..]).unwrap_or_default()
}

/// The number in `:hex`.
pub fn number(text: &CStr) -> u32 {
    num::strtoul(rest(text), 16) as u32
}

/// The handle behind `.name`.
pub fn local_name(text: &CStr) -> Option<u32> {
    NODE.handles.find_name(rest(text))
}

/// `skynet_queryname` (core.md §4.5(6)): 0 for what is unknown; `by` gets the log line for what is not
/// an address.
pub fn query(by: u32, text: &CStr) -> u32 {
    match text.to_bytes() {
        [b':', ..] => number(text),
        [b'.', ..] => local_name(text).unwrap_or(0),
        other => {
            let parts = [
                ERROR_MARK.as_bytes(),
                b"Don't support query global name ",
                other,
            ];
            log_parts(by, &parts);
            0
        }
    }
}

/// The address in a command's parameter, 0 when it is none; `by` gets the log line.
pub fn parse(by: u32, text: &CStr) -> u32 {
    match text.to_bytes() {
        [b':', ..] => number(text),
        [b'.', ..] => local_name(text).unwrap_or(0),
        other => {
            log_parts(
                by,
                &[
                    ERROR_MARK.as_bytes(),
                    b"Can't convert ",
                    other,
                    b" to handle",
                ],
            );
            0
        }
    }
}
