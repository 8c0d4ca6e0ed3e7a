//! How much room clicks take, and how little a flood of unknown codes does.

use super::world::{DAY, DOMAIN, Edge, Folder, HOUR, START, click, fold, tidy};
use clicks::batch::UnknownCode;
use clicks::{Click, Country, Device, Kind, Language};
use store::port::Repository;
use store::port::clicks::UnknownQuestion;

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

/// The day of a store with 100 million clicks a month on a million links, a thirtieth in each dimension.
#[test]
fn a_click_takes_at_most_40_bytes_with_raw_clicks_and_20_without() {
    const LINKS: u64 = 33_333;
    const A_DAY: u64 = 110_000;
    let folder = Folder::new();
    let store = folder.sqlite();
    let (mut numbers, mut edge) = (Numbers(1), Edge::new("eu-1", 9));
    let days = 3;
    for part in 0..days * 24 * 12 {
        let begin = START + part * DAY / (24 * 12);
        let count = A_DAY / (24 * 12);
        let step = DAY / (24 * 12) / count as i64;
        let clicks = (0..count).map(|at| some(&mut numbers, LINKS, begin + at as i64 * step)).collect();
        edge.send(store.clicks(), clicks, begin);
        store.clicks().fold(begin).unwrap();
    }
    fold(store.clicks(), START + days * DAY);
    tidy(store.clicks(), START + (days + 1) * DAY);
    store.close();
    let (without, with) = bytes(&folder);
    let clicks = (A_DAY / (24 * 12) * 24 * 12) as f64 * days as f64;
    let (without, with) = (without as f64 / clicks, with as f64 / clicks);
    println!("{without:.1} B a click, {with:.1} with raw clicks");
    assert!(without <= 20.0 && with <= 40.0, "{without:.1} B a click, {with:.1} with raw clicks");
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
