//! Lists and exports: pages in the order of codes. Nothing is written here.

use super::{Service, blocking};
use crate::port::{Limit, Listed};
use crate::{Caller, Fault};
use link::{DomainId, Key};
use proto::v1;
use std::fmt::Write;

const DEFAULT_PAGE: i32 = 50;
const LARGEST_PAGE: i32 = 1_000;
/// Bytes of keys, records and notes on one page, so that it stays below the 4 MiB that gRPC clients take by default.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
const EXPORT: Limit = Limit { rows: 1_000, bytes: PAGE_BYTES };

impl Service {
    /// See `ListLinks`.
    pub async fn list(
        &self,
        caller: &Caller,
        request: v1::ListLinksRequest,
    ) -> Result<v1::ListLinksResponse, Fault> {
        self.counted("ListLinks", self.try_list(caller, &request).await)
    }

    async fn try_list(
        &self,
        caller: &Caller,
        request: &v1::ListLinksRequest,
    ) -> Result<v1::ListLinksResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let rows = match request.page_size {
            0 => DEFAULT_PAGE,
            size => size.min(LARGEST_PAGE),
        };
        let rows = usize::try_from(rows).map_err(|_| Fault::invalid("page_size", "is negative"))?;
        let deleted = request.show_deleted;
        let after = if request.page_token.is_empty() {
            Vec::new()
        } else {
            after(&request.page_token, domain, deleted)
                .ok_or_else(|| Fault::invalid("page_token", "is none that this list gave out"))?
        };
        let page = self.page(domain, after, deleted, Limit { rows, bytes: PAGE_BYTES }).await?;
        let last = page.rows.last().filter(|_| page.more);
        Ok(v1::ListLinksResponse {
            next_page_token: last.map_or_else(String::new, |row| token(&row.key, deleted)),
            links: page.rows.iter().map(|row| self.shown(row, page.epoch)).collect(),
        })
    }

    /// The part of an export behind the key `after`; and the key to go on behind, if there is more.
    pub async fn export(
        &self,
        caller: &Caller,
        request: &v1::ExportLinksRequest,
        after: Vec<u8>,
    ) -> Result<(v1::ExportLinksResponse, Option<Vec<u8>>), Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let page = self.page(domain, after, request.show_deleted, EXPORT).await?;
        let next = page.rows.last().filter(|_| page.more).map(|row| row.key.as_bytes().to_vec());
        let links = page.rows.iter().map(|row| self.shown(row, page.epoch)).collect();
        Ok((v1::ExportLinksResponse { links }, next))
    }

    async fn page(
        &self,
        domain: DomainId,
        after: Vec<u8>,
        deleted: bool,
        limit: Limit,
    ) -> Result<Listed, Fault> {
        let list = move |store: &dyn crate::port::Repository| {
            store.list(&domain.0.to_be_bytes(), &after, deleted, limit)
        };
        Ok(blocking(&self.store, list).await?)
    }
}

/// The last key of a page and a checksum over it and what was asked: a token of another list is refused rather than
/// answered with something that looks right.
fn token(last: &Key, deleted: bool) -> String {
    let bytes = last.as_bytes();
    let mut token = format!("{:08x}", checksum(bytes, deleted));
    for byte in bytes {
        let _ = write!(token, "{byte:02x}"); // a String takes all
    }
    token
}

fn after(token: &str, domain: DomainId, deleted: bool) -> Option<Vec<u8>> {
    let (sum, key) = token.split_at_checked(8)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = key
        .as_bytes()
        .chunks(2)
        .map(|pair| Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8))
        .collect();
    let key = Key::from_bytes(&bytes?).ok()?;
    let own = key.domain() == domain && format!("{:08x}", checksum(key.as_bytes(), deleted)) == sum;
    own.then(|| key.as_bytes().to_vec())
}

fn checksum(key: &[u8], deleted: bool) -> u32 {
    super::fnv(&[key, &[u8::from(deleted)]].concat()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_only_to_its_own_list() {
        let key = Key::new(DomainId::DEFAULT, &link::Code::new("a/b").unwrap());
        let good = token(&key, false);
        assert_eq!(after(&good, DomainId::DEFAULT, false), Some(key.as_bytes().to_vec()));
        assert_eq!(after(&good, DomainId::DEFAULT, true), None);
        assert_eq!(after(&good, DomainId(1), false), None);
        for wrong in ["", "x", "00000000", &good[..good.len() - 1], &format!("{good}61"), "0000000é61"] {
            assert_eq!(after(wrong, DomainId::DEFAULT, false), None, "{wrong}");
        }
    }
}
