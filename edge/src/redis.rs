//! Where Redis is, what is said first on every connection to it, and what each worker counts of it.

use crate::latency::{Durations, PublishedDurations};
use crate::sys;
use feed::Spell;
use feed::relay::{Shard, position_key};
use redis::{ConnectionAddr, IntoConnectionInfo, cmd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A name is looked up at most this often.
const LOOK_UP: Duration = Duration::from_secs(1);

/// One server, by the name under which it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Where the positioned copy is, and who asks there.
#[derive(Clone)]
pub struct RedisUrl {
    nodes: Vec<Node>,
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    database: i64,
}

impl RedisUrl {
    /// `redis://[user[:password]@]host[:port][/database]`, or `rediss://…` for TLS. Several of them, separated by
    /// commas, are nodes of a cluster; the first says how to log in.
    ///
    /// # Errors
    /// One line for people, which never repeats the password.
    pub fn parse(urls: &str) -> Result<Self, String> {
        let all = urls.split(',').map(Self::one).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|why| match urls.contains(',') {
            true => {
                format!("{why}; a comma separates nodes: one in a user's name or password is written %2C")
            }
            false => why,
        })?;
        let mut all = all.into_iter();
        let first = all.next().ok_or("names no Redis")?;
        Ok(all.fold(first, |mut first, mut other| {
            first.nodes.append(&mut other.nodes);
            first
        }))
    }

    fn one(url: &str) -> Result<Self, String> {
        let wrong =
            "is no address of Redis: redis://[user:password@]host[:port][/database], or rediss:// for TLS";
        let tls = url.starts_with("rediss://");
        let rest = url.strip_prefix(if tls { "rediss://" } else { "redis://" }).ok_or(wrong)?;
        let info = format!("redis://{rest}").into_connection_info().map_err(|_| wrong)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(wrong.into()) };
        let login = info.redis_settings();
        let (user, password) = (login.username().map(str::to_owned), login.password().map(str::to_owned));
        let nodes = vec![Node { host: host.clone(), port: *port }];
        Ok(Self { nodes, tls, user, password, database: login.db() })
    }
}

impl fmt::Display for RedisUrl {
    /// Without who asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        self.nodes.iter().enumerate().try_for_each(|(at, Node { host, port })| {
            let comma = if at == 0 { "" } else { "," };
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            write!(f, "{comma}{scheme}://{host}:{port}")
        })
    }
}

/// A question without a reply is given up after this: origin has to have time left.
const DEADLINE: Duration = Duration::from_millis(5);

/// What an edge needs to know of Redis.
#[derive(Clone)]
pub struct RedisConfig {
    /// Where it is.
    pub url: RedisUrl,
    /// How many parts the copy has: as control was told.
    pub shards: u16,
    /// The authorities (PEM) that `rediss://` believes; `None`: those of this machine.
    pub ca: Option<PathBuf>,
}

/// What the threads of an edge share about Redis.
pub struct SharedRedis {
    /// How long a question may take.
    pub deadline: Duration,
    /// How many parts the copy has, each with a position of its own.
    pub shards: u16,
    /// One for each worker.
    pub meters: Box<[RedisMeters]>,
    url: RedisUrl,
    tls: Option<Arc<ClientConfig>>,
    /// Every name that anybody wanted to reach, and its addresses.
    names: Mutex<HashMap<Node, Vec<SocketAddr>>>,
    look_again: Notify,
    away: Mutex<HashMap<Node, NodeOutage>>,
}

/// A server that some workers do not ask for now.
#[derive(Default)]
struct NodeOutage {
    spell: Spell,
    workers: usize,
}

impl SharedRedis {
    /// # Errors
    /// One line: with TLS, when no certificate could ever be believed.
    pub fn new(config: RedisConfig, workers: usize) -> Result<Self, String> {
        let RedisConfig { url, shards, ca } = config;
        let tls = if url.tls { Some(tls_config(ca)?) } else { None };
        let names = url.nodes.iter().map(|node| (node.clone(), Vec::new())).collect();
        Ok(Self {
            deadline: DEADLINE,
            shards: shards.max(1),
            meters: (0..workers).map(|_| RedisMeters::default()).collect(),
            url,
            tls,
            names: Mutex::new(names),
            look_again: Notify::new(),
            away: Mutex::default(),
        })
    }

    /// The servers that were given: one, or nodes of a cluster.
    pub fn nodes(&self) -> &[Node] {
        &self.url.nodes
    }

    /// Whether each node has a part only, which may move.
    pub fn is_cluster(&self) -> bool {
        self.url.nodes.len() > 1
    }

