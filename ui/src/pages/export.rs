//! Links as a file: those of the list, whatever it is narrowed to.

use crate::answer::Answer;
use crate::api::Refusal;
use crate::link_files::{ExportForm, LinkFiles};
use crate::show::{list, text};
use crate::visit::Visit;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use std::io::Error;
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

/// Links of one call.
const ROWS: &str = "1000";
/// Parts on their way to a browser.
const AHEAD: usize = 2;
/// How often a part is asked for again where the key has used up its allowance, a second apart.
const TRIES: usize = 60;

/// What an export writes.
struct LinkExport {
    files: LinkFiles,
    form: ExportForm,
    with_deleted: bool,
}

/// `GET /ui/links/export`.
pub async fn links(visit: Visit) -> Result<Answer, Refusal> {
    let files = visit.files()?.clone();
    let (form, kind, ending) = match visit.query.get("form") {
        "jsonl" => (ExportForm::JsonLines, "application/jsonl", "jsonl"),
        _ => (ExportForm::Csv, "text/csv; charset=utf-8", "csv"),
    };
    let export = LinkExport { files, form, with_deleted: visit.query.has("deleted") };
    // What is refused is told on a page; what is refused later breaks the file off.
    let first = super::listing::found(&visit, &visit.query, ROWS, "").await?;
    let (send, receive) = channel(AHEAD);
    let domain = visit.domain().to_owned();
    tokio::spawn(async move {
        if let Err(fault) = export.write(&visit, first, &send).await {
            let _ = send.send(Err(fault)).await; // nobody waits for it any more
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receive)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(Answer::file(response, "links", &domain, ending))
}

impl LinkExport {
    /// Ends early when the browser has gone.
    async fn write(
        &self,
        visit: &Visit,
        mut page: Value,
        send: &Sender<Result<Vec<u8>, Error>>,
    ) -> Result<(), Error> {
        let mut part = self.files.0.head(self.form, self.with_deleted);
        loop {
            for link in list(&page, "links") {
                let line = self.files.0.line(self.form, self.with_deleted, link);
                part.extend(line.map_err(Error::other)?);
            }
            if send.send(Ok(part)).await.is_err() {
                return Ok(());
            }
            let token = text(&page, "next_page_token").to_owned();
            if token.is_empty() {
                return Ok(());
            }
            page = again(visit, &token).await.map_err(|refusal| Error::other(refusal.detail))?;
            part = Vec::new();
        }
    }
}

/// The page of a token, waited for where there was too much at once.
async fn again(visit: &Visit, token: &str) -> Result<Value, Refusal> {
    let mut tries = 0;
    loop {
        let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        match super::listing::found(visit, &visit.query, ROWS, token).await {
            Err(refusal) if busy.contains(&refusal.status) && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            found => return found,
        }
    }
}
