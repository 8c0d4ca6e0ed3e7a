//! `linkr link …`: one request each, but for `list --all`.

use super::fields::{cell, set_cell, travelling};
use super::place::{LinkPlace, place};
use super::{Client, call, connect, links_of, parent, refused, show, spelled};
use crate::args::{Ack, Api, DeletedLinks, ExistingLink, LinkCommand, Output, Restore, Server, Update};
use crate::fault::CommandFault;
use crate::out;
use prost_types::FieldMask;
use proto::v1::{self, domains_client::DomainsClient, restore_link_request::Point};
use tonic::{Code, Response, Status};

/// Runs one of them.
pub async fn links(command: LinkCommand) -> Result<(), CommandFault> {
    match command {
        LinkCommand::Create { target, code, drawn, changes, flatten, same_ok, request_id, ack, server } => {
            changes.check(request_id.is_some())?;
            let place = match code {
                Some(code) => place(code, &server).await?,
                None => LinkPlace { domain: server.domain.clone(), code: String::new() },
            };
            let mut link = v1::Link { target, ..Default::default() };
            set(&mut link, changes.into_given())?;
            let request = v1::CreateLinkRequest {
                parent: parent(&place.domain),
                link_id: spelled(&place.code),
                link: Some(link),
                request_id: request_id.unwrap_or_default(),
                ack: on_wire(ack),
                code_prefix: drawn.code_prefix.unwrap_or_default(),
                code_length: drawn.code_length.unwrap_or(0),
                code_alphabet: match drawn.code_alphabet.as_deref() {
                    Some("unambiguous") => v1::CodeAlphabet::Unambiguous.into(),
                    _ => 0,
                },
                flatten,
                ..Default::default()
            };
            match same_ok {
                true => create_or_same(request, &server).await,
                false => written(&server.api, async |links| links.create_link(request).await).await,
            }
        }
        LinkCommand::Check { code, server } => {
            let request = v1::CheckCodeRequest { name: place(code, &server).await?.name() };
            let told = call(&server.api, links_of, async |links| links.check_code(request).await).await?;
            show::code(&told, server.api.output)
        }
        LinkCommand::Get { code, server } => {
            let request = v1::GetLinkRequest { name: place(code, &server).await?.name() };
            let link = call(&server.api, links_of, async |links| links.get_link(request).await).await?;
            show::link(&link, server.api.output)
        }
        LinkCommand::Update(update) => change(*update).await,
        LinkCommand::Delete(links) => deleted(links).await,
        LinkCommand::Undelete(ExistingLink { code, etag, request_id, ack, server }) => {
            let request = v1::UndeleteLinkRequest {
                name: place(code, &server).await?.name(),
                etag: quoted(etag),
                request_id: request_id.unwrap_or_default(),
                ack: on_wire(ack),
                ..Default::default()
            };
            written(&server.api, async |links| links.undelete_link(request).await).await
        }
        LinkCommand::History { code, page_size, page_token, server } => {
            let request = v1::ListLinkHistoryRequest {
                name: place(code, &server).await?.name(),
                page_size,
                page_token: page_token.unwrap_or_default(),
            };
            let told = async |links: &mut Client| links.list_link_history(request).await;
            show::history(&call(&server.api, links_of, told).await?, server.api.output)
        }
        LinkCommand::Qr { code, svg, server } => {
            let request = v1::GetLinkQrCodeRequest { name: place(code, &server).await?.name() };
            let drawn = async |links: &mut Client| links.get_link_qr_code(request).await;
            show::qr(&call(&server.api, links_of, drawn).await?, svg.as_deref(), server.api.output)
        }
        LinkCommand::Restore(restore) => restored(restore).await,
        LinkCommand::Watch { revision, server } => super::watch::watch(revision, server).await,
        LinkCommand::Explain(args) => super::explain(args).await,
        LinkCommand::Count { filter, show_deleted, server } => {
            let request = v1::CountLinksRequest { parent: parent(&server.domain), filter, show_deleted };
            let counted =
                call(&server.api, links_of, async |links: &mut Client| links.count_links(request).await)
                    .await?;
            counted_as(&counted, server.api.output)
        }
        LinkCommand::List { filter, order_by, page_size, page_token, all, show_deleted, server } => {
            let mut client = connect(&server.api).await?;
            let mut request = v1::ListLinksRequest {
                parent: parent(&server.domain),
                page_size: if all { 1000 } else { page_size },
                page_token: page_token.unwrap_or_default(),
                show_deleted,
                filter,
                order_by,
            };
            let mut found = Vec::new();
            loop {
                let page = client
                    .list_links(request.clone())
                    .await
                    .map_err(|s| refused(&s, &server.api))?
                    .into_inner();
                found.extend(page.links);
                request.page_token = page.next_page_token;
                // With a filter a page may be short although there are more.
                let left = page_size.saturating_sub(i32::try_from(found.len()).unwrap_or(i32::MAX));
                if request.page_token.is_empty() || (!all && left <= 0) {
                    return show::links(&found, &request.page_token, server.api.output);
                }
                request.page_size = if all { 1000 } else { left };
            }
        }
    }
}

