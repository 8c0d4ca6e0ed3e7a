//! `gen-clicks`: a store with so many clicks on links that it will hold, to ask it about them.

use bytes::Bytes;
use clicks::batch::{AgentText, Batch, encode};
use clicks::ledger::Offer;
use clicks::{CLASSIFIER, Click, Country, Device, Kind, Language};
use link::{DomainId, Seq};
use services::{Random, Zipf};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use store::port::Repository;
use store::port::clicks::{AppendOutcome, Appended, BatchSender, ClickStore};
use store::postgres::{self, Postgres};
use store::sqlite::{Options, Sqlite};

/// The exponent by which few links have most of the clicks.
const ZIPF: f64 = 0.9;
const EDGES: u64 = 8;
/// Clicks of one batch.
const BATCH: u64 = 4_096;
const DAY: i64 = 86_400_000;
/// How many different ones there are; they are drawn by the same exponent.
const COUNTRIES: usize = 155;
const REFERRERS: usize = 2_000;
const AGENTS: usize = 5_000;
const BROWSERS: [&str; 8] =
    ["Chrome", "Safari", "Firefox", "Edge", "Opera", "Internet Explorer", "Vivaldi", ""];
const SYSTEMS: [&str; 7] = ["Windows 10", "Android", "iPhone", "Mac OSX", "Linux", "iPad", ""];
const LANGUAGES: [&[u8; 2]; 10] = [b"en", b"es", b"de", b"fr", b"pt", b"it", b"ja", b"nl", b"pl", b"ru"];
/// Of a hundred clicks.
const KINDS: [(Kind, u32); 5] =
    [(Kind::Human, 72), (Kind::Bot, 17), (Kind::Head, 5), (Kind::Preview, 4), (Kind::Prefetch, 2)];

/// Writes them into a file of SQLite, or into the database of PostgreSQL with this URL: the clicks of the last `days`, on the
/// links with the uids 1 to `links`, as an import into an empty store gives them out. `first`: about so many of them are on the
/// link with the uid 1.
pub fn generate(clicks: &str, links: &str, days: &str, to: &str, first: &str) -> Result<(), String> {
    let number = |text: &str, most: u64| {
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("{text}: a number from 1 to {most}"))
    };
    let (clicks, links, days) = (number(clicks, 1 << 32)?, number(links, 10_000_000)?, number(days, 1_000)?);
    let first = if first == "0" { 0 } else { number(first, clicks)? };
    let is_file = !to.starts_with("postgres://");
    let store: Box<dyn Repository> = if is_file {
        Box::new(Sqlite::open(Path::new(to), Options::default()).map_err(|fault| fault.to_string())?)
    } else {
        Box::new(Postgres::open(&postgres::Options { url: to.to_owned(), ..postgres::Options::default() })?)
    };
    let now = now();
    let plan = ClickPlan { clicks, links, first, from: now - days as i64 * DAY, until: now };
    let done = plan.write(store.clicks(), |done| println!("{done} clicks"));
    store.close();
    // There may be a password in a URL.
    let place = if is_file { to } else { "the database" };
    done.map(|()| println!("{place}: {clicks} clicks on {links} links in {days} days"))
}

/// Unix milliseconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// Which clicks.
struct ClickPlan {
    clicks: u64,
    links: u64,
    /// Of them, on the first link.
    first: u64,
    from: i64,
    until: i64,
}

impl ClickPlan {
    /// Writes them in the order of their times, as edges and a control would, and folds them.
    fn write(&self, store: &dyn ClickStore, mut told: impl FnMut(u64)) -> Result<(), String> {
        let mut source = ClickSource::new(self.links, self.first as f64 / self.clicks as f64);
        let mut spools: Vec<WrittenSpool> = (0..EDGES).map(WrittenSpool::new).collect();
        let (mut done, mut tidied) = (0, self.from);
        while done < self.clicks {
            let mut offered = Vec::new();
            let mut now = self.from;
            for spool in &mut spools {
                let count = BATCH.min(self.clicks - done);
                if count > 0 {
                    let time = |number: u64| {
                        let part =
                            u128::from(number) * (self.until - self.from) as u128 / u128::from(self.clicks);
                        self.from + part as i64
                    };
                    let clicks = (done..done + count).map(|number| source.click(time(number))).collect();
                    offered.push(spool.batch(clicks, &source));
                    done += count;
                    now = time(done - 1);
                }
            }
            taken(&store.append(&offered, now).map_err(|fault| fault.to_string())?)?;
            while store.fold(now).map_err(|fault| fault.to_string())?.more {}
            if now - tidied >= DAY {
                tidied = now;
                while store.tidy(now).map_err(|fault| fault.to_string())? {}
            }
            if done.is_multiple_of(1 << 20) {
                told(done);
            }
        }
        Ok(())
    }
}

fn taken(outcomes: &[AppendOutcome]) -> Result<(), String> {
    outcomes.iter().try_for_each(|outcome| match outcome {
        AppendOutcome::Want(seq) => Err(format!("the store wants batch {seq}, which it has")),
        AppendOutcome::Refused(why) => Err(why.clone()),
        _ => Ok(()),
    })
}

/// The spool of one edge.
struct WrittenSpool {
    edge: Arc<str>,
    id: u64,
    seq: u64,
    last_no: u64,
    /// Of the agents, those whose texts were sent.
    sent: Vec<bool>,
}

impl WrittenSpool {
    fn new(number: u64) -> Self {
        Self {
            edge: format!("edge-{number}").into(),
            id: Random::of(number, 1).next(),
            seq: 0,
            last_no: 0,
            sent: vec![false; AGENTS],
        }
    }

