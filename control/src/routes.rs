//! Which call a path of REST is: the templates of `google.api.http` in the `.proto`, and what a path says by them.

use crate::Fault;
use exposition::unescaped;
use proto::described::{Call, Http, Member, Shape, calls, shape};
use std::sync::LazyLock;

/// A call as REST knows it.
#[derive(Debug)]
pub struct Route {
    /// The call.
    pub call: &'static Call,
    /// How it is made.
    pub http: &'static Http,
    /// What it takes.
    pub input: &'static Shape,
    parts: Vec<PathPart>,
    /// What stands behind a `:` at the end of the path.
    verb: Option<&'static str>,
    /// The field that the path says.
    variable: Option<Variable>,
}

/// One piece of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PathPart {
    Word(&'static str),
    /// One piece, whatever it is.
    One,
    /// All that follows, which is something.
    Rest,
}

#[derive(Debug)]
struct Variable {
    /// `name`, or `link.name`: a field of the resource that is in the field of that name.
    field: &'static str,
    /// As a resource is named: `domains/*/links/**`.
    pattern: &'static str,
    /// The pieces of the path that are the pattern.
    from: usize,
    to: usize,
}

/// Where a field of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// The path.
    Path,
    /// `Idempotency-Key`, `If-Match`.
    Header,
    /// The body is it, or has it as a member.
    Body,
    /// A member of the resource in the body, or which members that has.
    Resource,
    /// A parameter behind the path.
    Query,
}

/// A route, and what a path says by it.
#[derive(Debug)]
pub struct RouteMatch {
    /// The route.
    pub route: &'static Route,
    /// What stands in the place of each `*`, as it was sent.
    caught: Vec<String>,
}

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let known = calls().iter().filter_map(|call| {
        let input = shape(call.input.full_name())?;
        Some(Route::new(call, call.http.as_ref()?, input))
    });
    known.collect()
});

/// Every route.
pub fn all() -> &'static [Route] {
    &ROUTES
}

/// The route of a request. Whoever may GET may ask for the head alone.
///
/// # Errors
/// [`Fault::NoRoute`], or [`Fault::NoMethod`] where the path is known with another method.
pub fn find(method: &str, path: &str) -> Result<RouteMatch, Fault> {
    let method = if method == "HEAD" { "GET" } else { method };
    let known = at(path);
    if known.is_empty() {
        return Err(Fault::NoRoute);
    }
    known.into_iter().find(|found| found.route.http.method == method).ok_or(Fault::NoMethod)
}

