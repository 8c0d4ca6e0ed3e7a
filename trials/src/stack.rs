//! What stands behind control: nothing, or a real Postgres and a real Redis of this trial alone.

use crate::wire::Wire;
use clap::ValueEnum;
use services::{Postgres, Redis, RedisCluster, ServerFault, Volume};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Where control keeps its links, and what the edges can ask besides control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Stack {
    /// SQLite, and nothing else
    #[default]
    Sqlite,
    /// Postgres, and Redis between control and the edges
    Production,
    /// The same with a Redis Cluster of three masters
    Cluster,
}

const DATABASE: &str = "links";
/// Some on each of the three nodes.
const SHARDS: &str = "6";
/// For a standby to have what its primary has.
const PATIENCE: Duration = Duration::from_secs(15);

/// The servers of [`Stack::Production`] and [`Stack::Cluster`].
pub struct Servers {
    /// Its commits are on disk.
    pub postgres: Postgres,
    /// The one that follows it, or that it followed.
    pub other: Option<Postgres>,
    /// The nodes, or the only one. They save nothing by themselves.
    pub redis: Vec<Redis>,
    urls: String,
    wire: Wire,
    dump: String,
}

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    /// One is not installed, or does not start.
    pub async fn start(stack: Stack) -> Result<Self, String> {
        let postgres = Postgres::start(&[]).map_err(|fault| text(&fault))?;
        postgres.create(DATABASE).map_err(|fault| text(&fault))?;
        let redis = match stack {
            Stack::Cluster => RedisCluster::start().map(|cluster| cluster.nodes),
            _ => Redis::start(&["maxmemory-policy volatile-lru"]).map(|redis| vec![redis]),
        };
        let redis = redis.map_err(|fault| text(&fault))?;
        let urls = redis.iter().map(Redis::url).collect::<Vec<_>>().join(",");
        let wire = Wire::start().await.map_err(|fault| fault.to_string())?;
        wire.lead(address(&postgres)?);
        Ok(Self { postgres, other: None, redis, urls, wire, dump: String::new() })
    }

    /// As control and the edges take them.
    pub fn redis_words(&self) -> [&str; 4] {
        ["--redis", &self.urls, "--redis-shards", if self.redis.len() > 1 { SHARDS } else { "1" }]
    }

    /// As control takes it: whichever server has the links now.
    pub fn store(&self) -> String {
        let own = self.postgres.url(DATABASE);
        let (before, path) = own.split_once('@').unwrap_or(("postgres://postgres", ""));
        let database = path.split_once('/').map_or(DATABASE, |(_, database)| database);
        format!("{before}@{}/{database}", self.wire.address())
    }

    /// Makes a standby, and lets control find that there is one.
    ///
    /// # Errors
    /// It does not start.
    pub fn follow(&mut self, synchronous: bool, place: Volume) -> Result<(), ServerFault> {
        self.other = Some(self.postgres.standby(synchronous, place)?);
        self.wire.cut_once();
        Ok(())
    }

    /// The primary is stopped, and its standby takes over.
    ///
    /// # Errors
    /// It does not.
    pub fn hand_over(&mut self) -> Result<(), String> {
        self.postgres.stop().map_err(|fault| text(&fault))?;
        self.promote(true)?;
        self.fence()
    }

    /// Waits until the standby has everything.
    ///
    /// # Errors
    /// It does not get there.
    pub fn caught_up(&self) -> Result<(), String> {
        let other = self.other.as_ref().ok_or("there is no standby")?;
        let head =
            self.postgres.psql("postgres", "SELECT pg_current_wal_lsn()").map_err(|fault| text(&fault))?;
        let ask = format!("SELECT pg_last_wal_replay_lsn() >= '{head}'");
        let began = Instant::now();
        while other.psql("postgres", &ask).map_err(|fault| text(&fault))? != "t" {
            if began.elapsed() > PATIENCE {
                return Err("the standby does not catch up".to_owned());
            }
        }
        Ok(())
    }

    /// The standby becomes the primary. Connections of control stay with the old one, which still runs; new ones lead
    /// to the new one, or nowhere for now.
    ///
    /// # Errors
    /// It does not.
    pub fn promote(&mut self, reachable: bool) -> Result<(), String> {
        let mut new = self.other.take().ok_or("there is no standby")?;
        new.promote().map_err(|fault| text(&fault))?;
        if reachable {
            self.wire.turn(address(&new)?);
        } else {
            self.wire.hold();
        }
        self.other = Some(std::mem::replace(&mut self.postgres, new));
        Ok(())
    }

    /// The old primary is gone, and everybody finds the new one.
    ///
    /// # Errors
    /// It is not our own.
    pub fn fence(&mut self) -> Result<(), String> {
        self.wire.turn(address(&self.postgres)?);
        self.wire.cut_once();
        self.other = None;
        Ok(())
    }

    /// Copies the database.
    ///
    /// # Errors
    /// It does not answer.
    pub fn copy_database(&mut self) -> Result<(), String> {
        self.dump = self.postgres.dump(DATABASE).map_err(|fault| text(&fault))?;
        Ok(())
    }

    /// Puts the copy in its place.
    ///
    /// # Errors
    /// It cannot.
    pub fn put_database_back(&self) -> Result<(), String> {
        self.postgres.restore(DATABASE, &self.dump).map_err(|fault| text(&fault))
    }
}

fn address(postgres: &Postgres) -> Result<SocketAddr, String> {
    let port = postgres.port().ok_or("the trials need a Postgres of their own: unset LINKR_TEST_POSTGRES")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn text(fault: &ServerFault) -> String {
    fault.to_string()
}
