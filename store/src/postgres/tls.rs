//! TLS to the database by rustls: `sslmode` and `sslrootcert` of the address, as libpq reads them.

use proto::pem::{self, PemContent};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// With whom, and whether at all.
#[derive(Clone)]
pub(super) struct Tls(Option<Arc<ClientConfig>>);

impl Tls {
    /// Takes what it understands out of the address; the rest of it.
    pub(super) fn of_url(url: &str) -> Result<(String, Self), String> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = ("disable", None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => roots = Some(value),
                _ => rest.push(pair),
            }
        }
        let config = match (mode, roots) {
            ("disable", _) => None,
            ("require", None) => Some(config(Trust::Anybody)?),
            ("verify-full", Some(file)) => Some(config(Trust::Roots(file))?),
            ("verify-full", None) => return Err("sslmode=verify-full needs sslrootcert=FILE".into()),
            // libpq would check the chain and not the name, which protects from nobody who has a certificate.
            ("require", Some(_)) => return Err("with sslrootcert, sslmode has to be verify-full".into()),
            _ => return Err(format!("sslmode={mode} is none of disable, require, verify-full")),
        };
        let rest = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
        Ok((rest, Self(config.map(Arc::new))))
    }

    pub(super) fn mode(&self) -> SslMode {
        if self.0.is_some() { SslMode::Require } else { SslMode::Disable }
    }
}

#[derive(Clone, Copy)]
enum Trust<'a> {
    Anybody,
    Roots(&'a str),
}

fn config(trust: Trust<'_>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let begun = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let begun = begun.map_err(|e| e.to_string())?;
    match trust {
        Trust::Anybody => {
            let unchecked = Arc::new(UncheckedVerifier(provider));
            Ok(begun.dangerous().with_custom_certificate_verifier(unchecked).with_no_client_auth())
        }
        Trust::Roots(file) => {
            let (file, mut roots) = (Path::new(file), RootCertStore::empty());
            for certificate in pem::certificates(&pem::read(file, PemContent::Certificates)?, file)? {
                roots.add(certificate).map_err(|_| pem::damaged(file))?;
            }
            Ok(begun.with_root_certificates(roots).with_no_client_auth())
        }
    }
}

/// `sslmode=require`: nobody listens, but who answers is not looked at.
#[derive(Debug)]
struct UncheckedVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for UncheckedVerifier {
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
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = TlsSocket;
    type TlsConnect = TlsHandshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<TlsHandshake> {
        Ok(TlsHandshake(self.0.clone(), host.to_owned()))
    }
}

/// The TLS handshake of one connection.
pub(super) struct TlsHandshake(Option<Arc<ClientConfig>>, String);

impl TlsConnect<Socket> for TlsHandshake {
    type Stream = TlsSocket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsSocket>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let config = self.0.ok_or_else(|| io::Error::other("TLS is off"))?;
            let name = ServerName::try_from(self.1).map_err(io::Error::other)?;
            TlsConnector::from(config).connect(name, socket).await.map(TlsSocket)
        })
    }
}

/// What a connection speaks through.
pub(super) struct TlsSocket(TlsStream<Socket>);

impl tokio_postgres::tls::TlsStream for TlsSocket {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_understood_is_taken() {
        let of = |url: &str| Tls::of_url(url).map(|(rest, tls)| (rest, tls.mode() == SslMode::Require));
        assert_eq!(of("postgres://a/b"), Ok(("postgres://a/b".into(), false)));
        let some = "postgres://a/b?connect_timeout=3&sslmode=require&options=x";
        assert_eq!(of(some), Ok(("postgres://a/b?connect_timeout=3&options=x".into(), true)));
        for wrong in ["sslmode=verify-full", "sslmode=prefer", "sslmode=verify-full&sslrootcert=none.pem"] {
            of(&format!("postgres://a/b?{wrong}")).unwrap_err();
        }
    }
}