fn counted_as(counted: &v1::CountLinksResponse, output: Output) -> Result<(), CommandFault> {
    if output == Output::Json {
        return out::json(&proto::json::value(counted));
    }
    if !counted.exact {
        let looked_at = counted.looked_at;
        out::note(&format!(
            "there may be more: only {looked_at} links were looked at; a filter such as 'code = \"a*\"' says which"
        ));
    }
    out::line(&counted.count.to_string())
}

/// What only people read: another one that was not asked for is no other link.
const READ: [&str; 3] = ["title", "tags", "note"];

/// Creates a link, or shows the one that is there and is the same.
async fn create_or_same(request: v1::CreateLinkRequest, server: &Server) -> Result<(), CommandFault> {
    if request.ack != on_wire(Ack::Durable) {
        return Err(CommandFault::new(
            "--same-ok cannot say who has a link that is there already: leave --ack out",
        ));
    }
    let api = &server.api;
    let mut links = connect(api).await?;
    let taken = match links.create_link(request.clone()).await {
        Ok(made) => return show::written(&made.into_inner(), api.output),
        Err(status) if status.code() != Code::AlreadyExists => return Err(refused(&status, api)),
        Err(status) => refused(&status, api),
    };
    let get = v1::GetLinkRequest { name: format!("{}/links/{}", request.parent, request.link_id) };
    let found = links.get_link(get).await.map_err(|status| refused(&status, api))?.into_inner();
    let mut asked = request.link.unwrap_or_default();
    if asked.query() == v1::QueryPolicy::Unspecified {
        let get = v1::GetDomainRequest { name: parent(&server.domain) };
        let domain = call(api, DomainsClient::new, async |domains| domains.get_domain(get).await).await?;
        asked.query = domain.query;
    }
    match differing(&asked, &found) {
        None => show::link(&found, api.output),
        Some(field) => Err(CommandFault::new(format_args!("{}; its {field} is another", taken.message()))),
    }
}

/// The field in which a link is another than was asked for.
fn differing(asked: &v1::Link, found: &v1::Link) -> Option<&'static str> {
    if found.delete_time.is_some() {
        return Some("delete_time");
    }
    let (target, expired_target) = (stored(&asked.target), stored(&asked.expired_target));
    let asked = v1::Link { target, expired_target, ..asked.clone() };
    let differs = |field: &&str| cell(&asked, field) != cell(found, field);
    let read = READ.into_iter().filter(|field| !cell(&asked, field).is_empty());
    travelling().into_iter().chain(read).find(differs)
}

/// A target in the form in which it is stored, whatever schemes that server takes.
fn stored(target: &str) -> String {
    let given = match link::Target::given(target, &[]) {
        Err(link::TargetFault::Scheme(scheme)) => link::Target::given(target, &[scheme]),
        given => given,
    };
    given.map_or_else(|_| target.to_owned(), |target| target.as_str().to_owned())
}

