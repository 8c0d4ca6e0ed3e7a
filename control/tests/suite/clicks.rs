//! Clicks as edges hand them over and callers ask for them, over real sockets and a real SQLite file.

use super::keys::{locked, put, rest, way};
use super::world::{Folder, MoodyStore, World, create, text, to};
use clicks::batch::{self, Batch, Loss, Total, UnknownCode};
use clicks::{Click, Country, Device, Kind, Language, LossReason};
use link::{DomainId, Seq};
use proto::v1::{self, clicks_client::ClicksClient, feed_client::FeedClient, links_client::LinksClient};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use store::model::{Scope, Scopes};
use tonic::Code;

const MINUTE: i64 = 60_000;

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn click(uid: Seq, kind: Kind, country: &[u8; 2]) -> Click {
    Click {
        at: now() - MINUTE,
        domain: DomainId::DEFAULT,
        uid,
        version: uid,
        kind,
        country: Country(*country),
        browser: "Firefox".into(),
        os: "Linux".into(),
        device: Device::Desktop,
        referrer: "news.example".into(),
        language: Language(*b"de"),
        visitor: 0,
        agent: 0,
    }
}

/// What an edge sends.
fn offer(edge: &str, seq: u64, batch: &Batch) -> v1::AppendRequest {
    v1::AppendRequest {
        edge: edge.into(),
        spool: 7,
        seq,
        first_no: batch.first_no,
        last_no: batch.last_no(),
        first: false,
        batch: batch::encode(batch).into(),
    }
}

fn batch(first_no: u64, clicks: Vec<Click>) -> Batch {
    Batch { clicks, ..Batch::new(first_no, 1) }
}

/// A link under this code in the default domain; its uid, which is its first version.
async fn link(world: &World, code: &str, tags: &[&str]) -> Seq {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    let link = Some(v1::Link { tags, ..to("https://a.example/") });
    let made = world.links().await.create_link(v1::CreateLinkRequest { link, ..create(code, "") }).await;
    made.unwrap().into_inner().etag.trim_matches('"').parse().unwrap()
}

