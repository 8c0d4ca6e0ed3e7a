//! The record of a domain: the head of record v1, with flags and fields of its own.
//!
//! ```text
//! u16  flags             bit 0 codes without case, 1 strict hosts, 5–6 class, the others zero
//! fields                 2 name · 3 target of `/` · 4 target instead of a 404 · 5 target of expired links
//!                        7 u8: bit 0 a slash behind a code is passed over, bit 1 punctuation is
//!                        9 u8: query policy of links that are made without one · 11 text of `/robots.txt`
//!                        13 files of its own: of each, in the order of their paths, path length u8 · path ·
//!                        type length u8 · content type · length u16 · content
//!                        15 u8: what is kept of clicks, 1 off, 2 full
//! ```
//!
//! What a domain says by an odd field an older edge passes over, and answers as it always did: see [`crate::Features`].

use crate::RecordFault;
use crate::links::{HEAD, LAYOUT, RecordParts, fields, split};
use bytes::Bytes;
use link::{Class, Domain, DomainRules, Endings, File, Files, QueryPolicy, Seq, Stats, Target};

const NAME: u8 = 2;
const ROOT_TARGET: u8 = 3;
const NOT_FOUND: u8 = 4;
const EXPIRED_TARGET: u8 = 5;
const ENDINGS: u8 = 7;
const QUERY: u8 = 9;
const ROBOTS: u8 = 11;
const FILES: u8 = 13;
const STATS: u8 = 15;

const TRAILING_SLASH: u8 = 1;
const PUNCTUATION: u8 = 1 << 1;

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
    let endings = if rules.endings.trailing_slash { TRAILING_SLASH } else { 0 }
        | if rules.endings.punctuation { PUNCTUATION } else { 0 };
    let (endings, query, stats) = ([endings], [rules.query as u8], [rules.stats as u8]);
    let files = encode_files(&rules.files);
    let own = [
        (NAME, Some(rules.name.as_str().as_bytes())),
        (ROOT_TARGET, rules.root_target.as_ref().map(Target::as_bytes)),
        (NOT_FOUND, rules.not_found.as_ref().map(Target::as_bytes)),
        (EXPIRED_TARGET, rules.expired_target.as_ref().map(Target::as_bytes)),
        (ENDINGS, Some(&endings[..]).filter(|_| rules.endings.any())),
        (QUERY, Some(&query[..]).filter(|_| rules.query != QueryPolicy::Drop)),
        (ROBOTS, rules.robots.as_ref().map(|text| text.as_bytes())),
        (FILES, Some(&files[..]).filter(|files| !files.is_empty())),
        (STATS, Some(&stats[..]).filter(|_| rules.stats != Stats::Counts)),
    ];
    let mut unknown = fields(&rules.unknown).peekable();
    for (tag, value) in own.into_iter().filter_map(|(tag, value)| Some((tag, value?))) {
        while let Some(field) = unknown.next_if(|field| field.tag < tag) {
            out.extend_from_slice(field.whole);
        }
        out.push(tag);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes()); // files are the longest: 8 KiB
        out.extend_from_slice(value);
    }
    unknown.for_each(|field| out.extend_from_slice(field.whole));
    out.into()
}

fn encode_files(files: &Files) -> Vec<u8> {
    let mut out = Vec::new();
    for File { path, content_type, content } in files.all() {
        for text in [path, content_type] {
            out.push(text.len() as u8); // both are at most 128 bytes
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&(content.len() as u16).to_be_bytes());
        out.extend_from_slice(content);
    }
    out
}

/// `None`: no writer makes them so.
fn decode_files(mut bytes: &[u8]) -> Option<Files> {
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (front, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(front)
    }
    fn text(bytes: &mut &[u8]) -> Option<Box<str>> {
        let length = *take(bytes, 1)?.first()?;
        std::str::from_utf8(take(bytes, length.into())?).ok().map(Into::into)
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (path, content_type) = (text(&mut bytes)?, text(&mut bytes)?);
        let length = take(&mut bytes, 2)?.try_into().map(u16::from_be_bytes).ok()?;
        all.push(File { path, content_type, content: take(&mut bytes, length.into())?.into() });
    }
    let in_order = all.windows(2).all(|two| two[0].path < two[1].path);
    Files::new(all).ok().filter(|files| in_order && !files.all().is_empty())
}

