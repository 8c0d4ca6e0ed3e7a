//! The calls of `linkr.v1.Keys`. A key that is bound to domains makes and revokes only such that are bound no wider.

use super::{Keys, Scope, Scopes, Secret, secret};
use crate::journal::By;
use crate::port::{KeyRow, Repository};
use crate::service::blocking;
use crate::writer::unix_ms;
use crate::{Caller, Fault, wire};
use link::Domain;
use proto::v1;

/// Bytes of a client's name.
const CLIENT: usize = 100;
/// Domains of one key.
const DOMAINS: usize = 100;
/// Keys of one client that may be used at once: the one in use, and the one that takes its place.
pub const LIVE: usize = 2;

impl Keys {
    /// See `CreateKey`.
    pub async fn create(&self, caller: &Caller, request: v1::CreateKeyRequest) -> Result<v1::Key, Fault> {
        self.counted("CreateKey", self.try_create(caller, request).await)
    }

    async fn try_create(&self, caller: &Caller, request: v1::CreateKeyRequest) -> Result<v1::Key, Fault> {
        let key = request.key.unwrap_or_default();
        let scopes = Scopes::parse(key.scopes.iter().map(String::as_str));
        let scopes =
            scopes.map_err(|name| Fault::invalid("scopes", format!("hold {name}, which is none")))?;
        let expire_time = expiry(key.expire_time)?;
        let domains = domains(&key.domains)?;
        self.put(caller, "CreateKey", (key.client, scopes, domains, expire_time)).await
    }

    /// See `ListKeys`.
    pub async fn list(
        &self,
        caller: &Caller,
        request: v1::ListKeysRequest,
    ) -> Result<v1::ListKeysResponse, Fault> {
        let listed = self.rows().await.map(|rows| {
            let shown = |row: &KeyRow| request.show_revoked || row.revoke_time.is_none();
            let rows = rows.iter().filter(|row| shown(row) && within(caller, &row.domains).is_ok());
            v1::ListKeysResponse { keys: rows.map(wire::key).collect() }
        });
        self.counted("ListKeys", listed)
    }

    /// See `RotateKey`.
    pub async fn rotate(&self, caller: &Caller, request: v1::RotateKeyRequest) -> Result<v1::Key, Fault> {
        self.counted("RotateKey", self.try_rotate(caller, request).await)
    }

    async fn try_rotate(&self, caller: &Caller, request: v1::RotateKeyRequest) -> Result<v1::Key, Fault> {
        let expire_time = expiry(request.expire_time)?;
        let old = self.named(caller, &request.name).await?;
        if old.revoke_time.is_some() {
            return Err(Fault::invalid("name", "is of a key that was revoked: create another one"));
        }
        self.put(caller, "RotateKey", (old.client, old.scopes, old.domains, expire_time)).await
    }

    /// See `RevokeKey`.
    pub async fn revoke(&self, caller: &Caller, request: v1::RevokeKeyRequest) -> Result<v1::Key, Fault> {
        self.counted("RevokeKey", self.try_revoke(caller, request).await)
    }

    async fn try_revoke(&self, caller: &Caller, request: v1::RevokeKeyRequest) -> Result<v1::Key, Fault> {
        let (now, by) = (unix_ms(), By::call(caller, "RevokeKey"));
        let mut row = match (self.named(caller, &request.name).await, request.name.strip_prefix("keys/edge:"))
        {
            (Err(Fault::KeyNotFound(_)), Some(edge)) => self.put_edge(caller, edge, now).await?,
            (row, _) => row?,
        };
        let read = row.clone();
        blocking(&self.store, move |store| store.key_rows().revoke_key(&read, now, &by)).await?;
        self.refresh().await?;
        row.revoke_time = Some(row.revoke_time.unwrap_or(now));
        Ok(wire::key(&row))
    }

    async fn put(
        &self,
        caller: &Caller,
        method: &'static str,
        (client, scopes, domains, expire_time): (String, Scopes, Vec<String>, Option<i64>),
    ) -> Result<v1::Key, Fault> {
        within(caller, &domains)?;
        let (secret, row) = draft(client, scopes, domains, expire_time)?;
        let (kept, by) = (row.clone(), By::call(caller, method));
        let put = blocking(&self.store, move |store| store.key_rows().put_key(&kept, LIVE, &by)).await?;
        put.then_some(()).ok_or_else(|| too_many(&row.client))?;
        self.refresh().await?;
        Ok(v1::Key { secret: secret.reveal().into(), ..wire::key(&row) })
    }

