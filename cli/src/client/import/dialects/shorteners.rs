//! What the columns of other shorteners' exports mean, and what those do with a link unless its row says otherwise.
//!
//! Shlink: the export of its web client, and the fields of its API. YOURLS: its table `yourls_url`, which its export plugins
//! write. Bitly: the fields of its links. Kutt: the columns of its table `links`. Rebrandly and Short.io: their exports, and
//! the fields of their APIs.

use crate::args::Format;
use proto::v1::QueryPolicy::{self, Drop, Override};

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A field as it stands.
    Field(&'static str),
    /// The code.
    Code,
    /// The code as the path of a URL, whose host may be told.
    Short,
    /// More codes of the same link, as [`Meaning::Short`].
    More,
    /// The domain by its name.
    Domain,
    /// The domain by its number.
    DomainNumber,
    /// Tags behind one another.
    Tags,
    /// A time of which only people take notice.
    Created,
    /// A time that the redirect depends on.
    Time(&'static str),
    /// Whether it answers no more.
    Banned,
    /// Whether it answers: `active`.
    Live,
    /// Whether a visitor's query is passed on.
    Forwards,
    /// The status of the redirect.
    Status,
    /// What linkr has nothing for: a row that has it is refused.
    Lacking(&'static str),
    /// The same, and a word for no is none: `false`, `0`.
    Without(&'static str),
}

use Meaning::{
    Banned, Code, Created, Domain, DomainNumber, Field, Forwards, Lacking, Live, More, Short, Status, Tags,
    Time, Without,
};

/// What is known of one shortener.
pub struct Shortener {
    /// Names of columns, in lower case and without spaces and the like. Of two columns for one meaning the first here
    /// counts.
    pub columns: &'static [(&'static str, Meaning)],
    /// Its redirects'.
    pub status: u32,
    /// What it does with a visitor's query where it passes it on.
    pub query: QueryPolicy,
    /// A pair of a target's query that keeps a visitor's out, and is left out itself; empty: there is none.
    pub keeps_out: &'static str,
    /// The same for people.
    pub says: &'static str,
}

static SHLINK: Shortener = Shortener {
    columns: &[
        ("shortcode", Code),
        ("shorturl", Short),
        ("longurl", Field("target")),
        ("title", Field("title")),
        ("tags", Tags),
        ("createdat", Created),
        ("datecreated", Created),
        ("domain", Domain),
        ("validsince", Time("not_before")),
        ("validuntil", Time("expire_time")),
        ("maxvisits", Lacking("a limit of visits")),
        ("visits", Field("imported_clicks")),
        ("visitscount", Field("imported_clicks")),
        ("forwardquery", Forwards),
        ("hasredirectrules", Without("rules that lead some visitors elsewhere")),
    ],
    status: 302,
    query: Override,
    keeps_out: "",
    says: "status 302, and a visitor's query overrides the target's, unless forwardQuery is false",
};
static YOURLS: Shortener = Shortener {
    columns: &[
        ("keyword", Code),
        ("source", Short),
        ("shorturl", Short),
        ("url", Field("target")),
        ("longurl", Field("target")),
        ("target", Field("target")),
        ("title", Field("title")),
        ("timestamp", Created),
        ("clicks", Field("imported_clicks")),
    ],
    status: 301,
    query: Drop,
    keeps_out: "",
    says: "status 301, and a visitor's query is dropped",
};
static BITLY: Shortener = Shortener {
    columns: &[
        ("bitlink", Short),
        ("link", Short),
        ("shortlink", Short),
        ("shorturl", Short),
        ("id", Short),
        ("custombitlinks", More),
        ("custombitlink", More),
        ("customlinks", More),
        ("customlink", More),
        ("custombackhalves", More),
        ("custombackhalf", More),
        ("longurl", Field("target")),
        ("destinationurl", Field("target")),
        ("title", Field("title")),
        ("tags", Tags),
        ("createdat", Created),
        ("datecreated", Created),
        ("created", Created),
    ],
    status: 301,
    query: Override,
    keeps_out: "",
    says: "status 301, a visitor's query is passed on, and each custom back-half is a link; archived ones redirect as before",
};
static KUTT: Shortener = Shortener {
    columns: &[
        ("address", Code),
        ("link", Short),
        ("target", Field("target")),
        ("description", Field("note")),
        ("createdat", Created),
        ("domain", Domain),
        ("domainid", DomainNumber),
        ("expirein", Time("expire_time")),
        ("banned", Banned),
        ("visitcount", Field("imported_clicks")),
        ("password", Without("a password")),
    ],
    status: 302,
    query: Drop,
    keeps_out: "",
    says: "status 302, and a visitor's query is dropped",
};
static REBRANDLY: Shortener = Shortener {
    columns: &[
        ("slashtag", Code),
        ("shorturl", Short),
        ("destination", Field("target")),
        ("title", Field("title")),
        ("description", Field("note")),
        ("notes", Field("note")),
        ("tags", Tags),
        ("domain", Domain),
        ("domainname", Domain),
        ("domainfullname", Domain),
        ("createdat", Created),
        ("status", Live),
        ("forwardparameters", Forwards),
        ("expiredat", Time("expire_time")),
        ("clicks", Field("imported_clicks")),
        ("password", Without("a password")),
    ],
    status: 301,
    query: Override,
    keeps_out: "",
    says: "status 301, and a visitor's query is passed on, unless forwardParameters is false",
};
static SHORT_IO: Shortener = Shortener {
    columns: &[
        ("path", Code),
        ("shorturl", Short),
        ("secureshorturl", Short),
        ("originalurl", Field("target")),
        ("title", Field("title")),
        ("tags", Tags),
        ("domain", Domain),
        ("domainid", DomainNumber),
        ("createdat", Created),
        ("expiresat", Time("expire_time")),
        ("redirecttype", Status),
        ("expiredurl", Lacking("another target for when it has expired")),
        ("iphoneurl", Lacking("another target for iPhones")),
        ("androidurl", Lacking("another target for Android")),
        ("spliturl", Lacking("two targets by turns")),
        ("clickslimit", Lacking("a limit of visits")),
        ("password", Without("a password")),
        ("passwordprotected", Without("a password")),
        ("cloaking", Without("a frame in place of a redirect")),
    ],
    status: 302,
    query: Override,
    keeps_out: "shortio_nomerge=1",
    says: "status 302, and a visitor's query overrides the target's, unless that has shortio_nomerge=1",
};

/// What is known of a form; `None`: it is none of those.
pub fn known(format: Format) -> Option<&'static Shortener> {
    match format {
        Format::ShlinkCsv => Some(&SHLINK),
        Format::YourlsCsv => Some(&YOURLS),
        Format::BitlyCsv => Some(&BITLY),
        Format::KuttCsv => Some(&KUTT),
        Format::RebrandlyCsv => Some(&REBRANDLY),
        Format::ShortIoCsv => Some(&SHORT_IO),
        Format::Csv
        | Format::Jsonl
        | Format::NginxMap
        | Format::HaproxyMap
        | Format::CloudflareCsv
        | Format::Redirects
        | Format::VercelJson => None,
    }
}
