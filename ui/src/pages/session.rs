//! Who is signed in, with what rights, and the way out.

use crate::answer::Answer;
use crate::api::Refusal;
use crate::visit::Visit;
use maud::html;
use std::time::Instant;

/// `/ui/session`.
pub async fn show(visit: Visit) -> Result<Answer, Refusal> {
    let (rights, key) = (&visit.rights, visit.session.key.as_deref());
    let sessions = visit.sessions.count(key, Instant::now());
    let body = html! {
        dl class="facts" {
            div { dt { "Key" } dd { @if rights.key_id.is_empty() { "none is asked for here" } @else { code { (rights.key_id) } } } }
            @if !rights.client.is_empty() { div { dt { "Used by" } dd { (rights.client) } } }
            div { dt { "Allows" } dd { (rights.scopes.join(", ")) } }
            div { dt { "Domains" } dd { @if rights.domains.is_empty() { "all" } @else { (rights.domains.join(", ")) } } }
            div { dt { "Sessions" } dd { (sessions) " with this key on this server" } }
        }
        p { "A session ends after 12 hours without a visit, after 7 days, when its key ends, and when the server restarts." }
        form method="post" action="/ui/sign-out" class="buttons" {
            (visit.marks())
            button { "Sign out" }
            button name="everywhere" value="1" { "Sign out everywhere" }
        }
        p class="hint" {
            "Everywhere means every browser that is signed in with this key on this server. Whoever has the key can sign in \
             again: if it is not yours alone any more, revoke it."
        }
    };
    Ok(Answer::page("Your session", body))
}
