//! The flags of `linkr tag …`.

use super::Server;
use clap::Subcommand;

/// What to do with tags.
#[derive(Subcommand)]
pub enum TagCommand {
    /// Lists the tags that links have, with how many links have each
    List {
        /// Only tags that begin with it
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        server: Server,
    },
    /// Gives links another tag instead of one. Refused if links have that tag already. Cut off, it goes on when it is run
    /// again
    Rename {
        /// The tag that links have
        tag: String,
        /// The tag that they are to have instead
        new_tag: String,
        #[command(flatten)]
        server: Server,
    },
    /// Makes one tag of several: links have the last one instead of the others. Cut off, it goes on when it is run again
    Merge {
        /// The tags that links have, and after them the one that they are to have instead
        #[arg(num_args = 2.., required = true, value_names = ["FROM", "INTO"])]
        tags: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
}
