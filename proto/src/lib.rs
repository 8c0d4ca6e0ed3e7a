//! `linkr.v1`: its messages and services, their bounds and their JSON, the way to a server of them, and the feed's own
//! types to and fro.

#![warn(missing_docs)]

pub mod bounds;
pub mod client;
mod convert;
pub mod described;
pub mod file;
pub mod json;
pub mod own;
pub mod pem;
pub mod time;

pub use convert::{
    MalformedMessage, change_from_wire, change_to_wire, epoch_from_wire, epoch_to_wire, proof_from_wire,
    proof_to_wire,
};

/// The `linkr.v1` messages and services, generated from `linkr/v1/*.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("linkr.v1");

    /// Every descriptor of the package, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/linkr.v1.bin"));
}
