//! Messages of `linkr.v1` as JSON Schema: names, kinds, bounds and words come from their descriptors. No route is here.

use proto::described::{Form, Member, POOL, Shape, shape};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The words of the package, by full name.
#[derive(Default)]
pub struct Descriptions {
    words: BTreeMap<String, String>,
}

impl Descriptions {
    /// Reads the descriptors that were compiled in.
    pub fn new() -> Self {
        let mut described = Self::default();
        for file in POOL.files().filter(|file| file.package_name() == "linkr.v1") {
            let mut comments = HashMap::new();
            for place in file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location)
            {
                let words = place.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ");
                comments.insert(place.path.as_slice(), words);
            }
            let mut tell = |name: &str, path: &[i32]| {
                if let Some(words) = comments.get(path) {
                    described.words.insert(name.to_owned(), words.clone());
                }
            };
            for message in POOL.all_messages().filter(|message| message.parent_file() == file) {
                tell(message.full_name(), message.path());
                message.fields().for_each(|field| tell(field.full_name(), field.path()));
            }
            for service in file.services() {
                tell(service.full_name(), service.path());
                service.methods().for_each(|method| tell(method.full_name(), method.path()));
            }
        }
        described
    }

    /// What the `.proto` says of a message, field or call.
    pub fn words(&self, name: &str) -> &str {
        self.words.get(name).map_or("", String::as_str)
    }

    /// Each of the named messages and all that they hold, by their short names. Of those that requests carry, `asked`, a
    /// member is required if nothing can be made without it; of others, if every answer has it.
    pub fn schemas<'a>(
        &self,
        messages: impl Iterator<Item = &'a str>,
        asked: &BTreeSet<String>,
    ) -> Map<String, Value> {
        let (mut schemas, mut todo) = (Map::new(), messages.map(str::to_owned).collect::<Vec<_>>());
        while let Some(name) = todo.pop() {
            let Some(message) = shape(&name).filter(|_| !schemas.contains_key(short(&name))) else {
                continue;
            };
            for member in &message.members {
                if let Form::Message(inside) = &member.form {
                    todo.push(inside.clone());
                }
            }
            let is_asked = asked.contains(&name);
            let is_required = |member: &&Member| match is_asked {
                true => member.required,
                false => member.is_always_said(),
            };
            let mut schema = self.object(self.words(&name), message.members.iter());
            let required = message.members.iter().filter(is_required);
            let required: Vec<&str> = required.map(|member| member.name.as_str()).collect();
            if !required.is_empty() {
                schema["required"] = required.into();
            }
            schemas.insert(short(&name).to_owned(), schema);
        }
        schemas
    }

    /// What a change of a resource may say, of which nothing is required.
    pub fn change(&self, shape: &Shape) -> Value {
        let kind = shape.message.name().to_lowercase();
        let words =
            format!("What a change of a {kind} says: the members that are there are the fields that change.");
        let mut schema = self.object(&words, shape.members.iter().filter(|member| !member.output_only));
        schema["minProperties"] = 1.into();
        schema
    }

    fn object<'a>(&self, words: &str, members: impl Iterator<Item = &'a Member>) -> Value {
        let fields: Map<String, Value> =
            members.map(|member| (member.name.clone(), self.of_field(member))).collect();
        json!({ "type": "object", "description": words, "properties": fields })
    }

    /// The schema of one field.
    pub fn of_field(&self, member: &Member) -> Value {
        let mut schema = bounded(member, of_form(&member.form));
        if member.list {
            let mut list = Map::new();
            list.insert("type".into(), "array".into());
            list.insert("items".into(), schema.into());
            put(&mut list, "minItems", member.rule.min_items);
            put(&mut list, "maxItems", member.rule.max_items);
            schema = list;
        }
        schema.insert("description".into(), self.words(member.field.full_name()).into());
        if member.output_only {
            schema.insert("readOnly".into(), true.into());
        }
        schema.into()
    }
}

fn of_form(form: &Form) -> Value {
    match form {
        Form::Text | Form::Other => json!({ "type": "string" }),
        Form::Bytes => json!({ "type": "string", "format": "byte" }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Signed => json!({ "type": "integer", "format": "int32" }),
        Form::Short => json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX }),
        Form::Long => json!({ "type": "integer", "minimum": 0 }),
        Form::Choice(all) => json!({ "type": "string", "enum": proto::json::read::names(all) }),
        Form::Time => json!({ "type": "string", "format": "date-time" }),
        Form::Epoch => json!({ "type": "string", "pattern": "^[0-9]+-[0-9a-f]{8}$" }),
        Form::Message(name) => {
            json!({ "allOf": [{ "$ref": format!("#/components/schemas/{}", short(name)) }] })
        }
    }
}

/// With what the rule of the field allows, of each element if it is a list.
fn bounded(member: &Member, schema: Value) -> Map<String, Value> {
    let Value::Object(mut schema) = schema else { return Map::new() };
    let rule = &member.rule;
    put(&mut schema, "minLength", rule.min_length);
    put(&mut schema, "maxLength", rule.max_length);
    put(&mut schema, "maximum", rule.maximum);
    if !rule.pattern.is_empty() {
        schema.insert("pattern".into(), rule.pattern.as_str().into());
    }
    if !rule.choices.is_empty() {
        schema.insert("enum".into(), rule.choices.clone().into());
    }
    if !rule.numbers.is_empty() {
        schema.insert("enum".into(), rule.numbers.clone().into());
    }
    schema
}

fn put(schema: &mut Map<String, Value>, name: &str, number: u32) {
    if number > 0 {
        schema.insert(name.into(), number.into());
    }
}

/// The named messages, and those in them that a request carries.
pub fn carried<'a>(messages: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let (mut all, mut todo) = (BTreeSet::new(), messages.map(str::to_owned).collect::<Vec<_>>());
    while let Some(name) = todo.pop() {
        for member in shape(&name).into_iter().flat_map(|shape| &shape.members) {
            if let Form::Message(inside) = &member.form
                && !member.output_only
                && !all.contains(inside)
            {
                todo.push(inside.clone());
            }
        }
        all.insert(name);
    }
    all
}

/// The name behind the package: `Link`, `PropagationBlind`.
pub fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
