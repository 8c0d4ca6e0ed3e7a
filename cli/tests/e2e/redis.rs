//! `--redis`: a copy that is kept while Redis is there, and that nobody needs.

use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, until};
use services::{Redis, ServerFault};

#[test]
fn control_keeps_a_copy_and_does_not_need_it() {
    let _turn = beside_others();
    let password = "requirepass a/b@c"; // as a URL has it: a%2Fb%40c
    let mut redis = match Redis::start(&[password, "maxmemory-policy volatile-lru"]) {
        Err(fault @ ServerFault::Missing(_)) => return skip("redis", &fault.to_string()),
        redis => redis.unwrap(),
    };
    let dir = Dir::new();
    let at = redis.url().strip_prefix("redis://").unwrap().to_owned();
    let file = dir.write("redis-url", format!("redis://:a%2Fb%40c@{at}\n"));
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--redis-file", &file, "--redis-shards", "2"]).args(FREE_PORTS);
    let control = Linkr::start(control, &dir, &["store", "api", "admin"]);
    let metric = |name: &str, value: f64| until(name, || (control.metric(name) == Some(value)).then_some(()));
    metric("linkr_redis_shards_connected", 2.0);
    control.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    metric("linkr_redis_lag_changes", 0.0);
    assert_eq!(control.metric("linkr_redis_policy_volatile"), Some(1.0));

    redis.kill().unwrap();
    metric("linkr_redis_shards_connected", 0.0);
    control.ok(&dir, &["link", "create", "https://example.com/y", "--code", "y"]);
    metric("linkr_redis_lag_changes", 1.0);
    redis.start_again().unwrap();
    metric("linkr_redis_lag_changes", 0.0);
    assert!(!control.stderr().contains("a%2Fb"), "no password in the log");
}