/// The methods that a path is known with, as `Allow` says them.
pub fn allowed(path: &str) -> String {
    let mut methods = Vec::new();
    for found in at(path) {
        methods.push(found.route.http.method);
        methods.extend((found.route.http.method == "GET").then_some("HEAD"));
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(",")
}

/// Every route that a path is: those with its verb, if there are any.
fn at(path: &str) -> Vec<RouteMatch> {
    let (before, verb) = match path.rsplit_once(':') {
        Some((before, verb)) if !verb.contains('/') => (before, Some(verb)),
        _ => (path, None),
    };
    let of = |verb: Option<&str>, path: &str| -> Vec<RouteMatch> {
        let fitting = ROUTES.iter().filter(|route| route.verb == verb);
        fitting.filter_map(|route| Some(RouteMatch { route, caught: route.caught(path)? })).collect()
    };
    let with_verb = if verb.is_some() { of(verb, before) } else { Vec::new() };
    let mut known = if with_verb.is_empty() { of(None, path) } else { with_verb };
    // A `:` that is part of a code is written %3A: what stands behind this one is a verb that there is not.
    known.retain(|found| {
        let is_code = found.route.verb.is_none() && found.route.parts.last() == Some(&PathPart::Rest);
        !is_code || found.caught.last().is_none_or(|code| !code.contains(':'))
    });
    known
}

impl Route {
    fn new(call: &'static Call, http: &'static Http, input: &'static Shape) -> Self {
        let (before, inside, behind) = match http.path.split_once('{') {
            Some((before, rest)) => {
                let (inside, behind) = rest.split_once('}').unwrap_or((rest, ""));
                (before, Some(inside), behind)
            }
            None => (&*http.path, None, ""),
        };
        let (field, pattern) =
            inside.map_or(("", ""), |inside| inside.split_once('=').unwrap_or((inside, "*")));
        let (behind, verb) =
            behind.rsplit_once(':').map_or((behind, None), |(behind, verb)| (behind, Some(verb)));
        let pieces = |text: &'static str| text.split('/').filter(|piece| !piece.is_empty()).map(PathPart::of);
        let (from, pattern_parts) = (pieces(before).count(), pieces(pattern).count());
        let variable = inside.map(|_| Variable { field, pattern, from, to: from + pattern_parts });
        let parts = pieces(before).chain(pieces(pattern)).chain(pieces(behind)).collect();
        Self { call, http, input, parts, verb, variable }
    }

    /// What stands in the place of each `*` of a path; `None`: it is another one. What is in a domain has a short path for
    /// the default one, too.
    fn caught(&self, path: &str) -> Option<Vec<String>> {
        let given: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let whole = fitting(&self.parts, &given);
        let short = || {
            let [version, PathPart::Word("domains"), PathPart::One, rest @ ..] = &*self.parts else {
                return None;
            };
            let short: Vec<PathPart> = [*version].into_iter().chain(rest.iter().copied()).collect();
            let mut caught = fitting(&short, &given).filter(|_| !rest.is_empty())?;
            caught.insert(0, "-".to_owned());
            Some(caught)
        };
        whole.or_else(short)
    }

    /// Where a field of the request comes from.
    pub fn source(&self, member: &Member) -> FieldSource {
        let variable = self.variable.as_ref().map_or("", |variable| variable.field);
        match (&*member.name, &*self.http.body) {
            (name, _) if name == variable => FieldSource::Path,
            ("request_id" | "etag", _) => FieldSource::Header,
            (name, body) if name == body => FieldSource::Body,
            ("update_mask", _) => FieldSource::Resource,
            _ if !member.rule.member.is_empty() => FieldSource::Resource,
            ("validate_only" | "ack", _) => FieldSource::Query,
            (_, "*") => FieldSource::Body,
            _ => FieldSource::Query,
        }
    }

    /// What comes from there, in the order of the message.
    pub fn from(&self, source: FieldSource) -> Vec<&'static Member> {
        let mut members: Vec<_> =
            self.input.members.iter().filter(|member| self.source(member) == source).collect();
        members.sort_by_key(|member| member.field.number());
        members
    }

    /// Whether it has versions, of which `If-Match` says one.
    pub fn takes_etag(&self) -> bool {
        self.input.member("etag").is_some() || self.input.member("update_mask").is_some()
    }

    /// The message that is in the body; `None`: members of the request itself, or nothing.
    pub fn resource(&self) -> Option<&'static Member> {
        self.input.member(&self.http.body)
    }

    /// Whether the body is a list of requests of another call.
    pub fn is_batch(&self) -> bool {
        self.http.body == "*" && self.from(FieldSource::Body).iter().any(|member| member.list)
    }

    /// The field that the path says: in the request, or in its resource.
    pub fn named(&self) -> Option<&'static str> {
        self.variable.as_ref().map(|variable| variable.field)
    }

    /// The name of what a code of a domain stands for, where the path names such a thing.
    pub fn name_in(&self, parent: &str, code: &str) -> String {
        let pattern = self.variable.as_ref().map_or("", |variable| variable.pattern);
        pattern.replacen("domains/*", parent, 1).replacen("**", code, 1)
    }

    /// The path as people read it: `/v1/domains/{domain}/links/{code}`, and the short one where there is one.
    pub fn shown(&self) -> Vec<String> {
        let mut path = String::new();
        for (at, part) in self.parts.iter().enumerate() {
            path.push('/');
            match part {
                PathPart::Word(word) => path.push_str(word),
                PathPart::One | PathPart::Rest => {
                    let kind = at.checked_sub(1).and_then(|before| self.parts.get(before));
                    path.push_str(match kind {
                        Some(PathPart::Word("domains")) => "{domain}",
                        Some(PathPart::Word("edges")) => "{edge}",
                        Some(PathPart::Word("keys")) => "{key}",
                        Some(PathPart::Word("blocks")) => "{host}",
                        _ => "{code}",
                    });
                }
            }
        }
        if let Some(verb) = self.verb {
            path.push(':');
            path.push_str(verb);
        }
        let short = path.strip_prefix("/v1/domains/{domain}/").map(|rest| format!("/v1/{rest}"));
        [Some(path), short].into_iter().flatten().collect()
    }
}

