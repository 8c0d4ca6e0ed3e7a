//! `linkr domain …`: one request each, but for the list.

use super::fields::query_policy;
use super::links::{on_wire, quoted};
use super::{call, channel, parent, refused, show};
use crate::args::{Api, DomainCommand, DomainFields, DomainWrite, Output, OwnFile};
use crate::fault::CommandFault;
use crate::out;
use link::DomainRules;
use prost_types::FieldMask;
use proto::file::SmallFile;
use proto::v1::{self, DomainStats, LinkClass, domains_client::DomainsClient};
use serde_json::{Value, json};
use std::mem::take;
use std::path::Path;

/// Runs one of them.
pub async fn domains(command: DomainCommand) -> Result<(), CommandFault> {
    match command {
        DomainCommand::Create { name, fields, write: DomainWrite { request_id, ack, api } } => {
            let mut domain = v1::Domain::default();
            set(&mut domain, fields)?;
            let request = v1::CreateDomainRequest {
                domain_id: name.clone(),
                domain: Some(domain),
                request_id: request_id.unwrap_or_default(),
                ack: on_wire(ack),
                ..Default::default()
            };
            let made =
                call(&api, DomainsClient::new, async |domains| domains.create_domain(request).await).await?;
            if !name.is_ascii() {
                out::note(&format!("{name} is {} to browsers, and is shown so", made.domain));
            }
            written(&made, api.output)
        }
        DomainCommand::Get { name, api } => {
            let request = v1::GetDomainRequest { name: parent(&name) };
            let domain = call(&api, DomainsClient::new, async |domains| domains.get_domain(request).await);
            one(&domain.await?, api.output)
        }
        DomainCommand::Update { name, fields, strict_hosts, clear, etag, write } => {
            let DomainWrite { request_id, ack, api } = write;
            let mut domain = v1::Domain { name: parent(&name), etag: quoted(etag), ..v1::Domain::default() };
            if !fields.files.is_empty() {
                beside_others(&mut domain, &api).await?;
            }
            let mut paths = set(&mut domain, fields)?;
            if let Some(strict_hosts) = strict_hosts {
                domain.strict_hosts = strict_hosts;
                paths.push("strict_hosts".to_owned());
            }
            for field in clear {
                if paths.contains(&field) {
                    return Err(CommandFault::new(format_args!(
                        "{field} is both given and cleared: choose one"
                    )));
                }
                paths.push(field);
            }
            if paths.is_empty() {
                return Err(CommandFault::new(
                    "nothing to change: give a field such as --not-found, or --clear FIELD",
                ));
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
        DomainCommand::Delete { name, purge_deleted, etag, write } => {
            let DomainWrite { request_id, ack, api } = write;
            let request = v1::DeleteDomainRequest {
                name: parent(&name),
                etag: quoted(etag),
                request_id: request_id.unwrap_or_default(),
                ack: on_wire(ack),
                purge_deleted,
                ..Default::default()
            };
            let gone = call(&api, DomainsClient::new, async |domains| domains.delete_domain(request).await);
            written(&gone.await?, api.output)
        }
        DomainCommand::List { api } => list(&api).await,
    }
}

/// Files are written all at once: those that are there stay beside what is given, if nobody else writes meanwhile.
async fn beside_others(domain: &mut v1::Domain, api: &Api) -> Result<(), CommandFault> {
    let request = v1::GetDomainRequest { name: domain.name.clone() };
    let there = call(api, DomainsClient::new, async |domains| domains.get_domain(request).await).await?;
    domain.files = there.files;
    if domain.etag.is_empty() {
        domain.etag = there.etag;
    }
    Ok(())
}

/// All files with the given ones in the place of those at the same paths.
fn with_files(
    mut all: Vec<v1::DomainFile>,
    given: Vec<OwnFile>,
) -> Result<Vec<v1::DomainFile>, CommandFault> {
    for OwnFile { path, file, content_type } in given {
        all.retain(|own| own.path != path);
        let Some(file) = file else { continue };
        let read = proto::file::read(&file);
        let content = read.map_err(|fault| {
            CommandFault::new(format_args!("cannot read {}: {fault}: see --file {path}=…", file.display()))
        })?;
        let content = content.bytes;
        let content_type = content_type.unwrap_or_else(|| content_type_of(&path, &content).to_owned());
        all.push(v1::DomainFile { path, content_type, content: content.into(), size: 0 });
    }
    Ok(all)
}

/// By the ending of the path; without one, as is usual below `/.well-known/`, by what is in the file.
fn content_type_of(path: &str, content: &[u8]) -> &'static str {
    const TYPES: [(&str, &str); 9] = [
        ("json", "application/json"),
        ("txt", "text/plain; charset=utf-8"),
        ("ico", "image/x-icon"),
        ("png", "image/png"),
        ("svg", "image/svg+xml"),
        ("html", "text/html; charset=utf-8"),
        ("xml", "application/xml"),
        ("pem", "application/x-pem-file"),
        ("webmanifest", "application/manifest+json"),
    ];
    let name = path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = TYPES.iter().find(|(own, _)| ending.eq_ignore_ascii_case(own));
    known.map_or_else(
        || match std::str::from_utf8(content) {
            Ok(text)
                if serde_json::from_str::<Value>(text)
                    .is_ok_and(|json| json.is_object() || json.is_array()) =>
            {
                "application/json"
            }
            Ok(_) => "text/plain; charset=utf-8",
            Err(_) => "application/octet-stream",
        },
        |(_, content_type)| content_type,
    )
}

/// Sets the given fields, and returns their names.
fn set(domain: &mut v1::Domain, given: DomainFields) -> Result<Vec<String>, CommandFault> {
    let mut paths = Vec::new();
    // Each field is named once: it is set where there is a value for it, and then its name is a path.
    macro_rules! set {
        ($($field:ident: $value:expr,)*) => {
            $(if let Some(value) = $value {
                domain.$field = value;
                paths.push(stringify!($field).to_owned());
            })*
        };
    }
    let query = given.query.map(|query| query_policy(&query)).transpose();
    let query = query.map_err(|why| CommandFault::new(format_args!("--query {why}")))?;
    let files = Some(given.files).filter(|files| !files.is_empty());
    set! {
        fold_case: given.fold_case,
        class: given.class.map(|class| class_of(&class).into()),
        not_found: given.not_found,
        files: files.map(|files| with_files(take(&mut domain.files), files)).transpose()?,
        root_target: given.root_target,
        expired_target: given.expired_target,
        trailing_slash: given.trailing_slash,
        punctuation: given.punctuation,
        query: query.map(i32::from),
        robots: given.robots.map(|file| robots(&file)).transpose()?,
        stats: given.stats.map(|stats| stats_of(&stats).into()),
    }
    Ok(paths)
}

fn class_of(word: &str) -> LinkClass {
    if word == "strict" { LinkClass::Strict } else { LinkClass::Normal }
}

fn stats_of(word: &str) -> DomainStats {
    match word {
        "off" => DomainStats::Off,
        "full" => DomainStats::Full,
        _ => DomainStats::Counts,
    }
}

/// The text of a `robots.txt`.
fn robots(file: &Path) -> Result<String, CommandFault> {
    let wrong =
        |why: &dyn std::fmt::Display| CommandFault::new(format_args!("--robots {}: {why}", file.display()));
    let text = proto::file::read(file).and_then(SmallFile::text).map_err(|fault| wrong(&fault))?;
    match text.len() {
        0 => Err(wrong(&"it is empty: --clear robots takes the domain's own text away")),
        length if length > DomainRules::MAX_ROBOTS => {
            Err(wrong(&format_args!("it is longer than {} bytes", DomainRules::MAX_ROBOTS)))
        }
        _ => Ok(text),
    }
}

async fn list(api: &Api) -> Result<(), CommandFault> {
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
        let files = format!("files:{}", domain.files.len());
        let said = [
            domain.fold_case.then_some("fold_case"),
            domain.strict_hosts.then_some("strict_hosts"),
            (domain.class() == LinkClass::Strict).then_some("strict"),
            domain.trailing_slash.then_some("trailing_slash"),
            domain.punctuation.then_some("punctuation"),
            (domain.stats() == DomainStats::Off).then_some("stats:off"),
            (domain.stats() == DomainStats::Full).then_some("stats:full"),
            Some(domain.not_found.as_str()).filter(|url| !url.is_empty()),
            Some(files.as_str()).filter(|_| !domain.files.is_empty()),
        ];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        format!("{:<width$}  {}", domain.domain, said.join("  ")).trim_end().to_owned() + "\n"
    });
    out::text(&lines.collect::<String>())
}

