//! Who is signed in: sessions with an end, the token of their forms, and addresses that sign in once. In memory alone: a
//! restart ends them all. What a key allows is not known here.

use exposition::{Hex, unhex};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A session ends after so long without a visit,
const IDLE: Duration = Duration::from_secs(12 * 3_600);
/// and so long after it began.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// An address that signs in once works for so long.
const TICKET: Duration = Duration::from_secs(10 * 60);
/// Sessions, and tickets: beyond that the one ends that was not used for the longest time.
const MOST: usize = 4_096;

type Hash = [u8; 32];

/// A session as one request sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it is found by.
    pub id: SessionId,
    /// The key that was shown; `None` where none is asked for.
    pub key: Option<Arc<str>>,
    /// What each of its forms carries.
    token: Hash,
    /// The zone in which its visitor typed times; `None`: that of the browser, or UTC.
    pub zone: Option<Arc<str>>,
}

/// The hash of a cookie: how long a look-up takes says nothing of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(Hash);

/// What was done, told on the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// In plain words.
    pub text: String,
    /// Whether something went wrong.
    pub bad: bool,
    /// What takes it back, if anything does.
    pub undo: Option<Undo>,
}

/// A form that takes back what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// What its button says.
    pub word: String,
    /// Where it is sent to.
    pub action: &'static str,
    /// What it carries beside the token.
    pub fields: Vec<(&'static str, String)>,
}

struct SessionEntry {
    session: Session,
    began: Instant,
    seen: Instant,
    notice: Option<Notice>,
}

struct Ticket {
    key: Arc<str>,
    made: Instant,
}

#[derive(Default)]
struct SessionTable {
    sessions: HashMap<SessionId, SessionEntry>,
    tickets: HashMap<Hash, Ticket>,
}

/// All of them.
#[derive(Default)]
pub struct Sessions(Mutex<SessionTable>);

/// Makes addresses that sign in once.
#[derive(Clone)]
pub struct SignInTickets(pub(crate) Arc<Sessions>);

impl SignInTickets {
    /// The path of an address that signs in with this key, once and for the next ten minutes.
    pub fn path(&self, key: &str) -> String {
        format!("/ui/sign-in?once={}", self.0.ticket(key, Instant::now()))
    }
}

impl Session {
    /// The token as a form carries it: other bytes on each page, so that a compressed answer says nothing of it.
    pub fn token(&self) -> String {
        let pad = random();
        format!("{}{}", Hex(&pad), Hex(&xor(&self.token, &pad)))
    }

    /// Whether a form carries it.
    pub fn knows(&self, token: &str) -> bool {
        let halves = token.split_at_checked(64).and_then(|(pad, rest)| Some((hash_of(pad)?, hash_of(rest)?)));
        // Hashes are compared: how far a guess was right takes no time.
        halves.is_some_and(|(pad, rest)| hash(&xor(&pad, &rest)) == hash(&self.token))
    }
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one: the session, and what the cookie holds.
    pub fn begin(&self, key: Option<Arc<str>>, now: Instant) -> (Session, String) {
        let cookie = Hex(&random()).to_string();
        let session = Session { id: SessionId(hash(cookie.as_bytes())), key, token: random(), zone: None };
        let mut table = self.table();
        table.sessions.retain(|_, entry| entry.lives(now));
        if table.sessions.len() >= MOST {
            let oldest = table.sessions.iter().min_by_key(|(_, entry)| entry.seen).map(|(id, _)| *id);
            if let Some(id) = oldest {
                table.sessions.remove(&id);
            }
        }
        let entry = SessionEntry { session: session.clone(), began: now, seen: now, notice: None };
        table.sessions.insert(session.id, entry);
        (session, cookie)
    }

    /// The session of a cookie, if it has not ended.
    pub fn find(&self, cookie: &str, now: Instant) -> Option<Session> {
        let (id, mut table) = (SessionId(hash(cookie.as_bytes())), self.table());
        let entry = table.sessions.get_mut(&id).filter(|entry| entry.lives(now))?;
        entry.seen = now;
        Some(entry.session.clone())
    }

    /// Whether it has not ended. This is no visit.
    pub fn is_alive(&self, id: SessionId, now: Instant) -> bool {
        self.table().sessions.get(&id).is_some_and(|entry| entry.lives(now))
    }

    /// Ends one.
    pub fn end(&self, id: SessionId) {
        self.table().sessions.remove(&id);
    }

    /// Ends every one of the same key: how many there were.
    pub fn end_all(&self, key: Option<&str>) -> usize {
        let mut table = self.table();
        let before = table.sessions.len();
        table.sessions.retain(|_, entry| entry.session.key.as_deref() != key);
        before - table.sessions.len()
    }

    /// How many live of this key.
    pub fn count(&self, key: Option<&str>, now: Instant) -> usize {
        let own = |entry: &&SessionEntry| entry.lives(now) && entry.session.key.as_deref() == key;
        self.table().sessions.values().filter(own).count()
    }

    /// Keeps the zone in which somebody typed times.
    pub fn keep_zone(&self, id: SessionId, zone: &str) {
        if let Some(entry) = self.table().sessions.get_mut(&id) {
            entry.session.zone = Some(Arc::from(zone));
        }
    }

