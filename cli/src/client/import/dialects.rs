//! Exports of other shorteners as CSV: a row becomes the links that it means there, or the reason why linkr has none for it.
//!
//! Column names are compared without case, spaces and the like. Columns that mean nothing here (ids, addresses of people)
//! are passed over, and told. What a shortener does unless a row says otherwise is carried: see [`known`].

mod shorteners;

use super::hosts::SourceDomain;
use super::row::{Reason, SourceLink};
use super::words::{boolean, list, plain};
use crate::args::Format;
use crate::client::fields::set_cell;
use proto::v1::{Link, QueryPolicy};
use shorteners::{Meaning, Shortener, known};

/// How the columns of one file are read.
pub struct Dialect {
    known: &'static Shortener,
    columns: Vec<Option<Meaning>>,
    /// The columns of the code: the first that a row has a value in counts. Other short URLs only say the host.
    codes: Vec<usize>,
    /// Times without an offset, which were read as UTC.
    assumed: u64,
}

/// What a row says.
#[derive(Default)]
struct RowContent {
    link: Link,
    codes: Vec<ShortAddress>,
    domain: Option<SourceDomain>,
    /// Of a short URL beside the code.
    host: Option<SourceDomain>,
    number: Option<SourceDomain>,
    /// A column of domains is empty.
    default: bool,
}

/// A code, and the host that stands before it.
struct ShortAddress {
    code: String,
    host: Option<SourceDomain>,
}

impl Dialect {
    /// For a file with this header; `None` for another form.
    ///
    /// # Errors
    /// Which column is missing.
    pub fn of(format: Format, header: &[String]) -> Option<Result<Self, String>> {
        let known = known(format)?;
        let header: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let mut columns = vec![None; header.len()];
        let (mut taken, mut codes) = (Vec::new(), Vec::new());
        for (name, meaning) in known.columns {
            let Some(at) = header.iter().position(|column| column == name) else { continue };
            if *meaning == Meaning::More || *meaning == Meaning::Short || !taken.contains(meaning) {
                columns[at] = Some(*meaning);
                taken.push(*meaning);
            }
            if matches!(meaning, Meaning::Code | Meaning::Short) {
                codes.push(at);
            }
        }
        let coded = [Meaning::Code, Meaning::Short, Meaning::More];
        let missing = [(&coded[..], "the code"), (&[Meaning::Field("target")], "the target")];
        for (needed, what) in missing {
            if !taken.iter().any(|meaning| needed.contains(meaning)) {
                let of = known.columns.iter().filter(|(_, meaning)| needed.contains(meaning));
                let of = of.map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                return Some(Err(format!(
                    "its first line names no column for {what}: there is none of {of}"
                )));
            }
        }
        Some(Ok(Self { known, columns, codes, assumed: 0 }))
    }

    /// What is taken from which column, and what the links do that do not say it, for people.
    pub fn decided(&self, header: &[String]) -> String {
        let (mut taken, mut passed) = (Vec::new(), Vec::new());
        for (at, name) in header.iter().enumerate() {
            match self.columns[at] {
                Some(meaning) => taken.push(format!("{} from '{name}'", self.word(at, meaning))),
                None => passed.push(format!("'{name}'")),
            }
        }
        let passed = match passed.is_empty() {
            true => String::new(),
            false => format!("; passed over: {}", passed.join(", ")),
        };
        format!("{}{passed}; {}", taken.join(", "), self.known.says)
    }

    /// Times without an offset so far.
    pub fn assumed(&self) -> u64 {
        self.assumed
    }

