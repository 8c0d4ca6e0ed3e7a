//! Where the copy between control and the edges is: the same words for both.

use crate::fault::Fault;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;

/// Where the copy between control and the edges is.
#[derive(Args, Clone)]
pub struct Redis {
    /// The Redis between control and the edges: redis://user:password@host:port/database, rediss:// for TLS; of a
    /// cluster several nodes, separated by commas
    #[arg(long, env = "LINKR_REDIS", hide_env_values = true, value_name = "URL", value_parser = redis_url)]
    pub redis: Option<String>,
    /// The file that holds this URL; wins over --redis
    #[arg(long, env = "LINKR_REDIS_FILE", value_name = "FILE")]
    pub redis_file: Option<PathBuf>,
    /// Parts of the copy, each with a position of its own: for a cluster; the same for control and all edges
    #[arg(long, env = "LINKR_REDIS_SHARDS", default_value_t = 1, value_name = "N", value_parser = shards())]
    pub redis_shards: u16,
}

impl Redis {
    /// The URL, if there is one.
    pub fn url(&self) -> Result<Option<String>, Fault> {
        let Some(file) = &self.redis_file else { return Ok(self.redis.clone()) };
        let named = |why: String| Fault::new(format_args!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|fault| named(fault.to_string()))?;
        let url = redis_url(text.trim()).map_err(|why| named(format!("what it holds {why}")))?;
        Ok(Some(url))
    }

    /// As the edge takes it.
    pub fn edge(&self) -> Result<Option<(edge::RedisUrl, u16)>, Fault> {
        let url = self.url()?.map(|url| edge::RedisUrl::parse(&url)).transpose().map_err(Fault::new)?;
        Ok(url.map(|url| (url, self.redis_shards)))
    }
}

fn redis_url(text: &str) -> Result<String, String> {
    edge::RedisUrl::parse(text).map(|_| text.to_owned())
}

fn shards() -> RangedU64ValueParser<u16> {
    RangedU64ValueParser::new().range(1..=u64::from(edge::MAX_SHARDS))
}
