//! Which trace a request belongs to, as it says itself: W3C Trace Context, level 1. Whose word counts is asked elsewhere.

use super::hex::Hex;
use std::fmt::{self, Display};

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// Who asks: the span that ours are under.
    pub span: [u8; 8],
    /// Whoever asks keeps its part of the trace.
    pub sampled: bool,
}

/// Of version 00.
const LENGTH: usize = 55;
/// A `tracestate` that is longer may be left out (section 3.3.1.5).
const STATE_BYTES: usize = 512;

impl TraceContext {
    /// What the value of the field says; `None`: nothing that the specification allows. Of a later version what stands where
    /// version 00 has it is read, and the rest passed over (section 3.2.4).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (own, more) = text.split_at_checked(LENGTH)?;
        let dashes = [own[2], own[35], own[52]] == [b'-'; 3];
        let [version] = hex(&own[..2])?;
        let legal = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.first().is_none_or(|next| *next == b'-'),
        };
        let (trace, span) = (hex(&own[3..35])?, hex(&own[36..52])?);
        let [flags] = hex(&own[53..])?;
        let real = trace != [0; 16] && span != [0; 8];
        (dashes && legal && real).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// As `traceparent` has it, in version 00.
impl Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(&self.trace), Hex(&self.span), u8::from(self.sampled))
    }
}

/// What `tracestate` says, if it can be passed on as it is; what cannot is left out, as the specification allows.
pub fn trace_state(text: &[u8]) -> Option<&str> {
    let good = (1..=STATE_BYTES).contains(&text.len()) && text.iter().all(|b| (b' '..=b'~').contains(b));
    std::str::from_utf8(text).ok().filter(|_| good)
}

/// Lower-case digits, two for each byte.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_legal_comes_back_as_it_was() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_string(), GOOD);
        let not = TraceContext::parse(GOOD.replace("-01", "-fe").as_bytes()).unwrap();
        assert!(!not.sampled, "the other flags are not ours");
        assert_eq!((not.trace, not.span), (context.trace, context.span));
        for later in ["-01", "-01-what-comes"] {
            let later = GOOD.replace("00-", "cc-").replace("-01", later);
            assert_eq!(TraceContext::parse(later.as_bytes()), Some(context), "{later}");
        }
    }

    #[test]
    fn what_is_not_legal_is_nothing() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_is_passed_on_or_left_out() {
        assert_eq!(
            trace_state(b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        for wrong in [&b""[..], b"a=\r\nX: 1", b"a=\xff", &[b'a'; STATE_BYTES + 1]] {
            assert_eq!(trace_state(wrong), None);
        }
    }
}
