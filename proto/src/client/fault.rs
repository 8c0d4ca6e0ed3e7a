//! Why a server could not be asked: the kind of it, found in what the libraries say, and words that lead to the cause.

use rustls::{AlertDescription, CertificateError, Error as Tls};
use std::error::Error;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;
use tonic::{Code, Status};

/// A fault between a client and a server, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// Nothing listens there.
    Refused,
    /// The name has no address.
    Unresolved,
    /// There is no way to the address.
    Unreachable,
    /// Nothing came back in time.
    TimedOut,
    /// The server's certificate comes from nobody that is believed here.
    UnknownAuthority,
    /// The server's certificate is for other names.
    WrongName,
    /// The server's certificate is not valid at this time.
    NotValidNow,
    /// The server's certificate cannot be used for another reason.
    BadCertificate(String),
    /// The server does not believe our certificate, or wants one.
    CertificateRefused(String),
    /// `https://` was given, and the server speaks no TLS.
    NoTls,
    /// `http://` was given, and the server speaks TLS.
    WantsTls,
    /// What answers is no linkr: it speaks another protocol.
    OtherProtocol,
    /// The server refused the key, and says why.
    KeyRefused(String),
    /// The key is good, and not for this.
    Forbidden(String),
    /// The server answered with another refusal.
    Answered(String),
    /// The connection ended.
    Broken,
    /// A file of ours, or a setting.
    Settings(String),
    /// None of these.
    Other(String),
}

impl ClientFault {
    /// The kind of an error of a connection.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut last = error;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(why) = of_one(error) {
                return why;
            }
            (last, next) = (error, error.source());
        }
        Self::Other(last.to_string())
    }

    /// The kind of a call's refusal: of the connection's, if there was no answer.
    pub fn of_status(status: &Status) -> Self {
        let said = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Self::KeyRefused(said),
            Code::PermissionDenied => Self::Forbidden(said),
            Code::DeadlineExceeded => Self::TimedOut,
            _ => match status.source() {
                Some(source) => match Self::of(source) {
                    Self::Other(_) if status.code() == Code::Unknown || said.is_empty() => Self::Broken,
                    Self::Other(_) => Self::Answered(said),
                    why => why,
                },
                // tonic has no other sign of an answer that is no gRPC.
                None if said.contains("grpc-status header missing")
                    || said.contains("invalid compression flag") =>
                {
                    Self::OtherProtocol
                }
                None => Self::Answered(said),
            },
        }
    }

    /// The same with a look at the server, where only that can tell. Blocks for a second at most.
    #[must_use]
    pub fn looked_at(self, url: &str) -> Self {
        match self {
            Self::OtherProtocol | Self::Broken if speaks_tls(url) => Self::WantsTls,
            why => why,
        }
    }

    /// One word for it, for a log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongName => "wrong_name",
            Self::NotValidNow => "certificate_not_valid_now",
            Self::BadCertificate(_) => "bad_certificate",
            Self::CertificateRefused(_) => "certificate_refused",
            Self::NoTls => "no_tls",
            Self::WantsTls => "wants_tls",
            Self::OtherProtocol => "other_protocol",
            Self::KeyRefused(_) => "key_refused",
            Self::Forbidden(_) => "forbidden",
            Self::Answered(_) => "answered",
            Self::Broken => "broken",
            Self::Settings(_) => "settings",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "nothing listens there",
            Self::Unresolved => "its name has no address",
            Self::Unreachable => "there is no way to its address",
            Self::TimedOut => "nothing came back in time",
            Self::UnknownAuthority => {
                "its certificate is of an authority that is not believed here: name the authority's file (--control-ca)"
            },
            Self::WrongName => "its certificate is for another name",
            Self::NotValidNow => {
                "its certificate is not valid at this time: it has expired, or a clock is wrong"
            }
            Self::NoTls => "it speaks no TLS: give http:// instead of https://",
            Self::WantsTls => "it speaks TLS: give https:// instead of http://",
            Self::OtherProtocol => "what answers there is no linkr API",
            Self::Broken => "the connection ended",
            Self::BadCertificate(why) => return write!(f, "its certificate cannot be used: {why}"),
            Self::CertificateRefused(why) => {
                return write!(f, "it does not take our certificate: {why}; make another (linkr certs)");
            }
            Self::KeyRefused(said) => {
                return write!(
                    f,
                    "it answers: {said}; give this edge another with --control-key-file (linkr keys create NAME --scopes \
                     feed --edge EDGE)"
                );
            }
            Self::Forbidden(said) | Self::Answered(said) => {
                return write!(f, "it answers: {said}");
            }
            Self::Settings(why) | Self::Other(why) => why,
        })
    }
}

fn of_one(error: &(dyn Error + 'static)) -> Option<ClientFault> {
    if let Some(tls) = error.downcast_ref::<Tls>() {
        return Some(of_tls(tls));
    }
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        if let Some(inner) = io.get_ref() {
            // Not among the sources of an error that holds it.
            if let Some(tls) = inner.downcast_ref::<Tls>() {
                return Some(of_tls(tls));
            }
        }
        return match io.kind() {
            ErrorKind::ConnectionRefused => Some(ClientFault::Refused),
            ErrorKind::TimedOut => Some(ClientFault::TimedOut),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
                Some(ClientFault::Unreachable)
            }
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(ClientFault::Broken),
            _ if io.to_string().contains("failed to lookup address") => Some(ClientFault::Unresolved),
            _ => None,
        };
    }
    // tonic has no type for its own limit of a connection's time, and h2 none that is public here.
    let text = error.to_string();
    if text.contains("frame with invalid size") || text.contains("HTTP/2 was not negotiated") {
        return Some(ClientFault::OtherProtocol);
    }
    if text.contains("deadline has elapsed") || text.contains("Timeout expired") {
        return Some(ClientFault::TimedOut);
    }
    None
}

