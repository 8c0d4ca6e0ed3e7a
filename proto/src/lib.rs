//! Every byte layout that crosses a process boundary: the `linkr.v1` services, record v1, the file
//! of an edge, their conversions, and what `/metrics` says.

pub mod bounds;
pub mod client;
mod convert;
mod domain;
pub mod file;
pub mod pem;
mod record;
pub mod snapshot;
pub mod time;

pub use convert::{
    Malformed, change_from_wire, change_to_wire, epoch_from_wire, epoch_to_wire, proof_from_wire,
    proof_to_wire,
};
pub use domain::{decode_domain, domain_name, encode_domain};
pub use record::{RecordFault, decode, encode, encode_ref};

/// The `linkr.v1` messages and services, generated from `linkr/v1/*.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("linkr.v1");

    /// Every descriptor of the package, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/linkr.v1.bin"));
}
