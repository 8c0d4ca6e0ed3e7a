//! Imports: the rows of a file, chunk by chunk. Each row gets a result; a bad one never stops the good ones.

use super::directory::{Domains, Namespace};
use super::reach::BoundView;
use super::write::needed;
use super::{Service, draft};
use crate::writer::{PendingAnswer, WriteOutcome};
use crate::{Caller, Fault};
use journal::{Intent, Item, Request, RequestKind, Verdict};
use link::QueryPolicy;
use proto::v1::{self, ImportOutcome};

/// Rows of one chunk.
const CHUNK_ROWS: usize = proto::bounds::CHUNK;

/// What the first message of an import says about all of it.
#[derive(Clone, Debug)]
pub struct Import {
    domain: Namespace,
    update: bool,
    caller: Caller,
}

/// A chunk whose good rows are with the writer.
pub struct Chunk {
    /// For each row: why it went no further, or nothing if it did.
    refused: Vec<Option<Fault>>,
    waiting: Option<PendingAnswer<WriteOutcome>>,
}

impl Service {
    /// Begins an import with its first message.
    pub async fn begin_import(
        &self,
        caller: &Caller,
        first: &v1::ImportLinksRequest,
    ) -> Result<Import, Fault> {
        let domain = self.parent(caller, &first.parent).await?;
        Ok(Import { domain, update: first.update, caller: caller.clone() })
    }

    /// Checks the rows of one message and hands the good ones to the writer as one request.
    ///
    /// # Errors
    /// Those that end the import.
    pub async fn import(&self, import: &Import, rows: Vec<v1::Link>) -> Result<Chunk, Fault> {
        if rows.len() > CHUNK_ROWS {
            return Err(Fault::TooLarge("5,000 links in a message of an import"));
        }
        let view = self.reach.of(&import.caller);
        let by = import.caller.by("ImportLinks");
        let (rules, parsing) = (self.rules.clone(), import.clone());
        // Thousands of URLs to parse: not on a thread that others wait for.
        let parse = move || rows.iter().map(|row| item(&rules, &parsing, row)).collect::<Vec<_>>();
        let parsed = crate::heavy::heavy(&import.caller, parse).await?;
        let (mut items, mut refused) = (Vec::with_capacity(parsed.len()), Vec::with_capacity(parsed.len()));
        let pass = self.reach.pass();
        let domains = view.domains().await?;
        for row in parsed {
            match self.leads_away(&view, &domains, row).await {
                Ok(item) => {
                    items.push(item);
                    refused.push(None);
                }
                Err(fault) => refused.push(Some(fault)),
            }
        }
        let request = Request { items, kind: RequestKind::Chunk, by: Some(by), retry: None };
        let waiting = if request.items.is_empty() { None } else { Some(view.submit(request, Some(pass))?) };
        Ok(Chunk { refused, waiting })
    }

    /// As for every write: no target of ours. Only for one of those the store is read.
    async fn leads_away(
        &self,
        view: &BoundView<'_>,
        domains: &Domains,
        row: Result<Item, Fault>,
    ) -> Result<Item, Fault> {
        let row = row?;
        if let Item { key, intent: Intent::Import { draft, .. }, .. } = &row {
            let parts = draft.link.parts();
            if domains.ours(&self.rules, &parts.target).is_some() {
                self.lead_within(view, parts.target.clone(), Some(key), false).await?;
            }
            parts.expired_target.as_ref().map_or(Ok(()), |target| self.is_out(domains, target))?;
            self.edges.sessions.gate.take(needed(&row.intent))?;
        }
        Ok(row)
    }

    /// Counts an import that ended.
    pub fn ended_import(&self, answer: Result<(), Fault>) -> Result<(), Fault> {
        self.counted("ImportLinks", answer)
    }
}

impl Chunk {
    /// The results, once they are on disk.
    ///
    /// # Errors
    /// Those of the store: nothing of the chunk was written.
    pub async fn results(self) -> Result<v1::ImportLinksResponse, Fault> {
        let verdicts = match self.waiting {
            Some(waiting) => waiting.answer().await?.verdicts,
            None => Vec::new(),
        };
        let mut verdicts = verdicts.into_iter();
        let results = self.refused.into_iter().map(|refused| match refused {
            Some(fault) => rejected(&fault),
            None => verdicts.next().map_or_else(v1::ImportResult::default, result),
        });
        Ok(v1::ImportLinksResponse { results: results.collect() })
    }
}

fn item(rules: &draft::InstallationRules, import: &Import, row: &v1::Link) -> Result<Item, Fault> {
    let code = rules.code(&row.code, import.domain.folds(), "code")?;
    let key = import.domain.key(&import.domain.takes(code, "code")?);
    // A file says what becomes of a query, and an export leaves the default out: that of the domain is for new links.
    let draft = rules.draft(row, QueryPolicy::Drop)?;
    let create_time = draft::time("create_time", row.create_time.as_ref())?;
    Ok(Item { key, intent: Intent::Import { draft, create_time, update: import.update } })
}

fn result(verdict: Verdict) -> v1::ImportResult {
    let outcome = match verdict {
        Verdict::Created(_) => ImportOutcome::Created,
        Verdict::Changed(_) => ImportOutcome::Updated,
        Verdict::Same | Verdict::Before(_) | Verdict::Held => ImportOutcome::Skipped,
        Verdict::Refused(why) => return rejected(&why.into()),
    };
    v1::ImportResult { outcome: outcome.into(), ..v1::ImportResult::default() }
}

fn rejected(fault: &Fault) -> v1::ImportResult {
    v1::ImportResult {
        outcome: ImportOutcome::Rejected.into(),
        reason: fault.names().reason.into(),
        message: fault.to_string(),
        field: fault.field().unwrap_or_default().into(),
    }
}
