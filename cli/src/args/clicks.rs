//! The flags of `linkr clicks`, and those that say what an edge notes of clicks.

use super::moments::since;
use super::values::{bytes, domain, server_url};
use super::{AddressedCode, Api, Credential, FlagTime, Output, Server, named};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use clicks::Kind;
use exposition::Network;
use std::path::{Path, PathBuf};

/// What an edge notes of clicks, and where.
#[derive(Args, Clone)]
pub struct ClickArgs {
    /// The directory in which clicks are kept until control has counted them, and for a day after that [default: clicks in
    /// the data directory; of an edge: FILE.clicks beside --snapshot FILE, without which it counts none]
    #[arg(long, env = "LINKR_CLICKS_DIR", value_name = "DIR")]
    pub clicks_dir: Option<PathBuf>,
    /// What they may take there while control is away: bytes, or with KiB, MiB, GiB, KB, MB or GB. Beyond it the oldest go,
    /// and are counted as lost
    #[arg(long, env = "LINKR_CLICKS_SPOOL_BYTES", default_value = "4GiB", value_parser = bytes, value_name = "SIZE")]
    pub clicks_spool_bytes: usize,
    /// A database (MMDB) that says in which country an address is; read again when it changes [default: no countries]
    #[arg(long, env = "LINKR_GEO", value_name = "FILE")]
    pub geo: Option<PathBuf>,
    /// Networks whose clicks are counted in one total and nowhere else, such as 10.0.0.0/8 of your own people and probes,
    /// separated by commas
    #[arg(long, env = "LINKR_IGNORE_CLICKS_FROM", value_delimiter = ',', value_name = "CIDR")]
    pub ignore_clicks_from: Vec<Network>,
}

impl ClickArgs {
    /// What clicks may take on disk unless a flag says otherwise.
    pub const SPOOL_BYTES: usize = 4 << 30;

    /// What the edge is told; clicks are kept in `usual` unless a flag names another place. `None`: none are counted.
    pub fn config(self, usual: Option<PathBuf>) -> Option<edge::ClicksConfig> {
        Some(edge::ClicksConfig {
            dir: self.clicks_dir.or(usual)?,
            spool_bytes: self.clicks_spool_bytes as u64,
            geo: self.geo,
            ignore: self.ignore_clicks_from,
        })
    }

    /// Where the clicks of an edge are that keeps its links in this file: no other process has either.
    pub fn beside(snapshot: &Path) -> PathBuf {
        let mut name = snapshot.as_os_str().to_owned();
        name.push(".clicks");
        name.into()
    }
}

/// `linkr clicks`.
#[derive(Args)]
pub struct Clicks {
    /// The clicks of one link: its code, or its whole address [default: those of every link of the domain]
    #[arg(value_parser = named)]
    pub code: Option<AddressedCode>,
    /// How far back, until now (units: s, m for minutes, h, d, w)
    #[arg(long, value_name = "LENGTH", default_value = "7d", value_parser = since)]
    pub last: FlagTime,
    /// What a line of the table is for, at most two separated by a comma: day,country is a line for each country of each day
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "day")]
    pub by: Vec<ClickBy>,
    /// Whose hours, days, weeks and months those are, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
    /// How many lines at most, of each time where lines have one: the ones with the most clicks
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub top: i32,
    /// Clicks of these kinds, separated by commas; all is every kind [default: human; with --by kind, --watch and --export: all]
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    pub kinds: Vec<String>,
    #[command(flatten)]
    pub filters: ClickFilters,
    /// Shows each click as it happens, until it is stopped
    #[arg(long, conflicts_with_all = ["last", "by", "zone", "top"])]
    pub watch: bool,
    /// Writes each click of --last to a file instead of counting it, as CSV or (FILE.jsonl, or -o json) JSON lines; `-` is
    /// standard output. Single clicks are kept for 30 days: --last 30d is all of them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["watch", "by", "zone", "top"])]
    pub export: Option<PathBuf>,
    /// Deletes all clicks of the link for good; --delete=domain those of every link of --domain, of which a terminal asks
    /// whether you are sure
    #[arg(
        long,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "link",
        conflicts_with_all = ["watch", "export", "last", "by", "zone", "top", "kinds"]
    )]
    pub delete: Option<DeletedClicks>,
    /// With --delete=domain: deletes without asking, as where standard input is no terminal
    #[arg(long, requires = "delete")]
    pub yes: bool,
    /// Classes the single clicks that are kept by the lists of agents of the server's linkr, where an earlier one had classed
    /// them: those of every domain. Counts get other kinds, and no click is made or lost. Interrupted, or once more, it does
    /// what is left
    #[arg(
        long,
        conflicts_with_all = ["watch", "export", "delete", "unknown", "last", "by", "zone", "top", "kinds", "code", "domain"]
    )]
    pub reclassify: bool,
    /// Shows which codes without a link were asked for: which printed link is broken?
    #[arg(long, conflicts_with_all = ["watch", "export", "delete", "by", "zone", "kinds", "code"])]
    pub unknown: bool,
    #[command(flatten)]
    pub server: ClickServer,
}

