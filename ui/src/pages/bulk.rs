//! What is done to many links at once: to those that are marked, or to all that a list finds. What a list finds is not known here.

use super::listing::{filter, found};
use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::form::Pairs;
use crate::sessions::Undo;
use crate::show::{self, list as elements, propagation, text};
use crate::visit::Visit;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Where the form is sent to.
const PAGE: &str = "/ui/links/bulk";
/// Links of one call; all of them are changed, or none.
const CHUNK: &str = "500";
/// Links of one press of the button.
const MOST: usize = 10_000;
/// How long one press works: a call has 30 s.
const PATIENCE: Duration = Duration::from_secs(8);
/// Links that one button takes back what was done to: their codes stand on the page behind.
const UNDONE: usize = 500;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Tag,
    Untag,
    Disable,
    Enable,
    Delete,
    Undelete,
}

impl Deed {
    const ALL: [Self; 6] =
        [Self::Tag, Self::Untag, Self::Disable, Self::Enable, Self::Delete, Self::Undelete];

    /// As a form says it.
    fn name(self) -> &'static str {
        ["tag", "untag", "disable", "enable", "delete", "undelete"][self as usize]
    }

    /// What its button says.
    fn word(self) -> &'static str {
        ["Add the tag", "Take the tag away", "Disable", "Enable", "Delete", "Undelete"][self as usize]
    }

    /// What was done, in front of a number of links.
    fn done(self) -> &'static str {
        ["Changed", "Changed", "Disabled", "Enabled", "Deleted", "Brought back"][self as usize]
    }

    /// What takes it back, and the word for that.
    fn undo(self) -> Option<(Self, &'static str)> {
        Some(match self {
            Self::Tag => (Self::Untag, "Take the tag away again"),
            Self::Untag => (Self::Tag, "Add the tag again"),
            Self::Disable => (Self::Enable, "Enable them again"),
            Self::Enable => (Self::Disable, "Disable them again"),
            Self::Delete => (Self::Undelete, "Bring them back"),
            // A deletion is asked for once more.
            Self::Undelete => return None,
        })
    }
}

/// What somebody wants done.
struct Wish<'a> {
    deed: Deed,
    /// The tag that is added or taken away.
    tag: &'a str,
}

impl Wish<'_> {
    /// What is asked of a link as it is now; `None`: it is so already, or is deleted.
    fn request(&self, link: &Value) -> Option<Value> {
        let (deleted, disabled) = (!text(link, "delete_time").is_empty(), link["disabled"] == true);
        let has = elements(link, "tags").iter().any(|own| own == self.tag);
        let change = match self.deed {
            Deed::Delete => return (!deleted).then(|| json!({ "code": text(link, "code") })),
            Deed::Undelete => return deleted.then_some(Value::Null),
            _ if deleted => return None,
            Deed::Disable if !disabled => json!({ "disabled": true }),
            Deed::Enable if disabled => json!({ "disabled": false }),
            Deed::Tag if !has => with_tag(link, self.tag, true),
            Deed::Untag if has => with_tag(link, self.tag, false),
            _ => return None,
        };
        let mut changed = change;
        changed["code"] = link["code"].clone();
        changed["etag"] = link["etag"].clone();
        Some(json!({ "link": changed }))
    }
}

fn with_tag(link: &Value, tag: &str, add: bool) -> Value {
    let own = elements(link, "tags").iter().filter_map(Value::as_str).filter(|own| *own != tag);
    let tags: Vec<&str> = own.chain(add.then_some(tag)).collect();
    json!({ "tags": tags })
}

/// The bar below a list. `more`: it has other pages, too.
pub fn bulk_bar(more: bool) -> Markup {
    let button = |deed: Deed| html! { button name="do" value=(deed.name()) { (deed.word()) } };
    html! {
        fieldset class="bulk" {
            legend { "With those selected" }
            button type="button" class="quiet" hidden data-pick-all="" { "Select all on this page" }
            @if more {
                input type="hidden" name="_more" value="1";
                div { label class="flag" { input type="checkbox" name="all" value="1"; " All links that this list finds, on every page" } }
            }
            div class="field" {
                label for="bulk-tag" { "Tag" }
                input id="bulk-tag" name="tag" autocomplete="off" spellcheck="false" data-tags="";
            }
            div class="buttons" { @for deed in [Deed::Tag, Deed::Untag, Deed::Disable, Deed::Enable, Deed::Undelete] { (button(deed)) } }
            details class="apart" {
                summary { "Delete…" }
                p { "Visitors are told then that they are gone. They can be brought back for 30 days at least." }
                button class="bad" name="do" value=(Deed::Delete.name()) { "Delete those selected" }
            }
        }
    }
}

