//! Resident bytes a link of the real set, at sizes over one doubling of its table: `cargo run --release -p benches --bin
//! memory`. Each figure is of a process of its own, which is compared with itself before it had a set.

use hot::{Set, StoredValue, TierReading};
use link::{Code, DomainId, Epoch, Key, Link, LinkParts, Position, Target};
use std::process::{Command, exit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 8] = [900_000, 950_000, 1_000_000, 1_200_000, 1_400_000, 1_600_000, 1_800_000, 1_900_000];
const CODE: usize = 7;
/// Bytes of a target: with the code 107 bytes a link.
const TARGET: usize = 100;
const EPOCH: Epoch = Epoch { counter: 1, random: 1 };

/// What the links are like, and how they come.
const KINDS: [(&str, &str); 4] = [
    ("walk", "107 bytes each, walked"),
    ("feed", "107 bytes each, followed"),
    ("varied", "67 to 147 bytes, walked"),
    ("full", "107 bytes each, walked, and as many again for which there is no room"),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => all(),
        [kind, links] => println!("{}", one(kind, links.parse().expect("a number"))),
        _ => {
            eprintln!("usage: memory [{} LINKS]", KINDS.map(|(kind, _)| kind).join("|"));
            exit(2);
        }
    }
}

fn all() {
    let own = std::env::current_exe().expect("this program");
    for (kind, meaning) in KINDS {
        println!("{meaning}:");
        let mut worst = (0.0, 0);
        for links in SIZES {
            let child = Command::new(&own).args([kind, &links.to_string()]).output().expect("a process");
            assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
            let line = String::from_utf8(child.stdout).expect("text");
            let resident: f64 = line.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
            println!("{links:>9} links: {}", line.trim_end());
            worst = if resident > worst.0 { (resident, links) } else { worst };
        }
        println!("{:>9} worst: {:.1} resident bytes a link, at {} links", "", worst.0, worst.1);
    }
}

/// What one size comes to, in words that begin with the resident bytes a link.
fn one(kind: &str, links: u32) -> String {
    drop(vec![1u8; 1 << 20]); // the allocator is there
    let before = resident();
    let budget = if kind == "full" { links as usize * BUDGETED } else { 4 << 30 };
    let (set, more) = (Set::new(budget), if kind == "full" { links } else { 0 });
    set.reset(Position { epoch: EPOCH, seq: u64::from(links), tag: 1 });
    for number in 0..links + more {
        let (key, value) = (key(number), link(number, kind == "varied"));
        if kind == "feed" {
            set.apply(key.as_bytes(), u64::from(links) + u64::from(number) + 1, Some(&value));
        } else {
            let (as_of, version) = (u64::from(links), u64::from(number) + 1);
            let told = TierReading { epoch: EPOCH, as_of: as_of.max(version), version, value: Some(&value) };
            set.load(key.as_bytes(), &told);
        }
    }
    assert!(more > 0 || set.entries() == links as usize);
    assert_eq!(set.evictions() > 0, more > 0, "{} entries", set.entries());
    let held = set.entries() as f64;
    let (resident, own) = ((resident() - before) as f64 / held, set.bytes() as f64 / held);
    let off = (own / resident - 1.0) * 100.0;
    format!("{resident:.1} resident bytes a link; its own count {own:.1} ({off:+.1} %); {held} links held")
}

/// Bytes of budget for each link of a set that is to be full.
const BUDGETED: usize = 160;

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number");
    pages * 4096
}

fn key(number: u32) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(&format!("{number:0CODE$}")).expect("a code"))
}

fn link(number: u32, varied: bool) -> StoredValue {
    let length = TARGET - 40 + if varied { number as usize * 7919 % 81 } else { 40 };
    let target = format!("https://www.example.com/{number:0width$}", width = length - 24);
    let target = Target::stored(target.as_bytes()).expect("a target");
    StoredValue::live(Link::new(LinkParts::to(target)).expect("a link"))
}
