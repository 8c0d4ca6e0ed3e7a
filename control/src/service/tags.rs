//! The tags of links as things of their own: which there are, and one that takes the place of another.

use super::reach::{BoundReader, BoundView};
use super::{Service, draft, token};
use crate::page::page_size;
use crate::writer::WriteOutcome;
use crate::{Caller, Fault};
use journal::{Field, Intent, Item, Rejection, Request, RequestKind, Verdict, names};
use link::{DomainId, Epoch, Position};
use proto::v1;
use std::time::{Duration, Instant};
use store::model::Row;
use store::port::{Limit, LinkTag, TagLimit, TagRename};

const LARGEST_PAGE: i32 = 1_000;
/// Links that are counted for one page: about 20 ms.
const COUNTED: u64 = 200_000;
/// Links that are changed in one commit: small writes of others go between any two.
const BATCH: Limit = Limit { rows: 500, bytes: 2 * 1024 * 1024 };
/// For so long one call goes on: whoever asked is told how far it has come.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Why what counts by the index is refused for a while.
pub(super) const BEHIND: Fault = Fault::Unavailable(
    "the links of before are still being indexed by their tags, some thousands a second: try again in a while",
);

/// What became of one part of a rename.
#[derive(Default)]
struct RenamePart {
    changed: u64,
    /// Links that changed meanwhile: they are looked at once more.
    missed: u64,
    /// The last write.
    last: Option<(Epoch, u64)>,
}

impl Service {
    /// See `ListTags`.
    pub async fn tags(
        &self,
        caller: &Caller,
        request: &v1::ListTagsRequest,
    ) -> Result<v1::ListTagsResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let tags = page_size(request.page_size, LARGEST_PAGE)?;
        let prefix = request.prefix.clone();
        if prefix.len() > longest() {
            return Err(Fault::invalid("prefix", format!("is longer than {} bytes", longest())));
        }
        let asked = [&domain.prefix()[..], b"tags\n", prefix.as_bytes()].concat();
        let after = match request.page_token.as_str() {
            "" => Some(String::new()),
            given => token::place(given, &asked).and_then(|place| String::from_utf8(place).ok()),
        };
        let after = after.ok_or_else(|| Fault::invalid("page_token", "is none that this list gave out"))?;
        let limit = TagLimit { tags, links: COUNTED };
        let lane = self.reach.lane(caller).await;
        let read = move |reader: &BoundReader<'_>| reader.tags(domain, &prefix, &after, limit);
        let page = self.reach.of(caller).read_part(&lane, read).await?.ok_or(BEHIND)?;
        drop(lane);
        let last = page.tags.last().filter(|_| page.more);
        let next_page_token = last.map_or_else(String::new, |last| token::of(last.tag.as_bytes(), &asked));
        let tags = page.tags.into_iter().map(|own| v1::Tag { tag: own.tag, links: own.links });
        Ok(v1::ListTagsResponse { tags: tags.collect(), next_page_token })
    }

    /// See `RenameTag`. What is done is told by the links alone: those that still have the tag are left to do.
    pub async fn rename_tag(
        &self,
        caller: &Caller,
        request: &v1::RenameTagRequest,
    ) -> Result<v1::RenameTagResponse, Fault> {
        let domain = self.parent(caller, &request.parent).await?.id;
        let (tag, to) = (given("tag", &request.tag)?, given("new_tag", &request.new_tag)?);
        if tag == to {
            return Err(Fault::invalid("new_tag", "is the tag itself"));
        }
        let (view, end) = (self.reach.of(caller), Instant::now() + AT_ONCE);
        let rename = TagRename { from: LinkTag { domain, tag }, to };
        self.begin(&view, &rename, request.merge).await?;
        let mut after = Vec::new();
        let (mut changed, mut missed) = (0, 0);
        let done = loop {
            let (part, next) = match self.part(caller, &view, &rename, after).await {
                // What was done is told first; the next call is refused.
                Err(Fault::RateLimited(_) | Fault::Overloaded) if changed > 0 => break false,
                part => part?,
            };
            changed += part.changed;
            missed += part.missed;
            if let Some((epoch, seq)) = part.last {
                crate::call::wrote(&Position::revision(epoch, seq));
            }
            match next {
                Some(next) => after = next,
                None if missed == 0 => {
                    view.note_renaming(rename, true).await?;
                    break true;
                }
                None => (after, missed) = (Vec::new(), 0),
            }
            if Instant::now() >= end {
                break false;
            }
        };
        Ok(v1::RenameTagResponse { changed, done })
    }

    /// Notes that it begins, unless it goes on; or says why not.
    async fn begin(&self, view: &BoundView<'_>, rename: &TagRename, merge: bool) -> Result<(), Fault> {
        let asked = rename.clone();
        let read = move |reader: &BoundReader<'_>| {
            let to = LinkTag { tag: asked.to.clone(), ..asked.from };
            let is_there = |tag: &LinkTag| Ok::<_, Fault>(reader.count_tagged(tag, 1)?.ok_or(BEHIND)? > 0);
            Ok((reader.is_renaming(&asked)?, is_there(&asked.from)?, is_there(&to)?))
        };
        let domain = || names::domain(&self.reach.name(rename.from.domain));
        match view.read(read).await? {
            (true, ..) => Ok(()),
            (false, false, _) => Err(Fault::TagNotFound { tag: rename.from.tag.clone(), domain: domain() }),
            (false, true, true) if !merge => {
                Err(Fault::TagExists { tag: rename.to.clone(), domain: domain() })
            }
            _ => view.note_renaming(rename.clone(), false).await,
        }
    }

    /// Changes the next links behind `after` that have the tag; and says behind which key it goes on, if it does.
    async fn part(
        &self,
        caller: &Caller,
        view: &BoundView<'_>,
        rename: &TagRename,
        after: Vec<u8>,
    ) -> Result<(RenamePart, Option<Vec<u8>>), Fault> {
        let lane = self.reach.lane(caller).await;
        let from = rename.from.clone();
        let read = view.read_part(&lane, move |reader| reader.tagged(&from, "", &after, BATCH)).await?;
        drop(lane);
        let next = read.rows.last().filter(|_| read.more).map(|row| row.key.as_bytes().to_vec());
        let items: Vec<Item> = read.rows.iter().filter_map(|row| item(row, rename)).collect();
        if items.is_empty() {
            return Ok((RenamePart::default(), next));
        }
        caller.rows(items.len()).await?;
        let by = Some(caller.by("RenameTag"));
        let request = Request { items, kind: RequestKind::Chunk, by, retry: None };
        let WriteOutcome { epoch, verdicts } = view.submit(request, None)?.answer().await?;
        let mut part = RenamePart::default();
        for verdict in verdicts {
            match verdict {
                Verdict::Created(row) | Verdict::Changed(row) => {
                    part.changed += 1;
                    part.last = Some((epoch, row.version));
                }
                Verdict::Refused(Rejection::EtagMismatch | Rejection::NotFound(_)) => part.missed += 1,
                Verdict::Refused(why) => return Err(why.into()),
                Verdict::Same | Verdict::Before(_) | Verdict::Held => {}
            }
        }
        Ok((part, next))
    }
}

