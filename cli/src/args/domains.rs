//! The flags of `linkr domain …`.

use super::values::{OwnFile, domain, own_file};
use super::{Ack, Api};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use proto::described::settable;
use std::path::PathBuf;

/// Every field that can be set has a default to go back to; that of files is said path by path.
fn clearable() -> PossibleValuesParser {
    let kept = |field: &&str| !matches!(*field, "strict_hosts" | "files");
    settable("linkr.v1.Domain").into_iter().filter(kept).collect::<Vec<_>>().into()
}

/// What to do with domains.
#[derive(Subcommand)]
pub enum DomainCommand {
    /// Makes a host a domain with codes of its own
    Create {
        /// The host name
        name: String,
        /// How it answers.
        #[command(flatten)]
        fields: DomainFields,
        /// How it is written.
        #[command(flatten)]
        write: DomainWrite,
    },
    /// Shows a domain
    Get {
        /// The host name; `-` is the default domain
        #[arg(value_parser = domain)]
        name: String,
        #[command(flatten)]
        api: Api,
    },
    /// Changes the given fields of a domain
    Update {
        /// The host name; `-` is the default domain
        #[arg(value_parser = domain)]
        name: String,
        /// How it answers.
        #[command(flatten)]
        fields: DomainFields,
        /// Only of `-`: hosts that no domain claims are refused with 421
        #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
        strict_hosts: Option<bool>,
        /// Fields to set back to their defaults
        #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "FIELD", value_parser = clearable())]
        clear: Vec<String>,
        /// Only if the domain still has this etag
        #[arg(long)]
        etag: Option<String>,
        /// How it is written.
        #[command(flatten)]
        write: DomainWrite,
    },
    /// Deletes a domain that has no links: its host then belongs to nobody
    Delete {
        /// The host name
        #[arg(value_parser = domain)]
        name: String,
        /// Its deleted links are gone for good first: nobody can undelete them
        #[arg(long)]
        purge_deleted: bool,
        /// Only if the domain still has this etag
        #[arg(long)]
        etag: Option<String>,
        /// How it is written.
        #[command(flatten)]
        write: DomainWrite,
    },
    /// Lists all domains
    List {
        #[command(flatten)]
        api: Api,
    },
}

/// How a domain answers.
#[derive(Args, Default)]
pub struct DomainFields {
    /// Codes are the same in upper and lower case; fixed by the first link [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub fold_case: Option<bool>,
    /// An edge that cannot know whether a link is current redirects (normal, default) or refuses (strict)
    #[arg(long, value_parser = ["normal", "strict"])]
    pub class: Option<String>,
    /// Where visitors are led instead of a 404; {path} and {query} in it are those of the visitor; '' sets it back to nowhere,
    /// the default
    #[arg(long, value_name = "URL")]
    pub not_found: Option<String>,
    /// Where visitors of / are led; with {query}. Empty: nowhere
    #[arg(long, value_name = "URL")]
    pub root_target: Option<String>,
    /// Where visitors of expired links are led; with {path} and {query}. Empty: nowhere
    #[arg(long, value_name = "URL")]
    pub expired_target: Option<String>,
    /// /code/ finds /code
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub trailing_slash: Option<bool>,
    /// /code. and /code) and the like find /code; no code may end so then
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub punctuation: Option<bool>,
    /// What becomes of a visitor's query where a new link does not say it
    #[arg(long, value_parser = ["drop", "append", "override"])]
    pub query: Option<String>,
    /// A file with what is answered to /robots.txt: at most 2,048 bytes, without a mark (U+FEFF) in front
    #[arg(long, value_name = "FILE")]
    pub robots: Option<PathBuf>,
    /// What is kept of the clicks on its links: how many there were (off), what each was and where it came from (counts, the
    /// default), or with that which clicks of a day are of one visitor (full)
    #[arg(long, value_parser = ["off", "counts", "full"])]
    pub stats: Option<String>,
    /// A small file that edges answer /favicon.ico or a path below /.well-known/ with, such as
    /// .well-known/security.txt=FILE, beside those that are there; PATH= removes one. Its content type is told from its
    /// name, or given as PATH=FILE;type=TYPE. A mark (U+FEFF) in front of a text is not sent, and UTF-16 is refused. May be
    /// given more than once
    #[arg(long = "file", value_name = "PATH=FILE", value_parser = own_file)]
    pub files: Vec<OwnFile>,
}

/// How a domain is written.
#[derive(Args)]
pub struct DomainWrite {
    /// Makes a retry safe: for 48 hours the same id with the same request answers as the first time
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// When it is done
    #[arg(long, default_value = "durable", value_name = "WHEN")]
    pub ack: Ack,
    #[command(flatten)]
    pub api: Api,
}
