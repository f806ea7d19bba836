//! The look of a log line: `[:0000000a] text`, with a file `dd/mm/yy HH:MM:SS.cc [:0000000a] text`.

use std::io::Write;

/// Local time as text, kept for as long as the second lasts.
pub struct Stamp {
    /// Seconds since the epoch when the node's clock showed 0.
    start: i64,
    /// The second that `text` was made for.
    second: Option<i64>,
    text: Vec<u8>,
}

impl Stamp {
    pub fn new(start: i64) -> Self {
        Self {
            start,
            second: None,
            text: Vec::new(),
        }
    }

    /// Appends the time of `now`, in centiseconds of the node's clock, and a blank.
    pub fn write(&mut self, now: u64, line: &mut Vec<u8>) {
        let second = self.start + (now / 100) as i64;
        if self.second != Some(second) {
            self.text = local_time(second);
            self.second = Some(second);
        }
        line.extend_from_slice(&self.text);
        let _ = write!(line, ".{:02} ", now % 100);
    }
}

fn local_time(second: i64) -> Vec<u8> {
    let mut fields = std::mem::MaybeUninit::<libc::tm>::zeroed();
    let mut text = [0u8; 32];
    // SAFETY: `localtime_r` fills `fields`, which is valid (all zero) even if it fails; `strftime` writes at
    // most as many bytes as it is told and returns how many there are.
    let length = unsafe {
        libc::localtime_r(&second, fields.as_mut_ptr());
        libc::strftime(
            text.as_mut_ptr().cast(),
            text.len(),
            c"%d/%m/%y %H:%M:%S".as_ptr(),
            fields.as_ptr(),
        )
    };
    text[..length].to_vec()
}

/// Appends a line without its time.
pub fn write(source: u32, text: &[u8], line: &mut Vec<u8>) {
    let _ = write!(line, "[:{source:08x}] ");
    line.extend_from_slice(text);
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_it_came() {
        let mut line = Vec::new();
        write(0x0100_000a, b"a\0\xffb\nc", &mut line);
        assert_eq!(line, b"[:0100000a] a\0\xffb\nc\n");
    }

    #[test]
    fn time_in_front() {
        // Two days after the epoch, so that no zone makes it negative. Minutes of an offset are the zone's.
        let mut stamp = Stamp::new(172_800);
        let mut line = Vec::new();
        stamp.write(107, &mut line);
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.len(), "03/01/70 00:00:01.07 ".len());
        assert!(text.ends_with(":01.07 "), "{text}");
        assert!(text[2..].starts_with("/01/70 "), "{text}");
    }

    #[test]
    fn the_second_moves_on() {
        let mut stamp = Stamp::new(172_800);
        let mut seen = Vec::new();
        for now in [0, 99, 100, 5999] {
            let mut line = Vec::new();
            stamp.write(now, &mut line);
            seen.push(String::from_utf8(line).unwrap()[15..].to_owned());
        }
        assert_eq!(seen, ["00.00 ", "00.99 ", "01.00 ", "59.99 "]);
    }
}
