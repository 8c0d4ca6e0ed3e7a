//! Records as they come from control, from Redis and from a file: what is accepted says the same when it is written
//! again, and leads nowhere that a write would have refused.

use super::leads_somewhere_safe;
use ::record::{decode, encode, encode_as, encode_ref};
use ::record::{decode_domain, domain_name, encode_domain};
use bytes::Bytes;
use feed::relay::{self, CopyPosition, RedisQuestion, Shard};
use hot::StoredValue;
use link::{
    Class, Domain, DomainRules, Endings, File, Files, Key, Link, LinkIdentity, LinkParts, LinkState,
    LinkTerms, Position, QueryPolicy, Stats, Status, Target, VersionedState, Visit, fill, placeholders,
};

pub fn run(data: &[u8]) {
    link(data);
    domain(data);
    names(data);
    in_redis(data);
    made(data);
}

fn link(data: &[u8]) {
    let decoded = decode(data);
    let held = StoredValue::of(decoded.clone(), 1 << 47);
    let Ok(versioned) = decoded else {
        return assert!(matches!(held, Some((StoredValue::Quarantined, _))));
    };
    let identity = versioned.identity();
    if identity.version <= 1 << 47 {
        assert!(held.is_some_and(|(held, version)| held.identity(version) == identity));
    }
    let VersionedState { state, .. } = versioned;
    assert_eq!(encode_as(identity, &state), data, "it says something else when it is written again");
    let mut without = Vec::new();
    match &state {
        LinkState::Deleted => encode_ref(&mut without, identity, None),
        LinkState::Live(link) => {
            leads_somewhere_safe(&link.as_ref());
            assert!(Target::stored(link.as_ref().target).is_ok());
            encode_ref(&mut without, identity, Some(&link.as_ref()));
        }
    }
    let known = |state: LinkState| match state {
        LinkState::Live(link) => {
            LinkState::Live(Link::new(LinkParts { unknown: Box::default(), ..link.into_parts() }).unwrap())
        }
        LinkState::Deleted => LinkState::Deleted,
    };
    let again = decode(&without).map(|again| (again.identity(), again.state));
    assert_eq!(again, Ok((identity, known(state))), "what a set holds of it");
}

fn domain(data: &[u8]) {
    let name = domain_name(data);
    if let Ok((version, rules)) = decode_domain(data) {
        assert_eq!(encode_domain(version, &rules), data);
        assert_eq!(name.as_ref(), Some(&rules.name));
        assert!(rules.targets().all(|(_, target)| Target::stored(target.as_bytes()).is_ok()));
        filled(&rules);
    }
    if let Some(name) = name {
        assert_eq!(Domain::new(name.as_str()).as_ref(), Ok(&name));
    }
}

/// Whatever a visitor asks for: the host stays, and the address can stand in a field.
fn filled(rules: &DomainRules) {
    let visit = Visit { path: b"a/%2e%2e/\xff\"<&=", query: Some(b"b=\xfe&c") };
    for (_, target) in rules.targets() {
        let mut out = Vec::new();
        fill(target.as_bytes(), visit, &mut out);
        assert!(Target::stored(&out).is_ok(), "{}", out.escape_ascii());
        if placeholders(target) != Ok(true) && placeholders(target).is_ok() {
            assert_eq!(out, target.as_bytes());
        }
    }
}

fn names(data: &[u8]) {
    if let Ok(key) = Key::from_bytes(data) {
        let code = String::from_utf8(key.code().to_vec()).unwrap();
        let segment = |own: &str| {
            // Which characters beyond ASCII there are, a writer decides: a newer one may know more.
            let allowed = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "._~-+,:@!'()*".contains(c);
            !own.is_empty() && own != "." && own != ".." && own.chars().all(allowed)
        };
        assert!(code.len() <= 128 && code.split('/').count() <= 8 && code.split('/').all(segment), "{code}");
        assert_eq!([&key.domain().prefix()[..], key.code()].concat(), data);
    }
    let revision = std::str::from_utf8(data).ok().and_then(Position::parse_revision);
    if let Some((epoch, seq)) = revision {
        assert_eq!(Position::parse_revision(&Position::revision(epoch, seq)), Some((epoch, seq)));
    }
}

/// Two replies: the position, and a value that claims to be of the copy in it.
fn in_redis(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let (position, value) = rest.split_at(rest.len().min(32 + usize::from(first >> 6)));
    let copied = CopyPosition::decode(position);
    if let Some(copied) = copied {
        assert_eq!(copied.encode(), position);
    }
    let believed = copied.map_or(0, |copied| copied.copy) ^ u64::from(first & 1);
    let question = RedisQuestion::new(Shard::ONE, believed, b"\0\0\0\0a");
    let replies =
        [Some(position), (first & 2 == 0).then_some(value)].map(|own| own.map(Bytes::copy_from_slice));
    match (relay::told(&question, &replies), copied) {
        ((None, None), None) => {}
        ((Some(copy), told), Some(copied)) => {
            assert_eq!(copy, copied.copy);
            let record = value.get(8..).filter(|_| first & 3 == 0);
            assert_eq!(told.as_ref().and_then(|told| told.record.as_deref()), record);
            assert!(told.is_none_or(|told| told.as_of >= copied.at.seq && told.epoch == copied.at.epoch));
        }
        other => panic!("{other:?}"),
    }
}

