//! The calls of `linkr.v1.Targets`: hosts that no link may lead to. The links that lead there are the sweep's (`sweep`).

use super::write::WriteTerms;
use super::{Service, draft};
use crate::page::page_size;
use crate::{Caller, Fault};
use journal::blocks::{BlockHoldings, BlockIntent, BlockItem, BlockRow, BlockVerdict, decide};
use link::TargetHost;
use prost::Message;
use proto::v1;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::wire;

/// Bytes of a turned host at most: see [`TargetHost`].
const LONGEST_HOST: usize = 1_024;
const LARGEST_PAGE: i32 = 1_000;

impl Service {
    /// See `BlockTarget`.
    pub async fn block_target(
        &self,
        caller: &Caller,
        request: &v1::BlockTargetRequest,
    ) -> Result<v1::BlockedTarget, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        caller.bound.everywhere()?;
        let (host, note) = (host(&request.host)?, note(&request.note)?);
        let intent = BlockIntent::Block { note, by: asked.by };
        let item = BlockItem { host: host.clone(), intent, retry: asked.retry };
        let verdict = match request.validate_only {
            true => self.would_be(caller, item).await?,
            false => self.reach.of(caller).write_block(item).await?,
        };
        let block = told(verdict)?;
        let view = self.reach.of(caller);
        let led_by = view.domains_now().await?.led_to(&host);
        let matched = view.everywhere(move |store| store.count_led_to(&host)).await?;
        Ok(v1::BlockedTarget { matched: Some(matched), led_by, ..block })
    }

    /// The verdict that it would get now.
    async fn would_be(&self, caller: &Caller, item: BlockItem) -> Result<BlockVerdict, Fault> {
        let host = item.host.clone();
        let row = self.reach.of(caller).everywhere(move |store| store.block(&host)).await?;
        let found = BlockHoldings { row, ..BlockHoldings::default() };
        Ok(decide(&BlockItem { retry: None, ..item }, &found, unix_ms()))
    }

    /// See `UnblockTarget`.
    pub async fn unblock_target(
        &self,
        caller: &Caller,
        request: &v1::UnblockTargetRequest,
    ) -> Result<v1::BlockedTarget, Fault> {
        caller.bound.everywhere()?;
        let intent = BlockIntent::Unblock { by: caller.by("UnblockTarget") };
        let item = BlockItem { host: host(&request.host)?, intent, retry: None };
        told(self.reach.of(caller).write_block(item).await?)
    }

    /// See `ListBlockedTargets`. A page token is the turned host of the last block of the page before.
    pub async fn blocked_targets(
        &self,
        caller: &Caller,
        request: &v1::ListBlockedTargetsRequest,
    ) -> Result<v1::ListBlockedTargetsResponse, Fault> {
        caller.bound.everywhere()?;
        let size = page_size(request.page_size, LARGEST_PAGE)?;
        let view = self.reach.of(caller);
        if !request.host.is_empty() {
            let host = host(&request.host)?;
            let found = view.everywhere(move |store| store.block(&host)).await?;
            let blocks = found.iter().map(wire::block).collect();
            return Ok(v1::ListBlockedTargetsResponse { blocks, next_page_token: String::new() });
        }
        let after = request.page_token.clone();
        if !after.is_empty() && (after.len() > LONGEST_HOST || !after.ends_with('.')) {
            return Err(Fault::invalid("page_token", "is none that this list gave out"));
        }
        let mut rows: Vec<BlockRow> = view.everywhere(move |store| store.blocks(&after, size + 1)).await?;
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more);
        let next_page_token = last.map_or_else(String::new, |row| row.host.turned().to_owned());
        Ok(v1::ListBlockedTargetsResponse { blocks: rows.iter().map(wire::block).collect(), next_page_token })
    }
}

fn host(text: &str) -> Result<TargetHost, Fault> {
    TargetHost::given(text).map_err(|why| Fault::invalid("host", why))
}

fn note(text: &str) -> Result<String, Fault> {
    let most = draft::bound("linkr.v1.BlockTargetRequest", "note", |rule| rule.max_length);
    if text.len() > most {
        return Err(Fault::invalid("note", format!("is longer than {most} bytes")));
    }
    Ok(text.to_owned())
}

fn told(verdict: BlockVerdict) -> Result<v1::BlockedTarget, Fault> {
    match verdict {
        BlockVerdict::Written(row) | BlockVerdict::Same(row) => Ok(wire::block(&row)),
        BlockVerdict::Before(bytes) => v1::BlockedTarget::decode(bytes)
            .map_err(|e| StoreFault::Corrupt(format!("a stored answer: {e}")).into()),
        BlockVerdict::Refused(why) => Err(why.into()),
        // Only a sweep ends one.
        BlockVerdict::Ended => Err(Fault::Internal),
    }
}
