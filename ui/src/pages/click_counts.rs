//! Clicks of a link, a tag, a domain or all domains: how many when, by whom, and what is not known of them.

mod codes;
mod curve;
mod listed;
mod period;
mod question;
mod single;
mod tables;

pub use codes::unknown;
pub use listed::ListedClicks;
pub use single::{export, watch};

use super::domain_choice::{self, ALL_DOMAINS};
use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::fields;
use crate::form::href;
use crate::show::{self, list as elements, sentence, text};
use crate::visit::Visit;
use codes::dead_codes;
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use period::{Period, RANGES, STEPS};
use question::{BY_KIND, DIMENSIONS, EVERY_KIND, KINDS, PAGE, Question, kind_word};
use serde_json::{Value, json};
use single::{export_ways, live};
use tables::{Share, completeness, shares};

/// Rows of each of the tables of one page.
const ROWS: &str = "10";
/// Domains that are asked about for one page.
const DOMAINS: usize = 20;
/// A browser that keeps a permanent redirect for so many seconds follows it without asking, often enough to matter.
const LONG_LIVED: u64 = 3_600;

/// `GET /ui/clicks`.
pub async fn show(visit: Visit) -> Result<Answer, Refusal> {
    let domains = domain_choice::domains(&visit).await;
    let period = match Period::read(&visit.query, Timestamp::now()) {
        Ok(period) => period,
        Err(wrong) => return Ok(refused(&visit, &domains, "Clicks", &wrong)),
    };
    let question = Question::of(&visit, period);
    let (title, found) = match (question.domain, question.code, question.tag) {
        (ALL_DOMAINS, "", _) => {
            ("Clicks of all domains".to_owned(), of_all(&visit, &question, &domains).await)
        }
        (ALL_DOMAINS, code, _) => {
            let why = format!("say of which domain {code} is: there may be one in each");
            (format!("Clicks of {code}"), Err(Refusal::of_field("domain", &why)))
        }
        (_, "", "") => (format!("Clicks of {}", named(question.domain)), of_many(&visit, &question).await),
        (_, "", tag) => (format!("Clicks with tag {tag}"), of_many(&visit, &question).await),
        (_, code, _) => (format!("Clicks of {code}"), of_link(&visit, &question).await),
    };
    match found {
        Ok(found) => Ok(Answer::page(title, html! { (search(&visit, &domains, None)) (found) })),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(refused(&visit, &domains, &title, &refusal)),
    }
}

fn named(domain: &str) -> &str {
    if domain == "-" { "the default domain" } else { domain }
}

fn refused(visit: &Visit, domains: &[String], title: &str, refusal: &Refusal) -> Answer {
    let body = html! {
        p role="alert" class="notice bad" { (sentence(&refusal.detail)) }
        (search(visit, domains, Some(refusal)))
    };
    Answer::with(refusal.status, title, body)
}

/// What to look at, as a form whose fields are the address of the page.
fn search(visit: &Visit, domains: &[String], wrong: Option<&Refusal>) -> Markup {
    let query = &visit.query;
    let line = |name: &str, label: &str| {
        html! {
            div class="field" {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(query.get(name)) autocomplete="off" spellcheck="false"
                    data-tags=[(name == "tag" && visit.rights.allow("links:read")).then_some("")];
            }
        }
    };
    let choice = |name: &str, label: &str, now: &str, all: &[(&str, &str)]| {
        html! {
            div class="field" {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    @for (value, word) in all { option value=(value) selected[now == *value] { (word) } }
                }
            }
        }
    };
    let is_typed = !query.get("from").is_empty() || !query.get("to").is_empty();
    let typed = is_typed.then_some(("typed", "from and until, as typed below"));
    let ranges = RANGES.map(|(name, word)| if name == "7d" { ("", word) } else { (name, word) });
    let last: Vec<(&str, &str)> = typed.into_iter().chain(ranges).collect();
    let chosen = if is_typed { "typed" } else { query.get("last") };
    let kinds: Vec<(&str, &str)> = KINDS
        .into_iter()
        .map(|(name, word)| (if name == "human" { "" } else { name }, word))
        .chain([(EVERY_KIND, "every kind")])
        .collect();
    let steps: Vec<(&str, &str)> = [("", "what fits the time")]
        .into_iter()
        .chain(STEPS.iter().map(|step| (step.name, step.word)))
        .collect();
    html! {
        form method="get" action=(PAGE) class="search" role="search" aria-label="Clicks" {
            (domain_field(domains, visit))
            (line("code", "Code"))
            (line("tag", "Tag"))
            (choice("last", "Time", chosen, &last))
            (choice("kind", "Clicks of", query.get("kind"), &kinds))
            @for dimension in DIMENSIONS.iter().filter(|own| !query.get(own.name).is_empty()) {
                (line(dimension.name, dimension.word))
            }
            details open[is_typed || wrong.is_some_and(|refusal| refusal.field.is_some()) || !query.get("by").is_empty()] {
                summary { "From and until, zone, length of a bar" }
                (period::fields(query, wrong))
                (fields::zone_field(query, wrong, visit.zone(), true))
                (choice("by", "A bar for each", query.get("by"), &steps))
            }
            div class="buttons" { button class="main" { "Show" } a href=(href(PAGE, &[("domain", query.get("domain"))])) { "Clear" } }
        }
    }
}

