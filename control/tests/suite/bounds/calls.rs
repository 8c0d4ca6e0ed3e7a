//! Every call of the API with the text fields of its request, read from the descriptors; and a call made of bytes.

use bytes::{Buf, BufMut};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use proto::client::KeyedChannel;
use proto::v1;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

/// What a text of a request can name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NameKind {
    Nothing,
    Parent,
    Link,
    Target,
    Host,
    Key,
    Audited,
    Client,
    /// A page token of a list, of links or of one link's history.
    Token,
    /// A page token that is a place: any is good.
    Place,
    Etag,
    Revision,
}

/// Every text field that a request can have, by its message. One that is missing here fails the test.
const FIELDS: &[(&str, NameKind)] = &[
    ("parent", NameKind::Parent),
    ("name", NameKind::Link),
    ("GetDomainRequest.name", NameKind::Parent),
    ("DeleteDomainRequest.name", NameKind::Parent),
    ("Domain.name", NameKind::Parent),
    ("Domain.domain", NameKind::Host),
    ("Domain.not_found", NameKind::Target),
    ("DomainFile.path", NameKind::Nothing),
    ("DomainFile.content_type", NameKind::Nothing),
    ("Domain.root_target", NameKind::Target),
    ("expired_target", NameKind::Target),
    ("Domain.robots", NameKind::Nothing),
    ("CreateDomainRequest.domain_id", NameKind::Host),
    ("ListDomainsRequest.page_token", NameKind::Place),
    ("ListAuditRequest.name", NameKind::Audited),
    ("ListAuditRequest.page_token", NameKind::Place),
    ("RotateKeyRequest.name", NameKind::Key),
    ("RevokeKeyRequest.name", NameKind::Key),
    ("Key.name", NameKind::Key),
    ("Key.client", NameKind::Client),
    ("Key.domains", NameKind::Host),
    ("Key.scopes", NameKind::Nothing),
    ("Key.edge", NameKind::Nothing),
    ("Key.secret", NameKind::Nothing),
    ("page_token", NameKind::Token),
    ("target", NameKind::Target),
    ("domain", NameKind::Host),
    ("short_url", NameKind::Nothing),
    ("etag", NameKind::Etag),
    ("revision", NameKind::Revision),
    // Codes are of the domain that is named beside them; the rest is text for people, or of this request alone.
    ("code", NameKind::Nothing),
    ("link_id", NameKind::Nothing),
    ("code_prefix", NameKind::Nothing),
    ("title", NameKind::Nothing),
    ("tags", NameKind::Nothing),
    ("tag", NameKind::Nothing),
    ("new_tag", NameKind::Nothing),
    ("prefix", NameKind::Nothing),
    ("note", NameKind::Nothing),
    ("external_id", NameKind::Nothing),
    ("blocked_by", NameKind::Nothing),
    ("request_id", NameKind::Nothing),
    ("filter", NameKind::Nothing),
    ("order_by", NameKind::Nothing),
    ("ForgetEdgeRequest.edge", NameKind::Nothing),
    ("ExplainLinkRequest.edge", NameKind::Nothing),
    ("AppliedBy.edge", NameKind::Nothing),
    ("Blind.edge", NameKind::Nothing),
    ("AppendRequest.edge", NameKind::Nothing),
    // What clicks are counted by is text of the answer; they are of the domain or link that is named beside it.
    ("zone", NameKind::Nothing),
    ("group_by", NameKind::Nothing),
    ("splits", NameKind::Nothing),
    ("kinds", NameKind::Nothing),
    ("countries", NameKind::Nothing),
    ("browsers", NameKind::Nothing),
    ("oses", NameKind::Nothing),
    ("devices", NameKind::Nothing),
    ("referrers", NameKind::Nothing),
    ("languages", NameKind::Nothing),
    ("ExportClicksRequest.after", NameKind::Place),
    ("ReclassifyClicksRequest.after", NameKind::Place),
];

/// One text field of a request: the way there, and its name.
pub struct Field {
    steps: Vec<(u32, bool)>,
    leaf: u32,
    pub message: String,
    pub name: String,
}

impl Field {
    pub fn names(&self) -> NameKind {
        let whole = format!("{}.{}", self.message, self.name);
        let found = FIELDS.iter().find(|(own, _)| *own == whole);
        let found = found.or_else(|| FIELDS.iter().find(|(own, _)| *own == self.name));
        found.unwrap_or_else(|| panic!("nobody said what {whole} can name: say it in FIELDS")).1
    }

    /// The message with this value in the field.
    pub fn with(&self, base: &Base, value: &str) -> Vec<u8> {
        let mut inner = delimited(self.leaf, value.as_bytes());
        for (tag, repeated) in self.steps.iter().rev() {
            let before = if *repeated { &base.element[..] } else { &[] };
            inner = delimited(*tag, &[before, &inner].concat());
        }
        [&base.message[..], &inner].concat()
    }
}