    fn word(&self, at: usize, meaning: Meaning) -> &'static str {
        match meaning {
            Meaning::Field(field) | Meaning::Time(field) => field,
            Meaning::Code | Meaning::Short if self.codes.first() == Some(&at) => "code",
            Meaning::Code | Meaning::Short => "host",
            Meaning::More => "more codes",
            Meaning::Domain | Meaning::DomainNumber => "domain",
            Meaning::Tags => "tags",
            Meaning::Created => "create_time",
            Meaning::Banned | Meaning::Live => "disabled",
            Meaning::Forwards => "query",
            Meaning::Status => "status",
            Meaning::Lacking(_) | Meaning::Without(_) => "what cannot be carried over",
        }
    }

    /// The links of a row: one for each of its codes.
    pub fn links(&mut self, cells: &[String]) -> Vec<Result<SourceLink, Reason>> {
        match self.read(cells) {
            Ok(said) => said.found().into_iter().map(Ok).collect(),
            Err(reason) => vec![Err(reason)],
        }
    }

    fn read(&mut self, cells: &[String]) -> Result<RowContent, Reason> {
        let mut said = RowContent::default();
        said.link.status = self.known.status;
        said.link.set_query(self.known.query);
        let mut assumed = 0;
        let has = |at: &&usize| cells.get(**at).is_some_and(|cell| !is_nothing(cell.trim()));
        let code = self.codes.iter().find(has).copied();
        for (at, cell) in cells.iter().enumerate() {
            let Some(meaning) = self.columns.get(at).copied().flatten() else { continue };
            let cell = cell.trim();
            if is_nothing(cell) {
                said.default |= matches!(meaning, Meaning::Domain | Meaning::DomainNumber);
                continue;
            }
            match meaning {
                Meaning::Code => said.codes.insert(0, ShortAddress::slug(cell)),
                Meaning::Short if code == Some(at) => said.codes.insert(0, ShortAddress::short(cell)),
                Meaning::Short => said.host = said.host.or(ShortAddress::short(cell).host),
                Meaning::More => said.codes.extend(list(cell).iter().map(|one| ShortAddress::short(one))),
                Meaning::Domain if cell.eq_ignore_ascii_case("default") => said.default = true,
                Meaning::Domain => said.domain = Some(SourceDomain::host(cell)),
                Meaning::DomainNumber => said.number = Some(SourceDomain::Number(cell.to_owned())),
                Meaning::Tags => said.link.tags = list(cell),
                // A form of time that is not known here is no reason to leave a link behind.
                Meaning::Created => said.link.create_time = proto::time::read(&time(cell, true).0).ok(),
                Meaning::Time(field) => {
                    let (text, utc) = time(cell, false);
                    assumed += u64::from(utc);
                    invalid(&mut said.link, field, &text)?;
                }
                Meaning::Field(field) => invalid(&mut said.link, field, cell)?,
                Meaning::Banned => said.link.disabled = yes(cell, "banned")?,
                Meaning::Live => said.link.disabled = !live(cell)?,
                Meaning::Forwards if !yes(cell, "the column of forwarding")? => {
                    said.link.set_query(QueryPolicy::Drop);
                }
                Meaning::Forwards => {}
                Meaning::Status => invalid(&mut said.link, "status", cell)?,
                Meaning::Without(_) if boolean(cell) == Some(false) => {}
                Meaning::Lacking(what) | Meaning::Without(what) => {
                    return Err(("LACKING", format!("has {what}, for which linkr has nothing")));
                }
            }
        }
        if !self.known.keeps_out.is_empty() {
            leave_out(self.known.keeps_out, &mut said.link);
        }
        // A browser may keep these two for good: linkr wants to be told for how long, and here nobody says it.
        if matches!(said.link.status, 301 | 308) {
            said.link.max_age = Some(0);
        }
        self.assumed += assumed;
        Ok(said)
    }
}

impl RowContent {
    fn found(mut self) -> Vec<SourceLink> {
        let default = self.default.then_some(SourceDomain::Default);
        let place = self.domain.or(self.host).or(self.number).or(default).unwrap_or(SourceDomain::Unsaid);
        if self.codes.is_empty() {
            self.codes.push(ShortAddress { code: String::new(), host: None });
        }
        let mut found: Vec<SourceLink> = Vec::new();
        for ShortAddress { code, host } in self.codes {
            let place = host.unwrap_or_else(|| place.clone());
            if found.iter().all(|one| one.link.code != code || one.place != place) {
                found.push(SourceLink { link: Link { code, ..self.link.clone() }, place });
            }
        }
        found
    }
}

impl ShortAddress {
    /// `abc` of `abc`, `/abc` and `https://bit.ly/abc`.
    fn slug(cell: &str) -> Self {
        match cell.contains("://") {
            true => Self::short(cell),
            false => Self { code: cell.strip_prefix('/').unwrap_or(cell).to_owned(), host: None },
        }
    }

