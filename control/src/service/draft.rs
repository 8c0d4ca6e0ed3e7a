//! What a caller may say in a link: every field of `linkr.v1.Link` is parsed here, once. Nothing is stored here.

use super::own::OwnListeners;
use super::short::{self, BaseUrl};
use super::texts;
use crate::Fault;
use journal::{Draft, Field, set};
use link::{Class, Code, CodeFault, Destination, Link, LinkParts, QueryPolicy, Status, Target, misleads};
use prost::Message;
use prost_reflect::DynamicMessage;
use prost_types::Timestamp;
use proto::described::{settable, shape};
use proto::v1::{self, FieldRule};
use std::collections::HashSet;
use std::sync::LazyLock;
use store::model::Info;
use store::wire;

/// The fields that a caller may set, in the order in which they are checked.
static FIELDS: LazyLock<Vec<&str>> = LazyLock::new(|| settable("linkr.v1.Link"));

/// What targets and codes this installation allows.
pub struct InstallationRules {
    more_schemes: Vec<String>,
    own_hosts: Vec<String>,
    own_listeners: OwnListeners,
    /// Without case.
    reserved_codes: Vec<String>,
    base_url: Option<BaseUrl>,
}

impl InstallationRules {
    pub fn new(more_schemes: &[String], own_hosts: &[String], reserved_codes: &[String]) -> Self {
        let compared = |host: &String| link::read_host(host).unwrap_or_else(|| host.to_ascii_lowercase());
        // RFC 3986, section 3.1: schemes compare without case, and a target's is in lower case by then.
        let more_schemes = more_schemes.iter().map(|scheme| scheme.to_ascii_lowercase()).collect();
        let own_hosts = own_hosts.iter().map(compared).collect();
        let reserved_codes = reserved_codes.iter().map(|code| link::folded(code)).collect();
        Self {
            more_schemes,
            own_hosts,
            own_listeners: OwnListeners::default(),
            reserved_codes,
            base_url: None,
        }
    }

    /// The same where visitors come in at a URL: no target may be a link there.
    pub fn at(mut self, base_url: Option<BaseUrl>) -> Self {
        self.own_hosts.extend(base_url.iter().map(|base| base.host().to_owned()));
        Self { base_url, ..self }
    }

    /// The address of a link.
    pub fn short_url(&self, domain: &str, code: &str) -> String {
        short::url(self.base_url.as_ref(), domain, code)
    }

    /// The same beside an edge in this process.
    pub fn beside(self, own_listeners: OwnListeners) -> Self {
        Self { own_listeners, ..self }
    }

    /// Whether one of our own edges answers there.
    pub fn is_own(&self, place: &Destination) -> bool {
        self.own_hosts.contains(&place.host) || self.own_listeners.answer_at(place)
    }

    /// Whether nobody may have this code: the edge answers it itself, or this installation keeps it free. Case does not
    /// count, so that nobody passes for it.
    pub fn is_reserved(&self, code: &str) -> bool {
        link::is_reserved(code.as_bytes())
            || !self.reserved_codes.is_empty() && self.reserved_codes.contains(&link::folded(code))
    }

    /// A code that a link may be made under, and that stands in `field`, as it is stored where case is folded or not: of
    /// that it is asked whether it is reserved.
    pub fn code(&self, text: &str, folds: bool, field: &'static str) -> Result<Code, Fault> {
        let invalid = |fault| Fault::invalid(field, fault);
        let given = texts::code(text, field)?;
        let code = if folds { given.folded() } else { given };
        if link::is_reserved(code.as_str().as_bytes()) {
            return Err(invalid(CodeFault::Reserved));
        }
        if self.is_reserved(code.as_str()) {
            return Err(Fault::invalid(field, "is reserved"));
        }
        Ok(code)
    }

    /// The whole link. `usual`: what becomes of a visitor's query where the caller does not say it.
    pub fn draft(&self, given: &v1::Link, usual: QueryPolicy) -> Result<Draft, Fault> {
        let mut parts = LinkParts::to(self.target(&given.target, "target")?);
        let mut info = Info::default();
        for name in FIELDS.iter().filter(|name| **name != "target") {
            set(&mut parts, &mut info, self.field(given, name, usual)?);
        }
        let link = Link::new(parts).map_err(|fault| Fault::invalid(fault.field(), fault))?;
        Ok(Draft { link, info })
    }