fn delimited(tag: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(tag) << 3 | 2, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A good request of the bound caller, and one of those in it if it holds many.
pub struct Base {
    pub message: Vec<u8>,
    element: Vec<u8>,
}

pub fn base(call: &str) -> Base {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (parent, name) = ("domains/a.example".to_owned(), "domains/a.example/links/own".to_owned());
    let link = || v1::Link { target: "https://t.example/".into(), ..v1::Link::default() };
    let titled = || v1::Link { name: name.clone(), title: "t".into(), ..v1::Link::default() };
    let update = || v1::UpdateLinkRequest { link: Some(titled()), ..v1::UpdateLinkRequest::default() };
    let create = || v1::CreateLinkRequest { link: Some(link()), ..v1::CreateLinkRequest::default() };
    let delete = || v1::DeleteLinkRequest { name: name.clone(), ..v1::DeleteLinkRequest::default() };
    let one = |message: Vec<u8>| Base { message, element: Vec::new() };
    match call {
        "Links/CreateLink" => one(v1::CreateLinkRequest { parent, ..create() }.encode_to_vec()),
        "Links/GetLink" => one(v1::GetLinkRequest { name }.encode_to_vec()),
        "Links/UpdateLink" => one(update().encode_to_vec()),
        "Links/DeleteLink" => one(v1::DeleteLinkRequest { validate_only: true, ..delete() }.encode_to_vec()),
        "Links/ListLinks" => {
            one(v1::ListLinksRequest { parent, page_size: 1, ..Default::default() }.encode_to_vec())
        }
        "Links/ImportLinks" => Base {
            message: v1::ImportLinksRequest { parent, ..Default::default() }.encode_to_vec(),
            element: v1::Link { code: "imported".into(), ..link() }.encode_to_vec(),
        },
        "Links/ExportLinks" => one(v1::ExportLinksRequest { parent, show_deleted: true }.encode_to_vec()),
        "Links/CountLinks" => one(v1::CountLinksRequest { parent, ..Default::default() }.encode_to_vec()),
        "Links/ListTags" => one(v1::ListTagsRequest { parent, ..Default::default() }.encode_to_vec()),
        "Links/RenameTag" => {
            let (tag, new_tag) = ("t".to_owned(), "u".to_owned());
            one(v1::RenameTagRequest { parent, tag, new_tag, merge: false }.encode_to_vec())
        }
        "Edges/ExplainLink" => one(v1::ExplainLinkRequest { name, edge: "e".into() }.encode_to_vec()),
        "Links/GetLinkQrCode" => one(v1::GetLinkQrCodeRequest { name }.encode_to_vec()),
        "Links/CheckCode" => one(v1::CheckCodeRequest { name }.encode_to_vec()),
        "Links/UndeleteLink" => one(v1::UndeleteLinkRequest { name, ..Default::default() }.encode_to_vec()),
        "Links/ListLinkHistory" => {
            one(v1::ListLinkHistoryRequest { name, ..Default::default() }.encode_to_vec())
        }
        "Links/RestoreLink" => one(v1::RestoreLinkRequest { name, ..Default::default() }.encode_to_vec()),
        "Links/BatchCreateLinks" => Base {
            message: v1::BatchCreateLinksRequest { parent, ..Default::default() }.encode_to_vec(),
            element: create().encode_to_vec(),
        },
        "Links/BatchUpdateLinks" => Base {
            message: v1::BatchUpdateLinksRequest { parent, ..Default::default() }.encode_to_vec(),
            element: update().encode_to_vec(),
        },
        "Links/BatchDeleteLinks" => Base {
            message: v1::BatchDeleteLinksRequest { parent, validate_only: true, ..Default::default() }
                .encode_to_vec(),
            element: delete().encode_to_vec(),
        },
        "Links/WatchLinks" => one(v1::WatchLinksRequest { parent, ..Default::default() }.encode_to_vec()),
        "Edges/ListEdges"
        | "Edges/ForgetEdge"
        | "Domains/ListDomains"
        | "Keys/ListAudit"
        | "Keys/ListKeys" => one(Vec::new()),
        "Domains/CreateDomain" => {
            one(v1::CreateDomainRequest { domain_id: "a.example".into(), ..Default::default() }
                .encode_to_vec())
        }
        "Domains/DeleteDomain" => {
            let request = v1::DeleteDomainRequest { name: parent, validate_only: true, ..Default::default() };
            one(request.encode_to_vec())
        }
        "Domains/GetDomain" => one(v1::GetDomainRequest { name: parent }.encode_to_vec()),
        "Domains/UpdateDomain" => {
            let domain = Some(v1::Domain { name: parent, ..v1::Domain::default() });
            let update_mask = Some(prost_types::FieldMask { paths: vec!["not_found".into()] });
            let request = v1::UpdateDomainRequest { domain, update_mask, ..Default::default() };
            one(request.encode_to_vec())
        }
        "Keys/CreateKey" => {
            let key = v1::Key {
                client: format!("mine{}", NEXT.fetch_add(1, Ordering::Relaxed)),
                scopes: vec!["links:read".into()],
                domains: vec!["a.example".into()],
                ..v1::Key::default()
            };
            one(v1::CreateKeyRequest { key: Some(key) }.encode_to_vec())
        }
        "Targets/BlockTarget" | "Targets/UnblockTarget" | "Targets/ListBlockedTargets" => {
            one(v1::UnblockTargetRequest { host: "evil.example".into() }.encode_to_vec())
        }
        "Keys/RotateKey" | "Keys/RevokeKey" | "Feed/Follow" | "Feed/Fetch" | "Feed/Append" => one(Vec::new()),
        "Clicks/QueryClicks" => one(v1::QueryClicksRequest { parent, ..Default::default() }.encode_to_vec()),
        "Clicks/QueryLinkClicks" => {
            one(v1::QueryLinkClicksRequest { name, ..Default::default() }.encode_to_vec())
        }
        "Clicks/WatchClicks" => one(v1::WatchClicksRequest { parent, ..Default::default() }.encode_to_vec()),
        "Clicks/ExportClicks" => {
            one(v1::ExportClicksRequest { parent, ..Default::default() }.encode_to_vec())
        }
        "Clicks/DeleteClicks" => {
            let code = "own".to_owned();
            one(v1::DeleteClicksRequest { parent, code, before: None }.encode_to_vec())
        }
        "Clicks/ReclassifyClicks" => one(v1::ReclassifyClicksRequest::default().encode_to_vec()),
        "Clicks/ListUnknownCodes" => {
            one(v1::ListUnknownCodesRequest { parent, ..Default::default() }.encode_to_vec())
        }
        other => panic!("{other} is in no row of this table: say what a good request is"),
    }
}

/// Every call, with the text fields of its request.
pub fn calls() -> Vec<(String, Vec<Field>)> {
    let files = FileDescriptorSet::decode(v1::DESCRIPTORS).unwrap().file;
    let own: Vec<_> = files.into_iter().filter(|file| file.package() == "linkr.v1").collect();
    let mut types = BTreeMap::new();
    for file in &own {
        file.message_type.iter().for_each(|message| note(".linkr.v1", message, &mut types));
    }
    let mut calls = Vec::new();
    for service in own.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let mut fields = Vec::new();
            walk(&types, method.input_type(), &mut Vec::new(), &mut fields);
            calls.push((format!("{}/{}", service.name(), method.name()), fields));
        }
    }
    calls
}