/// The flags that choose which clicks are counted, beside `--kind`: a click has one of the values of each flag. `-` is a value
/// that is not known.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickFilters {
    /// Counts the clicks of those links of the domain that have this tag now
    #[arg(long, value_name = "TAG", conflicts_with_all = ["code", "watch", "export", "delete", "unknown", "reclassify"])]
    pub tag: Option<String>,
    /// Clicks from these countries: two letters each, separated by commas; here and below - is what is not known
    #[arg(long = "country", value_name = "CC", value_delimiter = ',', conflicts_with_all = UNCOUNTED)]
    pub countries: Vec<String>,
    /// Clicks on these devices: desktop, mobile, other
    #[arg(long = "device", value_name = "DEVICE", value_delimiter = ',', conflicts_with_all = UNCOUNTED)]
    pub devices: Vec<String>,
    /// Clicks with these browsers, such as Firefox
    #[arg(long = "browser", value_name = "NAME", value_delimiter = ',', conflicts_with_all = UNCOUNTED)]
    pub browsers: Vec<String>,
    /// Clicks with these operating systems, such as Android
    #[arg(long = "os", value_name = "NAME", value_delimiter = ',', conflicts_with_all = UNCOUNTED)]
    pub oses: Vec<String>,
    /// Clicks that came from these hosts or groups of hosts, such as news.example or Facebook
    #[arg(long = "referrer", value_name = "HOST", value_delimiter = ',', conflicts_with_all = UNCOUNTED)]
    pub referrers: Vec<String>,
    /// Clicks whose first language is one of these: two letters each
    #[arg(long = "language", value_name = "LL", value_delimiter = ',', conflicts_with_all = UNCOUNTED)]
    pub languages: Vec<String>,
}

/// The flags of `linkr clicks` that count no clicks, so that filters mean nothing to them.
const UNCOUNTED: [&str; 5] = ["watch", "export", "delete", "unknown", "reclassify"];

impl Clicks {
    /// The kinds that are asked for, every one by its name; empty: nothing was said. Of links and of single clicks there are
    /// no totals.
    pub fn asked_kinds(&self) -> Vec<String> {
        if !self.kinds.iter().any(|kind| kind == EVERY_KIND) {
            return self.kinds.clone();
        }
        let single = self.code.is_some() || self.watch || self.export.is_some();
        let all = Kind::ALL.into_iter().filter(|kind| !(single && kind.is_total()));
        all.map(|kind| kind.label().to_owned()).collect()
    }
}

const EVERY_KIND: &str = "all";

fn kinds() -> PossibleValuesParser {
    Kind::ALL.map(Kind::label).into_iter().chain([EVERY_KIND]).collect::<Vec<_>>().into()
}

/// What a line of a table of clicks is for. Two at most: the server says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClickBy {
    /// A quarter of an hour
    Quarter,
    /// An hour
    Hour,
    /// A day
    Day,
    /// A week, from its Monday
    Week,
    /// A month
    Month,
    /// A country
    Country,
    /// A computer, or a phone or tablet
    Device,
    /// A browser
    Browser,
    /// An operating system
    Os,
    /// The site that led there
    Referrer,
    /// The language that is asked for first
    Language,
    /// People, repeats, bots, previews …
    Kind,
    /// A link
    Link,
}

impl ClickBy {
    /// Its name in the API and on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Of what all clicks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeletedClicks {
    /// Of the link that is named
    Link,
    /// Of every link of the domain
    Domain,
}

/// Which server is asked for clicks.
#[derive(Args)]
pub struct ClickServer {
    /// The API of a running linkr: a URL, HOST:PORT, or a port of this machine
    #[arg(long, env = "LINKR_SERVER", default_value = "http://127.0.0.1:8081", value_name = "URL", value_parser = server_url)]
    pub server: String,
    /// The key.
    #[command(flatten)]
    pub credential: Credential,
    /// The one domain whose links are meant, a host name; `-` is the default one
    #[arg(long, default_value = "-", value_parser = domain)]
    pub domain: String,
    /// How results are printed
    #[arg(short, long, env = "LINKR_OUTPUT", default_value = "text", value_name = "FORM")]
    pub output: ClickOutput,
}

