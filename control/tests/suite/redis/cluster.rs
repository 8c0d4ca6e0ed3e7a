//! A Redis Cluster that loses a node.

use super::copies::{Bench, connect, skipped};
use super::{Shard, cmd, position_key, write};
use services::{Redis, RedisCluster};

const SHARDS: u16 = 8;

/// The shards that lie on a node.
async fn shards_of(url: &str) -> Vec<Shard> {
    let (mut node, mut own) = (connect(url).await, Vec::new());
    for shard in (0..SHARDS).map(|number| Shard { number, of: SHARDS }) {
        let asked = cmd("EXISTS").arg(&position_key(shard)[..]).query_async::<bool>(&mut node).await;
        own.extend(asked.is_ok().then_some(shard)); // MOVED otherwise
    }
    own
}

/// The rights that are shipped.
fn grant(node: &Redis) {
    let rights = include_str!("../../../../deploy/redis-acl.conf");
    let own = rights.lines().find_map(|line| line.strip_prefix("user linkr-control ")).unwrap();
    let words: Vec<&str> = ["ACL", "SETUSER", "linkr-control"].into_iter().chain(own.split(' ')).collect();
    node.cli(&words).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_holds_up_its_own_shards_only() {
    let Some(mut cluster) = skipped(RedisCluster::start()) else { return };
    cluster.nodes.iter().for_each(grant);
    let url = cluster.url().replace("redis://", "redis://linkr-control:CHANGE-ME-CONTROL@");
    let bench = Bench::start_with(&url, cluster.nodes[0].url(), SHARDS, None).await;
    let mut nodes = Vec::new();
    for node in &cluster.nodes {
        nodes.push((node.url().to_owned(), shards_of(node.url()).await));
    }
    assert_eq!(nodes.iter().map(|(_, shards)| shards.len()).sum::<usize>(), usize::from(SHARDS));
    let lost = (0..3).find(|&n| !nodes[n].1.is_empty() && nodes[n].1.len() < usize::from(SHARDS)).unwrap();
    let count = async |nodes: &[(String, Vec<Shard>)]| {
        let mut values = 0;
        for (url, shards) in nodes {
            for shard in shards {
                bench.stands(*shard, url).await;
                values += bench.compared(*shard, url).await;
            }
        }
        values
    };
    write(&bench.world, (0..1_000).map(|n| format!("c{n}"))).await;
    assert_eq!(count(&nodes).await, 1_000);

    cluster.nodes[lost].kill().unwrap();
    write(&bench.world, (1_000..2_000).map(|n| format!("c{n}"))).await;
    let back = nodes.remove(lost);
    let left = count(&nodes).await;
    assert!((1..2_000).contains(&left), "{left}");

    cluster.nodes[lost].start_again().unwrap();
    grant(&cluster.nodes[lost]);
    nodes.push(back);
    let all = count(&nodes).await;
    // What was on the lost node is gone; what came while it was away may have been carried over or begun behind.
    assert!((left..=2_000).contains(&all), "{all}");
    bench.until(async || bench.text().contains("linkr_redis_shards_connected 8\n")).await;
    write(&bench.world, (0..100).map(|n| format!("d{n}"))).await;
    assert_eq!(count(&nodes).await, all + 100);
    bench.stop().await;
}