/// Makes a write, and shows what it made.
async fn written(
    api: &Api,
    ask: impl AsyncFnOnce(&mut Client) -> Result<Response<v1::Link>, Status>,
) -> Result<(), CommandFault> {
    show::written(&call(api, links_of, ask).await?, api.output)
}

/// Deletes a link, or several in one call.
async fn deleted(links: DeletedLinks) -> Result<(), CommandFault> {
    let DeletedLinks { existing: ExistingLink { code, etag, request_id, ack, server }, more } = links;
    if !more.is_empty() && etag.is_some() {
        return Err(CommandFault::new("--etag is that of one link: give one code with it"));
    }
    let (mut domain, mut names, mut host) = (String::new(), Vec::new(), None);
    for code in [code].into_iter().chain(more) {
        let place = match code.host == host && host.is_some() {
            true => LinkPlace { domain: domain.clone(), code: code.code },
            false => {
                host.clone_from(&code.host);
                place(code, &server).await?
            }
        };
        if !names.is_empty() && !domain.eq_ignore_ascii_case(&place.domain) {
            return Err(CommandFault::new(format_args!(
                "one call deletes links of one domain, and {} is of {}, those before it of {domain}",
                place.code, place.domain
            )));
        }
        domain.clone_from(&place.domain);
        if !names.contains(&place.name()) {
            names.push(place.name());
        }
    }
    let request = |name| v1::DeleteLinkRequest { name, ..Default::default() };
    let requests: Vec<_> = names.into_iter().map(request).collect();
    let (api, request_id, ack) = (&server.api, request_id.unwrap_or_default(), on_wire(ack));
    if let [one] = requests.as_slice() {
        let request = v1::DeleteLinkRequest { etag: quoted(etag), request_id, ack, ..one.clone() };
        return written(api, async |links| links.delete_link(request).await).await;
    }
    let parent = parent(&domain);
    let request = v1::BatchDeleteLinksRequest { parent, requests, request_id, ack, ..Default::default() };
    let done =
        call(api, links_of, async |links: &mut Client| links.batch_delete_links(request).await).await?;
    match api.output {
        Output::Json => out::json(&proto::json::value(&done))?,
        Output::Text | Output::Url => show::links(&done.links, "", api.output)?,
    }
    show::propagation(done.propagation.as_ref(), api.output)
}

async fn change(update: Update) -> Result<(), CommandFault> {
    let Update { existing, target, disabled, changes, flatten, clear } = update;
    let ExistingLink { code, etag, request_id, ack, server } = existing;
    let more = [("target", target), ("disabled", disabled)];
    let more = more.into_iter().filter_map(|(field, text)| text.map(|text| (field, text)));
    changes.check(request_id.is_some())?;
    let mut link = v1::Link::default();
    let mut mask = set(&mut link, changes.into_given().chain(more))?;
    for field in clear {
        if mask.contains(&field) {
            return Err(CommandFault::new(format_args!("{field} is both given and cleared: choose one")));
        }
        mask.push(field);
    }
    if mask.is_empty() {
        return Err(CommandFault::new("nothing to change: give a field such as --target, or --clear FIELD"));
    }
    (link.name, link.etag) = (place(code, &server).await?.name(), quoted(etag));
    let request = v1::UpdateLinkRequest {
        link: Some(link),
        update_mask: Some(FieldMask { paths: mask }),
        request_id: request_id.unwrap_or_default(),
        ack: on_wire(ack),
        flatten,
        ..Default::default()
    };
    written(&server.api, async |links| links.update_link(request).await).await
}

