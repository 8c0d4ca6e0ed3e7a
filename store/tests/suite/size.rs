//! How much room clicks take, and how little a flood of unknown codes does.

use super::world::{DAY, DOMAIN, Edge, Folder, HOUR, START, click, fold, tidy};
use clicks::batch::UnknownCode;
use clicks::{Captured, Classified, Classifier, Click, Country, Device, Kind, Language, Texts};
use link::Stats;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use store::port::Repository;
use store::port::clicks::{AppendOutcome, UnknownQuestion};

/// Numbers without a pattern (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of so many, the first most often: about as Zipf with exponent 0.9 has it.
    fn zipf(&mut self, of: u64) -> u64 {
        let most = (of as f64).powf(0.1);
        ((1.0 + self.unit() * (most - 1.0)).powf(10.0) as u64).clamp(1, of)
    }
}

fn some(numbers: &mut Numbers, links: u64, at: i64) -> Click {
    let browsers = ["Chrome", "Safari", "Firefox", "Edge", "Opera", "Samsung Internet", ""];
    let oses = ["Windows 10", "Android", "iPhone", "Mac OSX", "Linux", ""];
    let kinds = [Kind::Human, Kind::Bot, Kind::Preview, Kind::Head, Kind::Repeat];
    Click {
        kind: kinds[(numbers.zipf(50) as usize - 1).min(kinds.len() - 1)],
        country: Country([b'A' + (numbers.zipf(26) - 1) as u8, b'E']),
        browser: browsers[numbers.zipf(browsers.len() as u64) as usize - 1].into(),
        os: oses[numbers.zipf(oses.len() as u64) as usize - 1].into(),
        device: Device::ALL[numbers.zipf(3) as usize],
        referrer: match numbers.zipf(40) {
            1..10 => "".into(),
            other => format!("{other}.example").as_str().into(),
        },
        language: Language([b'a' + (numbers.zipf(20) - 1) as u8, b'n']),
        visitor: 0,
        agent: numbers.zipf(2_000).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ..click(numbers.zipf(links), at)
    }
}

/// Pages that are in use, of the tables and of all but one.
fn bytes(folder: &Folder) -> (u64, u64) {
    let sql = "SELECT sum(CASE WHEN name = 'raw' THEN 0 ELSE pgsize END), sum(pgsize) FROM dbstat";
    let db = rusqlite::Connection::open(folder.0.join("linkr.db.clicks")).unwrap();
    db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// How many bytes a click each table takes, and how full its pages are.
fn print_tables(folder: &Folder, clicks: f64) {
    let db = rusqlite::Connection::open(folder.0.join("linkr.db.clicks")).unwrap();
    let sql = "SELECT name, sum(pgsize), sum(unused), sum(payload), sum(CASE WHEN pagetype = 'internal' THEN 0 ELSE ncell END) \
               FROM dbstat GROUP BY name ORDER BY sum(pgsize) DESC";
    let mut statement = db.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (name, size): (String, f64) = (row.get(0).unwrap(), row.get(1).unwrap());
        let (unused, payload, cells): (f64, f64, f64) =
            (row.get(2).unwrap(), row.get(3).unwrap(), row.get(4).unwrap());
        let full = 100.0 * (1.0 - unused / size);
        println!(
            "{name}: {:.2} B a click, {full:.0} % full, {cells} rows of {:.1} B",
            size / clicks,
            payload / cells
        );
    }
}

