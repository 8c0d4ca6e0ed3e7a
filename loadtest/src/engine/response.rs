//! Reads one HTTP response off the front of a buffer.

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseParse<'a> {
    /// More bytes are needed.
    Incomplete,
    /// Not an HTTP/1 response.
    Malformed,
    /// A whole one.
    Response {
        /// Its status.
        status: u16,
        /// Its `Location`.
        location: Option<&'a [u8]>,
        /// Whether the server ends the connection behind it.
        close: bool,
        /// Bytes it took.
        length: usize,
    },
}

/// How far a body goes.
enum BodyLength {
    Length(usize),
    Chunked,
}

/// Reads a response. `ended`: the server closed its side, so a body without a length is whole.
pub fn parse(buffer: &[u8], ended: bool) -> ResponseParse<'_> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let head = match response.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return ResponseParse::Incomplete,
        Err(_) => return ResponseParse::Malformed,
    };
    let (status, old) = (response.code.unwrap_or(0), response.version == Some(0));
    let (mut location, mut close, mut keep, mut body) = (None, false, false, None);
    for field in response.headers.iter() {
        match field.name.len() {
            8 if field.name.eq_ignore_ascii_case("location") => location = Some(field.value),
            10 if field.name.eq_ignore_ascii_case("connection") => {
                close |= field.value.eq_ignore_ascii_case(b"close");
                keep |= field.value.eq_ignore_ascii_case(b"keep-alive");
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let digits = std::str::from_utf8(field.value).ok().and_then(|text| text.trim().parse().ok());
                match digits {
                    Some(length) => body = body.or(Some(BodyLength::Length(length))),
                    None => return ResponseParse::Malformed,
                }
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => body = Some(BodyLength::Chunked),
            _ => {}
        }
    }
    let none = matches!(status, 100..=199 | 204 | 304);
    let rest = &buffer[head..];
    let taken = match body {
        _ if none => Some(0),
        Some(BodyLength::Length(length)) => (rest.len() >= length).then_some(length),
        Some(BodyLength::Chunked) => match chunks(rest) {
            Ok(taken) => taken,
            Err(()) => return ResponseParse::Malformed,
        },
        None => ended.then_some(rest.len()),
    };
    let close = close || (old && !keep) || (body.is_none() && !none);
    match taken {
        Some(taken) => ResponseParse::Response { status, location, close, length: head + taken },
        None => ResponseParse::Incomplete,
    }
}

/// The length of a chunked body (RFC 9112, section 7.1) without trailers; `None`: not all there yet.
fn chunks(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let mut at = 0;
    loop {
        match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete((line, size))) => {
                let end = at + line + size as usize + 2;
                if bytes.len() < end {
                    return Ok(None);
                }
                if &bytes[end - 2..end] != b"\r\n" {
                    return Err(());
                }
                if size == 0 {
                    return Ok(Some(end));
                }
                at = end;
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<(u16, Option<&str>, bool, usize)> {
        match parse(text.as_bytes(), false) {
            ResponseParse::Response { status, location, close, length } => {
                Some((status, location.map(|l| std::str::from_utf8(l).unwrap()), close, length))
            }
            _ => None,
        }
    }

    #[test]
    fn responses() {
        let redirect = "HTTP/1.1 302 Found\r\nLocation: https://a/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(whole(redirect), Some((302, Some("https://a/"), false, redirect.len())));
        assert_eq!(
            whole(&format!("{redirect}HTTP/1.1")),
            Some((302, Some("https://a/"), false, redirect.len()))
        );
        let body = "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\nConnection: close\r\n\r\n";
        assert_eq!(whole(&format!("{body}abcd")), None, "a short body is not whole");
        assert_eq!(whole(&format!("{body}abcde")), Some((404, None, true, body.len() + 5)));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), Some((200, None, false, chunked.len())));
        assert_eq!(whole(&chunked[..chunked.len() - 1]), None);
        let none = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(whole(none), Some((204, None, false, none.len())));
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(parse(text, false), ResponseParse::Incomplete);
        assert!(matches!(parse(text, true), ResponseParse::Response { length: 22, close: true, .. }));
    }

    #[test]
    fn what_is_no_response() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 302 Found\r\nContent-Length: x\r\n\r\n", "\0\0\0"] {
            assert_eq!(parse(text.as_bytes(), false), ResponseParse::Malformed, "{text}");
        }
    }
}
