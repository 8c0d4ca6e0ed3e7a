//! How a fault looks over gRPC.

use crate::Fault;
use crate::fault::cut;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// As gRPC says it: the code of the table, with `ErrorInfo` and, for a field, `BadRequest`.
pub fn status(fault: &Fault) -> Status {
    let names = fault.names();
    let told = match fault {
        // Its words are about paths of REST.
        Fault::NoRoute => {
            "there is no such method; grpc.reflection.v1.ServerReflection lists those that there are"
                .to_owned()
        }
        _ => fault.told(),
    };
    let mut details = ErrorDetails::with_error_info(names.reason, "linkr", []);
    if let Some(field) = fault.field() {
        details.add_bad_request_violation(cut(field), told.as_str());
    }
    if let Some(wait) = fault.retry_after() {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(names.grpc, told, details)
}
