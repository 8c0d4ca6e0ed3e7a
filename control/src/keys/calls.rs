//! The calls of `linkr.v1.Keys`. A key that is bound to domains makes and ends only such that reach no further.

use super::stored::{KeyQuery, LIVE};
use super::{Keys, Secret, secret};
use crate::page::page_size;
use crate::{Caller, Fault};
use link::Domain;
use proto::v1;
use std::collections::BTreeSet;
use store::clock::unix_ms;
use store::model::{Author, KeyRow, Scope, Scopes};
use store::port::Repository;
use store::wire;

/// Bytes of a client's name.
const CLIENT: usize = 100;
/// Domains of one key.
const DOMAINS: usize = 100;
/// Keys on a page. As many are on one of which nobody says how many: callers from before there were pages get all of theirs.
const LARGEST_PAGE: i32 = 1_000;

/// The key that a caller wants.
pub struct KeyDraft {
    /// Who will use it.
    pub client: String,
    /// What it is to allow.
    pub scopes: Scopes,
    /// The domains that it is for, in their compared form; none: all.
    pub domains: Vec<String>,
    /// The edge that it lets in; needed for the scope feed, and of no use without.
    pub edge: Option<String>,
    /// From when on it is refused, in Unix milliseconds.
    pub expire_time: Option<i64>,
}

impl Keys {
    /// See `CreateKey`.
    pub async fn create(&self, caller: &Caller, request: &v1::CreateKeyRequest) -> Result<v1::Key, Fault> {
        let key = request.key.clone().unwrap_or_default();
        let scopes = Scopes::parse(key.scopes.iter().map(String::as_str));
        let scopes = scopes.map_err(|name| {
            Fault::invalid(
                "scopes",
                format!("hold {name}, which is none: there are {}", Scope::ALL.map(Scope::name).join(", ")),
            )
        })?;
        let wish = KeyDraft {
            client: key.client,
            scopes,
            domains: domains(&key.domains)?,
            edge: Some(key.edge).filter(|edge| !edge.is_empty()),
            expire_time: self.expiry(key.expire_time)?,
        };
        self.put(caller, "CreateKey", wish).await
    }

    /// See `ListKeys`.
    pub async fn list(
        &self,
        caller: &Caller,
        request: &v1::ListKeysRequest,
    ) -> Result<v1::ListKeysResponse, Fault> {
        let asked = if request.page_size == 0 { LARGEST_PAGE } else { request.page_size };
        let most = page_size(asked, LARGEST_PAGE)?;
        let page = KeyQuery { after: request.page_token.clone(), most, revoked: request.show_revoked };
        self.kept.page(caller, page).await
    }

    /// See `RotateKey`.
    pub async fn rotate(&self, caller: &Caller, request: &v1::RotateKeyRequest) -> Result<v1::Key, Fault> {
        let given = self.expiry(request.expire_time)?;
        let old = self.kept.named(&caller.bound, &request.name).await?;
        if old.revoke_time.is_some() {
            return Err(Fault::invalid("name", "is of a key that was revoked: create another one"));
        }
        if old.scopes.has(Scope::Feed) && (old.edge.is_none() || !old.domains.is_empty()) {
            let why = "is of a key from before keys with scope feed named one edge and were for every domain: create one \
                       for each edge with that scope and edge, and revoke this one";
            return Err(Fault::invalid("name", why));
        }
        // A key for 90 days becomes another one for 90 days, and none for ever that nobody asked for.
        let as_long =
            old.expire_time.map(|end| self.clock.now().saturating_add(end.saturating_sub(old.create_time)));
        let expire_time = given.or(as_long);
        let KeyRow { client, scopes, domains, edge, .. } = old;
        self.put(caller, "RotateKey", KeyDraft { client, scopes, domains, edge, expire_time }).await
    }

    /// See `RevokeKey`.
    pub async fn revoke(&self, caller: &Caller, request: &v1::RevokeKeyRequest) -> Result<v1::Key, Fault> {
        let (now, by) = (unix_ms(), caller.by("RevokeKey"));
        let named = self.kept.named(&caller.bound, &request.name).await;
        let mut row = match (named, request.name.strip_prefix("keys/edge:")) {
            (Err(Fault::KeyNotFound(_)), Some(edge)) => self.put_edge(caller, edge, now).await?,
            (row, _) => row?,
        };
        self.kept.revoke(&caller.bound, &row, now, by).await?;
        self.refresh().await?;
        row.revoke_time = Some(row.revoke_time.unwrap_or(now));
        Ok(wire::key(&row))
    }

