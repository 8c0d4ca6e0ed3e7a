//! The form of a link: its fields, and what is wrong with them. No call is made here.

use crate::api::Refusal;
use crate::fields::{self, Field, Kind, Typed};
use crate::form::Pairs;
use crate::show;
use maud::{Markup, html};

const fn field(name: &'static str, label: &'static str, hint: &'static str, kind: Kind) -> Field {
    Field { name, label, hint, kind }
}

/// What every link has.
pub const FIELDS: [Field; 14] = [
    field("target", "Leads to", "An address that begins with https:// or http://.", Kind::Address),
    field("title", "Title", "", Kind::Line),
    field("tags", "Tags", "Several with commas between them.", Kind::List),
    field("note", "Note", "", Kind::Area),
    field(
        "not_before",
        "Begins",
        "Until then visitors are told that there is no such page (404). Empty: at once.",
        Kind::Time,
    ),
    field(
        "expire_time",
        "Ends",
        "From then on visitors are told that it is gone (410). Empty: never.",
        Kind::Time,
    ),
    field(
        "expired_target",
        "Leads there once it has ended",
        "Empty: where its domain says, or nowhere.",
        Kind::Address,
    ),
    field(
        "status",
        "Kind of redirect",
        "With 301 and 308 a browser goes on without asking for as long as you say below: it sees a change only after that.",
        Kind::NumberChoice(&[
            ("302", "302: found (usual)"),
            ("301", "301: moved for good"),
            ("303", "303: see other"),
            ("307", "307: for now, keeps the method"),
            ("308", "308: for good, keeps the method"),
        ]),
    ),
    field("max_age", "Browsers may keep it for (seconds)", "Needed with 301 and 308.", Kind::Number),
    field(
        "query",
        "The visitor's query (?a=b)",
        "",
        Kind::Choice(&[("", "as the domain says"), fields::DROPPED, fields::APPENDED, fields::OVERRIDING]),
    ),
    field(
        "class",
        "While a server that redirects (an edge) is cut off",
        "It cannot know then whether the link was changed.",
        Kind::Choice(&[("", "as the domain says"), fields::NORMAL, fields::STRICT]),
    ),
    field("external_id", "Name in another system", "One link of a domain has it.", Kind::Line),
    field("imported_clicks", "Clicks from where it was before", "", Kind::Number),
    field("disabled", "Disabled: visitors are told that it is gone", "", Kind::Flag),
];

/// What only a new link has.
pub const CODE: Field = field(
    "code",
    "Code",
    "The end of the short address, such as party. Empty: linkr makes up seven characters.",
    Kind::Line,
);
/// How a code is drawn.
pub const DRAWING: [Field; 3] = [
    field("code_prefix", "A code that linkr makes up begins with", "", Kind::Line),
    field("code_length", "and has so many more characters", "4 to 32. Empty: 7.", Kind::Number),
    field(
        "code_alphabet",
        "of these",
        "",
        Kind::Choice(&[("", "letters and digits"), ("unambiguous", "without 0 O o 1 l I")]),
    ),
];
/// What is asked of a write.
pub const FLATTEN: Field =
    field("flatten", "If it leads to a short link of ours, lead to where that leads", "", Kind::Flag);

/// Fields that are shown at once; the others are behind a word.
const FIRST: usize = 6;
/// Of those the first that are no times: what follows is in the zone of the form.
const UNTIMED: usize = 4;

/// A form under way.
pub struct LinkForm<'a> {
    /// What stands in its fields.
    pub typed: &'a Typed,
    /// What was sent, if it was.
    pub form: &'a Pairs,
    /// Why it was refused.
    pub wrong: Option<&'a Refusal>,
    /// Whether the script may begin with the visitor's zone: no time stands in it yet.
    pub fresh: bool,
    /// The zone of its times where nobody typed another.
    pub zone: &'a str,
    /// Where the link is that has the code already, if that is why.
    pub taken: Option<&'a str>,
}

impl LinkForm<'_> {
    /// What is wrong in a sentence, with a way to its field.
    pub fn summary(&self) -> Markup {
        html! {
            @if let Some(refusal) = self.wrong {
                div role="alert" class="notice bad" {
                    @match self.named() {
                        Some(field) => { a href={ "#" (field.name) } { (show::sentence(&refusal.detail)) } }
                        None => { (show::sentence(&refusal.detail)) }
                    }
                    @if let Some(taken) = self.taken { " " a href=(taken) { "Look at that link" } "." }
                    " Nothing was saved; what you typed is still here."
                }
            }
        }
    }

    fn named(&self) -> Option<Field> {
        let refusal = self.wrong?;
        let all = FIELDS.into_iter().chain([CODE]).chain(DRAWING).chain([FLATTEN]);
        all.into_iter().find(|field| fields::is_of(refusal, field.name))
    }

    /// A field.
    pub fn field(&self, field: &Field) -> Markup {
        field.show(self.typed, self.wrong)
    }

    /// The fields of every link. Those that are seldom needed stand behind a word, unless one of them says something.
    pub fn fields(&self) -> Markup {
        let (first, others) = FIELDS.split_at(FIRST);
        let usual = |field: &Field| {
            let text = self.typed.get(field.name).map_or("", String::as_str);
            text.is_empty()
                || (field.name == "status" && text == "302")
                || (field.name == "query" && text == "drop")
        };
        let wrong = self.named().is_some_and(|named| others.iter().any(|field| field.name == named.name));
        let open = wrong || !others.iter().all(usual);
        html! {
            @for field in &first[..UNTIMED] { (self.field(field)) }
            (fields::kept_zone_field(self.form, self.wrong, self.zone, self.fresh))
            @for field in &first[UNTIMED..] { (self.field(field)) }
            details open[open] {
                summary { "More: redirect, query, other systems" }
                @for field in others { (self.field(field)) }
            }
        }
    }
}
