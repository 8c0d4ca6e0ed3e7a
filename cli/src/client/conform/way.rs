//! The way to the edge that is asked: where it is, a connection, over TLS if it is asked so, and answers.

use crate::address;
use crate::fault::CommandFault;
use proto::client::ClientFault;
use proto::file::unusual_authorities;
use proto::pem::{self, PemContent};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// For a connection and for each answer.
const WAIT: Duration = Duration::from_secs(10);
/// Bytes of the head of an answer: the longest target and room.
const LONGEST_HEAD: u64 = 16 << 10;

/// Where an edge redirects.
pub struct EdgeAddress {
    /// Host and port.
    address: String,
    /// The value of the `Host` field.
    host: String,
    tls: Option<EdgeTls>,
}

struct EdgeTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// The parts of an edge's answer that a file says something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeAnswer {
    pub status: u16,
    pub location: Option<String>,
}

/// What carries requests and answers.
trait Transport: Read + Write {}

impl<S: Read + Write> Transport for S {}

/// A connection that is kept.
pub struct Connection(BufReader<Box<dyn Transport>>);

impl EdgeAddress {
    /// The edge at an address or URL. Over TLS it is asked as `domain`, or by its own name where that is `-`.
    ///
    /// # Errors
    /// The authorities cannot be read, or the name is none.
    pub fn at(edge: &str, ca: Option<&Path>, domain: &str) -> Result<Self, CommandFault> {
        let (secure, place) = match edge.split_once("://") {
            Some((scheme, place)) => (scheme.eq_ignore_ascii_case("https"), place),
            None => (false, edge),
        };
        let host = address::whole(place.trim_end_matches('/'));
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            return Err(CommandFault::new(format_args!(
                "--edge {edge} is no address of an edge: give its host and port, such as http://127.0.0.1:8080"
            )));
        }
        let has_port =
            |(_, port): &(&str, &str)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let (name, port) = match host.rsplit_once(':').filter(has_port) {
            Some((name, port)) => (name, port),
            None => (host.as_str(), if secure { "443" } else { "80" }),
        };
        let tls = match (secure, ca) {
            (true, ca) => {
                let name = if domain == "-" { name.trim_matches(['[', ']']) } else { domain };
                let wrong = |_| {
                    CommandFault::new(format_args!("--edge: {name} is no name that a certificate can have"))
                };
                Some(EdgeTls {
                    config: config(ca)?,
                    name: ServerName::try_from(name.to_owned()).map_err(wrong)?,
                })
            }
            (false, Some(_)) => return Err(CommandFault::new("--edge-ca is for an --edge of https://")),
            (false, None) => None,
        };
        let address = format!("{name}:{port}");
        Ok(Self { address, host, tls })
    }

    /// A connection.
    pub fn connect(&self) -> std::io::Result<Connection> {
        let socket = address::connect(&self.address, WAIT)?;
        socket.set_read_timeout(Some(WAIT))?;
        socket.set_write_timeout(Some(WAIT))?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Transport> = match &self.tls {
            None => Box::new(socket),
            Some(EdgeTls { config, name }) => {
                let session =
                    ClientConnection::new(Arc::clone(config), name.clone()).map_err(Error::other)?;
                Box::new(StreamOwned::new(session, socket))
            }
        };
        Ok(Connection(BufReader::new(stream)))
    }

    /// What it is asked under where nobody says another host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Why it cannot be asked, and what to do.
    pub fn unreached(&self, fault: &Error) -> CommandFault {
        let host = &self.host;
        CommandFault::new(match ClientFault::of(fault) {
            ClientFault::UnknownAuthority => format!(
                "the certificate of {host} is of an authority that is not trusted here: --edge-ca names the file with it"
            ),
            ClientFault::WrongName => format!(
                "the certificate of {host} is for another name: --edge, or --domain where it is given, has to stand in it"
            ),
            ClientFault::NoTls => format!("{host} speaks no TLS: ask http://{host} with --edge"),
            _ => format!("{host} cannot be asked ({fault}): --edge names where an edge redirects"),
        })
    }
}

impl Connection {
    /// Asks for paths, each under a host. HEAD: the same answer as to a GET, and never a click.
    pub fn ask<'a>(&mut self, paths: impl Iterator<Item = (&'a str, &'a str)>) -> std::io::Result<()> {
        let requests = paths.fold(String::new(), |mut requests, (host, path)| {
            let _ = write!(requests, "HEAD /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            requests
        });
        self.0.get_mut().write_all(requests.as_bytes())?;
        self.0.get_mut().flush()
    }

    /// The next answer, and whether it is the last of this connection.
    pub fn answer(&mut self) -> std::io::Result<(EdgeAnswer, bool)> {
        let other = || Error::new(ErrorKind::InvalidData, "what answers there speaks no HTTP/1.1");
        let (mut status, mut location, mut closes) = (None, None, false);
        let mut head = self.0.by_ref().take(LONGEST_HEAD);
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.strip_suffix("\r\n").ok_or_else(other)?;
            match (status, line.split_once(": ")) {
                (None, _) => {
                    let digits = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
                    status = Some(digits.and_then(|digits| digits.parse().ok()).ok_or_else(other)?);
                }
                (Some(status), _) if line.is_empty() => return Ok((EdgeAnswer { status, location }, closes)),
                (_, Some((name, value))) if name.eq_ignore_ascii_case("location") => {
                    location = Some(value.to_owned());
                }
                (_, Some((name, value))) if name.eq_ignore_ascii_case("connection") => {
                    closes |= value.eq_ignore_ascii_case("close");
                }
                _ => {}
            }
        }
    }
}

fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, CommandFault> {
    let mut roots = RootCertStore::empty();
    let file = ca.map(Path::to_owned).or_else(unusual_authorities);
    let certificates = match &file {
        Some(file) => pem::read(file, PemContent::Certificates)
            .and_then(|bytes| pem::certificates(&bytes, file))
            .map_err(CommandFault::new)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(CommandFault::new("there is no authority to trust: --edge-ca names a file with one"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder =
        builder.map_err(|fault| CommandFault::new(format_args!("TLS cannot be spoken: {fault}")))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_edge_is() {
        for (given, address, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080"),
            ("127.0.0.1:8080/", "127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://go.example", "go.example:80", "go.example"),
            ("http://[::1]", "[::1]:80", "[::1]"),
            ("http://[::1]:81", "[::1]:81", "[::1]:81"),
            (":8080", "127.0.0.1:8080", "127.0.0.1:8080"),
            ("8080", "127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            let edge = EdgeAddress::at(given, None, "-").unwrap();
            assert_eq!((edge.address.as_str(), edge.host()), (address, host), "{given}");
        }
        for wrong in ["", "http://", "http://a/promo", "u@a"] {
            let said = EdgeAddress::at(wrong, None, "-").err().unwrap();
            assert!(said.message().contains("--edge"), "{}", said.message());
        }
        let said = EdgeAddress::at("http://a", Some(Path::new("ca.pem")), "-").err().unwrap();
        assert!(said.message().contains("--edge-ca is for"), "{}", said.message());
        let said = EdgeAddress::at("https://a", Some(Path::new("/none/ca.pem")), "-").err().unwrap();
        assert!(said.message().contains("/none/ca.pem"), "{}", said.message());
    }
}
