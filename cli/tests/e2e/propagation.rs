//! How soon an acknowledged change is what visitors see.

use crate::support::{Connection, Dir, Linkr, until};
use prost_types::FieldMask;
use proto::v1;
use proto::v1::links_client::LinksClient;
use std::time::{Duration, Instant};

const UPDATES: usize = 1_000;
const BOUND: Duration = Duration::from_millis(20);

pub fn an_update_is_seen_within_20_ms() {
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://example.com/0", "--code", "x"]);
    until("the link", || (linkr.get("/x").status == 302).then_some(()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("http://{}", linkr.api());
    let mut client = runtime.block_on(LinksClient::connect(url)).unwrap();
    let mut edge = Connection::to(linkr.edge());
    let mut took = Vec::new();
    for update in 1..=UPDATES {
        let target = format!("https://example.com/{update}");
        let link =
            v1::Link { name: "domains/-/links/x".into(), target: target.clone(), ..Default::default() };
        let mask = FieldMask { paths: vec!["target".into()] };
        let request =
            v1::UpdateLinkRequest { link: Some(link), update_mask: Some(mask), ..Default::default() };
        runtime.block_on(client.update_link(request)).unwrap();
        let acknowledged = Instant::now();
        loop {
            let answer = edge.ask("GET", "/x");
            if answer.field("connection") == Some("close") {
                edge = Connection::to(linkr.edge()); // its limit of requests
            }
            if answer.location() == target {
                break;
            }
            assert!(acknowledged.elapsed() < Duration::from_secs(5), "{target} never came");
        }
        took.push(acknowledged.elapsed());
    }
    took.sort();
    let (p50, p99, most) = (took[UPDATES / 2], took[UPDATES * 99 / 100], took[UPDATES - 1]);
    println!("acknowledged to seen: p50 {p50:?}, p99 {p99:?}, most {most:?}");
    assert!(p99 <= BOUND, "p50 {p50:?}, p99 {p99:?}, most {most:?}");
}
