//! The API by its descriptors: who may make which call and by which path, what is in each message, and what a field may
//! hold. All of it stands in `linkr/v1/*.proto`, and nowhere else.

use crate::v1::{self, CallRule, FieldRule};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Every descriptor of the package. They were written by the same build; should they not be readable, there is no call
/// at all, and tests fail.
pub static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(v1::DESCRIPTORS).unwrap_or_default());

static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| {
    let services: Vec<_> = POOL.services().collect();
    services.iter().flat_map(|service| service.methods().map(|method| Call::of(&method))).collect()
});

static SHAPES: LazyLock<HashMap<String, Shape>> = LazyLock::new(|| {
    POOL.all_messages().map(|message| (message.full_name().to_owned(), Shape::of(message))).collect()
});

/// Every call, in the order of the files.
pub fn calls() -> &'static [Call] {
    &CALLS
}

/// The call by this name, such as `GetLink`.
pub fn call(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name == name)
}

/// The message by its full name, such as `linkr.v1.Link`.
pub fn shape(full_name: &str) -> Option<&'static Shape> {
    SHAPES.get(full_name)
}

/// The names of the fields that a caller may set in what there is already, in the order of the message.
pub fn settable(full_name: &str) -> Vec<&'static str> {
    shape(full_name).map_or_else(Vec::new, |shape| {
        shape.settable().into_iter().map(|member| member.name.as_str()).collect()
    })
}

/// A call, and what it asks for.
#[derive(Debug)]
pub struct Call {
    /// Its service, such as `Links`.
    pub service: String,
    /// Its name, such as `GetLink`.
    pub name: String,
    /// Its path over gRPC.
    pub path: String,
    /// What it takes.
    pub input: MessageDescriptor,
    /// What it answers.
    pub output: MessageDescriptor,
    /// It takes as many messages as are sent.
    pub takes_stream: bool,
    /// It answers as many messages as there are.
    pub gives_stream: bool,
    /// Who may make it, what it costs, and how it can be refused.
    pub rule: CallRule,
    /// How it is made over REST, if it can be.
    pub http: Option<Http>,
}

/// How a call is made over REST: `google.api.http`.
#[derive(Debug)]
pub struct Http {
    /// In upper case.
    pub method: &'static str,
    /// As it stands in the `.proto`.
    pub path: String,
    /// The field that the body is; `*`: all that the path does not say; empty: there is none.
    pub body: String,
}

impl Call {
    fn of(method: &MethodDescriptor) -> Self {
        let service = method.parent_service();
        let options = method.options();
        Self {
            service: service.name().to_owned(),
            name: method.name().to_owned(),
            path: format!("/{}/{}", service.full_name(), method.name()),
            input: method.input(),
            output: method.output(),
            takes_stream: method.is_client_streaming(),
            gives_stream: method.is_server_streaming(),
            rule: message_of(&options, "linkr.v1.call"),
            http: extension(&options, "google.api.http")
                .as_ref()
                .and_then(Value::as_message)
                .and_then(Http::of),
        }
    }
}

impl Http {
    const METHODS: [(&'static str, &'static str); 5] =
        [("get", "GET"), ("put", "PUT"), ("post", "POST"), ("delete", "DELETE"), ("patch", "PATCH")];

    fn of(rule: &DynamicMessage) -> Option<Self> {
        let text = |field: &str| Some(rule.get_field_by_name(field)?.as_str()?.to_owned());
        let known = Self::METHODS.into_iter().find(|(field, _)| rule.has_field_by_name(field));
        let (field, method) = known?;
        Some(Self { method, path: text(field)?, body: text("body")? })
    }
}

/// A message.
#[derive(Debug)]
pub struct Shape {
    /// Its descriptor.
    pub message: MessageDescriptor,
    /// Its fields in the order of their names.
    pub members: Vec<Member>,
}

impl Shape {
    fn of(message: MessageDescriptor) -> Self {
        let mut members: Vec<Member> = message.fields().map(Member::of).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Self { message, members }
    }

    /// The fields that a caller may set in what there is already, in the order of the message.
    pub fn settable(&self) -> Vec<&Member> {
        let mut all: Vec<_> = self.members.iter().filter(|member| member.is_settable()).collect();
        all.sort_by_key(|member| member.field.number());
        all
    }

    /// The field by this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.position(name).map(|at| &self.members[at])
    }

    /// Where in `members` it is.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.name.as_str().cmp(name)).ok()
    }
}

