//! The table against the routers as they are, what a guess can learn from the clock, and what the stack costs.

use super::table::{CALLS, over_grpc, over_rest};
use super::*;
use crate::adapter::sqlite::{Options, Sqlite};
use crate::keys::{Keys, Scope, Wish, mint};
use crate::metrics::Metrics;
use crate::port::Repository;
use crate::service::{Rules, Service, Watches};
use crate::sessions::Sessions;
use crate::tail::Tail;
use crate::writer::Writer;
use axum::routing::get;
use http::Request as Plain;
use prost::Message;
use std::path::PathBuf;
use std::time::Instant;

struct Bench {
    folder: PathBuf,
    store: Arc<dyn Repository>,
    keys: Arc<Keys>,
    secret: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("linkr-stack-{}-{name}", std::process::id()));
        let store: Arc<dyn Repository> =
            Arc::new(Sqlite::open(&folder.join("linkr.db"), Options::default()).unwrap());
        let secret = mint(&*store, Wish::admin()).unwrap().reveal().to_owned();
        let keys = Arc::new(Keys::open(store.clone(), Arc::default(), None).unwrap());
        Self { folder, store, keys, secret }
    }

    fn guard(&self) -> Arc<Guard> {
        Arc::new(Guard {
            keys: Some(self.keys.clone()),
            limits: Arc::default(),
            metrics: Arc::default(),
            refusals: Refusals::default(),
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.store.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asks every route that the router knows, by every method, whether it is there, and the table whether it may be.
#[tokio::test]
async fn every_route_has_a_rule_and_every_rule_a_route() {
    let bench = Bench::new("routes");
    let store = bench.store.clone();
    let head = store.head().unwrap();
    let tail = Arc::new(Tail::new(store.clone(), head));
    let writer = Arc::new(Writer::start(store.clone(), head, tail.clone()).unwrap());
    let sessions = Sessions::new(Vec::new(), false);
    let metrics = Arc::<Metrics>::default();
    let watches = Watches::new(tail, tokio::sync::watch::channel(false).1);
    let rules = Rules::new(&[], &[], Vec::new());
    let service = Service::new(store, writer.clone(), metrics, sessions, watches, rules);
    let router = rest::router(Arc::new(service), bench.keys.clone());
    let told = format!("{router:?}");
    let paths: std::collections::BTreeSet<&str> = told
        .split('"')
        .filter(|text| text.starts_with('/') && *text != "/" && !text.contains("__private"))
        .collect();
    assert!(paths.len() >= 7 && paths.contains("/v1/links/{*code}"), "{paths:?}");
    for template in paths {
        let path: String = template
            .split('/')
            .skip(1)
            .fold(String::new(), |path, part| path + "/" + if part.starts_with('{') { "x" } else { part });
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            // What is posted to a link is always a verb.
            let verb = if method == "POST" && template.ends_with("{*code}") { ":undelete" } else { "" };
            let path = format!("{path}{verb}");
            // Without a caller, as here, no handler does anything.
            let request = Plain::builder()
                .method(method)
                .uri(&path)
                .header("host", "localhost")
                .body(Body::empty())
                .unwrap();
            let status = router.clone().oneshot(request).await.unwrap().status();
            if status == StatusCode::NOT_FOUND {
                // A piece that routes have in common, and none itself: a handler without a caller finds other words.
                assert!(over_rest(method, &path).is_err(), "{method} {template}");
                continue;
            }
            let (there, rule) = (status != StatusCode::METHOD_NOT_ALLOWED, over_rest(method, &path));
            assert_eq!(there, rule.is_ok(), "{method} {template}: {status}, {rule:?}");
        }
    }
    writer.close();
}

/// What is described has the rule that it is described with.
#[test]
fn the_description_says_what_the_table_does() {
    for route in rest::openapi::ROUTES {
        for template in route.paths() {
            let path = template.replace("{domain}", "a.example").replace("{code}", "x").replace("{key}", "x");
            let call = over_rest(&route.verb.to_uppercase(), &path).unwrap();
            let name = route.call.split('.').next_back().unwrap();
            assert_eq!(
                (call.name, call.scope.map(Scope::name)),
                (name, route.scope),
                "{} {template}",
                route.verb
            );
        }
    }
}

/// What stands in the `.proto` is what the tables say.
#[test]
fn the_options_say_what_the_tables_do() {
    let mut calls = 0;
    for call in CALLS.iter().filter(|call| call.grpc.starts_with("/linkr.v1.")) {
        let told = proto::described::call(call.name).unwrap();
        assert_eq!(told.path, call.grpc);
        assert_eq!(
            (Some(&*told.rule.scope), told.rule.weight),
            (call.scope.map(Scope::name), call.weight),
            "{told:?}"
        );
        let route =
            rest::openapi::ROUTES.iter().find(|route| route.call.ends_with(&format!(".{}", call.name)));
        let (Some(route), Some(http)) = (route, &told.http) else {
            assert!(route.is_none() && told.http.is_none() && call.rest.is_empty(), "{told:?}");
            continue;
        };
        calls += 1;
        let named = [("domains/*", "domains/domain"), ("keys/*", "keys/key"), ("s/**", "s/code")];
        let variables = ["link.name=", "domain.name=", "name=", "parent="].map(|variable| (variable, ""));
        let all = named.into_iter().chain(variables);
        let path = all.fold(http.path.clone(), |path, (from, to)| path.replace(from, to));
        assert_eq!(path.replace(['{', '}'], ""), route.path.replace(['{', '}'], ""));
        assert_eq!(http.method, route.verb.to_uppercase());
        let faults: Vec<_> = route.faults.iter().map(|fault| fault.names().reason).collect();
        assert_eq!(told.rule.faults, faults, "{}", call.name);
        assert_eq!(told.rule.creates, route.statuses.contains(&201), "{}", call.name);
    }
    assert_eq!(calls, rest::openapi::ROUTES.len());
}

#[test]
fn every_method_has_a_rule() {
    let all = [proto::v1::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let mut methods = 0;
    for descriptors in all {
        let files = prost_types::FileDescriptorSet::decode(descriptors).unwrap().file;
        for (file, service) in
            files.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)))
        {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let rule = over_grpc(&path).unwrap_or_else(|_| panic!("{path} has no rule"));
                assert_eq!(rule.scope.is_none(), file.package() != "linkr.v1", "{path}");
                methods += 1;
            }
        }
    }
    assert!(methods <= CALLS.len() && methods > 10, "{methods}");
}

