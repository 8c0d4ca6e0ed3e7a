//! Files of other shorteners and of linkr become links: what was taken, and the rows that were not, to be mended in place.

use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::form::{Pairs, href};
use crate::link_files::{LinkFile, LinkFiles, LinkRow, LinkRows, RejectedRow, RowFault};
use crate::show;
use crate::visit::Visit;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Where it is.
pub const PAGE: &str = "/ui/links/import";
/// Bytes of a file: longer ones are for the command line.
const FILE_BYTES: usize = 1024 * 1024;
/// Rows of one.
const ROWS: usize = 10_000;
/// Links of one call; all are made, or none.
const CHUNK: usize = 200;
/// How long one press of the button works: a call has 30 s.
const PATIENCE: Duration = Duration::from_secs(8);
/// Rejected rows that are told one by one.
const TOLD: usize = 200;

/// `GET /ui/links/import`.
pub async fn blank(visit: Visit) -> Result<Answer, Refusal> {
    let files = visit.files()?.clone();
    let form = form(&visit, &files, &visit.query, None).await;
    Ok(Answer::page("Import links", form))
}

async fn form(visit: &Visit, files: &LinkFiles, typed: &Pairs, wrong: Option<&str>) -> Markup {
    let domains = super::domain_choice::domains(visit).await;
    html! {
        p { "Each row becomes a link, or stands below with the reason why it did not. A row that is there already is passed over." }
        @if let Some(wrong) = wrong { p role="alert" class="notice bad" { (show::sentence(wrong)) } }
        form method="post" action=(PAGE) class="narrow" {
            (visit.marks())
            (super::domain_choice::domain_field(&domains, visit.domain(), visit))
            (form_field(files, typed.get("form")))
            div class="field" {
                label for="base" { "Host of targets that have none" }
                input id="base" name="base" value=(typed.get("base")) autocomplete="off" spellcheck="false" aria-describedby="base-hint";
                p class="hint" id="base-hint" { "Such as https://www.example, where targets are like /spring." }
            }
            div class="field" {
                label for="columns" { "Columns that have other names" }
                input id="columns" name="columns" value=(typed.get("columns")) autocomplete="off" spellcheck="false" aria-describedby="columns-hint";
                p class="hint" id="columns-hint" { "Of a table with a header of its own: code=slug,target=url takes the code from its column slug, and the target from url." }
            }
            div class="field" hidden data-file="" {
                label for="file" { "File" }
                input id="file" type="file";
            }
            input type="hidden" name="name" value=(typed.get("name"));
            (rows_field(&typed.text("rows"), "The rows", &example()))
            label class="flag" {
                input type="checkbox" name="headless" value="1" checked[typed.has("headless")];
                " The rows have no header: each is a code and a target"
            }
            div class="buttons" { button class="main" { "Import" } a href="/ui/links" { "Cancel" } }
        }
        p class="hint" {
            "At most 1 MiB: " code { "linkr import FILE" } " takes any length, keeps when each link was made, and can replace what is there."
        }
    }
}

fn form_field(files: &LinkFiles, chosen: &str) -> Markup {
    html! {
        div class="field" {
            label for="form" { "Form" }
            select id="form" name="form" {
                option value="" { "as the name of the file says, or the look of the rows" }
                @for (name, word) in files.0.forms() { option value=(name) selected[name == chosen] { (word) } }
            }
        }
    }
}

/// What a table begins with.
fn example() -> Markup {
    html! {
        "A table begins with a line that names its columns, such as " code { "code,target,title" }
        ", and each line below is a link: " code { "party,https://www.example/party,Our party" } "."
    }
}

fn rows_field(rows: &str, label: &str, hint: &Markup) -> Markup {
    html! {
        div class="field" {
            label for="rows" { (label) }
            p class="hint" id="rows-hint" { (hint) }
            textarea id="rows" name="rows" rows="12" wrap="off" spellcheck="false" aria-describedby="rows-hint" { "\n" (rows) }
        }
    }
}

