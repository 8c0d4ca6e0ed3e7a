//! The form that asks for a key, and the page that goes on where a session had ended. What a session is, is not known here.

use crate::answer;
use crate::api::{self, Api, Call};
use crate::asked::{Asked, is_of_site};
use crate::form::Pairs;
use crate::frame::{self, Frame};
use axum::response::Response;
use http::{Extensions, StatusCode};
use maud::{Markup, html};

/// Why somebody is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// He comes without one.
    NotBegun,
    /// It has ended.
    Ended,
    /// Its key has.
    KeyEnded,
}

impl NoSession {
    const ALL: [Self; 3] = [Self::NotBegun, Self::Ended, Self::KeyEnded];

    /// As an address has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotBegun => "",
            Self::Ended => "session",
            Self::KeyEnded => "key",
        }
    }

    /// As it is told; empty where nothing is to be told.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotBegun => "",
            Self::Ended => "Your session has ended.",
            Self::KeyEnded => "The key of your session was revoked or has expired.",
        }
    }
}

/// What the form asks, and what it keeps meanwhile.
pub struct SignIn {
    /// 200 where it was asked for, 401 in the place of what was.
    pub status: StatusCode,
    /// Why it is shown; empty where nothing is wrong.
    pub why: String,
    /// Where to go on.
    pub then: String,
    /// What was typed and could not be sent; empty: nothing.
    pub kept: String,
    /// The ticket of an address that signs in once; empty: a key is asked for.
    pub once: String,
}

impl SignIn {
    /// In the place of what a form was to do: it goes on afterwards, with what was typed.
    pub fn for_request(asked: &Asked, why: &str) -> Self {
        let kept = asked.form.with("_token", "").encode();
        let status = StatusCode::UNAUTHORIZED;
        Self { status, why: why.to_owned(), then: asked.address(), kept, once: String::new() }
    }

    /// As the form sends it.
    pub fn of_form(form: &Pairs, query: &Pairs, once: &str) -> Self {
        let then = [form.get("then"), query.get("then")].into_iter().find(|then| !then.is_empty());
        // Nobody is led elsewhere.
        let then = then.filter(|then| is_of_site(then.split('?').next().unwrap_or_default()));
        let ended = NoSession::ALL.into_iter().find(|ended| ended.name() == query.get("ended"));
        Self {
            status: StatusCode::OK,
            why: ended.map_or("", NoSession::words).to_owned(),
            then: then.unwrap_or_default().to_owned(),
            kept: form.get("kept").to_owned(),
            once: once.to_owned(),
        }
    }
}

/// The page.
pub fn page(asks: &SignIn, gzip: bool) -> Response {
    let body = html! {
        @if !asks.why.is_empty() { p role="alert" class="notice bad" { (asks.why) } }
        @if !asks.kept.is_empty() { p { "What you typed is kept: it is there again when you have signed in." } }
        form method="post" action="/ui/sign-in" class="narrow" {
            @if !asks.then.is_empty() { input type="hidden" name="then" value=(asks.then); }
            @if !asks.kept.is_empty() { input type="hidden" name="kept" value=(asks.kept); }
            @if asks.once.is_empty() {
                div class="field" {
                    label for="key" { "Key" }
                    input id="key" name="key" type="password" autocomplete="current-password" spellcheck="false" required
                        aria-describedby="key-hint" autofocus;
                    p class="hint" id="key-hint" {
                        "It begins with lk_. Whoever runs this linkr makes keys, on the page Keys or with " code { "linkr keys create" }
                        "; the first one of " code { "linkr up" } " is in " code { "linkr-data/admin.key" } "."
                    }
                }
            } @else {
                input type="hidden" name="once" value=(asks.once);
                p { "This address signs you in once, with the key of the machine that printed it." }
            }
            button class="main" { "Sign in" }
        }
    };
    let frame = Frame { menu: &[], visitor: None, token: String::new(), zone: None, notice: None };
    answer::document(asks.status, frame::document(&frame, "Sign in", &body), gzip)
}

/// What REST says of a key that may not be used.
pub async fn why_not(api: &Api, key: &str, of: &Extensions) -> String {
    if key.is_empty() || key.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return "What was given is no key: a key begins with lk_ and has 52 letters and digits.".to_owned();
    }
    match api::make(api, Some(key), of, Call::get("/v1/links", &[("page_size", "1")])).await {
        Ok(_) => "The key became good a moment ago: try again.".to_owned(),
        Err(refusal) => refusal.detail,
    }
}

/// A form as it was typed, to be looked at and sent (again).
pub fn again(why: &str, address: &str, typed: &Pairs, token: &str) -> Markup {
    let own = |name: &str| name.starts_with('_');
    html! {
        p { (why) }
        form method="post" action=(address) {
            input type="hidden" name="_token" value=(token);
            @for (name, value) in typed.iter().filter(|(name, _)| *name != "_token") {
                input type="hidden" name=(name) value=(value);
            }
            dl class="facts" {
                @for (name, value) in typed.iter().filter(|(name, value)| !own(name) && !value.is_empty()) {
                    div { dt { (name) } dd { (value) } }
                }
            }
            div class="buttons" {
                button class="main" { "Send it" }
                a href="/ui" { "Give it up" }
            }
        }
    }
}
