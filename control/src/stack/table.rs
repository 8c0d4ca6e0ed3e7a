//! The one table of calls: what each asks of a key. What is not in it is refused.

use crate::Fault;
use crate::keys::Scope;

/// One call, however it arrives.
#[derive(Debug)]
pub struct Call {
    /// The name of its method, as in the metrics.
    pub name: &'static str,
    /// The scope that it takes; `None`: no key is asked for.
    pub scope: Option<Scope>,
    /// What it costs of a key's allowance. Rows of batches and imports are counted when they are read.
    pub weight: u32,
    pub(super) grpc: &'static str,
    /// What is in a domain has a short path for the default one, too.
    pub(super) rest: &'static [(&'static str, &'static str)],
}

const fn call(
    grpc: &'static str,
    scope: Option<Scope>,
    weight: u32,
    rest: &'static [(&'static str, &'static str)],
) -> Call {
    Call { name: method_of(grpc), scope, weight, grpc, rest }
}

/// What stands behind the last slash.
const fn method_of(path: &'static str) -> &'static str {
    let (bytes, mut at) = (path.as_bytes(), path.len());
    while at > 0 && bytes[at - 1] != b'/' {
        at -= 1;
    }
    path.split_at(at).1
}

const GET: &str = "GET";
const POST: &str = "POST";
const PATCH: &str = "PATCH";
const DELETE: &str = "DELETE";
const READ: Option<Scope> = Some(Scope::LinksRead);
const WRITE: Option<Scope> = Some(Scope::LinksWrite);
const KEYS: Option<Scope> = Some(Scope::KeysAdmin);
const DOMAINS: Option<Scope> = Some(Scope::DomainsAdmin);
const FEED: Option<Scope> = Some(Scope::Feed);

/// In a path, `{x}` is one part and `{*x}` is all that follows, up to the verb behind it if there is one; a part with a verb behind it (`{x}:undelete`) is one part.
/// The first line that fits counts.
pub static CALLS: &[Call] = &[
    call("/linkr.v1.Links/ListLinkHistory", READ, 5, &[(GET, "/v1/domains/{domain}/links/{*code}:history")]),
    call("/linkr.v1.Links/UndeleteLink", WRITE, 1, &[(POST, "/v1/domains/{domain}/links/{*code}:undelete")]),
    call("/linkr.v1.Links/RestoreLink", WRITE, 1, &[(POST, "/v1/domains/{domain}/links/{*code}:restore")]),
    call("/linkr.v1.Links/BatchCreateLinks", WRITE, 1, &[(POST, "/v1/domains/{domain}/links:batchCreate")]),
    call("/linkr.v1.Links/BatchUpdateLinks", WRITE, 1, &[(POST, "/v1/domains/{domain}/links:batchUpdate")]),
    call("/linkr.v1.Links/BatchDeleteLinks", WRITE, 1, &[(POST, "/v1/domains/{domain}/links:batchDelete")]),
    call("/linkr.v1.Links/CreateLink", WRITE, 1, &[(POST, "/v1/domains/{domain}/links")]),
    call("/linkr.v1.Links/GetLink", READ, 1, &[(GET, "/v1/domains/{domain}/links/{*code}")]),
    call("/linkr.v1.Links/UpdateLink", WRITE, 1, &[(PATCH, "/v1/domains/{domain}/links/{*code}")]),
    call("/linkr.v1.Links/DeleteLink", WRITE, 1, &[(DELETE, "/v1/domains/{domain}/links/{*code}")]),
    call("/linkr.v1.Links/ListLinks", READ, 5, &[(GET, "/v1/domains/{domain}/links")]),
    call("/linkr.v1.Links/ImportLinks", WRITE, 1, &[]),
    call("/linkr.v1.Links/ExportLinks", READ, 100, &[]),
    call("/linkr.v1.Links/CheckCode", READ, 1, &[(GET, "/v1/domains/{domain}/codes/{*code}")]),
    // The first reads every link, to see whether one leads to the host.
    call("/linkr.v1.Domains/CreateDomain", DOMAINS, 100, &[(POST, "/v1/domains")]),
    call("/linkr.v1.Domains/GetDomain", READ, 1, &[(GET, "/v1/domains/{domain}")]),
    call("/linkr.v1.Domains/ListDomains", READ, 5, &[(GET, "/v1/domains")]),
    call("/linkr.v1.Domains/UpdateDomain", DOMAINS, 1, &[(PATCH, "/v1/domains/{domain}")]),
    call("/linkr.v1.Links/WatchLinks", READ, 5, &[(GET, "/v1/domains/{domain}/links:watch")]),
    call("/linkr.v1.Edges/ListEdges", READ, 5, &[(GET, "/v1/edges")]),
    // As its certificate is revoked.
    call("/linkr.v1.Edges/ForgetEdge", KEYS, 1, &[(DELETE, "/v1/edges/{edge}")]),
    call("/linkr.v1.Keys/CreateKey", KEYS, 1, &[(POST, "/v1/keys")]),
    call("/linkr.v1.Keys/ListKeys", KEYS, 5, &[(GET, "/v1/keys")]),
    call("/linkr.v1.Keys/RotateKey", KEYS, 1, &[(POST, "/v1/keys/{key}")]),
    call("/linkr.v1.Keys/RevokeKey", KEYS, 1, &[(DELETE, "/v1/keys/{key}")]),
    call("/linkr.v1.Keys/ListAudit", KEYS, 5, &[(GET, "/v1/audit")]),
    // Its hello reads the log, as a list does.
    call("/linkr.v1.Feed/Follow", FEED, 5, &[]),
    call("/linkr.v1.Feed/Fetch", FEED, 0, &[]),
    call("/grpc.health.v1.Health/Check", None, 0, &[]),
    call("/grpc.health.v1.Health/Watch", None, 0, &[]),
    call("/grpc.health.v1.Health/List", None, 0, &[]),
    call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", None, 0, &[]),
    call("/OpenApi", None, 0, &[(GET, "/openapi.json"), (GET, "/docs")]),
];

/// The rule of a call over gRPC.
///
/// # Errors
/// [`Fault::NoRoute`]
pub fn over_grpc(path: &str) -> Result<&'static Call, Fault> {
    CALLS.iter().find(|call| call.grpc == path).ok_or(Fault::NoRoute)
}

