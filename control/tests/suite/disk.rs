//! A full disk: writes say so, reads and edges go on, and so do writes once there is room.

use super::postgres;
use super::world::{Folder, World, create, name, to};
use proto::v1;
use services::Volume;
use std::sync::Arc;
use store::postgres::{self as adapter, Postgres};
use store::sqlite::{Options, Sqlite};
use tonic_types::StatusExt;

/// A link that takes half a page.
fn large(code: &str) -> v1::CreateLinkRequest {
    v1::CreateLinkRequest {
        link: Some(v1::Link { note: "x".repeat(4_096), ..to("https://a.example/") }),
        ..create(code, "")
    }
}

/// Writes behind those that are `written` until the disk is full, and looks at what goes on then: how many there are.
async fn fill(world: &World, mut written: u64) -> u64 {
    let mut links = world.links().await;
    let refused = loop {
        match links.create_link(large(&format!("c{written}"))).await {
            Ok(_) => written += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "DISK_FULL");
    assert!(written > 0);
    assert_eq!(world.head().await, written);
    links.get_link(v1::GetLinkRequest { name: name("c0") }).await.unwrap();
    let missing =
        links.get_link(v1::GetLinkRequest { name: name(&format!("c{written}")) }).await.unwrap_err();
    assert_eq!(missing.code(), tonic::Code::NotFound);
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.db(), Options { max_pages: Some(64) }).unwrap();
    let world = World::on(folder, Arc::new(store)).await;
    let written = fill(&world, 0).await;
    let folder = world.stop().await;

    let world = World::at(folder).await;
    let made = world.links().await.create_link(large("more")).await.unwrap().into_inner();
    assert_eq!(made.etag, format!("\"{}\"", written + 1), "the failed write left no hole");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_postgres_refuses_writes_and_nothing_else() {
    let Some(mut first) = postgres::server(&["fsync=off"]) else { return };
    if first.port().is_none() {
        return println!("SKIPPED: LINKR_TEST_POSTGRES has a disk that others use");
    }
    first.create("linkr").unwrap();
    let mut server = match first.standby(true, Volume::Own) {
        Err(fault @ services::ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
        server => server.unwrap(),
    };
    first.stop().unwrap();
    server.promote().unwrap();
    let options = adapter::Options { url: server.url("linkr"), ..adapter::Options::default() };
    let store = tokio::task::spawn_blocking(move || Postgres::open(&options).unwrap()).await.unwrap();
    let world = World::on(Folder::new(), Arc::new(store)).await;
    world.links().await.create_link(large("c0")).await.unwrap();
    server.fill_disk().unwrap();
    let written = fill(&world, 1).await;
    server.empty_disk().unwrap();
    let made = world.links().await.create_link(large("more")).await.unwrap().into_inner();
    assert_eq!(made.etag, format!("\"{}\"", written + 1), "the failed write left no hole");
    world.stop().await;
}