    async fn put(&self, caller: &Caller, method: &'static str, wish: KeyDraft) -> Result<v1::Key, Fault> {
        // Before anything is said about the wish: a caller who may not give it learns nothing by it.
        caller.bound.give(&wish.domains, wish.scopes, wish.expire_time)?;
        let (secret, row) = draft(wish)?;
        let put = self.kept.put(caller, &row, caller.by(method)).await?;
        put.then_some(()).ok_or_else(|| too_many(&row.client))?;
        self.refresh().await?;
        Ok(v1::Key { secret: secret.reveal().into(), ..wire::key(&row) })
    }

    /// The row of an edge's certificate, of which nothing is kept before it is revoked.
    async fn put_edge(&self, caller: &Caller, edge: &str, now: i64) -> Result<KeyRow, Fault> {
        caller.bound.give(&[], Scopes::of(&[Scope::Feed]), None)?;
        if !is_client(edge) {
            return Err(Fault::invalid("name", "is of no edge: 1 to 100 of A-Z a-z 0-9 . _ - @"));
        }
        let (id, hash) = secret::of_edge(edge);
        let row = KeyRow {
            client: id.clone(),
            id,
            hash,
            scopes: Scopes::of(&[Scope::Feed]),
            domains: Vec::new(),
            edge: Some(edge.to_owned()),
            create_time: now,
            expire_time: None,
            revoke_time: None,
            last_use: None,
        };
        self.kept.put(caller, &row, caller.by("RevokeKey")).await?;
        Ok(row)
    }

    fn expiry(&self, given: Option<prost_types::Timestamp>) -> Result<Option<i64>, Fault> {
        let ms = |at: prost_types::Timestamp| {
            at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos / 1_000_000))
        };
        match given.map(ms) {
            Some(at) if at <= self.clock.now() => Err(Fault::invalid("expire_time", "has passed")),
            at => Ok(at),
        }
    }
}

/// `linkr control mint-key`, and what the first start does: a key without a key. Blocks.
///
/// # Errors
/// Why not, in one line.
pub fn mint(store: &dyn Repository, wish: KeyDraft) -> Result<Secret, Fault> {
    let (secret, row) = draft(wish)?;
    let by = Author { principal: "".into(), method: "MintKey", request_id: "".into() };
    let put = store.key_rows().put_key(&row, LIVE, &by)?;
    put.then_some(secret).ok_or_else(|| too_many(&row.client))
}

impl KeyDraft {
    /// The first key of a store.
    pub fn admin() -> Self {
        let (client, scopes) = ("admin".to_owned(), Scopes::admin());
        Self { client, scopes, domains: Vec::new(), edge: None, expire_time: None }
    }
}

fn draft(wish: KeyDraft) -> Result<(Secret, KeyRow), Fault> {
    let KeyDraft { client, scopes, domains, edge, expire_time } = wish;
    if !is_client(&client) {
        return Err(Fault::invalid("client", "is not 1 to 100 of A-Z a-z 0-9 . _ - @"));
    }
    if scopes == Scopes::default() {
        return Err(Fault::invalid("scopes", "are missing"));
    }
    match (scopes.has(Scope::Feed), &edge) {
        (true, _) if !domains.is_empty() => {
            let why = "are given with the scope feed, which is of every domain: leave one of them out";
            return Err(Fault::invalid("domains", why));
        }
        (true, None) => {
            let why = "is missing: a key with scope feed lets in one edge, by the name that it runs under \
                       (linkr edge --name)";
            return Err(Fault::invalid("edge", why));
        }
        (true, Some(edge)) if !is_client(edge) => {
            return Err(Fault::invalid("edge", "is not 1 to 100 of A-Z a-z 0-9 . _ - @"));
        }
        (false, Some(_)) => {
            return Err(Fault::invalid("edge", "is given, and the scope feed is not: only edges need it"));
        }
        _ => {}
    }
    let (secret, create_time) = (Secret::new(), unix_ms());
    let (id, hash) = (secret.id(), secret.hash());
    let (revoke_time, last_use) = (None, None);
    let row =
        KeyRow { id, hash, client, scopes, domains, edge, create_time, expire_time, revoke_time, last_use };
    Ok((secret, row))
}

fn is_client(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    (1..=CLIENT).contains(&name.len()) && name.bytes().all(good)
}

fn too_many(client: &str) -> Fault {
    Fault::invalid(
        "client",
        format!(
            "{client} has {LIVE} keys for the same domains already: revoke one of them first, or give the new one to another client (linkr control mint-key --name)"
        ),
    )
}

/// In one order: keys for the same domains are counted together.
fn domains(given: &[String]) -> Result<Vec<String>, Fault> {
    if given.len() > DOMAINS {
        return Err(Fault::invalid("domains", format!("are more than {DOMAINS}")));
    }
    let parsed = given.iter().map(|text| Domain::given(text).map(|domain| domain.as_str().to_owned()));
    let parsed =
        parsed.collect::<Result<BTreeSet<_>, _>>().map_err(|fault| Fault::invalid("domains", fault))?;
    Ok(parsed.into_iter().collect())
}