/// `POST /ui/links/bulk`: all of those that are marked, or none; but links are brought back one after the other. All of a list
/// are done in parts, and asked for once more.
pub async fn run(visit: Visit) -> Result<Answer, Refusal> {
    let back = match visit.form.get("_back") {
        "" => "/ui/links".to_owned(),
        query => format!("/ui/links?{query}"),
    };
    let query = Pairs::parse(visit.form.get("_back").as_bytes());
    let (picked, all) = (picked(&visit), visit.form.has("all"));
    let Some(deed) = Deed::ALL.into_iter().find(|deed| deed.name() == visit.form.get("do")) else {
        let nothing = Refusal::of_field("do", "Nothing was chosen that could be done.");
        return Ok(visit.not_done(back, &nothing));
    };
    let wish = Wish { deed, tag: visit.form.get("tag") };
    if picked.is_empty() && !all {
        let nothing =
            Refusal::of_field("pick", "No link is selected: mark some at the beginning of their lines.");
        return Ok(visit.not_done(back, &nothing));
    }
    if wish.tag.is_empty() && matches!(deed, Deed::Tag | Deed::Untag) {
        return Ok(visit.not_done(back, &Refusal::of_field("tag", "Say which tag.")));
    }
    if all && !visit.form.has("sure") {
        return asked_again(&visit, &wish, &query, &back).await;
    }
    let in_all = if visit.form.has("_more") && !all { counted(&visit, &query).await.ok() } else { None };
    let mut done = BulkRun::default();
    let ended = match all {
        true => done.of_list(&visit, &wish, &query).await,
        false => done.of_picked(&visit, &wish, &picked).await,
    };
    match ended {
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) if done.changed.is_empty() => Ok(visit.not_done(back, &refusal)),
        ended => {
            let mut said = done.told(deed);
            if let Some(ListCount { found, exact: true }) = in_all {
                said.push_str(&not_selected(found.saturating_sub(picked.len() as u64)));
            }
            if let Err(refusal) = ended {
                said.push_str(&format!(" Then it stopped: {}", show::sentence(&refusal.detail)));
            }
            let undo = undo(&visit, &wish, &done.changed);
            Ok(visit.done_but(back, said, undo))
        }
    }
}

/// Those that are marked, and those that a button names together.
fn picked(visit: &Visit) -> Vec<&str> {
    let together = visit.form.get("picks").split_whitespace();
    visit.form.all("pick").into_iter().chain(together).collect()
}

fn not_selected(left: u64) -> String {
    match left {
        0 => String::new(),
        left => {
            let verb = if left == 1 { "was" } else { "were" };
            format!(" {} more that this list finds {verb} not selected.", show::links(left))
        }
    }
}

/// How many links a list finds.
struct ListCount {
    found: u64,
    /// Whether these are all.
    exact: bool,
}

async fn counted(visit: &Visit, query: &Pairs) -> Result<ListCount, Refusal> {
    let condition = filter(query);
    let deleted = if query.has("deleted") { "true" } else { "" };
    let parameters = [("filter", condition.as_str()), ("show_deleted", deleted)];
    let answer = visit.call(Call::get(&domain_path(visit.domain(), "/links:count"), &parameters)).await?;
    Ok(ListCount { found: answer["count"].as_u64().unwrap_or(0), exact: answer["exact"] == true })
}

