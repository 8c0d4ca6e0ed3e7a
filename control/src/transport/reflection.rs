//! gRPC reflection of every service of the port. Files are told as they were compiled: with the options of the API, which
//! say who may make a call and how REST has it, and with the files that those come from.

use prost_reflect::{DescriptorError, DescriptorPool, FileDescriptor};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Asked;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Told;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflection;
use tonic_reflection::pb::v1::{
    ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};

/// Questions of one stream: a tool asks for each file once, and there are fewer.
const MOST: usize = 64;

/// What there is.
#[derive(Clone)]
pub struct Reflection {
    pool: DescriptorPool,
    /// Every file as it is told, by its name.
    files: Arc<HashMap<String, Vec<u8>>>,
}

impl Reflection {
    /// Of our services and of those that others wrote.
    ///
    /// # Errors
    /// When a set of descriptors cannot be read.
    pub fn new(others: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut pool = proto::described::POOL.clone();
        for set in others {
            pool.decode_file_descriptor_set(*set)?;
        }
        let files = pool.files().map(|file| (file.name().to_owned(), file.encode_to_vec())).collect();
        Ok(Self { pool, files: Arc::new(files) })
    }

    fn told(&self, asked: &Asked) -> Result<Told, Status> {
        let file = |file: Option<FileDescriptor>| {
            let bytes = file.and_then(|file| self.files.get(file.name()));
            let bytes = bytes.ok_or_else(|| Status::not_found("there is no such thing"))?;
            let file_descriptor_proto = vec![bytes.clone()];
            Ok(Told::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
        };
        let message = |name: &str| self.pool.get_message_by_name(name);
        match asked {
            Asked::FileByFilename(name) => file(self.pool.get_file_by_name(name)),
            Asked::FileContainingSymbol(name) => file(self.file_of(name)),
            Asked::FileContainingExtension(asked) => {
                let number = u32::try_from(asked.extension_number).ok();
                let extension =
                    number.and_then(|number| message(&asked.containing_type)?.get_extension(number));
                file(extension.map(|extension| extension.parent_file()))
            }
            Asked::AllExtensionNumbersOfType(name) => {
                let message = message(name).ok_or_else(|| Status::not_found("there is no such message"))?;
                let extension_number =
                    message.extensions().map(|extension| extension.number().cast_signed()).collect();
                let base_type_name = name.clone();
                Ok(Told::AllExtensionNumbersResponse(ExtensionNumberResponse {
                    base_type_name,
                    extension_number,
                }))
            }
            Asked::ListServices(_) => {
                let services =
                    self.pool.services().map(|own| ServiceResponse { name: own.full_name().to_owned() });
                Ok(Told::ListServicesResponse(ListServiceResponse { service: services.collect() }))
            }
        }
    }

    /// Where a symbol stands: a service, message, enum or extension, or what is in one of them.
    fn file_of(&self, name: &str) -> Option<FileDescriptor> {
        let pool = &self.pool;
        let service = |name: &str| pool.get_service_by_name(name).map(|own| own.parent_file());
        let message = |name: &str| pool.get_message_by_name(name).map(|own| own.parent_file());
        let choice = |name: &str| pool.get_enum_by_name(name).map(|own| own.parent_file());
        let extension = |name: &str| pool.get_extension_by_name(name).map(|own| own.parent_file());
        let of = |name: &str| {
            service(name).or_else(|| message(name)).or_else(|| choice(name)).or_else(|| extension(name))
        };
        of(name).or_else(|| of(name.rsplit_once('.')?.0))
    }

    fn answer(&self, request: ServerReflectionRequest) -> Result<ServerReflectionResponse, Status> {
        let asked = request.message_request.as_ref();
        let asked = asked.ok_or_else(|| Status::invalid_argument("nothing is asked"))?;
        let message_response = Some(self.told(asked)?);
        let valid_host = request.host.clone();
        Ok(ServerReflectionResponse { valid_host, original_request: Some(request), message_response })
    }
}

fn too_many() -> Status {
    Status::resource_exhausted(format!("{MOST} questions were asked in this stream: begin another"))
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let (own, mut count) = (self.clone(), 0);
        let answers = request.into_inner().then(move |request| {
            count += 1;
            let answer =
                if count > MOST { Err(too_many()) } else { request.and_then(|asked| own.answer(asked)) };
            // Others on this thread have their turn between two answers, which are larger than their questions.
            async {
                tokio::task::yield_now().await;
                answer
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
