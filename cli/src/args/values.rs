//! Values of flags as people write them: sizes, lengths of time, addresses, URLs.

use crate::address;
use edge::ListenAddress;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::Uri;

/// Memory: [`bytes`], and some.
pub fn size(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        0 => Err("leaves no memory for links".to_owned()),
        size => Ok(size),
    }
}

/// Bytes: a number, alone or with KiB, MiB or GiB (KB, MB, GB: powers of ten).
pub fn bytes(text: &str) -> Result<usize, String> {
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
    let bytes = text[..digits].parse::<usize>().map_err(|_| unknown)?.checked_mul(unit);
    bytes.ok_or_else(|| "is too large".to_owned())
}

/// How long a connection may be idle: from a second to a day, also in hours.
pub fn idle(text: &str) -> Result<Duration, String> {
    let hours = text.strip_suffix('h').map(str::trim).and_then(|hours| hours.parse::<u8>().ok());
    let time = match (hours, text.trim()) {
        (Some(hours), _) => Duration::from_secs(3_600 * u64::from(hours)),
        (None, "1d") => DAY,
        (None, text) => time(text)?,
    };
    let fits = (Duration::from_secs(1)..=DAY).contains(&time);
    if fits { Ok(time) } else { Err("is not from 1s to 1d".to_owned()) }
}

const DAY: Duration = Duration::from_secs(86_400);

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

/// The address of a receiver of traces (`--otlp`).
pub fn receiver_url(text: &str) -> Result<String, String> {
    bare_url(text.to_owned()).map_err(|why| {
        format!("{why}: a receiver of OTLP over gRPC is http://host:4317 or https://host:4317")
    })
}

/// With the scheme that may be left out, and the host of this machine.
pub fn server_url(text: &str) -> Result<String, String> {
    if text.contains(":/") && !text.contains("://") {
        return Err("lacks a / after its scheme: write http://host:port".to_owned());
    }
    let (scheme, place) = text.split_once("://").unwrap_or(("http", text));
    let url = format!("{scheme}://{}", address::whole(place));
    bare_url(url).map_err(|why| format!("{why}: it takes a URL such as http://127.0.0.1:8081"))
}

/// The host that relative targets are on, without a slash behind it.
pub fn base(text: &str) -> Result<String, String> {
    let url = bare_url(text.to_owned())
        .map_err(|why| format!("{why}: it takes a URL such as https://www.example"))?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// A field, and the column of a file that holds it.
pub fn column(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, column)) if !field.trim().is_empty() && !column.trim().is_empty() => {
            Ok((field.trim().to_owned(), column.trim().to_owned()))
        }
        _ => Err("is not of the form FIELD=COLUMN, such as code=slug".to_owned()),
    }
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

/// Where an edge listens: ADDRESS:PORT, `:8080` for all addresses, `localhost:8080` or `8080` for loopback, or a socket file.
pub fn front(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("names no socket file".to_owned())
        } else {
            Ok(ListenAddress::File(path.into()))
        };
    }
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    if let Some(port) = port(text.strip_prefix("localhost:").unwrap_or(text)) {
        return Ok(ListenAddress::Localhost(port));
    }
    if let Some(port) = text.strip_prefix(':').and_then(port) {
        return Ok(ListenAddress::Everywhere(port));
    }
    text.parse().map(ListenAddress::At).map_err(|_| {
        "is no address to listen on: give ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080; :8080 is every address of \
         this machine, localhost:8080 and 8080 are loopback"
            .to_owned()
    })
}

/// The same for a listener that has one address: of loopback that of IPv4.
pub fn listener(text: &str) -> Result<SocketAddr, String> {
    let listen = front(text)?;
    listen
        .addresses()
        .first()
        .copied()
        .ok_or_else(|| "is a socket file, which this listener cannot be".to_owned())
}

/// A domain in the form in which it is kept: of letters that are not ASCII in their own (UTS #46). What is none stays as it
/// is, for whoever is asked to say so.
#[allow(clippy::unnecessary_wraps)] // clap wants a result
pub fn domain(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(link::Domain::given(text).map_or_else(|_| text.to_owned(), |domain| domain.as_str().to_owned()))
}

/// A file of a domain: where it is answered, which file it is, and its content type if that is not to be guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFile {
    /// Without its leading slash.
    pub path: String,
    /// `None`: there shall be none.
    pub file: Option<PathBuf>,
    /// As it was given.
    pub content_type: Option<String>,
}

