//! Starting, stopping, and what else is on the port.

use super::world::{self, Folder, World, config, create};
use prost::Message;
use prost_reflect::DescriptorPool;
use std::net::SocketAddr;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

#[tokio::test]
async fn what_does_not_start_says_why() {
    let folder = Folder::new();
    let open = SocketAddr::from(([0, 0, 0, 0], 0));
    let why = async |config| control::start(config).await.err().unwrap().to_string();
    let text = why(control::Config { api: open, insecure: false, ..config(folder.db()) }).await;
    assert!(text.contains("--insecure") && text.contains("0.0.0.0"), "{text}");
    assert!(!folder.db().exists());
    let world = World::at(folder).await;
    let text = why(config(world.folder.db())).await;
    assert!(text.contains("in use by another linkr"), "{text}");
    let other = Folder::new();
    let text = why(control::Config { api: world.running.api(), ..config(other.db()) }).await;
    assert!(text.contains(&world.running.api().to_string()) && text.contains("in use"), "{text}");
    let text = why(config("/dev/null/x.db".into())).await;
    assert!(text.contains("/dev/null"), "{text}");
    std::fs::write(other.db(), b"this is no database, whatever its name says, and it is long enough to tell")
        .unwrap();
    let text = why(config(other.db())).await;
    assert!(text.contains("cannot open the store") && !text.contains('\n'), "{text}");
    world.stop().await;

    let third = Folder::new();
    let insecure = control::Config { api: open, insecure: true, ..config(third.db()) };
    control::start(insecure).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_keeps_what_was_acknowledged_and_frees_port_and_store() {
    let world = World::new().await;
    let (api, metrics) = (world.running.api(), world.running.metrics());
    assert!(
        world.running.store_name().starts_with("sqlite ") && world.running.store_name().ends_with("linkr.db")
    );
    let mut links = world.links().await;
    links.create_link(create("a", "https://a.example/")).await.unwrap();
    let folder = world.stop().await;
    assert!(
        world::text(metrics).contains("linkr_control_requests_total{method=\"CreateLink\",code=\"OK\"} 1\n")
    );
    assert!(links.create_link(create("b", "https://a.example/")).await.is_err());
    assert!(tokio::net::TcpStream::connect(api).await.is_err());
    let again = World::at(folder).await;
    assert_eq!(again.head().await, 1);
    assert!(world::text(again.running.metrics()).contains("linkr_control_log_head 1\n"));
    again.stop().await;
}

#[tokio::test]
async fn health_and_reflection() {
    let world = World::new().await;
    for service in ["", "linkr.v1.Links", "linkr.v1.Edges", "linkr.v1.Keys", "linkr.v1.Feed"] {
        let ask = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(world.channel().await).check(ask).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service}");
    }
    world.stop().await;
}

/// A varint.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// What a client that has no `.proto` learns: every file, and with them the options of the calls and fields.
#[tokio::test]
async fn reflection_tells_the_options_of_the_api() {
    let world = World::new().await;
    let mut client = ServerReflectionClient::new(world.channel().await);
    let mut ask = async |ask: MessageRequest| {
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
        let mut answer = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
        answer.message().await.map(|answer| answer.unwrap().message_response.unwrap())
    };
    let services = match ask(MessageRequest::ListServices(String::new())).await.unwrap() {
        MessageResponse::ListServicesResponse(list) => list.service,
        other => panic!("{other:?}"),
    };
    let services: Vec<String> = services.into_iter().map(|service| service.name).collect();
    assert!(services.contains(&"grpc.health.v1.Health".to_owned()) && services.len() == 10, "{services:?}");
    let mut wanted: Vec<MessageRequest> =
        services.into_iter().map(MessageRequest::FileContainingSymbol).collect();
    let mut files = std::collections::BTreeMap::new();
    while let Some(next) = wanted.pop() {
        let MessageResponse::FileDescriptorResponse(told) = ask(next).await.unwrap() else {
            panic!("no file")
        };
        for bytes in told.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(&*bytes).unwrap();
            if files.insert(file.name().to_owned(), bytes).is_none() {
                wanted.extend(file.dependency.into_iter().map(MessageRequest::FileByFilename));
            }
        }
    }
    let mut pool = DescriptorPool::new();
    // A set in bytes: its type would drop the options.
    let set: Vec<u8> =
        files.values().flat_map(|file| [&[0x0a][..], &length(file.len()), file].concat()).collect();
    pool.decode_file_descriptor_set(&*set).unwrap();
    let update = pool
        .get_service_by_name("linkr.v1.Links")
        .unwrap()
        .methods()
        .find(|call| call.name() == "UpdateLink");
    let options = update.unwrap().options();
    let option = |name: &str| {
        let value = options.get_extension(&pool.get_extension_by_name(name).unwrap()).into_owned();
        value.as_message().unwrap().clone()
    };
    let path = option("google.api.http").get_field_by_name("patch").unwrap().into_owned();
    assert_eq!(path.as_str(), Some("/v1/{link.name=domains/*/links/**}"));
    let scope = option("linkr.v1.call").get_field_by_name("scope").unwrap().into_owned();
    assert_eq!(scope.as_str(), Some("links:write"));
    assert!(ask(MessageRequest::FileByFilename("none.proto".into())).await.is_err());
    world.stop().await;
}

/// Found by attack: nobody needs a key for it, and 700,000 questions in 8 s let an ordinary call wait for 10.
#[tokio::test]
async fn reflection_is_for_tools_not_for_floods() {
    let world = World::new().await;
    let ask = || ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("linkr.v1.Links".into())),
    };
    let mut client = ServerReflectionClient::new(world.channel().await);
    let many = client.server_reflection_info(tokio_stream::iter((0..99).map(move |_| ask())));
    let (mut answers, mut count) = (many.await.unwrap().into_inner(), 0);
    let end = loop {
        match answers.message().await {
            Ok(answer) => count += usize::from(answer.is_some()),
            Err(end) => break end,
        }
    };
    assert_eq!((count, end.code()), (64, Code::ResourceExhausted), "{end}");
    // Streams that are not ended, of one address.
    let mut held = Vec::new();
    let refused = loop {
        let (keep, asked) = tokio::sync::mpsc::channel(1);
        keep.send(ask()).await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(asked);
        match client.server_reflection_info(stream).await {
            Ok(answers) => held.push((keep, answers)),
            Err(refused) => break refused,
        }
    };
    assert_eq!(held.len(), 32, "{refused}");
    held.clear();
    let mut streams = 0;
    let refused = loop {
        let asked = client.server_reflection_info(tokio_stream::iter([ask()])).await;
        match asked {
            Ok(mut answers) => drop(answers.get_mut().message().await.unwrap()),
            Err(refused) if refused.message().contains("ServerReflectionInfo of this caller") => continue,
            Err(refused) => break refused,
        }
        streams += 1;
        assert!(streams < 1_000);
    };
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "RATE_LIMITED");
    world.stop().await;
}
