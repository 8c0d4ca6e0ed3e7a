//! The way of a request through this site: name and origin, session, rights, token, page. What a page shows is in `pages`.

use crate::answer::{self, Answer, Page};
use crate::api::{Api, Refusal};
use crate::arrival::{self, Arrival};
use crate::asked::{self, Asked, NotAsked};
use crate::cookies;
use crate::form::{Pairs, href};
use crate::frame::{self, Frame, MenuItem};
use crate::gzip::takes_gzip;
use crate::link_files::LinkFiles;
use crate::pages::{self, PageEntry};
use crate::rights::{KeyRights, Rights};
use crate::sessions::{Session, Sessions, SignInTickets};
use crate::sign_in::{self, NoSession, SignIn};
use crate::visit::Visit;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, StatusCode, header};
use maud::{Markup, html};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The site.
#[derive(Clone)]
pub struct Site(Arc<SiteParts>);

struct SiteParts {
    api: Api,
    keys: Option<KeyRights>,
    files: Option<LinkFiles>,
    sessions: Arc<Sessions>,
    /// For forms of those who have no session.
    strangers: Semaphore,
}

/// Forms of those who have no session that are read at once: whoever likes can send one.
const STRANGERS: usize = 64;
/// How long such a form may wait and take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever is signed in.
struct Visitor {
    session: Session,
    rights: Rights,
    /// What the browser is to keep, of a session that began just now.
    cookie: Option<String>,
}

impl Site {
    /// A site over the API. `keys`: what a key allows; `None`: nobody is asked for one. `files`: what reads and writes files of
    /// links; `None`: that is not offered.
    pub fn new(api: Api, keys: Option<KeyRights>, files: Option<LinkFiles>) -> Self {
        let strangers = Semaphore::new(STRANGERS);
        Self(Arc::new(SiteParts { api, keys, files, sessions: Arc::default(), strangers }))
    }

    /// What makes addresses that sign in once.
    pub fn tickets(&self) -> SignInTickets {
        SignInTickets(self.0.sessions.clone())
    }

    /// Whether a path is of this site.
    pub fn has(path: &str) -> bool {
        asked::is_of_site(path)
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request) -> Response {
        answer::guarded(self.answered(request).await)
    }

    async fn answered(&self, request: Request) -> Response {
        let gzip = takes_gzip(request.headers());
        let asked = match self.read(request).await {
            Ok(asked) => asked,
            Err(NotAsked::Turned(turned)) => {
                return bare(turned.status(), "Not from here", &turned.words(), gzip);
            }
            Err(NotAsked::Unreadable(why)) => {
                return bare(StatusCode::BAD_REQUEST, "This cannot be read", why, gzip);
            }
        };
        if asked.method == Method::GET
            && let Some(asset) = answer::asset(&asked.path, gzip)
        {
            return asset;
        }
        if asked.path == "/ui/sign-in" {
            return self.signed_in(&asked, gzip).await;
        }
        let visitor = match self.visitor(&asked) {
            Ok(visitor) => visitor,
            Err(_) if asked.reads() && arrival::led_by_another(&asked.headers) => {
                return answer::document(StatusCode::OK, frame::once_more(), gzip);
            }
            Err(why) => return asked_to_sign_in(&asked, why, why.words(), gzip),
        };
        let mut response = self.visited(&asked, &visitor, gzip).await;
        if let Some(cookie) = &visitor.cookie {
            keep(&mut response, &asked, cookie);
        }
        response
    }

    /// Reads a request. Forms of those who have no session take turns.
    async fn read(&self, request: Request) -> Result<Asked, NotAsked> {
        if request.method().is_safe() || self.is_known(&request) {
            let most = pages::form_bytes(request.uri().path());
            return Asked::read(request, most).await;
        }
        let in_turn = async {
            let _turn = self.0.strangers.acquire().await; // it is never closed
            Asked::read(request, pages::FORM_BYTES).await
        };
        let late = Err(NotAsked::Unreadable("The form did not arrive within 5 seconds: send it again."));
        tokio::time::timeout(PATIENCE, in_turn).await.unwrap_or(late)
    }

    /// Whether a session of ours is named.
    fn is_known(&self, request: &Request) -> bool {
        let arrival = request.extensions().get::<Arrival>().copied().unwrap_or_default();
        let host = arrival::host(arrival, request.uri(), request.headers());
        let cookie = host.ok().and_then(|host| cookies::read(arrival, &host, request.headers()));
        cookie.is_some_and(|cookie| self.0.sessions.find(&cookie, Instant::now()).is_some())
    }

