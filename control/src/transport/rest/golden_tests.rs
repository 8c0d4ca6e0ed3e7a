//! Every message that REST answers, as JSON: with nothing set, with everything, with extremes, with each value of each
//! enum. They are filled by their descriptors, so that a field that comes later is there too.

use super::*;
use prost::Message;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value as Given,
};
use prost_types::Timestamp;
use proto::described::POOL;
use std::collections::BTreeMap;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/rest/golden.txt");

const ANSWERS: [&str; 25] = [
    "Link",
    "Propagation",
    "ListLinksResponse",
    "ListLinkHistoryResponse",
    "BatchLinksResponse",
    "CheckCodeResponse",
    "QrCode",
    "CountLinksResponse",
    "ListTagsResponse",
    "RenameTagResponse",
    "WatchLinksResponse",
    "LinkChange",
    "Domain",
    "ListDomainsResponse",
    "ListEdgesResponse",
    "ForgetEdgeResponse",
    "Key",
    "ListKeysResponse",
    "ListAuditResponse",
    "QueryClicksResponse",
    "WatchClicksResponse",
    "ClickEvent",
    "DeleteClicksResponse",
    "ReclassifyClicksResponse",
    "ListUnknownCodesResponse",
];

#[derive(Clone, Copy, PartialEq)]
enum Filling {
    Nothing,
    /// What has presence is there, and empty.
    Empty,
    Everything,
    Least,
    Most,
}

fn time(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn value(field: &FieldDescriptor, fill: Filling) -> Given {
    let pick = |empty, everything, least, most| match fill {
        Filling::Nothing | Filling::Empty => empty,
        Filling::Everything => everything,
        Filling::Least => least,
        Filling::Most => most,
    };
    let number = pick(0, 7, i64::MIN, i64::MAX);
    match field.kind() {
        Kind::Bool => Given::Bool(matches!(fill, Filling::Everything | Filling::Most)),
        Kind::Int32 => Given::I32(pick(0, 7, i32::MIN.into(), i32::MAX.into()) as i32),
        Kind::Int64 => Given::I64(number),
        Kind::Uint32 | Kind::Fixed32 => Given::U32(pick(0, 7, 1, u32::MAX.into()) as u32),
        Kind::Uint64 | Kind::Fixed64 => Given::U64(match fill {
            Filling::Most => u64::MAX,
            Filling::Least => (1 << 53) + 1,
            _ => number.cast_unsigned(),
        }),
        Kind::String => Given::String(match fill {
            Filling::Nothing | Filling::Empty => String::new(),
            Filling::Everything => field.name().to_owned(),
            Filling::Least => " ".to_owned(),
            Filling::Most => "\"\\/\0\u{1}\u{1f}\u{7f}\n\t\u{8}\u{c}é\u{2028}\u{feff}\u{1f600}<&>".to_owned(),
        }),
        Kind::Bytes => Given::Bytes(match fill {
            Filling::Nothing | Filling::Empty => bytes::Bytes::new(),
            Filling::Everything => field.name().to_owned().into(),
            Filling::Least => vec![0].into(),
            Filling::Most => vec![0xfb, 0xff, 0].into(),
        }),
        Kind::Enum(kind) => Given::EnumNumber(match fill {
            Filling::Nothing | Filling::Empty => 0,
            Filling::Everything => kind.values().last().map_or(0, |value| value.number()),
            Filling::Least => 1,
            Filling::Most => 99,
        }),
        Kind::Message(kind) if kind.full_name() == "google.protobuf.Timestamp" => {
            let time = match fill {
                Filling::Nothing | Filling::Empty => time(0, 0),
                Filling::Everything => time(1_700_000_000, 120_000_000),
                Filling::Least => time(-62_135_596_800, 1),
                Filling::Most => time(253_402_300_799, 999_999_999),
            };
            let mut message = DynamicMessage::new(kind);
            message.transcode_from(&time).unwrap();
            Given::Message(message)
        }
        Kind::Message(kind) => Given::Message(filled(&kind, fill)),
        kind => panic!("{kind:?} is in no answer yet"),
    }
}

fn filled(kind: &MessageDescriptor, fill: Filling) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    if fill != Filling::Nothing {
        for field in kind.fields() {
            let one = value(&field, fill);
            let given = match (field.cardinality(), &one) {
                (Cardinality::Repeated, Given::Message(_)) => {
                    Given::List(vec![one, value(&field, Filling::Nothing)])
                }
                (Cardinality::Repeated, _) => Given::List(vec![one.clone(), one]),
                _ => one,
            };
            message.set_field(&field, given);
        }
    }
    as_sent(&mut message);
    message
}

