//! Every layout of our own that leaves a process: record v1 of links and domains, and the file of an edge.

#![warn(missing_docs)]

mod domains;
mod features;
mod links;
pub mod snapshot;

pub use domains::{decode_domain, domain_name, encode_domain};
pub use features::Features;
pub use links::{RecordFault, decode, encode, encode_as, encode_ref};
