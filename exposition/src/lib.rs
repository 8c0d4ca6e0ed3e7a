//! What both halves say of themselves: the formats of `/metrics`, the admin listener that serves them, the places that
//! connections of a listener take, how a listener ends, and how a request names its trace. Nothing is counted here.
//!
//! Both halves describe their numbers as a [`Collector`], in the model of Prometheus' protobuf format, which
//! `prometheus-client` has; all three formats are written from it. (That crate's own encoders give a collector no way to
//! say an exemplar.)

mod accept;
mod admin;
pub mod certificates;
pub mod clock;
mod escapes;
mod families;
mod files;
mod handshakes;
mod health;
mod hex;
mod histogram;
mod host;
mod listen;
mod networks;
mod places;
mod start_fault;
mod text;
mod trace_context;

use prost::Message;
use std::fmt;
use text::Dialect;

pub use admin::{Admin, PLACES as ADMIN_PLACES};
pub use escapes::{escaped, in_utf8, unescaped};
pub use families::{Collector, Encoder, Families, Labels, Registry};
pub use files::file_limit;
pub use handshakes::{begin_no_handshake, hear_again};
pub use health::{Findings, Health, HealthFuture};
pub use hex::{Hex, unhex};
pub use histogram::{Exemplar, Histogram};
pub use host::{is_local, one_host};
pub use listen::cannot_listen;
pub use networks::Network;
pub use places::{Place, Places, network};
pub use start_fault::StartFault;
pub use trace_context::{TraceContext, trace_state};

/// A representation of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Classic,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily` messages: the only one with native histograms.
    Protobuf,
}

impl Format {
    /// The format for these values of `Accept` (RFC 9110, section 12.5.1): the one with the highest quality, of several
    /// the first. Classic when nothing is asked for or nothing asked for is known, as all exporters do.
    pub fn accepted<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        accept::best(fields).unwrap_or(Self::Classic)
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Everything that is registered, in this format. Takes some hundred microseconds: not for a thread that others
    /// wait for.
    ///
    /// # Errors
    /// A collector failed: ours do not.
    pub fn encode(self, registry: &Registry) -> Result<Vec<u8>, fmt::Error> {
        let families = registry.families()?;
        match self {
            Self::Classic => Ok(text::write(&families, Dialect::Classic).into_bytes()),
            Self::OpenMetrics => Ok(text::write(&families, Dialect::OpenMetrics).into_bytes()),
            Self::Protobuf => {
                let mut out = Vec::with_capacity(16 * 1024);
                for family in &families {
                    family.model.encode_length_delimited(&mut out).map_err(|_| fmt::Error)?;
                }
                Ok(out)
            }
        }
    }
}

/// `linkr_build_info`, once for each process.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The version of the program.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
}

impl Collector for Build {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        Families::new(encoder).info(
            "linkr_build_info",
            "The version of this program, and the commit that it was built from.",
            &[("version", self.version), ("commit", self.commit)],
        )
    }
}

#[cfg(test)]
mod tests;
