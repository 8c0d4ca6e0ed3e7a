//! `linkr.v1.Links` and `linkr.v1.Edges` over gRPC, and how a fault looks there. Nothing is decided here.

mod keys;

use super::reflection::Reflection;
use crate::fault::cut;
use crate::keys::Keys;
use crate::service::{Chunk, Service};
use crate::{Caller, Fault, call};
use proto::v1::{self, domains_server::Domains, edges_server::Edges, links_server::Links};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;
use tonic_types::{ErrorDetails, StatusExt};

/// Bytes of one message of an import.
const IMPORT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one message of the other calls of links. The service, which takes 2 MiB in a batch, has better words.
const LINKS_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one message of calls that carry no link.
const SMALL_BYTES: usize = 128 * 1024;
/// Import chunks under way: one with the writer while the next is parsed.
const CHUNKS: usize = 1;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The calls.
pub struct Calls(pub Arc<Service>);

#[tonic::async_trait]
impl Links for Calls {
    async fn create_link(&self, call: Request<v1::CreateLinkRequest>) -> Result<Response<v1::Link>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.create(&caller, request).await)
    }

    async fn get_link(&self, call: Request<v1::GetLinkRequest>) -> Result<Response<v1::Link>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.get(&caller, request).await)
    }

    async fn update_link(&self, call: Request<v1::UpdateLinkRequest>) -> Result<Response<v1::Link>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.update(&caller, request).await)
    }

    async fn delete_link(&self, call: Request<v1::DeleteLinkRequest>) -> Result<Response<v1::Link>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.delete(&caller, request).await)
    }

    async fn list_links(
        &self,
        call: Request<v1::ListLinksRequest>,
    ) -> Result<Response<v1::ListLinksResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.list(&caller, request).await)
    }

    type ImportLinksStream = Out<v1::ImportLinksResponse>;

    async fn import_links(
        &self,
        call: Request<Streaming<v1::ImportLinksRequest>>,
    ) -> Result<Response<Self::ImportLinksStream>, Status> {
        let (out, results) = mpsc::channel(CHUNKS);
        let (chunks, written) = mpsc::channel(CHUNKS);
        let (service, (caller, messages)) = (self.0.clone(), taken(call)?);
        tokio::spawn(call::part(async move { read_chunks(&service, &caller, messages, chunks).await }));
        let service = self.0.clone();
        tokio::spawn(call::part(async move { send_results(&service, written, out).await }));
        Ok(Response::new(Box::pin(ReceiverStream::new(results))))
    }

    async fn check_code(
        &self,
        call: Request<v1::CheckCodeRequest>,
    ) -> Result<Response<v1::CheckCodeResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.check_code(&caller, request).await)
    }

    type ExportLinksStream = Out<v1::ExportLinksResponse>;

    async fn export_links(
        &self,
        call: Request<v1::ExportLinksRequest>,
    ) -> Result<Response<Self::ExportLinksStream>, Status> {
        let (out, parts) = mpsc::channel(CHUNKS);
        let (service, (caller, request)) = (self.0.clone(), taken(call)?);
        tokio::spawn(call::part(async move {
            let ended = export(&service, &caller, &request, &out).await;
            if let Err(fault) = service.counted("ExportLinks", ended) {
                let _ = out.send(Err(status(&fault))).await; // the caller may have gone
            }
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
    }

    async fn undelete_link(
        &self,
        call: Request<v1::UndeleteLinkRequest>,
    ) -> Result<Response<v1::Link>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.undelete(&caller, request).await)
    }

    async fn list_link_history(
        &self,
        call: Request<v1::ListLinkHistoryRequest>,
    ) -> Result<Response<v1::ListLinkHistoryResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.history(&caller, request).await)
    }

    async fn restore_link(
        &self,
        call: Request<v1::RestoreLinkRequest>,
    ) -> Result<Response<v1::Link>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.restore(&caller, request).await)
    }

    async fn batch_create_links(
        &self,
        call: Request<v1::BatchCreateLinksRequest>,
    ) -> Result<Response<v1::BatchLinksResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.batch_create(&caller, request).await)
    }

    async fn batch_update_links(
        &self,
        call: Request<v1::BatchUpdateLinksRequest>,
    ) -> Result<Response<v1::BatchLinksResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.batch_update(&caller, request).await)
    }

    async fn batch_delete_links(
        &self,
        call: Request<v1::BatchDeleteLinksRequest>,
    ) -> Result<Response<v1::BatchLinksResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.batch_delete(&caller, request).await)
    }

    type WatchLinksStream = Out<v1::WatchLinksResponse>;

    async fn watch_links(
        &self,
        call: Request<v1::WatchLinksRequest>,
    ) -> Result<Response<Self::WatchLinksStream>, Status> {
        let (caller, request) = taken(call)?;
        let watch = self.0.watch(&caller, request).await.map_err(|fault| status(&fault))?;
        let messages = super::messages(watch).map(|next| next.map_err(|fault| status(&fault)));
        Ok(Response::new(Box::pin(messages)))
    }
}

