//! Messages from JSON that a caller wrote. Members are taken in the order in which they stand; a bound on all of it is
//! held before (`bounds`), and reading takes time in proportion to it.

use crate::described::{Form, Member, Shape, shape};
use base64::prelude::{BASE64_STANDARD, Engine};
use prost_reflect::{DynamicMessage, Kind, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// JSON as it stands: a map would keep the last of two members by the same name and not say so.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`: the default of its field.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number.
    Number,
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Object(Vec<(String, Tree)>),
}

/// The members of an object.
#[derive(Debug)]
pub struct Members(pub Vec<(String, Tree)>);

/// A field of a message, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Its name; of one that is inside others, theirs before it.
    pub field: String,
    /// Worded so that it follows the name.
    pub why: String,
}

impl FieldFault {
    /// Of a field.
    pub fn new(field: &str, why: impl Into<String>) -> Self {
        Self { field: field.to_owned(), why: why.into() }
    }

    /// The same of a field of what is here.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

/// A message that a caller gives.
#[derive(Debug)]
pub struct GivenMessage {
    /// What it says.
    pub message: DynamicMessage,
    /// The fields of it that can be set and were there, `null` or not.
    pub paths: Vec<String>,
}

/// The members of a JSON object.
///
/// # Errors
/// When it is malformed, or none.
pub fn members(body: &[u8]) -> Result<Vec<(String, Tree)>, serde_json::Error> {
    serde_json::from_slice(body).map(|Members(members)| members)
}

/// The message that members say. What only answers carry may come back with the rest, and is not looked at.
///
/// # Errors
/// The first member that no request has, or that is not of its kind.
pub fn message(shape: &'static Shape, members: Vec<(String, Tree)>) -> Result<GivenMessage, FieldFault> {
    let mut given = GivenMessage { message: DynamicMessage::new(shape.message.clone()), paths: Vec::new() };
    let mut seen = vec![false; shape.members.len()];
    for (name, tree) in members {
        let at = shape.position(&name).filter(|at| !shape.members[*at].rule.secret);
        let at = at.ok_or_else(|| FieldFault::new(&name, format!("is no field of {}", called(shape))))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(FieldFault::new(&name, "is there twice"));
        }
        let member = &shape.members[at];
        if member.output_only {
            continue;
        }
        set(&mut given.message, member, tree)?;
        if member.is_settable() {
            given.paths.push(name);
        }
    }
    Ok(given)
}

/// Only what is kept in versions has a name that a caller knows.
fn called(shape: &Shape) -> String {
    match shape.member("update_time") {
        Some(_) => format!("a {}", shape.message.name().to_lowercase()),
        None => "this call".to_owned(),
    }
}

/// Sets a field to what stands in JSON for it; `null` is its default.
///
/// # Errors
/// When it is not of the field's kind.
pub fn set(message: &mut DynamicMessage, member: &Member, tree: Tree) -> Result<(), FieldFault> {
    let value = match (member.list, tree) {
        (_, Tree::Null) => return Ok(()),
        (true, Tree::List(all)) if all.len() > member.rule.most as usize => return Err(too_many(member)),
        (false, tree) => one(member, tree)?,
        (true, Tree::List(all)) if matches!(member.form, Form::Text) => {
            let texts = all.into_iter().map(|tree| match tree {
                Tree::Text(text) => Some(Value::String(text)),
                _ => None,
            });
            Value::List(texts.collect::<Option<_>>().ok_or_else(|| not_a_list(member))?)
        }
        (true, Tree::List(all)) if matches!(member.form, Form::Message(_)) => {
            let within = |at: usize, wrong: FieldFault| {
                let inner = wrong.field.strip_prefix(&member.name).unwrap_or_default().to_owned();
                FieldFault { field: format!("{}[{at}]{inner}", member.name), ..wrong }
            };
            let items = all.into_iter().enumerate().map(|(at, tree)| match tree {
                tree @ Tree::Object(_) => one(member, tree).map_err(|wrong| within(at, wrong)),
                _ => Err(within(at, FieldFault::new(&member.name, "is not an object"))),
            });
            Value::List(items.collect::<Result<_, _>>()?)
        }
        (true, _) => return Err(not_a_list(member)),
    };
    if let Some(oneof) = member.field.containing_oneof().filter(|_| member.field.supports_presence()) {
        let other = oneof.fields().find(|other| *other != member.field && message.has_field(other));
        if let Some(other) = other {
            return Err(twice(other.name(), &member.name));
        }
    }
    message.set_field(&member.field, value);
    Ok(())
}

