//! What is asked of clicks: counts, streams of single ones, deletion, and codes that there are no links for. What a click is
//! and how it is counted is not here.

mod answer;
mod events;
mod export;
mod live;
mod question;
mod reclassify;
mod spans;

pub use export::ClickExport;
pub use live::ClickWatch;

use super::directory::Namespace;
use super::reach::{BoundReader, BoundView};
use super::tags::BEHIND;
use super::{Service, draft, name};
use crate::horizon::Horizon;
use crate::lanes::Lane;
use crate::live_clicks::LiveClicks;
use crate::{Caller, Fault};
use answer::Counted;
use clicks::Kind;
use clicks::ask::ClickGroup;
use events::Codes;
use exposition::escaped;
use journal::names;
use link::{DomainId, Key, Seq, misleads};
use proto::v1;
use question::{DAY, Inquiry, single_kinds};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::clock::unix_ms;
use store::port::clicks::{
    ClickDeletion, ClickQuestion, LossRow, MOST_LINKS, TopQuestion, UnknownQuestion, is_too_many_links,
    is_too_much,
};
use store::port::{Limit, LinkTag};
use tokio::sync::watch;

/// Links that a tag may have, for the clicks on all of them to be counted.
const TAGGED: usize = 10_000;
/// Such links that are read at once.
const PART: Limit = Limit { rows: 1_000, bytes: 2 * 1024 * 1024 };
/// Codes that no link has, in one answer; and where nobody says how many.
const CODES: i32 = 1_000;
const USUAL_CODES: i32 = 50;

/// What the service knows of clicks besides the store.
pub struct ClickSources {
    /// Up to when they are complete.
    pub horizon: Arc<Horizon>,
    /// Those that are counted now.
    pub live: Arc<LiveClicks>,
    /// Turns true when control stops.
    pub stop: watch::Receiver<bool>,
}

/// What is asked about: a domain, or links of it.
struct Subject {
    domain: DomainId,
    /// Their uids; `None`: all of the domain.
    links: Option<Vec<Seq>>,
    /// `true`: counts by link alone come from the lists of the domain, hour by hour, and not from the roll-ups of each link.
    by_lists: bool,
}