    /// The fields that a mask names: all of them for `*`, for none those that are given (AIP-134). `usual` as in a draft.
    pub fn fields(&self, given: &v1::Link, mask: &[String], usual: QueryPolicy) -> Result<Vec<Field>, Fault> {
        let wrong = |why| Fault::invalid("update_mask", why);
        match mask {
            [] => match said(given) {
                none if none.is_empty() => {
                    Err(wrong("is missing, and the link has no field that is not empty"))
                }
                said => said.into_iter().map(|name| self.field(given, name, usual)).collect(),
            },
            [all] if all == "*" => FIELDS.iter().map(|name| self.field(given, name, usual)).collect(),
            paths if paths.iter().any(|path| path == "*") => Err(wrong("has * and other fields beside it")),
            paths => as_set(paths).map(|path| self.field(given, path, usual)).collect(),
        }
    }

    fn field(&self, given: &v1::Link, name: &str, usual: QueryPolicy) -> Result<Field, Fault> {
        Ok(match name {
            "target" => Field::Target(self.target(&given.target, "target")?),
            "status" => Field::Status(status(given.status)?),
            "max_age" => Field::MaxAge(given.max_age),
            "not_before" => Field::NotBefore(time("not_before", given.not_before.as_ref())?),
            "expire_time" => Field::Expire(time("expire_time", given.expire_time.as_ref())?),
            "expired_target" if given.expired_target.is_empty() => Field::ExpiredTarget(None),
            "expired_target" => {
                Field::ExpiredTarget(Some(self.target(&given.expired_target, "expired_target")?))
            }
            "query" => Field::Query(query(given.query, usual)?),
            "class" => Field::Class(class(given.class)?),
            "disabled" => Field::Disabled(given.disabled),
            "title" => Field::Title(text("title", &given.title)?),
            "tags" => Field::Tags(tags(&given.tags)?),
            "note" => Field::Note(text("note", &given.note)?),
            "external_id" => Field::ExternalId(external_id(&given.external_id)?),
            "imported_clicks" => Field::ImportedClicks(clicks(given.imported_clicks)?),
            other => {
                return Err(Fault::invalid("update_mask", format!("names {other:?}, which cannot be set")));
            }
        })
    }

    /// A target that stands in `field`.
    pub fn target(&self, text: &str, field: &'static str) -> Result<Target, Fault> {
        Target::given(text, &self.more_schemes).map_err(|fault| Fault::invalid(field, fault))
    }
}

/// A mask is a set: each of its paths counts once.
pub fn as_set(paths: &[String]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    paths.iter().map(String::as_str).filter(move |path| seen.insert(*path))
}

/// Those of them that are there and not empty.
fn said(link: &v1::Link) -> Vec<&'static str> {
    let Some(shape) = shape("linkr.v1.Link") else { return Vec::new() };
    let Ok(message) = DynamicMessage::decode(shape.message.clone(), &*link.encode_to_vec()) else {
        return Vec::new();
    };
    let said = shape.settable().into_iter().filter(|member| message.has_field(&member.field));
    said.map(|member| member.name.as_str()).collect()
}

/// A bound that the `.proto` says of a field.
pub fn bound(message: &str, field: &str, of: fn(&FieldRule) -> u32) -> usize {
    let member = shape(message).and_then(|shape| shape.member(field));
    member.map_or(0, |member| of(&member.rule) as usize)
}

fn status(given: u32) -> Result<Status, Fault> {
    if given == 0 {
        return Ok(Status::default());
    }
    Status::from_code(given).ok_or_else(|| Fault::invalid("status", "is none of 301, 302, 303, 307, 308"))
}

pub fn time(field: &'static str, given: Option<&Timestamp>) -> Result<Option<i64>, Fault> {
    let parse =
        |time| wire::milliseconds(time).ok_or_else(|| Fault::invalid(field, "is not in the years 1 to 9999"));
    given.map(parse).transpose()
}

pub fn query(given: i32, usual: QueryPolicy) -> Result<QueryPolicy, Fault> {
    match v1::QueryPolicy::try_from(given) {
        Ok(v1::QueryPolicy::Unspecified) => Ok(usual),
        Ok(v1::QueryPolicy::Drop) => Ok(QueryPolicy::Drop),
        Ok(v1::QueryPolicy::Append) => Ok(QueryPolicy::Append),
        Ok(v1::QueryPolicy::Override) => Ok(QueryPolicy::Override),
        Err(_) => Err(Fault::invalid("query", "is none of drop, append, override")),
    }
}

pub fn class(given: i32) -> Result<Class, Fault> {
    match v1::LinkClass::try_from(given) {
        Ok(v1::LinkClass::Unspecified) => Ok(Class::Inherit),
        Ok(v1::LinkClass::Normal) => Ok(Class::Normal),
        Ok(v1::LinkClass::Strict) => Ok(Class::Strict),
        Err(_) => Err(Fault::invalid("class", "is none of normal, strict")),
    }
}

