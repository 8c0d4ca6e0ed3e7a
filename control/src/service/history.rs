//! What a link was: its versions, and one of them brought back.

use super::reach::BoundReader;
use super::write::{WriteTerms, etag};
use super::{Service, draft, fnv};
use crate::page::page_size;
use crate::{Caller, Fault};
use journal::{Draft, Intent, Item};
use link::{Epoch, Key, Position, Seq};
use proto::v1::{self, restore_link_request::Point};
use store::model::Row;
use store::port::{LinkPast, Moment, NotedAuthor};
use store::wire;

/// Of links of 13 KiB at most.
const LARGEST_PAGE: i32 = 100;

impl Service {
    /// See `ListLinkHistory`.
    pub async fn history(
        &self,
        caller: &Caller,
        request: &v1::ListLinkHistoryRequest,
    ) -> Result<v1::ListLinkHistoryResponse, Fault> {
        let key = self.key(caller, &request.name).await?;
        let size = page_size(request.page_size, LARGEST_PAGE)?;
        let foreign = || Fault::invalid("page_token", "is none that this list gave out");
        let token = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        let below = token.map(|token| below(token, &key).ok_or_else(foreign)).transpose()?;
        let read = {
            let key = key.clone();
            move |reader: &BoundReader<'_>| {
                // The one that was shown last is looked at again, and one behind the page says whether there are more.
                let limit = size + 2;
                let traced = reader.writes(&key, below.unwrap_or(Seq::MAX), limit)?;
                let (epoch, more) = (traced.epoch, traced.writes.len() == limit);
                let mut versions = versions(traced, more);
                versions.retain(|(row, _)| below.is_none_or(|below| row.version < below));
                let more = versions.len() > size;
                versions.truncate(size);
                for (row, who) in &mut versions {
                    if who.is_none() {
                        *who = reader.chunk(row.version)?;
                    }
                }
                Ok((epoch, versions, more))
            }
        };
        let lane = self.reach.lane(caller).await;
        let (epoch, versions, more) = self.reach.of(caller).read_part(&lane, read).await?;
        if versions.is_empty() && below.is_none() {
            return Err(Fault::NotFound(request.name.clone()));
        }
        let last = versions.last().filter(|_| more);
        Ok(v1::ListLinkHistoryResponse {
            next_page_token: last.map_or_else(String::new, |(row, _)| token_of(&key, row.version)),
            versions: versions
                .into_iter()
                .map(|(row, who)| version(self.shown(&row, epoch), &row, who))
                .collect(),
        })
    }

    /// See `RestoreLink`.
    pub async fn restore(
        &self,
        caller: &Caller,
        request: &v1::RestoreLinkRequest,
    ) -> Result<v1::Link, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        let key = self.key(caller, &request.name).await?;
        let RestorePoint { field, moment, history: of } = RestorePoint::of(request)?;
        let read = {
            let key = key.clone();
            move |reader: &BoundReader<'_>| {
                let view = of.map(|of| reader.log_view(0, Some(of))).transpose()?;
                Ok((reader.write_after(&key, moment)?, view))
            }
        };
        let (traced, view) = self.reach.of(caller).read(read).await?;
        if let (Some(view), Some(of), Moment::Seq(seq)) = (view, of, moment) {
            let shared =
                if of == view.head.epoch { view.head.seq } else { view.ancestor.map_or(0, |(_, seq)| seq) };
            if seq > shared {
                return Err(Fault::invalid(field, "is not in the history of this store"));
            }
        }
        let was = was(traced, moment).ok_or_else(|| Fault::NotFound(request.name.clone()))?;
        let was = was.ok_or_else(|| Fault::invalid(field, "is before all that is known of the link"))?;
        if was.delete_time.is_some() {
            return Err(Fault::invalid(field, "is one at which the link was deleted"));
        }
        self.lead(&asked, was.link.parts().target.clone(), Some(&key), false).await?;
        self.leads_out(&asked, was.link.parts().expired_target.as_ref()).await?;
        let draft = Draft { link: was.link, info: was.info };
        self.one(&asked, Item { key, intent: Intent::Restore { draft, etag: etag(&request.etag) } }).await
    }
}

/// The point in the past that a request wants its link back from.
struct RestorePoint {
    /// The field that says it.
    field: &'static str,
    moment: Moment,
    /// Of a revision, the history that it is of.
    history: Option<Epoch>,
}

impl RestorePoint {
    fn of(request: &v1::RestoreLinkRequest) -> Result<Self, Fault> {
        match &request.point {
            None => Err(Fault::invalid("time", "is missing, and so is revision: one of both is needed")),
            Some(Point::Time(time)) => {
                let time = draft::time("time", Some(time))?.unwrap_or_default();
                Ok(Self { field: "time", moment: Moment::Time(time), history: None })
            }
            Some(Point::Revision(text)) => {
                let wrong = || Fault::invalid("revision", "is none that this server gave out");
                let (epoch, seq) = Position::parse_revision(text).ok_or_else(wrong)?;
                Ok(Self { field: "revision", moment: Moment::Seq(seq), history: Some(epoch) })
            }
        }
    }
}

/// The link at a moment, from the first write behind it: nothing if there is no link now, nothing inside if there was
/// none then, or none that is known.
#[allow(clippy::option_option)]
fn was(traced: LinkPast, moment: Moment) -> Option<Option<Row>> {
    let now = traced.row?;
    let then = traced.writes.into_iter().next().map_or(Some(now), |write| write.before);
    // A link that a chunk created has no write of its own: it may be younger than the moment.
    Some(then.filter(|row| match moment {
        Moment::Seq(seq) => row.version <= seq,
        Moment::Time(time) => row.update_time <= time,
    }))
}

