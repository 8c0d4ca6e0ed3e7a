//! Lists and exports: pages in a stable order, whatever their depth. Nothing is written here.

use super::filter::Filter;
use super::reach::BoundReader;
use super::{Service, token};
use crate::page::{PAGE_BYTES, page_size};
use crate::{Caller, Fault};
use journal::ExternalId;
use link::{DomainId, Epoch, Key};
use proto::v1;
use std::sync::{Arc, OnceLock};
use store::model::Row;
use store::port::{Limit, LinkTag, ListPage, TimeOrder};

const LARGEST_PAGE: i32 = 1_000;
const EXPORT: Limit = Limit { rows: 1_000, bytes: PAGE_BYTES };
/// Links, and bytes of them, that are held against a filter for one page. A page that is not full by then ends there,
/// with a token.
const LOOKED_AT: usize = 10_000;
const LOOKED_BYTES: usize = 4 * PAGE_BYTES;
/// Links that are held against a filter for a count.
const COUNTED: usize = 50_000;
/// Conditions with which as many are looked at; with more, fewer.
const TERMS: usize = 8;

/// The query of a list. Its tokens are bound to it.
struct ListQuery {
    domain: DomainId,
    deleted: bool,
    /// By which time, newest first; `None`: by code.
    order: Option<TimeOrder>,
    filter: Filter,
    /// The texts of filter and order.
    told: String,
    /// By which tag the links are looked up, if by any; found out with the first read.
    tag: OnceLock<Option<LinkTag>>,
}

/// A place in a list, behind a link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListCursor {
    /// Unix milliseconds; 0 in the order of codes.
    at: i64,
    key: Vec<u8>,
}

/// A page that is being filled.
struct PageBuilder {
    rows: Vec<Row>,
    epoch: Epoch,
    /// Up to which link it was looked.
    place: ListCursor,
    /// Links on it when it is full.
    most: usize,
    /// Links to read next.
    part: usize,
    /// Those of its links.
    bytes: usize,
    /// What may still be looked at.
    left: usize,
    left_bytes: usize,
    more: bool,
    ends: bool,
}

/// A count under way.
struct Count {
    /// Up to which link it was looked.
    place: ListCursor,
    found: usize,
    looked_at: usize,
    more: bool,
}

impl Service {
    /// See `ListLinks`.
    pub async fn list(
        &self,
        caller: &Caller,
        request: &v1::ListLinksRequest,
    ) -> Result<v1::ListLinksResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let rows = page_size(request.page_size, LARGEST_PAGE)?;
        let asked = ListQuery {
            domain,
            deleted: request.show_deleted,
            order: order(&request.order_by)?,
            filter: Filter::parse(&request.filter)?,
            told: format!("{}\n{}", request.order_by.trim(), request.filter.trim()),
            tag: OnceLock::new(),
        };
        let place = match request.page_token.as_str() {
            "" => asked.begin(),
            token => asked
                .place(token)
                .ok_or_else(|| Fault::invalid("page_token", "is none that this list gave out"))?,
        };
        let mut page = asked.page(place, rows);
        let asked = Arc::new(asked);
        let lane = self.reach.lane(caller).await;
        let view = self.reach.of(caller);
        while !page.ends {
            let asked = asked.clone();
            page = view.read_part(&lane, move |reader| asked.part(reader, page)).await?;
        }
        drop(lane);
        let (epoch, next) = (page.epoch, page.more.then_some(&page.place));
        let token = next.map_or_else(String::new, |next| asked.token(next));
        debug_assert_eq!(next.is_none(), token.is_empty());
        let links = page.rows.iter().map(|row| self.shown(row, epoch)).collect();
        Ok(v1::ListLinksResponse { next_page_token: token, links })
    }

    /// See `CountLinks`.
    pub async fn count(
        &self,
        caller: &Caller,
        request: &v1::CountLinksRequest,
    ) -> Result<v1::CountLinksResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let (deleted, filter) = (request.show_deleted, Filter::parse(&request.filter)?);
        let (told, tag) = (String::new(), OnceLock::new());
        let asked = Arc::new(ListQuery { domain, deleted, order: None, filter, told, tag });
        let lane = self.reach.lane(caller).await;
        let view = self.reach.of(caller);
        let by_index = asked.clone();
        if let Some(count) = view.read_part(&lane, move |reader| by_index.counted(reader)).await? {
            return Ok(v1::CountLinksResponse { count, exact: true, looked_at: 0 });
        }
        let mut count = Count { place: asked.begin(), found: 0, looked_at: 0, more: true };
        while count.more && count.looked_at < COUNTED {
            let asked = asked.clone();
            count = view.read_part(&lane, move |reader| asked.count(reader, count)).await?;
        }
        let [found, looked_at] = [count.found, count.looked_at].map(|number| number as u64);
        Ok(v1::CountLinksResponse { count: found, exact: !count.more, looked_at })
    }

    /// The part of an export behind the key `after`; and the key to go on behind, if there is more.
    pub async fn export(
        &self,
        caller: &Caller,
        request: &v1::ExportLinksRequest,
        after: Vec<u8>,
    ) -> Result<(v1::ExportLinksResponse, Option<Vec<u8>>), Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let deleted = request.show_deleted;
        let read = move |reader: &BoundReader<'_>| reader.list(domain, "", &after, deleted, EXPORT);
        let lane = self.reach.lane(caller).await;
        let page = self.reach.of(caller).read_part(&lane, read).await?;
        drop(lane);
        let next = page.rows.last().filter(|_| page.more).map(|row| row.key.as_bytes().to_vec());
        let links = page.rows.iter().map(|row| self.shown(row, page.epoch)).collect();
        Ok((v1::ExportLinksResponse { links }, next))
    }
}