    /// The same, and of `bit.ly/abc`.
    fn short(cell: &str) -> Self {
        let (rest, is_url) = match cell.split_once("://") {
            Some((_, behind)) => (behind, true),
            None => (cell, false),
        };
        let (host, code) = match rest.split_once('/') {
            Some(("", code)) if !is_url => (None, code),
            Some((host, code)) if is_url || host.contains('.') => (Some(SourceDomain::host(host)), code),
            None if is_url => (Some(SourceDomain::host(rest)), ""),
            _ => (None, rest),
        };
        Self { code: code.to_owned(), host }
    }
}

/// What a database writes for nothing.
fn is_nothing(cell: &str) -> bool {
    matches!(cell, "" | "NULL" | "null" | "\\N" | "[]")
}

fn invalid(link: &mut Link, field: &str, cell: &str) -> Result<(), Reason> {
    set_cell(link, field, cell).map_err(|why| ("INVALID", format!("{field} {why}")))
}

fn yes(cell: &str, what: &str) -> Result<bool, Reason> {
    boolean(cell).ok_or_else(|| ("INVALID", format!("{what} is neither true nor false: {cell}")))
}

fn live(cell: &str) -> Result<bool, Reason> {
    match cell.to_ascii_lowercase().as_str() {
        "active" | "enabled" => Ok(true),
        "inactive" | "disabled" | "paused" | "archived" | "expired" => Ok(false),
        _ => yes(cell, "whether it is active"),
    }
}

/// Without this pair in the target's query, which keeps a visitor's out.
fn leave_out(pair: &str, link: &mut Link) {
    let (rest, fragment) = link.target.split_at(link.target.find('#').unwrap_or(link.target.len()));
    let Some((base, query)) = rest.split_once('?') else { return };
    let kept: Vec<&str> = query.split('&').filter(|one| *one != pair).collect();
    if kept.len() < query.split('&').count() {
        let mark = if kept.is_empty() { "" } else { "?" };
        link.target = format!("{base}{mark}{}{fragment}", kept.join("&"));
        link.set_query(QueryPolicy::Drop);
    }
}

