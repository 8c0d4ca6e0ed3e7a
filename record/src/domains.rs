//! The record of a domain: the head of record v1, with flags and fields of its own.
//!
//! ```text
//! u16  flags             bit 0 codes without case, 1 strict hosts, 5–6 class, the others zero
//! fields                 2 name · 4 target instead of a 404
//! ```

use crate::RecordFault;
use crate::links::{HEAD, LAYOUT, Parts, fields, split};
use bytes::Bytes;
use link::{Class, Domain, DomainRules, Seq, Target};

const NAME: u8 = 2;
const NOT_FOUND: u8 = 4;

const FOLD_CASE: u16 = 1;
const STRICT_HOSTS: u16 = 1 << 1;
const ALL_FLAGS: u16 = FOLD_CASE | STRICT_HOSTS | 3 << 5;

/// The bytes of a domain at a version (below 2⁴⁸).
pub fn encode_domain(version: Seq, rules: &DomainRules) -> Bytes {
    let mut out = Vec::with_capacity(64);
    out.push(LAYOUT);
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes()[2..]);
    let flags = (rules.class as u16) << 5
        | if rules.fold_case { FOLD_CASE } else { 0 }
        | if rules.strict_hosts { STRICT_HOSTS } else { 0 };
    out.extend_from_slice(&flags.to_be_bytes());
    let mut own = vec![(NAME, rules.name.as_str().as_bytes())];
    own.extend(rules.not_found.as_ref().map(|target| (NOT_FOUND, target.as_bytes())));
    let mut unknown = fields(&rules.unknown).peekable();
    for (tag, value) in own {
        while let Some(field) = unknown.next_if(|field| field.tag < tag) {
            out.extend_from_slice(field.whole);
        }
        out.push(tag);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes()); // a target is the longest: 8 KiB
        out.extend_from_slice(value);
    }
    unknown.for_each(|field| out.extend_from_slice(field.whole));
    out.into()
}

/// The version and the domain in these bytes.
///
/// # Errors
/// [`RecordFault`]; what is said of the domain then is not known, but perhaps its [`domain_name`].
pub fn decode_domain(bytes: &[u8]) -> Result<(Seq, DomainRules), RecordFault> {
    use RecordFault::{Malformed, TooNew};
    let Parts { version, flags, body } = split(bytes, ALL_FLAGS)?;
    let (mut name, mut not_found, mut unknown) = (None, None, Vec::new());
    let (mut last, mut rest) = (0, body.len());
    for field in fields(body) {
        if field.tag <= last {
            return Err(Malformed("order of fields"));
        }
        (last, rest) = (field.tag, rest - field.whole.len());
        match field.tag {
            NAME => name = Some(domain(field.value).ok_or(Malformed("name"))?),
            NOT_FOUND => not_found = Some(Target::stored(field.value).map_err(|_| Malformed("not_found"))?),
            even if even % 2 == 0 => return Err(TooNew),
            _ => unknown.extend_from_slice(field.whole),
        }
    }
    if rest != 0 {
        return Err(Malformed("end of a field"));
    }
    let rules = DomainRules {
        name: name.ok_or(Malformed("name"))?,
        fold_case: flags & FOLD_CASE != 0,
        strict_hosts: flags & STRICT_HOSTS != 0,
        class: *Class::ALL.get(usize::from(flags >> 5 & 3)).ok_or(Malformed("class"))?,
        not_found,
        unknown: unknown.into(),
    };
    Ok((version, rules))
}

/// The name in a record of a domain, also in one that is too new to be understood otherwise: its host is known then, and
/// can be refused instead of being taken for one of the default domain.
pub fn domain_name(bytes: &[u8]) -> Option<Domain> {
    let body = bytes.get(HEAD..)?;
    fields(body).find(|field| field.tag == NAME).and_then(|field| domain(field.value))
}

/// A name in the form that every writer gives it.
fn domain(bytes: &[u8]) -> Option<Domain> {
    let text = std::str::from_utf8(bytes).ok()?;
    Domain::new(text).ok().filter(|domain| domain.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> DomainRules {
        DomainRules {
            name: Domain::new("go.example").unwrap(),
            fold_case: true,
            strict_hosts: true,
            class: Class::Strict,
            not_found: Some(Target::stored(b"https://a.example/").unwrap()),
            unknown: [3, 0, 1, 9, 7, 0, 0].into(),
        }
    }

    /// Golden bytes: these may be in a database, a file and another program's memory. They never change.
    #[test]
    fn golden() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let (name, url) = (hex(b"go.example"), hex(b"https://a.example/"));
        let want = format!("010000000000000000002a004302000a{name}03000109040012{url}070000");
        assert_eq!(hex(&encode_domain(42, &full())), want);
        assert_eq!(
            hex(&encode_domain(1, &DomainRules::default())),
            "0100000000000000000001000002 0001 2d".replace(' ', "")
        );
    }

    #[test]
    fn what_is_too_new_still_has_a_name() {
        let mut bytes = encode_domain(42, &full()).to_vec();
        assert_eq!(decode_domain(&bytes), Ok((42, full())));
        bytes[4] = 1;
        assert_eq!(decode_domain(&bytes), Err(RecordFault::TooNew));
        assert_eq!(domain_name(&bytes), Some(full().name));
        assert_eq!(domain_name(b"\x01bad"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_what_decodes_comes_back(cut in 0usize..70, at in 0usize..54, byte: u8) {
            let mut bytes = encode_domain(42, &full()).to_vec();
            bytes[at] = byte;
            bytes.truncate(bytes.len().min(cut));
            let _ = domain_name(&bytes);
            if let Ok((version, rules)) = decode_domain(&bytes) {
                prop_assert_eq!(encode_domain(version, &rules), bytes);
            }
        }
    }
}
