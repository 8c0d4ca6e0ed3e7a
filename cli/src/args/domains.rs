//! The flags of `linkr domain …`.

use super::{Ack, Api};
use clap::{Args, Subcommand};

/// What to do with domains.
#[derive(Subcommand)]
pub enum DomainCommand {
    /// Makes a host a domain with codes of its own
    Create {
        /// The host name
        name: String,
        /// How it answers.
        #[command(flatten)]
        fields: Fields,
        /// How it is written.
        #[command(flatten)]
        write: Write,
    },
    /// Shows a domain
    Get {
        /// The host name; `-` is the default domain
        name: String,
        /// Which server.
        #[command(flatten)]
        api: Api,
    },
    /// Changes the given fields of a domain
    Update {
        /// The host name; `-` is the default domain
        name: String,
        /// How it answers.
        #[command(flatten)]
        fields: Fields,
        /// Only of `-`: hosts that no domain claims are refused with 421
        #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
        strict_hosts: Option<bool>,
        /// Only if the domain still has this etag
        #[arg(long)]
        etag: Option<String>,
        /// How it is written.
        #[command(flatten)]
        write: Write,
    },
    /// Lists all domains
    List {
        /// Which server.
        #[command(flatten)]
        api: Api,
    },
}

/// How a domain answers.
#[derive(Args)]
pub struct Fields {
    /// Codes are the same in upper and lower case; fixed by the first link
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub fold_case: Option<bool>,
    /// An edge that cannot know whether a link is current redirects (normal) or refuses (strict)
    #[arg(long, value_parser = ["normal", "strict"])]
    pub class: Option<String>,
    /// Where visitors are led instead of a 404; empty: nowhere
    #[arg(long, value_name = "URL")]
    pub not_found: Option<String>,
}

/// How a domain is written.
#[derive(Args)]
pub struct Write {
    /// Makes a retry safe: the same id answers as the first time
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// When it is done
    #[arg(long, default_value = "durable", value_name = "WHEN")]
    pub ack: Ack,
    /// Which server.
    #[command(flatten)]
    pub api: Api,
}
