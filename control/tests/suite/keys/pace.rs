//! How much a key may ask for.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_for_too_much_is_told_when_to_come_again() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let (one, other) = (put(&*store, Scopes::admin(), |_| ()), put(&*store, Scopes::admin(), |_| ()));
    let world = locked(folder, store).await;
    let mut links = LinksClient::new(way(&world, &one).await);
    let limited: Status = loop {
        // An export weighs 100.
        if let Err(status) = links.export_links(v1::ExportLinksRequest::default()).await {
            break status;
        }
    };
    assert_eq!(limited.code(), Code::ResourceExhausted);
    let details = limited.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait < Duration::from_secs(1), "{wait:?}");
    let mut others = LinksClient::new(way(&world, &other).await);
    others.export_links(v1::ExportLinksRequest::default()).await.unwrap();
    world.stop().await;
}

/// Found by attack: whoever had keys:admin for one domain made a thousand keys, each with an allowance.
#[tokio::test(flavor = "multi_thread")]
async fn keys_for_one_domain_ask_together_for_no_more_than_two() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let of = |domains: &'static [&str]| {
        put(&*store, Scopes::admin(), |row| {
            row.domains = domains.iter().map(|&domain| domain.into()).collect();
        })
    };
    let many = [of(&["-"]), of(&["-", "b.example"]), of(&["-", "c.example"]), of(&["-"])];
    let all = put(&*store, Scopes::admin(), |_| ());
    let world = locked(folder, store).await;
    let began = Instant::now();
    let mut exports = 0;
    for key in &many {
        let mut links = LinksClient::new(way(&world, key).await);
        // An export weighs 100 of a key's 10,000.
        while links.export_links(v1::ExportLinksRequest::default()).await.is_ok() {
            exports += 1;
        }
    }
    let back = began.elapsed().as_millis() as usize * 4_000 / 1_000 / 100;
    assert!((200..=201 + back).contains(&exports), "{exports}, and {back} have come back");
    let mut others = LinksClient::new(way(&world, &all).await);
    others.export_links(v1::ExportLinksRequest::default()).await.unwrap();
    world.stop().await;
}
