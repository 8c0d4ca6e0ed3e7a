//! `linkr edge --redis`: what does not fit in memory is asked there before control, with both drivers.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, skip, until};
use ::redis::cmd;
use feed::relay::{Copied, Shard, position_key, value, value_key};
use link::{Link, LinkParts, Position, State, Target};

fn metric(edge: &Linkr, outcome: &str) -> f64 {
    edge.metric(&format!("linkr_redis_requests_total{{outcome=\"{outcome}\"}}")).unwrap()
}

#[test]
fn an_edge_with_little_memory_asks_redis_before_control() {
    let _turn = beside_others();
    for env in [&[][..], &[("MONOIO_FORCE_LEGACY_DRIVER", "1")]] {
        let server = match services::Redis::start(&[]) {
            Err(services::Fault::Missing(what)) => return skip("redis", &format!("there is no {what}")),
            server => server.unwrap(),
        };
        let (dir, own) = (Dir::new(), Dir::new());
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let control = Linkr::start(control, &dir, &["api"]);
        let rows = (0..4_000).map(|number| format!("c{number},https://example.com/some/target/{number}\n"));
        let file = dir.write("links.csv", format!("code,target\n{}", rows.collect::<String>()));
        control.ok(&dir, &["import", &file]);
        let mut edge = command(LINKR, own.path());
        edge.args([
            "edge",
            "--control",
            &format!("http://{}", control.api()),
            "--workers",
            "1",
            "--unpinned",
        ]);
        edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--hot-set-bytes", "128KiB"]);
        edge.args(["--redis-file", &own.write("url", format!("{}\n", server.url()))])
            .envs(env.iter().copied());
        let edge = Linkr::start(edge, &own, &["edge", "admin"]);
        until("it to have seen all links", || {
            (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
        });
        until("Redis to be asked", || edge.metric("linkr_redis_up").filter(|up| *up == 1.0));
        // There is no position yet.
        assert_eq!(edge.get("/none").status, 404);
        assert_eq!(metric(&edge, "unknown") + metric(&edge, "timed_out"), 1.0);

        let told = Connection::to(edge.admin()).ask("GET", "/debug/explain?path=/c0").body;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let (epoch, _) = Position::parse_revision(told["revision"].as_str().unwrap()).unwrap();
        let mut writer = ::redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        let mut set = |name: &[u8], value: &[u8]| cmd("SET").arg(name).arg(value).exec(&mut writer).unwrap();
        let target = Target::stored(b"https://example.com/there").unwrap();
        let state = State::Live(Link::new(LinkParts::to(target)).unwrap());
        for number in 0..20 {
            let name = value_key(Shard::ONE, 9, format!("\0\0\0\0there{number}").as_bytes());
            set(&name, &value(4_000, &proto::encode(4_000, &state)));
        }
        let at = Position { epoch, seq: 4_000, tag: 1 };
        set(&position_key(Shard::ONE), &Copied { at, copy: 9 }.encode());
        // Control has never heard of them. On a busy machine a question may take too long, and control answers.
        let found = (0..20).find(|number| edge.get(&format!("/there{number}")).status == 302);
        assert!(found.is_some());
        assert_eq!(metric(&edge, "answered"), 1.0);
        let redirects = "linkr_edge_requests_total{outcome=\"redirect\",tier=\"redis\"}";
        assert_eq!(edge.metric(redirects), Some(1.0));
        until("the next tick", || {
            edge.metric("linkr_redis_request_duration_seconds_count").filter(|count| *count >= 3.0)
        });
    }
}

#[test]
fn a_url_that_is_none_is_said_without_what_is_secret() {
    let _turn = beside_others();
    let dir = Dir::new();
    let file = dir.write("url", "http://user:secret@host");
    for words in [["--redis", "http://user:secret@host"], ["--redis-file", &file]] {
        let done = command(LINKR, dir.path()).arg("edge").args(words).output().unwrap();
        let said = crate::support::text(&done.stderr);
        assert!(!done.status.success() && said.contains("is no address of Redis"), "{said}");
        assert!(words[0] == "--redis" || !said.contains("secret"), "{said}");
    }
}
