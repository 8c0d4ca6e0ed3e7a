//! Control as its callers see it, over real sockets and real SQLite files. Nothing is faked but a failing store.

mod contract;
mod disk;
mod edges;
mod faults;
mod feeds;
mod imports;
mod links;
mod postgres;
mod rest;
mod server;
mod shared;
mod world;
mod writes;
