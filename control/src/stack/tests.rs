//! The table against the services as they are, what a guess can learn from the clock, and what the stack costs.

use super::table::over_grpc;
use super::*;
use crate::keys::{KeyDraft, Keys, mint};
use axum::routing::get;
use http::Request as Plain;
use prost::Message;
use std::path::PathBuf;
use std::time::Instant;
use store::port::Repository;
use store::sqlite::{Options, Sqlite};

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
        let secret = mint(&*store, KeyDraft::admin()).unwrap().reveal().to_owned();
        let keys = Arc::new(Keys::open(store.clone(), None).unwrap());
        Self { folder, store, keys, secret }
    }

    fn guard(&self) -> Arc<Guard> {
        Arc::new(Guard {
            keys: Some(self.keys.clone()),
            limits: Arc::default(),
            metrics: Arc::default(),
            refusals: Refusals::default(),
            trusted: Vec::new(),
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.store.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Found by attack: 3,600 calls at once kept every thread busy for a second, and then nobody was let in, because it was not
/// known which keys had been revoked.
#[tokio::test]
async fn however_busy_the_others_are_it_is_known_which_keys_were_revoked() {
    let bench = Bench::new("busy");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let looks = bench.keys.clone().start(Arc::default(), stopped);
    std::thread::sleep(Duration::from_secs(2)); // the only thread of this runtime is busy
    assert!(bench.keys.are_current());
    stop.send(true).unwrap();
    looks.await.unwrap();
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
    assert!(methods > 10, "{methods}");
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
    let (stack, _) = around(bare.clone(), bare.clone(), bench.guard(), None, None);
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
