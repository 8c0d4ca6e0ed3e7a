//! The calls of the API that answer with one message, each on one line: over gRPC, and by its name for REST. What they mean
//! is in `service` and `keys`.

use super::feed;
use super::grpc::{self, ResponseStream};
use super::reflection::Reflection;
use crate::follow::Feeder;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::{Caller, Fault};
use http::Uri;
use prost::Message;
use prost_reflect::DynamicMessage;
use proto::v1::{
    self, clicks_server, domains_server::Domains, edges_server::Edges, keys_server, links_server::Links,
    targets_server,
};
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;
use tower::ServiceExt;

/// Bytes of one message of an import.
const IMPORT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one message of the other calls of links. The service, which takes 2 MiB in a batch, has better words.
pub const LINKS_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one message with a batch of clicks.
pub const APPEND_BYTES: usize = LINKS_BYTES + SMALL_BYTES;
/// Bytes of one message of calls that carry no link.
pub const SMALL_BYTES: usize = 128 * 1024;

/// Reflection, under its name and under that of before, which many tools know alone. The messages are the same.
pub const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
pub const REFLECTION_BEFORE: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// What calls are made on.
#[derive(Clone)]
pub struct ApiCalls {
    /// Links, domains and edges.
    pub service: Arc<Service>,
    /// Keys.
    pub keys: Arc<Keys>,
    /// Where each call is counted.
    pub metrics: Arc<Metrics>,
}

