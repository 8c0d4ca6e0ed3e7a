//! Control as its callers see it, over real sockets, real SQLite files and a real PostgreSQL. Nothing is faked but a failing store.

mod audits;
mod batches;
mod contract;
mod cost;
mod disk;
mod domains;
mod edges;
mod faults;
mod feeds;
mod histories;
mod imports;
mod instances;
mod keys;
mod links;
mod lists;
mod postgres;
mod redis;
mod rest;
mod roles;
mod server;
mod shared;
mod tls;
mod watches;
mod world;
mod writes;
