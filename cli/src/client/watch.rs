//! `linkr link watch`: every change of the links as it happens, a line each.

use super::{connect, parent, refused};
use crate::args::{Output, Server};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::v1::{LinkChange, WatchLinksRequest};

/// Runs it until the server or the reader goes away.
pub async fn watch(revision: Option<String>, server: Server) -> Result<(), CommandFault> {
    let mut last = revision.unwrap_or_default();
    let request = WatchLinksRequest { parent: parent(&server.domain), revision: last.clone() };
    let mut client = connect(&server.api).await?;
    let asked = client.watch_links(request).await.map_err(|s| refused(&s, &server.api))?;
    let mut messages = asked.into_inner();
    loop {
        let message = messages.message().await.map_err(|s| cut(&refused(&s, &server.api), &last))?;
        let Some(message) = message else { return Err(cut(&CommandFault::new("the server stops"), &last)) };
        if last.is_empty() && server.api.output == Output::Text {
            out::note(&format!("watching what comes after {}", message.revision));
        }
        for change in &message.changes {
            match server.api.output {
                Output::Json => out::json(&proto::json::value(change))?,
                Output::Text | Output::Url => out::text(&(line(change) + "\n"))?,
            }
        }
        last = message.revision;
    }
}

fn cut(fault: &CommandFault, last: &str) -> CommandFault {
    match last {
        "" => CommandFault::new(fault.message()),
        last => CommandFault::new(format_args!("{} (go on with --revision {last})", fault.message())),
    }
}

fn line(change: &LinkChange) -> String {
    let state = match &change.link {
        Some(link) if link.disabled => format!("{}  (disabled)", plain(&link.target)),
        Some(link) => plain(&link.target),
        None if change.purged => "(purged)".to_owned(),
        None => "(deleted)".to_owned(),
    };
    let code = change.name.split_once("/links/").map_or(&*change.name, |(_, code)| code);
    format!("{}  {}  {state}", change.revision, plain(code))
}
