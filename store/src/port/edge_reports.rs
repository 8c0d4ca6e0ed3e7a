//! What the controls of a store tell each other of what their edges say of themselves. What is in a report is not known here.

use crate::model::StoreFault;
use bytes::Bytes;

/// The last report of one process of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The edge's name.
    pub edge: String,
    /// Random for each process start.
    pub incarnation: u64,
    /// As the edge wrote it.
    pub report: Bytes,
    /// Milliseconds since it came.
    pub age: u64,
}

/// The reports of edges, beside the table of edges: they are in no log, and nothing hangs on them.
pub trait EdgeReports {
    /// Keeps what was heard here, and returns what edges said to other controls. A report goes with the last row of its process
    /// in the table of edges. A store that one process has alone keeps none: nobody else is there to read them.
    fn exchange_reports(&self, heard: &[ReportRow]) -> Result<Vec<ReportRow>, StoreFault> {
        let _ = heard;
        Ok(Vec::new())
    }
}
