//! The same with a real cluster of three: who is asked for what, a node that is lost, a slot that moves.

use super::*;

/// As control's cluster client would: whoever has the slot takes it.
fn put_in(cluster: &services::RedisCluster, name: &[u8], value: &[u8]) {
    let taken = cluster.nodes.iter().any(|node| {
        let client = ::redis::Client::open(node.url()).unwrap();
        let Ok(mut own) = client.get_connection() else { return false };
        cmd("SET").arg(name).arg(value).exec(&mut own).is_ok()
    });
    assert!(taken, "nobody has {}", name.escape_ascii());
}

const SHARDS: u16 = 8;

fn put_link(cluster: &services::RedisCluster, code: &str) {
    let name = value_key(relay::shard_of(&key(code), SHARDS), COPY, &key(code));
    put_in(cluster, &name, &relay::value(START, &record(7, code)));
}

/// Which node has a code.
fn home(cluster: &services::RedisCluster, code: &str) -> usize {
    let slot = cluster::slot(relay::shard_of(&key(code), SHARDS));
    let name = String::from_utf8(position_key(relay::shard_of(&key(code), SHARDS)).to_vec()).unwrap();
    let said = cluster.nodes[0].cli(&["CLUSTER", "KEYSLOT", &name]).unwrap();
    assert_eq!(said, slot.to_string(), "Redis counts as we do");
    usize::from(slot) * 3 / 16_384
}

#[test]
fn every_node_of_a_cluster_is_asked_for_what_it_has() {
    on_both_drivers(|uring| {
        let cluster = match services::RedisCluster::start() {
            Err(fault @ services::ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
            cluster => RefCell::new(cluster.unwrap()),
        };
        // Two of three are enough to find the third.
        let urls = cluster.borrow().url();
        let two = urls.rsplit_once(',').unwrap().0;
        let config = RedisConfig { url: RedisUrl::parse(two).unwrap(), shards: SHARDS, ca: None };
        let redis = SharedRedis::new(config, 1).unwrap();
        for number in 0..SHARDS {
            let at = Position { epoch: EPOCH, seq: START, tag: 1 };
            let name = position_key(Shard { number, of: SHARDS });
            put_in(&cluster.borrow(), &name, &relay::CopyPosition { at, copy: COPY }.encode());
        }
        let cluster = std::sync::Mutex::new(cluster.into_inner());
        run(uring, redis, None, |world| {
            let mut cluster = cluster.lock().unwrap();
            let codes = |round: &str| (0..32).map(|number| format!("{round}{number}")).collect::<Vec<_>>();
            let first = codes("a");
            first.iter().for_each(|code| put_link(&cluster, code));
            let homes: Vec<usize> = first.iter().map(|code| home(&cluster, code)).collect();
            assert!((0..3).all(|node| homes.contains(&node)));
            // Until the map was read, all are asked of the first node.
            let mut tries = 0;
            until("the map", || {
                tries += 1;
                let code = format!("probe{tries}");
                put_link(&cluster, &code);
                let found = world.get(&code) == "302 redis";
                found && home(&cluster, &code) == 2
            });
            world.until_up();
            let asked = world.asked();
            for code in &first {
                assert_eq!(world.get(code), "302 redis", "{code}");
            }
            assert_eq!(world.asked(), asked);

            // A node is lost: its part comes from origin, the others go on.
            let second = codes("b");
            second.iter().for_each(|code| put_link(&cluster, code));
            cluster.nodes[2].kill().unwrap();
            until("the loss to be noticed", || !world.is_up());
            let homes = second.iter().map(|code| home(&cluster, code));
            let homes: Vec<usize> = homes.collect();
            for (code, home) in second.iter().zip(homes) {
                assert_eq!(world.get(code), if home == 2 { "404 origin" } else { "302 redis" }, "{code}");
            }

            // A slot moves: unknown until the map is read again.
            let moved = second.iter().find(|code| home(&cluster, code) == 0).unwrap();
            let shard = relay::shard_of(&key(moved), SHARDS);
            let slot = cluster::slot(shard).to_string();
            let to = cluster.nodes[1].cli(&["CLUSTER", "MYID"]).unwrap();
            let mut from = ::redis::Client::open(cluster.nodes[0].url()).unwrap().get_connection().unwrap();
            let mut held = cmd("CLUSTER");
            let held: Vec<Vec<u8>> = held.arg("GETKEYSINSLOT").arg(&slot).arg(100).query(&mut from).unwrap();
            cmd("DEL").arg(held).exec(&mut from).unwrap();
            for node in [1, 0] {
                cluster.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]).unwrap();
            }
            let at = Position { epoch: EPOCH, seq: START, tag: 1 };
            put_in(&cluster, &position_key(shard), &relay::CopyPosition { at, copy: COPY }.encode());
            let before = world.count(RedisOutcome::Unknown);
            let mut number = 0;
            let mut fresh = || loop {
                number += 1;
                let code = format!("m{number}");
                if relay::shard_of(&key(&code), SHARDS) == shard {
                    put_link(&cluster, &code);
                    return code;
                }
            };
            // MOVED is unknown; but the map is read again and again while a node is lost, and may have been read just now.
            let first = world.get(&fresh());
            if first != "302 redis" {
                assert_eq!((first.as_str(), world.count(RedisOutcome::Unknown)), ("404 origin", before + 1));
            }
            until("the map to be read again", || world.get(&fresh()) == "302 redis");
        });
    });
}
