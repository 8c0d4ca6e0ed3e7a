//! Resource names.

use link::Key;

/// `domains/{domain}/links/{code}`.
pub fn link(key: &Key, domain: &str) -> String {
    format!("domains/{domain}/links/{}", code(key))
}

/// `domains/{domain}`.
pub fn domain(domain: &str) -> String {
    format!("domains/{domain}")
}

/// The code of a link, for people.
pub fn code(key: &Key) -> String {
    String::from_utf8_lossy(key.code()).into_owned()
}
