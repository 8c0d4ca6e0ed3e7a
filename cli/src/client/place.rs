//! Which link a person names: a whole address names its domain, too.

use super::{channel, name, parent, refused};
use crate::args::{Named, Server, named};
use crate::fault::Fault;
use proto::client::Way;
use proto::v1::{self, domains_client::DomainsClient};
use tonic::{Code, Status};

/// Where a link is.
pub struct Place {
    pub domain: String,
    pub code: String,
}

impl Place {
    /// The name of the link there.
    pub fn name(&self) -> String {
        name(&self.domain, &self.code)
    }
}

/// The link that is named. The host of an address has to be a domain, or to be known as that of the default one.
///
/// # Errors
/// It is neither, or contradicts `--domain`.
pub async fn place(given: Named, server: &Server) -> Result<Place, Fault> {
    let Named { host, code } = given;
    let Some(host) = host else { return Ok(Place { domain: server.domain.clone(), code }) };
    if server.domain != "-" {
        return match server.domain.eq_ignore_ascii_case(&host) {
            true => Ok(Place { domain: host, code }),
            false => Err(Fault::new(format_args!(
                "the address is of {host}, and --domain says {}: leave one of them out",
                server.domain
            ))),
        };
    }
    let way = channel(&server.api).await?;
    let request = v1::GetDomainRequest { name: parent(&host) };
    match DomainsClient::new(way.clone()).get_domain(request).await {
        Ok(found) => Ok(Place { domain: found.into_inner().domain, code }),
        Err(status) if is_none(&status) => in_default(way, &host, code).await,
        Err(status) => Err(refused(&status, &server.api)),
    }
}

fn is_none(status: &Status) -> bool {
    matches!(status.code(), Code::NotFound | Code::InvalidArgument)
}

/// Only an answer tells where visitors of the default domain come in.
async fn in_default(way: Way, host: &str, code: String) -> Result<Place, Fault> {
    let place = Place { domain: "-".to_owned(), code };
    let found = super::links_of(way).get_link(v1::GetLinkRequest { name: place.name() }).await;
    let address = found.map(|found| found.into_inner().short_url).unwrap_or_default();
    if named(&address).is_ok_and(|known| known.host.as_deref() == Some(host)) {
        return Ok(place);
    }
    Err(Fault::new(format_args!(
        "{host} is no domain here: give the code alone for the default domain ({}), or make it one with linkr domain create \
         {host}",
        place.code
    )))
}
