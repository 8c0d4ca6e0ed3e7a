//! Between the messages of the feed and the types that decide.

use crate::v1;
use feed::Proof;
use link::{Change, ChangeKind, Epoch, Position};

/// A peer sent a message that the protocol does not allow: the field at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedMessage(pub &'static str);

impl std::fmt::Display for MalformedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the peer sent a malformed {}", self.0)
    }
}

impl std::error::Error for MalformedMessage {}

/// As it travels.
pub fn epoch_to_wire(epoch: Epoch) -> v1::Epoch {
    v1::Epoch { counter: epoch.counter, random: epoch.random }
}

/// As it arrived.
///
/// # Errors
/// [`MalformedMessage`] when it is missing.
pub fn epoch_from_wire(epoch: Option<&v1::Epoch>) -> Result<Epoch, MalformedMessage> {
    epoch.map(|epoch| Epoch { counter: epoch.counter, random: epoch.random }).ok_or(MalformedMessage("epoch"))
}

/// As it travels.
pub fn proof_to_wire(proof: &Proof) -> v1::Proof {
    let Position { epoch, seq, tag } = proof.position;
    v1::Proof { epoch: Some(epoch_to_wire(epoch)), seq, tag, seal: proof.seal.to_vec().into() }
}

/// As it arrived; `None` for one that no control can have made, which is as good as none.
pub fn proof_from_wire(proof: Option<&v1::Proof>) -> Option<Proof> {
    let proof = proof?;
    let epoch = epoch_from_wire(proof.epoch.as_ref()).ok()?;
    let position = Position { epoch, seq: proof.seq, tag: proof.tag };
    Some(Proof { position, seal: proof.seal[..].try_into().ok()? })
}

/// As it travels. The bytes are shared, not copied.
pub fn change_to_wire(change: &Change) -> v1::Change {
    v1::Change {
        seq: change.seq,
        tag: change.tag,
        kind: u32::from(change.kind.0),
        key: change.key.clone(),
        record: change.record.clone(),
    }
}

/// As it arrived.
///
/// # Errors
/// [`MalformedMessage`] when its kind is no byte.
pub fn change_from_wire(change: v1::Change) -> Result<Change, MalformedMessage> {
    let kind = u8::try_from(change.kind).map_err(|_| MalformedMessage("change.kind"))?;
    Ok(Change {
        seq: change.seq,
        tag: change.tag,
        kind: ChangeKind(kind),
        key: change.key,
        record: change.record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_back() {
        let change = Change { seq: 7, tag: 9, kind: ChangeKind(0x83), key: "k".into(), record: "r".into() };
        assert_eq!(change_from_wire(change_to_wire(&change)), Ok(change.clone()));
        let wrong = v1::Change { kind: 256, ..change_to_wire(&change) };
        assert_eq!(change_from_wire(wrong), Err(MalformedMessage("change.kind")));
    }
}
