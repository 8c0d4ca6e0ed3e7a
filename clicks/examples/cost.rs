//! What clicks cost in bytes and in time: batches, roll-ups and questions over clicks as they are drawn here, on links by
//! Zipf 0.9 over a million. Prints a table; run it with `cargo run --release -p clicks --example cost`.

use clicks::ask::{ClickFilter, ClickGroup, MAX_ROWS, QUARTER_MS, Tally};
use clicks::batch::{AgentText, Batch, decode, encode, join};
use clicks::rollup::{Dictionary, OTHER_TEXT, Rollup, Tuple};
use clicks::{Click, Country, Device, Kind, Language};
use link::DomainId;
use std::collections::HashMap;
use std::sync::Arc;

/// Unix milliseconds at which everything here begins: a quarter of an hour.
const START: i64 = 1_700_000_100_000;
const LINKS: usize = 1_000_000;

fn main() {
    let mut world = World::new();
    println!("{:<58} {:>10} {:>10}", "batches", "B/click", "ns/click");
    for (name, clicks, full) in [
        ("10,000 clicks/s, 250 ms each, stats full", 2_500, true),
        ("10,000 clicks/s, 250 ms each, stats counts", 2_500, false),
        ("25,000 clicks in one, stats full", 25_000, true),
        ("25,000 clicks in one, stats counts", 25_000, false),
        ("40 clicks in one, stats full", 40, true),
    ] {
        world.batches(name, clicks, full);
    }
    world.joined();
    println!("\n{:<58} {:>10} {:>10}", "roll-ups", "B/click", "ns/click");
    world.folds("10,000 clicks/s for 15 min, folded every 10 s", 9_000_000, 100_000);
    world.folds("100 M clicks in 30 days: 15 min, folded once", 34_722, 34_722);
    world.folds("the same, folded 90 times", 34_722, 386);
    world.folds("100 M clicks in 30 days: an hour as one", 138_888, 138_888);
    world.folds("100 M clicks in 30 days: a day as one", 3_333_333, 3_333_333);
    println!("\n{:<58} {:>10} {:>10}", "questions to the busiest of the links, 30 days", "ms", "rows");
    world.questions();
}

/// What clicks are drawn from.
struct World {
    random: u64,
    links: Zipf,
    uids: Vec<u64>,
    countries: Zipf,
    agents: Zipf,
    clients: Vec<Client>,
    referrers: Zipf,
    few: Zipf,
    hosts: Vec<Arc<str>>,
    recent: Vec<u64>,
}

struct Client {
    agent: u64,
    browser: Arc<str>,
    os: Arc<str>,
    device: Device,
    kind: Kind,
}

