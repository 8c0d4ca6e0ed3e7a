//! Every alert but those of the objectives, in the order of the runbook.

mod controls;
mod counting;
mod edges;
mod process;

use crate::model::AlertGroup;

/// All of them.
pub const ALERTS: [AlertGroup; 4] = [edges::ALERTS, controls::ALERTS, counting::ALERTS, process::ALERTS];