    /// What to say first on a new connection: the bytes, and of each command whether it has to succeed. The last one
    /// is a question such as all others: whoever may not ask it need not ask more.
    pub fn greeting(&self) -> (Vec<u8>, Vec<bool>) {
        let mut commands = Vec::new();
        if let Some(password) = &self.url.password {
            let mut auth = cmd("AUTH");
            auth.arg(self.url.user.iter().collect::<Vec<_>>()).arg(password);
            commands.push((auth, true));
        }
        if self.url.database != 0 {
            commands.push((cmd("SELECT").arg(self.url.database).clone(), true));
        }
        commands.push((cmd("CLIENT").arg("SETNAME").arg("linkr-edge").clone(), false));
        commands
            .push((cmd("MGET").arg(&position_key(Shard { number: 0, of: self.shards })[..]).clone(), true));
        let mut bytes = Vec::new();
        commands.iter().for_each(|(command, _)| command.write_packed_command(&mut bytes));
        (bytes, commands.into_iter().map(|(_, needed)| needed).collect())
    }

    /// A new TLS session; `None` for a connection without.
    ///
    /// # Errors
    /// In words: it cannot be begun.
    pub fn session(&self, node: &Node) -> Result<Option<RefCell<ClientConnection>>, String> {
        let Some(config) = &self.tls else { return Ok(None) };
        let name = ServerName::try_from(node.host.clone()).map_err(|fault| fault.to_string())?;
        let session = ClientConnection::new(Arc::clone(config), name);
        let mut session = session.map_err(|fault| fault.to_string())?;
        session.set_buffer_limit(None); // what waits is bounded by the number of questions
        Ok(Some(RefCell::new(session)))
    }

    /// An address of a node, another one for another attempt; `None` while none is known.
    pub fn address(&self, node: &Node, attempt: usize) -> Option<SocketAddr> {
        if let Ok(ip) = node.host.parse::<IpAddr>() {
            return Some(SocketAddr::new(ip, node.port));
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = names.entry(node.clone()).or_default();
        addresses.get(attempt % addresses.len().max(1)).copied()
    }

    /// An address was no good, or there was none: names are looked up again.
    pub fn failed(&self) {
        self.look_again.notify_one();
    }

    /// A worker has no connection to a node any more; `first`: it had, or tried for the first time.
    pub fn lost(&self, node: &Node, first: bool, why: &str) {
        let mut all = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let away = all.entry(node.clone()).or_default();
        away.workers += usize::from(first);
        let reason = reason(why);
        if let Some(tell) = away.spell.met(sys::boottime_ms(), reason) {
            let (host, port, lost_ms, untold) = (&node.host, node.port, tell.lasts_ms, tell.untold);
            tracing::warn!(name: "redis_lost", host, port, reason, why, lost_ms, untold, "Redis is not asked for now: control is asked instead");
        }
    }

    /// A worker that had none has a connection again, or needs none any more.
    pub fn found(&self, node: &Node) {
        let mut all = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(away) = all.get_mut(node) else { return };
        away.workers = away.workers.saturating_sub(1);
        if away.workers > 0 {
            return;
        }
        if let Some(over) = away.spell.over(sys::boottime_ms()) {
            let (host, port, lost_ms) = (&node.host, node.port, over.lasted_ms);
            tracing::info!(name: "redis_found", host, port, lost_ms, "Redis is asked again");
        }
    }

    /// Looks names up, now and whenever a connection failed. On the background thread: a worker never waits for it.
    pub async fn resolve(self: Arc<Self>) {
        let names = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let nodes: Vec<Node> = names().keys().cloned().collect();
            for node in nodes {
                match tokio::net::lookup_host((node.host.as_str(), node.port)).await {
                    Ok(found) => drop(names().insert(node.clone(), found.collect())),
                    Err(fault) => {
                        tracing::debug!(name: "redis_unresolved", host = node.host, %fault, "a name has no address");
                    }
                }
            }
            tokio::time::sleep(LOOK_UP).await;
            self.look_again.notified().await;
        }
    }
}

/// The kind of what ended a connection, or kept it from being made.
fn reason(why: &str) -> &'static str {
    const KINDS: [(&str, &str); 9] = [
        ("refused", "refused"),
        ("NOPERM", "no_rights"),
        ("permission", "no_rights"),
        ("WRONGPASS", "password"),
        ("NOAUTH", "password"),
        ("invalid username", "password"),
        ("name is not known", "unresolved"),
        ("timed out", "timed_out"),
        ("certificate", "certificate"),
    ];
    KINDS.iter().find(|(part, _)| why.contains(part)).map_or("broken", |(_, kind)| kind)
}

/// Where distributions keep the certificates that they believe: Debian and its kin, Fedora and its kin.
const ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

