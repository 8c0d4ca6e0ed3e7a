//! What the service needs of a store for the tags of links: lists by an index of them, which tags there are, and which
//! of them are being renamed.

use super::{Limit, ListPage, TimeOrder};
use crate::model::StoreFault;
use link::DomainId;

/// A tag of a domain's links.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkTag {
    /// Of the links.
    pub domain: DomainId,
    /// Not empty.
    pub tag: String,
}

/// The index of tags. A link that is deleted stands in it under none.
///
/// Links from before there was an index are taken into it little by little ([`super::Repository::tidy`]), and so is what a
/// control of before writes beside this one. As long as one of them is missing, lists go without the index, and what
/// counts by it says `None`.
pub trait Tags {
    /// The next live links with this tag whose keys begin with `prefix`, which begins with the domain, in the order of
    /// their keys, behind `after`. As long as the index is not whole there are links without the tag among them.
    fn tagged(
        &self,
        tag: &LinkTag,
        prefix: &[u8],
        after: &[u8],
        limit: Limit,
    ) -> Result<ListPage, StoreFault>;
    /// The same, the newest by `time` first and of one time the last key first, behind the link with this time and key.
    fn newest_tagged(
        &self,
        tag: &LinkTag,
        time: TimeOrder,
        behind: (i64, &[u8]),
        limit: Limit,
    ) -> Result<ListPage, StoreFault>;
    /// How many live links have this tag; of more than `most` it says `most`.
    fn count_tagged(&self, tag: &LinkTag, most: usize) -> Result<Option<u64>, StoreFault>;
    /// The next tags of a domain's live links that begin with `prefix`, in the order of their bytes, behind `after`.
    fn tags(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &str,
        limit: TagLimit,
    ) -> Result<Option<TagPage>, StoreFault>;
    /// Whether this was begun and not ended.
    fn is_renaming(&self, rename: &TagRename) -> Result<bool, StoreFault>;
    /// Notes that it begins, or that it has ended.
    fn note_renaming(&self, rename: &TagRename, ends: bool) -> Result<(), StoreFault>;
}

/// Bounds of one read of tags. It ends at the first that is reached, but holds at least one tag.
#[derive(Clone, Copy, Debug)]
pub struct TagLimit {
    /// Tags.
    pub tags: usize,
    /// Links that are counted for them.
    pub links: u64,
}

/// A part of a list of tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPage {
    /// In the order of their bytes.
    pub tags: Vec<TagCount>,
    /// Whether there are more.
    pub more: bool,
}

/// How many live links have a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// At least one.
    pub links: u64,
}

/// One tag that takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRename {
    /// The tag that goes.
    pub from: LinkTag,
    /// What links have instead.
    pub to: String,
}
