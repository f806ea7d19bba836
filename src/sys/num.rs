//! C's number parsing, whose leniency is part of the text interfaces (core.md §2.4(1), §4.1(2)).

use std::ffi::CStr;

/// `strtol`: leading blanks, sign, as many digits as there are; 0 when there are none. Base 0 reads
/// `0x…` and `0…` by their prefix.
pub fn strtol(text: &CStr, base: i32) -> i64 {
    // SAFETY: a C string; no end pointer is asked for.
    unsafe { libc::strtol(text.as_ptr(), std::ptr::null_mut(), base) }
}

/// `strtoul`, see [`strtol`].
pub fn strtoul(text: &CStr, base: i32) -> u64 {
    // SAFETY: as above.
    unsafe { libc::strtoul(text.as_ptr(), std::ptr::null_mut(), base) }
}

/// The decimal number at the start of a text that need not end in NUL, as [`strtol`].
pub fn leading_number(text: &[u8]) -> i64 {
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    std::ffi::CString::new(&text[..end]).map_or(0, |text| strtol(&text, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_as_c() {
        assert_eq!(strtol(c" 12ab", 10), 12);
        assert_eq!(strtol(c"x", 10), 0);
        assert_eq!(strtol(c"0x10", 0), 16);
        assert_eq!(strtol(c"-3", 10), -3);
        assert_eq!(strtoul(c"1f g", 16), 31);
        assert_eq!(leading_number(b"8.0"), 8);
        assert_eq!(leading_number(b""), 0);
    }
}
