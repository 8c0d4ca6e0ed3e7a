//! Which domain a page is about: those that its visitor may look at, and the field that chooses one.

use crate::api::Call;
use crate::show::{list as elements, text};
use crate::visit::Visit;
use maud::{Markup, html};

/// What stands for all domains where a page is about them; none has this name.
pub const ALL_DOMAINS: &str = "*";

/// A domain as people read it in a list of them.
pub fn named(domain: &str) -> &str {
    match domain {
        "-" => "default domain (-)",
        ALL_DOMAINS => "all domains",
        domain => domain,
    }
}

/// The domains that the visitor may look at; none where they cannot be read now.
pub async fn domains(visit: &Visit) -> Vec<String> {
    let answer = visit.call(Call::get("/v1/domains", &[("page_size", "1000")])).await.unwrap_or_default();
    let mut all: Vec<String> =
        elements(&answer, "domains").iter().map(|domain| text(domain, "domain").to_owned()).collect();
    let bound = &visit.rights.domains;
    let may = bound.is_empty() || bound.iter().any(|own| own == "-");
    if may && !all.iter().any(|own| own == "-") {
        all.insert(0, "-".to_owned());
    }
    all
}

/// Which domain: a choice where there is one.
pub fn domain_field(domains: &[String], here: &str, visit: &Visit) -> Markup {
    let known = domains.iter().any(|own| own == here);
    html! {
        @if domains.len() < 2 && (known || here == visit.rights.first_domain()) {
            input type="hidden" name="domain" value=(here);
        } @else {
            div class="field" {
                label for="domain" { "Domain" }
                select id="domain" name="domain" {
                    @if !known { option value=(here) selected { (named(here)) } }
                    @for domain in domains { option value=(domain) selected[domain == here] { (named(domain)) } }
                }
            }
        }
    }
}
