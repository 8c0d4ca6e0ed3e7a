//! Requests as they were recorded: the real clicks, with and without what the log would push, and two traces.

use hot::StoredValue;
use link::{Link, LinkParts, Target};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// Something that can be held.
pub struct Object {
    pub key: Vec<u8>,
    pub value: StoredValue,
}

/// One step.
#[derive(Clone, Copy)]
pub enum Event {
    /// A request for the object with this number.
    Asked(u32),
    /// The log says that it was made.
    Pushed(u32),
}

impl Event {
    pub fn object(self) -> usize {
        let (Self::Asked(object) | Self::Pushed(object)) = self;
        object as usize
    }
}

/// What happens, in order.
#[derive(Default)]
pub struct Requests {
    pub objects: Vec<Object>,
    pub events: Vec<Event>,
}

type TraceReader = fn(&Path) -> Result<Requests, String>;

/// By name.
pub const ALL: [(&str, TraceReader); 5] = [
    ("clicks, filled on demand", |shared| clicks(shared, None)),
    ("clicks, new links pushed", |shared| clicks(shared, Some(0))),
    ("clicks, and 20 never clicked pushed with each", |shared| clicks(shared, Some(20))),
    ("web07", |shared| trace(shared, "web07")),
    ("orm-night", |shared| trace(shared, "orm-night")),
];

impl Requests {
    fn add(&mut self, code: &str, target: &str) -> u32 {
        let target = Target::given(target, &["ftp".into()])
            .ok()
            .and_then(|target| Link::new(LinkParts::to(target)).ok());
        let value = target.map_or(StoredValue::Quarantined, StoredValue::live);
        self.objects.push(Object { key: [&[0; 4], code.as_bytes()].concat(), value });
        self.objects.len() as u32 - 1 // less than a million
    }

    /// The numbers of the objects that are asked for, each once.
    pub fn asked(&self) -> impl Iterator<Item = usize> {
        let mut asked = vec![false; self.objects.len()];
        for event in &self.events {
            if let Event::Asked(object) = event {
                asked[*object as usize] = true;
            }
        }
        asked.into_iter().enumerate().filter_map(|(object, asked)| asked.then_some(object))
    }
}

/// What `program` makes of the file.
fn unpacked(program: &str, file: &Path) -> Result<Vec<u8>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{program} {}: {why}", file.display());
    let output = Command::new(program).arg("-dc").arg(file).output().map_err(|fault| wrong(&fault))?;
    if !output.status.success() {
        return Err(wrong(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(output.stdout)
}

/// The clicks. `pushed`: each link that was made during them is pushed then, and before it so many that nobody clicks.
fn clicks(shared: &Path, pushed: Option<u32>) -> Result<Requests, String> {
    let wrong = |fault: csv::Error| fault.to_string();
    let links = unpacked("zstd", &shared.join("clicks/links.csv.zst"))?;
    let (mut requests, mut numbers, mut made) = (Requests::default(), HashMap::new(), Vec::new());
    for row in csv::Reader::from_reader(&*links).deserialize::<(String, String, String)>() {
        let (code, target, time) = row.map_err(wrong)?;
        let number = requests.add(&code, &target);
        numbers.insert(code, number);
        made.push((seconds(&time).ok_or_else(|| format!("no time: {time}"))?, number));
    }
    let clicks = unpacked("zstd", &shared.join("clicks/clicks.csv.zst"))?;
    let mut clicked = Vec::new();
    for row in csv::Reader::from_reader(&*clicks).deserialize::<(i64, String)>() {
        let (time, code) = row.map_err(wrong)?;
        clicked.push((time, *numbers.get(&code).ok_or_else(|| format!("no link: {code}"))?));
    }
    let first = clicked.first().map_or(0, |(time, _)| *time);
    made.retain(|(time, _)| pushed.is_some() && *time > first);
    made.sort_unstable();
    let mut made = made.into_iter().peekable();
    for (time, number) in clicked {
        while let Some((_, new)) = made.next_if(|(made, _)| *made <= time) {
            for _ in 0..pushed.unwrap_or(0) {
                let never = requests.add(&format!("{:07}", requests.objects.len()), &of_mean_length());
                requests.events.push(Event::Pushed(never));
            }
            requests.events.push(Event::Pushed(new));
        }
        requests.events.push(Event::Asked(number));
    }
    Ok(requests)
}

/// A trace of big-endian 32-bit keys.
fn trace(shared: &Path, name: &str) -> Result<Requests, String> {
    let bytes = unpacked("xz", &shared.join(format!("traces/{name}.trace.xz")))?;
    let (mut requests, mut numbers) = (Requests::default(), HashMap::new());
    for key in bytes.chunks_exact(4) {
        let number = *numbers
            .entry(key)
            .or_insert_with(|| requests.add(&format!("{:07}", requests.objects.len()), &of_mean_length()));
        requests.events.push(Event::Asked(number));
    }
    Ok(requests)
}

/// A target of 87 bytes: the mean of the real ones.
fn of_mean_length() -> String {
    format!("https://www.example.com/{}", "a".repeat(63))
}

/// Unix time of an RFC 3339 time in UTC, to the second: `2013-01-31T12:00:00Z`.
fn seconds(time: &str) -> Option<i64> {
    let part = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) }; // from March on
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(days * 86_400 + part(11, 13)? * 3600 + part(14, 16)? * 60 + part(17, 19)?)
}
