//! Reads one reply of Redis off the front of a buffer, as if it were a redirect to the value: what is compared with a
//! redirector is driven, judged and timed by the same code.

use super::response::ResponseParse;

/// Of an error.
const LONGEST_LINE: usize = 512;

/// A whole reply, of those that a GET has: a value, none, or an error.
pub fn parse(buffer: &[u8], _ended: bool) -> ResponseParse<'_> {
    let line = buffer.iter().position(|&byte| byte == b'\r').filter(|line| buffer.len() > line + 1);
    let Some(line) = line else {
        return if buffer.len() < LONGEST_LINE {
            ResponseParse::Incomplete
        } else {
            ResponseParse::Malformed
        };
    };
    let whole = |status, location, length| ResponseParse::Response { status, location, close: false, length };
    match (buffer[0], &buffer[1..line]) {
        (b'-', _) => whole(500, None, line + 2),
        (b'$', b"-1") => whole(404, None, line + 2),
        (b'$', digits) => {
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<usize>().ok());
            let Some(end) = length.map(|length| line + 2 + length) else { return ResponseParse::Malformed };
            match buffer.get(line + 2..end) {
                Some(value) if buffer.len() >= end + 2 => whole(302, Some(value), end + 2),
                _ => ResponseParse::Incomplete,
            }
        }
        _ => ResponseParse::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let value = b"$3\r\na\rb\r\n$-1\r\n";
        let whole =
            |status, location, length| ResponseParse::Response { status, location, close: false, length };
        assert_eq!(parse(value, false), whole(302, Some(&b"a\rb"[..]), 9));
        assert_eq!(parse(&value[9..], false), whole(404, None, 5));
        assert_eq!(parse(b"-ERR no\r\n", false), whole(500, None, 9));
        for cut in 0..9 {
            assert_eq!(parse(&value[..cut], false), ResponseParse::Incomplete, "{cut}");
        }
        for cut in 10..14 {
            assert_eq!(parse(&value[9..cut], false), ResponseParse::Incomplete, "{cut}");
        }
        for other in [&b"HTTP/1.1 200 OK\r\n"[..], b"$x\r\n", b":1\r\n"] {
            assert_eq!(parse(other, false), ResponseParse::Malformed);
        }
    }
}
