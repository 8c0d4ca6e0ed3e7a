//! Which node of a Redis Cluster has which shard.

use crate::redis::Node;
use feed::relay::Shard;
use redis::Value;
use std::ops::RangeInclusive;

const SLOTS: u16 = 16_384;

/// Slots and the node that has them.
pub type SlotMap = Vec<(RangeInclusive<u16>, Node)>;

/// The slot of all names of a shard: that of what stands in their braces.
pub fn slot(shard: Shard) -> u16 {
    crc16(shard.to_string().as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the specification of the cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 })
    })
}

/// What `CLUSTER SLOTS` says; `asked` is the host of the node that said it, which need not know its own name. `None`
/// for anything else. A node that nobody can name is left out.
pub fn map(said: &Value, asked: &str) -> Option<SlotMap> {
    let Value::Array(rows) = said else { return None };
    let row = |row: &Value| {
        let Value::Array(row) = row else { return None };
        let [Value::Int(from), Value::Int(to), Value::Array(node), ..] = &row[..] else { return None };
        let (host, Value::Int(port)) = (node.first()?, node.get(1)?) else { return None };
        let host = match host {
            Value::BulkString(host) if host.is_empty() => asked,
            Value::BulkString(host) => std::str::from_utf8(host).ok().filter(|host| *host != "?")?,
            _ => asked,
        };
        let node = Node { host: host.to_owned(), port: u16::try_from(*port).ok()? };
        Some((u16::try_from(*from).ok()?..=u16::try_from(*to).ok()?, node))
    };
    Some(rows.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster() {
        // The specification's own check, and what CLUSTER KEYSLOT says of the second.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b"user1000") % SLOTS, 3443);
        assert_eq!(slot(Shard { number: 3, of: 8 }), crc16(b"3/8") % SLOTS);
    }

    #[test]
    fn a_map_is_read_and_nothing_else() {
        let node = |host: Value| Value::Array(vec![host, Value::Int(7), Value::Nil]);
        let row = |host| Value::Array(vec![Value::Int(0), Value::Int(9), node(host)]);
        let text = |text: &str| Value::BulkString(text.into());
        let read = |host| map(&Value::Array(vec![row(host)]), "asked").unwrap();
        let of = |host: &str| vec![(0..=9, Node { host: host.to_owned(), port: 7 })];
        assert_eq!(read(text("10.0.0.1")), of("10.0.0.1"));
        assert_eq!((read(text("")), read(Value::Nil)), (of("asked"), of("asked")));
        assert_eq!(read(text("?")), []);
        assert_eq!(map(&Value::Array(vec![Value::Nil]), "asked"), Some(vec![]));
        assert_eq!(map(&Value::Okay, "asked"), None);
    }
}
