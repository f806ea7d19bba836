//! What a function of the module can refuse. `lua` turns each case into upstream's message.

/// Why an input was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Hexadecimal text with an odd number of digits; the length.
    HexLength(usize),
    /// A character that is not a lower-case hexadecimal digit.
    HexDigit,
    /// A base64 group with misplaced padding or with stray low bits.
    Base64,
    /// A DES key that is not eight bytes; the length.
    KeyLength(usize),
    /// An unknown padding mode; the number given.
    PaddingMode(i32),
    /// A cipher text that is empty or not whole blocks; the length.
    CipherLength(usize),
    /// A padding that does not fit the mode: wrong key, wrong mode or damaged text.
    CipherText,
    /// Zero where the group needs a number other than zero.
    Zero,
    /// An empty key for `xor_str`.
    EmptyKey,
    /// The system gave no random bytes.
    Random,
}
