//! The table of pages: where each is, what it needs of a key, and what shows it. How a request comes here is not known here.

mod blocks;
mod bulk;
mod click_counts;
mod detail;
mod domain_choice;
mod domains;
mod edit;
mod explain;
mod export;
mod fleet;
mod import;
mod key_names;
mod keys;
mod link_form;
mod links;
mod listing;
mod reasons;
mod session;
mod tags;

use crate::answer::Answer;
use crate::api::Refusal;
use crate::rights::Rights;
use crate::visit::Visit;
use http::Method;
use std::pin::Pin;

/// Bytes of a form: the longest link, as it was read and as it is typed, percent-encoded.
pub const FORM_BYTES: usize = 128 * 1024;
/// Bytes of a form with a file of links, percent-encoded.
const FILE_FORM_BYTES: usize = 4 * 1024 * 1024;

/// What a page answers, on its way.
type PageFuture = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send>>;
type Handler = fn(Visit) -> PageFuture;

/// One page, or what a form of one is sent to.
pub struct PageEntry {
    method: Method,
    path: &'static str,
    /// The scope that it takes, as that of the calls that it makes; `None`: any key will do.
    pub needs: Option<&'static str>,
    /// What shows it.
    pub handler: Handler,
}

/// What is read.
const fn get(path: &'static str, needs: &'static str, handler: Handler) -> PageEntry {
    PageEntry { method: Method::GET, path, needs: Some(needs), handler }
}

/// What a form is sent to. Its token has been looked at.
const fn post(path: &'static str, needs: &'static str, handler: Handler) -> PageEntry {
    PageEntry { method: Method::POST, path, needs: Some(needs), handler }
}

static PAGES: &[PageEntry] = &[
    PageEntry {
        method: Method::GET,
        path: "/ui/session",
        needs: None,
        handler: |v| Box::pin(session::show(v)),
    },
    get("/ui/links", "links:read", |v| Box::pin(links::list(v))),
    post("/ui/links/bulk", "links:write", |v| Box::pin(bulk::run(v))),
    get("/ui/links/new", "links:write", |v| Box::pin(edit::blank(v))),
    post("/ui/links/new", "links:write", |v| Box::pin(edit::create(v))),
    get("/ui/links/export", "links:read", |v| Box::pin(export::links(v))),
    get(import::PAGE, "links:write", |v| Box::pin(import::blank(v))),
    post(import::PAGE, "links:write", |v| Box::pin(import::run(v))),
    get("/ui/links/check", "links:read", |v| Box::pin(edit::check(v))),
    get("/ui/link", "links:read", |v| Box::pin(detail::show(v))),
    get("/ui/link/edit", "links:write", |v| Box::pin(edit::filled(v))),
    post("/ui/link/edit", "links:write", |v| Box::pin(edit::change(v))),
    post("/ui/link/state", "links:write", |v| Box::pin(detail::set_state(v))),
    get("/ui/link/qr.svg", "links:read", |v| Box::pin(detail::qr(v))),
    get("/ui/link/explain", "links:read", |v| Box::pin(explain::show(v))),
    get("/ui/link/history", "links:read", |v| Box::pin(detail::history(v))),
    post("/ui/link/restore", "links:write", |v| Box::pin(detail::restore(v))),
    get("/ui/clicks", "clicks:read", |v| Box::pin(click_counts::show(v))),
    get("/ui/clicks/unknown", "clicks:read", |v| Box::pin(click_counts::unknown(v))),
    get("/ui/clicks/export", "clicks:read", |v| Box::pin(click_counts::export(v))),
    get("/ui/clicks/live", "clicks:read", |v| Box::pin(click_counts::watch(v))),
    get("/ui/tags", "links:read", |v| Box::pin(tags::list(v))),
    post("/ui/tags/rename", "links:write", |v| Box::pin(tags::rename(v))),
    get("/ui/domains", "links:read", |v| Box::pin(domains::list(v))),
    get("/ui/domains/new", "domains:admin", |v| Box::pin(domains::blank(v))),
    post("/ui/domains/new", "domains:admin", |v| Box::pin(domains::create(v))),
    get("/ui/domain", "domains:admin", |v| Box::pin(domains::filled(v))),
    post("/ui/domain", "domains:admin", |v| Box::pin(domains::change(v))),
    post("/ui/domain/delete", "domains:admin", |v| Box::pin(domains::delete(v))),
    get("/ui/blocks", "domains:admin", |v| Box::pin(blocks::list(v))),
    post("/ui/blocks", "domains:admin", |v| Box::pin(blocks::block(v))),
    post("/ui/blocks/end", "domains:admin", |v| Box::pin(blocks::unblock(v))),
    get("/ui/fleet", "links:read", |v| Box::pin(fleet::show(v))),
    get("/ui/keys", "keys:admin", |v| Box::pin(keys::list(v))),
    get("/ui/keys/revoke", "keys:admin", |v| Box::pin(keys::revoke(v))),
    get("/ui/keys/new", "keys:admin", |v| Box::pin(keys::blank(v))),
    post("/ui/keys/new", "keys:admin", |v| Box::pin(keys::create(v))),
    post("/ui/keys/end", "keys:admin", |v| Box::pin(keys::end(v))),
    get("/ui/audit", "keys:admin", |v| Box::pin(keys::audit(v))),
];

