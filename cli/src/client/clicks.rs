//! `linkr clicks …`: how often links were clicked, as a table with bars; single clicks as they come or into a file; codes
//! that nobody has a link for; deletion; and other lists of agents.

mod events;
mod reclassify;
mod table;

use super::place::{LinkPlace, place};
use super::{call, links_of, parent};
use crate::args::{Api, ClickBy, ClickFilters, ClickOutput, Clicks, DeletedClicks};
use crate::fault::CommandFault;
use crate::out;
use prost_types::Timestamp;
use proto::client::KeyedChannel;
use proto::v1::clicks_client::ClicksClient;
use proto::v1::{self, QueryClicksResponse};
use std::io::{BufRead, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// A browser that keeps a permanent redirect for so long follows it without asking, often enough to matter.
const LONG_LIVED: u32 = 3_600;

/// Runs it.
pub async fn clicks(args: Clicks) -> Result<(), CommandFault> {
    let kinds = args.asked_kinds();
    let Clicks {
        code,
        last,
        by,
        zone,
        top,
        filters,
        watch,
        export,
        delete,
        yes,
        unknown,
        reclassify,
        server,
        ..
    } = args;
    let output = server.output;
    let server = server.into_server();
    if reclassify {
        return reclassify::reclassify(&server.api, output).await;
    }
    let link = match code {
        Some(code) => Some(place(code, &server).await?),
        None => None,
    };
    let scope = ClickScope { domain: server.domain, link };
    let api = server.api;
    if let Some(what) = delete {
        let asks = what == DeletedClicks::Domain && !yes && std::io::stdin().is_terminal();
        if asks && !agreed(&scope.domain, std::io::stdin().lock())? {
            return Err(CommandFault::new("nothing was deleted: the answer was not yes"));
        }
        return forget(&api, &scope, what, output).await;
    }
    if watch {
        return events::watch(&api, &scope, kinds, output).await;
    }
    if let Some(file) = export {
        let wanted = v1::ExportClicksRequest {
            parent: scope.parent(),
            code: scope.code(),
            start_time: Some(last.time),
            end_time: Some(SystemTime::now().into()),
            kinds,
            ..Default::default()
        };
        return events::export(&api, wanted, &file, output).await;
    }
    if unknown {
        let request = v1::ListUnknownCodesRequest {
            parent: scope.parent(),
            start_time: Some(last.time),
            limit: top,
            ..Default::default()
        };
        let ask = async |clicks: &mut Client| clicks.list_unknown_codes(request.clone()).await;
        return table::unknown(&call(&api, ClicksClient::new, ask).await?, output);
    }
    scope.warn_of_kept_redirects(&api).await;
    let question = Question { start_time: last.time, zone, by, kinds, filters, top };
    let answer = question.ask(&api, &scope).await?;
    // What is not in the table is no secret: there is a line for each kind below it.
    let besides = output == ClickOutput::Text && question.kinds.is_empty() && !question.is_by_kind();
    let kinds = if besides { Some(question.of_kinds().ask(&api, &scope).await?) } else { None };
    table::counts(&question.columns(), &answer, kinds.as_ref(), output)
}

type Client = ClicksClient<KeyedChannel>;

/// Whose clicks are asked for.
struct ClickScope {
    domain: String,
    /// Of this one alone.
    link: Option<LinkPlace>,
}

impl ClickScope {
    /// The domain's resource name.
    fn parent(&self) -> String {
        parent(self.link.as_ref().map_or(&self.domain, |link| &link.domain))
    }

    /// The link's code; empty: those of every link.
    fn code(&self) -> String {
        self.link.as_ref().map_or_else(String::new, |link| super::spelled(&link.code))
    }

    /// Says so where browsers follow the link without asking.
    async fn warn_of_kept_redirects(&self, api: &Api) {
        let Some(link) = &self.link else { return };
        let get = v1::GetLinkRequest { name: link.name() };
        // A key for clicks alone does not read links: then there is nothing to warn of.
        let Ok(found) = call(api, links_of, async |links| links.get_link(get).await).await else { return };
        if let Some(warning) = kept(&found) {
            out::note(&warning);
        }
    }
}

/// What is to be said of a link whose redirect browsers keep.
fn kept(link: &v1::Link) -> Option<String> {
    let age = link.max_age.filter(|age| *age >= LONG_LIVED && matches!(link.status, 301 | 308))?;
    let (number, unit) =
        if u64::from(age) >= DAY { (u64::from(age) / DAY, "d") } else { (u64::from(age) / 3_600, "h") };
    Some(format!(
        "browsers keep the {} of this link for {number}{unit} and follow it without asking again: those clicks reach no \
         server, and are in no count",
        link.status
    ))
}

/// A question for counts.
struct Question {
    start_time: Timestamp,
    zone: String,
    by: Vec<ClickBy>,
    kinds: Vec<String>,
    filters: ClickFilters,
    top: i32,
}

impl Question {
    fn columns(&self) -> Vec<String> {
        self.by.iter().map(|by| by.name()).collect()
    }

    fn is_by_kind(&self) -> bool {
        self.by.contains(&ClickBy::Kind)
    }

    /// The same for each kind.
    fn of_kinds(&self) -> Self {
        let (start_time, zone, filters) = (self.start_time, self.zone.clone(), self.filters.clone());
        Self { start_time, zone, by: vec![ClickBy::Kind], kinds: Vec::new(), filters, top: self.top }
    }

    async fn ask(&self, api: &Api, scope: &ClickScope) -> Result<QueryClicksResponse, CommandFault> {
        let (start_time, zone) = (Some(self.start_time), self.zone.clone());
        let (group_by, kinds, limit) = (self.columns(), self.kinds.clone(), self.top);
        let ClickFilters { tag, countries, devices, browsers, oses, referrers, languages } =
            self.filters.clone();
        if let Some(link) = &scope.link {
            let name = link.name();
            let request = v1::QueryLinkClicksRequest {
                name,
                start_time,
                zone,
                group_by,
                kinds,
                countries,
                browsers,
                oses,
                devices,
                referrers,
                languages,
                limit,
                ..Default::default()
            };
            let ask = async |clicks: &mut Client| clicks.query_link_clicks(request.clone()).await;
            return call(api, ClicksClient::new, ask).await;
        }
        let parent = scope.parent();
        let request = v1::QueryClicksRequest {
            parent,
            tag: tag.unwrap_or_default(),
            start_time,
            zone,
            group_by,
            kinds,
            countries,
            browsers,
            oses,
            devices,
            referrers,
            languages,
            limit,
            ..Default::default()
        };
        let ask = async |clicks: &mut Client| clicks.query_clicks(request.clone()).await;
        call(api, ClicksClient::new, ask).await
    }
}

/// Asks at the terminal whether the clicks of a whole domain may be deleted; the answer.
fn agreed(domain: &str, mut answer: impl BufRead) -> Result<bool, CommandFault> {
    out::note(&format!(
        "this deletes the clicks of every link of the domain {domain} for good: type yes and press Enter to go on, or anything else \
         to leave them (--yes asks nothing)"
    ));
    let mut line = String::new();
    let read = answer.read_line(&mut line);
    read.map_err(|fault| {
        CommandFault::new(format_args!("cannot read the answer from standard input: {fault}"))
    })?;
    Ok(line.trim() == "yes")
}

/// Deletes clicks for good.
async fn forget(
    api: &Api,
    scope: &ClickScope,
    what: DeletedClicks,
    output: ClickOutput,
) -> Result<(), CommandFault> {
    let (parent, code) = (scope.parent(), scope.code());
    let before = match (what, code.is_empty()) {
        (DeletedClicks::Link, false) => None,
        (DeletedClicks::Domain, true) => Some(tomorrow()),
        (DeletedClicks::Link, true) => {
            return Err(CommandFault::new(
                "--delete wants the code of the link whose clicks go; --delete=domain deletes those of every link of --domain",
            ));
        }
        (DeletedClicks::Domain, false) => {
            return Err(CommandFault::new(
                "--delete=domain is for the clicks of every link: leave the code out, or give --delete for those of one link",
            ));
        }
    };
    let request = v1::DeleteClicksRequest { parent, code, before };
    let ask = async |clicks: &mut Client| clicks.delete_clicks(request.clone()).await;
    let told = call(api, ClicksClient::new, ask).await?;
    match output {
        ClickOutput::Json => out::json(&proto::json::value(&told)),
        ClickOutput::Text | ClickOutput::Csv if told.deleted == 1 => out::line("1 click deleted"),
        ClickOutput::Text | ClickOutput::Csv => out::line(&format!("{} clicks deleted", told.deleted)),
    }
}

/// The end of today in UTC: whole days go.
fn tomorrow() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp { seconds: ((now / DAY + 1) * DAY) as i64, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_that_browsers_keep_is_told() {
        let link = |status, max_age| v1::Link { status, max_age, ..v1::Link::default() };
        let said = kept(&link(301, Some(31_536_000))).unwrap();
        assert!(said.contains("the 301") && said.contains("for 365d"), "{said}");
        assert!(kept(&link(308, Some(7_200))).unwrap().contains("for 2h"));
        for link in [link(301, Some(60)), link(302, Some(31_536_000)), link(302, None)] {
            assert_eq!(kept(&link), None);
        }
    }

    #[test]
    fn only_a_whole_yes_deletes_the_clicks_of_a_domain() {
        let of = |answer: &str| agreed("go.example", answer.as_bytes()).unwrap();
        assert_eq!(
            ["yes\n", " yes", "y\n", "", "no\n", "yes, but"].map(of),
            [true, true, false, false, false, false]
        );
    }

    #[test]
    fn whole_days_end_at_midnight() {
        let (end, now) = (tomorrow().seconds, Timestamp::from(SystemTime::now()).seconds);
        assert!(end % DAY as i64 == 0 && end > now && end - now <= DAY as i64, "{end}");
    }
}
