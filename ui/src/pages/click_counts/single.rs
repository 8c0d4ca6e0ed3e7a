//! Single clicks: as a file, and as they come.

use super::period::Period;
use super::question::Question;
use crate::answer::Answer;
use crate::api::Refusal;
use crate::show::sentence;
use crate::visit::Visit;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use jiff::Timestamp;
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Instant;
use tokio_stream::StreamExt;

/// The ways to a file.
pub fn export_ways(question: &Question<'_>) -> Markup {
    html! {
        section aria-labelledby="export" {
            h2 id="export" { "Export" }
            p class="buttons" {
                a class="button" href=(question.way_to("/ui/clicks/export", "form", "csv")) { "Single clicks as CSV" }
                a class="button" href=(question.way_to("/ui/clicks/export", "form", "jsonl")) { "as JSON lines" }
            }
            p class="hint" {
                "Each click of this time and of these kinds, as far as they are kept: for 30 days."
                @if question.narrowed().next().is_some() { " All of them, and not only those that this page is narrowed to." }
            }
        }
    }
}

/// `GET /ui/clicks/export`: single clicks as a file.
pub async fn export(visit: Visit) -> Result<Answer, Refusal> {
    let question = Question::of(&visit, Period::read(&visit.query, Timestamp::now())?);
    let (form, ending) = match visit.query.get("form") {
        "jsonl" => ("application/jsonl", "jsonl"),
        _ => ("text/csv", "csv"),
    };
    let response = visit.raw(question.single(form)).await?;
    let name = if question.code.is_empty() { question.domain } else { question.code };
    Ok(Answer::file(response, "clicks", name, ending))
}

/// Where the script shows clicks as they come; without it, nothing.
pub fn live(question: &Question<'_>) -> Markup {
    html! {
        section aria-labelledby="live" data-watch=(question.way_to("/ui/clicks/live", "", "")) hidden {
            h2 id="live" { "Live" }
            p class="buttons" { button type="button" aria-pressed="false" { "Watch clicks as they come" } }
            p role="status" data-watch-says="" {}
            table class="plain" hidden {
                caption class="hidden" { "The last clicks" }
                thead {
                    tr {
                        @for column in LIVE_COLUMNS { th scope="col" { (column) } }
                    }
                }
                tbody {}
            }
        }
    }
}

/// What the script shows of each click, in the order of its columns.
const LIVE_COLUMNS: [&str; 6] = ["Time", "Code", "Kind", "Country", "Browser", "Referrer"];

/// `GET /ui/clicks/live`: JSON lines as REST streams them, for as long as the session lives.
pub async fn watch(visit: Visit) -> Result<Answer, Refusal> {
    let question = Question::of(&visit, Period::read(&visit.query, Timestamp::now())?);
    let response = match visit.raw(question.live()).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = Response::new(Body::from(sentence(&refusal.detail)));
            *response.status_mut() = refusal.status;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            return Ok(Answer::Raw(response));
        }
    };
    let (sessions, id) = (Arc::clone(&visit.sessions), visit.session.id);
    let (parts, body) = response.into_parts();
    let of_session = body.into_data_stream().take_while(move |_| sessions.is_alive(id, Instant::now()));
    Ok(Answer::Raw(Response::from_parts(parts, Body::from_stream(of_session))))
}