    /// The row of an edge's certificate, of which nothing is kept before it is revoked.
    async fn put_edge(&self, caller: &Caller, edge: &str, now: i64) -> Result<KeyRow, Fault> {
        within(caller, &[])?;
        if !is_client(edge) {
            return Err(Fault::invalid("name", "is of no edge: 1 to 100 of A-Z a-z 0-9 . _ - @"));
        }
        let (id, hash) = secret::of_edge(edge);
        let (client, scopes, domains) = (id.clone(), Scopes::of(&[Scope::Feed]), Vec::new());
        let (expire_time, revoke_time, last_use) = (None, None, None);
        let create_time = now;
        let row =
            KeyRow { id, hash, client, scopes, domains, create_time, expire_time, revoke_time, last_use };
        let (kept, by) = (row.clone(), By::call(caller, "RevokeKey"));
        blocking(&self.store, move |store| store.key_rows().put_key(&kept, LIVE, &by)).await?;
        Ok(row)
    }

    async fn rows(&self) -> Result<Vec<KeyRow>, Fault> {
        Ok(blocking(&self.store, |store| store.key_rows().keys()).await?.1)
    }

    async fn named(&self, caller: &Caller, name: &str) -> Result<KeyRow, Fault> {
        let id = name.strip_prefix("keys/").ok_or_else(|| Fault::invalid("name", "is not keys/…"))?;
        let row = self.rows().await?.into_iter().find(|row| row.id == id);
        let row = row.ok_or_else(|| Fault::KeyNotFound(name.to_owned()))?;
        within(caller, &row.domains).map(|()| row)
    }

    pub(super) fn counted<T>(&self, method: &'static str, answer: Result<T, Fault>) -> Result<T, Fault> {
        self.metrics.count(method, answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK"));
        answer
    }
}

/// `linkr control mint-key`, and what the first start does: a key without a key. Blocks.
///
/// # Errors
/// Why not, in one line.
pub fn mint(store: &dyn Repository, client: &str, scopes: Scopes) -> Result<Secret, Fault> {
    let (secret, row) = draft(client.to_owned(), scopes, Vec::new(), None)?;
    let by = By { principal: "".into(), method: "MintKey", request_id: "".into() };
    let put = store.key_rows().put_key(&row, LIVE, &by)?;
    put.then_some(secret).ok_or_else(|| too_many(client))
}

fn draft(
    client: String,
    scopes: Scopes,
    domains: Vec<String>,
    expire_time: Option<i64>,
) -> Result<(Secret, KeyRow), Fault> {
    if !is_client(&client) {
        return Err(Fault::invalid("client", "is not 1 to 100 of A-Z a-z 0-9 . _ - @"));
    }
    if scopes == Scopes::default() {
        return Err(Fault::invalid("scopes", "are missing"));
    }
    let (secret, create_time) = (Secret::new(), unix_ms());
    let (id, hash) = (secret.id(), secret.hash());
    let (revoke_time, last_use) = (None, None);
    Ok((
        secret,
        KeyRow { id, hash, client, scopes, domains, create_time, expire_time, revoke_time, last_use },
    ))
}

fn is_client(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    (1..=CLIENT).contains(&name.len()) && name.bytes().all(good)
}

fn too_many(client: &str) -> Fault {
    Fault::invalid("client", format!("{client} has {LIVE} keys already: revoke one of them first"))
}

/// Whether the caller may have to do with a key for these domains; none stands for all.
pub(super) fn within(caller: &Caller, domains: &[String]) -> Result<(), Fault> {
    match (&caller.domains, domains) {
        (Some(_), []) => Err(Fault::Forbidden("keys for every domain".into())),
        (_, domains) => domains.iter().try_for_each(|domain| caller.may_touch(domain)),
    }
}

fn domains(given: &[String]) -> Result<Vec<String>, Fault> {
    if given.len() > DOMAINS {
        return Err(Fault::invalid("domains", format!("are more than {DOMAINS}")));
    }
    let parsed = given.iter().map(|text| Domain::given(text).map(|domain| domain.as_str().to_owned()));
    parsed.collect::<Result<_, _>>().map_err(|fault| Fault::invalid("domains", fault))
}

fn expiry(given: Option<prost_types::Timestamp>) -> Result<Option<i64>, Fault> {
    let at = given.map(|at| at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos / 1_000_000)));
    match at {
        Some(at) if at <= unix_ms() => Err(Fault::invalid("expire_time", "has passed")),
        at => Ok(at),
    }
}