/// What is looked for is a hash: nothing that is right in a guess is near anything. This shows that no shortcut crept in.
#[test]
fn the_time_of_a_guess_says_nothing_of_what_is_right_in_it() {
    let bench = Bench::new("timing");
    let guesses: Vec<String> = [0, 20, 40].map(|right| bench.keys.guess(&bench.secret, right)).into();
    let mut times = vec![Vec::new(); guesses.len()];
    for _ in 0..4_000 {
        for (guess, times) in guesses.iter().zip(&mut times) {
            let began = Instant::now();
            for _ in 0..4 {
                assert!(bench.keys.find(guess).is_err());
            }
            times.push(began.elapsed());
        }
    }
    let medians: Vec<Duration> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[times.len() / 2]
        })
        .collect();
    println!("4 guesses with 0, 20, 40 characters right: {medians:?}");
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most <= *least * 5 / 4 + Duration::from_micros(1), "{medians:?}");
    bench.keys.find(&bench.secret).unwrap();
}

#[tokio::test]
async fn what_the_stack_costs() {
    /// All rounds are within what a key may ask for at once.
    const CALLS: u32 = 1_000;
    let bench = Bench::new("cost");
    let bare = Router::new().route("/v1/links/x", get(async || "x"));
    let stack = around(bare.clone(), bare.clone(), bench.guard());
    let bearer = format!("Bearer {}", bench.secret);
    let request = || {
        let request = Plain::get("/v1/links/x").header("host", "localhost");
        request.header("authorization", &bearer).body(Body::empty()).unwrap()
    };
    let mut cost = [Duration::MAX; 2];
    for _ in 0..8 {
        bench.keys.refresh().await.unwrap();
        let began = Instant::now();
        for _ in 0..CALLS {
            assert_eq!(bare.clone().oneshot(request()).await.unwrap().status(), 200);
        }
        cost[0] = cost[0].min(began.elapsed() / CALLS);
        let began = Instant::now();
        for _ in 0..CALLS {
            assert_eq!(stack.clone().oneshot(request()).await.unwrap().status(), 200);
        }
        cost[1] = cost[1].min(began.elapsed() / CALLS);
    }
    println!("a call of nothing: {:?} bare, {:?} behind the stack", cost[0], cost[1]);
    assert!(cost[1] < Duration::from_millis(1), "{cost:?}");
}