/// What the service always says, whatever else it does.
fn as_sent(message: &mut DynamicMessage) {
    let nobody = |message: &DynamicMessage| {
        message.get_field_by_name("blind").is_none_or(|blind| blind.as_list().is_none_or(<[_]>::is_empty))
    };
    match message.descriptor().name() {
        "Propagation" => {
            let status = if nobody(message) { 1 } else { 2 };
            message.set_field_by_name("status", Given::EnumNumber(status));
        }
        "CheckCodeResponse" if message.get_field_by_name("state").unwrap().as_enum_number() == Some(0) => {
            message.set_field_by_name("state", Given::EnumNumber(1));
        }
        "LinkVersion" | "ListEdgesResponse" | "Log" | "Blind" => {
            for field in message.descriptor().fields().filter(|field| !field.is_list()) {
                if field.supports_presence() && !message.has_field(&field) {
                    let empty = value(&field, Filling::Nothing);
                    message.set_field(&field, empty);
                }
            }
        }
        "LinkChange" => {
            let shape = shape("linkr.v1.LinkChange").unwrap();
            let without = &shape.member("link").unwrap().rule.without;
            if let Some(Given::Message(link)) = message.get_field_by_name_mut("link") {
                for name in without {
                    link.clear_field_by_name(name);
                }
            }
        }
        _ => {}
    }
}

fn each_choice(kind: &MessageDescriptor) -> Vec<(String, DynamicMessage)> {
    let mut all = Vec::new();
    for field in kind.fields() {
        let Kind::Enum(choices) = field.kind() else { continue };
        for choice in choices.values() {
            let mut message = filled(kind, Filling::Nothing);
            message.set_field(&field, Given::EnumNumber(choice.number()));
            as_sent(&mut message);
            all.push((format!("{} {}", field.name(), choice.name()), message));
        }
    }
    all
}

fn written(kind: &MessageDescriptor, bytes: &[u8]) -> String {
    serde_json::to_string(&Json::decode(shape(kind.full_name()).unwrap(), bytes).unwrap()).unwrap()
}

#[test]
fn every_message_that_is_answered_is_what_it_was() {
    let mut lines = BTreeMap::new();
    for (at, name) in ANSWERS.iter().enumerate() {
        let kind = POOL.get_message_by_name(&format!("linkr.v1.{name}")).unwrap();
        let fills = [
            ("0 nothing", Filling::Nothing),
            ("1 empty", Filling::Empty),
            ("2 everything", Filling::Everything),
            ("3 least", Filling::Least),
            ("4 most", Filling::Most),
        ];
        let mut messages: Vec<_> =
            fills.map(|(named, fill)| (named.to_owned(), filled(&kind, fill))).into_iter().collect();
        messages.extend(each_choice(&kind));
        for (named, message) in messages {
            lines.insert(
                (at, named.clone()),
                format!("{name}, {named}: {}", written(&kind, &message.encode_to_vec())),
            );
        }
    }
    let now = lines.into_values().map(|line| line + "\n").collect::<String>();
    if std::env::var_os("LINKR_WRITE_GOLDEN").is_some() {
        std::fs::write(FILE, &now).unwrap();
    }
    let before = std::fs::read_to_string(FILE).unwrap();
    for (new, old) in now.lines().zip(before.lines()) {
        assert_eq!(new, old);
    }
    assert_eq!(now.len(), before.len());
}
