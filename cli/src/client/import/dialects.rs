//! Exports of other shorteners as CSV: which of their columns mean what, and which of their links cannot be carried over.
//!
//! Column names are compared without case, spaces and underscores. Columns that mean nothing here (visits, addresses of
//! people) are passed over. Shlink: the export of its web client. YOURLS: its table `yourls_url`, which its export plugins
//! write. Bitly: the fields of its links. Kutt: the columns of its table `links`.

use crate::args::Format;
use crate::client::fields::set_cell;
use proto::v1::Link;

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// A field as it stands.
    Field(&'static str),
    /// The code, alone or as the path of a URL.
    Code,
    /// Tags behind one another.
    Tags,
    /// A time of which only people take notice.
    Created,
    /// A time that the redirect depends on.
    Time(&'static str),
    /// Whether it answers no more.
    Banned,
    /// What linkr has nothing for: a row that has it is refused.
    Lacking(&'static str),
}

use Meaning::{Banned, Code, Created, Field, Lacking, Tags, Time};

type Columns = &'static [(&'static str, Meaning)];

/// Of two columns for one field the first here counts.
const SHLINK: Columns = &[
    ("shortcode", Code),
    ("shorturl", Code),
    ("longurl", Field("target")),
    ("title", Field("title")),
    ("tags", Tags),
    ("createdat", Created),
    ("datecreated", Created),
    ("domain", Field("domain")),
    ("validsince", Time("not_before")),
    ("validuntil", Time("expire_time")),
    ("maxvisits", Lacking("a limit of visits")),
];
const YOURLS: Columns = &[
    ("keyword", Code),
    ("source", Code),
    ("shorturl", Code),
    ("url", Field("target")),
    ("longurl", Field("target")),
    ("target", Field("target")),
    ("title", Field("title")),
    ("timestamp", Created),
];
const BITLY: Columns = &[
    ("custombitlink", Code),
    ("bitlink", Code),
    ("link", Code),
    ("shortlink", Code),
    ("shorturl", Code),
    ("id", Code),
    ("longurl", Field("target")),
    ("destinationurl", Field("target")),
    ("title", Field("title")),
    ("tags", Tags),
    ("createdat", Created),
    ("datecreated", Created),
    ("created", Created),
];
const KUTT: Columns = &[
    ("address", Code),
    ("link", Code),
    ("target", Field("target")),
    ("description", Field("note")),
    ("createdat", Created),
    ("domain", Field("domain")),
    ("expirein", Time("expire_time")),
    ("banned", Banned),
    ("password", Lacking("a password")),
];

/// How the columns of one file are read.
pub struct Dialect {
    columns: Vec<Option<Meaning>>,
    /// The one that the file began with.
    domain: Option<String>,
}

impl Dialect {
    /// For a file with this header; `None` for a form of linkr's own.
    ///
    /// # Errors
    /// Which column is missing.
    pub fn of(format: Format, header: &[String]) -> Option<Result<Self, String>> {
        let known = match format {
            Format::ShlinkCsv => SHLINK,
            Format::YourlsCsv => YOURLS,
            Format::BitlyCsv => BITLY,
            Format::KuttCsv => KUTT,
            Format::Csv | Format::Jsonl | Format::NginxMap | Format::HaproxyMap => return None,
        };
        let plain = |name: &String| {
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
        };
        let header: Vec<String> = header.iter().map(plain).collect();
        let mut columns = vec![None; header.len()];
        let mut taken = Vec::new();
        for (name, meaning) in known {
            if let Some(at) = header.iter().position(|column| column == name)
                && !taken.contains(meaning)
            {
                columns[at] = Some(*meaning);
                taken.push(*meaning);
            }
        }
        for (needed, what) in [(Code, "the code"), (Field("target"), "the target")] {
            if !taken.contains(&needed) {
                let of = known.iter().filter(|(_, meaning)| *meaning == needed).map(|(name, _)| *name);
                let of = of.collect::<Vec<_>>().join(", ");
                return Some(Err(format!(
                    "its first line names no column for {what}: there is none of {of}"
                )));
            }
        }
        Some(Ok(Self { columns, domain: None }))
    }