/// A tag as a caller gives it.
fn given(field: &'static str, tag: &str) -> Result<String, Fault> {
    match tag.len() {
        0 => Err(Fault::invalid(field, "is empty")),
        length if length > longest() => {
            Err(Fault::invalid(field, format!("is longer than {} bytes", longest())))
        }
        _ => Ok(tag.to_owned()),
    }
}

/// Bytes of a tag.
fn longest() -> usize {
    draft::bound("linkr.v1.Link", "tags", |rule| rule.max_length)
}

/// The change of a link, if it has the tag: only as it was read.
fn item(row: &Row, TagRename { from, to }: &TagRename) -> Option<Item> {
    let tags = row.info.tags.contains(&from.tag).then(|| renamed(&row.info.tags, &from.tag, to))?;
    let intent = Intent::Update { fields: vec![Field::Tags(tags)], etag: Some(row.version) };
    Some(Item { key: row.key.clone(), intent })
}

/// The new tag stands where the other one stood; or where it stood already.
fn renamed(tags: &[String], tag: &str, to: &str) -> Vec<String> {
    let mut is_there = tags.iter().any(|own| own == to);
    let mut renamed = Vec::with_capacity(tags.len());
    for own in tags {
        if own != tag {
            renamed.push(own.clone());
        } else if !std::mem::replace(&mut is_there, true) {
            renamed.push(to.to_owned());
        }
    }
    renamed
}

impl BoundReader<'_> {
    /// The tag by whose index the links with all of these are found: of several the one that fewest have.
    pub fn rarest(&self, domain: DomainId, tags: &[&str], most: usize) -> Result<Option<LinkTag>, Fault> {
        let mut rarest = None;
        for tag in tags {
            let tag = LinkTag { domain, tag: (*tag).to_owned() };
            let links = if tags.len() > 1 { self.count_tagged(&tag, most)?.unwrap_or(0) } else { 0 };
            if rarest.as_ref().is_none_or(|(least, _)| links < *least) {
                rarest = Some((links, tag));
            }
        }
        Ok(rarest.map(|(_, tag)| tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tag_takes_the_place_of_the_other_once() {
        for (tags, want) in [
            (&["a"][..], &["b"][..]),
            (&["x", "a", "y"], &["x", "b", "y"]),
            (&["a", "x", "b"], &["x", "b"]),
            (&["b", "a"], &["b"]),
            (&["a", "x", "a"], &["b", "x"]),
            (&["A", "x"], &["A", "x"]),
        ] {
            let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
            assert_eq!(renamed(&tags, "a", "b"), want, "{tags:?}");
        }
        let most: Vec<String> = (0..32).map(|n| format!("t{n}")).collect();
        assert_eq!(renamed(&most, "t31", "b").len(), 32);
    }
}