/// Every version that the writes tell of, the latest first: what a chunk created is known only by what came of it. With
/// `more` the last write is not the oldest one, and what was before it is told by the next.
fn versions(traced: LinkPast, more: bool) -> Vec<(Row, Option<NotedAuthor>)> {
    let LinkPast { row, writes, .. } = traced;
    let untold = |row: &Row, older: Option<Seq>| older.is_none_or(|seq| seq < row.version);
    let latest = row.filter(|row| untold(row, writes.first().map(|write| write.seq)));
    let mut versions: Vec<_> = latest.into_iter().map(|row| (row, None)).collect();
    let older: Vec<Option<Seq>> = writes.iter().skip(1).map(|write| Some(write.seq)).chain([None]).collect();
    let last = writes.len().saturating_sub(1);
    for (at, (write, older)) in writes.into_iter().zip(older).enumerate() {
        versions.push((write.after, Some(write.who)));
        let before = write.before.filter(|row| untold(row, older) && !(more && at == last));
        versions.extend(before.map(|row| (row, None)));
    }
    versions
}

fn version(link: v1::Link, row: &Row, who: Option<NotedAuthor>) -> v1::LinkVersion {
    let NotedAuthor { principal, method, request_id } = who.unwrap_or_default();
    let time = Some(wire::timestamp(row.update_time));
    v1::LinkVersion { link: Some(link), principal, method, request_id, time }
}

/// The last version of a page, with a checksum as in other lists.
fn token_of(key: &Key, version: Seq) -> String {
    format!("{:08x}{version:x}", checksum(key, version))
}

fn below(token: &str, key: &Key) -> Option<Seq> {
    let version = Seq::from_str_radix(token.split_at_checked(8)?.1, 16).ok()?;
    (token_of(key, version) == token).then_some(version)
}

fn checksum(key: &Key, version: Seq) -> u32 {
    fnv(&[key.as_bytes(), b"\0history", &version.to_be_bytes()].concat()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{Code, DomainId, Link, LinkParts, Target};
    use store::model::Info;
    use store::port::LinkWrite;

    fn key() -> Key {
        Key::new(DomainId::DEFAULT, &Code::new("a").unwrap())
    }

    fn row(version: Seq) -> Row {
        let link = Link::new(LinkParts::to(Target::given("https://a.example/", &[]).unwrap())).unwrap();
        let at = version as i64 * 10;
        let info = Info::default();
        Row { key: key(), version, uid: 1, link, info, create_time: 0, update_time: at, delete_time: None }
    }

    fn write(seq: Seq, before: Option<Seq>) -> LinkWrite {
        LinkWrite { seq, who: NotedAuthor::default(), before: before.map(row), after: row(seq) }
    }

    fn traced(now: Option<Seq>, writes: Vec<LinkWrite>) -> LinkPast {
        LinkPast { epoch: Epoch::default(), row: now.map(row), writes }
    }

    #[test]
    fn what_a_chunk_created_is_known_by_what_came_of_it() {
        let check = |now, writes: &[(Seq, Option<Seq>)], more, want: &[(Seq, bool)]| {
            let writes = writes.iter().map(|(seq, before)| write(*seq, *before)).collect();
            let told = versions(traced(now, writes), more);
            let told: Vec<_> = told.iter().map(|(row, who)| (row.version, who.is_some())).collect();
            assert_eq!(told, want);
        };
        check(Some(3), &[], false, &[(3, false)]);
        check(Some(5), &[(5, Some(3))], false, &[(5, true), (3, false)]);
        check(Some(5), &[(5, Some(3)), (3, None)], false, &[(5, true), (3, true)]);
        // Purged, and imported anew: 7 by one chunk, 20 by another.
        check(
            Some(20),
            &[(9, Some(8)), (8, Some(7))],
            false,
            &[(20, false), (9, true), (8, true), (7, false)],
        );
        check(None, &[(9, Some(8)), (8, Some(7))], true, &[(9, true), (8, true)]);
        check(None, &[], false, &[]);
    }

    #[test]
    fn the_state_at_a_moment_is_what_the_next_write_found() {
        let at = |now, next: Option<(Seq, Option<Seq>)>, moment| {
            let writes = next.map(|(seq, before)| write(seq, before)).into_iter().collect();
            was(traced(now, writes), moment).map(|row| row.map(|row| row.version))
        };
        assert_eq!(at(None, Some((9, Some(8))), Moment::Seq(8)), None);
        assert_eq!(at(Some(9), Some((9, Some(8))), Moment::Seq(8)), Some(Some(8)));
        assert_eq!(at(Some(9), Some((9, Some(5))), Moment::Seq(8)), Some(Some(5)));
        assert_eq!(at(Some(9), Some((9, None)), Moment::Seq(8)), Some(None), "it was made later");
        assert_eq!(at(Some(9), Some((9, Some(5))), Moment::Seq(4)), Some(None), "imported later");
        assert_eq!(at(Some(9), None, Moment::Seq(8)), Some(None));
        assert_eq!(at(Some(9), None, Moment::Time(90)), Some(Some(9)));
        assert_eq!(at(Some(9), None, Moment::Time(89)), Some(None));
    }

    #[test]
    fn a_token_comes_back_only_to_its_own_link() {
        let (own, other) = (key(), Key::new(DomainId::DEFAULT, &Code::new("b").unwrap()));
        let token = token_of(&own, 0xabc);
        assert_eq!((below(&token, &own), below(&token, &other)), (Some(0xabc), None));
        for wrong in ["", "x", "00000000", &token.to_uppercase(), &format!("{token}0"), "0000000é1"] {
            assert_eq!(below(wrong, &own), None, "{wrong}");
        }
    }
}