/// Bytes of a click without raw clicks and with them: of three days of a store with 100 million clicks a month on a million
/// links, a thirtieth in each dimension.
fn a_click_of(mut click: impl FnMut(&mut Numbers, i64) -> Click) -> (f64, f64) {
    const A_DAY: u64 = 110_000;
    let folder = Folder::new();
    let store = folder.sqlite();
    let (mut numbers, mut edge) = (Numbers(1), Edge::new("eu-1", 9));
    let days = 3;
    for part in 0..days * 24 * 12 {
        let begin = START + part * DAY / (24 * 12);
        let count = A_DAY / (24 * 12);
        let step = DAY / (24 * 12) / count as i64;
        let clicks = (0..count).map(|at| click(&mut numbers, begin + at as i64 * step)).collect();
        edge.send(store.clicks(), clicks, begin);
        store.clicks().fold(begin).unwrap();
    }
    fold(store.clicks(), START + days * DAY);
    tidy(store.clicks(), START + (days + 1) * DAY);
    store.close();
    let (without, with) = bytes(&folder);
    let clicks = (A_DAY / (24 * 12) * 24 * 12) as f64 * days as f64;
    print_tables(&folder, clicks);
    let (without, with) = (without as f64 / clicks, with as f64 / clicks);
    println!("{without:.1} B a click, {with:.1} with raw clicks");
    (without, with)
}

const LINKS: u64 = 33_333;

/// Bytes of a click, as above, if edges with few clicks send them: each a batch of five a second. Of 300 such edges on a million
/// links a thirtieth in each dimension, for so many hours.
fn a_click_of_small_edges(hours: i64) -> (f64, f64) {
    const EDGES: u64 = 10;
    const SECOND: i64 = 1_000;
    let folder = Folder::new();
    let store = folder.sqlite();
    let mut numbers = Numbers(3);
    let mut edges: Vec<Edge> = (0..EDGES).map(|spool| Edge::new("small", spool + 1)).collect();
    let seconds = hours * HOUR / SECOND;
    for second in 0..seconds {
        let now = START + second * SECOND;
        let mut clicks = || (0..5).map(|at| some(&mut numbers, LINKS, now + at * 200)).collect();
        let offered: Vec<_> =
            edges.iter_mut().map(|edge| edge.batch(|batch| batch.clicks = clicks())).collect();
        let outcomes = store.clicks().append(&offered, now).unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Taken(_))), "{outcomes:?}");
        if second % 10 == 9 {
            fold(store.clicks(), now);
        }
    }
    fold(store.clicks(), START + hours * HOUR);
    tidy(store.clicks(), START + 2 * DAY);
    store.close();
    let (without, with) = bytes(&folder);
    let clicks = (EDGES * 5) as f64 * seconds as f64;
    print_tables(&folder, clicks);
    let (without, with) = (without as f64 / clicks, with as f64 / clicks);
    println!("{without:.1} B a click, {with:.1} with raw clicks, {clicks} clicks");
    (without, with)
}

#[test]
fn small_batches_take_no_more_room_once_they_are_joined() {
    let (without, with) = a_click_of_small_edges(1);
    assert!(without <= 20.0 && with <= 40.0, "{without:.1} B a click, {with:.1} with raw clicks");
}

#[test]
#[ignore = "measures a day of small batches: LINKR_MEASURE=1, alone, in release"]
fn a_day_of_small_batches_takes_no_more_room_once_they_are_joined() {
    if std::env::var_os("LINKR_MEASURE").is_none() {
        println!("SKIPPED: it measures; LINKR_MEASURE=1 runs it");
        return;
    }
    let (without, with) = a_click_of_small_edges(24);
    assert!(without <= 20.0 && with <= 40.0, "{without:.1} B a click, {with:.1} with raw clicks");
}

/// What clicks have in common is drawn dimension by dimension here, so that hardly two are alike: more room than people's take.
#[test]
fn a_click_takes_at_most_40_bytes_with_raw_clicks_and_20_without() {
    let (without, with) = a_click_of(|numbers, at| some(numbers, LINKS, at));
    assert!(without <= 20.0 && with <= 40.0, "{without:.1} B a click, {with:.1} with raw clicks");
}

