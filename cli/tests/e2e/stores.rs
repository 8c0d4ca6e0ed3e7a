//! Where a test's links are kept, and the two halves of linkr on it.

use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, command, skip, until};
use services::{Postgres, ServerFault};

/// A file for each directory, or databases of a private server.
pub enum Store {
    Sqlite,
    Postgres(Box<Postgres>),
}

impl Store {
    /// A server of its own, if its programs are there.
    pub fn postgres(test: &str) -> Option<Self> {
        match Postgres::start(&["fsync=off"]) {
            Ok(server) => Some(Self::Postgres(Box::new(server))),
            Err(fault @ ServerFault::Missing(_)) => {
                skip(test, &fault.to_string());
                None
            }
            Err(fault) => panic!("{fault}"),
        }
    }

    /// One without anything in it.
    pub fn empty(&self, name: &str) -> String {
        match self {
            Self::Sqlite => format!("sqlite:{name}.db"),
            Self::Postgres(server) => server.create(name).unwrap(),
        }
    }
}

/// A control on a store, in `dir` if that is a file.
pub fn control(dir: &Dir, store: &str) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", store]).args(FREE_PORTS);
    Linkr::start(control, dir, &["store", "api", "admin"])
}

/// An edge that follows it.
pub fn edge(dir: &Dir, control: &Linkr) -> Linkr {
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "1"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    Linkr::start(edge, dir, &["edge", "admin"])
}

/// Waits until the edge has applied everything that control has in its log.
pub fn catch_up(edge: &Linkr, control: &Linkr) {
    until("the edge to have applied the whole log", || {
        let head = control.metric("linkr_control_log_head")?;
        (edge.metric("linkr_feed_applied_seq")? >= head).then_some(())
    });
}
