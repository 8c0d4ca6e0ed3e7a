//! What our own clients say with every call: their key, an id, a trace, how long they wait; and whom they trust.

mod fault;

use crate::file::unusual_authorities;
use crate::pem::{self, PemContent};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

pub use fault::ClientFault;

/// A little longer than a server takes at most: it knows better what became of the call.
const DEADLINE: Duration = Duration::from_secs(35);

/// A connection on which every call carries what [`Credentials`] says.
pub type KeyedChannel = InterceptedService<Channel, Credentials>;

/// How a server is reached. Files are read for each connection: what they hold may change while a client runs.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The key, if the server asks for one.
    pub key: KeySource,
    /// Authorities (PEM) that are believed instead of the system's, for `https://`.
    pub ca: Option<PathBuf>,
    /// A certificate of one's own and its private key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The place that a client's key is read from.
#[derive(Clone, Default)]
pub enum KeySource {
    /// Nowhere: there is none.
    #[default]
    None,
    /// Here.
    Text(String),
    /// In a file.
    File(PathBuf),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Text(_) => "Text",
            Self::File(_) => "File",
        })
    }
}

impl Access {
    /// The place behind a URL, with TLS if it asks for that.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn endpoint(&self, url: &str) -> Result<Endpoint, String> {
        let none = |_| format!("'{url}' is no address of an API: http://host:port or https://host:port");
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(none)?;
        if !url.starts_with("https://") {
            return Ok(endpoint);
        }
        let mut tls = match self.ca.clone().or_else(unusual_authorities) {
            Some(ca) => ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(pem::read(&ca, PemContent::Certificates)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(
                pem::read(certificate, PemContent::Certificates)?,
                pem::read(key, PemContent::Key)?,
            ));
        }
        endpoint.tls_config(tls).map_err(|fault| format!("TLS to {url}: {}", self.unusable(&fault)))
    }

    /// Which of the files does not hold what it should.
    fn unusable(&self, fault: &(dyn std::error::Error + 'static)) -> String {
        let files =
            self.ca.iter().chain(self.identity.iter().flat_map(|(certificate, key)| [certificate, key]));
        let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
        match files.as_slice() {
            [] => format!("the system's authorities cannot be used ({fault}): name one's own"),
            files => format!(
                "{} cannot be used: certificates and an unencrypted private key in PEM are wanted there",
                files.join(", ")
            ),
        }
    }

    /// A connection that was made, with what every call on it says.
    ///
    /// # Errors
    /// The key cannot be read, or is none.
    pub fn way(&self, channel: Channel) -> Result<KeyedChannel, String> {
        Ok(self.credentials()?.over(channel))
    }

    /// What every call says.
    ///
    /// # Errors
    /// The key cannot be read, or is none.
    pub fn credentials(&self) -> Result<Credentials, String> {
        let key = match &self.key {
            KeySource::None => None,
            KeySource::Text(key) => Some(key.clone()),
            KeySource::File(file) => Some(key_in(file)?),
        };
        let bearer = key.map(|key| format!("Bearer {}", key.trim()).parse()).transpose();
        let mut bearer: Option<MetadataValue<Ascii>> =
            bearer.map_err(|_| "the key holds what no key does: lk_ and letters are expected".to_owned())?;
        bearer.iter_mut().for_each(|bearer| bearer.set_sensitive(true));
        Ok(Credentials { bearer })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let read = crate::file::read(file).map_err(|fault| format!("cannot read {}: {fault}", file.display()));
    Ok(read?.bytes)
}

fn key_in(file: &Path) -> Result<String, String> {
    let text = read(file).map_err(|why| format!("{why}: it should hold a key"))?;
    let text = String::from_utf8_lossy(&text);
    match text.trim() {
        "" => Err(format!("{} is empty: it should hold a key", file.display())),
        key if !key.starts_with("lk_") || key.contains(char::is_whitespace) => {
            Err(format!("{} holds no key: one line is expected that begins with lk_", file.display()))
        }
        key => Ok(key.to_owned()),
    }
}

/// Said with every call.
#[derive(Clone, Debug)]
pub struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
}

impl Credentials {
    /// A connection that was made, with these on every call.
    pub fn over(self, channel: Channel) -> KeyedChannel {
        InterceptedService::new(channel, self)
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let [id, high, low, span] = [(); 4].map(|()| getrandom::u64().unwrap_or(1).max(1));
        let metadata = request.metadata_mut();
        if let Some(bearer) = &self.bearer {
            metadata.insert("authorization", bearer.clone());
        }
        put(metadata, "x-request-id", format_args!("{id:016x}"));
        if metadata.get(TRACEPARENT).is_none() {
            put(metadata, TRACEPARENT, format_args!("00-{high:016x}{low:016x}-{span:016x}-00"));
        }
        request.set_timeout(DEADLINE);
        Ok(request)
    }
}

/// Which trace a call belongs to; one that says it itself keeps it.
const TRACEPARENT: &str = "traceparent";

fn put(metadata: &mut MetadataMap, name: &'static str, value: impl Display) {
    if let Ok(value) = value.to_string().parse() {
        metadata.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_says_who_asks_and_how_long_he_waits() {
        let mut credentials = Credentials { bearer: Some("Bearer lk_x".parse().unwrap()) };
        let mut said = || credentials.call(Request::new(())).unwrap().into_parts().0;
        let (one, other) = (said(), said());
        assert_eq!(one.get("authorization").unwrap(), "Bearer lk_x");
        assert_eq!(one.get("traceparent").unwrap().len(), 55);
        assert_ne!(one.get("x-request-id"), other.get("x-request-id"));
        let mut traced = Request::new(());
        traced.metadata_mut().insert(TRACEPARENT, "its-own".parse().unwrap());
        assert_eq!(credentials.call(traced).unwrap().metadata().get(TRACEPARENT).unwrap(), "its-own");
        assert!(one.get("grpc-timeout").is_some());
        assert!(!format!("{:?}", KeySource::Text("lk_x".into())).contains("lk_x"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let access = Access { ca: Some("/none/ca.pem".into()), ..Access::default() };
        assert!(access.endpoint("https://localhost").unwrap_err().contains("/none/ca.pem"));
        assert!(access.endpoint("ht tp").unwrap_err().contains("http://host:port"));
        access.endpoint("http://localhost:1").unwrap();
    }
}
