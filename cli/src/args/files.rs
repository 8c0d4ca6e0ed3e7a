//! The flags of what reads and writes files of links: `linkr import`, `export` and `conform`.

use super::values::{base, column};
use super::{Output, Server};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How links stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header, then one link a line
    Csv,
    /// One JSON object a line
    Jsonl,
    /// A map of nginx: map blocks, or the lines of one
    NginxMap,
    /// A map file of HAProxy
    HaproxyMap,
    /// The export of Shlink's web client
    ShlinkCsv,
    /// The table of YOURLS
    YourlsCsv,
    /// The links of Bitly
    BitlyCsv,
    /// The links of Kutt
    KuttCsv,
    /// The export of Rebrandly
    RebrandlyCsv,
    /// The export of Short.io
    ShortIoCsv,
    /// A list of Cloudflare's Bulk Redirects
    CloudflareCsv,
    /// The file _redirects of a site
    Redirects,
    /// The redirects of a vercel.json
    VercelJson,
}

impl Format {
    /// The name of the format in `--format`.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether a file of this format is made of statements, and so has no columns.
    pub fn is_of_statements(self) -> bool {
        matches!(self, Self::NginxMap | Self::HaproxyMap | Self::Redirects | Self::VercelJson)
    }
}

/// How a file is read.
#[derive(Args, Default)]
pub struct ReadArgs {
    /// The form of the file [default: by its name, which is _redirects, vercel.json or ends in .csv or .jsonl]
    #[arg(long)]
    pub format: Option<Format>,
    /// Columns of a CSV file that hold fields under other names, such as code=slug,target=url; of the others, those that have
    /// the name of a field are taken
    #[arg(long, value_delimiter = ',', value_name = "FIELD=COLUMN", value_parser = column)]
    pub columns: Vec<(String, String)>,
    /// The host that targets without one (/path) are on, such as https://www.example
    #[arg(long, value_name = "URL", value_parser = base)]
    pub base: Option<String>,
}

/// How links are written into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A header, then one link a line
    Csv,
    /// One JSON object a line
    Jsonl,
    /// A map block of nginx: where each path leads now
    NginxMap,
}

/// `linkr import`.
#[derive(Args)]
pub struct Import {
    /// The file, also one of rejected rows; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadArgs,
    /// Replace links that differ, instead of rejecting the row
    #[arg(long)]
    pub update: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `linkr export`.
#[derive(Args)]
pub struct Export {
    /// The file; `-` is standard output [default: that]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The form [default: by the file's ending, else csv]
    #[arg(long)]
    pub format: Option<ExportFormat>,
    /// Deleted links too
    #[arg(long)]
    pub show_deleted: bool,
    #[command(flatten)]
    pub server: Server,
}

/// `linkr conform`.
#[derive(Args)]
pub struct Conform {
    /// The file with the links, as for an import; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub links: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadArgs,
    /// Where the edge redirects: HOST:PORT, a port of this machine, or a URL; https:// asks over TLS
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "ADDR")]
    pub edge: String,
    /// Authorities (PEM) that https:// believes instead of the system's
    #[arg(long, value_name = "FILE")]
    pub edge_ca: Option<PathBuf>,
    /// The host that is asked for; `-` is the default domain: the host that the file names, or the edge itself
    #[arg(long, default_value = "-", value_parser = super::domain)]
    pub domain: String,
    /// How differences are printed
    #[arg(short, long, env = "LINKR_OUTPUT", default_value = "text", value_name = "FORM")]
    pub output: Output,
}
