//! From the bytes that Redis sends, however they are cut, to its replies.

use redis::{Value, parse_redis_value};

/// A reply that is longer is none of ours: a record takes a few KiB.
const MAX_REPLY_BYTES: usize = 1024 * 1024;
/// Arrays in arrays: what `CLUSTER SLOTS` says has three.
const MAX_DEPTH: usize = 8;

#[derive(Default)]
pub struct Replies {
    /// The start of a reply.
    pending: Vec<u8>,
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
        let mut begun = std::mem::take(&mut self.pending);
        let mut rest = bytes;
        if !begun.is_empty() {
            begun.extend_from_slice(bytes);
            rest = &begun;
        }
        while let Some((reply, behind)) = value(rest, MAX_DEPTH)? {
            rest = behind;
            each(reply)?;
        }
        if rest.len() > MAX_REPLY_BYTES {
            return Err("a reply of endless length".into());
        }
        self.pending = rest.to_vec();
        Ok(())
    }
}

/// The reply (RESP2) at the start of these bytes, and what is behind it; `None` while it is not whole. Always read from
/// its first byte on: the redis crate's own parser goes on from where it stood, and then passes over a byte that begins
/// no reply if a read ends with it.
fn value(bytes: &[u8], depth: usize) -> Result<Option<(Value, &[u8])>, String> {
    let Some((kind, text)) = bytes.split_first() else { return Ok(None) };
    if !b"+-:$*".contains(kind) || depth == 0 {
        return Err(format!("no reply begins with {:?} here", char::from(*kind)));
    }
    let Some(end) = text.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&text[..end]).map_err(|_| "a line of a reply is no text")?;
    let mut rest = &text[end + 2..];
    let number = || line.parse::<i64>().map_err(|_| format!("{line:?} is no number"));
    let value = match kind {
        b'+' if line == "OK" => Value::Okay,
        b'+' => Value::SimpleString(line.to_owned()),
        b'-' => parse_redis_value(&bytes[..end + 3]).map_err(|fault| fault.to_string())?,
        b':' => Value::Int(number()?),
        _ if number()? == -1 => Value::Nil,
        _ => match usize::try_from(number()?) {
            Ok(length) if length > MAX_REPLY_BYTES => return Err("a reply of endless length".into()),
            Ok(length) if *kind == b'$' => match rest.split_at_checked(length) {
                Some((bytes, [b'\r', b'\n', behind @ ..])) => {
                    rest = behind;
                    Value::BulkString(bytes.to_vec())
                }
                Some((_, [] | [b'\r'])) | None => return Ok(None),
                Some(_) => return Err("a string of a reply does not end where it says".into()),
            },
            Ok(length) => {
                let mut values = Vec::new();
                while values.len() < length {
                    let Some((value, behind)) = value(rest, depth - 1)? else { return Ok(None) };
                    rest = behind;
                    values.push(value);
                }
                Value::Array(values)
            }
            Err(_) => return Err(format!("{line:?} is no length")),
        },
    };
    Ok(Some((value, rest)))
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

    /// Found by the fuzz target `redis`: what followed was taken for a reply.
    #[test]
    fn a_byte_that_begins_no_reply_is_not_passed_over_at_the_end_of_a_read() {
        let pieces = [&b"\0"[..], b"$1\r\na\r\n"];
        assert!(parsed(pieces).is_err() && parsed([&pieces.concat()[..]]).is_err());
        assert!(parsed([&b"*1\r\n\0"[..]]).is_err(), "nor in an array");
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