fn note<'a>(under: &str, message: &'a DescriptorProto, types: &mut BTreeMap<String, &'a DescriptorProto>) {
    let name = format!("{under}.{}", message.name());
    message.nested_type.iter().for_each(|inner| note(&name, inner, types));
    types.insert(name, message);
}

fn walk(
    types: &BTreeMap<String, &DescriptorProto>,
    of: &str,
    steps: &mut Vec<(u32, bool)>,
    fields: &mut Vec<Field>,
) {
    let Some(message) = types.get(of) else { return }; // of Google's: times and masks
    for field in &message.field {
        let (tag, name) = (field.number() as u32, field.name().to_owned());
        match field.r#type() {
            Type::Message => {
                steps.push((tag, field.label() == Label::Repeated));
                walk(types, field.type_name(), steps, fields);
                steps.pop();
            }
            Type::String => fields.push(Field {
                steps: steps.clone(),
                leaf: tag,
                message: message.name().to_owned(),
                name,
            }),
            _ => {}
        }
    }
}

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// What a call told: its code, and all the text in what came back.
#[derive(Clone, Debug, PartialEq)]
pub struct CallReply {
    pub code: Code,
    pub text: String,
}

pub async fn told(way: &KeyedChannel, call: &str, message: Vec<u8>) -> CallReply {
    let refused = |status: &Status| CallReply {
        code: status.code(),
        text: format!("{} {}", status.message(), String::from_utf8_lossy(status.details())),
    };
    let mut client = tonic::client::Grpc::new(way.clone());
    client.ready().await.unwrap();
    let path = format!("/linkr.v1.{call}").parse().unwrap();
    let answer = client.streaming(Request::new(tokio_stream::iter([message])), path, RawCodec).await;
    let mut answers = match answer {
        Ok(answers) => answers.into_inner(),
        Err(status) => return refused(&status),
    };
    let mut text = String::new();
    loop {
        match answers.message().await {
            Ok(Some(message)) => text += &String::from_utf8_lossy(&message),
            Ok(None) => break,
            Err(status) => return refused(&status),
        }
        if ["Links/WatchLinks", "Clicks/WatchClicks"].contains(&call) {
            break; // it has no end
        }
    }
    CallReply { code: Code::Ok, text }
}