impl ListQuery {
    fn begin(&self) -> ListCursor {
        // A link of the latest time stands behind it: no key is empty.
        let at = self.order.map_or(0, |time| self.filter.between(time).1 + 1);
        ListCursor { at, key: Vec::new() }
    }

    /// A page of `most` links behind a place, with nothing on it.
    fn page(&self, place: ListCursor, most: usize) -> PageBuilder {
        let left = LOOKED_AT * TERMS / self.filter.terms().max(TERMS);
        let (rows, epoch) = (Vec::new(), Epoch::default());
        PageBuilder {
            rows,
            epoch,
            place,
            most,
            part: most,
            bytes: 0,
            left,
            left_bytes: LOOKED_BYTES,
            more: true,
            ends: false,
        }
    }

    /// The page with what the next part of the store adds to it: those for which the filter holds. The store is read in
    /// parts, so that a filter that few links meet costs as much as one that all do.
    fn part(&self, reader: &BoundReader<'_>, mut page: PageBuilder) -> Result<PageBuilder, Fault> {
        let read = self.read(reader, &page.place, Limit { rows: page.part, bytes: PAGE_BYTES })?;
        let count = read.rows.len();
        (page.epoch, page.more) = (read.epoch, read.more);
        for (at, row) in read.rows.into_iter().enumerate() {
            if self.order.is_some_and(|time| time.of(&row) < self.filter.between(time).0) {
                page.more = false; // those behind it are older still
                break;
            }
            page.place = self.at(&row);
            page.left_bytes = page.left_bytes.saturating_sub(size(&row));
            if self.filter.holds(&row) {
                page.bytes += size(&row);
                page.rows.push(row);
                if page.rows.len() == page.most || page.bytes > PAGE_BYTES {
                    page.more |= at + 1 < count;
                    page.left = 0;
                    break;
                }
            }
        }
        page.left = page.left.saturating_sub(count);
        page.ends = !page.more || page.left == 0 || page.left_bytes == 0;
        page.part = (page.part * 4).clamp(1, page.left.clamp(1, 1_000));
        Ok(page)
    }

    /// The count with the next part of the store.
    fn count(&self, reader: &BoundReader<'_>, mut count: Count) -> Result<Count, Fault> {
        let rows = (COUNTED - count.looked_at).min(EXPORT.rows);
        let read = self.read(reader, &count.place, Limit { rows, ..EXPORT })?;
        count.looked_at += read.rows.len();
        count.found += read.rows.iter().filter(|row| self.filter.holds(row)).count();
        count.more = read.more;
        if let Some(last) = read.rows.last() {
            count.place = self.at(last);
        }
        Ok(count)
    }

    /// How many links have the tag that is all of the filter: the index says it.
    fn counted(&self, reader: &BoundReader<'_>) -> Result<Option<u64>, Fault> {
        let Some(tag) = self.filter.only_tag().filter(|_| !self.deleted) else { return Ok(None) };
        reader.count_tagged(&LinkTag { domain: self.domain, tag: tag.to_owned() }, usize::MAX)
    }

    /// The tag to look links up by. Those that are deleted stand under none.
    fn tag(&self, reader: &BoundReader<'_>) -> Result<Option<&LinkTag>, Fault> {
        if let Some(tag) = self.tag.get() {
            return Ok(tag.as_ref());
        }
        let tags = if self.deleted { Vec::new() } else { self.filter.tags() };
        let rarest = reader.rarest(self.domain, &tags, LOOKED_AT)?;
        Ok(self.tag.get_or_init(|| rarest).as_ref())
    }

