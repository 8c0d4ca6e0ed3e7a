//! What is kept of a request while its link is asked for elsewhere.

use crate::head::{Head, HeadNotes, Method};
use clicks::CapturedFlags;

/// A reply that waits for its link: what of the request it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingReply {
    /// The path that was asked for, where that is another than the code that is looked up.
    pub(super) path: Option<Vec<u8>>,
    pub(super) query: Option<Vec<u8>>,
    pub(super) request_id: Option<Vec<u8>>,
    pub(super) head_only: bool,
    pub(super) close: bool,
    pub(super) sends: bool,
    pub(super) debug: bool,
    pub(super) click: PendingClick,
}

/// What a click is classified by, of a reply that waits. Nothing where clicks are not noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingClick {
    values: [Option<Box<[u8]>>; 4],
    flags: CapturedFlags,
}

impl PendingClick {
    /// Keeps them.
    pub fn of(notes: &HeadNotes<'_>) -> Self {
        Self { values: notes.values().map(|value| value.map(Box::from)), flags: notes.flags }
    }

    /// As they were in the head.
    pub fn notes(&self) -> HeadNotes<'_> {
        HeadNotes::of(self.values.each_ref().map(Option::as_deref), self.flags)
    }
}

impl PendingReply {
    pub(super) fn to(head: &Head<'_>, close: bool, debug: bool) -> Self {
        Self {
            path: None,
            query: head.query.map(<[u8]>::to_vec),
            request_id: head.request_id.map(<[u8]>::to_vec),
            head_only: head.method == Method::Head,
            close,
            sends: head.method == Method::Send,
            debug,
            click: PendingClick::default(),
        }
    }
}
