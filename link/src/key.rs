//! The key of a link in the log, in every copy and in every set.

use crate::{Code, DomainId, is_code};

/// Domain id (u32, big-endian), then the code's bytes: at most [`Key::MAX_LEN`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

/// These bytes are no key of a link: the fault of whoever stored or sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFault;

impl Key {
    /// Bytes.
    pub const MAX_LEN: usize = 4 + Code::MAX_LEN;

    /// The key of a code in a domain.
    pub fn new(domain: DomainId, code: &Code) -> Self {
        Self([&domain.prefix(), code.as_str().as_bytes()].concat().into())
    }

    /// A key that came from the log, a copy or a peer.
    ///
    /// # Errors
    /// [`KeyFault`] unless it is four bytes and a code.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyFault> {
        match bytes.split_at_checked(4) {
            Some((_, code)) if is_code(code) => Ok(Self(bytes.into())),
            _ => Err(KeyFault),
        }
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The domain's number.
    pub fn domain(&self) -> DomainId {
        DomainId(u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]))
    }

    /// The code's bytes.
    pub fn code(&self) -> &[u8] {
        &self.0[4..]
    }
}

impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "is not the key of a link")
    }
}

impl std::error::Error for KeyFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let key = Key::new(DomainId(258), &Code::new("a/b").unwrap());
        assert_eq!(key.as_bytes(), b"\x00\x00\x01\x02a/b");
        assert_eq!((key.domain(), key.code()), (DomainId(258), &b"a/b"[..]));
        assert_eq!(Key::from_bytes(key.as_bytes()), Ok(key));
        for wrong in [&b""[..], b"\0\0\0", b"\0\0\0\0", b"\0\0\0\0a b", b"\0\0\0\0/a", b"\0\0\0\0\xff"] {
            assert_eq!(Key::from_bytes(wrong), Err(KeyFault));
        }
    }
}
