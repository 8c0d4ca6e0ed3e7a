//! What edges say of themselves, in a store that is watched: it takes its time like every call, and proves nothing of the store.

use super::WatchedStore;
use store::model::StoreFault;
use store::port::{EdgeReports, ReportRow};

impl EdgeReports for WatchedStore {
    fn exchange_reports(&self, heard: &[ReportRow]) -> Result<Vec<ReportRow>, StoreFault> {
        self.measured("edge_reports", |_| self.store.exchange_reports(heard))
    }
}
