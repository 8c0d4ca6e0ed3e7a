//! How much of a request is read: how often what can be repeated may stand in it (`most` in the `.proto`), and how long a
//! text may be. It is asked before anything is allocated: a list of empty messages takes two bytes each on the wire and
//! hundreds in memory (CWE-789).

use crate::described::{Form, Member, POOL, calls, shape};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, StatusExt};

/// Links that one batch may hold.
pub const BATCH: usize = 1_000;
/// Links that one message of an import may hold.
pub const CHUNK: usize = 5_000;
/// Keys of links that an edge may ask for at once.
pub const FETCH: usize = 256;
/// Bytes of one text. The rule of its field, which names it better, is tighter, unless it is of bytes: of those it may allow
/// more.
pub const TEXT: usize = 64 * 1024;
/// What is repeated in one request, all of it together.
pub const ELEMENTS: usize = 250_000;
/// Parts that one message may come in: protobuf merges them, and each of its lists is counted by part.
pub const PARTS: usize = 4;
/// Members of one object in JSON: twice as many as the largest message has fields.
pub const MEMBERS: usize = 64;
/// Objects and lists inside each other in JSON: a request of a batch holds a link that holds tags.
pub const DEPTH: usize = 8;

/// Paths in a mask of fields.
const PATHS: usize = 64;

/// A bound that a request goes beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Where, from the outermost: `requests[3].link.tags`.
    pub field: String,
    /// What is there.
    pub of: ExcessKind,
}

/// The kind of thing that a request has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExcessKind {
    /// Elements of one list.
    Elements(usize),
    /// Elements of all lists.
    All,
    /// Bytes of a text.
    Bytes,
    /// Bytes of what is no text.
    Content(usize),
    /// Parts of one message, which are merged.
    Parts,
    /// A member of a JSON object twice: one of them would be lost, and others take the other.
    Twice,
    /// Members of a JSON object.
    Members,
    /// JSON inside JSON.
    Depth,
}

impl Excess {
    /// The bound, worded so that it follows the field's name.
    pub fn why(&self) -> String {
        match self.of {
            ExcessKind::Elements(0) => "is a list where none is taken".into(),
            ExcessKind::Elements(most) => format!("has more than {most} elements"),
            ExcessKind::All => format!("and the lists before it have more than {ELEMENTS} elements"),
            ExcessKind::Bytes => format!("is longer than {TEXT} bytes"),
            ExcessKind::Content(most) => format!("is longer than {most} bytes"),
            ExcessKind::Parts => format!("is in more than {PARTS} parts"),
            ExcessKind::Twice => "is there twice".into(),
            ExcessKind::Members => format!("has more than {MEMBERS} members"),
            ExcessKind::Depth => format!("is more than {DEPTH} levels deep"),
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.why())
    }
}

impl std::error::Error for Excess {}

/// How many elements a list by this name may have, whichever message it is in; 0 where no message has one.
pub fn of_member(name: &str) -> usize {
    NAMED.get(name).copied().unwrap_or(0)
}

static NAMED: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    let mut named = HashMap::new();
    for field in SHAPES.all.iter().flatten() {
        let most = named.entry(field.name.clone()).or_insert(0);
        *most = field.most.unwrap_or(0).max(*most);
    }
    named
});

/// Holds an encoded request against the table; nothing of it is kept. What is malformed passes up to there: decoding it
/// ends at the same place.
///
/// # Errors
/// The first bound that it goes beyond.
pub fn check<M: Name>(encoded: &[u8]) -> Result<(), Excess> {
    match SHAPES.requests.get(&M::full_name()) {
        Some(&shape) => SHAPES.walk(shape, encoded, &mut 0).map_err(Excess::told_without_its_root),
        None => Ok(()), // an answer: it comes from control, which is asked because it is trusted
    }
}

/// Every message of the API.
static SHAPES: LazyLock<Shapes> = LazyLock::new(|| Shapes::of(&POOL));

