//! Writes what was found: a redirect, or a page that says why there is none.

use crate::response::{self, ResponseOptions, Stamp};
use crate::{Absence, DomainTarget, EntryState, Outcome, Site};
use link::{Resolution, Visit, VisitorRequest, redirect};

/// What a link's answer is written with, besides the link.
pub(super) struct RedirectContext<'a> {
    pub site: &'a Site,
    pub visit: Visit<'a>,
    pub now: i64,
    pub stamp: &'a Stamp,
    pub extra: &'a ResponseOptions<'a>,
}

impl RedirectContext<'_> {
    pub fn write(&self, found: EntryState<'_>, stale: bool, out: &mut Vec<u8>) -> Outcome {
        let answer = match found {
            EntryState::Live(link) => redirect(&link, VisitorRequest { query: self.visit.query }, self.now),
            EntryState::Deleted => Resolution::Gone,
            EntryState::Absent(Absence::Certain) => Resolution::NotYet,
            EntryState::Quarantined | EntryState::Absent(Absence::Unknown) => {
                return self.write_unavailable(out);
            }
        };
        match answer {
            Resolution::To(to) if self.extra.sends && !to.status.keeps_method() => {
                response::write_method_not_allowed(out, self.stamp, self.extra);
                Outcome::Method
            }
            Resolution::To(to) => {
                response::write_redirect(out, &to, self.stamp, self.extra);
                Outcome::Redirect
            }
            Resolution::Gone => self.write_gone(out),
            Resolution::Expired(own) => self.write_expired(own, stale, out),
            Resolution::NotYet => self.write_not_found(stale, out),
        }
    }

    fn write_gone(&self, out: &mut Vec<u8>) -> Outcome {
        response::write_gone(out, self.stamp, self.extra);
        Outcome::Gone
    }

    /// `own`: where the link leads then, which goes before what its domain says.
    #[cold]
    fn write_expired(&self, own: Option<&[u8]>, stale: bool, out: &mut Vec<u8>) -> Outcome {
        match (own, &self.site.expired) {
            // A 302 would make a GET of it.
            _ if self.extra.sends => return self.write_gone(out),
            (Some(own), _) => {
                response::write_lead(out, |out| out.extend_from_slice(own), stale, self.stamp, self.extra);
            }
            (None, Some(lead)) => self.write_lead(lead, stale, out),
            (None, None) => return self.write_gone(out),
        }
        Outcome::Expired
    }

    pub fn write_not_found(&self, stale: bool, out: &mut Vec<u8>) -> Outcome {
        match &self.site.not_found {
            // A 302 would make a GET of it.
            Some(lead) if !self.extra.sends => self.write_lead(lead, stale, out),
            _ => response::write_not_found(out, stale, self.stamp, self.extra),
        }
        Outcome::NotFound
    }

    pub fn write_lead(&self, lead: &DomainTarget, stale: bool, out: &mut Vec<u8>) {
        response::write_lead(out, |out| lead.write(self.visit, out), stale, self.stamp, self.extra);
    }

    #[cold]
    pub fn write_unavailable(&self, out: &mut Vec<u8>) -> Outcome {
        response::write_unavailable(out, self.stamp, self.extra);
        Outcome::Unavailable
    }
}
