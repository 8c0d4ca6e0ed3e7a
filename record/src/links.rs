//! Record v1: the bytes of a link in the log, in Redis, in an edge's file and on the wire.
//!
//! ```text
//! u8   layout            1
//! u32  required features a reader that lacks one of these bits must ask for the answer instead of computing it
//! u48  version           the seq of the change that made this state
//! u16  flags             bits 0–2 status, 3–4 query policy, 5–6 class, 7 disabled, 8 tombstone, 9–15 zero
//! then, in rising order of their tags, fields of
//! u8   tag               even: must be understood; odd: may be passed over
//! u16  length
//!      value             2 target · 3 max_age u32 · 4 not_before i64 · 5 target once it has expired
//!                        6 expire i64 (Unix milliseconds)
//!                        7 uid u48: the seq of the change that created the link, where that is not the version
//! ```
//!
//! Numbers are big-endian; the whole is at most 16 KiB. Fields that a reader does not know are kept byte for byte.

use bytes::Bytes;
use link::{
    Class, Link, LinkIdentity, LinkParts, LinkRef, LinkState, LinkTerms, QueryPolicy, Seq, Status, Target,
    VersionedState,
};

pub const LAYOUT: u8 = 1;
pub const HEAD: usize = 13;
/// Bytes.
pub const MAX_RECORD: usize = 16 * 1024;
/// Bits of `required features` that this program understands: none is given out yet.
pub const FEATURES: u32 = 0;

const TARGET: u8 = 2;
const MAX_AGE: u8 = 3;
const NOT_BEFORE: u8 = 4;
const EXPIRED_TARGET: u8 = 5;
const EXPIRE: u8 = 6;
const UID: u8 = 7;
/// No field's tag: behind all of them.
const END: u8 = 0;

const DISABLED: u16 = 1 << 7;
const TOMBSTONE: u16 = 1 << 8;
const ALL_FLAGS: u16 = (1 << 9) - 1;

/// Why bytes are no record that this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// Not a record at all, or one that no writer can have made: quarantine it.
    Malformed(&'static str),
    /// A newer writer made it, and it says that it must not be served without understanding.
    TooNew,
}

impl std::fmt::Display for RecordFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "record is malformed: {what}"),
            Self::TooNew => write!(f, "record needs a newer program"),
        }
    }
}

impl std::error::Error for RecordFault {}

/// The bytes of a state at a version (below 2⁴⁸) that the change made which created the link.
pub fn encode(version: Seq, state: &LinkState) -> Bytes {
    encode_as(LinkIdentity::created(version), state)
}

/// The bytes of a state of this link at this version (both below 2⁴⁸).
pub fn encode_as(identity: LinkIdentity, state: &LinkState) -> Bytes {
    let mut out = Vec::with_capacity(160);
    match state {
        LinkState::Deleted => write(&mut out, identity, None, &[]),
        LinkState::Live(link) => write(&mut out, identity, Some(&link.as_ref()), &link.parts().unknown),
    }
    out.into()
}

/// Appends the record of what is in memory: a link (as it is there, without the fields that this program does not
/// know), or with `None` the tombstone of one.
pub fn encode_ref(out: &mut Vec<u8>, identity: LinkIdentity, link: Option<&LinkRef<'_>>) {
    write(out, identity, link, &[]);
}

