//! Bytes as text: two digits each.

use std::fmt::{self, Display};

/// Bytes, as lower-case digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes that these digits, in either case, stand for. `None`: other characters are among them, or an odd number of digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let text = Hex(&bytes).to_string();
        assert!(text.starts_with("000102") && text.ends_with("fdfeff"), "{text}");
        assert_eq!((unhex(&text), unhex(&text.to_uppercase())), (Some(bytes.clone()), Some(bytes)));
        for bad in ["0", "0g", "00f", "\u{fc}"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
