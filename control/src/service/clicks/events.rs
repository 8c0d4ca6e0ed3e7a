//! Single clicks as callers are told of them, and the codes of their links.

use crate::Fault;
use crate::service::reach::BoundReader;
use clicks::Click;
use link::{DomainId, Seq};
use proto::v1;
use std::collections::HashMap;
use std::sync::Arc;
use store::port::clicks::RawClick;
use store::wire;

/// Links that are looked up at once.
const PART: usize = 1_000;
/// Codes that are remembered by one stream.
const MOST: usize = 20_000;

/// The codes of links of one domain, by their uids.
#[derive(Clone, Debug, Default)]
pub struct Codes(HashMap<Seq, Arc<str>>);

impl Codes {
    /// Those of these links.
    pub fn read(reader: &BoundReader<'_>, domain: DomainId, uids: &[Seq]) -> Result<Self, Fault> {
        let mut codes = HashMap::new();
        for part in uids.chunks(PART) {
            for row in reader.links_with_uids(domain, part)? {
                let code = String::from_utf8_lossy(row.key.code()).into_owned();
                codes.insert(row.uid, code.into());
            }
        }
        Ok(Self(codes))
    }

    /// The same with those of the links of these clicks; of one that is gone for good it remembers that, too.
    pub fn with(
        mut self,
        reader: &BoundReader<'_>,
        domain: DomainId,
        clicks: &[RawClick],
    ) -> Result<Self, Fault> {
        if self.0.len() > MOST {
            self.0.clear();
        }
        let mut missing: Vec<Seq> =
            clicks.iter().map(|own| own.click.uid).filter(|uid| !self.0.contains_key(uid)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(self);
        }
        let found = Self::read(reader, domain, &missing)?;
        for uid in missing {
            let code = found.of(uid);
            self.0.insert(uid, code);
        }
        Ok(self)
    }

    /// The code of a link; its uid behind a `#`, which no code has, where there is no such link any more.
    pub fn of(&self, uid: Seq) -> Arc<str> {
        self.0.get(&uid).cloned().unwrap_or_else(|| format!("#{uid}").into())
    }
}

/// A click as it is told.
pub fn event(raw: &RawClick, codes: &Codes) -> v1::ClickEvent {
    let Click {
        at,
        domain: _,
        uid,
        version,
        kind,
        country,
        browser,
        os,
        device,
        referrer,
        language,
        visitor: _,
        agent: _,
    } = &raw.click;
    v1::ClickEvent {
        id: raw.place.to_string(),
        time: Some(wire::timestamp(*at)),
        code: codes.of(*uid).to_string(),
        version: *version,
        kind: kind.label().to_owned(),
        country: country.as_str().to_owned(),
        browser: browser.to_string(),
        os: os.to_string(),
        device: device.label().to_owned(),
        referrer: referrer.to_string(),
        language: language.as_str().to_owned(),
    }
}