fn twice(one: &str, other: &str) -> FieldFault {
    let (first, second) = if one > other { (one, other) } else { (other, one) };
    FieldFault::new(first, format!("is there, and so is {second}: one of both says when"))
}

/// Of a list that nobody has held against its bound.
pub fn too_many(member: &Member) -> FieldFault {
    FieldFault::new(&member.name, format!("has more than {} elements", member.rule.most))
}

fn not_a_list(member: &Member) -> FieldFault {
    let of = if matches!(member.form, Form::Message(_)) { "objects" } else { "texts" };
    FieldFault::new(&member.name, format!("is not a list of {of}"))
}

fn one(member: &Member, tree: Tree) -> Result<Value, FieldFault> {
    let name = &member.name;
    let wrong = |kind: &str| Err(FieldFault::new(name, format!("is not {kind}")));
    match (&member.form, tree) {
        (Form::Text, Tree::Text(text)) => Ok(Value::String(text)),
        (Form::Text, _) => wrong("a text"),
        (Form::Bytes, Tree::Text(text)) => {
            let bytes = BASE64_STANDARD.decode(text);
            bytes.map(|bytes| Value::Bytes(bytes.into())).or_else(|_| wrong("base64"))
        }
        (Form::Bytes, _) => wrong("a text in base64"),
        (Form::Flag, Tree::Flag(flag)) => Ok(Value::Bool(flag)),
        (Form::Flag, _) => wrong("true or false"),
        (Form::Short, Tree::Whole(number)) => {
            number.try_into().map(Value::U32).or_else(|_| wrong("a whole number"))
        }
        (Form::Long, Tree::Whole(number)) => Ok(Value::U64(number)),
        (Form::Signed, Tree::Whole(number)) => {
            number.try_into().map(Value::I32).or_else(|_| wrong("a whole number"))
        }
        (Form::Short | Form::Long | Form::Signed, _) => wrong("a whole number"),
        (Form::Choice(all), tree) => {
            let text = if let Tree::Text(text) = tree { text } else { String::new() };
            let found =
                all.iter().find(|(own, _)| *own == text).map(|(_, number)| Value::EnumNumber(*number));
            found.map_or_else(|| wrong(&names(all).join(" or ")), Ok)
        }
        (Form::Time, Tree::Text(text)) => {
            let time = crate::time::read(&text).map_err(|why| FieldFault::new(name, why))?;
            let Kind::Message(kind) = member.field.kind() else { return wrong("known") };
            let mut message = DynamicMessage::new(kind);
            message.set_field_by_number(1, Value::I64(time.seconds));
            message.set_field_by_number(2, Value::I32(time.nanos));
            Ok(Value::Message(message))
        }
        (Form::Time, _) => wrong("a time such as 2030-01-31T12:00:00Z"),
        (Form::Message(kind), Tree::Object(members)) => {
            let Some(shape) = shape(kind) else { return wrong("known") };
            let given = self::message(shape, members).map_err(|wrong| wrong.within(name))?;
            Ok(Value::Message(given.message))
        }
        (Form::Message(_) | Form::Epoch | Form::Other, _) => wrong("what this call takes"),
    }
}

/// The names of these choices.
pub fn names(all: &[(String, i32)]) -> Vec<&str> {
    all.iter().map(|(name, _)| name.as_str()).collect()
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Members, A::Error> {
                collected(map).map(Members)
            }
        }

        from.deserialize_map(MembersVisitor)
    }
}

fn collected<'de, A: MapAccess<'de>>(mut map: A) -> Result<Vec<(String, Tree)>, A::Error> {
    let mut members = Vec::new();
    while let Some(member) = map.next_entry()? {
        members.push(member);
    }
    Ok(members)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TreeVisitor;

        impl<'de> Visitor<'de> for TreeVisitor {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
                Ok(Tree::Flag(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
                Ok(Tree::Whole(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Number)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Number)
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Tree, E> {
                Ok(Tree::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(Tree::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tree, A::Error> {
                collected(map).map(Tree::Object)
            }
        }

        from.deserialize_any(TreeVisitor)
    }
}
