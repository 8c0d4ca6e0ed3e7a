//! An export of single clicks, part after part, which can be taken up again where it was cut off.

use super::Subject;
use super::events::{Codes, event};
use super::question::Range;
use crate::service::reach::BoundReader;
use crate::service::source::MessageSource;
use crate::service::{Service, draft};
use crate::{Caller, Fault};
use clicks::Kind;
use proto::v1;
use std::sync::Arc;
use store::clock::unix_ms;
use store::port::clicks::{RawPage, RawQuestion};

/// Clicks of one message: some hundred KiB.
const PART: usize = 2_000;

/// One export.
pub struct ClickExport {
    service: Arc<Service>,
    caller: Caller,
    question: RawQuestion,
    kinds: Vec<Kind>,
    codes: Codes,
    ends: bool,
}

/// The next clicks, and what was learnt of links by them.
struct ExportPart {
    page: RawPage,
    codes: Codes,
}

impl ClickExport {
    pub(super) fn new(
        service: Arc<Service>,
        caller: Caller,
        subject: Subject,
        kinds: Vec<Kind>,
        request: &v1::ExportClicksRequest,
    ) -> Result<Self, Fault> {
        let until = draft::time("end_time", request.end_time.as_ref())?.unwrap_or_else(unix_ms);
        let from = draft::time("start_time", request.start_time.as_ref())?.unwrap_or(0);
        let range = Range { from, until };
        if range.from >= range.until {
            return Err(Fault::invalid("start_time", "is not before end_time"));
        }
        let question = RawQuestion {
            domain: Some(subject.domain),
            links: subject.links.map(|links| links.into_iter().collect()),
            from: range.from,
            until: range.until,
            place: place(&request.after)?,
            most: PART,
        };
        Ok(Self { service, caller, question, kinds, codes: Codes::default(), ends: false })
    }

    async fn part(&mut self) -> Result<Option<v1::ExportClicksResponse>, Fault> {
        while !self.ends {
            let (question, codes) = (self.question.clone(), std::mem::take(&mut self.codes));
            let read = move |reader: &BoundReader<'_>| {
                let page = reader.raw_clicks(&question)?;
                let codes = match question.domain {
                    Some(domain) => codes.with(reader, domain, &page.clicks)?,
                    None => codes,
                };
                Ok(ExportPart { page, codes })
            };
            let lane = self.service.reach.lane(&self.caller).await;
            let ExportPart { page, codes } =
                self.service.reach.of(&self.caller).read_part(&lane, read).await?;
            drop(lane);
            // What comes while it is read is of a later export.
            self.ends = !page.more;
            self.question.place = page.next;
            self.codes = codes;
            let wanted = page
                .clicks
                .iter()
                .filter(|own| self.kinds.is_empty() || self.kinds.contains(&own.click.kind));
            let clicks: Vec<_> = wanted.map(|own| event(own, &self.codes)).collect();
            if !clicks.is_empty() {
                return Ok(Some(v1::ExportClicksResponse { clicks }));
            }
        }
        Ok(None)
    }
}

impl MessageSource for ClickExport {
    type Message = v1::ExportClicksResponse;

    async fn next(&mut self) -> Result<Option<Self::Message>, Fault> {
        self.part().await
    }
}

/// The place behind the click with this id; that of the first one where there is none.
fn place(after: &str) -> Result<u64, Fault> {
    let id = if after.is_empty() { Some(None) } else { after.parse::<u64>().ok().map(Some) };
    match id {
        Some(None) => Ok(0),
        Some(Some(id)) if id < u64::MAX => Ok(id + 1),
        _ => Err(Fault::invalid("after", "is no id of a click")),
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn an_export_goes_on_behind_the_last_click() {
        assert_eq!((place(""), place("0"), place("41")), (Ok(0), Ok(1), Ok(42)));
        for wrong in ["x", "-1", "1.5", "18446744073709551615"] {
            assert_eq!(place(wrong).unwrap_err().field(), Some("after"), "{wrong}");
        }
    }
}
