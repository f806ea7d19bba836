//! Lines for the operator on standard error, as bytes and without a way to fail: a full disk or a closed pipe
//! behind it must not end a node.

/// Writes `line` and a newline in one piece.
pub fn line(line: &[u8]) {
    let text = [line, b"\n"].concat();
    let mut rest = &text[..];
    while !rest.is_empty() {
        // SAFETY: `rest` is readable for its length.
        let written = unsafe { libc::write(2, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => rest = &rest[written..],
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
