//! What a person is told when a server was not reached, or did not answer as linkr does: the cause and the way out.

use crate::fault::CommandFault;
use proto::client::ClientFault;
use std::error::Error;
use tonic::Status;
use tonic::transport::Uri;

/// Where the API is unless somebody says otherwise.
const USUAL_PORT: u16 = 8081;

/// There is no connection.
pub fn unreached(why: &ClientFault, url: &str) -> CommandFault {
    let no_port = url.parse::<Uri>().is_ok_and(|uri| uri.port().is_none());
    let usual = if no_port { format!(" with its port, usually {USUAL_PORT},") } else { String::new() };
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    CommandFault::new(match why {
        ClientFault::Refused | ClientFault::TimedOut => {
            let how =
                if *why == ClientFault::Refused { "connection refused" } else { "nothing came back in time" };
            format!(
                "nothing answers at {url} ({how}): is linkr running? Start it with 'linkr up', or name another{usual} with \
                 --server"
            )
        }
        ClientFault::Unresolved => {
            format!("the host of {url} is not known: is it spelled right? See --server")
        }
        ClientFault::Unreachable => {
            format!("no way leads to {url}: see the network, or name another with --server")
        }
        ClientFault::UnknownAuthority => format!(
            "the certificate of {url} is of an authority that is not trusted here: name the file with its authority (such as \
             ca.pem of linkr certs) with --server-ca"
        ),
        ClientFault::WrongName => format!(
            "the certificate of {url} is for another name: ask for a name that stands in it with --server, or make one for \
             this name (linkr certs DIR --host NAME)"
        ),
        ClientFault::NotValidNow => format!(
            "the certificate of {url} is not valid at this time: make another there (linkr certs DIR), or set the clock right"
        ),
        ClientFault::NoTls => format!("{url} speaks no TLS: ask http://{place} with --server"),
        ClientFault::WantsTls => format!("{url} speaks TLS only: ask https://{place} with --server"),
        ClientFault::OtherProtocol => format!(
            "{url} is not a linkr API: is it the redirect or the admin port, or another server? Name the API with --server"
        ),
        ClientFault::Broken => format!(
            "{url} ended the connection before it answered: is it a linkr API, and not the redirect or the admin port? Try again, or see --server"
        ),
        other => format!("{url} cannot be asked: {other}; see --server"),
    })
}

/// A call that the server itself did not answer; `None`: it did, and refused.
pub fn unanswered(status: &Status, url: &str) -> Option<CommandFault> {
    if let Some(code) = other_answer(status.message()) {
        return Some(match code {
            "502" | "503" | "504" => CommandFault::new(format_args!(
                "a proxy at {url} answers with HTTP status {code}: it does not reach linkr behind it"
            )),
            _ => unreached(&ClientFault::OtherProtocol, url),
        });
    }
    status.source()?; // what a server says has none
    Some(match ClientFault::of_status(status).looked_at(url) {
        ClientFault::TimedOut => CommandFault::new(format_args!(
            "{url} did not answer in time: a write may still happen; try again, with the same --request-id where there is one"
        )),
        why => unreached(&why, url),
    })
}

/// The status of an answer of HTTP that is no gRPC: what tonic says of it is the only sign.
fn other_answer(said: &str) -> Option<&str> {
    let missing = said.strip_prefix("grpc-status header missing, mapped from HTTP status code ");
    let no_message =
        || said.contains("invalid compression flag").then(|| said.rsplit_once("with status: "))?;
    let code = missing.or_else(|| no_message().map(|(_, status)| status))?;
    code.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_names_the_place_and_a_way_out() {
        let said = |why: ClientFault, url: &str| unreached(&why, url).message().to_owned();
        assert!(said(ClientFault::Refused, "http://a").contains("usually 8081"));
        assert!(!said(ClientFault::Refused, "http://a:1").contains("usually"));
        assert!(said(ClientFault::WantsTls, "http://a:1").contains("https://a:1"));
        assert!(said(ClientFault::NoTls, "https://a:1").contains("http://a:1"));
        for why in [
            ClientFault::TimedOut,
            ClientFault::Unresolved,
            ClientFault::UnknownAuthority,
            ClientFault::WrongName,
            ClientFault::Unreachable,
            ClientFault::Broken,
        ] {
            let said = said(why, "http://a:1");
            assert!(said.contains("http://a:1") && said.contains("--server"), "{said}");
        }
    }

    #[test]
    fn what_answers_without_grpc_is_named() {
        let said = |text: &str| {
            unanswered(&Status::unknown(text), "http://a:1").map(|fault| fault.message().to_owned())
        };
        let proxy = said("grpc-status header missing, mapped from HTTP status code 502").unwrap();
        assert!(proxy.contains("proxy") && proxy.contains("502"), "{proxy}");
        assert!(
            said("grpc-status header missing, mapped from HTTP status code 404")
                .unwrap()
                .contains("not a linkr API")
        );
        let page = "protocol error: received message with invalid compression flag: 60 (valid flags are 0 and 1) while \
                    receiving response with status: 502 Bad Gateway";
        assert!(said(page).unwrap().contains("does not reach linkr"));
        assert_eq!(said("target is empty"), None);
    }
}
