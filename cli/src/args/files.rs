//! The flags of what reads and writes files of links: `linkr import`, `export` and `conform`.

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
}

/// How links are written into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
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
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The form of the file [default: csv or jsonl by its ending]
    #[arg(long)]
    pub format: Option<Format>,
    /// Replace links that differ, instead of rejecting the row
    #[arg(long)]
    pub update: bool,
    /// Which server.
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
    pub format: Option<Written>,
    /// Deleted links too
    #[arg(long)]
    pub show_deleted: bool,
    /// Which server.
    #[command(flatten)]
    pub server: Server,
}

/// `linkr conform`.
#[derive(Args)]
pub struct Conform {
    /// The file with the links, as for an import; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub links: PathBuf,
    /// The form of the file [default: csv or jsonl by its ending]
    #[arg(long)]
    pub format: Option<Format>,
    /// Where the edge redirects
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "ADDR")]
    pub edge: String,
    /// The host that is asked for; `-` is the edge itself, and the default domain
    #[arg(long, default_value = "-")]
    pub domain: String,
    /// How differences are printed
    #[arg(short, long, env = "LINKR_OUTPUT", default_value = "text", value_name = "FORM")]
    pub output: Output,
}
