//! Domains as JSON over HTTP. Nothing is decided here.

use super::json::{self, CLASSES, choice, members, nullable, text, time_of, without_nulls};
use super::{
    Answered, Asked, Options, Parts, Who, Whole, json_body, no_parameter, options, pairs, parent, parse,
    resource, unknown,
};
use crate::Fault;
use crate::service::Service;
use axum::extract::State;
use axum::response::IntoResponse;
use prost_types::FieldMask;
use proto::v1;
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn list(State(service): State<Arc<Service>>, who: Who, asked: Asked) -> Answered {
    let mut request = v1::ListDomainsRequest::default();
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "page_size" => request.page_size = parse("page_size", &value)?,
            "page_token" => request.page_token = value,
            _ => return Err(unknown(name)),
        }
    }
    Ok(axum::Json(page(&service.list_domains(&who, request).await?)).into_response())
}

/// A page of domains.
pub fn page(page: &v1::ListDomainsResponse) -> Value {
    let domains: Vec<_> = page.domains.iter().map(domain).collect();
    json!({ "domains": domains, "next_page_token": page.next_page_token })
}

pub async fn create((State(service), who, _, asked, headers, body): Whole) -> Answered {
    let Options { request_id, validate_only, ack, .. } = options(asked, &headers)?;
    let (given, _) = json_body(&headers, body, given).await?;
    let domain_id = given.domain.clone();
    let request = v1::CreateDomainRequest { domain_id, domain: Some(given), request_id, validate_only, ack };
    let made = !request.validate_only;
    let told = service.create_domain(&who, request).await?;
    Ok(resource(domain(&told), &told.etag, made.then_some(&told.name)))
}

pub async fn read(State(service): State<Arc<Service>>, who: Who, path: Parts, asked: Asked) -> Answered {
    no_parameter(asked)?;
    let request = v1::GetDomainRequest { name: parent(path)? };
    answer(service.get_domain(&who, request).await)
}

pub async fn update((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let Options { request_id, validate_only, ack, etag } = options(asked, &headers)?;
    let (mut domain, paths) = json_body(&headers, body, given).await?;
    if paths.is_empty() {
        return Err(Fault::invalid("body", "names no field that can be set"));
    }
    domain.name = parent(path)?;
    if !etag.is_empty() {
        domain.etag = etag;
    }
    let update_mask = Some(FieldMask { paths });
    let request =
        v1::UpdateDomainRequest { domain: Some(domain), update_mask, request_id, validate_only, ack };
    answer(service.update_domain(&who, request).await)
}

fn answer(answer: Result<v1::Domain, Fault>) -> Answered {
    answer.map(|told| resource(domain(&told), &told.etag, None))
}

/// As an answer carries it; what is not set is left out.
pub fn domain(told: &v1::Domain) -> Value {
    let class = CLASSES.iter().find(|(_, class)| *class as i32 == told.class).map(|(name, _)| *name);
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut value = json!({
        "name": told.name,
        "domain": told.domain,
        "fold_case": told.fold_case,
        "strict_hosts": told.strict_hosts,
        "class": class,
        "not_found": text(&told.not_found),
        "create_time": time_of(&told.create_time),
        "update_time": time_of(&told.update_time),
        "revision": text(&told.revision),
        "etag": text(&told.etag),
        "propagation": told.propagation.as_ref().map(json::propagation),
    });
    without_nulls(&mut value);
    value
}

/// A domain that a caller gives, and the fields in it that can be set. `null` is the default of its field.
fn given(body: &[u8]) -> Result<(v1::Domain, Vec<String>), Fault> {
    let (mut domain, mut paths) = (v1::Domain::default(), Vec::new());
    for (name, value) in &members(body)? {
        let flag = || nullable(name, value, "true or false", Value::as_bool).map(Option::unwrap_or_default);
        match name.as_str() {
            "fold_case" => domain.fold_case = flag()?,
            "strict_hosts" => domain.strict_hosts = flag()?,
            "class" => domain.class = choice(name, value, &CLASSES)?.map_or(0, Into::into),
            "not_found" => domain.not_found = text(name, value)?,
            "domain" | "etag" => {
                let field = if name == "domain" { &mut domain.domain } else { &mut domain.etag };
                *field = text(name, value)?;
                continue;
            }
            // What a domain was read with may come back with it.
            "name" | "create_time" | "update_time" | "revision" | "propagation" => continue,
            _ => return Err(Fault::invalid(name.clone(), "is no field of a domain")),
        }
        paths.push(name.clone());
    }
    Ok((domain, paths))
}