    /// Leaves a notice for the next page of a session.
    pub fn leave(&self, id: SessionId, notice: Notice) {
        if let Some(entry) = self.table().sessions.get_mut(&id) {
            entry.notice = Some(notice);
        }
    }

    /// The notice that waits, if one does.
    pub fn take_notice(&self, id: SessionId) -> Option<Notice> {
        self.table().sessions.get_mut(&id)?.notice.take()
    }

    fn ticket(&self, key: &str, now: Instant) -> String {
        let text = Hex(&random()).to_string();
        let mut table = self.table();
        table.tickets.retain(|_, ticket| now.duration_since(ticket.made) < TICKET);
        if table.tickets.len() < MOST {
            table.tickets.insert(hash(text.as_bytes()), Ticket { key: Arc::from(key), made: now });
        }
        text
    }

    /// The key of an address that signs in once, which is used up by that.
    pub fn redeem(&self, ticket: &str, now: Instant) -> Option<Arc<str>> {
        let ticket = self.table().tickets.remove(&hash(ticket.as_bytes()))?;
        (now.duration_since(ticket.made) < TICKET).then_some(ticket.key)
    }
}

impl SessionEntry {
    fn lives(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < IDLE && now.duration_since(self.began) < LONGEST
    }
}

/// Bytes of chance. Without the system's source of them nobody could be told from anybody: that ends the request.
fn random() -> Hash {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has no random numbers");
    bytes
}

/// A name for one sending of a form: a second press of the same button is the same request.
pub fn once() -> String {
    Hex(&random()[..12]).to_string()
}

fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

fn xor(one: &Hash, other: &Hash) -> Hash {
    std::array::from_fn(|at| one[at] ^ other[at])
}

fn hash_of(digits: &str) -> Option<Hash> {
    unhex(digits)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_an_end() {
        let (sessions, began) = (Sessions::default(), Instant::now());
        let (session, cookie) = sessions.begin(Some(Arc::from("lk_a")), began);
        assert_eq!(sessions.find(&cookie, began).map(|found| found.id), Some(session.id));
        assert!(sessions.find("00", began).is_none());
        let mut now = began;
        while now < began + LONGEST - IDLE {
            now += IDLE / 2;
            assert!(sessions.find(&cookie, now).is_some(), "each visit keeps it");
        }
        assert!(sessions.find(&cookie, now + IDLE).is_none(), "nobody came for so long");
        let (_, cookie) = sessions.begin(None, began);
        let mut now = began;
        while now + IDLE / 2 < began + LONGEST {
            now += IDLE / 2;
            sessions.find(&cookie, now);
        }
        assert!(sessions.find(&cookie, began + LONGEST).is_none(), "it began so long ago");
    }

    #[test]
    fn signing_out_everywhere_ends_the_sessions_of_the_same_key_and_no_other() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let of = |key: &str| sessions.begin(Some(Arc::from(key)), now).1;
        let (a, b, other) = (of("lk_a"), of("lk_a"), of("lk_b"));
        assert_eq!(sessions.count(Some("lk_a"), now), 2);
        assert_eq!(sessions.end_all(Some("lk_a")), 2);
        assert!(sessions.find(&a, now).is_none() && sessions.find(&b, now).is_none());
        let kept = sessions.find(&other, now).unwrap();
        sessions.end(kept.id);
        assert!(sessions.find(&other, now).is_none());
    }

    #[test]
    fn crowds_end_the_session_that_was_not_used_for_the_longest_time() {
        let (sessions, began) = (Sessions::default(), Instant::now());
        let (_, first) = sessions.begin(None, began);
        let (_, second) = sessions.begin(None, began);
        sessions.find(&first, began + Duration::from_secs(1));
        for _ in 2..=MOST {
            sessions.begin(None, began + Duration::from_secs(2));
        }
        assert!(sessions.find(&first, began + Duration::from_secs(2)).is_some());
        assert!(sessions.find(&second, began + Duration::from_secs(2)).is_none());
    }

    #[test]
    fn a_token_is_of_its_session_and_looks_different_on_each_page() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (one, _) = sessions.begin(None, now);
        let (other, _) = sessions.begin(None, now);
        let (first, second) = (one.token(), one.token());
        assert!(first != second && first.len() == 128);
        assert!(one.knows(&first) && one.knows(&second) && !other.knows(&first));
        for wrong in
            ["", "00", &first[1..], &first.replace(&first[..1], "g"), &"0".repeat(128), &"\u{e9}".repeat(64)]
        {
            assert!(!one.knows(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_address_signs_in_once_and_not_for_long() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let ticket = sessions.ticket("lk_a", now);
        assert_eq!(sessions.redeem(&ticket, now).as_deref(), Some("lk_a"));
        assert_eq!(sessions.redeem(&ticket, now), None);
        let late = sessions.ticket("lk_a", now);
        assert_eq!(sessions.redeem(&late, now + TICKET), None);
        assert_eq!(sessions.redeem("00", now), None);
    }

    #[test]
    fn a_notice_is_told_once() {
        let sessions = Sessions::default();
        let (session, _) = sessions.begin(None, Instant::now());
        let notice = Notice { text: "Saved.".into(), bad: false, undo: None };
        sessions.leave(session.id, notice.clone());
        assert_eq!(sessions.take_notice(session.id), Some(notice));
        assert_eq!(sessions.take_notice(session.id), None);
    }
}