fn domain_field(domains: &[String], visit: &Visit) -> Markup {
    let here = visit.domain();
    if domains.len() < 2 && here != ALL_DOMAINS {
        return domain_choice::domain_field(domains, here, visit);
    }
    let all: Vec<String> = domains.iter().cloned().chain([ALL_DOMAINS.to_owned()]).collect();
    domain_choice::domain_field(&all, here, visit)
}

/// The numbers, the curve and what is not known.
struct Overview {
    now: Value,
    before: Result<Value, Refusal>,
}

impl Overview {
    async fn read(visit: &Visit, question: &Question<'_>, domain: &str) -> Result<Self, Refusal> {
        let (period, step) = (&question.period, question.period.step.name);
        let splits = question.splits();
        let now = visit.call(question.counts_with(domain, &period.now, (step, &splits), ROWS)).await?;
        let before = visit.call(question.counts(domain, &period.before, step, "")).await;
        Ok(Self { now, before })
    }

    fn shown(&self, question: &Question<'_>, lacking: &Markup) -> Markup {
        let period = &question.period;
        let total = |answer: &Value| answer["total"].as_u64().unwrap_or(0);
        let count = total(&self.now);
        html! {
            section aria-labelledby="numbers" {
                h2 id="numbers" class="hidden" { "The numbers" }
                p class="big" {
                    strong data-watch-total=(count) { (show::number(count)) } " " (question.of_whom()) " " (period.words())
                }
                p {
                    @match &self.before {
                        Ok(before) => { (show::number(total(before))) " in the time before it" (change(count, total(before))) "." }
                        Err(refusal) => { "The time before it cannot be told: " (sentence(&refusal.detail)) }
                    }
                    @if let Some(visitors) = self.now["visitors"].as_u64() {
                        " " (show::number(visitors)) " visitors: the sum of those of each day (UTC), so whoever comes on two days counts twice."
                    }
                }
                p class="hint" {
                    "Times are in " (period.zone) "." @if period.coarser { " Shorter bars would be too many: there is one for each " (period.step.word) "." }
                }
                (curve::shown(period, &self.now, self.before.as_ref().ok()))
            }
            section aria-labelledby="lacking" {
                h2 id="lacking" { "How complete this is" }
                (completeness(&self.now))
                @if self.now["kept_seconds"].as_u64().unwrap_or(0) > 900 {
                    @let span = if self.now["kept_seconds"].as_u64() >= Some(86_400) { "day" } else { "hour" };
                    p {
                        "Clicks of this time are kept by the " (span) " (UTC): at its ends, and in shorter bars, a click counts where its " (span) " begins."
                    }
                }
                (lacking)
            }
        }
    }
}

/// How much more or less it is than before.
fn change(now: u64, before: u64) -> String {
    match before {
        0 => String::new(),
        before => match ((now as f64 / before as f64 - 1.0) * 100.0).round() {
            // Neither more nor less, and no "-0".
            0.0 => " (±0 %)".to_owned(),
            percent => format!(" ({percent:+} %)"),
        },
    }
}

/// What an answer says nothing about, by the `stats` of its domain.
async fn lacking(visit: &Visit, question: &Question<'_>) -> Markup {
    let domain = visit.call(Call::get(&domain_path(question.domain, ""), &[])).await;
    let stats = domain.as_ref().map(|domain| text(domain, "stats")).unwrap_or("unknown");
    html! {
        @match stats {
            "off" => { p { "This domain keeps no clicks of its links (its " code { "stats" } " are " code { "off" } "): there is a total of the domain and nothing else." } }
            "full" if question.is_of_people() => {}
            "full" => { p { "Visitors are counted of all people together, and not of other kinds or of some of them." } }
            "unknown" => { p { "Visitors, and " code { "repeat" } " (the same visitor again within 10 s), are known where the " code { "stats" } " of a domain are " code { "full" } "." } }
            _ => {
                p {
                    "These are clicks and not visitors: who follows a link twice counts twice. To count visitors, too, set what is kept of clicks to "
                    code { "full" } " in the settings of this domain: its " code { "stats" } " are " code { "counts" } " now."
                }
            }
        }
    }
}

