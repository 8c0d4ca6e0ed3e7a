//! Batches of clicks as edges send them, and roll-ups as a database gives them back: what is taken can be written again and is
//! the same then, and is within every bound. A roll-up's tally counts each of its clicks once, or none of them.

use clicks::ask::{ClickFilter, ClickGroup, Tally, TallyFault};
use clicks::batch::MAX_NO;
use clicks::batch::{
    AgentText, Batch, Loss, MAX_CLICKS, MAX_COUNT, MAX_NOTES, MAX_TEXT, Total, UnknownCode, decode, encode,
};
use clicks::rollup::{Dictionary, Rollup, Tuple};
use clicks::{Click, Country, Device, Kind, Language, LossReason};
use link::DomainId;
use std::sync::Arc;

/// The first byte says which of the two.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0..=0x7f, rest)) => batch(rest),
        Some((_, rest)) => rollup(rest),
        None => {}
    }
}

fn batch(data: &[u8]) {
    let Ok(batch) = decode(data) else { return };
    let notes = [batch.totals.len(), batch.losses.len(), batch.unknown.len(), batch.agents.len()];
    assert!(batch.clicks.len() <= MAX_CLICKS && notes.iter().all(|count| *count <= MAX_NOTES));
    assert!(batch.first_no >= 1 && batch.last_no() <= MAX_NO && batch.last_no() + 1 >= batch.first_no);
    assert_eq!(batch.last_no() + 1 - batch.first_no, batch.recorded());
    let counts =
        batch.totals.iter().map(|total| total.count).chain(batch.losses.iter().map(|loss| loss.count));
    assert!(counts.chain(batch.unknown.iter().map(|asked| asked.count)).all(|count| count <= MAX_COUNT));
    for click in &batch.clicks {
        assert!(!click.kind.is_total());
        let texts = [&click.browser, &click.os, &click.referrer];
        assert!(texts.iter().all(|text| text.len() <= MAX_TEXT));
        let letters = [click.country.as_str(), click.language.as_str()];
        assert!(letters.iter().all(|text| text.is_empty() || text.len() == 2));
    }
    if batch.fits() {
        assert_eq!(decode(&encode(&batch)), Ok(batch));
    }
}

/// Texts that are their numbers.
struct Numbers;

impl Dictionary for Numbers {
    fn number(&mut self, text: &str) -> u32 {
        text.parse().unwrap_or(0)
    }

    fn text(&self, number: u32) -> Arc<str> {
        number.to_string().into()
    }
}

fn rollup(data: &[u8]) {
    let groups = [ClickGroup::Kind, ClickGroup::Country, ClickGroup::Browser, ClickGroup::Language];
    let whole = Rollup::decode(data);
    for groups in [&groups[..0], &groups[..1], &groups] {
        let mut tally = Tally::new(&ClickFilter::default(), &[0, 1]);
        tally.by(groups, 9).expect("few groups");
        let counted = tally.rollup(1, 0, data, &Numbers);
        let found = tally.finish()[0].total;
        match (&whole, counted) {
            (Ok(rollup), Ok(())) => assert_eq!(found, rollup.total()),
            (Ok(_), Err(fault)) => assert_eq!(fault, TallyFault::TooManyRows),
            // A tally does not see every fault: it reads what it is asked for.
            (Err(_), _) => {}
        }
    }
    if let Ok(mut rollup) = whole {
        let again = Rollup::decode(&rollup.encode()).expect("it was written by us");
        assert!(again == rollup && again.total() == rollup.total());
    }
}

/// A batch with something of everything, one with many clicks, an empty one, and roll-ups of both layouts.
pub fn seeds() -> Vec<Vec<u8>> {
    let click = |number: u64| Click {
        at: 1_700_000_000_000 + number as i64,
        domain: DomainId(number as u32 % 2),
        uid: number % 7 + 1,
        version: number % 9 + 1,
        kind: Kind::ALL[number as usize % 6],
        country: Country(*[b"DE", b"US", b"\0\0"][number as usize % 3]),
        browser: ["", "Firefox", "Chrome"][number as usize % 3].into(),
        os: ["Windows 10", ""][number as usize % 2].into(),
        device: Device::ALL[number as usize % 4],
        referrer: format!("host-{}.example", number % 11).into(),
        language: Language(*[b"de", b"en"][number as usize % 2]),
        visitor: (number % 5).wrapping_mul(0x0123_4567_89ab_cdef),
        agent: (number % 13).wrapping_mul(0xfedc_ba98_7654_3211),
    };
    let some = Batch {
        clicks: (0..3).map(click).collect(),
        totals: vec![Total { domain: DomainId(1), kind: Kind::Off, minute: 28_333_333, count: 7 }],
        losses: vec![Loss { reason: LossReason::SpoolFull, minute: 28_333_333, count: 300 }],
        unknown: vec![UnknownCode {
            domain: DomainId(0),
            hour: 472_222,
            code: Some((*b"x").into()),
            count: 2,
        }],
        agents: vec![AgentText { hash: 1, text: "Mozilla/5.0".into() }],
        ..Batch::new(9, 1)
    };
    let many = Batch { clicks: (0..200).map(click).collect(), ..Batch::new(1, 1) };
    let tuple =
        |number: u32| Tuple([number % 6, number % 50, number, 3, number % 4, number % 11, number % 9]);
    let rollup = |tuples| {
        let mut rollup = Rollup::default();
        (0..tuples).for_each(|number| rollup.add_tuple(tuple(number), u64::from(number) * 3 + 1));
        [&[0x80], &rollup.encode()[..]].concat()
    };
    let batches = [some, many, Batch::new(1, 0)].map(|batch| [&[0], &encode(&batch)[..]].concat());
    [batches.to_vec(), vec![rollup(2), rollup(40)]].concat()
}
