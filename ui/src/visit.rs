//! One request of somebody who is signed in, as a page sees it: what was asked, what his key allows, and calls in his name.

use crate::answer::Answer;
use crate::api::{self, Api, Call, Refusal};
use crate::form::Pairs;
use crate::link_files::LinkFiles;
use crate::rights::Rights;
use crate::sessions::{self, Notice, Session, Sessions, Undo};
use crate::show;
use axum::response::Response;
use http::{Extensions, StatusCode};
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;

/// One request.
pub struct Visit {
    pub(crate) api: Api,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) session: Session,
    pub(crate) files: Option<LinkFiles>,
    /// Of the request: its connection and its id, for the calls that are made for it.
    pub(crate) of: Extensions,
    /// The address of these pages, as the visitor asked for it.
    pub address: String,
    /// What the key allows.
    pub rights: Rights,
    /// The parameters behind it.
    pub query: Pairs,
    /// What a form sent; empty in a read.
    pub form: Pairs,
}

impl Visit {
    /// Makes a call of REST as the visitor.
    ///
    /// # Errors
    /// What REST refuses it with.
    pub async fn call(&self, call: Call) -> Result<Value, Refusal> {
        api::make(&self.api, self.session.key.as_deref(), &self.of, call).await
    }

    /// The same with its answer as it is, such as a stream.
    ///
    /// # Errors
    /// What REST refuses it with.
    pub async fn raw(&self, call: Call) -> Result<Response, Refusal> {
        api::raw(&self.api, self.session.key.as_deref(), &self.of, call).await
    }

    /// What reads and writes files of links.
    ///
    /// # Errors
    /// There is nothing here that does.
    pub fn files(&self) -> Result<&LinkFiles, Refusal> {
        let none = || {
            Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "files of links are not read or written here")
        };
        self.files.as_ref().ok_or_else(none)
    }

    /// The domain that is meant: of the form, of the address, or the first that the key is for.
    pub fn domain(&self) -> &str {
        let named = [self.form.get("domain"), self.query.get("domain")];
        named.into_iter().find(|name| !name.is_empty()).unwrap_or(self.rights.first_domain())
    }

    /// The code that is meant: of the form, or of the address.
    pub fn code(&self) -> &str {
        let named = [self.form.get("code"), self.query.get("code")];
        named.into_iter().find(|code| !code.is_empty()).unwrap_or_default()
    }

    /// What every form carries: the token of the session, and a name that makes a second press of its button the same request.
    pub fn marks(&self) -> Markup {
        html! {
            input type="hidden" name="_token" value=(self.session.token());
            input type="hidden" name="_once" value=(sessions::once());
        }
    }

    /// The name of this sending of a form.
    pub fn once(&self) -> &str {
        self.form.get("_once")
    }

    /// The zone in which times are typed: of the address, as the visitor typed some before, or UTC.
    pub fn zone(&self) -> &str {
        match self.query.get("zone") {
            "" => self.session.zone.as_deref().unwrap_or("UTC"),
            zone => zone,
        }
    }

    /// Keeps the zone of the form: the next one begins with it, and times are shown in it.
    pub fn keep_zone(&self) {
        let zone = self.form.get("zone");
        if !zone.is_empty() && zone != self.form.get("_zone") {
            self.sessions.keep_zone(self.session.id, zone);
        }
    }

    /// Leads to a page that tells what was done.
    pub fn done(&self, to: String, text: impl Into<String>) -> Answer {
        self.done_but(to, text, None)
    }

    /// The same with a way to take it back.
    pub fn done_but(&self, to: String, text: impl Into<String>, undo: Option<Undo>) -> Answer {
        self.sessions.leave(self.session.id, Notice { text: text.into(), bad: false, undo });
        Answer::SeeOther(to)
    }

    /// Leads to a page that tells why something was not done.
    pub fn not_done(&self, to: String, refusal: &Refusal) -> Answer {
        self.sessions
            .leave(self.session.id, Notice { text: show::sentence(&refusal.detail), bad: true, undo: None });
        Answer::SeeOther(to)
    }
}