fn of_tls(tls: &Tls) -> ClientFault {
    match tls {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            ClientFault::UnknownAuthority
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => ClientFault::WrongName,
        Tls::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => ClientFault::NotValidNow,
        Tls::InvalidCertificate(why) => ClientFault::BadCertificate(match why {
            CertificateError::BadEncoding => "it is damaged".to_owned(),
            CertificateError::Revoked => "it was revoked".to_owned(),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "it is not for servers".to_owned()
            }
            why => words(why),
        }),
        Tls::InvalidMessage(_) => ClientFault::NoTls,
        Tls::AlertReceived(alert) => of_alert(*alert),
        Tls::PeerIncompatible(why) => {
            ClientFault::Other(format!("TLS: it and we have too little in common: {}", words(why)))
        }
        Tls::PeerMisbehaved(why) => {
            ClientFault::Other(format!("TLS: it breaks the protocol: {}", words(why)))
        }
        other => ClientFault::Other(format!("TLS: {}", words(other))),
    }
}

/// The library's name for a case, as words: it has no others.
fn words(case: &dyn fmt::Debug) -> String {
    let name = format!("{case:?}");
    let mut words = String::new();
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn of_alert(alert: AlertDescription) -> ClientFault {
    let why = match alert {
        AlertDescription::CertificateRequired => "it asks for one",
        AlertDescription::UnknownCA | AlertDescription::DecryptError => "it does not believe its authority",
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "it cannot use it",
        AlertDescription::NoApplicationProtocol => return ClientFault::OtherProtocol,
        other => return ClientFault::Other(format!("TLS: it ends the handshake ({})", u8::from(other))),
    };
    ClientFault::CertificateRefused(why.to_owned())
}

const LOOK: Duration = Duration::from_millis(500);
/// The type of an alert, which a TLS server answers what is no TLS with (RFC 8446, section 5.1).
const ALERT: u8 = 0x15;

/// Whether the server behind a `http://` URL answers plain words with an alert of TLS.
fn speaks_tls(url: &str) -> bool {
    let Some(authority) = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()) else {
        return false;
    };
    let with_port = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let look = || -> std::io::Result<u8> {
        let address = with_port.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, LOOK)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    look().is_ok_and(|first| first == ALERT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error as Io;
    use std::net::TcpListener;

    #[test]
    fn what_the_libraries_say_has_a_kind() {
        let tls = |tls: Tls| Io::new(ErrorKind::InvalidData, tls);
        for (error, kind) in [
            (Io::from(ErrorKind::ConnectionRefused), "refused"),
            (Io::from(ErrorKind::ConnectionReset), "broken"),
            (Io::other("failed to lookup address information: Name or service not known"), "unresolved"),
            (tls(Tls::InvalidCertificate(CertificateError::UnknownIssuer)), "unknown_authority"),
            (tls(Tls::InvalidCertificate(CertificateError::NotValidForName)), "wrong_name"),
            (tls(Tls::InvalidCertificate(CertificateError::Expired)), "certificate_not_valid_now"),
            (tls(Tls::AlertReceived(AlertDescription::UnknownCA)), "certificate_refused"),
            (tls(Tls::InvalidMessage(rustls::InvalidMessage::InvalidContentType)), "no_tls"),
            (Io::other("odd"), "other"),
        ] {
            assert_eq!(ClientFault::of(&error).kind(), kind, "{error}");
        }
        assert_eq!(
            ClientFault::of_status(&Status::unauthenticated("the key was revoked")).kind(),
            "key_refused"
        );
        let said = ClientFault::of_status(&Status::unavailable("control is stopping"));
        assert_eq!(said.to_string(), "it answers: control is stopping");
    }

    #[test]
    fn no_line_shows_how_rust_writes_a_value() {
        let misbehaved = Tls::PeerMisbehaved(rustls::PeerMisbehaved::TooManyEmptyFragments);
        for (tls, said) in [
            (misbehaved, "TLS: it breaks the protocol: too many empty fragments"),
            (
                Tls::InvalidCertificate(CertificateError::BadEncoding),
                "its certificate cannot be used: it is damaged",
            ),
            (Tls::General("odd".into()), "TLS: general"),
        ] {
            assert_eq!(of_tls(&tls).to_string(), said);
        }
    }

    #[tokio::test]
    async fn a_real_connection_that_is_refused() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{free}")).unwrap();
        assert_eq!(ClientFault::of(&endpoint.connect().await.unwrap_err()), ClientFault::Refused);
        let endpoint = tonic::transport::Endpoint::from_static("http://no-such-host.invalid:1");
        assert_eq!(ClientFault::of(&endpoint.connect().await.unwrap_err()), ClientFault::Unresolved);
    }

    #[test]
    fn a_server_of_tls_is_told_from_others() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for answer in [&[ALERT, 3, 3, 0, 2, 2, 70][..], b"HTTP/1.1 400 \r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 18]).unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        assert_eq!(ClientFault::OtherProtocol.looked_at(&url), ClientFault::WantsTls);
        assert_eq!(ClientFault::OtherProtocol.looked_at(&url), ClientFault::OtherProtocol);
        server.join().unwrap();
    }
}
