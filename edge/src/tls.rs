//! TLS on redirects: which certificate a client is shown, and all of them anew when their files change. Bytes of a
//! connection are in `session`; no socket here.

mod session;
mod tickets;

use crate::listen::ListenAddress;
use crate::sys;
use exposition::certificates;
use feed::{Spell, TroubleReport};
use proto::pem::{self, PemContent};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, Error, ServerConfig};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use session::TlsSession;
pub use tickets::{TicketSecret, Tickets};

/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(1);

/// Where redirects are answered over TLS, and whose certificates are shown.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where it listens.
    pub listen: Vec<ListenAddress>,
    /// Certificates, each with what stands between it and its authority, and their private keys, in PEM. A client is
    /// shown the first one for the name that it asks for, or the first of all.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// The keys of tickets, for edges that resume each other's sessions; `None`: keys of this edge's own.
    pub ticket_keys: Option<PathBuf>,
}

impl TlsConfig {
    /// Reads the files.
    ///
    /// # Errors
    /// Which cannot be used and why, in one line.
    pub fn check(&self) -> Result<(), String> {
        ServedTls::new(self, &[]).map(drop)
    }
}

/// What the files held when they were last read: certificates and keys.
type PemFiles = Vec<(Vec<u8>, Vec<u8>)>;

/// TLS as it is offered now. What is read anew is for the handshakes behind it; tickets outlive it.
pub struct ServedTls {
    pairs: Vec<(PathBuf, PathBuf)>,
    files: PemFiles,
    shown: Arc<CertificateResolver>,
    ticket_keys: Option<PathBuf>,
    /// What sessions are resumed by.
    pub tickets: Arc<Tickets>,
    /// For every connection, for as long as the edge runs.
    pub config: Arc<ServerConfig>,
}

impl ServedTls {
    /// Reads the files. `passed_on`: the keys of tickets of the process before this one.
    ///
    /// # Errors
    /// Which cannot be used and why, in one line.
    pub fn new(tls: &TlsConfig, passed_on: &[TicketSecret]) -> Result<Self, String> {
        let mut provider = aws_lc_rs::default_provider();
        // Stable: otherwise as they come.
        provider.cipher_suites.sort_by_key(|suite| hashes_long(suite.suite()));
        let provider = Arc::new(provider);
        let files = read(&tls.pairs)?;
        let shown =
            Arc::new(CertificateResolver(RwLock::new(read_certificates(&tls.pairs, &files, &provider)?)));
        let ticket_keys = tls.ticket_keys.clone();
        let tickets = Tickets::new(ticket_keys.as_deref(), passed_on, sys::boottime_ms())?;
        let tickets = Arc::new(tickets);
        let config = config(Arc::clone(&shown), Arc::clone(&tickets), provider);
        let config = Arc::new(config.map_err(|fault| format!("TLS: {fault}"))?);
        let own = Self { pairs: tls.pairs.clone(), files, shown, ticket_keys, tickets, config };
        own.note_ends();
        Ok(own)
    }

    /// Takes the first random bytes of this process. For these aws-lc measures how the clock jitters, which takes 36 ms of a core: in
    /// a first handshake that would be the worker's, and all its visitors would wait.
    pub fn prepare(&self) {
        // A generator of random bytes that fails here fails in each handshake, too, and the handshake ends with that fault.
        let _ = self.config.crypto_provider().secure_random.fill(&mut [0]);
    }

    fn note_ends(&self) {
        for ((file, _), (certificate, _)) in self.pairs.iter().zip(&self.files) {
            certificates::shows("redirects", file, certificate);
        }
    }

    /// Takes up what changes in the files. Files that cannot be used change nothing: they may be half written.
    pub async fn run(mut self) {
        let (mut trouble, mut expired, mut unsealed) = (Spell::default(), Spell::default(), Spell::default());
        loop {
            tokio::time::sleep(POLL).await;
            // A pipe may stand there, which is waited for: not by the one thread that follows the log.
            let look = move || {
                let (looked, tickets) = (self.look(), self.look_at_tickets());
                (self, looked, tickets)
            };
            let (looked, tickets);
            (self, looked, tickets) = match tokio::task::spawn_blocking(look).await {
                Ok(back) => back,
                Err(_) => return, // this process ends
            };
            tell_tickets(tickets, &mut unsealed);
            certificates::files_are("redirects", looked.is_ok());
            match certificates::expired("redirects") {
                Some(why) => {
                    if let Some(TroubleReport { lasts_ms, .. }) = expired.met(sys::boottime_ms(), "expired") {
                        tracing::error!(
                            name: "certificate_expired", why, lasts_ms,
                            "clients refuse redirects over TLS: put a new certificate into the files"
                        );
                    }
                }
                None => {
                    let _ = expired.over(sys::boottime_ms()); // that files were read anew is told
                }
            }
            if looked.is_ok()
                && let Some(over) = trouble.over(sys::boottime_ms())
            {
                let lasted_ms = over.lasted_ms;
                tracing::info!(name: "certificates_good_again", lasted_ms, "the files of the certificates are good again");
            }
            match looked {
                Ok(true) => {
                    tracing::info!(name: "certificates_read", "the certificates of redirects were read anew");
                }
                Ok(false) => {}
                Err(why) => {
                    if let Some(tell) = trouble.met(sys::boottime_ms(), "files") {
                        let lasts_ms = tell.lasts_ms;
                        tracing::warn!(
                            name: "certificates_unusable", why, lasts_ms,
                            "the files of the certificates of redirects cannot be used: those from before are shown"
                        );
                    }
                }
            }
        }
    }

