//! A link as people name it: by its code, as the code stands in a path, or by the whole address.

use exposition::unescaped;

/// A code, and the host that stood before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressedCode {
    /// Of a whole address, without its port.
    pub host: Option<String>,
    /// Without the slash in front of it.
    pub code: String,
}

/// What a person gives in the place of a code.
///
/// # Errors
/// It is an address without a code.
pub fn named(text: &str) -> Result<AddressedCode, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let code = text.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(text);
        return Ok(AddressedCode { host: None, code: code.to_owned() });
    };
    if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
        return Err(
            "is neither a code nor the address of a link, which begins with https:// or http://".to_owned()
        );
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    if path.is_empty() {
        return Err(
            "is an address without a code: give the code, or an address such as https://go.example/promo"
                .to_owned(),
        );
    }
    let code = unescaped(path).map_err(|why| format!("holds a code that {why}"))?;
    Ok(AddressedCode { host: Some(host(authority)), code: code.into_owned() })
}

/// Without a user and a port, as domains are named.
fn host(authority: &str) -> String {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = host.rsplit_once(':').filter(port).map_or(host, |(host, _)| host);
    host.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_without_what_is_around_them() {
        for (given, host, code) in [
            ("a", None, "a"),
            ("/a/b", None, "a/b"),
            ("/", None, "/"),
            ("https://go.example/promo?x#y", Some("go.example"), "promo"),
            ("HTTP://Go.Example.:8080/a/b", Some("go.example"), "a/b"),
            ("https://go.example//a", Some("go.example"), "a"),
            ("https://go.example/a%20b", Some("go.example"), "a b"),
            ("http://[::1]:8080/a", Some("[::1]"), "a"),
        ] {
            let want = AddressedCode { host: host.map(str::to_owned), code: code.to_owned() };
            assert_eq!(named(given), Ok(want), "{given}");
        }
        for wrong in
            ["https://go.example", "https://go.example/", "https://go.example/?x", "ftp://go.example/a"]
        {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
