//! `linkr.v1.Keys` over gRPC. Nothing is decided here.

use super::{answer, taken};
use crate::keys::Keys;
use proto::v1;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The calls.
pub struct Calls(pub Arc<Keys>);

#[tonic::async_trait]
impl v1::keys_server::Keys for Calls {
    async fn create_key(&self, call: Request<v1::CreateKeyRequest>) -> Result<Response<v1::Key>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.create(&caller, request).await)
    }

    async fn list_keys(
        &self,
        call: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.list(&caller, request).await)
    }

    async fn rotate_key(&self, call: Request<v1::RotateKeyRequest>) -> Result<Response<v1::Key>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.rotate(&caller, request).await)
    }

    async fn revoke_key(&self, call: Request<v1::RevokeKeyRequest>) -> Result<Response<v1::Key>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.revoke(&caller, request).await)
    }

    async fn list_audit(
        &self,
        call: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let (caller, request) = taken(call)?;
        answer(self.0.audit(&caller, request).await)
    }
}
