//! Where Redis is: from a URL to a connection.

use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates,
};
use std::time::Duration;

/// For a connection to be there, and for a reply. Nobody waits for it but the relay.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a command to a cluster is sent again, to where it says that the slot is now.
const RETRIES: u32 = 3;
/// Between two of those, in milliseconds.
const RETRY_WAIT: (u64, u64) = (10, 100);

/// A server or a cluster.
#[expect(clippy::large_enum_variant, reason = "there is one, behind an Arc")]
pub enum RedisClient {
    One(Client),
    Cluster(ClusterClient),
}

/// What commands are sent over.
pub type Connection = Box<dyn ConnectionLike + Send>;

impl RedisClient {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS; nodes of a cluster are separated by
    /// commas, and a single one is told by `redis-cluster://` or `rediss-cluster://`. `ca`, as PEM, takes the place of
    /// the system's authorities.
    pub fn new(url: &str, ca: Option<Vec<u8>>) -> RedisResult<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // it may be there already
        let nodes: Vec<&str> = url.split(',').map(str::trim).collect();
        let cluster = nodes.len() > 1 || url.contains("-cluster://");
        let info = |node: &&str| {
            let info = node.replacen("-cluster://", "://", 1).as_str().into_connection_info()?;
            Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
        };
        let mut nodes = nodes.iter().map(info).collect::<RedisResult<Vec<ConnectionInfo>>>()?;
        let tls = ca.map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) });
        if !cluster {
            let node = nodes.remove(0);
            return Ok(Self::One(match tls {
                Some(tls) => Client::build_with_tls(node, tls)?,
                None => Client::open(node)?,
            }));
        }
        let builder = ClusterClient::builder(nodes)
            .tcp_settings(TcpSettings::default().set_nodelay(true))
            .connection_timeout(PATIENCE)
            .response_timeout(PATIENCE)
            .retries(RETRIES)
            .min_retry_wait(RETRY_WAIT.0)
            .max_retry_wait(RETRY_WAIT.1);
        Ok(Self::Cluster(match tls {
            Some(tls) => builder.certs(tls).build()?,
            None => builder.build()?,
        }))
    }

    pub async fn connect(&self) -> RedisResult<Connection> {
        Ok(match self {
            Self::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(PATIENCE));
                Box::new(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Self::Cluster(client) => Box::new(client.get_async_connection().await?),
        })
    }
}