/// As in RFC 3339, and whether that took UTC for granted: `2024-01-31 12:00:00` of a database has no offset, and others lack
/// its colon or its minutes.
fn time(cell: &str, date_alone: bool) -> (String, bool) {
    const MINUTES: usize = "2024-01-31T12:00".len();
    if date_alone && cell.len() == "2024-01-31".len() {
        return (format!("{cell}T00:00:00Z"), true);
    }
    let mut text = cell.replacen(' ', "T", 1).replace(' ', "");
    let behind = text.get(MINUTES..).unwrap_or_default();
    match behind.rfind(['+', '-']).map(|at| (at, behind[at + 1..].len())) {
        Some((at, 4)) => text.insert(MINUTES + at + 3, ':'),
        Some((_, 2)) => text.push_str(":00"),
        None if !behind.ends_with(['Z', 'z']) && text.len() >= MINUTES => {
            text.push('Z');
            return (text, true);
        }
        _ => {}
    }
    (text, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(format: Format, header: &str, row: &str) -> Result<Vec<Result<SourceLink, Reason>>, String> {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        let mut dialect = Dialect::of(format, &header).unwrap()?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_bytes());
        let cells = reader.records().next().unwrap().unwrap();
        Ok(dialect.links(&cells.iter().map(str::to_owned).collect::<Vec<_>>()))
    }

    fn link(format: Format, header: &str, text: &str) -> Result<Link, String> {
        let first = row(format, header, text)?.remove(0);
        first.map(|found| found.link).map_err(|(reason, _)| reason.to_owned())
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
        assert_eq!((&shlink.tags[..], shlink.imported_clicks), (&["x".to_owned(), "y".into()][..], 7));
        assert_eq!(shlink.create_time.unwrap().to_string(), "2024-01-31T10:00:00Z");
        let yourls = link(
            Format::YourlsCsv,
            "keyword,url,title,timestamp,ip,clicks",
            "k,https://a.example/,T,2024-01-31 12:00:00,127.0.0.1,3",
        );
        let yourls = yourls.unwrap();
        assert_eq!(
            (&*yourls.code, yourls.create_time.unwrap().to_string(), yourls.imported_clicks),
            ("k", "2024-01-31T12:00:00Z".into(), 3)
        );
        let bitly = link(
            Format::BitlyCsv,
            "created_at,id,link,custom_bitlinks,long_url,title,archived,tags",
            "2019-09-30T17:21:03+0000,bit.ly/1,https://bit.ly/1,[],https://a.example/,T,false,\"[\"\"x\"\"]\"",
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
        let kutt = |row| {
            link(Format::KuttCsv, "id,address,target,description,banned,password,expire_in,visit_count", row)
        };
        let good = kutt("1,k,https://a.example/,N,true,,2030-01-01T00:00:00.000Z,12").unwrap();
        assert_eq!((&*good.code, &*good.note, good.disabled, good.imported_clicks), ("k", "N", true, 12));
        assert_eq!(good.expire_time.unwrap().to_string(), "2030-01-01T00:00:00Z");
        assert_eq!(kutt("1,k,https://a.example/,N,0,$2a$,,"), Err("LACKING".into()));
        assert_eq!(kutt("1,k,https://a.example/,N,0,NULL,soon,"), Err("INVALID".into()));
        assert_eq!(kutt("1,k,https://a.example/,N,0,NULL,,many"), Err("INVALID".into()));
        let rebrandly = link(
            Format::RebrandlyCsv,
            "Id,Title,SlashTag,Destination,ShortUrl,Created At,Clicks,Status",
            "ab,T,r,https://a.example/,go.example/r,2022-01-01T00:00:00.000Z,5,active",
        );
        let rebrandly = rebrandly.unwrap();
        assert_eq!((&*rebrandly.code, rebrandly.status, rebrandly.max_age), ("r", 301, Some(0)));
        assert_eq!(rebrandly.imported_clicks, 5);
        let short_io = link(
            Format::ShortIoCsv,
            "Original URL,Short URL,Path,Created At,Tags",
            "https://a.example/,https://go.example/s,s,2022-01-01,",
        );
        let short_io = short_io.unwrap();
        assert_eq!((&*short_io.code, short_io.status), ("s", 302));
        assert_eq!(short_io.create_time.unwrap().to_string(), "2022-01-01T00:00:00Z");
    }

    #[test]
    fn what_a_shortener_does_unless_told_otherwise_comes_along() {
        use Format::{BitlyCsv, KuttCsv, RebrandlyCsv, ShlinkCsv, ShortIoCsv, YourlsCsv};
        use QueryPolicy::{Drop, Override};
        for (format, header, text, want) in [
            (ShlinkCsv, "Long URL,Short code", "https://a.example/p?a=1,c", (302, Override)),
            (ShlinkCsv, "longUrl,shortCode,forwardQuery", "https://a.example/,c,true", (302, Override)),
            (ShlinkCsv, "longUrl,shortCode,forwardQuery", "https://a.example/,c,FALSE", (302, Drop)),
            (ShlinkCsv, "longUrl,shortCode,forwardQuery", "https://a.example/,c,0", (302, Drop)),
            (ShlinkCsv, "longUrl,shortCode,forwardQuery", "https://a.example/,c,", (302, Override)),
            (YourlsCsv, "keyword,url", "c,https://a.example/", (301, Drop)),
            (BitlyCsv, "id,long_url", "go.example/c,https://a.example/", (301, Override)),
            (KuttCsv, "address,target", "c,https://a.example/", (302, Drop)),
            (RebrandlyCsv, "slashtag,destination", "c,https://a.example/", (301, Override)),
            (
                RebrandlyCsv,
                "slashtag,destination,forwardParameters",
                "c,https://a.example/,false",
                (301, Drop),
            ),
            (ShortIoCsv, "path,originalURL,redirectType", "c,https://a.example/,", (302, Override)),
            (ShortIoCsv, "path,originalURL,redirectType", "c,https://a.example/,307", (307, Override)),
        ] {
            let link = link(format, header, text).unwrap();
            assert_eq!((&*link.code, (link.status, link.query())), ("c", want), "{text}");
            assert_eq!(link.max_age, (link.status == 301).then_some(0), "{text}");
        }
        let unmerged = |target: &str| {
            let link = link(ShortIoCsv, "path,originalURL", &format!("c,{target}")).unwrap();
            (link.target.clone(), link.query())
        };
        assert_eq!(unmerged("https://a.example/?shortio_nomerge=1"), ("https://a.example/".into(), Drop));
        assert_eq!(
            unmerged("https://a.example/?b=1&shortio_nomerge=1#f"),
            ("https://a.example/?b=1#f".into(), Drop)
        );
        assert_eq!(unmerged("https://a.example/?b=shortio_nomerge=1").1, Override);
        assert_eq!(
            link(ShlinkCsv, "longUrl,shortCode,forwardQuery", "https://a.example/,c,maybe"),
            Err("INVALID".into())
        );
    }

    #[test]
    fn every_code_that_was_printed_is_a_link() {
        let codes = |header: &str, text: &str| {
            let found = row(Format::BitlyCsv, header, text).unwrap().into_iter().map(Result::unwrap);
            found.map(|one| format!("{} {}", one.place.name(), one.link.code)).collect::<Vec<_>>()
        };
        let header = "id,link,custom_bitlinks,long_url";
        for (cells, want) in [
            (
                "go.example/1,https://go.example/1,\"[\"\"https://go.example/my-name\"\"]\",https://a.example/",
                &["go.example 1", "go.example my-name"][..],
            ),
            (
                "bit.ly/1,,\"[\"\"https://a.test/x\"\",\"\"b.test/y\"\"]\",https://a.example/",
                &["bit.ly 1", "a.test x", "b.test y"],
            ),
            ("bit.ly/1,https://bit.ly/1,https://bit.ly/1,https://a.example/", &["bit.ly 1"]),
            (
                "bit.ly/1,https://bit.ly/1,bit.ly/n|bit.ly/m,https://a.example/",
                &["bit.ly 1", "bit.ly n", "bit.ly m"],
            ),
            ("bit.ly/1,,[],https://a.example/", &["bit.ly 1"]),
        ] {
            assert_eq!(codes(header, cells), want, "{cells}");
        }
        assert_eq!(codes("custom_bitlink,long_url", "a.test/x,https://a.example/"), ["a.test x"]);
    }

    #[test]
    fn a_word_for_no_is_no_password() {
        let kutt = |banned: &str, password: &str| {
            let cells = format!("k,{banned},{password},https://a.example/");
            link(Format::KuttCsv, "address,banned,password,target", &cells).map(|link| link.disabled)
        };
        for none in ["false", "FALSE", "False", "f", "0", "no", "", "NULL"] {
            assert_eq!(kutt("false", none), Ok(false), "{none}");
        }
        for password in ["true", "t", "1", "$2a$12$abc", "hunter2"] {
            assert_eq!(kutt("false", password), Err("LACKING".into()), "{password}");
        }
        assert_eq!((kutt("True", ""), kutt("T", ""), kutt("yes", "")), (Ok(true), Ok(true), Ok(true)));
        assert_eq!(kutt("perhaps", ""), Err("INVALID".into()));
        let limit = |visits: &str| {
            link(Format::ShlinkCsv, "shortCode,longUrl,maxVisits", &format!("s,https://a.example/,{visits}"))
        };
        assert!(limit("").is_ok() && limit("0").is_err() && limit("10").is_err());
        let live = |status: &str| {
            let cells = format!("r,https://a.example/,{status}");
            link(Format::RebrandlyCsv, "slashtag,destination,status", &cells).map(|link| link.disabled)
        };
        assert_eq!((live("active"), live("Inactive"), live("")), (Ok(false), Ok(true), Ok(false)));
        assert_eq!(live("other"), Err("INVALID".into()));
    }

    #[test]
    fn where_a_row_has_its_link() {
        use Format::{KuttCsv, ShlinkCsv, YourlsCsv};
        let host = |name: &str| SourceDomain::Host(name.to_owned());
        for (format, header, cells, want) in [
            (ShlinkCsv, "shortCode,longUrl,domain", "c,https://a.example/,", SourceDomain::Default),
            (
                ShlinkCsv,
                "shortCode,longUrl,domain",
                "c,https://a.example/,Go.Example:8080",
                host("go.example"),
            ),
            (ShlinkCsv, "shortCode,longUrl,domain", "c,https://a.example/,DEFAULT", SourceDomain::Default),
            (ShlinkCsv, "shortCode,longUrl", "c,https://a.example/", SourceDomain::Unsaid),
            (
                ShlinkCsv,
                "shortCode,longUrl,domain,shortUrl",
                "c,https://a.example/,,https://s.test/c",
                host("s.test"),
            ),
            (KuttCsv, "address,target,domain_id", "c,https://a.example/,7", SourceDomain::Number("7".into())),
            (KuttCsv, "address,target,domain_id", "c,https://a.example/,", SourceDomain::Default),
            (KuttCsv, "address,target,link", "c,https://a.example/,https://go.example/c", host("go.example")),
            (KuttCsv, "address,target,link", "c,https://a.example/,", SourceDomain::Unsaid),
            (YourlsCsv, "shorturl,url", "https://go.example/c,https://a.example/", host("go.example")),
            (YourlsCsv, "shorturl,url", "go.example/c,https://a.example/", host("go.example")),
            (YourlsCsv, "keyword,url", "/c,https://a.example/", SourceDomain::Unsaid),
        ] {
            let found = row(format, header, cells).unwrap().remove(0).unwrap();
            assert_eq!((&*found.link.code, found.place), ("c", want), "{header}: {cells}");
        }
        // A slug may look like a host.
        let slug = link(ShlinkCsv, "shortCode,longUrl", "v1.2/notes,https://a.example/").unwrap();
        assert_eq!(slug.code, "v1.2/notes");
    }

    #[test]
    fn times_without_an_offset_are_counted() {
        for (cell, moment, utc) in [
            ("2024-01-31 12:00:00.5+02", "2024-01-31T10:00:00.500Z", 0),
            ("2024-01-31 12:00:00+0230", "2024-01-31T09:30:00Z", 0),
            ("2024-01-31 12:00:00 +0200", "2024-01-31T10:00:00Z", 0),
            ("2030-01-01T00:00:00+01:00", "2029-12-31T23:00:00Z", 0),
            ("2024-01-31T12:00Z", "2024-01-31T12:00:00Z", 0),
            ("2024-01-31T12:00:00", "2024-01-31T12:00:00Z", 1),
            ("2024-01-31 12:00", "2024-01-31T12:00:00Z", 1),
        ] {
            let header = ["shortCode", "longUrl", "validUntil"].map(str::to_owned);
            let mut dialect =
                Dialect::of(Format::ShlinkCsv, &header).unwrap().unwrap_or_else(|e| panic!("{e}"));
            let cells = ["c".to_owned(), "https://a.example/".into(), cell.into()];
            let link = dialect.links(&cells).remove(0).map(|found| found.link).unwrap();
            assert_eq!(
                (link.expire_time.unwrap().to_string().as_str(), dialect.assumed()),
                (moment, utc),
                "{cell}"
            );
        }
        for cell in
            ["2030-01-31", "tomorrow", "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}", "1706702400"]
        {
            let cells = format!("c,https://a.example/,{cell}");
            assert_eq!(
                link(Format::ShlinkCsv, "shortCode,longUrl,validUntil", &cells),
                Err("INVALID".into()),
                "{cell}"
            );
        }
    }

    #[test]
    fn a_file_without_what_is_needed() {
        let missing = link(Format::KuttCsv, "id,target", "1,x").unwrap_err();
        assert!(missing.contains("for the code: there is none of address, link"), "{missing}");
        let header = ["Long URL", "Short code", "visits", "Cropped"].map(str::to_owned);
        let dialect = Dialect::of(Format::ShlinkCsv, &header).unwrap().unwrap_or_else(|e| panic!("{e}"));
        let said = dialect.decided(&header);
        assert!(
            said.starts_with(
                "target from 'Long URL', code from 'Short code', imported_clicks from 'visits'; passed over: 'Cropped'; "
            ),
            "{said}"
        );
        assert!(said.contains("unless forwardQuery is false"), "{said}");
    }
}