async fn restored(restore: Restore) -> Result<(), CommandFault> {
    let Restore { time, revision, existing: ExistingLink { code, etag, request_id, ack, server } } = restore;
    if time.is_some_and(|time| time.is_relative) && request_id.is_some() {
        return Err(CommandFault::new(
            "--time is counted from now, and so is another moment in each request with this --request-id: give a time such as \
             2026-01-31T12:00:00Z",
        ));
    }
    let time = time.map(|moment| Point::Time(moment.time));
    let request = v1::RestoreLinkRequest {
        name: place(code, &server).await?.name(),
        point: time.or(revision.map(Point::Revision)),
        etag: quoted(etag),
        request_id: request_id.unwrap_or_default(),
        ack: on_wire(ack),
        ..Default::default()
    };
    written(&server.api, async |links| links.restore_link(request).await).await
}

/// A write that is on disk for sure is asked for as it was before there was another.
pub fn on_wire(ack: Ack) -> i32 {
    match ack {
        Ack::Durable => 0,
        Ack::Propagated => v1::Ack::Propagated.into(),
    }
}

/// Sets the given fields, and returns their names.
fn set(
    link: &mut v1::Link,
    given: impl Iterator<Item = (&'static str, String)>,
) -> Result<Vec<String>, CommandFault> {
    let mut mask = Vec::new();
    for (field, text) in given {
        not_empty(&field.replace('_', "-"), &text)?;
        set_cell(link, field, &text)
            .map_err(|why| CommandFault::new(format_args!("{field} {text} {why}")))?;
        mask.push(field.to_owned());
    }
    Ok(mask)
}

/// A variable that is not set must not drop what was meant to limit a link.
fn not_empty(flag: &str, text: &str) -> Result<(), CommandFault> {
    match text.trim() {
        "" => Err(CommandFault::new(format_args!("--{flag} is empty: give a value, or leave it out"))),
        _ => Ok(()),
    }
}

/// Shells eat quotes: an etag without them is meant with them.
pub fn quoted(etag: Option<String>) -> String {
    match etag {
        Some(etag) if !etag.starts_with('"') => format!("\"{etag}\""),
        etag => etag.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by attack: with a variable that was not set, a link that was to end never did.
    #[test]
    fn an_empty_flag_drops_no_limit() {
        let given = |field, text: &str| set(&mut v1::Link::default(), [(field, text.to_owned())].into_iter());
        for field in ["expire_time", "not_before", "max_age", "status", "query", "class", "title", "note"] {
            let refused = given(field, " ").unwrap_err();
            let refused = refused.message();
            assert!(refused.contains(&format!("--{} is empty", field.replace('_', "-"))), "{refused}");
        }
    }

    #[test]
    fn the_same_link_answers_the_same() {
        let asked = v1::Link { target: "https://a.example/a b".into(), ..v1::Link::default() };
        let found = v1::Link {
            target: "https://a.example/a%20b".into(),
            status: 302,
            query: 1,
            ..v1::Link::default()
        };
        let with = |change: fn(&mut v1::Link, &mut v1::Link)| {
            let (mut asked, mut found) = (asked.clone(), found.clone());
            change(&mut asked, &mut found);
            differing(&asked, &found)
        };
        assert_eq!(with(|_, _| ()), None);
        assert_eq!(with(|_, found| found.note = "n".into()), None, "it was not asked for");
        assert_eq!(with(|asked, _| asked.note = "n".into()), Some("note"));
        assert_eq!(with(|_, found| found.target.push('c')), Some("target"));
        assert_eq!(with(|_, found| found.status = 307), Some("status"));
        assert_eq!(with(|_, found| found.disabled = true), Some("disabled"));
        assert_eq!(with(|_, found| found.expire_time = Some(Default::default())), Some("expire_time"));
        assert_eq!(with(|_, found| found.delete_time = Some(Default::default())), Some("delete_time"));
        assert_eq!(with(|_, found| found.set_query(v1::QueryPolicy::Append)), Some("query"));
        assert_eq!(
            with(|_, found| found.expired_target = "https://late.example/".into()),
            Some("expired_target")
        );
        assert_eq!(stored("app://open"), "app://open");
    }
}