/// The version and the domain in these bytes.
///
/// # Errors
/// [`RecordFault`]; what is said of the domain then is not known, but perhaps its [`domain_name`].
pub fn decode_domain(bytes: &[u8]) -> Result<(Seq, DomainRules), RecordFault> {
    use RecordFault::{Malformed, TooNew};
    let RecordParts { version, flags, body } = split(bytes, ALL_FLAGS)?;
    let (mut name, mut rules, mut unknown) = (None, DomainRules::default(), Vec::new());
    let (mut last, mut rest) = (0, body.len());
    for field in fields(body) {
        if field.tag <= last {
            return Err(Malformed("order of fields"));
        }
        (last, rest) = (field.tag, rest - field.whole.len());
        match field.tag {
            NAME => name = Some(domain(field.value).ok_or(Malformed("name"))?),
            ROOT_TARGET => rules.root_target = Some(target(field.value, "root_target")?),
            NOT_FOUND => rules.not_found = Some(target(field.value, "not_found")?),
            EXPIRED_TARGET => rules.expired_target = Some(target(field.value, "expired_target")?),
            ENDINGS => rules.endings = endings(field.value)?,
            QUERY => rules.query = query(field.value)?,
            ROBOTS => rules.robots = Some(robots(field.value)?),
            FILES => rules.files = decode_files(field.value).ok_or(Malformed("files"))?,
            STATS => rules.stats = stats(field.value)?,
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
        unknown: unknown.into(),
        ..rules
    };
    Ok((version, rules))
}

fn target(value: &[u8], field: &'static str) -> Result<Target, RecordFault> {
    Target::stored(value).map_err(|_| RecordFault::Malformed(field))
}

/// Another bit would be of a newer writer, whose codes this program would not find.
fn endings(value: &[u8]) -> Result<Endings, RecordFault> {
    match *value {
        [bits] if bits & !(TRAILING_SLASH | PUNCTUATION) != 0 => Err(RecordFault::TooNew),
        [bits] if bits != 0 => {
            Ok(Endings { trailing_slash: bits & TRAILING_SLASH != 0, punctuation: bits & PUNCTUATION != 0 })
        }
        _ => Err(RecordFault::Malformed("endings")),
    }
}

/// The default is not written.
fn query(value: &[u8]) -> Result<QueryPolicy, RecordFault> {
    match *value {
        [number] if number != 0 => QueryPolicy::ALL.get(usize::from(number)).copied(),
        _ => None,
    }
    .ok_or(RecordFault::Malformed("query policy"))
}

/// The default is not written. Another number would be of a newer writer: this program would keep more than it may.
fn stats(value: &[u8]) -> Result<Stats, RecordFault> {
    match *value {
        [number] if number != 0 => Stats::ALL.get(usize::from(number)).copied().ok_or(RecordFault::TooNew),
        _ => Err(RecordFault::Malformed("stats")),
    }
}

fn robots(value: &[u8]) -> Result<Box<str>, RecordFault> {
    let good = (1..=DomainRules::MAX_ROBOTS).contains(&value.len());
    let text = std::str::from_utf8(value).ok().filter(|_| good);
    text.map(Into::into).ok_or(RecordFault::Malformed("robots"))
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

    fn target(text: &str) -> Option<Target> {
        Some(Target::stored(text.as_bytes()).unwrap())
    }

    /// What there was before a domain had odd fields, and what only a newer writer knows.
    fn old() -> DomainRules {
        DomainRules {
            name: Domain::new("go.example").unwrap(),
            fold_case: true,
            strict_hosts: true,
            class: Class::Strict,
            not_found: target("https://a.example/"),
            unknown: [251, 0, 1, 9, 253, 0, 0].into(),
            ..DomainRules::default()
        }
    }

    fn with_files() -> DomainRules {
        let file = |path: &str, content_type: &str, content: &[u8]| File {
            path: path.into(),
            content_type: content_type.into(),
            content: content.into(),
        };
        let all = vec![file("favicon.ico", "image/x-icon", &[0, 1]), file(".well-known/x", "a/b", b"")];
        let files = Files::new(all).unwrap();
        DomainRules { name: Domain::new("go.example").unwrap(), files, ..DomainRules::default() }
    }

    fn full() -> DomainRules {
        DomainRules {
            root_target: target("https://r.example/"),
            expired_target: target("https://e.example/"),
            endings: Endings { trailing_slash: true, punctuation: true },
            query: QueryPolicy::Override,
            robots: Some("User-agent: *\n".into()),
            ..old()
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Golden bytes: these may be in a database, a file and another program's memory. They never change.
    #[test]
    fn golden() {
        let (name, url) = (hex(b"go.example"), hex(b"https://a.example/"));
        let want = format!("010000000000000000002a004302000a{name}040012{url}fb000109fd0000");
        assert_eq!(hex(&encode_domain(42, &old())), want);
        assert_eq!(
            hex(&encode_domain(1, &DomainRules::default())),
            "0100000000000000000001000002 0001 2d".replace(' ', "")
        );
        let (root, expired) = (hex(b"https://r.example/"), hex(b"https://e.example/"));
        let robots = hex(b"User-agent: *\n");
        let want = format!(
            "010000000000000000002a004302000a{name}030012{root}040012{url}050012{expired}\
             07000103090001020b000e{robots}fb000109fd0000"
        );
        assert_eq!(hex(&encode_domain(42, &full())), want);
    }

    #[test]
    fn a_field_of_another_form_is_refused() {
        let with = |tag: u8, value: &[u8]| {
            let mut bytes = encode_domain(1, &DomainRules::default()).to_vec();
            bytes.extend_from_slice(&[&[tag, 0, value.len() as u8], value].concat());
            decode_domain(&bytes).map(|_| ())
        };
        use RecordFault::{Malformed, TooNew};
        for (tag, value, want) in [
            (ROOT_TARGET, &b"x"[..], Malformed("root_target")),
            (EXPIRED_TARGET, b"", Malformed("expired_target")),
            (ENDINGS, &[0], Malformed("endings")),
            (ENDINGS, &[1, 1], Malformed("endings")),
            (ENDINGS, &[5], TooNew),
            (QUERY, &[0], Malformed("query policy")),
            (QUERY, &[3], Malformed("query policy")),
            (ROBOTS, b"", Malformed("robots")),
            (ROBOTS, b"\xff", Malformed("robots")),
            (STATS, &[0], Malformed("stats")),
            (STATS, &[1, 1], Malformed("stats")),
            (STATS, &[3], TooNew),
            (6, b"", TooNew),
        ] {
            assert_eq!(with(tag, value), Err(want), "{tag} {value:?}");
        }
        assert_eq!((with(ENDINGS, &[2]), with(QUERY, &[1]), with(ROBOTS, b"x")), (Ok(()), Ok(()), Ok(())));
    }

    #[test]
    fn golden_of_files() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let text = |text: &str| format!("{:02x}{}", text.len(), hex(text.as_bytes()));
        let well_known = format!("{}{}0000", text(".well-known/x"), text("a/b"));
        let icon = format!("{}{}00020001", text("favicon.ico"), text("image/x-icon"));
        let files = format!("0d{:04x}{well_known}{icon}", (well_known.len() + icon.len()) / 2);
        let want = format!("010000000000000000002a000002000a{}{files}", hex(b"go.example"));
        let bytes = encode_domain(42, &with_files());
        assert_eq!(hex(&bytes), want);
        assert_eq!(decode_domain(&bytes), Ok((42, with_files())));
        // No writer makes them in another order, and none cuts one.
        let with = |value: &[u8]| {
            let head = encode_domain(42, &DomainRules { files: Files::default(), ..with_files() });
            let length = (value.len() as u16).to_be_bytes();
            decode_domain(&[&head[..], &[FILES], &length, value].concat())
        };
        let value = encode_files(&with_files().files);
        assert_eq!(with(&value), Ok((42, with_files())));
        let (first, second) = value.split_at(20);
        for wrong in [&[second, first].concat(), &value[..value.len() - 1], &[], &[first, first].concat()] {
            assert_eq!(with(wrong), Err(RecordFault::Malformed("files")));
        }
    }

    #[test]
    fn golden_of_stats() {
        let with = |stats| DomainRules { stats, ..with_files() };
        let before = encode_domain(42, &with_files());
        for (stats, behind) in
            [(Stats::Counts, &b""[..]), (Stats::Off, &[15, 0, 1, 1]), (Stats::Full, &[15, 0, 1, 2])]
        {
            let bytes = encode_domain(42, &with(stats));
            assert_eq!(bytes, [&before[..], behind].concat());
            assert_eq!(decode_domain(&bytes), Ok((42, with(stats))));
        }
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
        fn any_bytes_decode_or_fail_and_what_decodes_comes_back(cut in 0usize..180, at in 0usize..170, byte: u8) {
            let rules = DomainRules { files: with_files().files, stats: Stats::Full, ..full() };
            let mut bytes = encode_domain(42, &rules).to_vec();
            bytes[at] = byte;
            bytes.truncate(bytes.len().min(cut));
            let _ = domain_name(&bytes);
            if let Ok((version, rules)) = decode_domain(&bytes) {
                prop_assert_eq!(encode_domain(version, &rules), bytes);
            }
        }
    }
}