/// What came of the rows so far.
#[derive(Debug, Default)]
struct ImportState {
    /// The row that is next.
    next: usize,
    created: u64,
    /// They were there already.
    skipped: u64,
    rejected: Vec<RejectedRow>,
}

/// `POST /ui/links/import`: as far as one press of the button goes.
pub async fn run(visit: Visit) -> Result<Answer, Refusal> {
    let files = visit.files()?.clone();
    let of = |name: &str| visit.form.get(name).to_owned();
    let file = LinkFile {
        name: of("name"),
        form: of("form"),
        text: visit.form.text("rows"),
        domain: visit.domain().to_owned(),
        columns: of("columns"),
        base: of("base"),
        headless: visit.form.has("headless"),
    };
    let wrong = if file.text.trim().is_empty() {
        Some("There are no rows: choose a file, or paste some".to_owned())
    } else {
        (file.text.len() > FILE_BYTES)
            .then(|| "This is more than 1 MiB: linkr import FILE takes any length".to_owned())
    };
    let read = match wrong {
        Some(wrong) => Err(wrong),
        None => {
            let reader = files.clone();
            // Not on a thread that others wait for.
            let read = tokio::task::spawn_blocking(move || reader.0.read(&file)).await;
            read.unwrap_or_else(|_| {
                Err("The file cannot be read: this is a fault of linkr, please report it".to_owned())
            })
        }
    };
    let rows = match read.and_then(few_enough) {
        Ok(rows) => rows,
        Err(wrong) => {
            let form = form(&visit, &files, &visit.form, Some(&wrong)).await;
            return Ok(Answer::with(StatusCode::BAD_REQUEST, "Import links", form));
        }
    };
    let mut state = ImportState::of(visit.form.get("_state"));
    let ended = state.go_on(&visit, &rows.rows).await;
    if let Err(refusal) = &ended
        && refusal.status == StatusCode::UNAUTHORIZED
    {
        return Err(refusal.clone());
    }
    let body = html! {
        (told(&state, &rows, ended.err().as_ref()))
        @if state.next < rows.rows.len() { (go_on(&visit, &state, &rows)) }
        @else if !state.rejected.is_empty() { (mend(&visit, &files, &state, &rows)) }
        p class="buttons" {
            a class="button" href=(href("/ui/links", &[("domain", visit.domain()), ("order", "create_time desc")])) { "To the newest links" }
            a href=(href(PAGE, &[("domain", visit.domain())])) { "Import another file" }
        }
    };
    Ok(Answer::page("Import links", body))
}

fn few_enough(rows: LinkRows) -> Result<LinkRows, String> {
    if rows.rows.len() <= ROWS {
        return Ok(rows);
    }
    Err(format!("These are more than {} rows: linkr import FILE takes any number", show::number(ROWS as u64)))
}

/// What came of it so far.
fn told(state: &ImportState, rows: &LinkRows, ended: Option<&Refusal>) -> Markup {
    let count = |count: u64| show::number(count);
    html! {
        @if let Some(refusal) = ended {
            p role="alert" class="notice bad" { "It stopped: " (show::sentence(&refusal.detail)) " What is done is done, and going on does the rest." }
        }
        p role="status" class="notice" {
            (count(state.next as u64)) " of " (count(rows.rows.len() as u64)) " rows: " strong { (count(state.created)) " created" } ", "
            (count(state.skipped)) " there already, " (count(state.rejected.len() as u64)) " rejected."
        }
        @if state.next < rows.rows.len() { progress max=(rows.rows.len().max(1)) value=(state.next) aria-label="Rows that are done" {} }
        @if !rows.decided.is_empty() { p class="hint" { (show::sentence(&rows.decided)) } }
    }
}

/// The rest of a long file. The script presses the button itself.
fn go_on(visit: &Visit, state: &ImportState, rows: &LinkRows) -> Markup {
    html! {
        form method="post" action=(PAGE) data-go-on="" {
            (visit.marks())
            @for name in ["domain", "form", "base", "columns", "name"] { input type="hidden" name=(name) value=(visit.form.get(name)); }
            @if visit.form.has("headless") { input type="hidden" name="headless" value="1"; }
            textarea name="rows" hidden { "\n" (visit.form.text("rows")) }
            input type="hidden" name="_state" value=(state.kept());
            button class="main" { "Go on with the other " (show::number((rows.rows.len() - state.next) as u64)) " rows" }
        }
    }
}