    fn batch(&mut self, clicks: Vec<Click>, source: &ClickSource) -> Appended {
        let mut batch = Batch::new(self.last_no + 1, CLASSIFIER);
        for click in &clicks {
            let number = (click.agent - 1) as usize;
            if !std::mem::replace(&mut self.sent[number], true) {
                batch.agents.push(AgentText { hash: click.agent, text: source.agents[number].clone() });
            }
        }
        batch.clicks = clicks;
        self.seq += 1;
        let offer = Offer { seq: self.seq, first_no: batch.first_no, last_no: batch.last_no(), first: false };
        self.last_no = batch.last_no();
        let bytes = Bytes::from(encode(&batch));
        let sender = BatchSender { edge: Arc::clone(&self.edge), key: "".into(), bound: false };
        Appended { sender, spool: self.id, offer, batch: Arc::new(batch), bytes }
    }
}

/// Where clicks come from: the same numbers give the same clicks.
struct ClickSource {
    random: Random,
    /// Uids, the most clicked first.
    links: Vec<Seq>,
    by_link: Zipf,
    /// How many of all clicks are on the link with the uid 1.
    first: f64,
    countries: Zipf,
    referrers: (Vec<Arc<str>>, Zipf),
    browsers: (Vec<Arc<str>>, Zipf),
    systems: (Vec<Arc<str>>, Zipf),
    languages: Zipf,
    agents: Vec<String>,
    by_agent: Zipf,
}

impl ClickSource {
    fn new(links: u64, first: f64) -> Self {
        let mut random = Random::of(1, 2);
        let mut uids: Vec<Seq> = (1..=links).collect();
        for at in (1..uids.len()).rev() {
            uids.swap(at, random.below(at + 1));
        }
        let texts = |texts: &[&str]| {
            let texts: Vec<Arc<str>> = texts.iter().map(|text| Arc::from(*text)).collect();
            let zipf = Zipf::new(texts.len(), ZIPF);
            (texts, zipf)
        };
        let referrers: Vec<Arc<str>> =
            (0..REFERRERS).map(|number| Arc::from(format!("site-{number}.example"))).collect();
        let agent = |number| {
            format!("Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Gecko/20100101 Firefox/{number}.0")
        };
        Self {
            by_link: Zipf::new(uids.len(), ZIPF),
            links: uids,
            first,
            countries: Zipf::new(COUNTRIES, ZIPF),
            referrers: (referrers, Zipf::new(REFERRERS, ZIPF)),
            browsers: texts(&BROWSERS),
            systems: texts(&SYSTEMS),
            languages: Zipf::new(LANGUAGES.len(), ZIPF),
            agents: (0..AGENTS).map(agent).collect(),
            by_agent: Zipf::new(AGENTS, ZIPF),
            random,
        }
    }

    fn click(&mut self, at: i64) -> Click {
        let random = &mut self.random;
        let is_first = self.first > 0.0 && random.unit() < self.first;
        let uid = if is_first { 1 } else { self.links[self.by_link.draw(random)] };
        let country = self.countries.draw(random) as u8;
        let mut draw = |(texts, zipf): &(Vec<Arc<str>>, Zipf)| Arc::clone(&texts[zipf.draw(random)]);
        let (browser, os, referrer) = (draw(&self.browsers), draw(&self.systems), draw(&self.referrers));
        let mobile = ["Android", "iPhone", "iPad"].contains(&&*os);
        let mut part = random.below(100u32);
        let kind = KINDS.iter().find(|(_, share)| {
            let is_it = part < *share;
            part = part.saturating_sub(*share);
            is_it
        });
        Click {
            at,
            domain: DomainId::DEFAULT,
            uid,
            version: uid,
            kind: kind.map_or(Kind::Human, |(kind, _)| *kind),
            country: Country([b'A' + country / 26, b'A' + country % 26]),
            browser,
            device: if os.is_empty() {
                Device::Unknown
            } else if mobile {
                Device::Mobile
            } else {
                Device::Desktop
            },
            os,
            referrer,
            language: Language(*LANGUAGES[self.languages.draw(random)]),
            visitor: 0,
            agent: self.by_agent.draw(random) as u64 + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::port::clicks::{ClickQuestion, TopQuestion};

    #[test]
    fn a_store_counts_what_was_generated() {
        let dir = std::env::temp_dir().join(format!("linkr-gen-clicks-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("linkr.db");
        generate("70000", "500", "3", &file.to_string_lossy(), "30000").unwrap();
        let store = Sqlite::open(&file, Options::default()).unwrap();
        let until = now() + DAY;
        let question = ClickQuestion { until, most: 10, ..ClickQuestion::default() };
        assert_eq!(store.clicks().counts(&question).unwrap().total, 70_000);
        let kinds = Kind::ALL.to_vec();
        let top = TopQuestion { domain: DomainId::DEFAULT, from: 0, until, kinds, links: None, most: 3 };
        let top = store.clicks().top_links(&top).unwrap();
        assert_eq!(top.links[0].uid, 1);
        assert!((29_000..32_000).contains(&top.links[0].count), "{top:?}");
        // By the exponent the first of 500 has about a ninth of the others.
        assert!(top.links[1].count > 3_000 && top.links[1].count > top.links[2].count, "{top:?}");
        store.close();
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for (clicks, links, days, first) in
            [("0", "1", "1", "0"), ("1", "many", "1", "0"), ("1", "1", "1001", "0"), ("1", "1", "1", "2")]
        {
            let refused = generate(clicks, links, days, "/nowhere/file", first).unwrap_err();
            assert!(refused.contains("from 1 to"), "{refused}");
        }
    }
}