fn one(domain: &v1::Domain, output: Output) -> Result<(), CommandFault> {
    let told = proto::json::value(domain);
    if output == Output::Json {
        return out::json(&told);
    }
    let lines = FIELDS.iter().filter_map(|field| match &told[*field] {
        Value::Null => None,
        Value::String(text) => Some(format!("{field:<14} {}\n", text.trim_end().replace('\n', INDENT))),
        value => Some(format!("{field:<14} {value}\n")),
    });
    let files = domain.files.iter().map(|file| {
        let v1::DomainFile { path, content_type, size, .. } = file;
        format!("{:<12} /{path}  {content_type}  {size} bytes\n", "file")
    });
    out::text(&lines.chain(files).collect::<String>())
}

/// What is shown to people, in this order.
const FIELDS: [&str; 15] = [
    "domain",
    "fold_case",
    "strict_hosts",
    "class",
    "root_target",
    "not_found",
    "expired_target",
    "trailing_slash",
    "punctuation",
    "query",
    "robots",
    "stats",
    "create_time",
    "update_time",
    "etag",
];
/// Between two lines of one field.
const INDENT: &str = "\n               ";

/// A domain as a write made it, and who has the write already, if that was asked for.
fn written(domain: &v1::Domain, output: Output) -> Result<(), CommandFault> {
    one(domain, output)?;
    show::propagation(domain.propagation.as_ref(), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_file_is_told_from_its_name_or_its_content() {
        for (path, content, want) in [
            ("favicon.ico", &b"\0\0"[..], "image/x-icon"),
            (".well-known/security.txt", b"Contact: x", "text/plain; charset=utf-8"),
            (".well-known/assetlinks.JSON", b"[]", "application/json"),
            (".well-known/apple-app-site-association", b"{\"applinks\": {}}", "application/json"),
            (".well-known/acme-challenge/x", b"token.thumb", "text/plain; charset=utf-8"),
            (".well-known/x", b"\xff\xfe", "application/octet-stream"),
        ] {
            assert_eq!(content_type_of(path, content), want, "{path}");
        }
    }

    #[test]
    fn a_mark_in_front_of_a_file_is_not_sent_and_utf_16_is_named() {
        let name = std::env::temp_dir().join(format!("linkr-domain-files-{}", std::process::id()));
        let given = || DomainFields {
            robots: Some(name.clone()),
            files: vec![OwnFile {
                path: ".well-known/x".into(),
                file: Some(name.clone()),
                content_type: None,
            }],
            ..DomainFields::default()
        };
        std::fs::write(&name, "\u{feff}[]").unwrap();
        let mut domain = v1::Domain::default();
        assert_eq!(set(&mut domain, given()).unwrap(), ["files", "robots"]);
        let file = &domain.files[0];
        assert_eq!((&file.content[..], &*file.content_type), (&b"[]"[..], "application/json"));
        assert_eq!(domain.robots, "[]");
        std::fs::write(&name, b"\xff\xfe[\0]\0").unwrap();
        let refused = set(&mut v1::Domain::default(), given()).unwrap_err();
        assert!(refused.message().contains("UTF-16") && refused.message().contains("--file"), "{refused:?}");
        let robots = robots(&name).unwrap_err();
        assert!(robots.message().contains("UTF-16") && robots.message().contains("--robots"), "{robots:?}");
        std::fs::remove_file(&name).unwrap();
    }
}
