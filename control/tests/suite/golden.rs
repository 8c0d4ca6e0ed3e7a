//! Every call of REST as it was asked and answered, byte by byte: requests and answers stand in one file, `golden.txt`.
//! What a run draws or reads from a clock has a name there.

use super::keys::locked;
use super::world::{Folder, World};
use axum::http::HeaderMap;
use control::keys::{KeyDraft, mint};
use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;
use store::sqlite::{Options, Sqlite};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/golden.txt");
/// What the connection adds to an answer.
/// And what is left of a key's allowance, which hangs on how quickly the test goes.
const OF_THE_CONNECTION: [&str; 5] =
    ["date", "content-length", "transfer-encoding", "connection", "ratelimit"];

/// Texts that differ from run to run, and what they are called in the file.
#[derive(Default)]
struct Placeholders(Vec<(String, String)>);

impl Placeholders {
    fn call(&mut self, text: &str, kind: &str) {
        if !self.0.iter().any(|(own, _)| own == text) {
            let number = self.0.iter().filter(|(_, name)| name.starts_with(&format!("<{kind}"))).count() + 1;
            self.0.push((text.to_owned(), format!("<{kind}{number}>")));
        }
    }

    fn real(&self, request: &str) -> String {
        let named = self.0.iter().fold(request.to_owned(), |text, (own, name)| text.replace(name, own));
        repeated(&named)
    }

    fn shown(&mut self, answer: &str) -> String {
        let mut answer = timeless(answer);
        for (before, length, kind) in [("keys/", 16, "key"), ("\"secret\":\"", 0, "secret")] {
            for (at, _) in answer.clone().match_indices(before) {
                let behind = &answer[at + before.len()..];
                let end = behind.find(['"', '/', ' ', ',']).unwrap_or(behind.len());
                let hex = behind[..end].bytes().all(|b| b.is_ascii_hexdigit());
                if length == 0 || (end == length && hex) {
                    let text = behind[..end].to_owned();
                    self.call(&text, kind);
                }
            }
        }
        if let Some((_, behind)) = answer.split_once("\"next_page_token\":\"") {
            let token = behind.split('"').next().unwrap_or_default().to_owned();
            if token.len() > 8 {
                self.call(&token, "token");
            }
        }
        for (text, name) in &self.0 {
            answer = answer.replace(text.as_str(), name);
        }
        answer
    }
}

/// `<x*3>` is `xxx`.
fn repeated(text: &str) -> String {
    let mut parts = text.split('<');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let made = part.split_once('>').and_then(|(inside, rest)| {
            let (one, times) = inside.rsplit_once('*')?;
            Some(one.repeat(times.parse().ok()?) + rest)
        });
        whole.push_str(&made.unwrap_or_else(|| format!("<{part}")));
    }
    whole
}

/// Times of this run and of the month behind it.
fn timeless(text: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let (mut left, mut whole) = (text, String::new());
    while let Some(at) = left.find("20") {
        let (before, from) = left.split_at(at);
        whole.push_str(before);
        let end = from.find('Z').filter(|end| (19..31).contains(end)).map_or(0, |end| end + 1);
        let time = from.get(..end).and_then(|text| text.parse::<prost_types::Timestamp>().ok());
        let near = time.is_some_and(|time| (-3_600..32 * 86_400).contains(&(time.seconds - now)));
        let end = if near { end } else { 2 };
        whole.push_str(if near { "<time>" } else { "20" });
        left = &from[end..];
    }
    whole + left
}

fn headers(all: &HeaderMap) -> String {
    let mut lines: Vec<String> = all
        .iter()
        .filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()))
        .map(|(name, value)| format!("< {name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.concat()
}

/// Asks what stands behind `> ` and writes the answer below it.
async fn replayed(world: &World, secret: &str, names: &mut Placeholders, request: &[&str]) -> String {
    let mut text = request.iter().fold(String::new(), |text, line| text + "> " + line + "\n");
    let real: Vec<String> = request.iter().map(|line| names.real(line)).collect();
    let (call, rest) = real.split_first().expect("a request begins with its line");
    let bearer = format!("Bearer {secret}");
    let is_header =
        |line: &&String| line.split_once(": ").is_some_and(|(name, _)| !name.contains(['{', '"']));
    let given: Vec<(&str, &str)> =
        rest.iter().filter(is_header).filter_map(|line| line.split_once(": ")).collect();
    let mut all = vec![("x-request-id", "golden")];
    for (name, value) in [("authorization", bearer.as_str()), ("content-type", "application/json")] {
        if !given.iter().any(|(own, _)| *own == name) {
            all.push((name, value));
        }
    }
    all.extend(given.into_iter().filter(|(_, value)| *value != "none"));
    let body = rest.iter().find(|line| !is_header(line)).cloned().unwrap_or_default();
    let (status, head, body) = world.bytes(call, &all, body.into_bytes()).await;
    writeln!(text, "< {}", status.as_u16()).unwrap();
    text.push_str(&names.shown(&headers(&head)));
    for line in String::from_utf8(body).unwrap().lines() {
        writeln!(text, "< {}", names.shown(line)).unwrap();
    }
    text
}

/// To add a request: write its lines, and let the test write the answer below them with `LINKR_WRITE_GOLDEN=1`.
#[tokio::test]
async fn every_answer_of_rest_is_what_it_was() {
    let folder = Folder::new();
    let store = Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap());
    let admin = mint(&*store, KeyDraft::admin()).unwrap();
    let secret = admin.reveal().to_owned();
    let world = locked(folder, store).await;
    let mut names = Placeholders::default();
    names.call(&admin.id(), "key");
    let bearer = format!("Bearer {secret}");
    let (_, _, first) = world.bytes("GET /v1/domains/-", &[("authorization", &bearer)], Vec::new()).await;
    let domain: serde_json::Value = serde_json::from_slice(&first).unwrap();
    let revision = domain["revision"].as_str().unwrap();
    names.call(revision.rsplit_once('-').unwrap().0, "history");

    let before = std::fs::read_to_string(FILE).unwrap();
    let mut after = String::new();
    for block in before.split("\n\n") {
        let request: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        if request.is_empty() {
            after.push_str(block.trim_end());
            after.push_str("\n\n");
            continue;
        }
        let heading =
            block.lines().take_while(|line| !line.starts_with("> ")).map(|line| format!("{line}\n"));
        after.extend(heading);
        after.push_str(&replayed(&world, &secret, &mut names, &request).await);
        after.push('\n');
    }
    let after = after.trim_end().to_owned() + "\n";
    world.stop().await;
    if std::env::var_os("LINKR_WRITE_GOLDEN").is_some() {
        return std::fs::write(FILE, &after).unwrap();
    }
    for (line, (old, new)) in before.lines().zip(after.lines()).enumerate() {
        assert_eq!(new, old, "golden.txt:{}", line + 1);
    }
    assert!(before == after, "golden.txt is longer or shorter than what was answered");
}
