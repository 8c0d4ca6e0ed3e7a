//! The flags of `linkr target …`.

use super::Api;
use clap::Subcommand;

/// What to do with hosts that targets lead to.
#[derive(Subcommand)]
pub enum TargetCommand {
    /// Refuses new links to a host and its subdomains, and disables those that there are; waits until that is done, which
    /// goes on without it
    Block {
        /// The host name or IP address
        host: String,
        /// For people, such as why
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Makes a retry safe: the same id answers as the first time
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
        /// Only checks the host, and counts the links that lead there
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        api: Api,
    },
    /// Ends a block, and enables the links that it disabled and nobody has changed since
    Unblock {
        /// The host that was blocked
        host: String,
        #[command(flatten)]
        api: Api,
    },
    /// Lists the hosts that are blocked
    List {
        #[command(flatten)]
        api: Api,
    },
}
