//! The JSON of a body, held against the bounds of every request before any of it is kept.

use crate::Fault;
use proto::bounds::{DEPTH, ELEMENTS, Excess, ExcessKind, MEMBERS, TEXT, of_member};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Holds a body against them. What is malformed passes up to there: reading it ends at the same place.
///
/// # Errors
/// The first bound that it goes beyond.
pub fn check(body: &[u8]) -> Result<(), Fault> {
    let mut told = BodyTally::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let _ = JsonWalk { name: "", depth: 0, told: &mut told }.deserialize(&mut json);
    told.excess.map_or(Ok(()), |mut excess| {
        if excess.field.is_empty() {
            excess.field.push_str("body");
        }
        Err(excess.into())
    })
}

#[derive(Default)]
struct BodyTally {
    elements: usize,
    excess: Option<Excess>,
}

impl BodyTally {
    fn refuse<T, E: Error>(&mut self, name: &str, of: ExcessKind) -> Result<T, E> {
        self.excess = Some(Excess { field: name.to_owned(), of });
        Err(E::custom("beyond a bound"))
    }

    fn within(&mut self, outer: fmt::Arguments<'_>) {
        if let Some(excess) = &mut self.excess {
            let dot = if excess.field.starts_with('[') { "" } else { "." };
            excess.field = format!("{outer}{dot}{}", excess.field);
        }
    }
}

struct JsonWalk<'a> {
    name: &'a str,
    depth: usize,
    told: &'a mut BodyTally,
}

impl<'de> DeserializeSeed<'de> for JsonWalk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonWalk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.len() > TEXT { self.told.refuse(self.name, ExcessKind::Bytes) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { name, depth, told } = self;
        let most = of_member(name);
        if depth == DEPTH {
            return told.refuse(name, ExcessKind::Depth);
        }
        for at in 0.. {
            let walked = list.next_element_seed(JsonWalk { name: "", depth: depth + 1, told: &mut *told });
            match walked {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    told.within(format_args!("{name}[{at}]"));
                    return Err(error);
                }
            }
            told.elements += 1;
            if at >= most {
                return told.refuse(name, ExcessKind::Elements(most));
            }
            if told.elements > ELEMENTS {
                return told.refuse(name, ExcessKind::All);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { name, depth, told } = self;
        if depth == DEPTH {
            return told.refuse(name, ExcessKind::Depth);
        }
        let mut members: Vec<String> = Vec::new();
        while let Some(member) = object.next_key::<String>()? {
            if members.len() == MEMBERS {
                return told.refuse(name, ExcessKind::Members);
            }
            let walked = if member.len() > TEXT {
                told.refuse("", ExcessKind::Bytes)
            } else if members.contains(&member) {
                told.refuse(&member, ExcessKind::Twice)
            } else {
                object.next_value_seed(JsonWalk { name: &member, depth: depth + 1, told: &mut *told })
            };
            if let Err(error) = walked {
                if !name.is_empty() {
                    told.within(format_args!("{name}"));
                }
                return Err(error);
            }
            members.push(member);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_a_bound_is_named() {
        let many = |one: &str, count: usize| vec![one; count].join(",");
        let members = (0..65).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(",");
        for (body, want) in [
            (format!("{{{members}}}"), "body has more than 64 members"),
            (format!("{{\"tags\":[{}]}}", many("\"\"", 65)), "tags has more than 64 elements"),
            (format!("{{\"title\":[{}]}}", many("0", 500_000)), "title is a list where none is taken"),
            (format!("[{}]", many("0", 9)), "body is a list where none is taken"),
            (format!("{{\"requests\":[{}]}}", many("{}", 1_001)), "requests has more than 1000 elements"),
            (
                format!("{{\"requests\":[{{}},{{\"link\":{{\"tags\":[{}]}}}}]}}", many("0", 65)),
                "requests[1].link.tags has more than 64 elements",
            ),
            (
                "{\"requests\":[{\"link\":{\"title\":\"a\",\"t\\u0069tle\":\"b\"}}]}".into(),
                "requests[0].link.title is there twice",
            ),
            (format!("{{\"note\":\"{}\"}}", "x".repeat(TEXT + 1)), "note is longer than 65536 bytes"),
            (format!("{}{}", "{\"a\":".repeat(100), "0"), "a.a.a.a.a.a.a.a is more than 8 levels deep"),
        ] {
            assert_eq!(check(body.as_bytes()).unwrap_err().to_string(), want);
        }
        for fine in ["", "{", "[]", "7", "{\"tags\":[\"x\"],\"requests\":[{\"link\":{\"note\":null}}]}"] {
            assert_eq!(check(fine.as_bytes()), Ok(()), "{fine}");
        }
    }
}