impl Service {
    /// See `QueryClicks`.
    pub async fn query_clicks(
        &self,
        caller: &Caller,
        request: &v1::QueryClicksRequest,
    ) -> Result<v1::QueryClicksResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let inquiry = Inquiry::parse(request, unix_ms())?;
        if !(request.tag.is_empty() && request.uids.is_empty()) {
            single_kinds(&request.kinds)?;
        }
        let lane = self.reach.lane(caller).await;
        let by_lists = request.tag.is_empty();
        let links = match (request.tag.as_str(), &request.uids[..]) {
            ("", []) => None,
            (tag, []) => Some(self.tagged(&self.reach.of(caller), &lane, domain, tag).await?),
            ("", uids) => Some(self.with_uids(&self.reach.of(caller), &lane, domain, uids).await?),
            _ => return Err(Fault::invalid("uids", "are given beside a tag: take one of both")),
        };
        self.counts(caller, &lane, Subject { domain, links, by_lists }, inquiry).await
    }

    /// See `QueryLinkClicks`.
    pub async fn query_link_clicks(
        &self,
        caller: &Caller,
        request: &v1::QueryLinkClicksRequest,
    ) -> Result<v1::QueryClicksResponse, Fault> {
        let key = self.key(caller, &request.name).await?;
        single_kinds(&request.kinds)?;
        let inquiry = Inquiry::of_link(request, unix_ms())?;
        let subject = self.subject_of(caller, key, &request.name).await?;
        let lane = self.reach.lane(caller).await;
        self.counts(caller, &lane, subject, inquiry).await
    }

    /// See `DeleteClicks`.
    pub async fn delete_clicks(
        &self,
        caller: &Caller,
        request: &v1::DeleteClicksRequest,
    ) -> Result<v1::DeleteClicksResponse, Fault> {
        let before = draft::time("before", request.before.as_ref())?;
        if request.code.is_empty() && before.is_none() {
            let why = "is missing, and so is code: say which link's clicks, or those before which time; all of a domain are \
                       those before tomorrow (UTC)";
            return Err(Fault::invalid("before", why));
        }
        let subject = self.subject(caller, &request.parent, &request.code).await?;
        let before = before.map(|before| before - before.rem_euclid(DAY));
        let deletion = ClickDeletion { domain: subject.domain, links: subject.links, before };
        let deleted = self.reach.of(caller).delete_clicks(deletion).await?;
        let (domain, by) = (self.reach.name(subject.domain), &caller.principal);
        tracing::info!(name: "clicks_deleted", domain, code = request.code, deleted, %by, "clicks were deleted for good");
        Ok(v1::DeleteClicksResponse { deleted })
    }

    /// See `ListUnknownCodes`.
    pub async fn unknown_codes(
        &self,
        caller: &Caller,
        request: &v1::ListUnknownCodesRequest,
    ) -> Result<v1::ListUnknownCodesResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let (start, end) = (request.start_time.as_ref(), request.end_time.as_ref());
        let question::Range { from, until } = question::range(start, end, unix_ms())?;
        let most = question::limit(request.limit, USUAL_CODES, CODES)?;
        let asked = UnknownQuestion { domain, from, until, most };
        let lane = self.reach.lane(caller).await;
        let read = move |reader: &BoundReader<'_>| reader.unknown_codes(&asked);
        let found = self.reach.of(caller).read_part(&lane, read).await?;
        let codes = found.top.into_iter();
        let codes = codes.map(|own| v1::UnknownCode { code: shown(&own.code), count: own.count });
        Ok(v1::ListUnknownCodesResponse { codes: codes.collect(), total: found.total })
    }

    /// See `WatchClicks`.
    ///
    /// # Errors
    /// Those of finding the link or domain.
    pub async fn watch_clicks(
        self: &Arc<Self>,
        caller: &Caller,
        request: &v1::WatchClicksRequest,
    ) -> Result<ClickWatch, Fault> {
        let begun = async {
            let kinds = single_kinds(&request.kinds)?;
            let subject = self.subject(caller, &request.parent, &request.code).await?;
            Ok::<_, Fault>(ClickWatch::new(self.clone(), caller.clone(), subject, kinds))
        };
        self.counted("WatchClicks", begun.await)
    }

    /// See `ExportClicks`.
    ///
    /// # Errors
    /// Those of finding the link or domain.
    pub async fn export_clicks(
        self: &Arc<Self>,
        caller: &Caller,
        request: &v1::ExportClicksRequest,
    ) -> Result<ClickExport, Fault> {
        let begun = async {
            let kinds = single_kinds(&request.kinds)?;
            let subject = self.subject(caller, &request.parent, &request.code).await?;
            ClickExport::new(self.clone(), caller.clone(), subject, kinds, request)
        };
        self.counted("ExportClicks", begun.await)
    }

    /// A domain, or the link with a code in it.
    async fn subject(&self, caller: &Caller, parent: &str, code: &str) -> Result<Subject, Fault> {
        let domain: Namespace = self.parent(caller, parent).await?;
        if code.is_empty() {
            return Ok(Subject { domain: domain.id, links: None, by_lists: true });
        }
        let key = domain.key(&name::code(code, "code")?);
        let called = names::link(&key, &self.reach.name(domain.id));
        self.subject_of(caller, key, &called).await
    }

    /// A link, deleted or not.
    async fn subject_of(&self, caller: &Caller, key: Key, called: &str) -> Result<Subject, Fault> {
        let (_, row) = self.reach.of(caller).link(&key).await?;
        let row = row.ok_or_else(|| Fault::NotFound(called.to_owned()))?;
        Ok(Subject { domain: key.domain(), links: Some(vec![row.uid]), by_lists: false })
    }

    /// These uids, if each of them is that of a link of the domain: a click has no domain but its link's.
    async fn with_uids(
        &self,
        view: &BoundView<'_>,
        lane: &Lane,
        domain: DomainId,
        uids: &[Seq],
    ) -> Result<Vec<Seq>, Fault> {
        let asked = uids.to_vec();
        let rows = view.read_part(lane, move |reader| reader.links_with_uids(domain, &asked)).await?;
        let found: BTreeSet<Seq> = rows.iter().map(|row| row.uid).collect();
        match uids.iter().find(|uid| !found.contains(uid)) {
            None => Ok(found.into_iter().collect()),
            Some(uid) => Err(Fault::invalid("uids", format!("hold {uid}, which no link of the domain has"))),
        }
    }

    /// The uids of the links that have a tag now.
    async fn tagged(
        &self,
        view: &BoundView<'_>,
        lane: &Lane,
        domain: DomainId,
        tag: &str,
    ) -> Result<Vec<Seq>, Fault> {
        let tag = LinkTag { domain, tag: tag.to_owned() };
        let (asked, mut uids, mut after) = (tag.clone(), Vec::new(), Vec::new());
        // Where the index is not complete yet, links would be left out in silence.
        view.read_part(lane, move |reader| reader.count_tagged(&asked, 1)?.ok_or(BEHIND)).await?;
        loop {
            let (tag, behind) = (tag.clone(), std::mem::take(&mut after));
            let page = view.read_part(lane, move |reader| reader.tagged(&tag, "", &behind, PART)).await?;
            uids.extend(page.rows.iter().map(|row| row.uid));
            if uids.len() > TAGGED {
                let why = format!(
                    "is that of more than {TAGGED} links: ask about the domain, or about single links"
                );
                return Err(Fault::invalid("tag", why));
            }
            match page.rows.last().filter(|_| page.more) {
                Some(last) => after = last.key.as_bytes().to_vec(),
                None => return Ok(uids),
            }
        }
    }

    async fn counts(
        &self,
        caller: &Caller,
        lane: &Lane,
        subject: Subject,
        inquiry: Inquiry,
    ) -> Result<v1::QueryClicksResponse, Fault> {
        // Before the counts are read: what it says is in them.
        let complete_until = self.clicks.horizon.until(unix_ms());
        let asked = inquiry.clone();
        let read = move |reader: &BoundReader<'_>| reading(reader, subject, &asked);
        let Reading { counted, losses, codes } = self.reach.of(caller).read_part(lane, read).await?;
        let complete_until = complete_until.map(|until| counted.complete_until(until));
        Ok(answer::told(&inquiry, counted, &losses, &codes, complete_until))
    }
}

