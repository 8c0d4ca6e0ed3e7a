//! The real binary in real processes: what people and machines see of linkr, from the outside.

#[path = "e2e/accurate.rs"]
mod accurate;
#[path = "e2e/acknowledged.rs"]
mod acknowledged;
#[path = "e2e/alerts.rs"]
mod alerts;
#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/balancers.rs"]
mod balancers;
#[path = "e2e/causes.rs"]
mod causes;
#[path = "e2e/clicks.rs"]
mod clicks;
#[path = "e2e/confined.rs"]
mod confined;
#[path = "e2e/controls.rs"]
mod controls;
#[path = "e2e/copies.rs"]
mod copies;
#[path = "e2e/corpora.rs"]
mod corpora;
#[path = "e2e/crowds.rs"]
mod crowds;
#[path = "e2e/deployed.rs"]
mod deployed;
#[path = "e2e/doctor.rs"]
mod doctor;
#[path = "e2e/domains.rs"]
mod domains;
#[path = "e2e/draining.rs"]
mod draining;
#[path = "e2e/durability.rs"]
mod durability;
#[path = "e2e/explain.rs"]
mod explain;
#[path = "e2e/files.rs"]
mod files;
#[path = "e2e/first.rs"]
mod first;
#[path = "e2e/fleet.rs"]
mod fleet;
#[path = "e2e/halves.rs"]
mod halves;
#[path = "e2e/handover.rs"]
mod handover;
#[path = "e2e/hostile.rs"]
mod hostile;
#[path = "e2e/idle.rs"]
mod idle;
#[path = "e2e/image.rs"]
mod image;
#[path = "e2e/imports.rs"]
mod imports;
#[path = "e2e/kept.rs"]
mod kept;
#[path = "e2e/keys.rs"]
mod keys;
#[path = "e2e/letters.rs"]
mod letters;
#[path = "e2e/listeners.rs"]
mod listeners;
#[path = "e2e/lists.rs"]
mod lists;
#[path = "e2e/log.rs"]
mod log;
#[path = "e2e/manual.rs"]
mod manual;
#[path = "e2e/metrics.rs"]
mod metrics;
#[path = "e2e/moving.rs"]
mod moving;
#[path = "e2e/pages.rs"]
mod pages;
#[path = "e2e/postgres.rs"]
mod postgres;
#[path = "e2e/procedures.rs"]
mod procedures;
#[path = "e2e/prometheus.rs"]
mod prometheus;
#[path = "e2e/propagation.rs"]
mod propagation;
#[path = "e2e/real_map.rs"]
mod real_map;
#[path = "e2e/redis.rs"]
mod redis;
#[path = "e2e/redis_edge.rs"]
mod redis_edge;
#[path = "e2e/rolling.rs"]
mod rolling;
#[path = "e2e/same.rs"]
mod same;
#[path = "e2e/settings.rs"]
mod settings;
#[path = "e2e/signals.rs"]
mod signals;
#[path = "e2e/snapshot.rs"]
mod snapshot;
#[path = "e2e/starts.rs"]
mod starts;
#[path = "e2e/stopping.rs"]
mod stopping;
#[path = "e2e/stores.rs"]
mod stores;
#[path = "e2e/strangers.rs"]
mod strangers;
#[path = "e2e/support.rs"]
mod support;
#[path = "e2e/switchover.rs"]
mod switchover;
#[path = "e2e/targets.rs"]
mod targets;
#[path = "e2e/tls.rs"]
mod tls;
#[path = "e2e/traces.rs"]
mod traces;
#[path = "e2e/tutorial.rs"]
mod tutorial;
#[path = "e2e/units.rs"]
mod units;
#[path = "e2e/words.rs"]
mod words;
