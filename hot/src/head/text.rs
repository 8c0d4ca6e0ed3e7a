//! What names and values of fields are made of.

use crate::limits::MAX_REQUEST_ID_BYTES;

/// Whether this is a token (RFC 9110, section 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

/// Whether a request id is echoed.
pub fn is_request_id(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Without the optional white space of RFC 9110, section 5.6.3.
#[inline]
pub fn trim(value: &[u8]) -> &[u8] {
    match value {
        // Nearly every value: one space in front.
        [b' ', value @ ..] if !matches!(value, [] | [b' ' | b'\t', ..] | [.., b' ' | b'\t']) => value,
        _ => trim_any(value),
    }
}

#[cold]
fn trim_any(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether a byte may stand in a token.
#[inline]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

const fn table(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < more.len() {
        table[more[at] as usize] = true;
        at += 1;
    }
    table
}
