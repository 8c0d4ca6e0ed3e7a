//! The calls of `linkr.v1.Domains`. No driver, no transport.

use super::claims::DomainTurn;
use super::codes::one_of;
use super::directory::Domains;
use super::write::{Ack, WriteTerms, etag};
use super::{Service, draft, name};
use crate::page::page_size;
use crate::{Caller, Fault};
use bytes::Bytes;
use journal::domains::{
    DomainField, DomainHoldings, DomainIntent, DomainItem, DomainLinks, DomainVerdict, LOOKED_AT, next_state,
    set,
};
use journal::{Intent, Item, Request, RequestKind, names};
use link::{Domain, DomainId, DomainRules, File, Files, Position, QueryPolicy, Stats, Target, placeholders};
use prost::Message;
use proto::described::settable;
use proto::v1;
use record::Features;
use store::clock::unix_ms;
use store::model::{DomainRow, Row, StoreFault};
use store::port::Limit;
use store::wire;

const LARGEST_PAGE: i32 = 1_000;
/// Links of a domain that is to be deleted, as many as are looked at.
const LOOKED: Limit = Limit { rows: LOOKED_AT, bytes: 4 * 1024 * 1024 };
/// Deleted links that are purged in one write.
const PURGED: Limit = Limit { rows: 256, bytes: 4 * 1024 * 1024 };