impl ClickServer {
    /// The server as every other command has it.
    pub fn into_server(self) -> Server {
        let output = if self.output == ClickOutput::Json { Output::Json } else { Output::Text };
        Server { api: Api { server: self.server, credential: self.credential, output }, domain: self.domain }
    }
}

/// How clicks are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClickOutput {
    /// For people
    Text,
    /// For machines: the fields of the REST API
    Json,
    /// For tables: a header, then a line each
    Csv,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        clicks: Clicks,
    }

    #[derive(Parser)]
    struct EdgeLine {
        #[command(flatten)]
        clicks: ClickArgs,
    }

    fn parse(words: &[&str]) -> Result<Clicks, clap::Error> {
        Line::try_parse_from(std::iter::once(&"clicks").chain(words)).map(|line| line.clicks)
    }

    #[test]
    fn kinds_are_those_that_are_named() {
        let kinds = |words: &[&str]| parse(words).unwrap().asked_kinds();
        assert_eq!(kinds(&[]), Vec::<String>::new());
        assert_eq!(kinds(&["--kind", "bot,preview"]), ["bot", "preview"]);
        assert_eq!(kinds(&["--kind", "all"]).len(), 8);
        assert_eq!(kinds(&["--watch", "--kind", "all"]).len(), 6);
        assert_eq!(kinds(&["a", "--kind", "all"]), ["human", "repeat", "bot", "preview", "prefetch", "head"]);
        assert!(parse(&["--kind", "people"]).is_err());
    }

    #[test]
    fn a_deletion_says_of_what() {
        let deleted = |words: &[&str]| parse(words).unwrap().delete;
        assert_eq!(deleted(&["promo", "--delete"]), Some(DeletedClicks::Link));
        assert_eq!(deleted(&["--delete=domain", "--domain", "go.example"]), Some(DeletedClicks::Domain));
        // The code behind it is no value of it.
        let clicks = parse(&["--delete", "promo"]).unwrap();
        assert_eq!(clicks.code.map(|code| code.code).as_deref(), Some("promo"));
    }

    #[test]
    fn all_clicks_are_classed_anew() {
        let clicks = parse(&["--reclassify", "-o", "json"]).unwrap();
        assert!(clicks.reclassify && clicks.server.output == ClickOutput::Json);
    }

    #[test]
    fn every_filter_of_the_api_has_a_flag() {
        let words = [
            "--tag",
            "t",
            "--country",
            "DE,-",
            "--device",
            "mobile",
            "--browser",
            "Firefox",
            "--os",
            "Linux",
            "--referrer",
            "a.example",
            "--language",
            "de",
        ];
        let filters = parse(&words).unwrap().filters;
        let list = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let want = ClickFilters {
            tag: Some("t".into()),
            countries: list(&["DE", "-"]),
            devices: list(&["mobile"]),
            browsers: list(&["Firefox"]),
            oses: list(&["Linux"]),
            referrers: list(&["a.example"]),
            languages: list(&["de"]),
        };
        assert_eq!(filters, want);
    }

    #[test]
    fn one_thing_is_done_at_a_time() {
        for words in [
            &["--watch", "--export", "f"][..],
            &["a", "--delete", "--last", "7d"],
            &["--unknown", "--by", "day"],
            &["--unknown", "a"],
            &["--watch", "--top", "5"],
            &["--last", "7"],
            &["--last", "0d"],
            &["--top", "0"],
            &["a", "--tag", "x"],
            &["--watch", "--country", "DE"],
            &["--export", "f", "--os", "Linux"],
            &["--unknown", "--language", "de"],
            &["--reclassify", "a"],
            &["--reclassify", "--domain", "go.example"],
            &["--reclassify", "--tag", "t"],
            &["--reclassify", "--os", "Linux"],
            &["--reclassify", "--delete"],
            &["--yes"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_default_bound_is_the_one_that_is_shown() {
        let args = EdgeLine::try_parse_from(["edge"]).ok().unwrap().clicks;
        assert_eq!(args.clicks_spool_bytes, ClickArgs::SPOOL_BYTES);
        assert!(args.clone().config(None).is_none());
        let config = args.config(Some(ClickArgs::beside(Path::new("a/edge.snapshot")))).unwrap();
        assert_eq!(config.dir, Path::new("a/edge.snapshot.clicks"));
    }
}