/// The rows that were not taken, to be mended.
fn mend(visit: &Visit, files: &LinkFiles, state: &ImportState, rows: &LinkRows) -> Markup {
    let text = files.0.rejected(rows, &state.rejected);
    html! {
        section aria-labelledby="rejected" {
            h2 id="rejected" { "Rejected rows" }
            table class="plain" {
                caption class="hidden" { "Rejected rows" }
                thead { tr { th scope="col" { "Line" } th scope="col" { "Why" } th scope="col" { "Row" } } }
                tbody {
                    @for one in state.rejected.iter().take(TOLD) {
                        @if let Some(row) = rows.rows.get(one.at) {
                            tr {
                                th scope="row" { (row.line) }
                                td data-label="Why" { (show::sentence(&one.fault.message)) }
                                td data-label="Row" class="long" { (row.cells.iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join(", ")) }
                            }
                        }
                    }
                }
            }
            @if state.rejected.len() > TOLD { p class="hint" { "And " (state.rejected.len() - TOLD) " more: all of them stand below." } }
            form method="post" action=(PAGE) {
                (visit.marks())
                input type="hidden" name="domain" value=(visit.domain());
                input type="hidden" name="form" value=(rows.form_again);
                input type="hidden" name="base" value=(visit.form.get("base"));
                input type="hidden" name="columns" value=(visit.form.get("columns"));
                (rows_field(&text, "Mend them here", &html! { "Change what stands after the message. The line, reason and message in front may stay: they are not read." }))
                div class="buttons" { button class="main" { "Import these" } }
            }
        }
    }
}

impl ImportState {
    /// As a form carries it from one press of its button to the next.
    fn kept(&self) -> String {
        let rejected = self.rejected.iter().map(|one| json!([one.at, one.fault.reason, one.fault.message]));
        json!({ "next": self.next, "created": self.created, "skipped": self.skipped, "rejected": rejected.collect::<Vec<_>>() }).to_string()
    }

    fn of(kept: &str) -> Self {
        let kept: Value = serde_json::from_str(kept).unwrap_or_default();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let place = |value: &Value| usize::try_from(number(value)).unwrap_or(usize::MAX);
        let rejected = |one: &Value| RejectedRow {
            at: place(&one[0]),
            fault: RowFault {
                reason: one[1].as_str().unwrap_or_default().to_owned(),
                message: one[2].as_str().unwrap_or_default().to_owned(),
            },
        };
        Self {
            next: place(&kept["next"]),
            created: number(&kept["created"]),
            skipped: number(&kept["skipped"]),
            rejected: show::list(&kept, "rejected").iter().map(rejected).collect(),
        }
    }

    /// Writes rows for as long as there is time.
    ///
    /// # Errors
    /// What keeps all rows from being written.
    async fn go_on(&mut self, visit: &Visit, rows: &[LinkRow]) -> Result<(), Refusal> {
        let until = Instant::now() + PATIENCE;
        while self.next < rows.len() && Instant::now() < until {
            let end = rows.len().min(self.next + CHUNK);
            let good: Vec<&Map<String, Value>> = rows[self.next..end].iter().filter_map(link_of).collect();
            if !good.is_empty() && made_at_once(visit, &good).await? {
                self.created += good.len() as u64;
                self.reject_bad(rows, end);
                continue;
            }
            while self.next < end && Instant::now() < until {
                match link_of(&rows[self.next]) {
                    Some(link) => match made_alone(visit, link).await? {
                        Made::Created => self.created += 1,
                        Made::There => self.skipped += 1,
                        Made::Not(fault) => self.rejected.push(RejectedRow { at: self.next, fault }),
                    },
                    None => self.reject(rows, self.next),
                }
                self.next += 1;
            }
        }
        Ok(())
    }

