//! What a run measures: latencies from the intended and from the actual send, the generator's own lateness, and what
//! became of each request. Nothing that went wrong is ever counted as an answer.

use hdrhistogram::Histogram;

/// Nanoseconds; longer ones are recorded as this.
const LONGEST: u64 = 3_600_000_000_000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Fate {
    /// What was expected.
    Right,
    /// A redirect to other bytes, or one where there is no link.
    WrongLocation,
    /// Another status than was expected, below 500.
    WrongStatus,
    /// 500 and above.
    ServerError,
    /// Bytes that are no HTTP response.
    Malformed,
    /// The connection ended inside a response.
    Short,
    /// The connection ended before a response.
    Closed,
    /// The connection was not made.
    Refused,
    /// The TLS session failed.
    Tls,
    /// No answer in time.
    Timeout,
}

impl Fate {
    /// In the order of their numbers.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Right, "right"),
        (Self::WrongLocation, "wrong location"),
        (Self::WrongStatus, "wrong status"),
        (Self::ServerError, "server error"),
        (Self::Malformed, "malformed"),
        (Self::Short, "cut inside an answer"),
        (Self::Closed, "closed before an answer"),
        (Self::Refused, "not connected"),
        (Self::Tls, "TLS failed"),
        (Self::Timeout, "timeout"),
    ];
}

/// How a request ended. Times are nanoseconds from the start of the phase.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd {
    /// What became of it.
    pub fate: Fate,
    /// When it was meant to be sent.
    pub intended: u64,
    /// When it was.
    pub sent: u64,
    /// How much earlier a generator would have sent it that is never late.
    pub late: u64,
    /// When it ended.
    pub at: u64,
}

/// Counts in one second of the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Right answers.
    pub right: u64,
    /// Everything else.
    pub wrong: u64,
    /// The longest latency of an answer that came in it, nanoseconds, from the intended send.
    pub longest: u64,
}

/// One phase of one thread, or several added up.
#[derive(Clone)]
pub struct Measurement {
    /// From the intended send.
    pub corrected: Histogram<u64>,
    /// From the actual send.
    pub uncorrected: Histogram<u64>,
    /// From when a request could have been sent (it was due, and a connection was free) until it was.
    pub lateness: Histogram<u64>,
    /// From the intended send, less what the generator was late, with this request and with those before it on its connection: what
    /// the server kept it waiting.
    pub served: Histogram<u64>,
    /// By [`Fate`].
    pub fates: [u64; Fate::ALL.len()],
    /// By hundreds of the status, whether or not the answer was right.
    pub statuses: [u64; 6],
    /// From the start of the phase.
    pub seconds: Vec<Second>,
    /// Connections that ended in it; all that are left end with the run.
    pub connections: u64,
    /// Those of them that began with a TLS session of an earlier one.
    pub resumed: u64,
}

impl Default for Measurement {
    fn default() -> Self {
        // Three digits: 0.1 %. The bounds are constants that the library accepts.
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!("fixed bounds"));
        Self {
            corrected: histogram(),
            uncorrected: histogram(),
            lateness: histogram(),
            served: histogram(),
            fates: [0; Fate::ALL.len()],
            statuses: [0; 6],
            seconds: Vec::new(),
            connections: 0,
            resumed: 0,
        }
    }
}

impl Measurement {
    /// A request that ended. A connection that was refused or cut has a latency, too: from the visitor's side the time
    /// passed.
    pub fn ended(&mut self, end: RequestEnd) {
        let RequestEnd { fate, intended, sent, late, at } = end;
        self.fates[fate as usize] += 1;
        let corrected = at.saturating_sub(intended);
        self.corrected.saturating_record(corrected);
        self.uncorrected.saturating_record(at.saturating_sub(sent));
        self.served.saturating_record(corrected.saturating_sub(late));
        let second = (at / 1_000_000_000) as usize;
        if self.seconds.len() <= second && second < 1_000_000 {
            self.seconds.resize(second + 1, Second::default());
        }
        if let Some(own) = self.seconds.get_mut(second) {
            *(if fate == Fate::Right { &mut own.right } else { &mut own.wrong }) += 1;
            own.longest = own.longest.max(corrected);
        }
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in [
            (&mut self.corrected, &other.corrected),
            (&mut self.uncorrected, &other.uncorrected),
            (&mut self.lateness, &other.lateness),
            (&mut self.served, &other.served),
        ] {
            let _ = own.add(other); // the same bounds
        }
        self.fates.iter_mut().zip(other.fates).for_each(|(own, other)| *own += other);
        self.statuses.iter_mut().zip(other.statuses).for_each(|(own, other)| *own += other);
        self.seconds.resize(self.seconds.len().max(other.seconds.len()), Second::default());
        for (own, other) in self.seconds.iter_mut().zip(&other.seconds) {
            own.right += other.right;
            own.wrong += other.wrong;
            own.longest = own.longest.max(other.longest);
        }
        self.connections += other.connections;
        self.resumed += other.resumed;
    }

    /// Right answers.
    pub fn right(&self) -> u64 {
        self.fates[Fate::Right as usize]
    }

    /// Requests that ended, however.
    pub fn all(&self) -> u64 {
        self.fates.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_has_a_latency_and_is_no_answer() {
        let mut measured = Measurement::default();
        let end = RequestEnd { fate: Fate::Right, intended: 1_000, sent: 3_000, late: 1_000, at: 10_000 };
        measured.ended(end);
        measured.ended(RequestEnd { fate: Fate::Timeout, intended: 0, sent: 0, late: 0, at: 2_500_000_000 });
        assert_eq!((measured.right(), measured.all(), measured.corrected.len()), (1, 2, 2));
        assert_eq!(measured.corrected.min(), 9_000);
        assert_eq!(measured.uncorrected.min(), 7_000);
        assert_eq!(
            measured.served.min(),
            8_000,
            "the server kept it waiting for a connection for the other microsecond"
        );
        assert_eq!((measured.seconds[0].right, measured.seconds[2].wrong), (1, 1));
        let mut sum = Measurement::default();
        sum.add(&measured);
        sum.add(&measured);
        assert_eq!((sum.right(), sum.seconds[2].wrong, sum.corrected.len()), (2, 2, 4));
    }
}