fn text(field: &'static str, given: &str) -> Result<String, Fault> {
    let most = bound("linkr.v1.Link", field, |rule| rule.max_length);
    if given.len() > most {
        return Err(Fault::invalid(field, format!("is longer than {most} bytes")));
    }
    Ok(given.to_owned())
}

/// It is compared byte for byte: one that differs where nobody sees it would be another one.
fn external_id(given: &str) -> Result<String, Fault> {
    let wrong = |why| Err(Fault::invalid("external_id", why));
    match text("external_id", given)? {
        id if id.chars().any(char::is_control) => wrong("has control characters"),
        id if id.trim() != id => wrong("begins or ends with white space"),
        id if id.starts_with(misleads) || id.ends_with(misleads) => {
            wrong("begins or ends with a character that nobody sees")
        }
        id => Ok(id),
    }
}

/// JSON is read by programs whose numbers are exact up to here (RFC 7493, section 2.2).
fn clicks(given: u64) -> Result<u64, Fault> {
    const MOST: u64 = (1 << 53) - 1;
    match given {
        0..=MOST => Ok(given),
        _ => Err(Fault::invalid("imported_clicks", format!("is more than {MOST}"))),
    }
}

fn tags(given: &[String]) -> Result<Vec<String>, Fault> {
    let of = |rule| bound("linkr.v1.Link", "tags", rule);
    let (most, longest) = (of(|rule| rule.max_items), of(|rule| rule.max_length));
    if given.len() > most {
        return Err(Fault::invalid("tags", format!("has more than {most} tags")));
    }
    if given.iter().any(|tag| tag.is_empty() || tag.len() > longest) {
        return Err(Fault::invalid(
            "tags",
            format!("has a tag that is empty or longer than {longest} bytes"),
        ));
    }
    Ok(given.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> InstallationRules {
        let own = ["Go.Example.com.".into(), "127.0.0.1".into()];
        InstallationRules::new(&["MyApp".into()], &own, &["admin".into(), "\u{dc}ber".into()])
    }

    #[test]
    fn hosts_and_codes_of_our_own() {
        let rules = rules();
        let own = |host: &str| {
            rules.is_own(&Destination { host: host.into(), port: Some(80), path: String::new() })
        };
        assert!(own("go.example.com") && own("127.0.0.1") && !own("example.com"));
        for reserved in ["admin", "ADMIN", "robots.txt", "\u{fc}ber", "U\u{308}BER"] {
            assert_eq!(rules.code(reserved, false, "code").unwrap_err().field(), Some("code"), "{reserved}");
        }
        assert!(rules.code("administration", false, "code").is_ok());
    }

    /// Found by users: such a link was stored under a code that the edge answers itself, and nothing could reach it.
    #[test]
    fn where_case_is_folded_a_code_is_reserved_in_any_case() {
        let rules = rules();
        for reserved in
            ["Robots.txt", "ROBOTS.TXT", "Favicon.ico", ".Well-Known", ".well-KNOWN/acme", "Admin"]
        {
            assert!(rules.code(reserved, true, "code").is_err(), "{reserved}");
        }
        for (free, stored) in [("Robots", "robots"), ("Robots.txt/x", "robots.txt/x"), ("A.b", "a.b")] {
            assert_eq!(rules.code(free, true, "code").unwrap().as_str(), stored);
        }
        assert_eq!(
            rules.code("Robots.txt", false, "code").unwrap().as_str(),
            "Robots.txt",
            "another path there"
        );
    }

    fn fault(change: impl FnOnce(&mut v1::Link)) -> Option<String> {
        let mut link = v1::Link { target: "https://a.example/".into(), ..v1::Link::default() };
        change(&mut link);
        let rules = rules();
        rules.draft(&link, QueryPolicy::Drop).err().map(|fault| fault.field().unwrap().to_owned())
    }

    #[test]
    fn rules_of_each_field() {
        let long = |len| "x".repeat(len);
        assert_eq!(fault(|_| ()), None);
        assert_eq!(fault(|l| l.target = "myapp://open".into()), None);
        for target in ["", "ftp://a.example/", "a b"] {
            assert_eq!(fault(|l| l.target = target.into()).as_deref(), Some("target"), "{target}");
        }
        assert_eq!(fault(|l| l.status = 304).as_deref(), Some("status"));
        assert_eq!(fault(|l| l.status = 301).as_deref(), Some("max_age"));
        assert_eq!(fault(|l| (l.status, l.max_age) = (301, Some(60))), None);
        let time = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        assert_eq!(fault(|l| l.not_before = time).as_deref(), Some("not_before"));
        assert_eq!(fault(|l| l.expire_time = time).as_deref(), Some("expire_time"));
        assert_eq!(fault(|l| l.query = 9).as_deref(), Some("query"));
        assert_eq!(fault(|l| l.class = 9).as_deref(), Some("class"));
        assert_eq!(fault(|l| l.expired_target = "https://b.example/".into()), None);
        let expired = |path: &str| format!("https://b.example/{path}");
        for target in ["ftp://b.example/", &expired(&long(1_007))] {
            assert_eq!(
                fault(|l| l.expired_target = target.into()).as_deref(),
                Some("expired_target"),
                "{target}"
            );
        }
        assert_eq!(fault(|l| l.title = long(512)), None);
        assert_eq!(fault(|l| l.title = long(513)).as_deref(), Some("title"));
        assert_eq!(fault(|l| l.note = long(4097)).as_deref(), Some("note"));
        assert_eq!(fault(|l| l.tags = vec![long(64); 32]), None);
        assert_eq!(fault(|l| l.external_id = "CRM 17/ü".into()), None);
        assert_eq!(fault(|l| l.external_id = long(128)), None);
        assert_eq!(fault(|l| l.imported_clicks = (1 << 53) - 1), None);
        assert_eq!(fault(|l| l.imported_clicks = 1 << 53).as_deref(), Some("imported_clicks"));
        for id in [&*long(129), " ", " a", "a\u{a0}", "a\nb", "\u{7f}", "a\0", "\u{feff}a", "a\u{200b}"] {
            assert_eq!(fault(|l| l.external_id = id.into()).as_deref(), Some("external_id"), "{id:?}");
        }
        for tags in [vec![long(65)], vec![long(1); 33], vec![String::new()]] {
            assert_eq!(fault(|l| l.tags = tags).as_deref(), Some("tags"));
        }
    }

    #[test]
    fn a_link_that_does_not_say_what_becomes_of_a_query_goes_by_its_domain() {
        let rules = InstallationRules::new(&[], &[], &[]);
        for (given, usual, want) in [
            (v1::QueryPolicy::Unspecified, QueryPolicy::Append, QueryPolicy::Append),
            (v1::QueryPolicy::Drop, QueryPolicy::Append, QueryPolicy::Drop),
            (v1::QueryPolicy::Override, QueryPolicy::Append, QueryPolicy::Override),
            (v1::QueryPolicy::Unspecified, QueryPolicy::Drop, QueryPolicy::Drop),
        ] {
            let link =
                v1::Link { target: "https://a.example/".into(), query: given.into(), ..v1::Link::default() };
            assert_eq!(rules.draft(&link, usual).unwrap().link.parts().terms.query, want);
            let cleared = rules.fields(&link, &["query".to_owned()], usual).unwrap();
            assert!(matches!(cleared[..], [Field::Query(set)] if set == want));
        }
    }

    #[test]
    fn a_fault_of_tags_says_which_rule() {
        let why = |tags: &[String]| super::tags(tags).unwrap_err().to_string();
        assert_eq!(why(&vec!["x".to_owned(); 33]), "tags has more than 32 tags");
        assert_eq!(why(&[String::new()]), "tags has a tag that is empty or longer than 64 bytes");
    }

    #[test]
    fn fields_by_mask() {
        let rules = InstallationRules::new(&[], &[], &[]);
        let link = v1::Link { target: "https://a.example/".into(), note: "n".into(), ..v1::Link::default() };
        let count = |link: &v1::Link, mask: &[&str]| {
            let mask: Vec<String> = mask.iter().map(|&path| path.to_owned()).collect();
            rules
                .fields(link, &mask, QueryPolicy::Drop)
                .map(|fields| fields.len())
                .map_err(|fault| fault.field().map(str::to_owned))
        };
        assert_eq!(count(&link, &[]), Ok(2));
        assert_eq!(count(&link, &["*"]), Ok(FIELDS.len()));
        assert_eq!(count(&link, &["title", "note"]), Ok(2));
        for wrong in [&["*", "note"][..], &["note", "nonsense"], &["revision"], &["link.note"]] {
            assert_eq!(count(&link, wrong), Err(Some("update_mask".into())), "{wrong:?}");
        }
        assert_eq!(count(&v1::Link::default(), &[]), Err(Some("update_mask".into())));
        // Every field is one that an update without a mask knows.
        let all = v1::Link {
            status: 308,
            max_age: Some(0),
            not_before: Some(Timestamp::default()),
            expire_time: Some(Timestamp::default()),
            query: 1,
            class: 1,
            disabled: true,
            title: "t".into(),
            tags: vec!["x".into()],
            external_id: "e".into(),
            imported_clicks: 1,
            expired_target: "https://b.example/".into(),
            ..link
        };
        assert_eq!(count(&all, &[]), Ok(FIELDS.len()));
    }
}
