//! Replies of Redis: the same however they arrive, and the same as the redis crate finds in the whole.

use super::pieces;
use crate::replies::Replies;
use bytes::Bytes;
use feed::relay::{self, RedisQuestion, Shard};
use redis::{Parser, Value};

/// The first two bytes say how the rest is cut.
pub fn run(data: &[u8]) {
    let Some((&[one, other], stream)) = data.split_first_chunk() else { return };
    let whole = read([stream]);
    let sizes = [1 + usize::from(one), 1 + usize::from(other)];
    for (how, cut) in [("byte by byte", read(stream.chunks(1))), ("in pieces", read(pieces(stream, &sizes)))]
    {
        assert_eq!(cut, whole, "{how}: {}", stream.escape_ascii());
    }
    // What the redis crate refuses is never taken, and what both take is the same. It takes more: the types of RESP3,
    // which nobody asks Redis for, lengths below -1, and arrays in arrays without an end that we would use.
    let (mut parser, mut input) = (Parser::new(), stream);
    for reply in &whole.0 {
        let other = parser.parse_value(&mut input).map(|value| format!("{value:?}"));
        assert_eq!(other.ok().as_ref(), Some(reply), "{}", stream.escape_ascii());
    }
}

/// Every reply, as text, and whether more may follow.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
    let (mut replies, mut all) = (Replies::default(), Vec::new());
    let mut each = |value: Value| {
        all.push(format!("{value:?}"));
        understand(value);
        Ok(())
    };
    let good = pieces.into_iter().all(|piece| replies.feed(piece, &mut each).is_ok());
    (all, good)
}

/// As a worker does with what it asked for.
fn understand(value: Value) {
    let Value::Array(values) = value else { return };
    let Ok(replies) = <[Value; 2]>::try_from(values) else { return };
    let bytes = |value| if let Value::BulkString(bytes) = value { Some(Bytes::from(bytes)) } else { None };
    let (copy, told) = relay::told(&RedisQuestion::new(Shard::ONE, 5, b"\0\0\0\0a"), &replies.map(bytes));
    assert!(told.is_none() || copy == Some(5));
}

/// What Redis says, old protocol and new.
pub fn seeds() -> Vec<Vec<u8>> {
    let position = relay::CopyPosition {
        at: link::Position { epoch: link::Epoch { counter: 1, random: 7 }, seq: 9, tag: 3 },
        copy: 5,
    };
    let mut answer = b"*2\r\n$32\r\n".to_vec();
    answer.extend_from_slice(&position.encode());
    answer.extend_from_slice(b"\r\n$10\r\n\0\0\0\0\0\0\0\x09re\r\n");
    let texts: [&[u8]; 12] = [
        &answer,
        b"+OK\r\n:42\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n",
        b"-ERR no\r\n-MOVED 1 h:1\r\n-ASK 1 h:1\r\n-CLUSTERDOWN x\r\n-TRYAGAIN\r\n",
        b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$1\r\nh\r\n:7\r\n$40\r\n0123456789012345678901234567890123456789\r\n",
        b"%1\r\n+a\r\n:1\r\n~1\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n",
        b"_\r\n#t\r\n,1.5\r\n,inf\r\n,nan\r\n(123456789012345678901234567890\r\n",
        b"=7\r\ntxt:abc\r\n!5\r\nERR x\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n",
        b"*1000000000\r\n",
        b"$999999999\r\nx",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        b"HTTP/1.1 400\r\n",
        b"$-2\r\n*-2\r\n:-9223372036854775808\r\n",
    ];
    texts.iter().map(|text| [&[3, 1], *text].concat()).collect()
}
