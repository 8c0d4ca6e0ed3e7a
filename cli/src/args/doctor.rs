//! The flags of `linkr doctor`: those of the server that is looked at, and a few of its own.

use super::{Command, Control, Edge, Output, Up};
use clap::{Args, Subcommand};

/// `linkr doctor`.
#[derive(Args)]
pub struct Doctor {
    /// Admin listeners of other servers of this deployment, HOST:PORT or a port of this machine, separated by commas: their
    /// versions and clocks are compared with this one's
    #[arg(long, global = true, value_delimiter = ',', value_name = "ADDR")]
    pub also: Vec<String>,
    /// How findings are printed
    #[arg(short, long, global = true, env = "LINKR_OUTPUT", default_value = "text", value_name = "FORM")]
    pub output: Output,
    /// The server with its settings.
    #[command(subcommand)]
    pub server: ExaminedServer,
}

/// The server that is looked at, whether it runs or is only to run.
#[derive(Subcommand)]
pub enum ExaminedServer {
    /// Looks at what linkr up with these flags is or would be
    Up(Up),
    /// The same for linkr edge
    Edge(Edge),
    /// The same for linkr control
    Control(Control),
}

impl ExaminedServer {
    /// The command that starts it.
    pub fn started_by(self) -> Command {
        match self {
            Self::Up(up) => Command::Up(up),
            Self::Edge(edge) => Command::Edge(edge),
            Self::Control(control) => Command::Control(control),
        }
    }
}
