//! Bodies that have not ended, counted as they come, and broken off where there are too many bytes of them. A message of a
//! call that streams is a body of its own here.

use crate::Fault;
use crate::bound::Bound;
use crate::limits::{Bodies, CallerBuckets, FEW, Holder};
use crate::transport::status;
use axum::Error;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// What a part of a body costs besides its bytes: 4 MiB in parts of one byte took 120 MB.
const PART: usize = 128;

/// Why a body was broken off, if it was.
pub type BodyFault = Arc<OnceLock<Fault>>;

/// The bounds of a request's body.
pub struct BodyBounds {
    /// It is messages of gRPC, one after the other.
    pub streams: bool,
    /// Bytes of one that is not.
    pub most: usize,
    /// What it is paid from, if it is one body: a piece of [`FEW`] bytes weighs as much as a call.
    pub pace: Option<CallerBuckets>,
}

/// The same body, counted.
pub fn counted(
    bodies: &Arc<Bodies>,
    body: Body,
    holder: Holder,
    bound: &Bound,
    of: BodyBounds,
) -> (Body, BodyFault) {
    let broken_off = BodyFault::default();
    if http_body::Body::is_end_stream(&body) {
        return (body, broken_off);
    }
    let (holders, messages) = (holder.and_all(bound), of.streams.then(Messages::default));
    let counted = CountedBody {
        body,
        bodies: bodies.clone(),
        holders,
        held: 0,
        few: true,
        messages,
        of,
        came: 0,
        broken_off: broken_off.clone(),
    };
    (Body::new(counted), broken_off)
}

struct CountedBody {
    body: Body,
    bodies: Arc<Bodies>,
    holders: Vec<Holder>,
    /// Bytes, counted with those of small bodies or not.
    held: usize,
    few: bool,
    messages: Option<Messages>,
    of: BodyBounds,
    came: usize,
    broken_off: BodyFault,
}

impl CountedBody {
    fn hold(&mut self, part: &Bytes) -> Result<(), Error> {
        let cost = part.len() + PART;
        self.pay(part.len()).and_then(|()| self.grow(cost)).map_err(|fault| {
            let told = Error::new(status(&fault));
            let _ = self.broken_off.set(fault); // the first counts
            told
        })?;
        if self.messages.as_mut().is_some_and(|messages| messages.one_ends_in(part)) {
            self.give_back();
            // What has come of the next one is less than this part.
            let rest = self.messages.as_ref().map_or(0, Messages::begun).min(cost);
            if rest > 0 {
                let _ = self.grow(rest); // else it counts with the part behind it
            }
        }
        Ok(())
    }

    /// One body has a bound, and its bytes are paid for: it is read on a thread that others need.
    fn pay(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.of.streams {
            return Ok(());
        }
        let before = self.came / FEW;
        self.came += bytes;
        if self.came > self.of.most {
            return Err(Fault::TooLarge("128 KiB in a message, 4 MiB in that of a batch"));
        }
        match (&self.of.pace, u32::try_from(self.came / FEW - before)) {
            (Some(pace), Ok(pieces @ 1..)) => pace.take(pieces).map(drop),
            _ => Ok(()),
        }
    }

    /// So many bytes more.
    fn grow(&mut self, cost: usize) -> Result<(), Fault> {
        let (held, few) = (self.held + cost, self.held + cost <= FEW);
        if few == self.few {
            self.bodies.take(&self.holders, cost, few)?;
        } else {
            self.bodies.take(&self.holders, held, few)?;
            self.give_back();
        }
        (self.held, self.few) = (held, few);
        Ok(())
    }

