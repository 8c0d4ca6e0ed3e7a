//! Messages of `linkr.v1` as JSON Schema: names, kinds and words come from their descriptors. No route is here.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Everything that the package describes, by full name without the leading dot.
#[derive(Default)]
pub struct Described {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
    /// What a call takes and answers.
    calls: BTreeMap<String, (String, String)>,
    words: BTreeMap<String, String>,
}

impl Described {
    /// Reads the descriptors that were compiled in.
    pub fn new() -> Self {
        let mut described = Self::default();
        // They were written by the same build; should they not be readable, the page is empty and a test fails.
        for file in FileDescriptorSet::decode(proto::v1::DESCRIPTORS).unwrap_or_default().file {
            let mut names = BTreeMap::new();
            for (at, message) in (0..).zip(&file.message_type) {
                described.message(file.package(), message, &[4, at], &mut names);
            }
            for (at, own) in (0..).zip(&file.enum_type) {
                described.choice(file.package(), own, &[5, at], &mut names);
            }
            for (at, service) in (0..).zip(&file.service) {
                let full = format!("{}.{}", file.package(), service.name());
                for (call, method) in (0..).zip(&service.method) {
                    let name = format!("{}.{}", full, method.name());
                    let plain = |name: &str| name.trim_start_matches('.').to_owned();
                    let ends = (plain(method.input_type()), plain(method.output_type()));
                    described.calls.insert(name.clone(), ends);
                    names.insert(vec![6, at, 2, call], name);
                }
                names.insert(vec![6, at], full);
            }
            for place in file.source_code_info.iter().flat_map(|info| &info.location) {
                if let Some(name) = names.get(&place.path) {
                    let words = place.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ");
                    described.words.insert(name.clone(), words);
                }
            }
        }
        described
    }

    fn message(
        &mut self,
        prefix: &str,
        own: &DescriptorProto,
        path: &[i32],
        names: &mut BTreeMap<Vec<i32>, String>,
    ) {
        let full = format!("{prefix}.{}", own.name());
        for (at, field) in (0..).zip(&own.field) {
            names.insert([path, &[2, at]].concat(), format!("{full}.{}", field.name()));
        }
        for (at, inner) in (0..).zip(&own.nested_type) {
            self.message(&full, inner, &[path, &[3, at]].concat(), names);
        }
        for (at, inner) in (0..).zip(&own.enum_type) {
            self.choice(&full, inner, &[path, &[4, at]].concat(), names);
        }
        names.insert(path.to_vec(), full.clone());
        self.messages.insert(full, own.clone());
    }

    fn choice(
        &mut self,
        prefix: &str,
        own: &EnumDescriptorProto,
        path: &[i32],
        names: &mut BTreeMap<Vec<i32>, String>,
    ) {
        let full = format!("{prefix}.{}", own.name());
        names.insert(path.to_vec(), full.clone());
        self.enums.insert(full, own.clone());
    }

    /// What the `.proto` says of a message, field or call.
    pub fn words(&self, name: &str) -> &str {
        self.words.get(name).map_or("", String::as_str)
    }

    /// The messages that a call takes and answers.
    pub fn ends(&self, call: &str) -> (&str, &str) {
        self.calls.get(call).map_or(("", ""), |(request, answer)| (request, answer))
    }

    /// The schema of one field of a message.
    pub fn field(&self, message: &str, field: &str) -> Option<Value> {
        let own = self.messages.get(message)?.field.iter().find(|own| own.name() == field)?;
        Some(self.of_field(message, own))
    }

    /// Each of the named messages and all that they hold, by their short names.
    pub fn schemas<'a>(&self, messages: impl Iterator<Item = &'a str>) -> Map<String, Value> {
        let (mut schemas, mut todo) = (Map::new(), messages.map(str::to_owned).collect::<Vec<_>>());
        while let Some(name) = todo.pop() {
            let Some(message) = self.messages.get(&name).filter(|_| !schemas.contains_key(short(&name)))
            else {
                continue;
            };
            let mut fields = Map::new();
            for field in &message.field {
                if field.r#type() == Type::Message && !is_known(field.type_name()) {
                    todo.push(field.type_name().trim_start_matches('.').to_owned());
                }
                fields.insert(field.name().to_owned(), self.of_field(&name, field));
            }
            let schema = json!({ "type": "object", "description": self.words(&name), "properties": fields });
            schemas.insert(short(&name).to_owned(), schema);
        }
        schemas
    }

    fn of_field(&self, message: &str, field: &FieldDescriptorProto) -> Value {
        let words = self.words(&format!("{message}.{}", field.name()));
        let mut schema = self.of_type(field);
        if field.label() == Label::Repeated {
            schema = json!({ "type": "array", "items": schema });
        }
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".into(), words.into());
            if words.contains("Output only") {
                fields.insert("readOnly".into(), true.into());
            }
        }
        schema
    }

    fn of_type(&self, field: &FieldDescriptorProto) -> Value {
        let name = field.type_name().trim_start_matches('.');
        match field.r#type() {
            Type::Message if name == "google.protobuf.Timestamp" => {
                json!({ "type": "string", "format": "date-time" })
            }
            Type::Message if name == "linkr.v1.Epoch" => {
                json!({ "type": "string", "pattern": "^[0-9]+-[0-9a-f]{8}$" })
            }
            Type::Message => {
                json!({ "allOf": [{ "$ref": format!("#/components/schemas/{}", short(name)) }] })
            }
            Type::Enum => json!({ "type": "string", "enum": self.choices(name) }),
            Type::Bool => json!({ "type": "boolean" }),
            Type::String | Type::Bytes => json!({ "type": "string" }),
            Type::Uint32 | Type::Fixed32 => {
                json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX })
            }
            Type::Uint64 | Type::Fixed64 => json!({ "type": "integer", "minimum": 0 }),
            _ => json!({ "type": "integer", "format": "int32" }),
        }
    }

    /// The values of an enum in lower case, without the prefix that all of them share and the one that says nothing.
    fn choices(&self, name: &str) -> Vec<String> {
        let Some(own) = self.enums.get(name) else { return Vec::new() };
        let names = || own.value.iter().map(prost_types::EnumValueDescriptorProto::name);
        let first = names().find_map(|name| name.strip_suffix("UNSPECIFIED")).unwrap_or_default();
        let plain = names().filter_map(|name| name.strip_prefix(first));
        plain.filter(|name| *name != "UNSPECIFIED").map(str::to_ascii_lowercase).collect()
    }
}

/// The name behind the package: `Link`, `PropagationBlind`.
pub fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Messages that JSON writes as one value.
fn is_known(name: &str) -> bool {
    name.starts_with(".google.protobuf.") || name == ".linkr.v1.Epoch"
}