/// One table of the page: out of what is known already, or asked for. What cannot be told keeps nothing else from being shown.
async fn table(
    visit: &Visit,
    (title, column): (&str, &str),
    (known, call): (Option<&Value>, Call),
    share: impl Fn(&str) -> Share,
) -> Markup {
    if let Some(known) = known {
        return shares(title, column, known, share);
    }
    match visit.call(call).await {
        Ok(answer) => shares(title, column, &answer, share),
        Err(refusal) => {
            html! { section { h2 { (title) } p class="hint" { "This cannot be told: " (sentence(&refusal.detail)) } } }
        }
    }
}

/// The tables; `known`: the answer that has some of them.
async fn split(visit: &Visit, question: &Question<'_>, by_link: bool, known: &Value) -> Markup {
    let now = &question.period.now;
    let counts = |by: &str| {
        let known = elements(known, "splits").iter().find(|split| text(split, "group_by") == by);
        (known, question.counts(question.domain, now, by, ROWS))
    };
    let mut all = Vec::new();
    if by_link {
        let link = |code: &str| Share {
            text: if code.starts_with('#') { format!("{code} (gone for good)") } else { code.to_owned() },
            way: question.way_to_link(code),
        };
        all.push(table(visit, ("Links", "Link"), counts("link"), link).await);
    }
    let kind = |kind: &str| {
        let asked = KINDS.iter().any(|(name, _)| *name == kind);
        Share {
            text: format!(
                "{}{}",
                kind_word(kind),
                if question.counts_only(kind) { " (counted above)" } else { "" }
            ),
            way: asked.then(|| question.way("kind", if kind == "human" { "" } else { kind })),
        }
    };
    all.push(
        table(visit, ("Kinds, also those that are not counted above", "Kind"), counts(BY_KIND), kind).await,
    );
    for dimension in &DIMENSIONS {
        let share = |value: &str| Share {
            text: if value == "-" { "not known".to_owned() } else { value.to_owned() },
            way: question.way_to_value(dimension, value),
        };
        all.push(table(visit, (dimension.title, dimension.word), counts(dimension.name), share).await);
    }
    html! { div class="tiles" { @for one in all { (one) } } }
}

/// What the page is narrowed to, each with a way to take that back.
fn narrowed(question: &Question<'_>) -> Markup {
    let all: Vec<_> = question.narrowed().collect();
    html! {
        @if !all.is_empty() {
            p {
                "Only: "
                @for (dimension, value) in all {
                    span class="tag" {
                        (dimension.word) " " (if value == "-" { "not known" } else { value }) " "
                        a href=(question.way(dimension.name, "")) aria-label={ "Not only " (dimension.word) " " (value) } { "×" }
                    } " "
                }
            }
        }
    }
}

async fn of_many(visit: &Visit, question: &Question<'_>) -> Result<Markup, Refusal> {
    let overview = Overview::read(visit, question, question.domain).await?;
    let lacking = lacking(visit, question).await;
    let whole = question.tag.is_empty() && question.narrowed().next().is_none();
    let split = split(visit, question, true, &overview.now).await;
    let dead = if whole {
        dead_codes(visit, question).await
    } else {
        html! {}
    };
    Ok(html! {
        (narrowed(question))
        (overview.shown(question, &lacking))
        (split)
        (dead)
        @if question.tag.is_empty() { (live(question)) (export_ways(question)) }
        @else { p class="hint" { "Clicks as they come, and an export of single ones, are there for a link and for a domain." } }
    })
}

async fn of_link(visit: &Visit, question: &Question<'_>) -> Result<Markup, Refusal> {
    let overview = Overview::read(visit, question, question.domain).await?;
    // A key for clicks alone does not read links: then there is less to say.
    let link = visit.call(Call::get(&link_path(question.domain, question.code, ""), &[])).await.ok();
    let unseen = link.as_ref().map(unseen);
    let lacking = lacking(visit, question).await;
    let split = split(visit, question, false, &overview.now).await;
    Ok(html! {
        @if let Some(link) = &link {
            p class="lead long" {
                a href=(show::link_href("/ui/link", link)) { (show::short_url(link)) } " leads to " code { (text(link, "target")) }
            }
        }
        (narrowed(question))
        (overview.shown(question, &html! { @if let Some(unseen) = unseen { (unseen) } (lacking) }))
        (split)
        (live(question))
        (export_ways(question))
    })
}

/// What no server sees of a link, and what another one counted.
fn unseen(link: &Value) -> Markup {
    let kept = link["max_age"].as_u64().filter(|age| *age >= LONG_LIVED);
    let kept = kept.filter(|_| matches!(link["status"].as_u64(), Some(301 | 308)));
    html! {
        @if let Some(age) = kept {
            p {
                "Browsers keep the " (link["status"]) " of this link for " (age / LONG_LIVED)
                " h and follow it without asking again: those clicks reach no server, and are in no count."
            }
        }
        @if let Some(clicks) = link["imported_clicks"].as_u64().filter(|clicks| *clicks > 0) {
            p { "Where the link was before, it had " (show::number(clicks)) " clicks: they are not in these numbers." }
        }
    }
}