#[tonic::async_trait]
impl Edges for Calls {
    async fn list_edges(
        &self,
        call: Request<v1::ListEdgesRequest>,
    ) -> Result<Response<v1::ListEdgesResponse>, Status> {
        answer(self.0.edges(&taken(call)?.0).await)
    }

    async fn forget_edge(
        &self,
        call: Request<v1::ForgetEdgeRequest>,
    ) -> Result<Response<v1::ForgetEdgeResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.forget_edge(&caller, request).await)
    }
}

#[tonic::async_trait]
impl Domains for Calls {
    async fn create_domain(
        &self,
        call: Request<v1::CreateDomainRequest>,
    ) -> Result<Response<v1::Domain>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.create_domain(&caller, request).await)
    }

    async fn get_domain(&self, call: Request<v1::GetDomainRequest>) -> Result<Response<v1::Domain>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.get_domain(&caller, request).await)
    }

    async fn list_domains(
        &self,
        call: Request<v1::ListDomainsRequest>,
    ) -> Result<Response<v1::ListDomainsResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.list_domains(&caller, request).await)
    }

    async fn update_domain(
        &self,
        call: Request<v1::UpdateDomainRequest>,
    ) -> Result<Response<v1::Domain>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.update_domain(&caller, request).await)
    }
}

/// Who asks and what. A call that did not come in by the entrance, which says who, is refused.
pub(super) fn taken<T>(call: Request<T>) -> Result<(Caller, T), Status> {
    let caller = call.extensions().get().cloned();
    Ok((caller.ok_or_else(|| Status::internal("nobody said who asks"))?, call.into_inner()))
}

fn answer<T>(answer: Result<T, Fault>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(|fault| status(&fault))
}

/// A chunk with the writer, or why there is none.
type Sent = Result<Chunk, Result<Fault, Status>>;

async fn read_chunks(
    service: &Service,
    caller: &Caller,
    mut messages: Streaming<v1::ImportLinksRequest>,
    chunks: mpsc::Sender<Sent>,
) {
    let mut import = None;
    loop {
        let sent = match messages.message().await {
            Ok(None) => return,
            Err(broken) => Err(Err(broken)),
            Ok(Some(message)) => {
                let begun = match import.take() {
                    Some(begun) => Ok(begun),
                    None => service.begin_import(caller, &message).await,
                };
                match begun {
                    Ok(begun) => {
                        let begun = import.insert(begun);
                        call::rows(message.links.len());
                        match caller.rows(message.links.len()).await {
                            Ok(()) => service.import(begun, message.links).await.map_err(Ok),
                            Err(fault) => Err(Ok(fault)),
                        }
                    }
                    Err(fault) => Err(Ok(fault)),
                }
            }
        };
        let last = sent.is_err();
        if chunks.send(sent).await.is_err() || last {
            return;
        }
    }
}

