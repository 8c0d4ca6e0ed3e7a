//! A watch of clicks: those of a domain or of a link, told as they are counted.

use super::Subject;
use super::events::{Codes, event};
use crate::live_clicks::LivePages;
use crate::service::Service;
use crate::service::reach::BoundReader;
use crate::service::source::MessageSource;
use crate::{Caller, Fault};
use clicks::Kind;
use proto::v1;
use std::sync::Arc;
use store::port::clicks::RawClick;
use tokio::sync::watch;

/// One watch.
pub struct ClickWatch {
    service: Arc<Service>,
    caller: Caller,
    subject: Subject,
    kinds: Vec<Kind>,
    pages: LivePages,
    stop: watch::Receiver<bool>,
    codes: Codes,
    begun: bool,
}

impl ClickWatch {
    pub(super) fn new(service: Arc<Service>, caller: Caller, subject: Subject, kinds: Vec<Kind>) -> Self {
        let (pages, stop) = (service.clicks.live.pages(subject.domain), service.clicks.stop.clone());
        Self { service, caller, subject, kinds, pages, stop, codes: Codes::default(), begun: false }
    }

    async fn message(&mut self) -> Result<Option<v1::WatchClicksResponse>, Fault> {
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(Some(v1::WatchClicksResponse::default()));
        }
        let mut missed = 0;
        loop {
            let page = tokio::select! {
                page = self.pages.next() => page,
                _ = self.stop.wait_for(|&stop| stop) => None,
            };
            let Some(page) = page else { return Ok(None) };
            missed += page.missed;
            let wanted: Vec<RawClick> = page.clicks.into_iter().filter(|own| self.wants(own)).collect();
            if wanted.is_empty() && missed == 0 {
                continue;
            }
            let (domain, codes) = (self.subject.domain, std::mem::take(&mut self.codes));
            let read = move |reader: &BoundReader<'_>| {
                let codes = codes.with(reader, domain, &wanted)?;
                let clicks = wanted.iter().map(|own| event(own, &codes)).collect();
                Ok(ToldClicks { clicks, codes })
            };
            let ToldClicks { clicks, codes } = self.service.reach.of(&self.caller).read(read).await?;
            self.codes = codes;
            return Ok(Some(v1::WatchClicksResponse { clicks, gap: missed > 0, missed }));
        }
    }

    fn wants(&self, raw: &RawClick) -> bool {
        let click = &raw.click;
        self.subject.links.as_ref().is_none_or(|links| links.contains(&click.uid))
            && (self.kinds.is_empty() || self.kinds.contains(&click.kind))
    }
}

/// Clicks of one message, and what was learnt of links by them.
struct ToldClicks {
    clicks: Vec<v1::ClickEvent>,
    codes: Codes,
}

impl MessageSource for ClickWatch {
    type Message = v1::WatchClicksResponse;

    async fn next(&mut self) -> Result<Option<Self::Message>, Fault> {
        self.message().await
    }
}
