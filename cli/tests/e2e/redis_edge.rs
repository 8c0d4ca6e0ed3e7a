//! `linkr edge --redis`: what does not fit in memory is asked there before control, with both drivers.

use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, skip, text, until,
};

const LINKS: u32 = 4_000;

#[test]
fn an_edge_with_little_memory_asks_redis_before_control() {
    let _turn = beside_others();
    for env in [[IO_URING], [EPOLL]] {
        let redis = match services::Redis::start(&["maxmemory-policy volatile-lru"]) {
            Err(fault @ services::ServerFault::Missing(_)) => return skip("redis", &fault.to_string()),
            redis => redis.unwrap(),
        };
        let (dir, own) = (Dir::new(), Dir::new());
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--redis", redis.url()]).args(FREE_PORTS);
        let control = Linkr::start(control, &dir, &["api", "admin"]);
        until("the relay", || control.metric("linkr_redis_shards_connected").filter(|shards| *shards == 1.0));
        let rows = (0..LINKS).map(|number| format!("c{number},https://example.com/some/target/{number}\n"));
        let file = dir.write("links.csv", format!("code,target\n{}", rows.collect::<String>()));
        control.ok(&dir, &["import", &file]);
        until("the copy", || control.metric("linkr_redis_lag_changes").filter(|lag| *lag == 0.0));
        let mut edge = command(LINKR, own.path());
        let url = format!("http://{}", control.api());
        edge.args(["edge", "--control", &url, "--workers", "1", "--unpinned", "--hot-set-bytes", "128KiB"]);
        edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--redis-file"]);
        edge.arg(own.write("url", format!("{}\n", redis.url()))).envs(env);
        let edge = Linkr::start(edge, &own, &["edge", "admin"]);
        until("it to have seen all links", || {
            (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
        });
        until("Redis to be asked", || edge.metric("linkr_redis_up").filter(|up| *up == 1.0));

        let mut client = Connection::to(edge.edge());
        for number in 0..LINKS {
            let answer = client.ask("GET", &format!("/c{number}"));
            assert_eq!(answer.location(), format!("https://example.com/some/target/{number}"));
        }
        assert_eq!(client.ask("GET", "/none").status, 404);
        let redirects = |tier: &str| {
            let name = format!("linkr_edge_requests_total{{outcome=\"redirect\",tier=\"{tier}\"}}");
            edge.metric(&name).unwrap()
        };
        // On a busy machine a question may take too long, and control answers.
        let (redis, origin) = (redirects("redis"), redirects("origin"));
        assert!(redis > 2_000.0 && origin < redis / 2.0, "{redis} from Redis, {origin} from control");
        let answered = edge.metric("linkr_redis_requests_total{outcome=\"answered\"}");
        assert_eq!(answered, Some(redis));
        until("the next tick", || {
            edge.metric("linkr_redis_request_duration_seconds_count").filter(|count| *count > redis)
        });
    }
}

#[test]
fn a_url_that_is_none_is_said_without_what_is_secret() {
    let _turn = beside_others();
    let dir = Dir::new();
    let file = dir.write("url", "http://user:hunter2@host");
    for words in [["--redis", "http://user:hunter2@host"], ["--redis-file", &file]] {
        let done = command(LINKR, dir.path()).arg("edge").args(words).output().unwrap();
        let said = text(&done.stderr);
        assert!(!done.status.success() && said.contains("is no address of Redis"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