impl Service {
    /// See `CreateDomain`.
    pub async fn create_domain(
        &self,
        caller: &Caller,
        request: &v1::CreateDomainRequest,
    ) -> Result<v1::Domain, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        let own = request.domain.as_ref().map_or("", |domain| &domain.domain);
        let name = name::domain(one_of(&request.domain_id, own, "domain", "domain_id")?, "domain_id")?;
        caller.bound.touch(name.as_str())?;
        if name.is_default() {
            return Err(Fault::Exists(names::domain("-")));
        }
        let given = request.domain.clone().unwrap_or_default();
        let mut turn = self.reach.turn().await;
        let known = self.reach.of(caller).domains_now().await?;
        let fields = self.domain_fields(&known, &given, &[])?;
        let wanted = rules(&fields);
        let here = |to: &Target| to.place().is_some_and(|place| place.host == name.as_str());
        if let Some((field, _)) = wanted.targets().find(|(_, to)| here(to)) {
            return Err(Fault::invalid(field, "leads to the domain itself, which would be a loop"));
        }
        self.known_everywhere(&asked, Features::of_domain(&wanted))?;
        if known.find(name.as_str()).is_none() {
            if asked.ack != Ack::OnlyCheck {
                self.reach.claim(&mut turn, name.as_str()).await;
            }
            self.nothing_leads_to(caller, &known, &name).await?;
        }
        // Random, but never that of the default domain.
        let id = DomainId((store::random::u64() as u32).max(1));
        let intent = DomainIntent::Create { id, fields };
        self.write_domain(
            caller,
            DomainItem { name, intent, by: Some(asked.by), retry: asked.retry },
            asked.ack,
            turn,
            false,
        )
        .await
    }

    /// See `GetDomain`.
    pub async fn get_domain(
        &self,
        caller: &Caller,
        request: &v1::GetDomainRequest,
    ) -> Result<v1::Domain, Fault> {
        let name = name::parent(&request.name, "name")?;
        caller.bound.touch(name.as_str())?;
        let known = self.reach.of(caller).domains_now().await?;
        let row = known.find(name.as_str());
        let row = row.ok_or_else(|| Fault::DomainNotFound(names::domain(name.as_str())))?;
        Ok(wire::domain(row, known.epoch()))
    }

    /// See `ListDomains`: those that the caller may touch. A page token is the last name of the page before.
    pub async fn list_domains(
        &self,
        caller: &Caller,
        request: &v1::ListDomainsRequest,
    ) -> Result<v1::ListDomainsResponse, Fault> {
        let size = page_size(request.page_size, LARGEST_PAGE)?;
        if !request.page_token.is_empty() {
            name::domain(&request.page_token, "page_token")
                .map_err(|_| Fault::invalid("page_token", "is none that this list gave out"))?;
        }
        let known = self.reach.of(caller).domains_now().await?;
        let mut rows = known.rows().filter(|row| row.rules.name.as_str() > request.page_token.as_str());
        let mut domains: Vec<_> =
            rows.by_ref().take(size).map(|row| wire::domain(row, known.epoch())).collect();
        // A thousand times the content of all files would be more than a client takes.
        let files = domains.iter_mut().flat_map(|domain| &mut domain.files);
        files.for_each(|file| file.content = Bytes::new());
        let last = domains.last().filter(|_| rows.next().is_some());
        let next_page_token = last.map_or_else(String::new, |last| last.domain.clone());
        Ok(v1::ListDomainsResponse { domains, next_page_token })
    }

    /// See `UpdateDomain`.
    pub async fn update_domain(
        &self,
        caller: &Caller,
        request: &v1::UpdateDomainRequest,
    ) -> Result<v1::Domain, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        let domain = request.domain.as_ref().ok_or_else(|| Fault::invalid("domain", "is missing"))?;
        let name = name::parent(&domain.name, "name")?;
        caller.bound.touch(name.as_str())?;
        if !domain.domain.is_empty() && name::domain(&domain.domain, "domain")? != name {
            return Err(Fault::invalid("domain", "is another: it cannot change"));
        }
        let mask = request.update_mask.as_ref().map_or(&[][..], |mask| &mask.paths);
        let turn = self.reach.turn().await;
        let known = self.reach.of(caller).domains_now().await?;
        let fields = self.domain_fields(&known, domain, mask)?;
        self.known_everywhere(&asked, Features::of_domain(&rules(&fields)))?;
        let intent = DomainIntent::Update { fields, etag: etag(&domain.etag) };
        self.write_domain(
            caller,
            DomainItem { name, intent, by: Some(asked.by), retry: asked.retry },
            asked.ack,
            turn,
            false,
        )
        .await
    }

    /// See `DeleteDomain`.
    pub async fn delete_domain(
        &self,
        caller: &Caller,
        request: &v1::DeleteDomainRequest,
    ) -> Result<v1::Domain, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        let name = name::parent(&request.name, "name")?;
        caller.bound.touch(name.as_str())?;
        // One that comes later begins anew: see `without_ends` of its stream.
        self.edges.sessions.gate.check(Features::DOMAINS_GO)?;
        let turn = self.reach.turn().await;
        let etag = etag(&request.etag);
        if request.purge_deleted && asked.ack != Ack::OnlyCheck {
            self.purge_deleted(caller, &name, etag).await?;
        }
        let intent = DomainIntent::Delete { etag };
        let item = DomainItem { name, intent, by: Some(asked.by), retry: asked.retry };
        self.write_domain(caller, item, asked.ack, turn, request.purge_deleted).await
    }

    /// Purges the deleted links of a domain, some at a time, up to the first page that has others. The log says so of each,
    /// as when its time is over.
    async fn purge_deleted(&self, caller: &Caller, name: &Domain, etag: Option<u64>) -> Result<(), Fault> {
        let view = self.reach.of(caller);
        let known = view.domains_now().await?;
        // The default domain stays, and so do its links; and one at another version is not meant.
        let meant =
            |row: &&DomainRow| row.id != DomainId::DEFAULT && etag.is_none_or(|etag| etag == row.version);
        let Some(id) = known.find(name.as_str()).filter(meant).map(|row| row.id) else { return Ok(()) };
        loop {
            let page = view.read(move |reader| reader.list(id, "", b"", true, PURGED)).await?;
            let deleted: Vec<_> = page.rows.iter().filter(|row| row.delete_time.is_some()).collect();
            // One that lives keeps the domain: then nothing is given up for it.
            if deleted.is_empty() || deleted.len() < page.rows.len() {
                return Ok(());
            }
            let before = deleted.iter().filter_map(|row| row.delete_time).max().unwrap_or_default();
            let purge = |row: &&Row| Item { key: row.key.clone(), intent: Intent::Purge { before } };
            let items = deleted.iter().map(purge).collect();
            view.submit(Request { items, kind: RequestKind::Chunk, by: None, retry: None }, None)?
                .answer()
                .await?;
        }
    }

    /// The fields that a mask names; all of them for none or `*`.
    fn domain_fields(
        &self,
        known: &Domains,
        given: &v1::Domain,
        mask: &[String],
    ) -> Result<Vec<DomainField>, Fault> {
        let field = |name: &str| {
            Ok(match name {
                "fold_case" => DomainField::FoldCase(given.fold_case),
                "strict_hosts" => DomainField::StrictHosts(given.strict_hosts),
                "class" => DomainField::Class(draft::class(given.class)?),
                "files" => DomainField::Files(files(&given.files)?),
                "not_found" => {
                    DomainField::NotFound(self.domain_target(known, &given.not_found, "not_found")?)
                }
                "root_target" => {
                    DomainField::RootTarget(self.domain_target(known, &given.root_target, "root_target")?)
                }
                "expired_target" => {
                    let target = self.domain_target(known, &given.expired_target, "expired_target")?;
                    DomainField::ExpiredTarget(target)
                }
                "trailing_slash" => DomainField::TrailingSlash(given.trailing_slash),
                "punctuation" => DomainField::Punctuation(given.punctuation),
                "query" => DomainField::Query(draft::query(given.query, QueryPolicy::Drop)?),
                "robots" => DomainField::Robots(robots(&given.robots)?),
                "stats" => DomainField::Stats(stats(given.stats)?),
                other => {
                    return Err(Fault::invalid(
                        "update_mask",
                        format!("names {other:?}, which cannot be set"),
                    ));
                }
            })
        };
        if mask.is_empty() || mask.iter().any(|path| path == "*") {
            return settable("linkr.v1.Domain").into_iter().map(field).collect();
        }
        draft::as_set(mask).map(field).collect()
    }

    /// A target of a domain that stands in `field`; empty: none.
    fn domain_target(
        &self,
        known: &Domains,
        given: &str,
        field: &'static str,
    ) -> Result<Option<Target>, Fault> {
        if given.is_empty() {
            return Ok(None);
        }
        let target = self.rules.target(given, field)?;
        if known.ours(&self.rules, &target).is_some() {
            return Err(Fault::invalid(field, "leads to a host of ours, which could be a loop"));
        }
        let most = draft::bound("linkr.v1.Domain", field, |rule| rule.max_length);
        if target.as_bytes().len() > most {
            return Err(Fault::invalid(field, format!("is longer than {most} bytes")));
        }
        placeholders(&target).map_err(|fault| Fault::invalid(field, fault))?;
        let lost = |word: &str| given.matches(word).count() != target.as_str().matches(word).count();
        if lost("{path}") || lost("{query}") {
            let why = "has a placeholder beside characters that are escaped, and would lose it: write the URL escaped";
            return Err(Fault::invalid(field, why));
        }
        Ok(Some(target))
    }

    /// `purged`: deleted links of it count as gone where it is only checked.
    async fn write_domain(
        &self,
        caller: &Caller,
        item: DomainItem,
        ack: Ack,
        turn: DomainTurn,
        purged: bool,
    ) -> Result<v1::Domain, Fault> {
        let view = self.reach.of(caller);
        if ack == Ack::OnlyCheck {
            let known = view.domains_now().await?;
            let row = known.find(item.name.as_str()).cloned();
            let version = row.as_ref().map_or(0, |row| row.version);
            let links = match (&item.intent, row.as_ref().map(|row| row.id)) {
                (DomainIntent::Delete { .. }, Some(id)) => {
                    let all = view.read(move |reader| reader.list(id, "", b"", true, LOOKED)).await?;
                    let links = DomainLinks::of(all.rows.iter().map(|row| row.delete_time));
                    DomainLinks { deleted: links.deleted.filter(|_| !purged), ..links }
                }
                _ => DomainLinks::default(),
            };
            let blocked = view.blocked(item.hosts()).await?;
            let (count, bytes) = (known.count(), known.bytes());
            let found = DomainHoldings { row, links, count, bytes, blocked, ..DomainHoldings::default() };
            let domain = wire::domain(&next_state(&item, &found, version, unix_ms())?, known.epoch());
            return Ok(v1::Domain { revision: String::new(), etag: String::new(), ..domain });
        }
        let done = view.write_domain(item, turn).await?;
        let (mut domain, seq) = match done.verdict {
            DomainVerdict::Written(row) => (wire::domain(&row, done.head.epoch), row.version),
            DomainVerdict::Gone(row) => (wire::domain_gone(&row, done.head.epoch), row.version),
            DomainVerdict::Before(bytes) => before(bytes)?,
            DomainVerdict::Refused(why) => return Err(why.into()),
        };
        view.domains_now().await?; // whoever asked may use it at once
        if ack == Ack::Propagated {
            domain.propagation = Some(self.edges.sessions.propagated(done.head.epoch, seq).await);
        }
        Ok(domain)
    }
}

