//! What a key looks like: `lk_`, 43 characters of chance, 6 of a checksum. Only its hash is ever stored.

use sha2::{Digest, Sha256};

const PREFIX: &str = "lk_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62⁴³ is above 2²⁵⁶, 62⁶ above 2³².
const RANDOM: usize = 43;
const CHECK: usize = 6;

/// SHA-256 of a key. Nothing slower is needed for 256 bits of chance.
pub type Hash = [u8; 32];

/// A key as its owner holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A new one.
    pub fn new() -> Self {
        let random = base62::<RANDOM>(&store::random::bytes::<32>());
        Self(format!("{PREFIX}{random}{}", checksum(&random)))
    }

    /// One that was given; `None` if a character of it is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX).filter(|rest| rest.len() == RANDOM + CHECK)?;
        let (random, check) = rest.split_at_checked(RANDOM)?;
        (rest.bytes().all(|b| b.is_ascii_alphanumeric()) && checksum(random) == check)
            .then(|| Self(text.to_owned()))
    }

    /// For its owner, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored and looked for.
    pub fn hash(&self) -> Hash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The name of the key, which is no secret: it says a quarter of the hash, and a hash says nothing of a key.
    pub fn id(&self) -> String {
        self.hash()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The id that the certificate of an edge has among the keys, and a hash that no key has: none begins so.
pub fn of_edge(edge: &str) -> (String, Hash) {
    let id = format!("edge:{edge}");
    let hash = Sha256::digest(id.as_bytes()).into();
    (id, hash)
}

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

fn checksum(random: &str) -> String {
    base62::<CHECK>(&crc32fast::hash(random.as_bytes()).to_be_bytes())
}

/// A number, its highest byte first, in `LEN` digits.
fn base62<const LEN: usize>(number: &[u8]) -> String {
    let mut number = number.to_vec();
    let mut digits = [b'0'; LEN];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 62) as u8; // below 256, as rest is below 62
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

/// A key by chance that shares `right` characters of chance with another.
#[cfg(test)]
pub fn like(other: &str, right: usize) -> String {
    let own = Secret::new();
    let random = format!("{}{}", &other[3..3 + right], &own.0[3 + right..3 + RANDOM]);
    format!("{PREFIX}{random}{}", checksum(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_62() {
        assert_eq!(base62::<6>(&[0; 4]), "000000");
        assert_eq!(base62::<6>(&[0, 0, 0, 61]), "00000z");
        assert_eq!(base62::<6>(&[0, 0, 0, 62]), "000010");
        assert_eq!(base62::<6>(&[255; 4]), "4gfFC3"); // 2³² - 1
        assert!(!base62::<43>(&[255; 32]).starts_with('0'), "2²⁵⁶ - 1 needs them all");
    }

    #[test]
    fn a_slip_of_one_character_is_no_key() {
        let secret = Secret::new();
        let text = secret.reveal();
        assert_eq!(Secret::parse(text), Some(secret.clone()));
        assert_eq!(secret.id().len(), 16);
        for at in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(Secret::parse(std::str::from_utf8(&wrong).unwrap()), None, "{at}");
        }
        for wrong in [
            "",
            "lk_",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}a"),
            &format!("lk_{}", "é".repeat(24)),
        ] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
        assert!(!format!("{secret:?}").contains(&text[3..]));
    }
}