/// `PATH=FILE`, `PATH=FILE;type=TYPE`, or `PATH=` for no file at this path.
pub fn own_file(text: &str) -> Result<OwnFile, String> {
    let wrong = "is not PATH=FILE, such as .well-known/security.txt=security.txt";
    let (path, rest) = text.split_once('=').ok_or(wrong)?;
    let (file, content_type) = match rest.rsplit_once(";type=") {
        Some((file, content_type)) => (file, Some(content_type.to_owned())),
        None => (rest, None),
    };
    if path.is_empty() || (file.is_empty() && content_type.is_some()) {
        return Err(wrong.to_owned());
    }
    let path = path.strip_prefix('/').unwrap_or(path).to_owned();
    let file = (!file.is_empty()).then(|| PathBuf::from(file));
    Ok(OwnFile { path, file, content_type })
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
            ("localhost:8080", "127.0.0.1:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(listener(given), Ok(want.parse().unwrap()));
        }
        let everywhere = listener(":8080").unwrap();
        assert!(everywhere.ip().is_unspecified() && everywhere.port() == 8080);
        assert_eq!(front("localhost:8080"), Ok(ListenAddress::Localhost(8080)));
        assert_eq!(front(":0"), Ok(ListenAddress::Everywhere(0)));
        assert_eq!(front("unix:/run/linkr.sock"), Ok(ListenAddress::File("/run/linkr.sock".into())));
        for wrong in [
            "",
            ":",
            "here",
            "127.0.0.1",
            "localhost",
            "localhost:",
            "99999",
            ":+1",
            "::1:80",
            "http://127.0.0.1:80",
        ] {
            assert!(listener(wrong).is_err() && front(wrong).is_err(), "{wrong}");
        }
        assert!(front("unix:").is_err() && listener("unix:/run/linkr.sock").is_err());
    }

    #[test]
    fn idle_times() {
        let seconds = |text: &str| idle(text).map(|time| time.as_secs());
        for (text, want) in
            [("620s", 620), ("1", 1), ("2m", 120), ("60m", 3_600), ("24h", 86_400), ("1d", 86_400)]
        {
            assert_eq!(seconds(text), Ok(want), "{text}");
        }
        for wrong in ["", "0", "999ms", "25h", "2d", "-1h", "h", "1w", "never"] {
            assert!(idle(wrong).is_err(), "{wrong}");
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
        for (given, url) in [
            ("a:1", "http://a:1"),
            ("https://a", "https://a"),
            ("8081", "http://127.0.0.1:8081"),
            (":8081", "http://127.0.0.1:8081"),
            ("http://:8081", "http://127.0.0.1:8081"),
        ] {
            assert_eq!(server_url(given).as_deref(), Ok(url), "{given}");
        }
        for wrong in ["", ":", "a:1/v1", "ftp://a", "http:/a:1"] {
            assert!(server_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bases_and_columns() {
        assert_eq!(base("https://www.example/").as_deref(), Ok("https://www.example"));
        assert_eq!(base("http://a:8080").as_deref(), Ok("http://a:8080"));
        for wrong in ["www.example", "/", "", "ftp://a", "https://a/sub", "https://u@a"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
        assert_eq!(column("code=Short code"), Ok(("code".to_owned(), "Short code".to_owned())));
        for wrong in ["", "code", "code=", "=slug", " = "] {
            assert!(column(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("512 MiB"), Ok(512 << 20));
        assert_eq!(size("7"), Ok(7));
        assert_eq!((size("2KB"), size("2kB"), size("1MB")), (Ok(2_000), Ok(2_000), Ok(1_000_000)));
        assert!(size("0").is_err() && size("0GiB").is_err() && bytes("0") == Ok(0));
        assert!(size("GiB").is_err() && size("1XB").is_err() && size("99999999999GiB").is_err());
    }

    #[test]
    fn a_domain_is_taken_in_its_own_letters() {
        for (text, want) in [
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("Go.Example.", "go.example"),
            ("-", "-"),
            ("a b", "a b"),
            ("go.example:80", "go.example:80"),
        ] {
            assert_eq!(domain(text), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_file_of_a_domain_has_a_path_and_a_file() {
        let file = |path: &str, file: Option<&str>, content_type: Option<&str>| OwnFile {
            path: path.to_owned(),
            file: file.map(PathBuf::from),
            content_type: content_type.map(str::to_owned),
        };
        for (text, want) in [
            ("favicon.ico=a=b.ico", file("favicon.ico", Some("a=b.ico"), None)),
            ("/.well-known/x=f;type=a/b", file(".well-known/x", Some("f"), Some("a/b"))),
            (".well-known/x=", file(".well-known/x", None, None)),
        ] {
            assert_eq!(own_file(text), Ok(want), "{text}");
        }
        for text in ["favicon.ico", "=f", "x=;type=a/b"] {
            assert!(own_file(text).is_err(), "{text}");
        }
    }
}