/// The clicks of links, those of the most clicked link first, as real visits had them.
fn real_clicks() -> Option<Vec<Vec<Click>>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let file = workspace.parent()?.join("shared/data/visits/visits.jsonl.zst");
    if !file.exists() {
        println!("SKIPPED: there are no visits at ../shared");
        return None;
    }
    let Ok(unpacked) = Command::new("zstdcat").arg(&file).output() else {
        println!("SKIPPED: there is no zstdcat");
        return None;
    };
    let (mut classifier, mut texts, mut links) = (Classifier::new(), Agents::default(), HashMap::new());
    for line in String::from_utf8(unpacked.stdout).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap_or_default();
        let host = field("referrer").split('/').nth(2).unwrap_or_default();
        let mut language = [0; 8];
        let length = field("language").len().min(8);
        language[..length].copy_from_slice(&field("language").as_bytes()[..length]);
        let captured = Captured {
            agent: texts.hash(field("agent")),
            referrer: texts.hash(host),
            language,
            ..Captured::default()
        };
        let country = field("country").as_bytes().try_into().map(Country).unwrap_or_default();
        let click = classifier.click(&captured, &texts, |_| 0, country, Stats::Full);
        let Classified::Click(click) = click else { panic!("a total of a domain that has statistics") };
        links.entry(field("code").to_owned()).or_insert_with(Vec::new).push(click);
    }
    let mut links: Vec<_> = links.into_iter().collect();
    links.sort_by_key(|(code, clicks)| (std::cmp::Reverse(clicks.len()), code.clone()));
    Some(links.into_iter().map(|(_, clicks)| clicks).collect())
}

/// Texts of visits by their hashes.
#[derive(Default)]
struct Agents(HashMap<u64, String>);

impl Agents {
    fn hash(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let hash = clicks::hash(text.as_bytes());
        self.0.entry(hash).or_insert_with(|| text.to_owned());
        hash
    }
}

impl Texts for Agents {
    fn text(&self, hash: u64) -> Option<&[u8]> {
        self.0.get(&hash).map(String::as_bytes)
    }
}

/// As above, but each link is clicked as one of the real links was. Of the domain's clicks either none has a visitor, as is
/// usual, or each has one of his own, which is most that there can be.
#[test]
fn a_click_of_real_visits_takes_less() {
    let Some(links) = real_clicks() else { return };
    for visitors in [false, true] {
        let (without, with) = a_click_of(|numbers, at| {
            let uid = numbers.zipf(LINKS);
            let of = &links[(uid - 1) as usize % links.len()];
            let like = &of[(numbers.next() % of.len() as u64) as usize];
            let visitor = if visitors { numbers.next() } else { 0 };
            Click { at, uid, domain: DOMAIN, visitor, ..like.clone() }
        });
        assert!(without <= 20.0 && with <= 40.0, "{without:.1} B a click, {with:.1} with raw clicks");
    }
}

/// 1,000 unknown codes a second, each another one, for an hour: what an edge names of them in ten seconds is folded at once.
#[test]
fn an_hour_of_unknown_codes_grows_the_store_by_at_most_a_megabyte() {
    let folder = Folder::new();
    let store = folder.sqlite();
    let (mut numbers, mut edge) = (Numbers(2), Edge::new("eu-1", 9));
    for fold in 0..360_i64 {
        let offered = edge.batch(|batch| {
            let unknown = |code: Option<Box<[u8]>>, count| UnknownCode {
                domain: DOMAIN,
                hour: START / HOUR,
                code,
                count,
            };
            batch.unknown = (0..1_000)
                .map(|_| unknown(Some(format!("{:x}", numbers.next()).into_bytes().into()), 1))
                .collect();
            batch.unknown.push(unknown(None, 9_000));
        });
        store.clicks().append(&[offered], START + fold * 10_000).unwrap();
        store.clicks().fold(START + fold * 10_000).unwrap();
    }
    let asked = UnknownQuestion { domain: DOMAIN, from: START, until: START + HOUR, most: 10 };
    assert_eq!(store.clicks().unknown_codes(&asked).unwrap().total, 3_600_000);
    store.close();
    let size = std::fs::metadata(folder.0.join("linkr.db.clicks")).unwrap().len();
    assert!(size <= 1 << 20, "{size} bytes");
}
