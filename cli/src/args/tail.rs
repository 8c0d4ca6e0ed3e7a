//! The flags of `linkr tail`.

use super::Output;
use super::values::{domain, time};
use clap::Args;
use std::time::Duration;

/// `linkr tail`.
#[derive(Args)]
pub struct Tail {
    /// The admin listener of the edge to watch: HOST:PORT, or a port of this machine
    #[arg(long, env = "LINKR_EDGE", default_value = "http://127.0.0.1:8082", value_name = "ADDR")]
    pub edge: String,
    /// Only of this code; of all that begin so, with a * after it
    #[arg(long)]
    pub code: Option<String>,
    /// Only of this domain, a host name; `-` is the default one
    #[arg(long, value_parser = domain)]
    pub domain: Option<String>,
    /// Only what came to this, such as not_found or unavailable: the outcomes of linkr_edge_requests_total
    #[arg(long, conflicts_with = "slow")]
    pub outcome: Option<String>,
    /// Only what took so long or longer: seconds, or with ms, s or m
    #[arg(long, value_parser = time, value_name = "TIME")]
    pub slower_than: Option<Duration>,
    /// Shows the last slow answers instead, with what the worker did before each, and ends
    #[arg(long)]
    pub slow: bool,
    /// With --slow: those that were kept for other reasons, too, such as one of each second
    #[arg(long, requires = "slow")]
    pub all: bool,
    /// Ends after so long [default: when it is stopped]
    #[arg(long, value_parser = time, value_name = "TIME", conflicts_with = "slow")]
    pub lasting: Option<Duration>,
    /// How an answer is printed
    #[arg(short, long, env = "LINKR_OUTPUT", default_value = "text", value_name = "FORM")]
    pub output: Output,
}