#[derive(Default)]
struct Shapes {
    all: Vec<Vec<FieldBound>>,
    /// What a call takes.
    requests: HashMap<String, usize>,
}

struct FieldBound {
    number: u32,
    name: String,
    /// `None`: it is not repeated.
    most: Option<usize>,
    /// A message; `None`: texts, bytes and numbers.
    inside: Option<usize>,
    /// A number of as many bytes as it takes.
    is_number: bool,
    /// Bytes of it, where it is no message.
    longest: usize,
}

impl Shapes {
    fn of(pool: &DescriptorPool) -> Self {
        let messages: Vec<MessageDescriptor> = pool.all_messages().collect();
        let numbers: HashMap<&str, usize> =
            messages.iter().enumerate().map(|(at, message)| (message.full_name(), at)).collect();
        let number = |name: &str| numbers.get(name).copied();
        let all = messages.iter().map(|message| fields(message, number)).collect();
        let inputs = calls().iter().map(|call| call.input.full_name());
        let requests = inputs.filter_map(|name| Some((name.to_owned(), number(name)?))).collect();
        Self { all, requests }
    }

    fn walk(&self, shape: usize, mut left: &[u8], elements: &mut usize) -> Result<(), Excess> {
        let fields = &self.all[shape];
        let mut counts = [0; MEMBERS / 2];
        while let Some((number, inside)) = next(&mut left) {
            let Some(at) = fields.iter().position(|field| field.number == number) else { continue };
            let (field, count) = (&fields[at], &mut counts[at]);
            let more = field.elements(inside);
            *count += more;
            field.counted(*count, more, elements)?;
            let Some(inside) = inside else { continue };
            match field.inside {
                Some(shape) => {
                    self.walk(shape, inside, elements).map_err(|excess| excess.within(field, *count))?;
                }
                None if inside.len() > field.longest => return Err(field.too_long()),
                None => {}
            }
        }
        Ok(())
    }
}

impl FieldBound {
    /// How many elements an occurrence of it is, which has this inside: numbers may come packed, all of a list in one.
    fn elements(&self, inside: Option<&[u8]>) -> usize {
        match inside {
            Some(packed) if self.is_number => packed.iter().filter(|byte| **byte < 0x80).count(),
            _ => 1,
        }
    }

    fn counted(&self, count: usize, more: usize, elements: &mut usize) -> Result<(), Excess> {
        let Some(most) = self.most else {
            let torn = self.inside.is_some() && count > PARTS;
            return if torn { Err(self.beyond(ExcessKind::Parts)) } else { Ok(()) };
        };
        *elements += more;
        if count > most {
            return Err(self.beyond(ExcessKind::Elements(most)));
        }
        if *elements > ELEMENTS { Err(self.beyond(ExcessKind::All)) } else { Ok(()) }
    }

    fn too_long(&self) -> Excess {
        self.beyond(if self.longest > TEXT { ExcessKind::Content(self.longest) } else { ExcessKind::Bytes })
    }

    fn beyond(&self, of: ExcessKind) -> Excess {
        Excess { field: self.name.clone(), of }
    }
}

impl Excess {
    /// The fields of what a request is about are named without it, as every rule names them.
    fn told_without_its_root(mut self) -> Self {
        for about in ["link.", "domain.", "key."] {
            if let Some(own) = self.field.strip_prefix(about) {
                self.field = own.to_owned();
                break;
            }
        }
        self
    }

    fn within(self, field: &FieldBound, count: usize) -> Self {
        let name = &field.name;
        let field = match field.most {
            Some(_) => format!("{name}[{}].{}", count - 1, self.field),
            None => format!("{name}.{}", self.field),
        };
        Self { field, ..self }
    }
}

/// The next field; and what is in it, if it has a length.
fn next<'a>(left: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    if left.is_empty() {
        return None;
    }
    let (number, wire) = decode_key(left).ok()?;
    if wire == WireType::LengthDelimited {
        let length = usize::try_from(decode_varint(left).ok()?).ok()?;
        let (inside, rest) = left.split_at_checked(length)?;
        *left = rest;
        return Some((number, Some(inside)));
    }
    skip_field(wire, number, left, DecodeContext::default()).ok()?;
    Some((number, None))
}

