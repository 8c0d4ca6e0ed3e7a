//! Page tokens: a place in a list with a checksum over it and what was asked. A token of another list is refused rather than
//! answered with something that looks right.

use super::fnv;
use std::fmt::Write;

/// The token of a place in the list that `asked` says.
pub fn of(place: &[u8], asked: &[u8]) -> String {
    let mut token = format!("{:08x}", checksum(place, asked));
    for byte in place {
        let _ = write!(token, "{byte:02x}"); // a String takes all
    }
    token
}

/// The place that a token of that list names.
pub fn place(token: &str, asked: &[u8]) -> Option<Vec<u8>> {
    let (sum, text) = token.split_at_checked(8)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8))
        .collect();
    bytes.filter(|bytes| format!("{:08x}", checksum(bytes, asked)) == sum)
}

fn checksum(place: &[u8], asked: &[u8]) -> u32 {
    fnv(&[place, asked].concat()) as u32
}
