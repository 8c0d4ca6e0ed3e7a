//! What streams over gRPC. Nothing is decided here.

use crate::service::{Chunk, MessageSource, Service};
use crate::transport::status::status;
use crate::{Caller, Fault, call};
use proto::v1;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

/// Import chunks under way: one with the writer while the next is parsed.
const CHUNKS: usize = 1;

pub(super) type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Takes the chunks of an import, and answers each when it is written.
pub(super) fn import(
    service: &Arc<Service>,
    call: Request<Streaming<v1::ImportLinksRequest>>,
) -> Result<Response<ResponseStream<v1::ImportLinksResponse>>, Status> {
    let (out, results) = mpsc::channel(CHUNKS);
    let (chunks, written) = mpsc::channel(CHUNKS);
    let (reads, (caller, messages)) = (service.clone(), taken(call)?);
    tokio::spawn(call::part(async move { read_chunks(&reads, &caller, messages, chunks).await }));
    let writes = service.clone();
    tokio::spawn(call::part(async move { send_results(&writes, written, out).await }));
    Ok(Response::new(Box::pin(ReceiverStream::new(results))))
}

/// Sends an export, part by part.
pub(super) fn export(
    service: &Arc<Service>,
    call: Request<v1::ExportLinksRequest>,
) -> Result<Response<ResponseStream<v1::ExportLinksResponse>>, Status> {
    let (out, parts) = mpsc::channel(CHUNKS);
    let (service, (caller, request)) = (service.clone(), taken(call)?);
    tokio::spawn(call::part(async move {
        let ended = send_parts(&service, &caller, &request, &out).await;
        if let Err(fault) = service.counted("ExportLinks", ended) {
            let _ = out.send(Err(status(&fault))).await; // the caller may have gone
        }
    }));
    Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
}

/// Sends every change, as long as somebody takes them.
pub(super) async fn watch(
    service: &Arc<Service>,
    call: Request<v1::WatchLinksRequest>,
) -> Result<Response<ResponseStream<v1::WatchLinksResponse>>, Status> {
    let (caller, request) = taken(call)?;
    stream(service.watch(&caller, request).await)
}

/// Sends clicks as they are counted, as long as somebody takes them.
pub(super) async fn watch_clicks(
    service: &Arc<Service>,
    call: Request<v1::WatchClicksRequest>,
) -> Result<Response<ResponseStream<v1::WatchClicksResponse>>, Status> {
    let (caller, request) = taken(call)?;
    stream(service.watch_clicks(&caller, &request).await)
}

/// Sends single clicks, part by part.
pub(super) async fn export_clicks(
    service: &Arc<Service>,
    call: Request<v1::ExportClicksRequest>,
) -> Result<Response<ResponseStream<v1::ExportClicksResponse>>, Status> {
    let (caller, request) = taken(call)?;
    stream(service.export_clicks(&caller, &request).await)
}

fn stream<S: MessageSource>(begun: Result<S, Fault>) -> Result<Response<ResponseStream<S::Message>>, Status> {
    let source = begun.map_err(|fault| status(&fault))?;
    let messages = super::messages(source).map(|next| next.map_err(|fault| status(&fault)));
    Ok(Response::new(Box::pin(messages)))
}

/// Who asks and what. A call that did not come in by the entrance, which says who, is refused.
pub(super) fn taken<T>(call: Request<T>) -> Result<(Caller, T), Status> {
    let caller = call.extensions().get().cloned();
    Ok((caller.ok_or_else(|| Status::internal("nobody said who asks"))?, call.into_inner()))
}

pub(super) fn answer<T>(answer: Result<T, Fault>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(|fault| status(&fault))
}

/// A chunk with the writer, or why there is none.
type ChunkResult = Result<Chunk, Result<Fault, Status>>;

async fn read_chunks(
    service: &Service,
    caller: &Caller,
    mut messages: Streaming<v1::ImportLinksRequest>,
    chunks: mpsc::Sender<ChunkResult>,
) {
    let (mut import, mut parent) = (None, String::new());
    loop {
        let sent = match messages.message().await {
            Ok(None) => return,
            Err(broken) => Err(Err(broken)),
            Ok(Some(message)) => {
                let begun = match import.take() {
                    Some(_) if !message.parent.is_empty() && message.parent != parent => {
                        Err(Fault::invalid("parent", "is another than that of the first message"))
                    }
                    Some(begun) => Ok(begun),
                    None => {
                        parent.clone_from(&message.parent);
                        service.begin_import(caller, &message).await
                    }
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
    mut chunks: mpsc::Receiver<ChunkResult>,
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

async fn send_parts(
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