impl ApiCalls {
    /// Counts a call and its outcome.
    fn counted<T>(&self, method: &'static str, answer: Result<T, Fault>) -> Result<T, Fault> {
        self.metrics.count(method, answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK"));
        answer
    }
}

/// An answer on its way, as it would be sent over gRPC.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, Fault>> + Send>>;

/// `Name name(request) -> answer: on.method;`, and behind them what streams.
macro_rules! calls {
    ($($server:path {
        $($name:ident $method:ident($request:ident) -> $answer:ident: $on:ident.$own:ident;)*
        $({ $($streams:tt)* })?
    })*) => {
        $(
            #[tonic::async_trait]
            impl $server for ApiCalls {
                $(
                    async fn $method(
                        &self,
                        call: Request<v1::$request>,
                    ) -> Result<Response<v1::$answer>, Status> {
                        let (caller, request) = grpc::taken(call)?;
                        grpc::answer(self.counted(stringify!($name), self.$on.$own(&caller, &request).await))
                    }
                )*
                $($($streams)*)?
            }
        )*

        impl ApiCalls {
            /// Makes a call by its name.
            ///
            /// # Errors
            /// Those of the call, and [`Fault::NoRoute`] for one that answers with more than a message.
            pub fn make(&self, name: &str, caller: Caller, request: &DynamicMessage) -> Result<AnswerFuture, Fault> {
                match name {
                    $($(
                        stringify!($name) => {
                            let on = self.clone();
                            let request: v1::$request = request.transcode_to().map_err(|_| Fault::Internal)?;
                            Ok(Box::pin(async move {
                                let answer = on.$on.$own(&caller, &request).await;
                                Ok(on.counted(stringify!($name), answer)?.encode_to_vec())
                            }))
                        }
                    )*)*
                    _ => Err(Fault::NoRoute),
                }
            }
        }
    };
}

calls! {
    Links {
        CreateLink create_link(CreateLinkRequest) -> Link: service.create;
        GetLink get_link(GetLinkRequest) -> Link: service.get;
        UpdateLink update_link(UpdateLinkRequest) -> Link: service.update;
        DeleteLink delete_link(DeleteLinkRequest) -> Link: service.delete;
        ListLinks list_links(ListLinksRequest) -> ListLinksResponse: service.list;
        CountLinks count_links(CountLinksRequest) -> CountLinksResponse: service.count;
        ListTags list_tags(ListTagsRequest) -> ListTagsResponse: service.tags;
        RenameTag rename_tag(RenameTagRequest) -> RenameTagResponse: service.rename_tag;
        CheckCode check_code(CheckCodeRequest) -> CheckCodeResponse: service.check_code;
        UndeleteLink undelete_link(UndeleteLinkRequest) -> Link: service.undelete;
        GetLinkQrCode get_link_qr_code(GetLinkQrCodeRequest) -> QrCode: service.qr_code;
        ListLinkHistory list_link_history(ListLinkHistoryRequest) -> ListLinkHistoryResponse: service.history;
        RestoreLink restore_link(RestoreLinkRequest) -> Link: service.restore;
        BatchCreateLinks batch_create_links(BatchCreateLinksRequest) -> BatchLinksResponse: service.batch_create;
        BatchUpdateLinks batch_update_links(BatchUpdateLinksRequest) -> BatchLinksResponse: service.batch_update;
        BatchDeleteLinks batch_delete_links(BatchDeleteLinksRequest) -> BatchLinksResponse: service.batch_delete;
        {
            type ImportLinksStream = ResponseStream<v1::ImportLinksResponse>;

            async fn import_links(
                &self,
                call: Request<Streaming<v1::ImportLinksRequest>>,
            ) -> Result<Response<Self::ImportLinksStream>, Status> {
                grpc::import(&self.service, call)
            }

            type ExportLinksStream = ResponseStream<v1::ExportLinksResponse>;

            async fn export_links(
                &self,
                call: Request<v1::ExportLinksRequest>,
            ) -> Result<Response<Self::ExportLinksStream>, Status> {
                grpc::export(&self.service, call)
            }

            type WatchLinksStream = ResponseStream<v1::WatchLinksResponse>;

            async fn watch_links(
                &self,
                call: Request<v1::WatchLinksRequest>,
            ) -> Result<Response<Self::WatchLinksStream>, Status> {
                grpc::watch(&self.service, call).await
            }
        }
    }
    Domains {
        CreateDomain create_domain(CreateDomainRequest) -> Domain: service.create_domain;
        GetDomain get_domain(GetDomainRequest) -> Domain: service.get_domain;
        ListDomains list_domains(ListDomainsRequest) -> ListDomainsResponse: service.list_domains;
        UpdateDomain update_domain(UpdateDomainRequest) -> Domain: service.update_domain;
        DeleteDomain delete_domain(DeleteDomainRequest) -> Domain: service.delete_domain;
    }
    targets_server::Targets {
        BlockTarget block_target(BlockTargetRequest) -> BlockedTarget: service.block_target;
        UnblockTarget unblock_target(UnblockTargetRequest) -> BlockedTarget: service.unblock_target;
        ListBlockedTargets list_blocked_targets(ListBlockedTargetsRequest) -> ListBlockedTargetsResponse: service.blocked_targets;
    }
    clicks_server::Clicks {
        QueryClicks query_clicks(QueryClicksRequest) -> QueryClicksResponse: service.query_clicks;
        QueryLinkClicks query_link_clicks(QueryLinkClicksRequest) -> QueryClicksResponse: service.query_link_clicks;
        DeleteClicks delete_clicks(DeleteClicksRequest) -> DeleteClicksResponse: service.delete_clicks;
        ReclassifyClicks reclassify_clicks(ReclassifyClicksRequest) -> ReclassifyClicksResponse: service.reclassify_clicks;
        ListUnknownCodes list_unknown_codes(ListUnknownCodesRequest) -> ListUnknownCodesResponse: service.unknown_codes;
        {
            type WatchClicksStream = ResponseStream<v1::WatchClicksResponse>;

            async fn watch_clicks(
                &self,
                call: Request<v1::WatchClicksRequest>,
            ) -> Result<Response<Self::WatchClicksStream>, Status> {
                grpc::watch_clicks(&self.service, call).await
            }

            type ExportClicksStream = ResponseStream<v1::ExportClicksResponse>;

            async fn export_clicks(
                &self,
                call: Request<v1::ExportClicksRequest>,
            ) -> Result<Response<Self::ExportClicksStream>, Status> {
                grpc::export_clicks(&self.service, call).await
            }
        }
    }
    Edges {
        ListEdges list_edges(ListEdgesRequest) -> ListEdgesResponse: service.edges;
        ForgetEdge forget_edge(ForgetEdgeRequest) -> ForgetEdgeResponse: service.forget_edge;
        ExplainLink explain_link(ExplainLinkRequest) -> Explanation: service.explain_link;
    }
    keys_server::Keys {
        CreateKey create_key(CreateKeyRequest) -> Key: keys.create;
        ListKeys list_keys(ListKeysRequest) -> ListKeysResponse: keys.list;
        RotateKey rotate_key(RotateKeyRequest) -> Key: keys.rotate;
        RevokeKey revoke_key(RevokeKeyRequest) -> Key: keys.revoke;
        ListAudit list_audit(ListAuditRequest) -> ListAuditResponse: keys.audit;
    }
}

/// Every gRPC service of the port: links, clicks, edges, keys, the feed, health, reflection.
///
/// # Errors
/// When the descriptors that were compiled in cannot be read.
pub async fn router(
    calls: ApiCalls,
    feeder: Arc<Feeder>,
) -> Result<axum::Router, prost_reflect::DescriptorError> {
    let edges = v1::edges_server::EdgesServer::new(calls.clone());
    let domains = v1::domains_server::DomainsServer::new(calls.clone());
    let links = |bytes| v1::links_server::LinksServer::new(calls.clone()).max_decoding_message_size(bytes);
    let (links, imports) = (links(LINKS_BYTES), links(IMPORT_BYTES));
    let edges = edges.max_decoding_message_size(SMALL_BYTES);
    let domains = domains.max_decoding_message_size(SMALL_BYTES);
    let targets =
        v1::targets_server::TargetsServer::new(calls.clone()).max_decoding_message_size(SMALL_BYTES);
    let keys = v1::keys_server::KeysServer::new(calls.clone()).max_decoding_message_size(SMALL_BYTES);
    let clicks = v1::clicks_server::ClicksServer::new(calls.clone()).max_decoding_message_size(SMALL_BYTES);
    let feed = |bytes| {
        v1::feed_server::FeedServer::new(feed::FeedCalls(feeder.clone())).max_decoding_message_size(bytes)
    };
    let (feed, appends) = (feed(SMALL_BYTES), feed(APPEND_BYTES));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<v1::links_server::LinksServer<ApiCalls>>().await;
    health.set_serving::<v1::edges_server::EdgesServer<ApiCalls>>().await;
    health.set_serving::<v1::domains_server::DomainsServer<ApiCalls>>().await;
    health.set_serving::<v1::targets_server::TargetsServer<ApiCalls>>().await;
    health.set_serving::<v1::keys_server::KeysServer<ApiCalls>>().await;
    health.set_serving::<v1::clicks_server::ClicksServer<ApiCalls>>().await;
    health.set_serving::<v1::feed_server::FeedServer<feed::FeedCalls>>().await;
    let others = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let reflection = ServerReflectionServer::new(Reflection::new(&others)?);
    let reflection = reflection.max_decoding_message_size(SMALL_BYTES);
    let before = reflection.clone().map_request(|mut request: axum::extract::Request| {
        *request.uri_mut() = Uri::from_static(REFLECTION);
        request
    });
    let health_service = health_service.max_decoding_message_size(SMALL_BYTES);
    let routes = tonic::service::Routes::new(links).add_service(edges).add_service(domains);
    let routes = routes.add_service(keys).add_service(targets).add_service(clicks).add_service(feed);
    let router = routes.add_service(health_service).add_service(reflection).into_axum_router();
    let router = router.route_service(REFLECTION_BEFORE, before);
    let router = router.route_service(feed::APPEND, appends);
    Ok(router.route_service("/linkr.v1.Links/ImportLinks", imports))
}