    /// Who it is, or why nobody.
    fn visitor(&self, asked: &Asked) -> Result<Visitor, NoSession> {
        let named = cookies::read(asked.arrival, &asked.host, &asked.headers);
        let known = named.as_deref().and_then(|cookie| self.0.sessions.find(cookie, Instant::now()));
        let Some(keys) = &self.0.keys else {
            let (session, cookie) = match known {
                Some(session) => (session, None),
                None => {
                    let (session, cookie) = self.0.sessions.begin(None, Instant::now());
                    (session, Some(cookie))
                }
            };
            return Ok(Visitor { session, rights: Rights::of_anyone(), cookie });
        };
        let session = known.ok_or(if named.is_some() { NoSession::Ended } else { NoSession::NotBegun })?;
        match session.key.as_deref().and_then(|key| keys(key)) {
            Some(rights) => Ok(Visitor { session, rights, cookie: None }),
            None => {
                self.0.sessions.end(session.id);
                Err(NoSession::KeyEnded)
            }
        }
    }

    async fn visited(&self, asked: &Asked, visitor: &Visitor, gzip: bool) -> Response {
        let found = pages::find(&asked.method, &asked.path);
        let Some(entry) = found else {
            let answer = match asked.path.as_str() {
                "/ui" | "/ui/" => Answer::SeeOther(pages::first(&visitor.rights).to_owned()),
                "/ui/sign-out" if asked.method == Method::POST && self.is_own(asked, visitor) => {
                    return self.signed_out(asked, visitor);
                }
                path => not_here(path),
            };
            return self.shown(answer, asked, visitor, gzip);
        };
        if let Some(scope) = entry.needs.filter(|scope| !visitor.rights.allow(scope)) {
            return self.shown(out_of_scope(scope, &visitor.rights), asked, visitor, gzip);
        }
        if !asked.reads() && !self.is_own(asked, visitor) {
            let body = sign_in::again(
                "This form was made in another session, and nothing was done. Look at it and send it again.",
                &asked.address(),
                &asked.form,
                &visitor.session.token(),
            );
            return self.shown(
                Answer::with(StatusCode::FORBIDDEN, "Send it again?", body),
                asked,
                visitor,
                gzip,
            );
        }
        match self.made(entry, asked, visitor).await {
            Ok(answer) => self.shown(answer, asked, visitor, gzip),
            Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
                self.0.sessions.end(visitor.session.id);
                asked_to_sign_in(asked, NoSession::KeyEnded, &refusal.detail, gzip)
            }
            Err(refusal) => self.shown(refused(&refusal), asked, visitor, gzip),
        }
    }

    fn is_own(&self, asked: &Asked, visitor: &Visitor) -> bool {
        visitor.session.knows(asked.form.get("_token"))
    }

    async fn made(&self, entry: &PageEntry, asked: &Asked, visitor: &Visitor) -> Result<Answer, Refusal> {
        let visit = Visit {
            api: self.0.api.clone(),
            sessions: self.0.sessions.clone(),
            session: visitor.session.clone(),
            files: self.0.files.clone(),
            of: asked.of.clone(),
            address: asked.site(),
            rights: visitor.rights.clone(),
            query: asked.query.clone(),
            form: asked.form.clone(),
        };
        (entry.handler)(visit).await
    }

    fn shown(&self, answer: Answer, asked: &Asked, visitor: &Visitor, gzip: bool) -> Response {
        match answer {
            Answer::Raw(response) => response,
            Answer::SeeOther(address) => answer::see_other(&address),
            Answer::Page(Page { status, title, body }) => {
                let names = [visitor.rights.client.as_str(), visitor.rights.key_id.as_str(), "no key"];
                let who = names.into_iter().find(|name| !name.is_empty());
                let menu = menu(&visitor.rights, &asked.path);
                let frame = Frame {
                    menu: &menu,
                    visitor: who,
                    token: visitor.session.token(),
                    zone: visitor.session.zone.as_deref(),
                    notice: self.0.sessions.take_notice(visitor.session.id),
                };
                answer::document(status, frame::document(&frame, &title, &body), gzip)
            }
        }
    }

    /// `/ui/sign-in`: the form, and what it sends.
    async fn signed_in(&self, asked: &Asked, gzip: bool) -> Response {
        let Some(keys) = &self.0.keys else { return answer::see_other("/ui") };
        let once = if asked.reads() { asked.query.get("once") } else { asked.form.get("once") };
        let asks = SignIn::of_form(&asked.form, &asked.query, once);
        if asked.reads() {
            return sign_in::page(&asks, gzip);
        }
        let key = match once {
            "" => Some(Arc::from(asked.form.get("key"))),
            once => self.0.sessions.redeem(once, Instant::now()),
        };
        let Some(key) = key else {
            let why = "This address was used already, or is older than ten minutes. Sign in with a key.";
            let why = why.to_owned();
            return sign_in::page(
                &SignIn { status: StatusCode::UNAUTHORIZED, why, once: String::new(), ..asks },
                gzip,
            );
        };
        let Some(rights) = keys(&key) else {
            // REST says what is wrong with it, and counts who guesses.
            let why = sign_in::why_not(&self.0.api, &key, &asked.of).await;
            return sign_in::page(
                &SignIn { status: StatusCode::UNAUTHORIZED, why, once: String::new(), ..asks },
                gzip,
            );
        };
        let (session, cookie) = self.0.sessions.begin(Some(key), Instant::now());
        let mut response = if asks.kept.is_empty() {
            answer::see_other(if asks.then.is_empty() { "/ui" } else { &asks.then })
        } else {
            let kept = Pairs::parse(asks.kept.as_bytes());
            let why = "You are signed in again. This is what you had typed: send it now.";
            let body = sign_in::again(why, &asks.then, &kept, &session.token());
            let visitor = Visitor { session, rights, cookie: None };
            self.shown(Answer::page("Go on", body), asked, &visitor, gzip)
        };
        keep(&mut response, asked, &cookie);
        response
    }

    fn signed_out(&self, asked: &Asked, visitor: &Visitor) -> Response {
        if asked.form.has("everywhere") {
            self.0.sessions.end_all(visitor.session.key.as_deref());
        } else {
            self.0.sessions.end(visitor.session.id);
        }
        let mut response = answer::see_other("/ui/sign-in");
        keep(&mut response, asked, "");
        response
    }
}