/// The files of a domain, with or without the leading slash of their paths.
fn files(given: &[v1::DomainFile]) -> Result<Files, Fault> {
    let file = |file: &v1::DomainFile| File {
        path: file.path.strip_prefix('/').unwrap_or(&file.path).into(),
        content_type: file.content_type.as_str().into(),
        content: file.content.to_vec().into(),
    };
    Files::new(given.iter().map(file).collect()).map_err(|fault| Fault::invalid("files", fault))
}

/// What these fields say, and every other default.
fn rules(fields: &[DomainField]) -> DomainRules {
    let mut rules = DomainRules::default();
    fields.iter().for_each(|field| set(&mut rules, field.clone()));
    rules
}

/// What is kept of clicks; unspecified: counts.
fn stats(given: i32) -> Result<Stats, Fault> {
    match v1::DomainStats::try_from(given) {
        Ok(v1::DomainStats::Unspecified | v1::DomainStats::Counts) => Ok(Stats::Counts),
        Ok(v1::DomainStats::Off) => Ok(Stats::Off),
        Ok(v1::DomainStats::Full) => Ok(Stats::Full),
        Err(_) => Err(Fault::invalid("stats", "is none of off, counts, full")),
    }
}

/// The text of a `robots.txt`; empty: none.
fn robots(given: &str) -> Result<Option<Box<str>>, Fault> {
    let most = DomainRules::MAX_ROBOTS;
    if given.len() > most {
        return Err(Fault::invalid("robots", format!("is longer than {most} bytes")));
    }
    if given.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)) {
        return Err(Fault::invalid("robots", "has control characters other than tabs and ends of lines"));
    }
    Ok(Some(given).filter(|text| !text.is_empty()).map(Into::into))
}

/// The stored answer, and the seq of the write that it answered.
fn before(bytes: bytes::Bytes) -> Result<(v1::Domain, u64), StoreFault> {
    let wrong = |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("a stored answer: {what}"));
    let domain = v1::Domain::decode(bytes).map_err(|e| wrong(&e))?;
    let (_, seq) = Position::parse_revision(&domain.revision).ok_or_else(|| wrong(&domain.revision))?;
    Ok((domain, seq))
}
