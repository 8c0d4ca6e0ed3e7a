//! Control's end of one stream: what to send next, and when to stop sending.

use link::Seq;

/// Changes that may be under way to an edge without an acknowledgement.
const WINDOW_CHANGES: u64 = 20_000;
/// Snapshot pages that may be under way to an edge without an acknowledgement.
const WINDOW_PAGES: u64 = 8;

/// One stream to one edge, after its hello was answered.
#[derive(Debug)]
pub struct Session {
    sent: Seq,
    acked: Seq,
    walking: bool,
    pages_sent: u64,
    pages_acked: u64,
}

/// The message that the stream wants to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextMessage {
    /// Nothing until the log grows or an acknowledgement arrives.
    Nothing,
    /// The changes behind `after`, as many as make a batch.
    Changes {
        /// The `prev_seq` of the batch.
        after: Seq,
    },
    /// The page with this number.
    Page {
        /// 1, 2, 3 …
        number: u64,
    },
}

/// The edge acknowledged what was never sent: it is not one of ours, close the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

impl Session {
    /// A stream that goes on behind `from`, with a walk or without.
    pub fn new(from: Seq, walk: bool) -> Self {
        Self { sent: from, acked: from, walking: walk, pages_sent: 0, pages_acked: 0 }
    }

    /// What to send, given the head of the log. Changes go before pages: freshness is worth more than filling.
    pub fn next(&self, head: Seq) -> NextMessage {
        if head > self.sent && self.sent - self.acked < WINDOW_CHANGES {
            NextMessage::Changes { after: self.sent }
        } else if self.walking && self.pages_sent - self.pages_acked < WINDOW_PAGES {
            NextMessage::Page { number: self.pages_sent + 1 }
        } else {
            NextMessage::Nothing
        }
    }

    /// A batch that ends with `last` went out.
    pub fn sent_changes(&mut self, last: Seq) {
        self.sent = last;
    }

    /// The next page went out; `last` ends the walk.
    pub fn sent_page(&mut self, last: bool) {
        self.pages_sent += 1;
        self.walking = !last;
    }

    /// The edge applied everything up to here.
    ///
    /// # Errors
    /// [`Overrun`]
    pub fn acked(&mut self, applied: Seq, page: u64) -> Result<(), Overrun> {
        if applied > self.sent || page > self.pages_sent {
            return Err(Overrun);
        }
        self.acked = self.acked.max(applied);
        self.pages_acked = self.pages_acked.max(page);
        Ok(())
    }

    /// Everything sent so far.
    pub fn sent(&self) -> Seq {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_before_pages_and_both_within_their_windows() {
        let mut session = Session::new(10, true);
        assert_eq!(session.next(10), NextMessage::Page { number: 1 });
        assert_eq!(session.next(11), NextMessage::Changes { after: 10 });
        session.sent_changes(11);
        for number in 1..=WINDOW_PAGES {
            assert_eq!(session.next(11), NextMessage::Page { number });
            session.sent_page(false);
        }
        assert_eq!(session.next(11), NextMessage::Nothing);
        assert_eq!(
            session.next(12),
            NextMessage::Changes { after: 11 },
            "a full page window does not hold changes up"
        );
        session.acked(11, 1).unwrap();
        assert_eq!(session.next(11), NextMessage::Page { number: WINDOW_PAGES + 1 });
        session.sent_page(true);
        session.acked(11, WINDOW_PAGES + 1).unwrap();
        assert_eq!(session.next(11), NextMessage::Nothing);
    }

    #[test]
    fn a_slow_edge_is_not_sent_more() {
        let mut session = Session::new(0, false);
        session.sent_changes(WINDOW_CHANGES);
        assert_eq!(session.next(u64::MAX), NextMessage::Nothing);
        session.acked(1, 0).unwrap();
        assert_eq!(session.next(u64::MAX), NextMessage::Changes { after: WINDOW_CHANGES });
    }

    #[test]
    fn an_edge_cannot_acknowledge_what_was_never_sent() {
        let mut session = Session::new(5, true);
        assert_eq!(session.acked(6, 0), Err(Overrun));
        assert_eq!(session.acked(5, 1), Err(Overrun));
        assert_eq!(session.acked(2, 0), Ok(()), "an old one changes nothing");
        assert_eq!(session.sent(), 5);
    }
}
