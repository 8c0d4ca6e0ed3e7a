//! How calls arrive: gRPC and REST on one port, and the feed of the edges. What they mean is in `service`.

pub mod feed;
pub mod grpc;
pub mod rest;
