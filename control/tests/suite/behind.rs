//! Control behind a proxy and called from pages: whose calls they are, what browsers are told, and what tools find.

use super::keys::{put, rest};
use super::world::{Folder, MoodyStore, World, config};
use control::Config;
use control::keys::Secret;
use serde_json::Value;
use store::model::Scopes;
use tonic::{Code, Request};
use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;

/// With a key, and settings of its own.
async fn served(change: impl FnOnce(&mut Config)) -> (World, Secret) {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let secret = put(&*store, Scopes::admin(), |_| ());
    let mut config = Config { insecure: false, ..config(folder.db()) };
    change(&mut config);
    (World::with(folder, store, config).await, secret)
}

const OWN: &str = "https://admin.example";

#[tokio::test]
async fn pages_of_listed_sites_may_call_and_those_of_others_may_not() {
    let origins = vec!["https://Admin.Example:443".to_owned(), "http://localhost:5173".to_owned()];
    let (world, secret) = served(|config| config.cors_origins = origins).await;
    let asks = async |origin: &str| {
        let fields = [
            ("origin", origin),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,content-type,if-match"),
        ];
        world.bytes("OPTIONS /v1/links/a", &fields, Vec::new()).await
    };
    for origin in [OWN, "http://localhost:5173"] {
        let (status, fields, body) = asks(origin).await;
        assert_eq!((status.as_u16(), body.len()), (204, 0));
        assert_eq!(
            (&fields["access-control-allow-origin"], &fields["vary"]),
            (&origin.parse().unwrap(), &"origin".parse().unwrap())
        );
        for (name, part) in [
            ("access-control-allow-methods", "PATCH"),
            ("access-control-allow-headers", "authorization"),
            ("access-control-allow-headers", "if-match"),
            ("access-control-max-age", "7200"),
        ] {
            assert!(fields[name].to_str().unwrap().contains(part), "{name}: {:?}", fields[name]);
        }
        assert!(!fields.contains_key("access-control-allow-credentials"));
    }
    let bearer = format!("Bearer {}", secret.reveal());
    for (key, status) in [(Some(("authorization", &*bearer)), 200), (None, 401)] {
        let fields: Vec<_> = [("origin", OWN)].into_iter().chain(key).collect();
        let reply = world.raw("GET /v1/links", &fields, Vec::new()).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["access-control-allow-origin"]),
            (status, &OWN.parse().unwrap())
        );
        let shown = reply.headers["access-control-expose-headers"].to_str().unwrap();
        assert!(["etag", "x-request-id", "ratelimit"].iter().all(|name| shown.contains(name)), "{shown}");
    }
    for other in [
        "https://evil.example",
        "null",
        "http://admin.example",
        "https://admin.example.evil",
        "https://admin.example:8443",
    ] {
        let (status, fields, _) = asks(other).await;
        assert!(
            status.is_client_error() && !fields.contains_key("access-control-allow-origin"),
            "{other}: {status}"
        );
        let reply = world.raw("GET /v1/links", &[("origin", other)], Vec::new()).await;
        assert!(!reply.headers.contains_key("access-control-allow-origin"), "{other}");
        assert_eq!(reply.headers["vary"], "origin");
    }
    world.stop().await;
    let world = World::new().await;
    let reply = world.raw("GET /v1/links", &[("origin", OWN)], Vec::new()).await;
    assert!(
        !reply.headers.contains_key("access-control-allow-origin") && !reply.headers.contains_key("vary")
    );
    world.stop().await;
    let folder = Folder::new();
    let wrong = control::start(Config { cors_origins: vec!["*".into()], ..config(folder.db()) }).await;
    assert!(wrong.err().unwrap().to_string().starts_with("--cors-origins: '*' is no origin"));
}

#[tokio::test]
async fn a_caller_is_told_what_is_left_and_how_long_to_wait() {
    let (world, secret) = served(|_| ()).await;
    let left = async || {
        let reply = rest(&world, "GET /v1/links", Some(&secret), Value::Null).await;
        assert_eq!(reply.headers["ratelimit-policy"], "\"key\";q=10000;w=5");
        let said = reply.headers["ratelimit"].to_str().unwrap().to_owned();
        let (left, full) = said.strip_prefix("\"key\";r=").unwrap().split_once(";t=").unwrap();
        (left.parse::<u32>().unwrap(), full.parse::<u32>().unwrap())
    };
    let (first, full) = left().await;
    assert!((9_000..10_000).contains(&first) && full == 1, "{first}, {full}");
    let described = world.raw("GET /openapi.json", &[], Vec::new()).await;
    assert!(!described.headers.contains_key("ratelimit"), "nobody's");
    let refused = loop {
        let reply = rest(&world, "GET /v1/links", None, Value::Null).await;
        if reply.status == 429 {
            break reply;
        }
    };
    assert_eq!(refused.headers["ratelimit"], "\"key\";r=0;t=1");
    world.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_an_allowance_of_its_own() {
    for trusted in [true, false] {
        let networks = if trusted { vec!["127.0.0.0/8".parse().unwrap()] } else { Vec::new() };
        let (world, _) = served(|config| config.trusted_peers = networks).await;
        let asks = async |client: &str| {
            let fields = [("x-forwarded-for", client)];
            world.raw("GET /v1/links", &fields, Vec::new()).await.status.as_u16()
        };
        let mut asked = 0;
        while asks("198.51.100.9, 192.0.2.1").await == 401 {
            asked += 1;
            assert!(asked < 1_000);
        }
        // So many a second that one of a few is refused, if they are counted as one.
        let mut other = Vec::new();
        for _ in 0..5 {
            other.push(asks("198.51.100.9, 192.0.2.2").await);
        }
        assert_eq!(other.iter().all(|status| *status == 401), trusted, "{other:?}");
        world.stop().await;
    }
}

#[tokio::test]
async fn reflection_is_found_under_its_name_of_before() {
    let world = World::new().await;
    let mut client = ServerReflectionClient::new(world.channel().await);
    let mut ask = async |ask: MessageRequest| {
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
        let mut answer = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
        answer.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    for name in ["linkr.v1.Links", "grpc.reflection.v1alpha.ServerReflection"] {
        assert!(list.service.iter().any(|service| service.name == name), "{list:?}");
        let MessageResponse::FileDescriptorResponse(told) =
            ask(MessageRequest::FileContainingSymbol(name.into())).await
        else {
            panic!("no file of {name}")
        };
        assert!(!told.file_descriptor_proto.is_empty());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_method_that_there_is_not_is_told_in_the_words_of_grpc() {
    let world = World::new().await;
    for path in ["/linkr.v1.Links/Obliterate", "/no.Such/Thing", "/v1/links"] {
        let mut client = tonic::client::Grpc::new(world.channel().await);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let fault = client.unary(Request::new(()), path.parse().unwrap(), codec).await.unwrap_err();
        let said = fault.message();
        assert_eq!(fault.code(), Code::Unimplemented, "{path}");
        assert!(
            said.contains("no such method") && said.contains("reflection") && !said.contains("/v1/"),
            "{said}"
        );
    }
    world.stop().await;
}