impl PathPart {
    fn of(piece: &'static str) -> Self {
        match piece {
            "*" => Self::One,
            "**" => Self::Rest,
            word => Self::Word(word),
        }
    }
}

fn fitting(parts: &[PathPart], given: &[&str]) -> Option<Vec<String>> {
    let (mut caught, mut left) = (Vec::new(), given);
    for part in parts {
        let (first, rest) = left.split_first()?;
        match part {
            PathPart::Word(word) if word == first => {}
            PathPart::One if !first.is_empty() => caught.push((*first).to_owned()),
            PathPart::Rest => {
                let all = left.join("/");
                caught.push(all);
                return caught.last().is_some_and(|all| !all.is_empty()).then_some(caught);
            }
            _ => return None,
        }
        left = rest;
    }
    left.is_empty().then_some(caught)
}

impl RouteMatch {
    /// What the path says: the name of a resource, in the form that the field has.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn name(&self) -> Result<Option<String>, Fault> {
        let Some(variable) = &self.route.variable else { return Ok(None) };
        let own = self.route.input.member(variable.field).map(|member| member.rule.resource.as_str());
        let pattern = own.filter(|own| !own.is_empty()).unwrap_or(variable.pattern);
        let parts = self.route.parts.get(variable.from..variable.to).unwrap_or_default();
        let mut caught =
            self.caught.iter().take(parts.iter().filter(|part| !matches!(part, PathPart::Word(_))).count());
        let mut named = Vec::new();
        for piece in pattern.split('/') {
            match (piece, piece.starts_with('*').then(|| caught.next()).flatten()) {
                (_, Some(text)) => {
                    let text = unescaped(text).map_err(|why| Fault::invalid("name", why))?;
                    if named.last().is_some_and(|before| before == "domains") && text.contains('/') {
                        return Err(Fault::invalid("name", "has a / in its domain"));
                    }
                    named.push(text.into_owned());
                }
                (word, None) => named.push(word.to_owned()),
            }
        }
        Ok(Some(named.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::described::Form;

    fn is_plain(member: &Member) -> bool {
        !matches!(member.form, Form::Message(_) | Form::Bytes | Form::Epoch | Form::Other)
    }

    #[test]
    fn a_path_finds_its_call_and_no_other() {
        let name = |method, path| find(method, path).map(|found| found.route.call.name.as_str());
        for (method, path, call) in [
            ("GET", "/v1/links", "ListLinks"),
            ("HEAD", "/v1/domains/a.example/links/a", "GetLink"),
            ("GET", "/v1/domains/-/links/a/b:history", "ListLinkHistory"),
            ("POST", "/v1/links/a/b:undelete", "UndeleteLink"),
            ("POST", "/v1/links/a:restore", "RestoreLink"),
            ("POST", "/v1/domains/-/links:batchCreate", "BatchCreateLinks"),
            ("GET", "/v1/links:watch", "WatchLinks"),
            ("GET", "/v1/codes/a/b", "CheckCode"),
            ("GET", "/v1/clicks", "QueryClicks"),
            ("GET", "/v1/links/a/b:clicks", "QueryLinkClicks"),
            ("GET", "/v1/domains/a.example/clicks:export", "ExportClicks"),
            ("DELETE", "/v1/clicks", "DeleteClicks"),
            ("POST", "/v1/clicks:reclassify", "ReclassifyClicks"),
            ("POST", "/v1/links/a%3Ab:undelete", "UndeleteLink"),
            ("GET", "/v1/links/a%3Aundelete", "GetLink"),
            ("GET", "/v1/links/a%3Ab/c%3ahistory", "GetLink"),
            ("DELETE", "/v1/keys/k", "RevokeKey"),
            ("DELETE", "/v1/keys/edge:e", "RevokeKey"),
            ("POST", "/v1/keys/k:rotate", "RotateKey"),
            ("DELETE", "/v1/edges/e", "ForgetEdge"),
            ("DELETE", "/v1/blocks/evil.example", "UnblockTarget"),
            ("DELETE", "/v1/blocks/[::1]", "UnblockTarget"),
        ] {
            assert_eq!(name(method, path), Ok(call), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/v1/links/a"),
            ("PUT", "/v1/links/a"),
            ("DELETE", "/v1/links/a:restore"),
            ("POST", "/v1/keys/k"),
        ] {
            assert_eq!(name(method, path), Err(Fault::NoMethod), "{method} {path}");
        }
        for none in [
            "",
            "/",
            "/v1",
            "/v1/links/",
            "/v1/keys/k/x",
            "/v2/links",
            "/v1/domains//links",
            "/v1/links:x",
            "/v1/links/a/b:c",
            "/v1/links/a:b/c",
        ] {
            assert_eq!(name("GET", none), Err(Fault::NoRoute), "{none}");
        }
        assert_eq!(allowed("/v1/links/a"), "DELETE,GET,HEAD,PATCH");
        assert_eq!(allowed("/v1/links/a:restore"), "POST");
    }

    #[test]
    fn a_path_names_a_resource() {
        let name = |method, path| find(method, path).unwrap().name();
        assert_eq!(name("GET", "/v1/links/a%2Fb/c"), Ok(Some("domains/-/links/a/b/c".into())));
        assert_eq!(
            name("PATCH", "/v1/domains/a.example/links/x"),
            Ok(Some("domains/a.example/links/x".into()))
        );
        assert_eq!(
            name("POST", "/v1/links/a%3Ab/b%C3%BCcher(1):undelete"),
            Ok(Some("domains/-/links/a:b/b\u{fc}cher(1)".into()))
        );
        assert_eq!(name("GET", "/v1/codes/x"), Ok(Some("domains/-/links/x".into())));
        assert_eq!(name("POST", "/v1/links"), Ok(Some("domains/-".into())));
        assert_eq!(name("DELETE", "/v1/edges/a%20b"), Ok(Some("a b".into())));
        assert_eq!(name("DELETE", "/v1/keys/edge:e"), Ok(Some("keys/edge:e".into())));
        assert_eq!(name("DELETE", "/v1/blocks/%5B::1%5D"), Ok(Some("[::1]".into())));
        assert_eq!(name("GET", "/v1/edges"), Ok(None));
        assert!(name("GET", "/v1/links/%ff").is_err());
    }

    #[test]
    fn a_field_comes_from_one_place() {
        let route = |name: &str| all().iter().find(|route| route.call.name == name).unwrap();
        let names = |name: &str, source| {
            let members = route(name).from(source);
            members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names("CreateLink", FieldSource::Query),
            "validate_only ack code_prefix code_length code_alphabet flatten"
        );
        assert_eq!(names("CreateLink", FieldSource::Resource), "link_id");
        assert_eq!(names("UpdateLink", FieldSource::Query), "validate_only ack flatten");
        assert_eq!(names("RestoreLink", FieldSource::Body), "time revision");
        assert_eq!(names("UndeleteLink", FieldSource::Body), "");
        assert_eq!(names("BatchDeleteLinks", FieldSource::Body), "requests");
        for route in all() {
            assert!(route.from(FieldSource::Query).into_iter().all(is_plain), "{}", route.call.name);
        }
    }
}