    fn read(&self, reader: &BoundReader<'_>, place: &ListCursor, limit: Limit) -> Result<ListPage, Fault> {
        // Of those that are not deleted one has it: any order is the order.
        if let Some(id) = self.filter.external_id().filter(|_| self.order.is_none() || !self.deleted) {
            let id = ExternalId { domain: self.domain, id: id.to_owned() };
            return reader.with_external_id(&id, &place.key, self.deleted, limit);
        }
        match (self.order, self.tag(reader)?) {
            (None, None) => reader.list(self.domain, self.filter.prefix(), &place.key, self.deleted, limit),
            (None, Some(tag)) => reader.tagged(tag, self.filter.prefix(), &place.key, limit),
            (Some(time), None) => {
                reader.newest(self.domain, time, (place.at, &place.key), self.deleted, limit)
            }
            (Some(time), Some(tag)) => reader.newest_tagged(tag, time, (place.at, &place.key), limit),
        }
    }

    fn at(&self, row: &Row) -> ListCursor {
        ListCursor { at: self.order.map_or(0, |time| time.of(row)), key: row.key.as_bytes().to_vec() }
    }

    fn token(&self, place: &ListCursor) -> String {
        token::of(&self.bytes(place), &self.asked())
    }

    fn place(&self, token: &str) -> Option<ListCursor> {
        let bytes = token::place(token, &self.asked())?;
        let (at, key) = match self.order {
            None => (0, &bytes[..]),
            Some(_) => {
                let (at, key) = bytes.split_first_chunk()?;
                (i64::from_be_bytes(*at), key)
            }
        };
        let key = Key::from_bytes(key).ok()?;
        (key.domain() == self.domain).then(|| ListCursor { at, key: key.as_bytes().to_vec() })
    }

    fn bytes(&self, place: &ListCursor) -> Vec<u8> {
        let mut bytes = self.order.map_or(Vec::new(), |_| place.at.to_be_bytes().to_vec());
        bytes.extend_from_slice(&place.key);
        bytes
    }

    /// What a token belongs to besides its domain, which stands in the place.
    fn asked(&self) -> Vec<u8> {
        [&[u8::from(self.deleted)], self.told.as_bytes()].concat()
    }
}

fn order(text: &str) -> Result<Option<TimeOrder>, Fault> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [] | ["code"] => Ok(None),
        ["create_time", "desc"] => Ok(Some(TimeOrder::Create)),
        ["update_time", "desc"] => Ok(Some(TimeOrder::Update)),
        _ => Err(Fault::invalid("order_by", "is none of code, create_time desc, update_time desc")),
    }
}

fn size(row: &Row) -> usize {
    row.key.as_bytes().len() + row.link.parts().target.as_bytes().len() + row.info.size()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(domain: DomainId, deleted: bool, order: Option<TimeOrder>, told: &str) -> ListQuery {
        let (filter, tag) = (Filter::default(), OnceLock::new());
        ListQuery { domain, deleted, order, filter, told: told.into(), tag }
    }

    #[test]
    fn a_token_comes_back_only_to_its_own_list() {
        let key = Key::new(DomainId::DEFAULT, &link::Code::new("a/b").unwrap());
        let of = |deleted, order, told| asked(DomainId::DEFAULT, deleted, order, told);
        for (order, at) in [(None, 0), (Some(TimeOrder::Create), -1)] {
            let place = ListCursor { at, key: key.as_bytes().to_vec() };
            let good = of(false, order, "\n").token(&place);
            assert_eq!(of(false, order, "\n").place(&good), Some(place));
            assert_eq!(of(true, order, "\n").place(&good), None);
            assert_eq!(of(false, order, "\ncode:a").place(&good), None);
            assert_eq!(of(false, Some(TimeOrder::Update), "update_time desc\n").place(&good), None);
            assert_eq!(asked(DomainId(1), false, order, "\n").place(&good), None);
            for wrong in ["", "x", "00000000", &good[..good.len() - 1], &format!("{good}61"), "0000000é61"] {
                assert_eq!(of(false, order, "\n").place(wrong), None, "{wrong}");
            }
        }
    }

    #[test]
    fn orders() {
        assert_eq!((order(""), order(" code ")), (Ok(None), Ok(None)));
        assert_eq!(order("create_time  desc"), Ok(Some(TimeOrder::Create)));
        for wrong in ["create_time", "code desc", "target", "update_time desc, code"] {
            assert_eq!(order(wrong).unwrap_err().field(), Some("order_by"), "{wrong}");
        }
    }
}