/// All domains that the visitor may look at: one question for each, and their sum.
async fn of_all(visit: &Visit, question: &Question<'_>, domains: &[String]) -> Result<Markup, Refusal> {
    let (mut answers, mut earlier, mut untold) = (Vec::new(), Vec::new(), Vec::new());
    for domain in domains.iter().take(DOMAINS) {
        match Overview::read(visit, question, domain).await {
            Ok(Overview { now, before }) => {
                earlier.push(before);
                answers.push((domain.as_str(), now));
            }
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND || domains.len() == 1 => {
                return Err(refusal);
            }
            Err(refusal) => untold.push((domain.as_str(), refusal)),
        }
    }
    let now = sum(answers.iter().map(|(_, answer)| answer));
    let before = earlier.into_iter().collect::<Result<Vec<Value>, Refusal>>().map(|all| sum(all.iter()));
    let by_domain = json!({
        "total": now["total"],
        "rows": answers.iter().map(|(domain, answer)| json!({ "keys": [domain], "count": answer["total"] })).collect::<Vec<_>>(),
    });
    let left_out = domains.len().saturating_sub(DOMAINS);
    let lacking = html! {
        @for (domain, refusal) in &untold { p { "Without " code { (domain) } ": " (sentence(&refusal.detail)) } }
        @if left_out > 0 { p { "Without " (left_out) " domains more: " (DOMAINS) " are asked about at once." } }
        p { "Visitors are told of each domain for itself, where its " code { "stats" } " are " code { "full" } "." }
    };
    let share = |domain: &str| Share {
        text: domain_choice::named(domain).to_owned(),
        way: Some(question.way("domain", domain)),
    };
    Ok(html! {
        (narrowed(question))
        (Overview { now, before }.shown(question, &lacking))
        div class="tiles" { (shares("Domains", "Domain", &by_domain, share)) }
    })
}

/// Answers about the same time as one.
fn sum<'a>(answers: impl Iterator<Item = &'a Value>) -> Value {
    let mut all = Value::Null;
    for answer in answers {
        if all.is_null() {
            all = json!({ "rows": answer["rows"], "total": answer["total"], "lost": answer["lost"], "losses": answer["losses"],
                "complete_until": answer["complete_until"], "kept_seconds": answer["kept_seconds"] });
            continue;
        }
        let add = |one: &Value, other: &Value| json!(one.as_u64().unwrap_or(0) + other.as_u64().unwrap_or(0));
        all["total"] = add(&all["total"], &answer["total"]);
        if let Some(rows) = all["rows"].as_array_mut() {
            for (row, other) in rows.iter_mut().zip(elements(answer, "rows")) {
                row["count"] = add(&row["count"], &other["count"]);
            }
        }
        let until = |answer: &Value| text(answer, "complete_until").parse::<Timestamp>().ok();
        if until(answer) < until(&all) {
            all["complete_until"] = answer["complete_until"].clone();
        }
        if answer["kept_seconds"].as_u64() > all["kept_seconds"].as_u64() {
            all["kept_seconds"] = answer["kept_seconds"].clone();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_added_up_span_by_span() {
        let of = |counts: [u64; 2], until: &str| {
            json!({ "rows": [{ "keys": ["x"], "count": counts[0] }, { "keys": ["y"], "count": counts[1] }],
                "total": counts[0] + counts[1], "complete_until": until, "kept_seconds": 900 })
        };
        let all = [of([1, 2], "2026-01-02T00:00:00.5Z"), of([3, 0], "2026-01-02T00:00:00Z")];
        let told = sum(all.iter());
        assert_eq!(
            (&told["total"], &told["rows"][0]["count"], &told["rows"][1]["count"]),
            (&json!(6), &json!(4), &json!(2))
        );
        assert_eq!(told["complete_until"], "2026-01-02T00:00:00Z");
        assert_eq!(
            (change(3, 2), change(1, 2), change(999, 1_000), change(1, 0)),
            (" (+50 %)".into(), " (-50 %)".into(), " (±0 %)".into(), String::new())
        );
    }

    #[test]
    fn what_browsers_keep_is_said() {
        let said = |link: Value| unseen(&link).into_string();
        assert!(said(json!({ "status": 301, "max_age": 86_400 })).contains("for 24 h"));
        assert_eq!(said(json!({ "status": 302, "max_age": 86_400 })), "");
        assert!(said(json!({ "status": 302, "imported_clicks": 1_500 })).contains("1,500 clicks"));
    }
}
