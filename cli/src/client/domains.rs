//! `linkr domain …`: one request each, but for the list.

use super::links::{on_wire, quoted};
use super::{call, channel, parent, refused, show};
use crate::args::{Api, DomainCommand, Fields, Output, Write};
use crate::fault::Fault;
use crate::out;
use prost_types::FieldMask;
use proto::v1::{self, LinkClass, domains_client::DomainsClient};
use serde_json::{Value, json};

/// Runs one of them.
pub async fn domains(command: DomainCommand) -> Result<(), Fault> {
    match command {
        DomainCommand::Create { name, fields, write: Write { request_id, ack, api } } => {
            let mut domain = v1::Domain::default();
            set(&mut domain, fields);
            let request = v1::CreateDomainRequest {
                domain_id: name,
                domain: Some(domain),
                request_id: request_id.unwrap_or_default(),
                ack: on_wire(ack),
                ..Default::default()
            };
            let made = call(&api, DomainsClient::new, async |domains| domains.create_domain(request).await);
            written(&made.await?, api.output)
        }
        DomainCommand::Get { name, api } => {
            let request = v1::GetDomainRequest { name: parent(&name) };
            let domain = call(&api, DomainsClient::new, async |domains| domains.get_domain(request).await);
            one(&domain.await?, api.output)
        }
        DomainCommand::Update { name, fields, strict_hosts, etag, write } => {
            let Write { request_id, ack, api } = write;
            let mut domain = v1::Domain { name: parent(&name), etag: quoted(etag), ..v1::Domain::default() };
            let mut paths = set(&mut domain, fields);
            if let Some(strict_hosts) = strict_hosts {
                domain.strict_hosts = strict_hosts;
                paths.push("strict_hosts".to_owned());
            }
            if paths.is_empty() {
                return Err(Fault::new("nothing to change: give a field such as --not-found"));
            }
            let request = v1::UpdateDomainRequest {
                domain: Some(domain),
                update_mask: Some(FieldMask { paths }),
                request_id: request_id.unwrap_or_default(),
                ack: on_wire(ack),
                ..Default::default()
            };
            let made = call(&api, DomainsClient::new, async |domains| domains.update_domain(request).await);
            written(&made.await?, api.output)
        }
        DomainCommand::List { api } => list(&api).await,
    }
}

/// Sets the given fields, and returns their names.
fn set(domain: &mut v1::Domain, given: Fields) -> Vec<String> {
    let mut paths = Vec::new();
    if let Some(fold_case) = given.fold_case {
        domain.fold_case = fold_case;
        paths.push("fold_case".to_owned());
    }
    if let Some(class) = given.class {
        domain.class = if class == "strict" { LinkClass::Strict } else { LinkClass::Normal }.into();
        paths.push("class".to_owned());
    }
    if let Some(not_found) = given.not_found {
        domain.not_found = not_found;
        paths.push("not_found".to_owned());
    }
    paths
}

async fn list(api: &Api) -> Result<(), Fault> {
    let mut client = DomainsClient::new(channel(api).await?);
    let mut request = v1::ListDomainsRequest { page_size: 1_000, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page = client.list_domains(request.clone()).await.map_err(|s| refused(&s, api))?.into_inner();
        found.extend(page.domains);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if api.output == Output::Json {
        let domains: Vec<Value> = found.iter().map(proto::json::value).collect();
        return out::json(&json!({ "domains": domains, "next_page_token": "" }));
    }
    let width = found.iter().map(|domain| domain.domain.len()).max().unwrap_or(0).min(40);
    let lines = found.iter().map(|domain| {
        let said = [
            domain.fold_case.then_some("fold_case"),
            domain.strict_hosts.then_some("strict_hosts"),
            (domain.class() == LinkClass::Strict).then_some("strict"),
            Some(domain.not_found.as_str()).filter(|url| !url.is_empty()),
        ];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        format!("{:<width$}  {}", domain.domain, said.join("  ")).trim_end().to_owned() + "\n"
    });
    out::text(&lines.collect::<String>())
}

fn one(domain: &v1::Domain, output: Output) -> Result<(), Fault> {
    let told = proto::json::value(domain);
    if output == Output::Json {
        return out::json(&told);
    }
    let lines = FIELDS.iter().filter_map(|field| match &told[*field] {
        Value::Null => None,
        Value::String(text) => Some(format!("{field:<12} {text}\n")),
        value => Some(format!("{field:<12} {value}\n")),
    });
    out::text(&lines.collect::<String>())
}

/// What is shown to people, in this order.
const FIELDS: [&str; 8] =
    ["domain", "fold_case", "strict_hosts", "class", "not_found", "create_time", "update_time", "etag"];

/// A domain as a write made it, and who has the write already, if that was asked for.
fn written(domain: &v1::Domain, output: Output) -> Result<(), Fault> {
    one(domain, output)?;
    show::propagation(domain.propagation.as_ref(), output)
}