fn fields(message: &MessageDescriptor, number: impl Fn(&str) -> Option<usize>) -> Vec<FieldBound> {
    let shape = shape(message.full_name());
    let field = |member: &Member| FieldBound {
        number: member.field.number(),
        name: member.name.clone(),
        most: member.list.then(|| most(member)),
        inside: member.field.kind().as_message().and_then(|inside| number(inside.full_name())),
        is_number: matches!(member.field.kind(), Kind::Uint64),
        longest: match member.form {
            Form::Bytes => TEXT.max(member.rule.max_length as usize),
            _ => TEXT,
        },
    };
    shape.map(|shape| shape.members.iter().map(field).collect()).unwrap_or_default()
}

fn most(member: &Member) -> usize {
    match member.field.full_name() {
        "google.protobuf.FieldMask.paths" => PATHS,
        _ => member.rule.most as usize,
    }
}

/// The codec of every call: a request is held against the table first.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(Default::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstCodec::<T, U>::raw_decoder(Default::default()))
    }
}

/// The half of [`Codec`] that decodes.
#[derive(Debug)]
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, encoded: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        use bytes::Buf;
        // A message is decoded once all of it is here, in one piece.
        check::<U>(encoded.chunk()).map_err(|excess| refusal(&excess))?;
        self.0.decode(encoded)
    }
}

