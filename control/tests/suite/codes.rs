//! Codes with letters of any script and with signs: one spelling in the store, and a name and a path for each.

use super::world::{World, create, name, to};
use proto::v1;
use serde_json::{Value, json};

const GIVEN: &str = "bu\u{308}cher/(1):a";
const KEPT: &str = "b\u{fc}cher/(1):a";
const PATH: &str = "b%C3%BCcher/(1)%3Aa";

#[tokio::test]
async fn a_code_with_letters_and_signs_has_a_name_and_a_path() {
    let world = World::new().await;
    let made = world.rest("POST /v1/links", json!({"code": GIVEN, "target": "https://a.example/"})).await;
    assert_eq!((made.status.as_u16(), &made.body["code"]), (201, &json!(KEPT)));
    assert_eq!(made.body["name"], format!("domains/-/links/{KEPT}"));
    let location = made.headers["location"].to_str().unwrap();
    assert_eq!(location, "/v1/domains/-/links/b%C3%BCcher/%281%29%3Aa");
    for path in [location, "/v1/links/bu%CC%88cher/(1)%3Aa", "/v1/links/b%C3%BCcher%2F%281)%3aa"] {
        let got = world.rest(&format!("GET {path}"), Value::Null).await;
        assert_eq!((got.status.as_u16(), &got.body), (200, &made.body), "{path}");
    }
    // A `:` as it is begins a verb, and there is none of this name.
    let verb = world.rest("GET /v1/links/b%C3%BCcher/(1):a", Value::Null).await;
    assert_eq!((verb.status.as_u16(), &verb.body["reason"]), (404, &json!("NO_SUCH_RESOURCE")));
    assert!(verb.body["detail"].as_str().unwrap().contains("%3A"), "{}", verb.body);
    assert_eq!(world.rest(&format!("DELETE /v1/links/{PATH}"), Value::Null).await.status, 200);
    let taken = world.rest("POST /v1/links", json!({"code": KEPT, "target": "https://b.example/"})).await;
    assert_eq!((taken.status.as_u16(), &taken.body["reason"]), (409, &json!("CODE_DELETED")));
    let back = world.rest(&format!("POST /v1/links/{PATH}:undelete"), json!({})).await;
    assert_eq!((back.status.as_u16(), &back.body["code"]), (200, &json!(KEPT)));
    let past = world.rest(&format!("GET /v1/links/{PATH}:history"), Value::Null).await;
    assert_eq!(past.body["versions"].as_array().map(Vec::len), Some(3));
    // Over gRPC a name is no URL.
    let mut links = world.links().await;
    for spelled in [GIVEN, KEPT] {
        let got = links.get_link(v1::GetLinkRequest { name: name(spelled) }).await.unwrap().into_inner();
        assert_eq!(got.code, KEPT);
        let again = links.create_link(create(spelled, "https://b.example/")).await.unwrap_err();
        assert_eq!(again.code(), tonic::Code::AlreadyExists);
    }
    world.stop().await;
}

#[tokio::test]
async fn letters_are_found_by_filters_and_addresses() {
    let world = World::new().await;
    world.rest("POST /v1/domains", json!({"domain": "a.example"})).await;
    for code in [KEPT, "b\u{fc}r*", "bu"] {
        let link = json!({"code": code, "target": "https://b.example/?x"});
        let made = world.rest("POST /v1/domains/a.example/links", link).await;
        assert_eq!(made.status, 201, "{code}");
    }
    for (filter, want) in [
        ("code%20=%20%22b%C3%BC*%22", 2),
        ("code%20=%20%22bu%CC%88*%22", 2),
        ("code%20=%20%22b%C3%BCr%5C*%22", 1),
        ("code%20=%20%22b*%22", 3),
        ("code%20=%20%22bu*%22", 1),
    ] {
        let path = format!("GET /v1/domains/a.example/links?filter={filter}");
        let found = world.rest(&path, Value::Null).await;
        assert_eq!(found.body["links"].as_array().map(Vec::len), Some(want), "{filter}: {}", found.body);
    }
    let shown = world.rest(&format!("GET /v1/domains/a.example/links/{PATH}"), Value::Null).await;
    let address = "https://a.example/b%C3%BCcher/(1):a";
    assert_eq!(shown.body["short_url"], address);
    // That address is a link of ours, however it is spelled.
    for target in [address, "https://a.example/bu\u{308}cher/(1):a", "https://a.example/b%c3%bccher/(1):a"] {
        let chain = world.rest("POST /v1/links", json!({"target": target})).await;
        assert_eq!((chain.status.as_u16(), &chain.body["field"]), (400, &json!("target")), "{target}");
        let flat = world.rest("POST /v1/links?flatten=true", json!({"target": target})).await;
        assert_eq!((flat.status.as_u16(), &flat.body["target"]), (201, &json!("https://b.example/?x")));
    }
    world.stop().await;
}