/// A field of a message, and what is said of it.
#[derive(Debug)]
pub struct Member {
    /// Its descriptor.
    pub field: FieldDescriptor,
    /// Its name.
    pub name: String,
    /// What is in it, or in each element of it.
    pub form: Form,
    /// It may stand there more than once.
    pub list: bool,
    /// That it is not there is something else than that it is empty.
    pub presence: bool,
    /// A resource cannot be made without it.
    pub required: bool,
    /// Only answers carry it.
    pub output_only: bool,
    /// It can be set when its resource is made, and never again.
    pub immutable: bool,
    /// What it may hold, and how JSON has it.
    pub rule: FieldRule,
}

/// What is in a field.
#[derive(Debug)]
pub enum Form {
    /// A text.
    Text,
    /// Bytes: base64 in JSON.
    Bytes,
    /// Yes or no.
    Flag,
    /// An `int32`.
    Signed,
    /// A `uint32` or `fixed32`.
    Short,
    /// A `uint64` or `fixed64`.
    Long,
    /// One of these: names in JSON, and numbers.
    Choice(Vec<(String, i32)>),
    /// A moment.
    Time,
    /// A history of the log.
    Epoch,
    /// The message by this full name.
    Message(String),
    /// What no message of REST holds.
    Other,
}

impl Member {
    fn of(field: FieldDescriptor) -> Self {
        let options = field.options();
        let behavior = extension(&options, "google.api.field_behavior");
        let is = |number| {
            let all = behavior.as_ref().and_then(Value::as_list).unwrap_or_default();
            all.iter().any(|own| own.as_enum_number() == Some(number))
        };
        Self {
            name: field.name().to_owned(),
            form: Form::of(&field.kind()),
            list: field.is_list(),
            presence: field.supports_presence(),
            required: is(2),
            output_only: is(3),
            immutable: is(5),
            rule: message_of(&options, "linkr.v1.rule"),
            field,
        }
    }
}

impl Member {
    /// Whether an answer has it, whatever it is.
    pub fn is_always_said(&self) -> bool {
        !self.presence && !self.rule.sparse && !matches!(self.form, Form::Choice(_))
    }

    /// Whether a caller may set it in what there is already. An etag says which version is meant.
    pub fn is_settable(&self) -> bool {
        !self.output_only && !self.immutable && self.name != "etag"
    }
}

impl Form {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Bool => Self::Flag,
            Kind::Int32 => Self::Signed,
            Kind::Uint32 | Kind::Fixed32 => Self::Short,
            Kind::Uint64 | Kind::Fixed64 => Self::Long,
            Kind::Enum(choices) => {
                let names: Vec<_> =
                    choices.values().map(|value| (value.name().to_owned(), value.number())).collect();
                Self::choice(&names)
            }
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => Self::Time,
                "linkr.v1.Epoch" => Self::Epoch,
                name => Self::Message(name.to_owned()),
            },
            _ => Self::Other,
        }
    }

    /// In lower case, without the prefix that all of them share and without the one that says nothing.
    fn choice(names: &[(String, i32)]) -> Self {
        let prefix = names.iter().find_map(|(name, _)| name.strip_suffix("UNSPECIFIED")).unwrap_or_default();
        let plain = names.iter().filter_map(|(name, number)| Some((name.strip_prefix(prefix)?, *number)));
        let said = plain.filter(|(name, _)| *name != "UNSPECIFIED");
        Self::Choice(said.map(|(name, number)| (name.to_ascii_lowercase(), number)).collect())
    }
}

fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = POOL.get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// The message that an option is; empty where it is not given.
fn message_of<M: Message + Default>(options: &DynamicMessage, name: &str) -> M {
    let given = extension(options, name);
    given
        .as_ref()
        .and_then(Value::as_message)
        .and_then(|message| message.transcode_to().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_there() {
        let update = call("UpdateLink").unwrap();
        let http = update.http.as_ref().unwrap();
        assert_eq!((http.method, &*http.path), ("PATCH", "/v1/{link.name=domains/*/links/**}"));
        assert_eq!((&*http.body, &*update.rule.scope, update.rule.weight), ("link", "links:write", 1));
        let link = shape("linkr.v1.Link").unwrap();
        assert!(link.member("revision").unwrap().output_only && link.member("code").unwrap().immutable);
        assert_eq!(link.member("target").unwrap().rule.max_length, 8_192);
        assert!(link.member("target").unwrap().required && !link.member("code").unwrap().required);
        let Form::Choice(choices) = &link.member("query").unwrap().form else { panic!("query is no choice") };
        assert_eq!(
            choices.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
            ["drop", "append", "override"]
        );
    }

    #[test]
    fn every_call_says_who_may_make_it() {
        for call in calls() {
            assert!(!call.rule.scope.is_empty(), "{} has no scope", call.path);
            let streams = call.takes_stream || call.service == "Feed" || call.name == "ExportLinks";
            assert_eq!(call.http.is_none(), streams, "{}", call.path);
        }
        assert!(calls().len() > 25, "{}", calls().len());
    }
}