/// The way to the form that asks for a key; in the place of what a form was to do it stands itself, and keeps what was typed.
fn asked_to_sign_in(asked: &Asked, why: NoSession, words: &str, gzip: bool) -> Response {
    if asked.reads() {
        let then = asked.address();
        return answer::see_other(&href("/ui/sign-in", &[("then", then.as_str()), ("ended", why.name())]));
    }
    sign_in::page(&SignIn::for_request(asked, words), gzip)
}

/// The browser is to keep this cookie; empty: none any more.
fn keep(response: &mut Response, asked: &Asked, cookie: &str) {
    if let Some(line) = cookies::set(asked.arrival, &asked.host, cookie) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
}

/// The menu: only what the key allows.
fn menu(rights: &Rights, here: &str) -> Vec<MenuItem> {
    let all = pages::MENU.iter().filter(|(path, _)| {
        pages::find(&Method::GET, path)
            .is_some_and(|entry| entry.needs.is_none_or(|scope| rights.allow(scope)))
    });
    all.map(|(path, word)| MenuItem { path, word, here: pages::is_below(here, path) }).collect()
}

/// A page for somebody who is not let in.
fn bare(status: StatusCode, title: &str, words: &str, gzip: bool) -> Response {
    let frame = Frame { menu: &[], visitor: None, token: String::new(), zone: None, notice: None };
    let body = html! { p class="notice bad" { (words) } };
    answer::document(status, frame::document(&frame, title, &body), gzip)
}

fn not_here(path: &str) -> Answer {
    let body = html! {
        p { "Nothing is at " code { (path) } ", or it is no page but what a form is sent to." }
        p { a href="/ui" { "To the links" } }
    };
    Answer::with(StatusCode::NOT_FOUND, "Not found", body)
}

fn out_of_scope(scope: &str, rights: &Rights) -> Answer {
    let body = html! {
        p class="notice bad" {
            "This takes the scope " code { (scope) } ", which key " code { (rights.key_id) } " does not have."
        }
        p { "Sign in with another key, or let an admin make one: " code { "linkr keys create --scopes " (scope) } "." }
    };
    Answer::with(StatusCode::FORBIDDEN, "Not with this key", body)
}

/// A refusal that no page has a better place for.
fn refused(refusal: &Refusal) -> Answer {
    Answer::with(refusal.status, "This was refused", refused_body(refusal))
}

fn refused_body(refusal: &Refusal) -> Markup {
    html! {
        p role="alert" class="notice bad" { (refusal.detail) }
        p { "Go back to try it again: what you had typed is still there." }
    }
}

#[cfg(test)]
mod tests;