async fn send_results(
    service: &Service,
    mut chunks: mpsc::Receiver<Sent>,
    out: mpsc::Sender<Result<v1::ImportLinksResponse, Status>>,
) {
    while let Some(sent) = chunks.recv().await {
        let result = match sent {
            Ok(chunk) => chunk.results().await,
            Err(Ok(fault)) => Err(fault),
            Err(Err(broken)) => {
                let _ = out.send(Err(broken)).await; // the caller may have gone
                return;
            }
        };
        let sent = match result {
            Ok(results) => out.send(Ok(results)).await.is_ok(),
            Err(fault) => {
                let _ = service.ended_import(Err(fault.clone()));
                let _ = out.send(Err(status(&fault))).await;
                return;
            }
        };
        if !sent {
            return;
        }
    }
    let _ = service.ended_import(Ok(()));
}

async fn export(
    service: &Service,
    caller: &Caller,
    request: &v1::ExportLinksRequest,
    out: &mpsc::Sender<Result<v1::ExportLinksResponse, Status>>,
) -> Result<(), Fault> {
    let mut after = Vec::new();
    loop {
        let (part, next) = service.export(caller, request, after).await?;
        if out.send(Ok(part)).await.is_err() {
            return Ok(());
        }
        match next {
            Some(key) => after = key,
            None => return Ok(()),
        }
    }
}

/// As gRPC says it: the code of the table, with `ErrorInfo` and, for a field, `BadRequest`.
pub fn status(fault: &Fault) -> Status {
    let (names, told) = (fault.names(), fault.told());
    let mut details = ErrorDetails::with_error_info(names.reason, "linkr", []);
    if let Some(field) = fault.field() {
        details.add_bad_request_violation(cut(field), told.as_str());
    }
    if let Some(wait) = fault.retry_after() {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(names.grpc, told, details)
}

/// Every gRPC service of the port: links, edges, keys, the feed, health, reflection.
///
/// # Errors
/// When the descriptors that were compiled in cannot be read.
pub async fn router(
    service: Arc<Service>,
    keys: Arc<Keys>,
    feeder: Arc<super::feed::Feeder>,
) -> Result<axum::Router, prost_reflect::DescriptorError> {
    let edges = v1::edges_server::EdgesServer::new(Calls(service.clone()));
    let domains = v1::domains_server::DomainsServer::new(Calls(service.clone()));
    let links =
        |bytes| v1::links_server::LinksServer::new(Calls(service.clone())).max_decoding_message_size(bytes);
    let (links, imports) = (links(LINKS_BYTES), links(IMPORT_BYTES));
    let edges = edges.max_decoding_message_size(SMALL_BYTES);
    let domains = domains.max_decoding_message_size(SMALL_BYTES);
    let keys = v1::keys_server::KeysServer::new(keys::Calls(keys)).max_decoding_message_size(SMALL_BYTES);
    let feed = v1::feed_server::FeedServer::new(super::feed::Calls(feeder));
    let feed = feed.max_decoding_message_size(SMALL_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<v1::links_server::LinksServer<Calls>>().await;
    health.set_serving::<v1::edges_server::EdgesServer<Calls>>().await;
    health.set_serving::<v1::domains_server::DomainsServer<Calls>>().await;
    health.set_serving::<v1::keys_server::KeysServer<keys::Calls>>().await;
    health.set_serving::<v1::feed_server::FeedServer<super::feed::Calls>>().await;
    let others = [tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
    let reflection = ServerReflectionServer::new(Reflection::new(&others)?);
    let reflection = reflection.max_decoding_message_size(SMALL_BYTES);
    let health_service = health_service.max_decoding_message_size(SMALL_BYTES);
    let routes = tonic::service::Routes::new(links).add_service(edges).add_service(domains);
    let routes = routes.add_service(keys).add_service(feed);
    let router = routes.add_service(health_service).add_service(reflection).into_axum_router();
    Ok(router.route_service("/linkr.v1.Links/ImportLinks", imports))
}