/// What is read for one answer.
struct Reading {
    counted: Counted,
    losses: Vec<LossRow>,
    codes: Codes,
}

fn reading(reader: &BoundReader<'_>, subject: Subject, inquiry: &Inquiry) -> Result<Reading, Fault> {
    let domain = subject.domain;
    let counted = counted(reader, subject, inquiry)?;
    let losses = reader.click_losses(inquiry.from, inquiry.until)?;
    let codes = Codes::read(reader, domain, &counted.uids())?;
    Ok(Reading { counted, losses, codes })
}

/// The counts that the store has for a question: by link alone out of lists, where the subject is of those that have them.
fn counted(reader: &BoundReader<'_>, subject: Subject, inquiry: &Inquiry) -> Result<Counted, Fault> {
    let Subject { domain, links, by_lists } = subject;
    let (from, until) = (inquiry.from, inquiry.until);
    if by_lists && inquiry.groups == [ClickGroup::Link] && !inquiry.is_narrow() {
        let (kinds, most) = (inquiry.kinds.clone(), inquiry.limit);
        let top = reader.top_links(&TopQuestion { domain, from, until, kinds, links, most })?;
        return Ok(Counted::of_top(top));
    }
    let question = ClickQuestion {
        domain,
        links,
        from,
        until,
        filter: inquiry.filter.clone(),
        groups: inquiry.groups.clone(),
        times: inquiry.boundaries(),
        most: inquiry.limit,
        visitors: inquiry.kinds == [Kind::Human] && !inquiry.is_narrow(),
        splits: inquiry.splits.iter().map(|split| split.question(inquiry.limit)).collect(),
    };
    reader.click_counts(&question).map(Counted::of).map_err(of_less)
}

/// An answer that would be too large is no fault of the store, and another try is worth nothing.
fn of_less(fault: Fault) -> Fault {
    if let Fault::Store(why) = &fault
        && is_too_much(why)
    {
        let why = "makes more than 100,000 counts of this time: take longer spans of it, less time, or one of the two";
        return Fault::invalid("group_by", why);
    }
    if let Fault::Store(why) = &fault
        && is_too_many_links(why)
    {
        let why = format!(
            "is by link and more, and what comes first is not decided by the {MOST_LINKS} links that were clicked most: split by \
             link alone and without other filters, take less time or a lower limit, or ask about a tag or a link"
        );
        return Fault::invalid("group_by", why);
    }
    fault
}

/// A code as it was asked for, by whomever: UTF-8 as it is, other bytes percent-encoded. One that would steer a terminal, turn
/// the direction of what is behind it or hide is percent-encoded as a whole.
fn shown(code: &[u8]) -> String {
    let mut text = String::with_capacity(code.len());
    for chunk in code.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    if text.chars().any(|c| c.is_control() || misleads(c)) { escaped(&text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clicks::ask::TallyFault;
    use store::model::StoreFault;

    #[test]
    fn an_answer_that_would_be_too_large_is_a_question_that_asks_too_much() {
        let of = |why: String| of_less(Fault::Store(StoreFault::Unavailable(why)));
        assert_eq!(of(TallyFault::TooManyRows.to_string()).field(), Some("group_by"));
        assert_eq!(of("away".into()), Fault::Store(StoreFault::Unavailable("away".into())));
    }

    #[test]
    fn a_code_is_shown_as_it_was_asked_for() {
        for (code, want) in [
            (&b"promo/a"[..], "promo/a"),
            ("stra\u{df}e".as_bytes(), "stra\u{df}e"),
            (b"a\xffb", "a%FFb"),
            (b"a\x1b[0m", "a%1B%5B0m"),
            ("a\u{202e}gnp".as_bytes(), "a%E2%80%AEgnp"),
            (b"", ""),
        ] {
            assert_eq!(shown(code), want);
        }
    }
}
