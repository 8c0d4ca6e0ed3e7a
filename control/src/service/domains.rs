//! The calls of `linkr.v1.Domains`. No driver, no transport.

use super::claims::Turn;
use super::codes::one_of;
use super::directory::Domains;
use super::write::{Ack, asked, etag};
use super::{Service, draft, name};
use crate::page::page_size;
use crate::{Caller, Fault};
use journal::domains::{DomainField, DomainFound, DomainIntent, DomainItem, DomainVerdict, next_state};
use journal::names;
use link::{DomainId, Position};
use prost::Message;
use proto::described::settable;
use proto::v1;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::wire;

const LARGEST_PAGE: i32 = 1_000;

impl Service {
    /// See `CreateDomain`.
    pub async fn create_domain(
        &self,
        caller: &Caller,
        request: &v1::CreateDomainRequest,
    ) -> Result<v1::Domain, Fault> {
        let asked = asked!(caller, "CreateDomain", request)?;
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
        let leads_here = |field: &DomainField| match field {
            DomainField::NotFound(Some(to)) => to.place().is_some_and(|place| place.host == name.as_str()),
            _ => false,
        };
        if fields.iter().any(leads_here) {
            return Err(Fault::invalid("not_found", "leads to the domain itself, which would be a loop"));
        }
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
        let domains: Vec<_> = rows.by_ref().take(size).map(|row| wire::domain(row, known.epoch())).collect();
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
        let asked = asked!(caller, "UpdateDomain", request)?;
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
        let intent = DomainIntent::Update { fields, etag: etag(&domain.etag) };
        self.write_domain(
            caller,
            DomainItem { name, intent, by: Some(asked.by), retry: asked.retry },
            asked.ack,
            turn,
        )
        .await
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
                "not_found" if given.not_found.is_empty() => DomainField::NotFound(None),
                "not_found" => {
                    let target = self.rules.target(&given.not_found, "not_found")?;
                    if known.ours(&self.rules, &target).is_some() {
                        let why = "leads to a host of ours, which could be a loop";
                        return Err(Fault::invalid("not_found", why));
                    }
                    let most = draft::bound("linkr.v1.Domain", "not_found", |rule| rule.max_length);
                    if target.as_bytes().len() > most {
                        return Err(Fault::invalid("not_found", format!("is longer than {most} bytes")));
                    }
                    DomainField::NotFound(Some(target))
                }
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

    async fn write_domain(
        &self,
        caller: &Caller,
        item: DomainItem,
        ack: Ack,
        turn: Turn,
    ) -> Result<v1::Domain, Fault> {
        let view = self.reach.of(caller);
        if ack == Ack::OnlyCheck {
            let known = view.domains_now().await?;
            let row = known.find(item.name.as_str()).cloned();
            let version = row.as_ref().map_or(0, |row| row.version);
            let found = DomainFound { row, count: known.count(), ..DomainFound::default() };
            let domain = wire::domain(&next_state(&item, &found, version, unix_ms())?, known.epoch());
            return Ok(v1::Domain { revision: String::new(), etag: String::new(), ..domain });
        }
        let done = view.write_domain(item, turn).await?;
        let (mut domain, seq) = match done.verdict {
            DomainVerdict::Written(row) => (wire::domain(&row, done.head.epoch), row.version),
            DomainVerdict::Before(bytes) => before(bytes)?,
            DomainVerdict::Refused(why) => return Err(why.into()),
        };
        view.domains_now().await?; // whoever asked may use it at once
        if ack == Ack::Propagated {
            domain.propagation = Some(self.sessions.propagated(done.head.epoch, seq).await);
        }
        Ok(domain)
    }
}

/// The stored answer, and the seq of the write that it answered.
fn before(bytes: bytes::Bytes) -> Result<(v1::Domain, u64), StoreFault> {
    let wrong = |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("a stored answer: {what}"));
    let domain = v1::Domain::decode(bytes).map_err(|e| wrong(&e))?;
    let (_, seq) = Position::parse_revision(&domain.revision).ok_or_else(|| wrong(&domain.revision))?;
    Ok((domain, seq))
}
