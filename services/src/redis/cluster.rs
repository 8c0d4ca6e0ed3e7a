//! Three masters that share the slots, without replicas: who is killed is missing until it is back.

use super::{PATIENCE, Redis};
use crate::{ServerFault, free_port, program};
use std::process::Command;
use std::time::{Duration, Instant};

/// A Redis Cluster that goes on with the slots it has when a node is lost.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, in the order of their slots.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts it and waits until every node knows who has which slots.
    ///
    /// # Errors
    /// As for [`Redis::start`].
    pub fn start() -> Result<Self, ServerFault> {
        let node = |_| {
            let bus = format!("cluster-port {}", free_port()?); // the usual one may lie beyond the last port
            let slots = "cluster-require-full-coverage no";
            Redis::start(&["cluster-enabled yes", slots, "cluster-node-timeout 1000", &bus])
        };
        let mut nodes = (0..3).map(node).collect::<Result<Vec<_>, _>>()?;
        let mut command = Command::new(program("redis-cli", &[])?);
        command.args(["--cluster-yes", "--cluster", "create"]);
        for node in &mut nodes {
            command.arg(format!("127.0.0.1:{}", node.port()?));
        }
        let output =
            command.output().map_err(|e| ServerFault::Failed(format!("cannot run redis-cli: {e}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            return Err(ServerFault::Failed(format!("no cluster was made: {said}")));
        }
        let cluster = Self { nodes };
        let deadline = Instant::now() + PATIENCE;
        for node in &cluster.nodes {
            while !node.cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
                if Instant::now() > deadline {
                    return Err(ServerFault::Failed("the nodes of a cluster do not find each other".into()));
                }
                std::thread::sleep(Duration::from_millis(20)); // nothing tells when they do
            }
        }
        Ok(cluster)
    }

    /// The addresses of all nodes, separated by commas, as `--redis` takes them.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<&str> = self.nodes.iter().map(Redis::url).collect();
        urls.join(",")
    }
}