/// What is done to all links of a list is asked for once more, with how many they are.
async fn asked_again(visit: &Visit, wish: &Wish<'_>, query: &Pairs, back: &str) -> Result<Answer, Refusal> {
    let ListCount { found: count, exact } = counted(visit, query).await?;
    let word = wish.deed.word();
    let many = format!("{}{}", if exact { "all " } else { "at least " }, show::links(count));
    let body = html! {
        p class="lead" { (word) @if !wish.tag.is_empty() { " “" (wish.tag) "”" } ": " strong { (many) } " that this list finds?" }
        dl class="facts" {
            div { dt { "Domain" } dd { (super::domain_choice::named(visit.domain())) } }
            div { dt { "The list" } dd { @if filter(query).is_empty() { "every link" } @else { code { (filter(query)) } } } }
        }
        @if wish.deed == Deed::Delete { p { "Visitors are told then that they are gone. They can be brought back for 30 days at least." } }
        @if count > MOST as u64 || !exact { p { "At most " (show::number(MOST as u64)) " are done at once: do the same again for the others." } }
        form method="post" action=(PAGE) {
            (visit.marks())
            @for name in ["domain", "_back", "tag"] { input type="hidden" name=(name) value=(visit.form.get(name)); }
            input type="hidden" name="all" value="1";
            input type="hidden" name="sure" value="1";
            div class="buttons" {
                button class=(if wish.deed == Deed::Delete { "bad" } else { "main" }) name="do" value=(wish.deed.name()) { (word) ": " (many) }
                a href=(back) { "Cancel" }
            }
        }
    };
    Ok(Answer::page(format!("{word}?"), body))
}

/// The button that takes back what was done, to the links that it changed.
fn undo(visit: &Visit, wish: &Wish<'_>, changed: &[String]) -> Option<Undo> {
    let (back, word) = wish.deed.undo()?;
    let fields = [
        ("domain", visit.domain().to_owned()),
        ("_back", visit.form.get("_back").to_owned()),
        ("tag", wish.tag.to_owned()),
        ("picks", changed.join(" ")),
        ("do", back.name().to_owned()),
    ];
    let some = !changed.is_empty() && changed.len() <= UNDONE;
    some.then(|| Undo { word: word.to_owned(), action: PAGE, fields: fields.into() })
}

/// What came of it so far.
#[derive(Default)]
struct BulkRun {
    /// The codes of those that were changed.
    changed: Vec<String>,
    /// Those that were so before, or are deleted.
    passed: u64,
    /// Whether the list has more.
    more: bool,
    /// The last answer: who has it.
    last: Value,
}

impl BulkRun {
    async fn of_picked(&mut self, visit: &Visit, wish: &Wish<'_>, picked: &[&str]) -> Result<(), Refusal> {
        let mut links = Vec::new();
        for code in picked {
            links.push(visit.call(Call::get(&link_path(visit.domain(), code, ""), &[])).await?);
        }
        self.part(visit, wish, &links, visit.once()).await
    }