    fn give_back(&mut self) {
        self.bodies.give_back(&self.holders, std::mem::take(&mut self.held), self.few);
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(http_body::Body::poll_frame(Pin::new(&mut self.body), cx));
        if let Some(Ok(part)) = &frame
            && let Some(part) = part.data_ref()
            && let Err(told) = self.hold(part)
        {
            return Poll::Ready(Some(Err(told)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Where the messages of a stream end: before each are a byte and its length in four.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; 5],
    /// Bytes of the head, and of the message, that have come.
    in_head: usize,
    in_message: usize,
}

impl Messages {
    /// Takes the next bytes; whether a message ends among them.
    fn one_ends_in(&mut self, mut bytes: &[u8]) -> bool {
        let mut one_ends = false;
        while !bytes.is_empty() {
            let (into_head, rest) = bytes.split_at(bytes.len().min(self.head.len() - self.in_head));
            self.head[self.in_head..][..into_head.len()].copy_from_slice(into_head);
            self.in_head += into_head.len();
            if self.in_head < self.head.len() {
                break;
            }
            let [_, length @ ..] = self.head;
            let length = u32::from_be_bytes(length) as usize;
            let (into_message, rest) = rest.split_at(rest.len().min(length - self.in_message));
            self.in_message += into_message.len();
            if self.in_message == length {
                (self.in_head, self.in_message, one_ends) = (0, 0, true);
            }
            bytes = rest;
        }
        one_ends
    }

    /// Bytes that have come of one that has not ended.
    fn begun(&self) -> usize {
        self.in_head + self.in_message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::BodyDataStream;
    use store::model::Scopes;
    use tokio_stream::StreamExt;

    const MIB: usize = 1024 * 1024;

    /// Bytes without an end, in parts of so many; zeros are messages of nothing.
    fn endless(
        bodies: &Arc<Bodies>,
        holder: Holder,
        part: &[u8],
        streams: bool,
    ) -> (BodyDataStream, BodyFault) {
        let part = Bytes::copy_from_slice(part);
        let parts = std::iter::repeat_with(move || Ok::<_, Error>(part.clone()));
        let body = Body::from_stream(tokio_stream::iter(parts));
        let (body, broken_off) = counted(bodies, body, holder, &Bound::default(), of(streams));
        (body.into_data_stream(), broken_off)
    }

    fn of(streams: bool) -> BodyBounds {
        BodyBounds { streams, most: usize::MAX, pace: None }
    }

    /// Found by attack: messages of 4 MB for one link, each 65 ms of a thread that others needed.
    #[tokio::test]
    async fn one_body_has_a_bound_and_its_bytes_are_paid_for() {
        let bodies = Arc::<Bodies>::default();
        let pace = CallerBuckets::of(&Arc::default(), "a", &Bound::default());
        let read = async |most: usize, bytes: usize| {
            let of = BodyBounds { streams: false, most, pace: Some(pace.clone()) };
            let body = Body::from(vec![0; bytes]);
            let (body, broken_off) = counted(&bodies, body, key("a"), &Bound::default(), of);
            let read = axum::body::to_bytes(body, usize::MAX).await.map(|read| read.len()).ok();
            (read, broken_off.get().map(|fault| fault.names().reason))
        };
        assert_eq!(read(128 * 1024, 128 * 1024).await, (Some(128 * 1024), None));
        assert_eq!(read(128 * 1024, 128 * 1024 + 1).await, (None, Some("TOO_LARGE")));
        let (mut last, mut tries) = ((Some(0), None), 0);
        while last.1.is_none() && tries < 1_000 {
            (last, tries) = (read(4 * MIB, 4 * MIB).await, tries + 1); // 256 of 10,000, and 2,000 a second come back
        }
        assert_eq!(last, (None, Some("RATE_LIMITED")));
    }

    fn key(name: &str) -> Holder {
        Holder::Key(name.into())
    }

    /// What a body takes until it is broken off.
    async fn taken(body: &mut BodyDataStream) -> usize {
        let mut taken = 0;
        while let Some(Ok(bytes)) = body.next().await {
            taken += bytes.len() + PART;
        }
        taken
    }

    /// Found by attack: 600 batches without their last bytes took 3 GB, and then one key held all that there may be.
    #[tokio::test]
    async fn bodies_without_an_end_take_no_more_than_the_share_of_their_caller() {
        for (part, streams) in [(1, false), (64 * 1024, false), (64 * 1024, true)] {
            let bodies = Arc::<Bodies>::default();
            // As a stream, the head of one message that has no end.
            let part = vec![0xff; part];
            let (mut held, mut most) = (Vec::new(), Vec::new());
            for name in ["a", "b", "c", "d", "e"] {
                let (mut body, broken_off) = endless(&bodies, key(name), &part, streams);
                most.push(taken(&mut body).await / MIB);
                let reason = broken_off.get().unwrap().names().reason;
                assert_eq!(reason, if name < "e" { "SHARE_USED_UP" } else { "OVERLOADED" });
                held.push(body);
            }
            assert!(most[..4].iter().all(|most| (31..=32).contains(most)) && most[4] == 0, "{most:?}");
            let words = bodies.take(&[key("a")], MIB, false).unwrap_err().to_string();
            assert!(words.starts_with("32 MiB of unfinished bodies of this caller are under way"), "{words}");
            // Whoever sends a few bytes is let in, but not without end.
            let mut small = endless(&bodies, key("a"), &part[..1], streams).0;
            assert!(small.next().await.unwrap().is_ok());
            let fill =
                std::iter::repeat_with(|| bodies.take(&[key("a")], FEW, true)).take_while(Result::is_ok);
            assert!((31 * 64..=32 * 64 + 64).contains(&fill.count()));
        }
    }

    #[tokio::test]
    async fn what_was_held_is_given_back() {
        let bodies = Arc::<Bodies>::default();
        let (mut body, _) = endless(&bodies, key("a"), &[1; 1024], false);
        taken(&mut body).await;
        assert_eq!(bodies.held().len(), 2);
        drop(body);
        assert!(bodies.held().is_empty());
        assert!(endless(&bodies, key("a"), &[1; FEW], false).0.next().await.unwrap().is_ok());
    }

    /// An import goes on for as long as it likes, if its messages end.
    #[tokio::test]
    async fn of_a_stream_only_the_message_that_has_not_ended_counts() {
        let bodies = Arc::<Bodies>::default();
        let mut message = vec![0, 0, 0, 0x20, 1];
        message.resize(5 + 0x2001, 7);
        let some: Vec<_> = message.repeat(50).chunks(5_000).map(Bytes::copy_from_slice).collect();
        let parts = some.into_iter().cycle().take(84 * 200).map(Ok::<_, Error>); // 82 MB
        let body = Body::from_stream(tokio_stream::iter(parts));
        let (body, _) = counted(&bodies, body, key("a"), &Bound::default(), of(true));
        let mut body = body.into_data_stream();
        while let Some(part) = body.next().await {
            part.unwrap();
            assert!(bodies.held().get(&(key("a"), true)).is_none_or(|held| *held < 2 * 0x2001));
        }
    }

    #[test]
    fn messages_end_where_their_lengths_say_however_they_are_cut() {
        let stream = [&[0, 0, 0, 0, 0][..], &[1, 0, 0, 0, 3, 9, 9, 9], &[0, 0, 0, 1, 0], &[5; 256]].concat();
        let ends = [5, 13, 13 + 5 + 256];
        for size in [1, 2, 3, 7, 256, 1_000] {
            let (mut messages, mut at) = (Messages::default(), 0);
            for part in stream.chunks(size) {
                let next = at + part.len();
                let one_ends = ends.iter().any(|end| (at + 1..=next).contains(end));
                assert_eq!(messages.one_ends_in(part), one_ends, "{size} at {at}");
                at = next;
                let begun = at - ends.iter().rfind(|end| **end <= at).unwrap_or(&0);
                assert_eq!(messages.begun(), begun, "{size} at {at}");
            }
        }
    }

    /// Found by attack: small bodies of two keys of one domain took all that larger ones of others could have.
    #[test]
    fn small_bodies_keep_no_large_one_out() {
        let bodies = Bodies::default();
        let of = |domain: &str| Bound::new(&[domain.to_owned()], Scopes::admin(), None);
        for (at, domain) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
            let holders = key(&at.to_string()).and_all(&of(domain));
            while bodies.take(&holders, FEW, true).is_ok() {}
            while bodies.take(&holders, FEW, true).is_ok() {}
        }
        let admin = key("admin").and_all(&Bound::default());
        bodies.take(&admin, 16 * MIB, false).unwrap();
        bodies.take(&admin, FEW, true).unwrap();
        // One who holds nothing yet is in, although others have what the greedy may.
        bodies.take(&key("new").and_all(&of("g")), FEW, true).unwrap();
    }

    /// Keys are made by whoever has keys:admin for a domain: the domain has a share, too.
    #[test]
    fn many_keys_for_one_domain_hold_no_more_than_two() {
        let bodies = Bodies::default();
        let bound = Bound::new(&["a".to_owned()], Scopes::admin(), None);
        let held = (0..).map_while(|at| bodies.take(&key(&at.to_string()).and_all(&bound), MIB, false).ok());
        assert_eq!(held.count(), 64);
        assert!(bodies.take(&key("other").and_all(&Bound::default()), MIB, false).is_ok());
    }
}
