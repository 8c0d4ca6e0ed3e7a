//! Every alert but those of the objectives, in the order of the runbook.

mod clicks;
mod control;
mod edge;
mod process;

use crate::model::AlertGroup;

/// All of them.
pub const ALERTS: [AlertGroup; 4] = [edge::ALERTS, control::ALERTS, clicks::ALERTS, process::ALERTS];