    fn reject_bad(&mut self, rows: &[LinkRow], end: usize) {
        for at in self.next..end {
            if link_of(&rows[at]).is_none() {
                self.reject(rows, at);
            }
        }
        self.next = end;
    }

    fn reject(&mut self, rows: &[LinkRow], at: usize) {
        let no_code = RowFault { reason: "INVALID".to_owned(), message: "code is missing".to_owned() };
        let fault = rows[at].link.as_ref().err().cloned().unwrap_or(no_code);
        self.rejected.push(RejectedRow { at, fault });
    }
}

/// The link of a row. One without a code would be given another at each import.
fn link_of(row: &LinkRow) -> Option<&Map<String, Value>> {
    let link = row.link.as_ref().ok()?.as_object()?;
    link.get("code").and_then(Value::as_str).filter(|code| !code.is_empty()).map(|_| link)
}

/// Whether all of them are made. Where one is refused none is.
async fn made_at_once(visit: &Visit, links: &[&Map<String, Value>]) -> Result<bool, Refusal> {
    let requests: Vec<Value> = links.iter().map(|link| json!({ "link": link })).collect();
    let path = domain_path(visit.domain(), "/links:batchCreate");
    match visit.call(Call::post(&path, &[], json!({ "requests": requests }))).await {
        Ok(_) => Ok(true),
        Err(refusal) if is_of_row(&refusal) => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// What became of one row.
enum Made {
    Created,
    There,
    Not(RowFault),
}

async fn made_alone(visit: &Visit, link: &Map<String, Value>) -> Result<Made, Refusal> {
    let path = domain_path(visit.domain(), "/links");
    let refusal = match visit.call(Call::post(&path, &[], json!(link))).await {
        Ok(_) => return Ok(Made::Created),
        Err(refusal) => refusal,
    };
    if !is_of_row(&refusal) {
        return Err(refusal);
    }
    let code = link["code"].as_str().unwrap_or_default();
    if refusal.status == StatusCode::CONFLICT
        && let Ok(there) = visit.call(Call::get(&link_path(visit.domain(), code, ""), &[])).await
        && link.iter().all(|(name, value)| there[name] == *value)
    {
        return Ok(Made::There);
    }
    Ok(Made::Not(RowFault { reason: refusal.reason, message: refusal.detail }))
}

/// Whether another row may be taken where this one was refused.
fn is_of_row(refusal: &Refusal) -> bool {
    let of_all = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    refusal.status.is_client_error()
        && !of_all.contains(&refusal.status)
        && refusal.reason != "DOMAIN_NOT_FOUND"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_file_is_carried_to_the_next_press() {
        let fault = RowFault { reason: "INVALID".into(), message: "target \"<b>\" is none".into() };
        let state =
            ImportState { next: 7, created: 4, skipped: 2, rejected: vec![RejectedRow { at: 3, fault }] };
        let back = ImportState::of(&state.kept());
        assert_eq!((back.next, back.created, back.skipped), (7, 4, 2));
        assert_eq!(back.rejected, state.rejected);
        assert_eq!(ImportState::of("nonsense").next, 0);
    }

    #[test]
    fn a_row_without_a_code_is_no_link() {
        let row = |link: Result<Value, RowFault>| LinkRow { line: 1, cells: Vec::new(), link };
        assert!(link_of(&row(Ok(json!({ "code": "a" })))).is_some());
        for none in [json!({}), json!({ "code": "" }), json!(7)] {
            assert!(link_of(&row(Ok(none))).is_none());
        }
        let refusal = |status, reason| Refusal::new(status, reason, "");
        assert!(is_of_row(&refusal(StatusCode::CONFLICT, "EXISTS")));
        for (status, reason) in [
            (StatusCode::TOO_MANY_REQUESTS, "OVERLOADED"),
            (StatusCode::NOT_FOUND, "DOMAIN_NOT_FOUND"),
            (StatusCode::SERVICE_UNAVAILABLE, "STORE"),
        ] {
            assert!(!is_of_row(&refusal(status, reason)), "{reason}");
        }
    }
}