/// The menu, in its order. What a key does not allow is left out.
pub const MENU: &[(&str, &str)] = &[
    ("/ui/links", "Links"),
    ("/ui/links/new", "New link"),
    ("/ui/clicks", "Clicks"),
    ("/ui/clicks/unknown", "Dead codes"),
    ("/ui/tags", "Tags"),
    ("/ui/domains", "Domains"),
    ("/ui/blocks", "Blocks"),
    ("/ui/fleet", "Fleet"),
    ("/ui/keys", "Keys"),
    ("/ui/audit", "Audit"),
];

/// The page at a path.
pub fn find(method: &Method, path: &str) -> Option<&'static PageEntry> {
    PAGES.iter().find(|entry| entry.method == method && entry.path == path)
}

/// Bytes of a form that a path takes of somebody who is signed in.
pub fn form_bytes(path: &str) -> usize {
    if path == import::PAGE { FILE_FORM_BYTES } else { FORM_BYTES }
}

/// Every page: its method, its path and what it needs.
#[cfg(test)]
pub fn all() -> impl Iterator<Item = (&'static str, &'static str, Option<&'static str>)> {
    PAGES.iter().map(|entry| (entry.method.as_str(), entry.path, entry.needs))
}

/// Where somebody with these rights begins.
pub fn first(rights: &Rights) -> &'static str {
    let allowed = MENU.iter().map(|(path, _)| *path).find(|path| {
        find(&Method::GET, path).is_some_and(|entry| entry.needs.is_none_or(|scope| rights.allow(scope)))
    });
    allowed.unwrap_or("/ui/session")
}

/// Whether a place of the menu is to be shown as the one where somebody is.
pub fn is_below(here: &str, place: &str) -> bool {
    let longest =
        MENU.iter().map(|(path, _)| *path).filter(|path| covers(path, here)).max_by_key(|path| path.len());
    longest == Some(place)
}

/// `/ui/link/edit` is below `/ui/links`: what is about one is below the list of all.
fn covers(place: &str, here: &str) -> bool {
    let one = place.strip_suffix('s').unwrap_or(place);
    here == place
        || here == one
        || here.starts_with(&format!("{place}/"))
        || here.starts_with(&format!("{one}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_menu_is_a_page_and_every_page_stands_once() {
        for (path, _) in MENU {
            assert!(find(&Method::GET, path).is_some(), "{path}");
        }
        for entry in PAGES {
            let same = PAGES.iter().filter(|other| other.path == entry.path && other.method == entry.method);
            assert_eq!(same.count(), 1, "{}", entry.path);
            assert!(entry.path.starts_with("/ui/"), "{}", entry.path);
        }
        assert!(is_below("/ui/link/edit", "/ui/links") && is_below("/ui/links/new", "/ui/links/new"));
        assert!(!is_below("/ui/links/new", "/ui/links") && !is_below("/ui/session", "/ui/links"));
    }

    #[test]
    fn a_key_begins_where_it_may_look() {
        assert_eq!(first(&Rights::of_anyone()), "/ui/links");
        assert_eq!(first(&Rights { scopes: vec!["feed"], ..Rights::default() }), "/ui/session");
    }
}