#[tokio::test]
async fn where_case_is_folded_letters_have_none() {
    let world = World::new().await;
    world.rest("POST /v1/domains", json!({"domain": "a.example", "fold_case": true})).await;
    let made = |code: &str| json!({"code": code, "target": "https://b.example/"});
    for (given, kept, same) in [
        ("B\u{dc}CHER", "b\u{fc}cher", "bu\u{308}cher"),
        ("Stra\u{df}e", "strasse", "STRASSE"),
        ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"),
    ] {
        let first = world.rest("POST /v1/domains/a.example/links", made(given)).await;
        assert_eq!((first.status.as_u16(), &first.body["code"]), (201, &json!(kept)));
        let again = world.rest("POST /v1/domains/a.example/links", made(same)).await;
        assert_eq!((again.status.as_u16(), &again.body["reason"]), (409, &json!("EXISTS")), "{same}");
    }
    let path = "GET /v1/domains/a.example/codes/B%C3%9CCHER";
    let check = world.rest(path, Value::Null).await;
    assert_eq!((&check.body["code"], &check.body["state"]), (&json!("b\u{fc}cher"), &json!("taken")));
    world.stop().await;
}

#[tokio::test]
async fn a_character_that_no_code_has_is_named() {
    let world = World::new().await;
    for (code, named) in [
        ("a\u{200b}b", "U+200B"),
        ("\u{202e}a", "U+202E"),
        ("a\u{a0}b", "U+00A0"),
        ("\u{e000}", "U+E000 at byte 0, which means something else"),
        ("\u{ffff}", "U+FFFF at byte 0, which is no character"),
        ("a%20b", "a character at byte 1 that no code has"),
    ] {
        let reply = world.rest("POST /v1/links", json!({"code": code, "target": "https://a.example/"})).await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("code")), "{code:?}");
        assert!(reply.body["detail"].as_str().unwrap().contains(named), "{}", reply.body);
    }
    let long = json!({"code": "\u{fc}".repeat(65), "target": "https://a.example/"});
    assert_eq!(world.rest("POST /v1/links", long).await.status, 400);
    assert_eq!(world.head().await, 0);
    world.stop().await;
}

#[tokio::test]
async fn clicks_of_before_are_kept_and_never_told_to_edges() {
    let world = World::new().await;
    let given = json!({"code": "a", "target": "https://a.example/", "imported_clicks": 41});
    let made = world.rest("POST /v1/links", given).await;
    assert_eq!((made.status.as_u16(), &made.body["imported_clicks"]), (201, &json!(41)));
    let changed = world.rest("PATCH /v1/links/a", json!({"imported_clicks": null})).await;
    assert!(changed.status == 200 && changed.body.get("imported_clicks").is_none(), "{}", changed.body);
    let most = world.rest("PATCH /v1/links/a", json!({"imported_clicks": (1_u64 << 53) - 1})).await;
    assert_eq!(most.body["imported_clicks"], (1_u64 << 53) - 1);
    for wrong in [json!(1_u64 << 53), json!(-1), json!("1"), json!(1.5)] {
        let reply = world.rest("PATCH /v1/links/a", json!({"imported_clicks": wrong})).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.body["field"]),
            (400, &json!("imported_clicks")),
            "{wrong}"
        );
    }
    let mut links = world.links().await;
    let row = v1::Link { code: "i".into(), imported_clicks: 7, ..to("https://a.example/") };
    let part = v1::ImportLinksRequest { links: vec![row.clone()], ..Default::default() };
    for outcome in [v1::ImportOutcome::Created, v1::ImportOutcome::Skipped] {
        let sent = tokio_stream::iter([part.clone()]);
        let mut told = links.import_links(sent).await.unwrap().into_inner();
        assert_eq!(told.message().await.unwrap().unwrap().results[0].outcome(), outcome);
    }
    let got = links.get_link(v1::GetLinkRequest { name: name("i") }).await.unwrap().into_inner();
    assert_eq!(got.imported_clicks, 7);
    // They are there after a restart.
    let world = World::at(world.stop().await).await;
    assert_eq!(world.rest("GET /v1/links/i", Value::Null).await.body["imported_clicks"], 7);
    world.stop().await;
}
