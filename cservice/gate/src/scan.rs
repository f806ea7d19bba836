//! Reading numbers and words from text the way `strtol` and `scanf` do, which is what senders of gate
//! text were written against: leading blanks are skipped, and a number ends at the first byte that does
//! not belong to it.

/// A cursor over text.
#[derive(Clone, Copy)]
pub struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The next byte, blanks included.
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next word: everything up to white space.
    pub fn word(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let end = self.rest.iter().position(u8::is_ascii_whitespace);
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// The next decimal number; what lies beyond the range of a C `int` is cut to that range.
    pub fn int(&mut self) -> Option<i32> {
        self.skip_space();
        let (negative, signed) = match self.rest.first() {
            Some(b'-') => (true, 1),
            Some(b'+') => (false, 1),
            _ => (false, 0),
        };
        let digits = &self.rest[signed..];
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let mut value = 0i64;
        for digit in &digits[..count] {
            value = (value * 10 + i64::from(digit - b'0')).min(1 << 40);
        }
        self.rest = &digits[count..];
        let value = if negative { -value } else { value };
        Some(value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

/// The number at the start of `text`, 0 if there is none.
pub fn leading_int(text: &[u8]) -> i32 {
    Scanner::new(text).int().unwrap_or(0)
}

/// A service handle written `:hex`. Whatever the first character is, it is not looked at; no digit gives 0.
pub fn handle(text: &[u8]) -> u32 {
    let digits = text.get(1..).unwrap_or_default();
    let digits = match digits {
        [b'0', b'x' | b'X', rest @ ..] => rest,
        all => all,
    };
    digits
        .iter()
        .map_while(|&b| char::from(b).to_digit(16))
        .fold(0u32, |value, digit| value << 4 | digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_strtol_ends() {
        assert_eq!(leading_int(b"12"), 12);
        assert_eq!(leading_int(b"  -7x"), -7);
        assert_eq!(leading_int(b"+5 6"), 5);
        assert_eq!(leading_int(b"x1"), 0);
        assert_eq!(leading_int(b"-"), 0);
        assert_eq!(leading_int(b""), 0);
        assert_eq!(leading_int(b"0x10"), 0);
    }

    #[test]
    fn numbers_are_cut_to_int() {
        assert_eq!(leading_int(b"2147483648"), i32::MAX);
        assert_eq!(leading_int(b"-99999999999999999999999"), i32::MIN);
    }

    #[test]
    fn words_and_numbers_in_a_row() {
        let mut scan = Scanner::new(b"S\t!x  :80 8x 10");
        assert_eq!(scan.byte(), Some(b'S'));
        assert_eq!(scan.word(), Some(&b"!x"[..]));
        assert_eq!(scan.word(), Some(&b":80"[..]));
        assert_eq!(scan.int(), Some(8));
        assert_eq!(scan.int(), None);
        assert_eq!(scan.word(), Some(&b"x"[..]));
        assert_eq!(scan.int(), Some(10));
        assert_eq!(scan.word(), None);
        assert_eq!(scan.byte(), None);
    }

    #[test]
    fn handles() {
        assert_eq!(handle(b":0100000a"), 0x0100_000a);
        assert_eq!(handle(b":0XfF"), 0xff);
        assert_eq!(handle(b"?12zz"), 0x12);
        assert_eq!(handle(b":"), 0);
        assert_eq!(handle(b""), 0);
    }
}
