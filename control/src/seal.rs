//! The seal under a position (R2): HMAC-SHA-256 (RFC 2104) under a secret that all controls of a store share, cut to 128
//! bits. Whoever shows one was told that position by one of them.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use feed::Proof;
use link::Position;
use store::port::SECRET;

/// Says what is sealed, so that no other use of the secret can ever mean the same.
const WHAT: &[u8; 16] = b"linkr position 1";

/// Makes and checks proofs.
pub struct Seal(Key);

impl Seal {
    /// That of a store.
    pub fn new(secret: &[u8; SECRET]) -> Self {
        Self(Key::new(HMAC_SHA256, secret))
    }

    /// What an edge can show of a position that this store has had.
    pub fn prove(&self, position: Position) -> Proof {
        Proof { position, seal: self.of(position) }
    }

    /// Whether a control of this store made it.
    pub fn is_good(&self, proof: &Proof) -> bool {
        verify_slices_are_equal(&self.of(proof.position), &proof.seal).is_ok()
    }

    fn of(&self, Position { epoch, seq, tag }: Position) -> [u8; 16] {
        let mut text = [0; 40];
        text[..16].copy_from_slice(WHAT);
        text[16..20].copy_from_slice(&epoch.counter.to_be_bytes());
        text[20..24].copy_from_slice(&epoch.random.to_be_bytes());
        text[24..32].copy_from_slice(&seq.to_be_bytes());
        text[32..].copy_from_slice(&tag.to_be_bytes());
        let mut seal = [0; 16];
        seal.copy_from_slice(&sign(&self.0, &text).as_ref()[..16]);
        seal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::Epoch;

    #[test]
    fn only_what_was_sealed_is_good() {
        let (seal, other) = (Seal::new(&[7; SECRET]), Seal::new(&[8; SECRET]));
        let position = Position { epoch: Epoch { counter: 3, random: 9 }, seq: 5, tag: 11 };
        let proof = seal.prove(position);
        // Golden: proofs lie in files of edges, so they must stay good.
        let hex: String = proof.seal.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7e5ded58b462b8bd1642c5ad0c802cc0");
        assert!(seal.is_good(&proof) && !other.is_good(&proof));
        let epoch = |counter, random| Epoch { counter, random };
        for forged in [
            Position { epoch: epoch(4, 9), ..position },
            Position { epoch: epoch(3, 8), ..position },
            Position { seq: 6, ..position },
            Position { tag: 10, ..position },
        ] {
            assert!(!seal.is_good(&Proof { position: forged, ..proof }));
        }
        for bit in 0..128 {
            let mut changed = proof;
            changed.seal[bit / 8] ^= 1 << (bit % 8);
            assert!(!seal.is_good(&changed));
        }
    }
}