fn rows(body: &Value) -> Vec<String> {
    let keys = |row: &Value| {
        row["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let rows = body["rows"].as_array().unwrap_or_else(|| panic!("{body}"));
    rows.iter().map(|row| format!("{} {}", keys(row).join(" "), row["count"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_counted_once_however_often_it_is_sent() {
    let world = World::new().await;
    let (one, two) = (link(&world, "one", &["t"]).await, link(&world, "two", &[]).await);
    let mut feed = world.feed().await;
    let mut first = batch(
        1,
        vec![
            click(one, Kind::Human, b"DE"),
            click(one, Kind::Human, b"AT"),
            click(one, Kind::Bot, b"US"),
            click(two, Kind::Human, b"DE"),
        ],
    );
    first.totals.push(Total {
        domain: DomainId::DEFAULT,
        kind: Kind::Ignored,
        minute: now() / MINUTE,
        count: 5,
    });
    first.losses.push(Loss { reason: LossReason::SpoolFull, minute: now() / MINUTE, count: 6 });
    for _ in 0..2 {
        let answer = feed.append(offer("e1", 1, &first)).await.unwrap().into_inner();
        assert_eq!(answer, v1::AppendResponse { acked: 1, want: 0, last_no: 0 });
    }
    let third = batch(17, vec![click(one, Kind::Human, b"DE")]);
    let answer = feed.append(offer("e1", 3, &third)).await.unwrap().into_inner();
    assert_eq!(answer, v1::AppendResponse { acked: 1, want: 2, last_no: 0 });
    let second = batch(16, vec![click(two, Kind::Preview, b"DE")]);
    assert_eq!(feed.append(offer("e1", 2, &second)).await.unwrap().into_inner().acked, 2);
    assert_eq!(feed.append(offer("e1", 3, &third)).await.unwrap().into_inner().acked, 3);
    // An edge whose disk was put back is told where to go on.
    let answer = feed.append(offer("e1", 2, &second)).await.unwrap().into_inner();
    assert_eq!(answer, v1::AppendResponse { acked: 3, want: 0, last_no: 17 });

    let get = async |path: &str| {
        let reply = world.rest(&format!("GET {path}"), Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.body
    };
    let all = get("/v1/clicks").await;
    assert_eq!(
        (&all["total"], &all["lost"], &all["losses"][0]["reason"]),
        (&json!(4), &json!(6), &json!("spool_full"))
    );
    assert_eq!(rows(&get("/v1/clicks?group_by=country").await), ["DE 3", "AT 1"]);
    assert_eq!(rows(&get("/v1/clicks?group_by=link").await), ["one 3", "two 1"]);
    assert_eq!(rows(&get("/v1/clicks?group_by=link&tag=t").await), ["one 3"]);
    let with_uids = get(&format!("/v1/clicks?group_by=link&uids={two},{one},{two}")).await;
    assert_eq!(
        (rows(&with_uids), &with_uids["total"]),
        (vec!["one 3".to_owned(), "two 1".into()], &json!(4))
    );
    assert_eq!(get(&format!("/v1/clicks?uids={two}")).await["total"], 1);
    let kinds = rows(&get("/v1/clicks?group_by=kind").await);
    assert!(kinds.contains(&"ignored 5".to_owned()) && kinds.contains(&"human 4".to_owned()), "{kinds:?}");
    assert_eq!(rows(&get("/v1/links/one:clicks?group_by=kind").await), ["human 3", "bot 1"]);
    let narrow = get("/v1/links/one:clicks?countries=at,us&kinds=human,bot").await;
    assert_eq!(narrow["total"], 2);
    let days = rows(&get("/v1/clicks?group_by=day,country&zone=Europe/Berlin").await);
    assert!(days.len() > 1 && days.iter().all(|row| row.contains("T00:00:00+0")), "{days:?}");
    let counted = text(world.running.metrics());
    for line in [
        "linkr_control_clicks_total{kind=\"human\"} 4\n",
        "linkr_control_clicks_lost_total{reason=\"spool_full\"} 6\n",
        "linkr_control_click_batches_total{outcome=\"known\"} 2\n",
        "linkr_control_click_batches_total{outcome=\"wanted\"} 1\n",
    ] {
        assert!(counted.contains(line), "{line}{counted}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_forged_is_refused() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let [own, other] =
        ["e1", "e2"].map(|edge| put(&*store, Scopes::of(&[Scope::Feed]), |row| row.edge = Some(edge.into())));
    let world = locked(folder, store).await;
    let mut feed = FeedClient::new(way(&world, &own).await);
    let good = batch(1, vec![click(1, Kind::Human, b"DE")]);
    let of_another = feed.append(offer("e2", 1, &good)).await.unwrap_err();
    assert_eq!(of_another.code(), Code::PermissionDenied, "{of_another}");
    for wrong in [
        v1::AppendRequest { last_no: 9, ..offer("e1", 1, &good) },
        v1::AppendRequest { batch: bytes::Bytes::from_static(b"\x01nonsense"), ..offer("e1", 1, &good) },
        v1::AppendRequest { seq: 0, ..offer("e1", 1, &good) },
    ] {
        let refused = feed.append(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(feed.append(offer("e1", 1, &good)).await.unwrap().into_inner().acked, 1);
    let back = batch(1, vec![click(1, Kind::Human, b"DE")]);
    let refused = feed.append(offer("e1", 2, &back)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "numbers that go back: {refused}");
    // Another edge names the spool of one that has just sent.
    let mut stranger = FeedClient::new(way(&world, &other).await);
    let next = batch(2, vec![click(1, Kind::Human, b"DE")]);
    let refused = stranger.append(offer("e2", 2, &next)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("another edge's"), "{refused}");
    assert_eq!(feed.append(offer("e1", 2, &next)).await.unwrap().into_inner().acked, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_watched_exported_and_deleted() {
    let world = World::new().await;
    let uid = link(&world, "live", &[]).await;
    let (mut feed, mut clicks) = (world.feed().await, ClicksClient::new(world.channel().await));
    let watch = v1::WatchClicksRequest { code: "live".into(), ..v1::WatchClicksRequest::default() };
    let mut watch = clicks.watch_clicks(watch).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().clicks, []);
    let mut told = Vec::new();
    for seq in 1..=20 {
        let one = batch(seq, vec![click(uid, Kind::Human, b"DE")]);
        feed.append(offer("e1", seq, &one)).await.unwrap();
        // The first ones may have been counted before the watch began to read.
        if let Ok(next) = tokio::time::timeout(Duration::from_secs(1), watch.message()).await {
            told.extend(next.unwrap().unwrap().clicks);
        }
        if told.len() > 2 {
            break;
        }
    }
    assert_eq!(
        (told[0].code.as_str(), told[0].kind.as_str(), told[0].country.as_str()),
        ("live", "human", "DE")
    );
    drop(watch);

    let csv = async |path: &str| {
        let (status, head, body) =
            world.bytes(&format!("GET {path}"), &[("accept", "text/csv")], Vec::new()).await;
        assert_eq!(
            (status.as_u16(), head["content-type"].to_str().unwrap()),
            (200, "text/csv; charset=utf-8")
        );
        String::from_utf8(body).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = csv("/v1/clicks:export").await;
    assert!(
        whole.len() > 2 && whole[0].starts_with("id,time,code") && whole[1].contains(",live,"),
        "{whole:?}"
    );
    let id = whole[1].split(',').next().unwrap();
    let rest_of_it = csv(&format!("/v1/clicks:export?after={id}")).await;
    assert_eq!(rest_of_it[1..], whole[2..]);
    let (_, _, lines) = world.bytes("GET /v1/clicks:export?code=live", &[], Vec::new()).await;
    let first: Value = serde_json::from_slice(lines.split(|&b| b == b'\n').next().unwrap()).unwrap();
    assert_eq!((&first["code"], &first["version"]), (&json!("live"), &json!(uid)));

    let refused = world.rest("DELETE /v1/clicks", Value::Null).await;
    assert_eq!((refused.status.as_u16(), &refused.body["field"]), (400, &json!("before")));
    let deleted = world.rest("DELETE /v1/clicks?code=live", Value::Null).await;
    assert_eq!(deleted.body["deleted"], whole.len() - 1);
    assert_eq!(world.rest("GET /v1/links/live:clicks", Value::Null).await.body["total"], 0);
    assert_eq!(csv("/v1/clicks:export?code=live").await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_there_are_not_are_listed() {
    let world = World::new().await;
    let mut unknown = batch(1, Vec::new());
    let hour = now() / (60 * MINUTE);
    for (code, count) in [(Some(&b"promo"[..]), 3), (Some(b"a\xffb"), 5), (None, 2)] {
        let code = code.map(Into::into);
        unknown.unknown.push(UnknownCode { domain: DomainId::DEFAULT, hour, code, count });
    }
    world.feed().await.append(offer("e1", 1, &unknown)).await.unwrap();
    let answer = world.rest("GET /v1/clicks:unknown?limit=2", Value::Null).await.body;
    assert_eq!(answer["total"], 10);
    assert_eq!(answer["codes"], json!([{ "code": "a%FFb", "count": 5 }, { "code": "promo", "count": 3 }]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_knows_stats_is_told_the_key_of_the_day() {
    let world = World::new().await;
    for (features, told) in [(record::Features::KNOWN.0, true), (0, false)] {
        let hello = v1::Hello {
            protocol: feed::PROTOCOL,
            features,
            edge: "e1".into(),
            incarnation: features,
            number: 1,
            ..v1::Hello::default()
        };
        let (out, outbound) = tokio::sync::mpsc::channel(4);
        let send = async |message| {
            out.send(v1::FollowRequest { message: Some(message) }).await.unwrap();
        };
        send(v1::follow_request::Message::Hello(hello)).await;
        let stream = tokio_stream::wrappers::ReceiverStream::new(outbound);
        let mut follow = world.feed().await.follow(stream).await.unwrap().into_inner();
        let (mut keys, mut pongs) = (0, 0);
        while pongs == 0 && (keys == 0 || !told) {
            send(v1::follow_request::Message::Ping(v1::Ping { id: 1, ..v1::Ping::default() })).await;
            match follow.message().await.unwrap().unwrap().message {
                Some(v1::follow_response::Message::DayKey(key)) => {
                    assert_eq!((key.key.len(), i64::from(key.day)), (32, now() / (1440 * MINUTE)));
                    keys += 1;
                }
                Some(v1::follow_response::Message::Pong(_)) => pongs += usize::from(!told),
                _ => {}
            }
        }
        assert_eq!(keys > 0, told);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_domain_sees_no_click_of_another() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let bound = put(&*store, Scopes::admin(), |row| row.domains = vec!["a.example".into()]);
    let world = locked(folder, store).await;
    assert_eq!(
        rest(&world, "POST /v1/domains", Some(&admin), json!({ "domain": "a.example" })).await.status,
        201
    );
    let mut links = LinksClient::new(way(&world, &admin).await);
    let one = links.create_link(create("one", "https://a.example.org/")).await.unwrap().into_inner().uid;
    let named = format!("GET /v1/domains/a.example/clicks?uids={one}");
    for (call, refused) in [
        ("GET /v1/clicks", 403),
        ("GET /v1/links/one:clicks", 403),
        ("GET /v1/clicks:unknown", 403),
        ("GET /v1/clicks:export", 403),
        ("GET /v1/clicks:watch", 403),
        ("DELETE /v1/clicks?code=one", 403),
        ("GET /v1/domains/a.example/clicks", 200),
        (&named, 400),
    ] {
        let reply = rest(&world, call, Some(&bound), Value::Null).await;
        assert_eq!(reply.status.as_u16(), refused, "{call}: {reply:?}");
    }
    // The last is a number that SQLite does not have.
    for wrong in [
        "uids=1,999",
        "uids=1&tag=t",
        "uids=1&kinds=ignored",
        "uids=one",
        "uids=1,,2",
        "uids=18446744073709551615",
    ] {
        let reply = rest(&world, &format!("GET /v1/clicks?{wrong}"), Some(&admin), Value::Null).await;
        let field = if wrong.contains("kinds") { "kinds" } else { "uids" };
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!(field)), "{wrong}: {reply:?}");
    }
    let many: Vec<String> = (1..=101).map(|uid: u64| uid.to_string()).collect();
    let many = format!("GET /v1/clicks?uids={}", many.join(","));
    let reply = rest(&world, &many, Some(&admin), Value::Null).await;
    assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("uids")), "{reply:?}");
    world.stop().await;
}
