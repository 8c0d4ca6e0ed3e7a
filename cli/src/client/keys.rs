//! `linkr keys …`: one request each. A new key is shown once, alone on stdout so that it can be put into a file.

use super::call;
use crate::args::{Api, KeysCommand, Output};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use prost_types::Timestamp;
use proto::client::KeyedChannel;
use proto::v1::keys_client::KeysClient;
use proto::v1::{self, Key};
use tonic::{Response, Status};

/// Runs one of them.
pub async fn keys(command: KeysCommand) -> Result<(), CommandFault> {
    match command {
        KeysCommand::Create { client, scopes, domains, edge, expire_time, api } => {
            let (expire_time, edge) = (expire_time.map(|moment| moment.time), edge.unwrap_or_default());
            let client = client.unwrap_or_else(|| edge.clone());
            let key = Key { client, scopes, domains, edge, expire_time, ..Key::default() };
            let request = v1::CreateKeyRequest { key: Some(key) };
            made(&call(&api, KeysClient::new, async |keys| keys.create_key(request).await).await?, &api)
        }
        KeysCommand::List { show_revoked, api } => {
            let listed = call(&api, KeysClient::new, async |keys| all(keys, show_revoked).await).await?;
            match api.output {
                Output::Json => out::json(&proto::json::value(&listed)),
                Output::Text | Output::Url => out::text(&listed.keys.iter().map(line).collect::<String>()),
            }
        }
        KeysCommand::Rotate { id, expire_time, api } => {
            let expire_time = expire_time.map(|moment| moment.time);
            let request = v1::RotateKeyRequest { name: named(&id), expire_time };
            made(&call(&api, KeysClient::new, async |keys| keys.rotate_key(request).await).await?, &api)?;
            if api.output != Output::Json {
                let first = id.strip_prefix("keys/").unwrap_or(&id);
                out::note(&format!(
                    "{first} goes on beside it: linkr keys revoke {first}, when nobody uses it any more"
                ));
            }
            Ok(())
        }
        KeysCommand::Audit { name, page_size, page_token, api } => {
            let (name, page_token) = (name.unwrap_or_default(), page_token.unwrap_or_default());
            let request = v1::ListAuditRequest { name, page_size, page_token };
            audit(&call(&api, KeysClient::new, async |keys| keys.list_audit(request).await).await?, &api)
        }
        KeysCommand::Revoke { id, api } => {
            let request = v1::RevokeKeyRequest { name: named(&id) };
            let revoked = call(&api, KeysClient::new, async |keys| keys.revoke_key(request).await).await?;
            match api.output {
                Output::Json => out::json(&proto::json::value(&revoked)),
                Output::Text | Output::Url => out::text(&line(&revoked)),
            }
        }
    }
}

/// Every page as one.
async fn all(
    keys: &mut KeysClient<KeyedChannel>,
    show_revoked: bool,
) -> Result<Response<v1::ListKeysResponse>, Status> {
    let mut found = v1::ListKeysResponse::default();
    let mut request = v1::ListKeysRequest { show_revoked, ..Default::default() };
    loop {
        let page = keys.list_keys(request.clone()).await?.into_inner();
        found.keys.extend(page.keys);
        if page.next_page_token.is_empty() {
            return Ok(Response::new(found));
        }
        request.page_token = page.next_page_token;
    }
}

/// A key that nobody got is of no use, and nobody would know: also where a reader has gone this is no quiet end.
fn made(key: &Key, api: &Api) -> Result<(), CommandFault> {
    let written = match api.output {
        Output::Json => out::json(&proto::json::value(key)),
        Output::Text | Output::Url => {
            out::note(&format!("{} of {}; it is not shown again", id(key), key.client));
            out::line(&key.secret)
        }
    };
    let id = id(key);
    written.map_err(|_| {
        CommandFault::new(format_args!(
            "key {id} was made, but standard output did not take it, and it is shown nowhere else: linkr keys revoke {id}, and \
             make another"
        ))
    })
}

fn line(key: &Key) -> String {
    let at =
        |what: &str, time: &Option<Timestamp>| time.map_or_else(String::new, |at| format!("  {what} {at}"));
    let bound =
        if key.domains.is_empty() { String::new() } else { format!("  for {}", key.domains.join(",")) };
    let edge = if key.edge.is_empty() { String::new() } else { format!("  edge {}", plain(&key.edge)) };
    let (expires, used) = (at("expires", &key.expire_time), at("used", &key.last_use_time));
    let (scopes, revoked) = (key.scopes.join(","), at("revoked", &key.revoke_time));
    format!("{}  {:<20} {scopes}{bound}{edge}{expires}{used}{revoked}\n", id(key), key.client)
}

fn audit(page: &v1::ListAuditResponse, api: &Api) -> Result<(), CommandFault> {
    if api.output == Output::Json {
        return out::json(&proto::json::value(page));
    }
    let lines = page.entries.iter().map(|entry| {
        let time = entry.time.map(|time| time.to_string()).unwrap_or_default();
        let principal = if entry.principal.is_empty() { "-" } else { &entry.principal };
        format!("{time:<24}  {:<12}  {:<16}  {}\n", entry.method, plain(principal), plain(&entry.name))
    });
    out::text(&lines.collect::<String>())?;
    if !page.next_page_token.is_empty() {
        out::note(&format!("there are more: add --page-token {}", page.next_page_token));
    }
    Ok(())
}

fn id(key: &Key) -> &str {
    key.name.strip_prefix("keys/").unwrap_or(&key.name)
}

fn named(key: &str) -> String {
    format!("keys/{}", key.strip_prefix("keys/").unwrap_or(key))
}
