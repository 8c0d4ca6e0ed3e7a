//! Messages as JSON: fields by their own names, times in RFC 3339, enums in lower case without what all of them begin
//! with, numbers as numbers, bytes in base64 (RFC 4648, section 4). What is not set is left out; what cannot be unset is always there, lists with it.

pub mod read;

use crate::described::{Form, Member, Shape, shape};
use crate::v1;
use base64::prelude::{BASE64_STANDARD, Engine};
use prost::{DecodeError, Message, Name};
use prost_reflect::{DynamicMessage, Value};
use prost_types::Timestamp;
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

/// A message that can be written as JSON.
#[derive(Debug)]
pub struct Json {
    message: DynamicMessage,
    shape: &'static Shape,
}

impl Json {
    /// A message of this shape.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(shape: &'static Shape, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { message: DynamicMessage::decode(shape.message.clone(), bytes)?, shape })
    }

    /// The text of one of its fields; empty where it has no such one.
    pub fn text(&self, field: &str) -> String {
        let value = self.shape.member(field).map(|member| self.message.get_field(&member.field));
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// A message as JSON.
pub fn value<M: Message + Name>(message: &M) -> serde_json::Value {
    let json = shape(&M::full_name()).and_then(|shape| Json::decode(shape, &message.encode_to_vec()).ok());
    json.and_then(|json| serde_json::to_value(json).ok()).unwrap_or_default()
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Object { message: &self.message, shape: self.shape, without: &[] }.serialize(to)
    }
}

/// A message without some of its fields.
struct Object<'a> {
    message: &'a DynamicMessage,
    shape: &'static Shape,
    without: &'a [String],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        for member in &self.shape.members {
            if self.without.contains(&member.name)
                || (member.presence && !self.message.has_field(&member.field))
            {
                continue;
            }
            let value = &*self.message.get_field(&member.field);
            if is_said(member, value) {
                object.serialize_entry(&member.name, &MemberValue { member, value })?;
            }
        }
        object.end()
    }
}

/// Whether there is anything to say: a choice that is none of those that are known says nothing.
fn is_said(member: &Member, value: &Value) -> bool {
    match (&member.form, value) {
        (Form::Choice(all), Value::EnumNumber(number)) => all.iter().any(|(_, own)| own == number),
        (_, Value::String(text)) => !(member.rule.sparse && text.is_empty()),
        (_, Value::U64(0)) => !member.rule.sparse,
        (_, Value::List(all)) => !(member.rule.sparse && all.is_empty()),
        _ => true,
    }
}

struct MemberValue<'a> {
    member: &'static Member,
    value: &'a Value,
}

impl Serialize for MemberValue<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (&self.member.form, self.value) {
            (_, Value::List(all)) => {
                let mut list = to.serialize_seq(Some(all.len()))?;
                for value in all {
                    list.serialize_element(&MemberValue { member: self.member, value })?;
                }
                list.end()
            }
            (Form::Time, Value::Message(time)) => to.collect_str(&moment(time)),
            (Form::Epoch, Value::Message(epoch)) => to.collect_str(&history(epoch)),
            (Form::Message(name), Value::Message(message)) => {
                let shape = shape(name).ok_or_else(|| S::Error::custom("a message without a shape"))?;
                Object { message, shape, without: &self.member.rule.without }.serialize(to)
            }
            (Form::Choice(all), Value::EnumNumber(number)) => {
                let name = all.iter().find(|(_, own)| own == number).map(|(name, _)| name.as_str());
                name.serialize(to)
            }
            (_, Value::String(text)) => to.serialize_str(text),
            (_, Value::Bytes(bytes)) => to.serialize_str(&BASE64_STANDARD.encode(bytes)),
            (_, Value::Bool(flag)) => to.serialize_bool(*flag),
            (_, Value::I32(number)) => to.serialize_i32(*number),
            (_, Value::U32(number)) => to.serialize_u32(*number),
            (_, Value::U64(number)) => to.serialize_u64(*number),
            _ => Err(S::Error::custom("a field that no message of REST has")),
        }
    }
}

fn moment(time: &DynamicMessage) -> Timestamp {
    let seconds = time.get_field_by_number(1).and_then(|value| value.as_i64());
    let nanos = time.get_field_by_number(2).and_then(|value| value.as_i32());
    Timestamp { seconds: seconds.unwrap_or_default(), nanos: nanos.unwrap_or_default() }
}

/// As a revision begins.
fn history(epoch: &DynamicMessage) -> String {
    let v1::Epoch { counter, random } = epoch.transcode_to().unwrap_or_default();
    format!("{counter}-{random:08x}")
}