/// Whether the caller may send messages for as long as he likes, over gRPC.
pub fn streams(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    ["ImportLinks", "Follow", "ServerReflectionInfo"].contains(&method)
}

/// The rule of a call over REST.
///
/// # Errors
/// [`Fault::NoRoute`], or [`Fault::NoMethod`] where the path is known with another method.
pub fn over_rest(method: &str, path: &str) -> Result<&'static Call, Fault> {
    // Whoever may GET may ask for the head alone.
    let method = if method == "HEAD" { GET } else { method };
    let mut there = false;
    for call in CALLS {
        for (own, template) in call.rest {
            if fits(template, path) {
                if *own == method {
                    return Ok(call);
                }
                there = true;
            }
        }
    }
    Err(if there { Fault::NoMethod } else { Fault::NoRoute })
}

/// The methods that a path is known with, as `Allow` says them.
pub fn allowed(path: &str) -> String {
    let all = CALLS.iter().flat_map(|call| call.rest).filter(|(_, template)| fits(template, path));
    // What fits with its verb is not what fits as a code.
    let has_verb = |template: &str| template.contains("}:");
    let verb = all.clone().any(|(_, template)| has_verb(template));
    let mut methods = Vec::new();
    for (method, _) in all.filter(|(_, template)| has_verb(template) == verb) {
        methods.push(*method);
        methods.extend((*method == GET).then_some("HEAD"));
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(",")
}

fn fits(template: &str, path: &str) -> bool {
    let short = template.strip_prefix("/v1/domains/{domain}/").zip(path.strip_prefix("/v1/"));
    is_like(template, path) || short.is_some_and(|(template, path)| is_like(template, path))
}

fn is_like(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(own)) if part.starts_with("{*") => {
                let verb = part.split_once('}').map_or("", |(_, verb)| verb);
                let last = given.next_back();
                let before = last.unwrap_or(own).strip_suffix(verb);
                return before.is_some_and(|before| last.is_some() || !before.is_empty());
            }
            (Some(part), Some(own)) if part.starts_with('{') && !own.is_empty() => {}
            (Some(part), Some(own)) if part == own => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_call_and_no_other() {
        let name = |method, path| over_rest(method, path).map(|call| call.name);
        assert_eq!(name(GET, "/v1/links"), Ok("ListLinks"));
        assert_eq!(name(GET, "/v1/links/a/b:c"), Ok("GetLink"));
        assert_eq!(name("HEAD", "/v1/domains/a.example/links/a"), Ok("GetLink"));
        assert_eq!(name(GET, "/v1/domains/-/links/a/b:history"), Ok("ListLinkHistory"));
        assert_eq!(name(POST, "/v1/links/a/b:undelete"), Ok("UndeleteLink"));
        assert_eq!(name(POST, "/v1/links/a:restore"), Ok("RestoreLink"));
        assert_eq!(name(POST, "/v1/links/a"), Err(Fault::NoMethod));
        assert_eq!(name(POST, "/v1/links/:restore"), Err(Fault::NoMethod));
        assert_eq!(name(DELETE, "/v1/links/a:restore"), Ok("DeleteLink"), "which then refuses it");
        assert_eq!(name(POST, "/v1/domains/-/links:batchCreate"), Ok("BatchCreateLinks"));
        assert_eq!(name(DELETE, "/v1/keys/k"), Ok("RevokeKey"));
        assert_eq!(name(POST, "/v1/keys/k:rotate"), Ok("RotateKey"));
        for none in
            ["", "/", "/v1", "/v1/links/", "/v1/keys/k/x", "/v2/links", "/v1/domains//links", "/v1/links:x"]
        {
            assert_eq!(name(GET, none), Err(Fault::NoRoute), "{none}");
        }
        assert_eq!(name("PUT", "/v1/links/a"), Err(Fault::NoMethod));
        assert_eq!(over_grpc("/linkr.v1.Links/GetLink").map(|call| call.name), Ok("GetLink"));
        assert_eq!(over_grpc("/linkr.v1.Links/GetLinks").unwrap_err(), Fault::NoRoute);
    }
}