    /// In the order of codes, which no change of these moves.
    async fn of_list(&mut self, visit: &Visit, wish: &Wish<'_>, query: &Pairs) -> Result<(), Refusal> {
        let (query, until) = (query.with("order", ""), Instant::now() + PATIENCE);
        let mut token = String::new();
        loop {
            let page = found(visit, &query, CHUNK, &token).await?;
            self.part(visit, wish, elements(&page, "links"), "").await?;
            text(&page, "next_page_token").clone_into(&mut token);
            self.more = !token.is_empty();
            if !self.more || self.changed.len() >= MOST || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// One call for all of these; each is changed only as it was read.
    async fn part(
        &mut self,
        visit: &Visit,
        wish: &Wish<'_>,
        links: &[Value],
        once: &str,
    ) -> Result<(), Refusal> {
        let (mut codes, mut requests) = (Vec::new(), Vec::new());
        for link in links {
            match wish.request(link) {
                Some(request) => {
                    codes.push(text(link, "code").to_owned());
                    requests.push(request);
                }
                None => self.passed += 1,
            }
        }
        let verb = match wish.deed {
            _ if codes.is_empty() => return Ok(()),
            Deed::Undelete => return self.undelete(visit, codes).await,
            Deed::Delete => "/links:batchDelete",
            Deed::Tag | Deed::Untag | Deed::Disable | Deed::Enable => "/links:batchUpdate",
        };
        let path = domain_path(visit.domain(), verb);
        let call = Call::post(&path, &[("ack", "propagated")], json!({ "requests": requests }));
        self.last = visit.call(call.once(once)).await.map_err(|refusal| named(&refusal, &codes))?;
        self.changed.append(&mut codes);
        Ok(())
    }

    async fn undelete(&mut self, visit: &Visit, codes: Vec<String>) -> Result<(), Refusal> {
        let all = codes.len();
        for (at, code) in codes.into_iter().enumerate() {
            let ack = if at + 1 == all { "propagated" } else { "" };
            let call = Call::post(&link_path(visit.domain(), &code, ":undelete"), &[("ack", ack)], json!({}));
            self.last = visit.call(call).await.map_err(|refusal| Refusal {
                detail: format!("{at} of {all} are back; then, of {code}: {}", refusal.detail),
                ..refusal
            })?;
            self.changed.push(code);
        }
        Ok(())
    }

    fn told(&self, deed: Deed) -> String {
        let mut said = match self.changed.len() {
            0 => "Nothing was changed.".to_owned(),
            some => {
                format!("{} {}.{}", deed.done(), show::links(some as u64), propagation(&self.last))
            }
        };
        if self.passed > 0 {
            let was = if self.passed == 1 { "was" } else { "were" };
            said.push_str(&format!(" {} {was} so before, or cannot be changed.", show::links(self.passed)));
        }
        if self.more {
            said.push_str(" The list has more: do the same again for the others.");
        }
        said
    }
}

/// A refusal of a batch names the place of its link; people know its code.
fn named(refusal: &Refusal, codes: &[String]) -> Refusal {
    let place = refusal
        .field
        .as_deref()
        .and_then(|field| field.strip_prefix("requests[")?.split(']').next()?.parse().ok());
    match place.and_then(|place: usize| codes.get(place)) {
        Some(code) => Refusal {
            detail: format!("Nothing was done, because of {code}: {}", refusal.detail),
            ..refusal.clone()
        },
        None => refusal.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_there_once() {
        let link = json!({ "tags": ["a", "b"] });
        assert_eq!(with_tag(&link, "a", true), json!({ "tags": ["b", "a"] }));
        assert_eq!(with_tag(&link, "a", false), json!({ "tags": ["b"] }));
    }

    #[test]
    fn a_refused_batch_names_the_code() {
        let refusal = Refusal::of_field("requests[1].link.tags", "too many");
        let codes = ["a".to_owned(), "b".to_owned()];
        assert_eq!(named(&refusal, &codes).detail, "Nothing was done, because of b: too many");
        assert_eq!(named(&Refusal::of_field("x", "y"), &codes).detail, "y");
    }

    /// What is taken back is what was done, and not what was so before.
    #[test]
    fn only_links_that_are_otherwise_are_changed() {
        let gone = json!({ "code": "g", "delete_time": "2026-01-01T00:00:00Z" });
        let off = json!({ "code": "o", "disabled": true, "tags": ["a"], "etag": "\"1\"" });
        let on = json!({ "code": "i", "tags": [] });
        for (deed, changed) in [
            (Deed::Disable, [false, false, true]),
            (Deed::Enable, [false, true, false]),
            (Deed::Tag, [false, false, true]),
            (Deed::Untag, [false, true, false]),
            (Deed::Delete, [false, true, true]),
            (Deed::Undelete, [true, false, false]),
        ] {
            let wish = Wish { deed, tag: "a" };
            let told = [&gone, &off, &on].map(|link| wish.request(link).is_some());
            assert_eq!(told, changed, "{deed:?}");
        }
        let enabled = Wish { deed: Deed::Enable, tag: "" }.request(&off).unwrap();
        assert_eq!(enabled, json!({ "link": { "disabled": false, "code": "o", "etag": "\"1\"" } }));
    }

    #[test]
    fn what_was_left_out_is_told() {
        assert_eq!(not_selected(13), " 13 links more that this list finds were not selected.");
        assert_eq!(not_selected(0), "");
        let run = BulkRun { changed: vec!["a".into()], passed: 2, more: true, last: Value::Null };
        assert_eq!(
            run.told(Deed::Disable),
            "Disabled 1 link. 2 links were so before, or cannot be changed. The list has more: do the same again for the others."
        );
    }
}
