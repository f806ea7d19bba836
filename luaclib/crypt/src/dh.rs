//! Diffie-Hellman in the multiplicative group modulo 2^64 - 59, with generator 5.
//!
//! Far too small a group to keep secrets from anybody who tries; it is the one that deployed clients use.

use crate::Error;

/// The largest prime below 2^64.
const P: u64 = u64::MAX - 58;
const G: u64 = 5;

/// The public number for the secret number `x`.
pub fn exchange(x: u64) -> Result<u64, Error> {
    if x == 0 {
        return Err(Error::Zero);
    }
    Ok(power(G, x))
}

/// The secret that both sides share, from the other side's public number and the own secret one.
pub fn secret(public: u64, own: u64) -> Result<u64, Error> {
    if public == 0 || own == 0 {
        return Err(Error::Zero);
    }
    Ok(power(public, own))
}

fn multiply(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(P)) as u64
}

/// Square and multiply from the low end of the exponent.
fn power(base: u64, mut exponent: u64) -> u64 {
    let mut square = base % P;
    let mut result = 1;
    while exponent != 0 {
        if exponent & 1 == 1 {
            result = multiply(result, square);
        }
        square = multiply(square, square);
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
    const B: u64 = u64::from_le_bytes(*b"abcdefgh");

    #[test]
    fn both_sides_agree() {
        let (a, b) = (exchange(A).unwrap(), exchange(B).unwrap());
        assert_eq!(
            a,
            u64::from_be_bytes([0x98, 0x4e, 0x14, 0x18, 0x28, 0x32, 0x35, 0xed]).swap_bytes()
        );
        assert_eq!(secret(a, B), secret(b, A));
        assert_eq!(
            secret(a, B).unwrap().to_le_bytes(),
            [0xe1, 0x8a, 0x5f, 0xf6, 0xf1, 0x57, 0x69, 0xce]
        );
    }

    #[test]
    fn edges_of_the_group() {
        assert_eq!(exchange(1), Ok(5));
        assert_eq!(exchange(0), Err(Error::Zero));
        assert_eq!(secret(0, 1), Err(Error::Zero));
        assert_eq!(secret(1, 0), Err(Error::Zero));
        assert_eq!(secret(P, B), Ok(0));
        assert_eq!(secret(P + 1, B), Ok(1));
        // Fermat: x^(p-1) = 1.
        assert_eq!(exchange(P - 1), Ok(1));
        assert_eq!(secret(P - 1, 3), Ok(P - 1));
    }
}
