//! Starting, stopping, and what else is on the port.

use super::world::{self, Folder, World, config, create};
use std::net::SocketAddr;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};

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
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("linkr.v1.Links".into())),
    };
    let mut client = ServerReflectionClient::new(world.channel().await);
    let mut answer = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let text = format!("{:?}", answer.message().await.unwrap().unwrap());
    assert!(text.contains("FileDescriptorResponse"), "{text}");
    drop(answer);
    world.stop().await;
}