/// A link and a domain as a writer makes them, from these bytes.
fn made(data: &[u8]) {
    let Some((head, text)) = data.split_at_checked(24) else { return };
    let number = |at: usize| i64::from_be_bytes(head[at..at + 8].try_into().unwrap());
    let is = |bit: u8| head[1] & 1 << bit != 0;
    let text: Vec<u8> = text.iter().map(|byte| b'!' + byte % 94).collect();
    let Ok(target) = Target::stored(&[b"https://", &text[..]].concat()) else { return };
    let parts = LinkParts {
        target: target.clone(),
        terms: LinkTerms {
            status: Status::ALL[usize::from(head[2]) % 5],
            query: QueryPolicy::ALL[usize::from(head[3]) % 3],
            class: Class::ALL[usize::from(head[4]) % 3],
            disabled: is(0),
            max_age: is(1).then(|| number(4) as u32),
            not_before: is(2).then(|| number(8)),
            expire: is(3).then(|| number(16)),
        },
        expired_target: is(7).then(|| target.clone()),
        unknown: if is(4) { [251, 0, 1, head[5], 253, 0, 0].into() } else { Box::default() },
    };
    let version = number(8) as u64 >> 16;
    if let Ok(link) = Link::new(parts) {
        let (state, uid) = (LinkState::Live(link), if is(2) && version > 1 { version / 2 } else { version });
        let bytes = encode_as(LinkIdentity { uid, version }, &state);
        assert_eq!(decode(&bytes), Ok(VersionedState { version, uid, state }));
    }
    let name: String = text.iter().map(|&byte| char::from(byte)).collect();
    if let Ok(name) = Domain::new(&name) {
        let rules = DomainRules {
            name,
            fold_case: is(5),
            strict_hosts: is(6),
            class: Class::ALL[usize::from(head[4]) % 3],
            root_target: is(0).then(|| target.clone()),
            not_found: is(7).then(|| target.clone()),
            expired_target: is(1).then_some(target),
            endings: Endings { trailing_slash: is(2), punctuation: is(3) },
            query: QueryPolicy::ALL[usize::from(head[3]) % 3],
            robots: is(5).then(|| format!("User-agent: {}", head[6]).into()),
            files: if is(2) { files(head[6], &text) } else { Files::default() },
            stats: Stats::ALL[usize::from(head[7]) % 3],
            unknown: if is(4) { [251, 0, 1, head[5], 253, 0, 0].into() } else { Box::default() },
        };
        assert_eq!(decode_domain(&encode_domain(version, &rules)), Ok((version, rules)));
    }
}

/// Some files of this content.
fn files(count: u8, content: &[u8]) -> Files {
    let path = |n: u8| if n == 0 { "favicon.ico".into() } else { format!(".well-known/{n}").into() };
    let file = |n| File { path: path(n), content_type: "text/plain".into(), content: content.into() };
    Files::new((0..count % 17).map(file).collect()).unwrap_or_default()
}

/// Records of each kind, and what lies in Redis.
pub fn seeds() -> Vec<Vec<u8>> {
    let target = Target::stored(b"https://a.example/?x#y").unwrap();
    let plain = LinkState::Live(Link::new(LinkParts::to(target.clone())).unwrap());
    let full = Link::new(LinkParts {
        terms: LinkTerms {
            status: Status::PermanentRedirect,
            disabled: true,
            max_age: Some(60),
            expire: Some(1_700_000_000_000),
            ..LinkTerms::default()
        },
        expired_target: Some(target.clone()),
        unknown: [251, 0, 1, 9, 253, 0, 0].into(),
        ..LinkParts::to(target.clone())
    });
    let full = LinkState::Live(full.unwrap());
    let name = Domain::new("go.example").unwrap();
    let filled = Target::stored(b"https://a.example/{path}?{query}").unwrap();
    let rules = DomainRules {
        name,
        root_target: Some(target),
        not_found: Some(filled.clone()),
        expired_target: Some(filled),
        endings: Endings { trailing_slash: true, punctuation: true },
        query: QueryPolicy::Append,
        robots: Some("User-agent: *".into()),
        files: files(2, b"x"),
        stats: Stats::Full,
        ..DomainRules::default()
    };
    let at = Position { epoch: link::Epoch { counter: 1, random: 7 }, seq: 9, tag: 3 };
    let position = CopyPosition { at, copy: 5 }.encode();
    let value = relay::value(9, &encode(8, &plain));
    vec![
        encode(1, &plain).to_vec(),
        encode(42, &full).to_vec(),
        encode_as(LinkIdentity { uid: 7, version: 42 }, &full).to_vec(),
        encode(7, &LinkState::Deleted).to_vec(),
        encode_domain(3, &rules).to_vec(),
        [&[0], &position[..], &value[..]].concat(),
        b"\0\0\0\0a/b-c~1".to_vec(),
        Position::revision(at.epoch, at.seq).into_bytes(),
        [&[0xff; 24][..], b"a.example"].concat(),
    ]
}
