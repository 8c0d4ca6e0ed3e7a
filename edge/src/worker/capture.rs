//! Clicks on a worker: its end of its ring, who asks on a connection, and what becomes of the clicks of one write.

use super::Worker;
use super::socket::Written;
use crate::addresses::Forwarding;
use crate::rings::WorkerRing;
use crate::shared::Shared;
use clicks::{RingTurn, RingWriter};
use hot::{Capture, ClickClient, ForwardedFor, UnknownCodes};
use std::net::IpAddr;

/// What a worker notes clicks with.
pub struct WorkerClicks {
    writer: RingWriter,
    unknown: UnknownCodes,
}

impl WorkerClicks {
    /// `None`: clicks are not noted.
    pub fn new(shared: &Shared, index: usize) -> Option<Self> {
        let rings = shared.rings.as_ref()?;
        let writer = RingWriter::new(rings.own().get(index)?.ring(), rings.seed());
        Some(Self { writer, unknown: UnknownCodes::default() })
    }

    /// Begins a turn.
    fn begin<'a>(&'a mut self, ring: &'a WorkerRing, client: ClickClient<'a>) -> Capture<'a> {
        let ring = ring.ring();
        self.writer.begin(ring);
        Capture { ring, writer: &mut self.writer, unknown: &mut self.unknown, client }
    }

    /// The worker has ended its connections.
    pub fn end(&mut self, ring: &WorkerRing) {
        self.writer.end(ring.ring());
        ring.publish(&mut self.unknown);
    }

    /// Ten times a second.
    pub fn tick(&mut self, ring: &WorkerRing) {
        self.writer.tick(ring.ring());
        ring.publish(&mut self.unknown);
    }
}

/// Who asks on a connection, as far as clicks carry it.
#[derive(Clone, Copy, Default)]
pub struct Asker {
    /// Its address, sealed once for all clicks.
    address: Option<[u8; 16]>,
    /// It is a proxy of ours: who asks is whom it names.
    forwards: bool,
}

impl Asker {
    /// `peer`: the connection's, or whom a proxy named in front of it; `None`: it comes by a socket file, from a proxy on this
    /// machine.
    pub fn of(worker: &Worker, peer: Option<IpAddr>) -> Self {
        let Some(rings) = &worker.shared.rings else { return Self::default() };
        // A proxy's own address is that of nobody who clicks.
        let forwards = worker.proxies.trusts(peer);
        Self { address: peer.filter(|_| !forwards).and_then(|peer| rings.key().seal(peer)), forwards }
    }
}

/// Clicks of answers that are on their way to the kernel.
#[must_use = "they are not counted before it is known what became of their answers"]
pub struct WriteClicks<'a> {
    worker: &'a Worker,
    turn: Option<RingTurn>,
}

impl WriteClicks<'_> {
    /// The write is over.
    pub fn written(mut self, written: &Written) {
        self.end(|own, ring, turn| match written.result {
            Ok(()) => own.writer.settle(ring.ring(), turn),
            Err(_) => own.writer.settle_part(ring.ring(), turn, written.taken),
        });
    }

    fn end(&mut self, then: impl FnOnce(&mut WorkerClicks, &WorkerRing, RingTurn)) {
        if let (Some(turn), Some(own), Some(ring)) =
            (self.turn.take(), &self.worker.clicks, self.worker.ring())
        {
            then(&mut own.borrow_mut(), ring, turn);
        }
    }
}

impl Drop for WriteClicks<'_> {
    /// The connection was cut while it wrote: what the kernel has taken is not known, and the clicks count.
    fn drop(&mut self) {
        self.end(|own, ring, turn| own.writer.settle(ring.ring(), turn));
    }
}

impl Worker {
    /// Its ring; `None`: clicks are not noted.
    pub(super) fn ring(&self) -> Option<&WorkerRing> {
        Some(&**self.shared.rings.as_ref()?.own().get(self.index)?)
    }

    /// Answers with a place for clicks, and publishes them: from here on they outlive this process. To be called, and what it
    /// returns to be kept, in front of the write of the answers.
    pub(super) fn noting<R>(
        &self,
        asker: Asker,
        then: impl FnOnce(Option<Capture<'_>>) -> R,
    ) -> (R, Option<WriteClicks<'_>>) {
        let (Some(own), Some(ring), Some(rings)) = (&self.clicks, self.ring(), &self.shared.rings) else {
            return (then(None), None);
        };
        let (mut own, proxies) = (own.borrow_mut(), &self.proxies);
        let forwarding = Forwarding { proxies, key: rings.key() };
        let forwarded = asker.forwards.then_some(&forwarding as &dyn ForwardedFor);
        let done = then(Some(own.begin(ring, ClickClient { address: asker.address, forwarded })));
        let turn = own.writer.publish(ring.ring());
        (done, turn.map(|turn| WriteClicks { worker: self, turn: Some(turn) }))
    }
}
