//! `linkr tag …`: a rename asks again until no link is left to do.

use super::{Client, connect, parent, refused};
use crate::args::{Output, Server, TagCommand};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::v1;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;

const PAGE: i32 = 1_000;

/// Runs one of them.
pub async fn tags(command: TagCommand) -> Result<(), CommandFault> {
    match command {
        TagCommand::List { prefix, server } => list(prefix, &server).await,
        TagCommand::Rename { tag, new_tag, server } => {
            let mut links = connect(&server.api).await?;
            let mut changed = 0;
            let renamed = rename(&mut links, (&tag, &new_tag, false), &server, &mut changed).await;
            renamed?.map_err(|none| none.fault)?;
            told(changed, server.api.output)
        }
        TagCommand::Merge { tags, server } => merge(&tags, &server).await,
    }
}

async fn list(prefix: String, server: &Server) -> Result<(), CommandFault> {
    let mut links = connect(&server.api).await?;
    let mut request =
        v1::ListTagsRequest { parent: parent(&server.domain), page_size: PAGE, prefix, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page = links.list_tags(request.clone()).await.map_err(|s| refused(&s, &server.api))?.into_inner();
        found.extend(page.tags);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if server.api.output == Output::Json {
        let tags: Vec<Value> = found.iter().map(proto::json::value).collect();
        return out::json(&json!({ "tags": tags, "next_page_token": "" }));
    }
    let width = found.iter().map(|own| own.links.to_string().len()).max().unwrap_or(0);
    let lines = found.iter().map(|own| format!("{:>width$}  {}\n", own.links, plain(&own.tag)));
    out::text(&lines.collect::<String>())
}

/// No link has the tag.
struct NoSuchTag {
    fault: CommandFault,
}

/// One rename to its end. What it changed is counted as it goes, and said.
async fn rename(
    links: &mut Client,
    (tag, new_tag, merge): (&str, &str, bool),
    server: &Server,
    changed: &mut u64,
) -> Result<Result<(), NoSuchTag>, CommandFault> {
    let request = v1::RenameTagRequest {
        parent: parent(&server.domain),
        tag: tag.to_owned(),
        new_tag: new_tag.to_owned(),
        merge,
    };
    loop {
        let done = match links.rename_tag(request.clone()).await {
            Ok(done) => done.into_inner(),
            Err(status) if reason(&status).as_deref() == Some("TAG_NOT_FOUND") => {
                return Ok(Err(NoSuchTag { fault: refused(&status, &server.api) }));
            }
            Err(status) => return Err(refused(&status, &server.api)),
        };
        *changed += done.changed;
        if done.done {
            return Ok(Ok(()));
        }
        out::note(&format!("{changed} links have the tag '{}' now, and there are more", plain(new_tag)));
    }
}

fn reason(status: &Status) -> Option<String> {
    status.get_error_details().error_info().map(|info| info.reason.clone())
}

async fn merge(tags: &[String], server: &Server) -> Result<(), CommandFault> {
    let Some((into, from)) = tags.split_last() else { return Ok(()) }; // there are two at least
    let mut links = connect(&server.api).await?;
    let (mut changed, mut none) = (0, Vec::new());
    for tag in from {
        if let Err(missing) = rename(&mut links, (tag, into, true), server, &mut changed).await? {
            none.push((tag, missing.fault));
        }
    }
    match none.pop() {
        // Cut off before, it may have come past them.
        Some((_, fault)) if none.len() + 1 == from.len() => return Err(fault),
        last => none.extend(last),
    }
    for (tag, _) in none {
        out::note(&format!("no link has the tag '{}' (any more)", plain(tag)));
    }
    told(changed, server.api.output)
}

fn told(changed: u64, output: Output) -> Result<(), CommandFault> {
    match output {
        Output::Json => out::json(&proto::json::value(&v1::RenameTagResponse { changed, done: true })),
        Output::Text | Output::Url if changed == 1 => out::line("1 link changed"),
        Output::Text | Output::Url => out::line(&format!("{changed} links changed")),
    }
}
