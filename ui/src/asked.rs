//! A request as this site reads it, whoever sends it. What is answered is not known here.

use crate::arrival::{self, Arrival, Turned};
use crate::form::{Pairs, href};
use axum::body::to_bytes;
use axum::extract::Request;
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderValue, Method, header};

/// Whether a path is of this site.
pub fn is_of_site(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

/// What was asked, by whomever.
pub struct Asked {
    /// How it arrived.
    pub arrival: Arrival,
    /// The host that it asked for.
    pub host: Authority,
    /// Its head.
    pub headers: HeaderMap,
    /// Its connection and its id, for the calls that are made for it.
    pub of: Extensions,
    /// GET, also for a HEAD, or another.
    pub method: Method,
    /// Where.
    pub path: String,
    /// The parameters behind it.
    pub query: Pairs,
    /// What a form sent; empty in a read.
    pub form: Pairs,
}

/// Why a request is not answered.
pub enum NotAsked {
    /// It may not come in.
    Turned(Turned),
    /// It is no form of this site; why.
    Unreadable(&'static str),
}

impl From<Turned> for NotAsked {
    fn from(turned: Turned) -> Self {
        Self::Turned(turned)
    }
}

impl Asked {
    /// Reads it, if it may come in; `most`: bytes of a form.
    ///
    /// # Errors
    /// Why it is not answered.
    pub async fn read(request: Request, most: usize) -> Result<Self, NotAsked> {
        let (parts, body) = request.into_parts();
        let arrival = parts.extensions.get::<Arrival>().copied().unwrap_or_default();
        let host = arrival::host(arrival, &parts.uri, &parts.headers)?;
        arrival::own_page(&host, &parts.method, &parts.headers)?;
        let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
        let form = if method == Method::GET {
            Pairs::default()
        } else {
            let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
            if !kind.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded") {
                return Err(NotAsked::Unreadable(
                    "A form of this site is sent as application/x-www-form-urlencoded.",
                ));
            }
            let bytes = to_bytes(body, most).await;
            Pairs::parse(
                &bytes.map_err(|_| NotAsked::Unreadable("The form broke off, or is longer than this page takes: 128 KiB, and 4 MiB for an import."))?,
            )
        };
        let query = Pairs::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let path = parts.uri.path().to_owned();
        Ok(Self { arrival, host, headers: parts.headers, of: parts.extensions, method, path, query, form })
    }

    /// Whether it changes nothing.
    pub fn reads(&self) -> bool {
        self.method == Method::GET
    }

    /// The address of these pages, as it was asked for.
    pub fn site(&self) -> String {
        let scheme = if self.arrival.secure { "https" } else { "http" };
        format!("{scheme}://{}/ui", self.host)
    }

    /// The address that was asked for, without its host.
    pub fn address(&self) -> String {
        let all: Vec<(&str, &str)> = self.query.iter().collect();
        href(&self.path, &all)
    }
}
