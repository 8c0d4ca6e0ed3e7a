//! Answers of REST that are many messages: JSON lines, or CSV where single clicks are asked for as that. Nothing is decided
//! here.

use super::{RestResult, csv, problem};
use crate::routes::Route;
use crate::service::MessageSource;
use crate::transport::calls::ApiCalls;
use crate::transport::messages;
use crate::{Caller, Fault};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use prost::{Message, Name};
use prost_reflect::DynamicMessage;
use proto::v1;
use std::convert::Infallible;
use tokio_stream::StreamExt;

/// Begins the answer of a call that gives a stream.
pub async fn answer(
    calls: &ApiCalls,
    caller: &Caller,
    route: &Route,
    message: &DynamicMessage,
    headers: &HeaderMap,
) -> RestResult {
    let service = &calls.service;
    match &*route.call.name {
        "WatchLinks" => Ok(lines(service.watch(caller, of(message)?).await?)),
        "WatchClicks" => Ok(lines(service.watch_clicks(caller, &of(message)?).await?)),
        "ExportClicks" => {
            let export = service.export_clicks(caller, &of(message)?).await?;
            Ok(if wants_csv(headers) { table(export) } else { single(export) })
        }
        _ => Err(Fault::NoRoute),
    }
}

fn of<M: Message + Default>(message: &DynamicMessage) -> Result<M, Fault> {
    message.transcode_to().map_err(|_| Fault::Internal)
}

/// Whether CSV is named before JSON lines, or alone.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = accepted.flat_map(|value| value.split(','));
    let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.find(|kind| ["text/csv", "application/jsonl"].contains(kind)) == Some("text/csv")
}

/// A line for each message, for as long as somebody takes them. What ends the stream early is its last line.
fn lines<S: MessageSource<Message: Message + Name>>(source: S) -> axum::response::Response {
    let line = |next: Result<S::Message, Fault>| {
        let value = next.map_or_else(|fault| problem::body(&fault), |next| proto::json::value(&next));
        Ok::<_, Infallible>(format!("{value}\n"))
    };
    sent("application/jsonl", Body::from_stream(messages(source).map(line)))
}

/// A line for each click.
fn single(export: impl MessageSource<Message = v1::ExportClicksResponse>) -> axum::response::Response {
    let part = |next: Result<v1::ExportClicksResponse, Fault>| {
        Ok::<_, Infallible>(match next {
            Err(fault) => format!("{}\n", problem::body(&fault)),
            Ok(next) => next.clicks.iter().map(|click| format!("{}\n", proto::json::value(click))).collect(),
        })
    };
    sent("application/jsonl", Body::from_stream(messages(export).map(part)))
}

/// A row for each click, behind one with the names of the columns. Where it ends early it breaks off: a line of words would
/// be taken for a click.
fn table(export: impl MessageSource<Message = v1::ExportClicksResponse>) -> axum::response::Response {
    let head = tokio_stream::once(Ok(csv::HEAD.to_owned()));
    let part = |next: Result<v1::ExportClicksResponse, Fault>| match next {
        Err(fault) => Err(axum::Error::new(fault)),
        Ok(next) => Ok(next.clicks.iter().map(csv::row).collect::<String>()),
    };
    sent("text/csv; charset=utf-8", Body::from_stream(head.chain(messages(export).map(part))))
}

fn sent(kind: &'static str, body: Body) -> axum::response::Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_to_be_asked_for() {
        let wants = |accept: &'static str| {
            wants_csv(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(wants("text/csv") && wants("text/csv;q=0.9, application/jsonl") && wants("*/*, text/csv"));
        assert!(!wants("*/*") && !wants("application/jsonl, text/csv") && !wants_csv(&HeaderMap::new()));
    }
}