fn tls_config(ca: Option<PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let file = ca.or_else(|| ROOTS.iter().map(PathBuf::from).find(|path| path.is_file()));
    let file = file.ok_or("rediss: this machine names no authorities: --redis-ca FILE")?;
    let mut roots = RootCertStore::empty();
    let read = proto::file::read(&file);
    let read = read.map_err(|fault| format!("rediss: cannot read {}: {fault}", file.display()))?;
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&read.bytes).flatten());
    if roots.is_empty() {
        return Err(format!("rediss: there is no certificate in {}", file.display()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|fault| format!("rediss: {fault}"))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// What a question to Redis came to: the `outcome` label of `linkr_redis_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RedisOutcome {
    /// A value that the set took, or knows already.
    Answered,
    /// Nothing is there, or it lies in another copy or on another node.
    Unknown,
    /// A value that is older than what this edge, or the client, has noticed.
    Refused,
    /// A value that cannot be read.
    Poisoned,
    /// Redis said that something is wrong, or the connection broke.
    Failed,
    /// Nothing came in time.
    TimedOut,
}

impl RedisOutcome {
    /// In the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::Unknown, Self::Refused, Self::Poisoned, Self::Failed, Self::TimedOut];

    /// The label.
    pub fn label(self) -> &'static str {
        ["answered", "unknown", "refused", "poisoned", "failed", "timed_out"][self as usize]
    }
}

/// What one worker counts. It alone writes.
#[derive(Default)]
#[repr(align(128))]
pub struct RedisMeters {
    came: [AtomicU64; RedisOutcome::ALL.len()],
    in_flight: AtomicU64,
    up: AtomicBool,
    durations: PublishedDurations,
}

impl RedisMeters {
    /// One question came to this.
    pub fn came(&self, to: RedisOutcome) {
        let counter = &self.came[to as usize];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// How many did.
    pub fn count(&self, to: RedisOutcome) -> u64 {
        self.came[to as usize].load(Ordering::Relaxed)
    }

    /// What is so now, and how long questions took since this was last called.
    pub fn publish(&self, up: bool, in_flight: usize, durations: &mut Durations) {
        self.up.store(up, Ordering::Relaxed);
        self.in_flight.store(in_flight as u64, Ordering::Relaxed);
        self.durations.take(durations);
    }

    /// Whether this worker asks Redis at all.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Questions without a reply.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Adds how long questions took.
    pub fn add_durations(&self, sum: &mut Durations) {
        self.durations.add_to(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(url: &str) -> String {
        let redis =
            SharedRedis::new(RedisConfig { url: RedisUrl::parse(url).unwrap(), shards: 1, ca: None }, 1)
                .unwrap();
        let (bytes, needed) = redis.greeting();
        let words = String::from_utf8(bytes).unwrap();
        let words = words.split("\r\n").filter(|word| !word.starts_with(['*', '$'])).collect::<Vec<_>>();
        format!("{}{needed:?}", words.join(" "))
    }

    /// Found by attack: a comma in a password ended the node, and the refusal did not say so.
    #[test]
    fn a_comma_in_a_password_is_escaped() {
        let url = RedisUrl::parse("redis://u:p%2Cw@a:1,redis://b:2").unwrap();
        assert_eq!((url.password.as_deref(), url.nodes.len()), (Some("p,w"), 2));
        let refused = |url: &str| RedisUrl::parse(url).map(|_| ()).unwrap_err();
        for url in ["redis://u:p,w@a:1", "redis://u:12,w@a:1", "redis://a:1,b:2"] {
            assert!(refused(url).contains("%2C"), "{url}");
        }
        assert!(!refused("redis:/a").contains("%2C"));
    }

    #[test]
    fn what_is_said_first() {
        assert_eq!(
            greeting("redis://u:p%40w@h:1/3"),
            "AUTH u p@w SELECT 3 CLIENT SETNAME linkr-edge MGET linkr:{0/1}:position [true, true, false, true]"
        );
        assert_eq!(
            greeting("redis://:pw@h"),
            "AUTH pw CLIENT SETNAME linkr-edge MGET linkr:{0/1}:position [true, false, true]"
        );
        assert_eq!(
            greeting("redis://h"),
            "CLIENT SETNAME linkr-edge MGET linkr:{0/1}:position [false, true]"
        );
    }

    #[test]
    fn addresses() {
        for (url, shown) in [
            ("redis://u:secret@h", Some("redis://h:6379")),
            ("rediss://[::1]:7/1", Some("rediss://[::1]:7")),
            ("http://h", None),
            ("redis://", None),
            ("redis://a:1,redis://b", Some("redis://a:1,redis://b:6379")),
            ("redis://a,", None),
            ("redis+unix:///secret", None),
            ("redis://u:secret@h/x", None),
        ] {
            let parsed = RedisUrl::parse(url);
            assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), shown, "{url}");
            assert!(parsed.err().is_none_or(|fault| !fault.contains("secret")));
        }
    }
}