fn write(out: &mut Vec<u8>, identity: LinkIdentity, link: Option<&LinkRef<'_>>, unknown: &[u8]) {
    let LinkIdentity { uid, version } = identity;
    out.push(LAYOUT);
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes()[2..]);
    let Some(link) = link else {
        out.extend_from_slice(&TOMBSTONE.to_be_bytes());
        return;
    };
    let LinkTerms { status, query, class, disabled, max_age, not_before, expire } = link.terms;
    let flags =
        status as u16 | (query as u16) << 3 | (class as u16) << 5 | if disabled { DISABLED } else { 0 };
    out.extend_from_slice(&flags.to_be_bytes());
    let mut unknown = fields(unknown).peekable();
    let mut put = |tag: u8, value: Option<&[u8]>| {
        let comes_first = |field: &Field<'_>| field.tag < tag || tag == END;
        while let Some(field) = unknown.next_if(comes_first) {
            out.extend_from_slice(field.whole);
        }
        if let Some(value) = value {
            out.push(tag);
            out.extend_from_slice(&(value.len() as u16).to_be_bytes()); // a target is the longest: 8 KiB
            out.extend_from_slice(value);
        }
    };
    put(TARGET, Some(link.target));
    put(MAX_AGE, max_age.map(u32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
    put(NOT_BEFORE, not_before.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    put(EXPIRED_TARGET, link.expired_target);
    put(EXPIRE, expire.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    put(UID, Some(&uid.to_be_bytes()[2..]).filter(|_| uid != version));
    put(END, None);
}

/// A record in its parts.
pub(crate) struct RecordParts<'a> {
    pub version: Seq,
    pub flags: u16,
    /// Its fields.
    pub body: &'a [u8],
}

/// Checks the head of a record and takes it off. `all_flags`: those that this program knows.
pub(crate) fn split(bytes: &[u8], all_flags: u16) -> Result<RecordParts<'_>, RecordFault> {
    use RecordFault::{Malformed, TooNew};
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(Malformed("head"))?;
    if head[0] != LAYOUT {
        return Err(if head[0] > LAYOUT { TooNew } else { Malformed("layout") });
    }
    let required = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let flags = u16::from_be_bytes([head[11], head[12]]);
    if required & !FEATURES != 0 || flags & !all_flags != 0 {
        return Err(TooNew);
    }
    if bytes.len() > MAX_RECORD {
        return Err(Malformed("length"));
    }
    let version = Seq::from_be_bytes([0, 0, head[5], head[6], head[7], head[8], head[9], head[10]]);
    Ok(RecordParts { version, flags, body })
}

/// The state in these bytes. Every rule of [`Link`] and [`Target`] is checked again.
///
/// # Errors
/// [`RecordFault`]; nothing of the record may be served then.
pub fn decode(bytes: &[u8]) -> Result<VersionedState, RecordFault> {
    use RecordFault::Malformed;
    let RecordParts { version, flags, body } = split(bytes, ALL_FLAGS)?;
    if flags & TOMBSTONE != 0 {
        let empty = flags == TOMBSTONE && body.is_empty();
        return if empty {
            Ok(VersionedState { version, uid: version, state: LinkState::Deleted })
        } else {
            Err(Malformed("tombstone"))
        };
    }
    let DecodedFields { parts, uid } = decode_fields(flags, body)?;
    if uid.is_some_and(|uid| !(1..version).contains(&uid)) {
        return Err(Malformed("uid"));
    }
    let link = Link::new(parts).map_err(|_| Malformed("fields that do not fit together"))?;
    Ok(VersionedState { version, uid: uid.unwrap_or(version), state: LinkState::Live(link) })
}

/// What the flags and fields of a record say.
struct DecodedFields {
    parts: LinkParts,
    uid: Option<Seq>,
}

fn decode_fields(flags: u16, body: &[u8]) -> Result<DecodedFields, RecordFault> {
    use RecordFault::{Malformed, TooNew};
    let pick = |shift: u16, mask: u16| usize::from(flags >> shift & mask);
    let mut terms = LinkTerms {
        status: *Status::ALL.get(pick(0, 7)).ok_or(Malformed("status"))?,
        query: *QueryPolicy::ALL.get(pick(3, 3)).ok_or(Malformed("query policy"))?,
        class: *Class::ALL.get(pick(5, 3)).ok_or(Malformed("class"))?,
        disabled: flags & DISABLED != 0,
        ..LinkTerms::default()
    };
    let (mut target, mut expired_target, mut uid, mut unknown) = (None, None, None, Vec::new());
    let (mut last, mut rest) = (0, body.len());
    for field in fields(body) {
        if field.tag <= last {
            return Err(Malformed("order of fields"));
        }
        (last, rest) = (field.tag, rest - field.whole.len());
        match field.tag {
            TARGET => target = Some(Target::stored(field.value).map_err(|_| Malformed("target"))?),
            MAX_AGE => terms.max_age = Some(u32::from_be_bytes(field.array("max_age")?)),
            NOT_BEFORE => terms.not_before = Some(i64::from_be_bytes(field.array("not_before")?)),
            EXPIRED_TARGET => {
                expired_target = Some(Target::stored(field.value).map_err(|_| Malformed("expired_target"))?);
            }
            EXPIRE => terms.expire = Some(i64::from_be_bytes(field.array("expire")?)),
            UID => {
                let [a, b, c, d, e, f] = field.array("uid")?;
                uid = Some(Seq::from_be_bytes([0, 0, a, b, c, d, e, f]));
            }
            even if even % 2 == 0 => return Err(TooNew),
            _ => unknown.extend_from_slice(field.whole),
        }
    }
    if rest != 0 {
        return Err(Malformed("end of a field"));
    }
    let target = target.ok_or(Malformed("target"))?;
    let parts = LinkParts { target, terms, expired_target, unknown: unknown.into() };
    Ok(DecodedFields { parts, uid })
}

pub struct Field<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    pub whole: &'a [u8],
}

