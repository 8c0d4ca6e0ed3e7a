//! A full disk: writes say so, reads and edges go on, and so do writes once there is room.

use super::world::{Folder, World, create, name, to};
use control::adapter::sqlite::{Options, Sqlite};
use proto::v1;
use std::sync::Arc;
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.db(), Options { max_pages: Some(64) }).unwrap();
    let world = World::on(folder, Arc::new(store)).await;
    let mut links = world.links().await;
    let large = |code: &str| v1::CreateLinkRequest {
        link: Some(v1::Link { note: "x".repeat(4_096), ..to("https://a.example/") }),
        ..create(code, "")
    };
    let mut written = 0;
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
    let folder = world.stop().await;

    let world = World::at(folder).await;
    let made = world.links().await.create_link(large("more")).await.unwrap().into_inner();
    assert_eq!(made.etag, format!("\"{}\"", written + 1), "the failed write left no hole");
    world.stop().await;
}