    fn look_at_tickets(&self) -> Result<bool, String> {
        match &self.ticket_keys {
            Some(path) => self.tickets.look(path),
            None => self.tickets.turn(sys::boottime_ms()).map(|_| false), // nothing that anybody has to be told of
        }
    }

    fn look(&mut self) -> Result<bool, String> {
        let files = read(&self.pairs)?;
        if self.files == files {
            return Ok(false);
        }
        let changed = self.pairs.iter().zip(&files).zip(&self.files).filter(|((_, new), old)| new.0 != old.0);
        for (((file, _), (pem, _)), _) in changed {
            certificates::valid_now(file, pem)?;
        }
        let certificates = read_certificates(&self.pairs, &files, self.config.crypto_provider())?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = certificates;
        self.files = files;
        self.note_ends();
        Ok(true)
    }
}

fn tell_tickets(looked: Result<bool, String>, trouble: &mut Spell) {
    match looked {
        Ok(changed) => {
            if let Some(over) = trouble.over(sys::boottime_ms()) {
                tracing::info!(name: "ticket_keys_good_again", lasted_ms = over.lasted_ms, "the keys of TLS tickets can be read again");
            }
            if changed {
                tracing::info!(name: "ticket_keys_read", "the keys of TLS tickets were read anew");
            }
        }
        Err(why) => {
            if let Some(tell) = trouble.met(sys::boottime_ms(), "tickets") {
                let lasts_ms = tell.lasts_ms;
                tracing::warn!(
                    name: "ticket_keys_unusable", why, lasts_ms,
                    "the keys of TLS tickets cannot be used: those from before go on"
                );
            }
        }
    }
}

/// Whether its keys are made with SHA-384: that was a third of all instructions of a full handshake.
fn hashes_long(suite: CipherSuite) -> bool {
    use CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        TLS13_AES_256_GCM_SHA384,
    };
    matches!(
        suite,
        TLS13_AES_256_GCM_SHA384
            | TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    )
}

fn config(
    shown: Arc<CertificateResolver>,
    tickets: Arc<Tickets>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A kilobyte costs nobody anything, whatever seals it; browsers would choose the same, curl and OpenSSL would not.
    config.ignore_client_order = true;
    // The same for all workers. No session is kept here.
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each costs a sealing and 250 bytes; every connection with one gets another one.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn read(pairs: &[(PathBuf, PathBuf)]) -> Result<PemFiles, String> {
    pairs
        .iter()
        .map(|(cert, key)| Ok((pem::read(cert, PemContent::Certificates)?, pem::read(key, PemContent::Key)?)))
        .collect()
}

fn read_certificates(
    pairs: &[(PathBuf, PathBuf)],
    files: &PemFiles,
    provider: &CryptoProvider,
) -> Result<Certificates, String> {
    let mut all = Certificates::default();
    for ((cert, key), (cert_pem, key_pem)) in pairs.iter().zip(files) {
        let chain = pem::certificates(cert_pem, cert)?;
        let own = webpki::EndEntityCert::try_from(&chain[0]).map_err(|_| pem::damaged(cert))?;
        let names: Vec<String> = own.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let certified = CertifiedKey::from_der(chain, pem::key(key_pem, key)?, provider);
        let certified = certified.map_err(|fault| pem::unusable(cert, key, &fault))?;
        all.add(names, Arc::new(certified));
    }
    Ok(all)
}

/// Chooses the certificate that a client is shown.
#[derive(Debug)]
struct CertificateResolver(RwLock<Certificates>);

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.read().unwrap_or_else(PoisonError::into_inner).find(hello.server_name(), usable)
    }
}

#[derive(Debug, Default)]
struct Certificates {
    /// As given.
    all: Vec<Arc<CertifiedKey>>,
    /// By name, in lower case; `*.` stands for one label.
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    fn add(&mut self, names: Vec<String>, certified: Arc<CertifiedKey>) {
        for name in names {
            self.named.entry(name).or_default().push(Arc::clone(&certified));
        }
        self.all.push(certified);
    }

    /// `name` is in lower case. Of several for a name, the first whose kind of key the client can check.
    fn find(&self, name: Option<&str>, usable: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let any = name.and_then(|name| name.split_once('.')).map(|(_, rest)| format!("*.{rest}"));
        let named = [name, any.as_deref()].into_iter().flatten().filter_map(|name| self.named.get(name));
        let mut best = named.flatten().chain(&self.all);
        best.find(|certified| usable(certified)).or(self.all.first()).cloned()
    }
}

#[cfg(test)]
mod tests;
