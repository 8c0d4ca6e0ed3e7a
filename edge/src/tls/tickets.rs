//! Tickets by which a visitor resumes a TLS session: sealed with keys that several edges may share, and that are passed on to
//! the process that goes on in the place of this one. Their keys come from a file or are made here; no clock here.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use proto::file;
use rustls::server::ProducesTickets;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Keys of a file, and of a set that is made here together with those that were passed on.
const MOST_KEYS: usize = 16;
/// A key seals for so long, and opens for as long behind that: as the usual ticketer of rustls does.
const TURN_MS: u64 = 6 * 60 * 60 * 1000;
const NAME_BYTES: usize = 16;
/// In front of a key, for the sum that names it.
const NAMED: &[u8] = b"linkr ticket key";

/// What seals tickets, and when it began to.
#[derive(Clone)]
pub struct TicketSecret {
    pub bytes: [u8; 32],
    /// By the boot clock.
    pub since_ms: u64,
}

/// A key, and the name by which a ticket says that it is sealed with it.
struct TicketKey {
    name: [u8; NAME_BYTES],
    secret: TicketSecret,
    sealing: RandomizedNonceKey,
}

impl TicketKey {
    fn new(secret: TicketSecret) -> Option<Self> {
        let named = digest::digest(&digest::SHA256, &[NAMED, &secret.bytes].concat());
        let name = *named.as_ref().first_chunk()?;
        // With a random nonce, a number of tickets that many edges seal over months must not be a danger: with this cipher two
        // equal nonces tell that two tickets are equal, and nothing else (RFC 8452).
        let sealing = RandomizedNonceKey::new(&AES_256_GCM_SIV, &secret.bytes).ok()?;
        Some(Self { name, secret, sealing })
    }
}

/// See the module. The first key seals, all of them open.
pub struct Tickets {
    keys: RwLock<Arc<Vec<TicketKey>>>,
    /// They are made here and change by themselves.
    is_own: bool,
}

impl Tickets {
    /// With the keys of a file, or else with a random one. `passed_on`: those of the process before this one, whose tickets
    /// are opened, too; without a file they go on as they were.
    ///
    /// # Errors
    /// The file cannot be used, or the system gives no random bytes.
    pub fn new(path: Option<&Path>, passed_on: &[TicketSecret], now_ms: u64) -> Result<Self, String> {
        let mut secrets = match path {
            Some(path) => read(path)?,
            None if passed_on.is_empty() => vec![random(now_ms)?],
            None => Vec::new(),
        };
        for passed in passed_on {
            if secrets.iter().all(|known| known.bytes != passed.bytes) {
                // One of a file has no time there, and has one here: nobody else ends it.
                let since_ms = if passed.since_ms == 0 { now_ms.max(1) } else { passed.since_ms };
                secrets.push(TicketSecret { bytes: passed.bytes, since_ms });
            }
        }
        secrets.truncate(MOST_KEYS);
        let tickets = Self { keys: RwLock::default(), is_own: path.is_none() };
        tickets.replace(secrets);
        Ok(tickets)
    }

    /// What the process that goes on in the place of this one gets.
    pub fn handed(&self) -> Vec<TicketSecret> {
        self.now().iter().map(|key| key.secret.clone()).collect()
    }

    /// Keys that are made here: one that has sealed for its time is followed by another, and one that has opened for as long
    /// behind it is forgotten. `true`: there is a new one.
    ///
    /// # Errors
    /// The system gives no random bytes: the key goes on.
    pub fn turn(&self, now_ms: u64) -> Result<bool, String> {
        let age = |secret: &TicketSecret| now_ms.saturating_sub(secret.since_ms);
        let mut secrets = self.handed();
        if !self.is_own || secrets.first().is_some_and(|first| age(first) < TURN_MS) {
            return Ok(false);
        }
        secrets.insert(0, random(now_ms)?);
        secrets.retain(|secret| age(secret) < 2 * TURN_MS);
        self.replace(secrets);
        Ok(true)
    }

    /// Reads the file again. `true`: it holds other keys. Those from before, and what was passed on, are forgotten then.
    ///
    /// # Errors
    /// The file cannot be used: the keys from before go on.
    pub fn look(&self, path: &Path) -> Result<bool, String> {
        let (secrets, now) = (read(path)?, self.now());
        let is_same = secrets
            .iter()
            .enumerate()
            .all(|(at, secret)| now.get(at).is_some_and(|known| known.secret.bytes == secret.bytes));
        // Behind those of the file there may be keys that were passed on.
        let same_end = now.get(secrets.len()).is_none_or(|next| next.secret.since_ms > 0);
        if is_same && same_end {
            return Ok(false);
        }
        self.replace(secrets);
        Ok(true)
    }

