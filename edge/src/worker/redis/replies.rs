//! From the bytes that Redis sends, however they are cut, to its replies.

use redis::{Parser, RedisError, Value};
use std::io::{self, Read};

/// A reply that is longer is none of ours: a record takes a few KiB.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// See the module.
#[derive(Default)]
pub struct Replies {
    parser: Parser,
    /// Bytes since the last whole reply, at least.
    pending: usize,
}

impl Replies {
    /// Takes what was received, and hands over every reply that is whole now.
    ///
    /// # Errors
    /// In words: this is not what Redis speaks, or what `each` says. Nothing behind it can be told apart.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Value) -> Result<(), String>,
    ) -> Result<(), String> {
        self.pending += bytes.len();
        let mut source = Received(bytes);
        loop {
            match self.parser.parse_value(&mut source) {
                Ok(value) => {
                    self.pending = source.0.len();
                    each(value)?;
                }
                Err(fault) if is_out_of_bytes(&fault) && self.pending <= MAX_REPLY_BYTES => return Ok(()),
                Err(fault) if is_out_of_bytes(&fault) => return Err("a reply of endless length".into()),
                Err(fault) => return Err(fault.to_string()),
            }
        }
    }
}

/// The parser keeps what it has read so far, and goes on from there.
fn is_out_of_bytes(fault: &RedisError) -> bool {
    fault.is_io_error() && fault.is_timeout()
}

/// More will come: the end of this is not the end.
struct Received<'a>(&'a [u8]);

impl Read for Received<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Value>, String> {
        let (mut replies, mut all) = (Replies::default(), Vec::new());
        for piece in pieces {
            replies.feed(piece, |value| {
                all.push(value);
                Ok(())
            })?;
        }
        Ok(all)
    }

    /// As Redis writes it.
    fn written(reply: &Value, out: &mut Vec<u8>) {
        match reply {
            Value::Nil => out.extend(b"$-1\r\n"),
            Value::Okay => out.extend(b"+OK\r\n"),
            Value::Int(number) => out.extend(format!(":{number}\r\n").bytes()),
            Value::BulkString(bytes) => {
                out.extend(format!("${}\r\n", bytes.len()).bytes());
                out.extend_from_slice(bytes);
                out.extend(b"\r\n");
            }
            Value::Array(values) => {
                out.extend(format!("*{}\r\n", values.len()).bytes());
                values.iter().for_each(|value| written(value, out));
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn reply() -> impl Strategy<Value = Value> {
        let bulk =
            prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$'), any::<u8>()], 0..40);
        let one = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            bulk.prop_map(Value::BulkString)
        ];
        prop_oneof![one.clone(), prop::collection::vec(one, 0..4).prop_map(Value::Array)]
    }

    proptest! {
        #[test]
        fn replies_cut_anywhere_are_the_same(all in prop::collection::vec(reply(), 1..5), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut bytes = Vec::new();
            all.iter().for_each(|reply| written(reply, &mut bytes));
            prop_assert_eq!(parsed([&bytes[..]]).unwrap(), all.clone());
            for at in 0..=bytes.len() {
                prop_assert_eq!(parsed([&bytes[..at], &bytes[at..]]).unwrap(), all.clone(), "cut at {}", at);
            }
            prop_assert_eq!(parsed(bytes.chunks(1)).unwrap(), all.clone());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([bytes.len()]);
            let pieces = ends.scan(0, |from, to| Some(&bytes[std::mem::replace(from, to)..to]));
            prop_assert_eq!(parsed(pieces).unwrap(), all);
        }

        #[test]
        fn whatever_comes_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parsed([&bytes[..]]);
        }
    }

    #[test]
    fn an_error_is_a_reply_and_nonsense_is_the_end() {
        let replies = parsed([&b"-ERR no\r\n-MOVED 1 h:1\r\n"[..]]).unwrap();
        let codes = replies.iter().map(|reply| match reply {
            Value::ServerError(fault) => fault.code(),
            other => panic!("{other:?}"),
        });
        assert_eq!(codes.collect::<Vec<_>>(), ["ERR", "MOVED"]);
        assert!(parsed([&b"HTTP/1.1 400\r\n"[..]]).is_err());
        let long = [b"$999999999\r\n".to_vec(), vec![0; MAX_REPLY_BYTES]].concat();
        assert!(parsed(long.chunks(4096)).is_err(), "memory is bounded");
    }
}
