//! Which link a person names: a whole address names its domain, too.

use super::{channel, name, parent, refused};
use crate::args::{AddressedCode, Server, named};
use crate::fault::CommandFault;
use proto::client::KeyedChannel;
use proto::v1::{self, domains_client::DomainsClient};
use tonic::{Code, Status};

/// Where a link is.
pub struct LinkPlace {
    pub domain: String,
    pub code: String,
}

impl LinkPlace {
    /// The name of the link there.
    pub fn name(&self) -> String {
        name(&self.domain, &self.code)
    }
}

/// The link that is named. The host of an address has to be a domain, or to be known as that of the default one.
///
/// # Errors
/// It is neither, or contradicts `--domain`.
pub async fn place(given: AddressedCode, server: &Server) -> Result<LinkPlace, CommandFault> {
    let AddressedCode { host, code } = given;
    let Some(host) = host else { return Ok(LinkPlace { domain: server.domain.clone(), code }) };
    if server.domain != "-" {
        return match server.domain.eq_ignore_ascii_case(&host) {
            true => Ok(LinkPlace { domain: host, code }),
            false => Err(CommandFault::new(format_args!(
                "the address is of {host}, and --domain says {}: leave one of them out",
                server.domain
            ))),
        };
    }
    let way = channel(&server.api).await?;
    let request = v1::GetDomainRequest { name: parent(&host) };
    match DomainsClient::new(way.clone()).get_domain(request).await {
        Ok(found) => Ok(LinkPlace { domain: found.into_inner().domain, code }),
        Err(status) if is_none(&status) => in_default(way, &host, code).await,
        Err(status) => Err(refused(&status, &server.api)),
    }
}

fn is_none(status: &Status) -> bool {
    matches!(status.code(), Code::NotFound | Code::InvalidArgument)
}

/// Only an answer tells where visitors of the default domain come in.
async fn in_default(way: KeyedChannel, host: &str, code: String) -> Result<LinkPlace, CommandFault> {
    let place = LinkPlace { domain: "-".to_owned(), code };
    let found = super::links_of(way).get_link(v1::GetLinkRequest { name: place.name() }).await;
    let address = found.map(|found| found.into_inner().short_url).unwrap_or_default();
    if named(&address).is_ok_and(|known| known.host.as_deref() == Some(host)) {
        return Ok(place);
    }
    Err(CommandFault::new(format_args!(
        "{host} is no domain here: give the code alone for the default domain ({}), or make it one with linkr domain create \
         {host}",
        place.code
    )))
}
