//! Many writes in one call: `…/links:batchCreate`, `:batchUpdate` and `:batchDelete`.

use super::{Answered, Asked, Options, Whole, json, json_body, options, parent};
use crate::Fault;
use crate::service::Service;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::post;
use prost_types::FieldMask;
use proto::v1;
use std::sync::Arc;

/// Bytes of a body: JSON says in more of them what the service counts.
const BODY_BYTES: usize = 4 * 1024 * 1024;

/// The routes.
pub fn routes() -> Router<Arc<Service>> {
    let both =
        |router: Router<Arc<Service>>, verb: &str, method: axum::routing::MethodRouter<Arc<Service>>| {
            router
                .route(&format!("/v1/links:{verb}"), method.clone())
                .route(&format!("/v1/domains/{{domain}}/links:{verb}"), method)
        };
    let router = both(Router::new(), "batchCreate", post(create));
    let router = both(router, "batchUpdate", post(update));
    let router = both(router, "batchDelete", post(delete));
    router.route_layer(DefaultBodyLimit::max(BODY_BYTES))
}

async fn create((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let Options { request_id, validate_only, ack, .. } = taken(asked, &headers)?;
    let links = json_body(&headers, body, json::links).await?.into_iter().map(|(link, _)| link);
    let one = |link: v1::Link| v1::CreateLinkRequest {
        link_id: link.code.clone(),
        link: Some(link),
        ..v1::CreateLinkRequest::default()
    };
    let requests = links.map(one).collect();
    let request =
        v1::BatchCreateLinksRequest { parent: parent(path)?, requests, request_id, validate_only, ack };
    answer(service.batch_create(&who, request).await)
}

async fn update((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let Options { request_id, validate_only, ack, .. } = taken(asked, &headers)?;
    let parent = parent(path)?;
    let one = |(at, (mut link, paths)): (usize, (v1::Link, Vec<String>))| {
        if paths.is_empty() {
            return Err(Fault::invalid("link", "names no field that can be set").in_batch(at, ""));
        }
        link.name = named(&parent, &link.code);
        let update_mask = Some(FieldMask { paths });
        Ok(v1::UpdateLinkRequest { link: Some(link), update_mask, ..v1::UpdateLinkRequest::default() })
    };
    let links = json_body(&headers, body, json::links).await?;
    let requests = links.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
    let request = v1::BatchUpdateLinksRequest { parent, requests, request_id, validate_only, ack };
    answer(service.batch_update(&who, request).await)
}

async fn delete((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let Options { request_id, validate_only, ack, .. } = taken(asked, &headers)?;
    let parent = parent(path)?;
    let one = |(code, etag): (String, String)| v1::DeleteLinkRequest {
        name: named(&parent, &code),
        etag,
        ..v1::DeleteLinkRequest::default()
    };
    let requests = json_body(&headers, body, json::deletions).await?.into_iter().map(one).collect();
    let request = v1::BatchDeleteLinksRequest { parent, requests, request_id, validate_only, ack };
    answer(service.batch_delete(&who, request).await)
}

fn named(parent: &str, code: &str) -> String {
    format!("{parent}/links/{code}")
}

/// The parameters. Each item has an etag of its own: one for all would be wrong for all but one.
fn taken(asked: Asked, headers: &HeaderMap) -> Result<Options, Fault> {
    let options = options(asked, headers)?;
    if !options.etag.is_empty() {
        return Err(Fault::invalid("if-match", "is not for a batch: each of its requests may have an etag"));
    }
    Ok(options)
}

fn answer(answer: Result<v1::BatchLinksResponse, Fault>) -> Answered {
    answer.map(|done| axum::Json(json::batch(&done)).into_response())
}