    /// The link of a row.
    ///
    /// # Errors
    /// Why it is none, for programs and for people.
    pub fn link(&mut self, cells: &[String], into: &str) -> Result<Link, (&'static str, String)> {
        let mut link = Link::default();
        for (cell, meaning) in cells.iter().map(|cell| cell.trim()).zip(&self.columns) {
            // What a database writes for nothing.
            if matches!(cell, "" | "NULL" | "null" | "\\N" | "[]") {
                continue;
            }
            match meaning {
                None => {}
                Some(Code) => path_of(cell).clone_into(&mut link.code),
                Some(Tags) => link.tags = tags(cell),
                // A form of time that is not known here is no reason to leave a link behind.
                Some(Created) => link.create_time = proto::time::read(&time(cell)).ok(),
                Some(Time(field)) => invalid(&mut link, field, &time(cell))?,
                Some(Field(field)) => invalid(&mut link, field, cell)?,
                Some(Banned) => link.disabled = matches!(cell, "1" | "t" | "true" | "TRUE"),
                Some(Lacking(what)) => {
                    return Err(("LACKING", format!("has {what}, for which linkr has nothing")));
                }
            }
        }
        self.check_domain(&mut link, into)?;
        Ok(link)
    }

    /// Into the default domain goes the first one that comes.
    fn check_domain(&mut self, link: &mut Link, into: &str) -> Result<(), (&'static str, String)> {
        if into != "-" || link.domain.is_empty() {
            return Ok(());
        }
        let own = std::mem::take(&mut link.domain);
        let first = self.domain.get_or_insert_with(|| own.clone());
        if *first == own {
            return Ok(());
        }
        Err(("DOMAIN", format!("is of {own}, and the file began with {first}: see --domain")))
    }
}

fn invalid(link: &mut Link, field: &str, cell: &str) -> Result<(), (&'static str, String)> {
    set_cell(link, field, cell).map_err(|why| ("INVALID", format!("{field} {why}")))
}

/// `abc` of `abc`, `/abc`, `bit.ly/abc` and `https://bit.ly/abc`.
fn path_of(cell: &str) -> &str {
    let (cell, with_host) = match cell.split_once("://") {
        Some((_, behind)) => (behind, true),
        None => (cell, false),
    };
    match cell.split_once('/') {
        Some((host, path)) if with_host || host.is_empty() || host.contains('.') => path,
        _ => cell,
    }
}

fn tags(cell: &str) -> Vec<String> {
    let tags = cell.trim_matches(['[', ']']).split(['|', ',', ';']);
    tags.map(|tag| tag.trim().trim_matches('"').to_owned()).filter(|tag| !tag.is_empty()).collect()
}

