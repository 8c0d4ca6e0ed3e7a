//! TLS on the API: the server's certificate, the authority of the edges' certificates, and both anew when their files
//! change. What a certificate allows is not known here.

use crate::clock;
use exposition::certificates;
use feed::{Spell, TroubleReport};
use proto::pem::{self, PemContent};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(1);

/// The files, in PEM.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The server's certificate, with what stands between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority of the certificates of edges.
    pub client_ca: Option<PathBuf>,
}

/// What the files held when they were last read.
#[derive(PartialEq, Eq)]
struct PemFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// TLS as it is offered now.
pub struct ServedTls {
    tls: TlsConfig,
    now: RwLock<LoadedTls>,
}

/// The files as they are used, and what was made of them.
struct LoadedTls {
    files: PemFiles,
    acceptor: TlsAcceptor,
}

impl TlsConfig {
    fn read(&self) -> Result<PemFiles, String> {
        let client_ca = self.client_ca.as_deref().map(|file| pem::read(file, PemContent::Certificates));
        Ok(PemFiles {
            cert: pem::read(&self.cert, PemContent::Certificates)?,
            key: pem::read(&self.key, PemContent::Key)?,
            client_ca: client_ca.transpose()?,
        })
    }

    fn acceptor(&self, files: &PemFiles) -> Result<TlsAcceptor, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (chain, key) = (pem::certificates(&files.cert, &self.cert)?, pem::key(&files.key, &self.key)?);
        let begun =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let begun = begun.map_err(|e| e.to_string())?;
        let begun = match (&files.client_ca, &self.client_ca) {
            (Some(ca), Some(file)) => {
                let mut roots = RootCertStore::empty();
                for certificate in pem::certificates(ca, file)? {
                    roots.add(certificate).map_err(|_| pem::damaged(file))?;
                }
                // Others may come without one, and show a key.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.allow_unauthenticated().build().map_err(|_| pem::damaged(file))?;
                begun.with_client_cert_verifier(verifier)
            }
            _ => begun.with_no_client_auth(),
        };
        let config = begun.with_single_cert(chain, key);
        let mut config = config.map_err(|fault| pem::unusable(&self.cert, &self.key, &fault))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ServedTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which cannot be used and why, in one line.
    pub fn new(tls: &TlsConfig) -> Result<Self, String> {
        let files = tls.read()?;
        let acceptor = tls.acceptor(&files)?;
        certificates::shows("api", &tls.cert, &files.cert);
        Ok(Self { tls: tls.clone(), now: RwLock::new(LoadedTls { files, acceptor }) })
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.now.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Takes up what changes in the files, until `stop`. Files that cannot be used change nothing: they may be half written.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (mut trouble, mut expired) = (Spell::default(), Spell::default());
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
            // A pipe may stand there, which is waited for: not by a thread that others need.
            let own = Arc::clone(&self);
            let Ok(looked) = tokio::task::spawn_blocking(move || own.look()).await else { return };
            certificates::files_are("api", looked.is_ok());
            match certificates::expired("api") {
                Some(why) => {
                    if let Some(TroubleReport { lasts_ms, .. }) = expired.met(clock::ms(), "expired") {
                        tracing::error!(
                            name: "certificate_expired", why, lasts_ms,
                            "edges and callers refuse this API: put a new certificate into the files"
                        );
                    }
                }
                None => {
                    let _ = expired.over(clock::ms()); // that files were read anew is told
                }
            }
            if looked.is_ok()
                && let Some(over) = trouble.over(clock::ms())
            {
                let lasted_ms = over.lasted_ms;
                tracing::info!(name: "certificates_good_again", lasted_ms, "the files of the certificates are good again");
            }
            match looked {
                Ok(true) => {
                    tracing::info!(name: "certificates_read", "the certificates of the API were read anew");
                }
                Ok(false) => {}
                Err(why) => {
                    if let Some(tell) = trouble.met(clock::ms(), "files") {
                        let lasts_ms = tell.lasts_ms;
                        tracing::warn!(
                            name: "certificates_unusable", why, lasts_ms,
                            "the files of the certificates of the API cannot be used: those from before are shown"
                        );
                    }
                }
            }
        }
    }

    fn look(&self) -> Result<bool, String> {
        let files = self.tls.read()?;
        if self.now.read().unwrap_or_else(PoisonError::into_inner).files == files {
            return Ok(false);
        }
        if self.now.read().unwrap_or_else(PoisonError::into_inner).files.cert != files.cert {
            certificates::valid_now(&self.tls.cert, &files.cert)?;
        }
        let acceptor = self.tls.acceptor(&files)?;
        certificates::shows("api", &self.tls.cert, &files.cert);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = LoadedTls { files, acceptor };
        Ok(true)
    }
}

/// The edge that a client's certificate is for: the first DNS name in it. It was verified before.
pub fn edge_of(connection: &ServerConnection) -> Option<Arc<str>> {
    let certificate = connection.peer_certificates()?.first()?;
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_dns_names().next().map(Arc::from)
}