/// Ranks from 0 on, the first ones most often.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize, slope: f64) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=count)
                .map(|rank| {
                    sum += (rank as f64).powf(-slope);
                    sum
                })
                .collect(),
        )
    }

    fn rank(&self, random: u64) -> usize {
        let at = random as f64 / u64::MAX as f64 * self.0[self.0.len() - 1];
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

impl World {
    fn new() -> Self {
        let mut random = 0x9e37_79b9_7f4a_7c15;
        let text = |text: String| Arc::<str>::from(text);
        let browsers: Vec<_> = (0..25).map(|number| text(format!("Browser {number}"))).collect();
        let systems: Vec<_> = (0..16).map(|number| text(format!("System {number}"))).collect();
        let (of_browsers, of_systems) = (Zipf::new(25, 1.6), Zipf::new(3, 1.5));
        let clients = (0..6_000).map(|_| {
            let is_bot = next(&mut random) % 100 < 12;
            let os = of_systems.rank(next(&mut random));
            Client {
                agent: next(&mut random),
                browser: if is_bot {
                    text(String::new())
                } else {
                    browsers[of_browsers.rank(next(&mut random))].clone()
                },
                os: if is_bot { text(String::new()) } else { systems[os].clone() },
                device: if is_bot { Device::Unknown } else { Device::ALL[1 + os % 2] },
                kind: if is_bot { Kind::Bot } else { Kind::Human },
            }
        });
        let clients = clients.collect();
        let mut uids: Vec<u64> = (0..LINKS as u64).map(|uid| uid * 3 + 1).collect();
        for at in (1..uids.len()).rev() {
            uids.swap(at, next(&mut random) as usize % (at + 1));
        }
        Self {
            links: Zipf::new(LINKS, 0.9),
            uids,
            countries: Zipf::new(150, 1.6),
            agents: Zipf::new(6_000, 1.0),
            clients,
            referrers: Zipf::new(500, 1.1),
            few: Zipf::new(4, 1.5),
            hosts: (0..500).map(|number| text(format!("host-{number}.example"))).collect(),
            recent: vec![1; 4_096],
            random,
        }
    }

    /// One of the links by Zipf, or this one.
    fn click(&mut self, at: i64, full: bool, link: Option<usize>) -> Click {
        let rank = link.unwrap_or_else(|| self.links.rank(next(&mut self.random)));
        // A link has a country and a few referrers from which most of its clicks come.
        let chance = next(&mut self.random);
        let place = if chance % 10 < 6 {
            self.countries.rank((rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        } else {
            self.countries.rank(next(&mut self.random))
        };
        let client = self.agents.rank(next(&mut self.random));
        let referrer = match (chance >> 48) % 100 {
            0..50 => Arc::default(),
            50..94 => self.hosts[(rank * 7 + self.few.rank(next(&mut self.random))) % 500].clone(),
            _ => self.hosts[self.referrers.rank(next(&mut self.random))].clone(),
        };
        let language = match (chance >> 32) % 100 {
            0..80 => place % 40,
            80..97 => 0,
            _ => self.few.rank(next(&mut self.random)) * 9,
        };
        let recent = (chance >> 16) as usize % self.recent.len();
        if chance >> 8 & 7 != 0 {
            self.recent[recent] = next(&mut self.random);
        }
        let client = &self.clients[client];
        let kind = match (client.kind, chance >> 40 & 63) {
            (Kind::Human, 0..3) => Kind::Repeat,
            (Kind::Human, 3) => Kind::Preview,
            (Kind::Human, 4) => Kind::Prefetch,
            (Kind::Human, 5) => Kind::Head,
            (kind, _) => kind,
        };
        let uid = self.uids[rank];
        Click {
            at,
            domain: DomainId::DEFAULT,
            uid,
            version: if rank.is_multiple_of(10) { uid + 1_000_000 } else { uid },
            kind,
            country: Country([b'A' + (place / 26) as u8, b'A' + (place % 26) as u8]),
            browser: client.browser.clone(),
            os: client.os.clone(),
            device: client.device,
            referrer,
            language: Language([b'a' + (language / 26) as u8, b'a' + (language % 26) as u8]),
            visitor: if full { self.recent[recent] } else { 0 },
            agent: client.agent,
        }
    }

    fn batch(&mut self, first_no: u64, clicks: usize, full: bool, every_us: i64) -> Batch {
        let time = |number: i64| START + number * every_us / 1_000;
        let clicks = (0..clicks as i64).map(|number| self.click(time(first_no as i64 + number), full, None));
        Batch { clicks: clicks.collect(), ..Batch::new(first_no, 1) }
    }

    fn batches(&mut self, name: &str, clicks: usize, full: bool) {
        let rounds = (200_000 / clicks).max(4);
        let batches: Vec<_> =
            (0..rounds).map(|at| self.batch((at * clicks) as u64 + 1, clicks, full, 100)).collect();
        let count = (rounds * clicks) as f64;
        let start = Cpu::now();
        let encoded: Vec<_> = batches.iter().map(encode).collect();
        let encoding = start.ns() as f64 / count;
        let start = Cpu::now();
        let decoded: Vec<_> = encoded.iter().map(|bytes| decode(bytes).expect("it was encoded")).collect();
        let decoding = start.ns() as f64 / count;
        assert!(decoded == batches);
        let bytes: usize = encoded.iter().map(Vec::len).sum();
        println!("{:<58} {:>10.2} {:>10.0} to read: {:.0}", name, bytes as f64 / count, encoding, decoding);
    }

    /// An hour of one edge with five clicks a second, of which each second was a batch, with the agents that were new.
    fn joined(&mut self) {
        let mut known = std::collections::HashSet::new();
        let mut small = Vec::new();
        for second in 0..3_600 {
            let mut batch = self.batch(second * 5 + 1, 5, true, 200_000);
            let agents = batch.clicks.iter().map(|click| click.agent).filter(|agent| known.insert(*agent));
            let text = |hash| {
                format!(
                    "Mozilla/5.0 (Linux; Android 10; {hash:x}) AppleWebKit/537.36 Chrome/{} Safari",
                    hash % 90
                )
            };
            batch.agents = agents.map(|hash| AgentText { hash, text: text(hash) }).collect();
            small.push(batch);
        }
        let apart: usize = small.iter().map(|batch| encode(batch).len()).sum();
        let start = Cpu::now();
        let whole = join(&small).expect("they follow each other");
        let bytes = encode(&whole).len();
        let (count, took) = (whole.clicks.len() as f64, start.ns() as f64);
        println!(
            "{:<58} {:>10.2}",
            "an hour of 5 clicks/s, a batch a second, full, agents' texts",
            apart as f64 / count
        );
        println!("{:<58} {:>10.2} {:>10.0}", "the same, joined", bytes as f64 / count, took / count);
        let without = encode(&Batch { agents: Vec::new(), ..whole }).len();
        println!("{:<58} {:>10.2}", "the same, without the texts", without as f64 / count);
    }

    /// So many clicks of one span, so many a fold: what a store does, without the store.
    fn folds(&mut self, name: &str, clicks: usize, each: usize) {
        let (mut words, mut blobs) = (Words::new(), HashMap::<u64, Vec<u8>>::new());
        let mut took = 0u64;
        for _ in 0..clicks / each {
            let mut fold: Vec<Click> = (0..each).map(|_| self.click(START, false, None)).collect();
            let start = Cpu::now();
            fold.sort_by_key(|click| click.uid);
            for of_link in fold.chunk_by(|a, b| a.uid == b.uid) {
                let blob = blobs.entry(of_link[0].uid).or_default();
                let mut rollup = Rollup::default();
                of_link.iter().for_each(|click| rollup.add_tuple(Tuple::of(click, &mut words), 1));
                *blob = rollup.append_to(blob).expect("it was encoded");
            }
            took += start.ns();
        }
        let bytes: usize = blobs.values().map(Vec::len).sum();
        let whole = |blob: &Vec<u8>| Rollup::decode(blob).expect("it was encoded").encode().len();
        let (clicks, together) = (clicks as f64, blobs.values().map(whole).sum::<usize>());
        println!(
            "{:<58} {:>10.2} {:>10.0} {:.2} B once its parts are one; rows a click: {:.2}, longest: {} B",
            name,
            bytes as f64 / clicks,
            took as f64 / clicks,
            together as f64 / clicks,
            blobs.len() as f64 / clicks,
            blobs.values().map(Vec::len).max().unwrap_or(0)
        );
    }

    fn questions(&mut self) {
        let (mut words, mut blobs) = (Words::new(), Vec::new());
        let share = 1.0 / self.links.0[LINKS - 1];
        let clicks = (34_722.0 * share) as usize;
        for quarter in 0..30 * 96 {
            let (start, mut rollup) = (START + quarter * QUARTER_MS, Rollup::default());
            (0..clicks).for_each(|_| rollup.add(&self.click(start, false, Some(0)), &mut words));
            blobs.push((start, rollup.encode()));
        }
        let bytes: usize = blobs.iter().map(|(_, blob)| blob.len()).sum();
        let tuples: usize =
            blobs.iter().map(|(_, blob)| Rollup::decode(blob).map_or(0, |mut all| all.entries().len())).sum();
        println!(
            "({} quarters, each with {clicks} clicks, {} tuples and {} B)",
            blobs.len(),
            tuples / blobs.len(),
            bytes / blobs.len()
        );
        let days: Vec<i64> = (0..=30).map(|day| START + day * 86_400_000).collect();
        let quarters: Vec<i64> = (0..=30 * 96).map(|quarter| START + quarter * QUARTER_MS).collect();
        let humans = ClickFilter { kinds: vec![Kind::Human], ..ClickFilter::default() };
        let two = ClickFilter {
            countries: vec![Country(*b"AA"), Country(*b"AD")],
            browsers: vec!["Browser 1".into()],
            ..humans.clone()
        };
        let any = ClickFilter::default();
        let questions: [(&str, &ClickFilter, &[ClickGroup], &[i64]); 9] = [
            ("by day", &any, &[ClickGroup::Time], &days),
            ("by kind", &any, &[ClickGroup::Kind], &days),
            ("humans by quarter of an hour", &humans, &[ClickGroup::Time], &quarters),
            ("humans by country", &humans, &[ClickGroup::Country], &days),
            ("humans by referrer", &humans, &[ClickGroup::Referrer], &days),
            ("humans by day and country", &humans, &[ClickGroup::Time, ClickGroup::Country], &days),
            ("humans by browser and system", &humans, &[ClickGroup::Browser, ClickGroup::Os], &days),
            ("humans by country and referrer", &humans, &[ClickGroup::Country, ClickGroup::Referrer], &days),
            (
                "humans of two countries with one browser, by day, referrer",
                &two,
                &[ClickGroup::Time, ClickGroup::Referrer],
                &days,
            ),
        ];
        for (name, filter, groups, times) in questions {
            let start = Cpu::now();
            let mut tally = Tally::new(filter, times);
            tally.by(groups, MAX_ROWS).expect("few groups");
            for (start, blob) in &blobs {
                tally.rollup(1, *start, blob, &words).expect("it was encoded");
            }
            let rows: usize = tally.finish().iter().map(|counts| counts.rows.len()).sum();
            println!("{:<58} {:>10.2} {:>10}", name, start.ns() as f64 / 1e6, rows);
        }
    }
}

/// Time that this thread had a processor, so that other programs do not count. Linux only.
struct Cpu(u64);

impl Cpu {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
        Self(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number"))
    }

    fn ns(&self) -> u64 {
        Self::now().0 - self.0
    }
}

/// A step of xorshift64*.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A dictionary in memory.
struct Words {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Words {
    fn new() -> Self {
        let mut words = Self { numbers: HashMap::new(), texts: Vec::new() };
        words.number("");
        words.number(OTHER_TEXT);
        words
    }
}

impl Dictionary for Words {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let (number, text) = (self.texts.len() as u32, Arc::<str>::from(text));
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    fn text(&self, number: u32) -> Arc<str> {
        self.texts.get(number as usize).cloned().unwrap_or_default()
    }
}