/// As in RFC 3339: `2024-01-31 12:00:00` of a database is meant in UTC, and an offset may lack its colon or its minutes.
fn time(cell: &str) -> String {
    let mut text = cell.replacen(' ', "T", 1);
    let behind = text.get(19..).unwrap_or_default();
    match behind.rfind(['+', '-']).map(|at| (at, behind[at + 1..].len())) {
        Some((at, 4)) => text.insert(19 + at + 3, ':'),
        Some((_, 2)) => text.push_str(":00"),
        None if !behind.ends_with(['Z', 'z']) => text.push('Z'),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(format: Format, header: &str, row: &str) -> Result<Link, String> {
        let split = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut dialect = Dialect::of(format, &split(header)).unwrap()?;
        dialect.link(&split(row), "-").map_err(|(reason, _)| reason.to_owned())
    }

    #[test]
    fn rows_of_each() {
        let shlink = link(
            Format::ShlinkCsv,
            "createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits",
            "2024-01-31T12:00:00+02:00,s.test,ab/c,https://s.test/ab/c,https://a.example/,T,x|y,7",
        );
        let shlink = shlink.unwrap();
        assert_eq!((&*shlink.code, &*shlink.target, &*shlink.title), ("ab/c", "https://a.example/", "T"));
        assert_eq!((shlink.tags, shlink.domain.as_str()), (vec!["x".to_owned(), "y".into()], ""));
        assert_eq!(shlink.create_time.unwrap().to_string(), "2024-01-31T10:00:00Z");
        let yourls = link(
            Format::YourlsCsv,
            "keyword,url,title,timestamp,ip,clicks",
            "k,https://a.example/,T,2024-01-31 12:00:00,127.0.0.1,3",
        );
        let yourls = yourls.unwrap();
        assert_eq!(
            (&*yourls.code, yourls.create_time.unwrap().to_string()),
            ("k", "2024-01-31T12:00:00Z".into())
        );
        let bitly = link(
            Format::BitlyCsv,
            "created_at,id,link,custom_bitlinks,long_url,title,archived,tags",
            "2019-09-30T17:21:03+0000,bit.ly/1,https://bit.ly/1,[],https://a.example/,T,false,[\"x\"]",
        );
        let bitly = bitly.unwrap();
        assert_eq!((&*bitly.code, &bitly.tags[..]), ("1", &["x".to_owned()][..]));
        let bitly = link(
            Format::BitlyCsv,
            "Created,Bitlink,Long URL,Tags",
            "2019-09-30T17:21:03+0000,bit.ly/1,https://a.example/,x;y",
        );
        let bitly = bitly.unwrap();
        assert_eq!((&*bitly.code, bitly.tags.len()), ("1", 2));
        assert_eq!(bitly.create_time.unwrap().to_string(), "2019-09-30T17:21:03Z");
        for (cell, moment) in [
            ("2024-01-31 12:00:00.5+02", "2024-01-31T10:00:00.500Z"),
            ("2024-01-31 12:00:00+0230", "2024-01-31T09:30:00Z"),
            ("2024-01-31T12:00:00", "2024-01-31T12:00:00Z"),
        ] {
            let row =
                link(Format::YourlsCsv, "keyword,url,timestamp", &format!("k,https://a.example/,{cell}"));
            assert_eq!(row.unwrap().create_time.unwrap().to_string(), moment, "{cell}");
        }
        let kutt =
            |row| link(Format::KuttCsv, "id,address,target,description,banned,password,expire_in", row);
        let good = kutt("1,k,https://a.example/,N,true,,2030-01-01T00:00:00.000Z").unwrap();
        assert_eq!((&*good.code, &*good.note, good.disabled), ("k", "N", true));
        assert_eq!(good.expire_time.unwrap().to_string(), "2030-01-01T00:00:00Z");
        assert_eq!(kutt("1,k,https://a.example/,N,0,$2a$,"), Err("LACKING".into()));
        assert_eq!(kutt("1,k,https://a.example/,N,0,NULL,soon"), Err("INVALID".into()));
    }

    #[test]
    fn a_file_without_what_is_needed_and_one_of_two_domains() {
        let missing = link(Format::KuttCsv, "id,target", "1,x").unwrap_err();
        assert!(missing.contains("for the code: there is none of address, link"), "{missing}");
        let header = ["short code", "Long URL", "domain"].map(str::to_owned);
        let mut dialect = Dialect::of(Format::ShlinkCsv, &header).unwrap().unwrap_or_else(|e| panic!("{e}"));
        let mut row = |domain: &str, into: &str| {
            let cells = ["a".to_owned(), "https://a.example/".into(), domain.into()];
            dialect.link(&cells, into).map(|link| link.domain).map_err(|(reason, _)| reason)
        };
        assert_eq!((row("a.test", "-"), row("a.test", "-")), (Ok(String::new()), Ok(String::new())));
        assert_eq!((row("b.test", "-"), row("", "-")), (Err("DOMAIN"), Ok(String::new())));
        assert_eq!(row("b.test", "b.test"), Ok("b.test".into()));
    }
}
