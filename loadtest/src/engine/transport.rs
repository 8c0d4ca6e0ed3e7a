//! Bytes in and out of one socket, plain or through TLS. Never blocks.

use crate::plan::{Plan, Sessions, Url};
use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, DigitallySignedStruct, HandshakeKind, RootCertStore, SignatureScheme};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

pub enum Transport {
    /// No TLS.
    Plain(Socket),
    /// TLS on top.
    Tls(Box<Tls>),
}

/// A socket and the session on top of it.
pub struct Tls {
    socket: Socket,
    session: ClientConnection,
}

/// A socket that says, if it was asked to, when the kernel took in what was read.
pub struct Socket {
    stream: TcpStream,
    stamps: bool,
    arrived: Option<SystemTime>,
}

impl Socket {
    fn connect(address: SocketAddr, stamps: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        if stamps {
            services::stamp_arrivals(&stream)?;
        }
        Ok(Self { stream, stamps, arrived: None })
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.stamps {
            return self.stream.read(buffer);
        }
        let received = services::receive(&self.stream, buffer)?;
        self.arrived = received.at;
        Ok(received.count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Transport {
    /// Begins to connect. `stamps`: [`Transport::arrived`] says when answers came.
    pub fn connect(url: &Url, tls: Option<&Arc<ClientConfig>>, stamps: bool) -> io::Result<Self> {
        let socket = Socket::connect(url.address, stamps)?;
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let name = url.host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let name = name.map_or(&*url.host, |(name, _)| name).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Tls { socket, session })))
    }

    /// The socket, to be polled.
    pub fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => &mut socket.stream,
            Self::Tls(tls) => &mut tls.socket.stream,
        }
    }

    /// When the kernel took in the last bytes that were read.
    pub fn arrived(&self) -> Option<SystemTime> {
        match self {
            Self::Plain(socket) => socket.arrived,
            Self::Tls(tls) => tls.socket.arrived,
        }
    }

    /// Whether requests can be sent: with TLS, when the handshake is done.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => !tls.session.is_handshaking(),
        }
    }

    /// Whether the handshake was spared by a ticket of an earlier connection.
    pub fn is_resumed(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// What TLS says against the other side, for people.
    pub fn complaint(&mut self) -> Option<String> {
        let Self::Tls(tls) = self else { return None };
        match tls.session.process_new_packets().err()? {
            fault @ rustls::Error::InvalidCertificate(_) => {
                Some(format!("{fault}; --trust-any believes any certificate"))
            }
            fault => Some(format!("TLS: {fault}")),
        }
    }

    /// As `Read::read`.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    /// As `Write::write`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => {
                let taken = tls.session.writer().write(bytes)?;
                tls.flush()?;
                // The session holds so much and no more until the socket takes some of it.
                if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
            }
        }
    }

    /// Sends what TLS itself has to say.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                // A server that just closes, as after `Connection: close`, is believed: lengths are checked above.
                Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            let count = self.session.read_tls(&mut self.socket)?;
            let processed = self.session.process_new_packets();
            self.flush()?; // also the alert that says why it failed
            processed.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
            if count == 0 {
                return Ok(0);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(fault)
                    if matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

/// What all TLS connections of a run share: with resumption, the tickets.
///
/// # Errors
/// One line when no certificate could ever be believed.
pub fn config(plan: &Plan) -> Result<Arc<ClientConfig>, String> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // First what browsers offer first: servers that leave it to the client shall do as much work as for them.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|fault| format!("TLS: {fault}"))?;
    let builder = if plan.trust_any {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots()?)
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = match plan.sessions {
        Sessions::Full => Resumption::disabled(),
        Sessions::Resumed => Resumption::in_memory_sessions(4096),
    };
    Ok(Arc::new(config))
}

/// Where distributions keep the certificates that they believe: Debian and its kin, Fedora and its kin.
const ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// What this machine believes; `SSL_CERT_FILE` names another file, as everywhere.
fn roots() -> Result<RootCertStore, String> {
    let given = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let file = given.or_else(|| ROOTS.iter().map(PathBuf::from).find(|path| path.is_file()));
    let file = file.ok_or("https: this machine names no authorities: SSL_CERT_FILE=… or --trust-any")?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&file)
        .map_err(|fault| format!("https: cannot read {}: {fault}", file.display()))?;
    roots.add_parsable_certificates(certificates.flatten());
    if roots.is_empty() {
        return Err(format!("https: there is no certificate in {}", file.display()));
    }
    Ok(roots)
}

/// Believes any certificate: the server under test is one's own.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
