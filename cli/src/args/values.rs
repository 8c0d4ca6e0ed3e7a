//! Values of flags as people write them: sizes, times, addresses, URLs, codes.

use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::Uri;

/// Bytes: a number, alone or with KiB, MiB or GiB (KB, MB, GB: powers of ten).
pub fn size(text: &str) -> Result<usize, String> {
    let unknown = "is not a size such as 512MiB or 2GB: the units are KiB, MiB, GiB, KB, MB and GB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: usize = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(unknown.to_owned()),
    };
    match text[..digits].parse::<usize>().map_err(|_| unknown)?.checked_mul(unit) {
        Some(0) => Err("leaves no memory for links".to_owned()),
        Some(size) => Ok(size),
        None => Err("is too large".to_owned()),
    }
}

/// A time of at most an hour: a number of seconds, or with ms, s or m.
pub fn time(text: &str) -> Result<Duration, String> {
    let unknown = "is not a time such as 500ms, 10s or 2m";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim() {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        _ => return Err(unknown.to_owned()),
    };
    match text[..digits].parse::<u64>().map_err(|_| unknown)?.checked_mul(unit) {
        Some(ms @ 0..=3_600_000) => Ok(Duration::from_millis(ms)),
        _ => Err("is longer than an hour".to_owned()),
    }
}

/// Days of a certificate: clients of Apple's believe none that lasts longer, whoever signed it.
pub fn days(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(days @ 1..=825) => Ok(days),
        _ => Err("is no number of days from 1 to 825".to_owned()),
    }
}

/// Where visitors of the default domain come in.
pub fn base_url(text: &str) -> Result<control::BaseUrl, String> {
    control::BaseUrl::parse(text)
}

/// Where links are kept: a file or a database.
pub fn store(text: &str) -> Result<String, String> {
    let file = text.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty());
    let database = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if file || database {
        Ok(text.to_owned())
    } else {
        Err("links are kept in sqlite:PATH or postgres://USER@HOST/DATABASE".to_owned())
    }
}

/// As the edge takes it.
pub fn control_url(text: &str) -> Result<String, String> {
    bare_url(text.to_owned()).map_err(|why| format!("{why}: an address of control is http://host:port"))
}

/// With the scheme that may be left out.
pub fn server_url(text: &str) -> Result<String, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    bare_url(url).map_err(|why| format!("{why}: it takes a URL such as http://127.0.0.1:8081"))
}

/// Scheme, host and port: whatever else stood in it would be sent to nobody.
fn bare_url(url: String) -> Result<String, &'static str> {
    let scheme = url.starts_with("http://") || url.starts_with("https://");
    let parsed: Uri = url.parse().map_err(|_| "is none")?;
    let rest = parsed.path_and_query().map_or("/", |rest| rest.as_str());
    match parsed.authority().filter(|authority| scheme && !authority.host().is_empty()) {
        None => Err("is none"),
        Some(authority) if authority.as_str().contains('@') => {
            Err("holds a user name, which does nothing: keys do")
        }
        Some(_) if rest != "/" => Err("holds a path, which does nothing: leave it out"),
        Some(_) => Ok(url),
    }
}

/// Address and port; `localhost:8080`, `:8080` and `8080` are on loopback, as all is unless told otherwise.
pub fn listener(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = local.parse::<u16>() {
        return Ok(([127, 0, 0, 1], port).into());
    }
    text.parse().map_err(|_| {
        "is no address to listen on: give ADDRESS:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080"
            .to_owned()
    })
}

/// A code as it stands in a path; the slash in front of it is no part of it.
pub fn code(text: &str) -> Result<String, String> {
    let Some((_, rest)) = text.split_once("://") else {
        return Ok(text.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(text).to_owned());
    };
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match path {
        "" => Err("is a whole URL without a code in it: give the code alone".to_owned()),
        code => Err(format!("is a whole URL: give the code alone, here {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let ms = |ms| Ok(Duration::from_millis(ms));
        assert_eq!(
            (time("500ms"), time("10s"), time("10"), time("2 m"), time("0")),
            (ms(500), ms(10_000), ms(10_000), ms(120_000), ms(0))
        );
        assert!(time("60m").is_ok() && time("61m").is_err() && time("99999999999999999999s").is_err());
        assert!(["", "s", "1h", "1.5s", "-1s", "1us"].iter().all(|text| time(text).is_err()));
    }

    #[test]
    fn days_of_certificates() {
        assert_eq!((days("1"), days("825")), (Ok(1), Ok(825)));
        assert!(["", "0", "826", "-1", "90d", "1.5", "4294967297"].iter().all(|text| days(text).is_err()));
    }

    #[test]
    fn addresses_to_listen_on() {
        for (given, want) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(listener(given), Ok(want.parse().unwrap()));
        }
        for wrong in ["", ":", "here", "127.0.0.1", "localhost", "99999", "::1:80", "http://127.0.0.1:80"] {
            assert!(listener(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_hold_what_is_used() {
        for good in ["http://a:1", "https://a", "http://[::1]:1/"] {
            assert_eq!(control_url(good).as_deref(), Ok(good));
        }
        for wrong in [
            "a:1",
            "http://",
            "http://u@a",
            "http://u:p@a:1",
            "http://a/api",
            "http://a/?x",
            "ftp://a",
            "ht tp://a",
        ] {
            assert!(control_url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(server_url("a:1").as_deref(), Ok("http://a:1"));
    }

    #[test]
    fn codes_without_what_is_around_them() {
        assert_eq!(code("/a/b").as_deref(), Ok("a/b"));
        assert_eq!(code("a").as_deref(), Ok("a"));
        assert_eq!(code("/").as_deref(), Ok("/"));
        assert!(code("https://go.example/promo?x").unwrap_err().ends_with("here promo"));
        assert!(code("https://go.example").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("7"), Ok(7));
        assert_eq!((size("2KB"), size("2kB"), size("1MB")), (Ok(2_000), Ok(2_000), Ok(1_000_000)));
        assert!(size("0").is_err() && size("0GiB").is_err());
        assert!(size("GiB").is_err() && size("1XB").is_err() && size("99999999999GiB").is_err());
    }
}