/// As control says it of every other rule.
fn refusal(excess: &Excess) -> Status {
    let mut details = ErrorDetails::with_error_info("TOO_LARGE", "linkr", []);
    details.add_bad_request_violation(&excess.field, excess.to_string());
    Status::with_error_details(Code::OutOfRange, excess.to_string(), details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use prost_reflect::Kind;
    use std::collections::HashSet;

    /// Every field that a request can hold.
    fn reachable() -> Vec<&'static Member> {
        let mut wanted: Vec<String> = SHAPES.requests.keys().cloned().collect();
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        while let Some(name) = wanted.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            for member in &shape(&name).expect("a message of the set").members {
                wanted.extend(member.field.kind().as_message().map(|inside| inside.full_name().to_owned()));
                found.push(member);
            }
        }
        found
    }

    #[test]
    fn every_repeated_field_of_a_request_has_a_bound() {
        assert!(SHAPES.requests.len() > 20, "{}", SHAPES.requests.len());
        assert!(SHAPES.all.iter().all(|fields| fields.len() <= MEMBERS / 2));
        let lists: Vec<_> = reachable().into_iter().filter(|member| member.list).collect();
        for member in &lists {
            let name = member.field.full_name();
            let kinds =
                matches!(member.field.kind(), Kind::Message(_) | Kind::String | Kind::Bytes | Kind::Uint64);
            assert!(kinds, "{name} is of numbers that the walk does not count: teach it to");
            assert!(most(member) > 0, "{name} has no (rule).most");
        }
        assert!(lists.len() > 8, "{lists:?}");
        let sizes = ["BatchCreateLinksRequest.requests", "ImportLinksRequest.links", "FetchRequest.keys"];
        let sizes = sizes.map(|name| {
            let (message, field) = name.split_once('.').unwrap();
            most(shape(&format!("linkr.v1.{message}")).unwrap().member(field).unwrap())
        });
        assert_eq!(sizes, [BATCH, CHUNK, 2 * FETCH], "as the service has it");
    }

    /// Clients pack numbers, and have to be understood if they do not.
    #[test]
    fn numbers_are_counted_whether_they_are_packed_or_not() {
        let packed = |uids: Vec<u64>| v1::QueryClicksRequest { uids, ..Default::default() }.encode_to_vec();
        let one_by_one = |uids: Vec<u64>| {
            let mut bytes = Vec::new();
            uids.iter().for_each(|uid| prost::encoding::uint64::encode(15, uid, &mut bytes));
            assert_eq!(v1::QueryClicksRequest::decode(&*bytes).unwrap().uids, uids);
            bytes
        };
        let check =
            |bytes: Vec<u8>| check::<v1::QueryClicksRequest>(&bytes).map_err(|excess| excess.to_string());
        for first in [0, 1 << 40] {
            let uids = |count: u64| (first..first + count).collect::<Vec<_>>();
            assert_eq!([check(packed(uids(100))), check(one_by_one(uids(100)))], [Ok(()), Ok(())]);
            let both = [packed(uids(60)), one_by_one(uids(41))].concat();
            for bytes in [packed(uids(101)), one_by_one(uids(101)), both] {
                assert_eq!(check(bytes), Err("uids has more than 100 elements".to_owned()));
            }
        }
    }

    fn update(paths: usize) -> v1::UpdateLinkRequest {
        let paths = vec!["target".to_owned(); paths];
        v1::UpdateLinkRequest { update_mask: Some(prost_types::FieldMask { paths }), ..Default::default() }
    }

    #[test]
    fn what_goes_beyond_a_bound_is_named() {
        let of = |request: &v1::UpdateLinkRequest| {
            check::<v1::UpdateLinkRequest>(&request.encode_to_vec()).map_err(|excess| excess.to_string())
        };
        assert_eq!(of(&update(64)), Ok(()));
        assert_eq!(of(&update(65)).unwrap_err(), "update_mask.paths has more than 64 elements");
        let note = "x".repeat(TEXT + 1);
        let link = Some(v1::Link { note, ..Default::default() });
        let long = v1::UpdateLinkRequest { link, ..Default::default() };
        assert_eq!(of(&long).unwrap_err(), "note is longer than 65536 bytes");
        let tagged = v1::CreateLinkRequest {
            link: Some(v1::Link { tags: vec![String::new(); 65], ..Default::default() }),
            ..Default::default()
        };
        let requests = vec![v1::CreateLinkRequest::default(), tagged];
        let batch = v1::BatchCreateLinksRequest { requests, ..Default::default() };
        let excess = check::<v1::BatchCreateLinksRequest>(&batch.encode_to_vec()).unwrap_err();
        assert_eq!(excess.to_string(), "requests[1].link.tags has more than 64 elements");
    }

    #[test]
    fn bytes_may_be_longer_than_a_text_where_their_rule_says_so() {
        let of = |length: usize| {
            let batch = vec![0; length].into();
            let request = v1::AppendRequest { batch, ..Default::default() };
            check::<v1::AppendRequest>(&request.encode_to_vec()).map_err(|excess| excess.to_string())
        };
        assert_eq!(of(4_259_840), Ok(()));
        assert_eq!(of(4_259_841).unwrap_err(), "batch is longer than 4259840 bytes");
    }

    #[test]
    fn a_message_comes_in_a_few_parts() {
        let one = update(40).encode_to_vec();
        assert_eq!(check::<v1::UpdateLinkRequest>(&one.repeat(PARTS)), Ok(()));
        let excess = check::<v1::UpdateLinkRequest>(&one.repeat(PARTS + 1)).unwrap_err();
        assert_eq!(excess, Excess { field: "update_mask".into(), of: ExcessKind::Parts });
    }

    #[test]
    fn all_lists_together_have_a_bound() {
        let propagation =
            Some(v1::Propagation { blind: vec![Default::default(); 4_000], ..Default::default() });
        let links = vec![v1::Link { propagation, ..Default::default() }; 100];
        let request = v1::ImportLinksRequest { links, ..Default::default() };
        let excess = check::<v1::ImportLinksRequest>(&request.encode_to_vec()).unwrap_err();
        assert_eq!(excess.of, ExcessKind::All);
    }

    proptest::proptest! {
        /// What decodes within the bounds is what passes, whatever the bytes are.
        #[test]
        fn any_bytes_are_walked(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = check::<v1::BatchUpdateLinksRequest>(&bytes);
            let _ = check::<v1::FollowRequest>(&bytes);
        }
    }
}