    fn replace(&self, secrets: Vec<TicketSecret>) {
        let keys = secrets.into_iter().filter_map(TicketKey::new).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn now(&self) -> Arc<Vec<TicketKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// A ticket is the name of its key, the nonce, and what is sealed with the name as what goes with it.
impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        (TURN_MS / 1000) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.now();
        let key = keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.sealing.seal_in_place_append_tag(Aad::from(key.name), &mut sealed).ok()?;
        let nonce: &[u8; NONCE_LEN] = nonce.as_ref();
        Some([&key.name[..], nonce, &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = cipher.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.now();
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.sealing.open_in_place(nonce, Aad::from(key.name), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

fn random(now_ms: u64) -> Result<TicketSecret, String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|fault| format!("TLS: no random bytes for ticket keys: {fault}"))?;
    Ok(TicketSecret { bytes, since_ms: now_ms })
}

/// A key a line. Those of a file have no time: whoever writes it ends them.
fn read(path: &Path) -> Result<Vec<TicketSecret>, String> {
    let cannot =
        |why: &dyn fmt::Display| format!("cannot use {}: {why}: see --tls-ticket-keys", path.display());
    let text = file::read(path).and_then(file::SmallFile::text).map_err(|fault| cannot(&fault))?;
    let mut secrets = Vec::new();
    for (at, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
        let bytes = key(line).ok_or_else(|| {
            let number = at + 1;
            cannot(&format_args!(
                "line {number} is no key, which has 64 hexadecimal digits (openssl rand -hex 32)"
            ))
        })?;
        secrets.push(TicketSecret { bytes, since_ms: 0 });
    }
    match secrets.len() {
        0 => Err(cannot(&"it holds no key (openssl rand -hex 32 makes one)")),
        1..=MOST_KEYS => Ok(secrets),
        _ => Err(cannot(&format_args!("it holds more than {MOST_KEYS} keys"))),
    }
}

/// 64 hexadecimal digits.
fn key(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("linkr-tickets-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn resumes(sealed_by: &Tickets, opened_by: &Tickets) -> bool {
        let ticket = sealed_by.encrypt(b"a session").unwrap();
        opened_by.decrypt(&ticket).is_some_and(|plain| plain == b"a session")
    }

    #[test]
    fn edges_with_the_same_file_resume_each_others_sessions_and_others_do_not() {
        let (one, two) = ("a1".repeat(32), "b2".repeat(32));
        let path = file("shared", &format!("{one}\n"));
        let [first, second] = [(); 2].map(|()| Tickets::new(Some(&path), &[], 5).unwrap());
        let stranger = Tickets::new(None, &[], 5).unwrap();
        assert!(resumes(&first, &second) && resumes(&second, &first));
        assert!(!resumes(&first, &stranger) && !resumes(&stranger, &first));
        assert!(!first.look(&path).unwrap());
        // The next key is known everywhere before anybody seals with it.
        file("shared", &format!("{one}\n\n{two}\n"));
        assert!(first.look(&path).unwrap() && !first.look(&path).unwrap());
        file("shared", &format!("{two}\n{one}\n"));
        assert!(second.look(&path).unwrap());
        assert!(resumes(&first, &second) && resumes(&second, &first));
        let by_one = first.encrypt(b"a session").unwrap();
        file("shared", &two);
        assert!(second.look(&path).unwrap());
        assert_eq!(second.decrypt(&by_one), None, "the old key is gone");
        for (text, why) in
            [("", "holds no key"), ("abc", "line 1"), (&format!("{one}\n{}", "x".repeat(64)), "line 2")]
        {
            file("shared", text);
            let fault = second.look(&path).unwrap_err();
            assert!(fault.contains(why) && fault.contains("--tls-ticket-keys"), "{fault}");
        }
        assert!(resumes(&second, &second), "what cannot be used changes nothing");
        std::fs::remove_file(&path).unwrap();
        assert!(second.look(&path).is_err());
    }

    #[test]
    fn own_keys_change_and_their_tickets_outlive_them_by_as_long() {
        let tickets = Tickets::new(None, &[], 1_000).unwrap();
        let ticket = tickets.encrypt(b"a session").unwrap();
        assert!(!tickets.turn(1_000 + TURN_MS - 1).unwrap());
        assert!(tickets.turn(1_000 + TURN_MS).unwrap());
        assert_ne!(tickets.encrypt(b"a session").unwrap()[..NAME_BYTES], ticket[..NAME_BYTES]);
        assert!(tickets.decrypt(&ticket).is_some());
        assert!(tickets.turn(1_000 + 2 * TURN_MS).unwrap());
        assert!(tickets.decrypt(&ticket).is_none());
    }

    #[test]
    fn what_is_passed_on_opens_the_tickets_of_before() {
        let old = Tickets::new(None, &[], 1_000).unwrap();
        let heir = Tickets::new(None, &old.handed(), 2_000).unwrap();
        assert!(resumes(&old, &heir) && resumes(&heir, &old), "it goes on with the same");
        let path = file("heir", &"c3".repeat(32));
        let heir = Tickets::new(Some(&path), &old.handed(), 2_000).unwrap();
        assert!(resumes(&old, &heir) && !resumes(&heir, &old), "a file names what seals");
        assert!(!heir.look(&path).unwrap(), "and reading it again forgets nothing");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn nothing_but_a_ticket_is_opened() {
        let tickets = Tickets::new(None, &[], 0).unwrap();
        let ticket = tickets.encrypt(b"a session").unwrap();
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets.decrypt(&other), None, "{at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at}");
        }
        assert_ne!(tickets.encrypt(b"a session"), Some(ticket));
    }
}