impl Field<'_> {
    /// Its value, if it is as long as this field has to be.
    fn array<const N: usize>(&self, what: &'static str) -> Result<[u8; N], RecordFault> {
        self.value.try_into().map_err(|_| RecordFault::Malformed(what))
    }
}

/// The whole fields at the start of `bytes`; ends before one that is cut.
pub fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let (head, _) = bytes.split_at_checked(3)?;
        let end = 3 + usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (whole, rest) = bytes.split_at_checked(end)?;
        bytes = rest;
        Some(Field { tag: whole[0], value: &whole[3..], whole })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every term is named, so that a new one is asked for here.
    fn full() -> LinkParts {
        let terms = LinkTerms {
            status: Status::PermanentRedirect,
            query: QueryPolicy::Override,
            class: Class::Strict,
            disabled: true,
            max_age: Some(60),
            not_before: Some(1),
            expire: Some(1_700_000_000_000),
        };
        LinkParts {
            expired_target: Some(Target::stored(b"https://e.example/").unwrap()),
            ..LinkParts::on(terms, Target::stored(b"https://a.example/?x#y").unwrap())
        }
    }

    fn live(parts: LinkParts) -> LinkState {
        LinkState::Live(Link::new(parts).unwrap())
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Golden bytes: these may be in a database, a file and another program's memory. They never change.
    #[test]
    fn golden() {
        let plain = live(LinkParts::to(Target::stored(b"https://a.example/").unwrap()));
        let target = hex(b"https://a.example/");
        assert_eq!(hex(&encode(1, &plain)), format!("01000000000000000000010000020012{target}"));
        assert_eq!(hex(&encode(0x0102_0304_0506, &LinkState::Deleted)), "01000000000102030405060100");
        let target = hex(b"https://a.example/?x#y");
        let want = format!(
            "010000000000000000002a00d4020016{target}0300040000003c04000800000000000000010600080000018bcfe56800"
        );
        let old = LinkParts { expired_target: None, ..full() };
        assert_eq!(hex(&encode(42, &live(old))), want);
        let expired = hex(b"https://e.example/");
        let want = want.replace("060008", &format!("050012{expired}060008"));
        assert_eq!(hex(&encode(42, &live(full()))), want);
        let later = LinkIdentity { uid: 0x0102_0304, version: 0x0102_0304_0506 };
        let want = want.replace("00000000002a", "010203040506") + "070006000001020304";
        assert_eq!(hex(&encode_as(later, &live(full()))), want);
        assert_eq!(hex(&encode_as(later, &LinkState::Deleted)), "01000000000102030405060100");
    }

    #[test]
    fn a_link_keeps_its_uid_and_says_it_only_where_another_change_made_the_state() {
        let created = encode_as(LinkIdentity::created(42), &live(full()));
        assert_eq!(created, encode(42, &live(full())), "the bytes of before");
        assert_eq!(decode(&created).unwrap().identity(), LinkIdentity { uid: 42, version: 42 });
        let changed = LinkIdentity { uid: 7, version: 42 };
        let bytes = encode_as(changed, &live(full()));
        assert_eq!(decode(&bytes), Ok(VersionedState { version: 42, uid: 7, state: live(full()) }));
        let mut of_set = Vec::new();
        encode_ref(&mut of_set, changed, Some(&Link::new(full()).unwrap().as_ref()));
        assert_eq!(of_set, bytes);
        let with = |uid: &[u8]| decode(&[&created[..], &[UID, 0, uid.len() as u8], uid].concat()).map(|_| ());
        assert_eq!(with(&[0, 0, 0, 0, 0, 41]), Ok(()));
        for wrong in
            [&[0, 0, 0, 0, 0, 42][..], &[0, 0, 0, 0, 0, 43], &[0; 6], &[41], &[0, 0, 0, 0, 0, 0, 0, 41]]
        {
            assert_eq!(with(wrong), Err(RecordFault::Malformed("uid")), "no writer says that: {wrong:?}");
        }
    }

    #[test]
    fn every_state_comes_back() {
        for state in [live(full()), LinkState::Deleted] {
            assert_eq!(decode(&encode(9, &state)), Ok(VersionedState { version: 9, uid: 9, state }));
        }
        for (status, query, class) in Status::ALL
            .into_iter()
            .flat_map(|s| QueryPolicy::ALL.map(|q| (s, q)))
            .flat_map(|(s, q)| Class::ALL.map(|c| (s, q, c)))
        {
            let full = full();
            let state = live(LinkParts { terms: LinkTerms { status, query, class, ..full.terms }, ..full });
            assert_eq!(decode(&encode(9, &state)).unwrap().state, state);
            let LinkState::Live(link) = &state else { panic!() };
            let mut bytes = Vec::new();
            encode_ref(&mut bytes, LinkIdentity::created(9), Some(&link.as_ref()));
            assert_eq!(bytes, encode(9, &state));
        }
    }

    #[test]
    fn unknown_odd_fields_are_kept_and_even_ones_refused() {
        let with = |tags: &[u8]| {
            let mut bytes = encode(1, &live(LinkParts::to(Target::stored(b"http://a").unwrap()))).to_vec();
            for &tag in tags {
                bytes.extend_from_slice(&[tag, 0, 2, tag, tag]);
            }
            bytes
        };
        let bytes = with(&[251, 253, 255]);
        let versioned = decode(&bytes).unwrap();
        assert_eq!(encode(1, &versioned.state), bytes);
        // Known fields that come later are written in their place.
        let LinkState::Live(link) = versioned.state else { panic!() };
        let mut parts = link.into_parts();
        (parts.terms.not_before, parts.terms.expire) = (Some(3), Some(7));
        assert_eq!(decode(&encode(1, &live(parts.clone()))).unwrap().state, live(parts));
        assert_eq!(decode(&with(&[8])), Err(RecordFault::TooNew));
        assert_eq!(decode(&with(&[253, 251])), Err(RecordFault::Malformed("order of fields")));
    }

    #[test]
    fn what_a_newer_writer_requires_is_refused() {
        let good = encode(1, &live(full()));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            decode(&bytes)
        };
        assert_eq!(with(0, 2), Err(RecordFault::TooNew));
        assert_eq!(with(0, 0), Err(RecordFault::Malformed("layout")));
        assert_eq!(with(4, 1), Err(RecordFault::TooNew));
        assert_eq!(with(11, 2), Err(RecordFault::TooNew));
        assert_eq!(with(12, 5), Err(RecordFault::Malformed("status")));
        assert_eq!(with(16, 9), Err(RecordFault::Malformed("target")));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_what_decodes_comes_back(
            head in prop::collection::vec(any::<u8>(), 0..20),
            cut in 0usize..100, at in 0usize..88, byte: u8,
        ) {
            let _ = decode(&head);
            let mut bytes = encode_as(LinkIdentity { uid: 7, version: 42 }, &live(full())).to_vec();
            bytes[at] = byte;
            bytes.truncate(bytes.len().min(cut));
            if let Ok(versioned) = decode(&bytes) {
                prop_assert_eq!(encode_as(versioned.identity(), &versioned.state), bytes);
            }
        }
    }
}
