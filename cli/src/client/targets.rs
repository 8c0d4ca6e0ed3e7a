//! `linkr target …`: one request each, and then looks whether control is done.

use super::{call, channel, refused};
use crate::args::{Api, Output, TargetCommand};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::client::KeyedChannel;
use proto::v1::{self, BlockState, BlockedTarget, targets_client::TargetsClient};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two looks, the first and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Runs one of them.
pub async fn targets(command: TargetCommand) -> Result<(), CommandFault> {
    match command {
        TargetCommand::Block { host, note, request_id, validate_only, api } => {
            let (note, request_id) = (note.unwrap_or_default(), request_id.unwrap_or_default());
            let request = v1::BlockTargetRequest { host, note, request_id, validate_only };
            block(request, &api).await
        }
        TargetCommand::Unblock { host, api } => unblock(host, &api).await,
        TargetCommand::List { api } => list(&api).await,
    }
}

async fn block(request: v1::BlockTargetRequest, api: &Api) -> Result<(), CommandFault> {
    let only_check = request.validate_only;
    let made = call(api, TargetsClient::new, async |targets| targets.block_target(request).await).await?;
    let swept = if only_check { None } else { swept(&made.host, BlockState::Sweeping, api).await? };
    let (matched, led_by) = (made.matched, made.led_by.clone());
    let block = BlockedTarget { matched, led_by, ..swept.unwrap_or(made) };
    if api.output == Output::Json {
        return out::json(&proto::json::value(&block));
    }
    let (host, matched) = (plain(&block.host), matched.unwrap_or_default());
    out::line(&match (only_check, block.state()) {
        (true, _) => format!("{host} can be blocked: {matched} links lead there"),
        (false, BlockState::Lifting) => format!("{host} was unblocked meanwhile"),
        _ => format!(
            "{host} is blocked: {matched} links lead there, and the block keeps {} of them disabled",
            block.disabled
        ),
    })?;
    if !block.led_by.is_empty() {
        out::note(&format!(
            "visitors are still led there by {}: linkr domain update changes that",
            plain(&block.led_by.join(", "))
        ));
    }
    Ok(())
}

async fn unblock(host: String, api: &Api) -> Result<(), CommandFault> {
    let request = v1::UnblockTargetRequest { host };
    let lifted = call(api, TargetsClient::new, async |targets| targets.unblock_target(request).await).await?;
    let left = swept(&lifted.host, BlockState::Lifting, api).await?;
    if api.output == Output::Json {
        return out::json(&proto::json::value(&left.unwrap_or(lifted)));
    }
    let host = plain(&lifted.host);
    out::line(&match left {
        None => format!(
            "{host} is not blocked any more: the {} links that the block kept disabled are enabled, but for those that \
             another block covers",
            lifted.disabled
        ),
        Some(_) => format!("{host} was blocked again meanwhile"),
    })
}

/// The block of a host when it is no longer in this state; `None`: there is none any more.
async fn swept(host: &str, state: BlockState, api: &Api) -> Result<Option<BlockedTarget>, CommandFault> {
    let mut client = TargetsClient::new(channel(api).await?);
    let mut pause = LOOKS.0;
    loop {
        match one(&mut client, host, api).await? {
            Some(block) if block.state() == state => {}
            other => return Ok(other),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOKS.1);
    }
}

async fn one(
    client: &mut TargetsClient<KeyedChannel>,
    host: &str,
    api: &Api,
) -> Result<Option<BlockedTarget>, CommandFault> {
    let request = v1::ListBlockedTargetsRequest { host: host.into(), ..Default::default() };
    let page = client.list_blocked_targets(request).await.map_err(|status| refused(&status, api))?;
    Ok(page.into_inner().blocks.pop())
}

async fn list(api: &Api) -> Result<(), CommandFault> {
    let mut client = TargetsClient::new(channel(api).await?);
    let mut request = v1::ListBlockedTargetsRequest { page_size: 1_000, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page = client.list_blocked_targets(request.clone()).await;
        let page = page.map_err(|status| refused(&status, api))?.into_inner();
        found.extend(page.blocks);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if api.output == Output::Json {
        let blocks: Vec<Value> = found.iter().map(proto::json::value).collect();
        return out::json(&json!({ "blocks": blocks, "next_page_token": "" }));
    }
    let width = found.iter().map(|block| block.host.len()).max().unwrap_or(0).min(40);
    let lines = found.iter().map(|block| {
        let state = match block.state() {
            BlockState::Sweeping => "disabling",
            BlockState::Lifting => "enabling",
            BlockState::Done | BlockState::Unspecified => "blocked",
        };
        let time = block.create_time.map(|time| time.to_string()).unwrap_or_default();
        let line = format!(
            "{:<width$}  {state:<9}  {:>8} links  {time}  {}",
            plain(&block.host),
            block.disabled,
            plain(&block.note)
        );
        line.trim_end().to_owned() + "\n"
    });
    out::text(&lines.collect::<String>())
}
