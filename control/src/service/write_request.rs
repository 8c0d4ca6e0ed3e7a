//! The requests that write, by what all of them have in common. What each of them writes is not known here.

use prost::Message;
use proto::v1;

/// A request that writes: the fields that all of them have, and which call it is of.
pub trait WriteRequest: Message {
    /// The call, as the audit and the answers to retries name it.
    const METHOD: &'static str;
    /// How large it may be.
    const SIZE: RequestSize = RequestSize::ONE_WRITE;

    /// Its fields besides what is to be written.
    fn options(&self) -> WriteOptions<'_>;
}

/// The fields of a request that writes, besides what is to be written.
pub struct WriteOptions<'a> {
    /// Makes a retry safe; empty: it may be written twice.
    pub request_id: &'a str,
    /// A [`v1::Ack`], as it was sent.
    pub ack: i32,
    pub validate_only: bool,
}

/// How large a request may be.
pub struct RequestSize {
    pub bytes: usize,
    /// The same for people.
    pub shown: &'static str,
}

impl RequestSize {
    const ONE_WRITE: Self = Self { bytes: 1024 * 1024, shown: "1 MiB in a request" };
    /// The answer to a batch stays below the 4 MiB that gRPC clients take by default.
    const BATCH: Self = Self { bytes: 2 * 1024 * 1024, shown: "2 MiB in a batch" };
}

/// Requests that carry the three options as fields of their own.
macro_rules! write_requests {
    ($($request:ident is of $method:literal, $size:ident;)*) => {$(
        impl WriteRequest for v1::$request {
            const METHOD: &'static str = $method;
            const SIZE: RequestSize = RequestSize::$size;

            fn options(&self) -> WriteOptions<'_> {
                WriteOptions { request_id: &self.request_id, ack: self.ack, validate_only: self.validate_only }
            }
        }
    )*};
}

write_requests! {
    CreateLinkRequest is of "CreateLink", ONE_WRITE;
    UpdateLinkRequest is of "UpdateLink", ONE_WRITE;
    DeleteLinkRequest is of "DeleteLink", ONE_WRITE;
    UndeleteLinkRequest is of "UndeleteLink", ONE_WRITE;
    RestoreLinkRequest is of "RestoreLink", ONE_WRITE;
    BatchCreateLinksRequest is of "BatchCreateLinks", BATCH;
    BatchUpdateLinksRequest is of "BatchUpdateLinks", BATCH;
    BatchDeleteLinksRequest is of "BatchDeleteLinks", BATCH;
    CreateDomainRequest is of "CreateDomain", ONE_WRITE;
    UpdateDomainRequest is of "UpdateDomain", ONE_WRITE;
    DeleteDomainRequest is of "DeleteDomain", ONE_WRITE;
}

impl WriteRequest for v1::BlockTargetRequest {
    const METHOD: &'static str = "BlockTarget";

    fn options(&self) -> WriteOptions<'_> {
        let ack = v1::Ack::Unspecified.into(); // a block is on disk before any link is touched, and edges learn of links
        WriteOptions { request_id: &self.request_id, ack, validate_only: self.validate_only }
    }
}
