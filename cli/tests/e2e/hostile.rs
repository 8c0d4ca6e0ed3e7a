//! Input that is made to cost, against the real program: its memory, and what arrives at clients of others.

use crate::support::{Dir, LINKR, Linkr, beside_others, command, has, skip, text, until};
use prost::bytes::BufMut;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// What 50 hostile messages of 1 MiB at once may add, those messages included; without bounds one of them took 2 GiB.
const ADDED_KIB: u64 = 96 * 1024;
/// What stays of it.
const KEPT_KIB: u64 = 32 * 1024;

fn kib(linkr: &Linkr, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", linkr.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

fn mask(paths: usize) -> Vec<u8> {
    let paths = b"\x0a\x06target".repeat(paths);
    let mut message = vec![0x12];
    prost::encode_length_delimiter(paths.len(), &mut message).unwrap();
    message.extend(paths);
    message
}

/// Messages as they are: one that is made of half a million structures would cost the client more than control.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}

async fn attack(linkr: &Linkr) {
    let server = format!("http://{}", linkr.api());
    let (mut calls, mut channels) = (JoinSet::new(), Vec::new());
    for _ in 0..10 {
        channels.push(Channel::from_shared(server.clone()).unwrap().connect().await.unwrap());
    }
    for at in 0..50 {
        let mut links = Grpc::new(channels[at % channels.len()].clone());
        // A mask of 12,288 paths; 524,288 empty requests.
        let (method, message) = match at % 2 {
            0 => ("UpdateLink", mask(12 * 1024)),
            _ => ("BatchCreateLinks", [0x12, 0].repeat(512 * 1024)),
        };
        let path = format!("/linkr.v1.Links/{method}").parse().unwrap();
        calls.spawn(async move {
            links.ready().await.unwrap();
            let refused = links.unary(Request::new(message), path, RawCodec).await.unwrap_err();
            assert!(refused.message().contains("elements"), "{refused}");
        });
    }
    calls.join_all().await;
}

pub fn fifty_hostile_messages_take_bounded_memory_and_give_it_back() {
    let dir = Dir::new();
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", "sqlite:linkr.db", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let linkr = Linkr::start(control, &dir, &["api"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(attack(&linkr)); // what is taken once is not what is asked
    let before = kib(&linkr, "VmRSS:");
    for _ in 0..3 {
        runtime.block_on(attack(&linkr));
    }
    let most = kib(&linkr, "VmHWM:");
    println!("before {before} KiB, at most {most} KiB, then {} KiB", kib(&linkr, "VmRSS:"));
    assert!(most < before + ADDED_KIB, "{before} KiB before, {most} KiB at most");
    until("the memory to be given back", || (kib(&linkr, "VmRSS:") < before + KEPT_KIB).then_some(()));
}

/// A stream that is reset behind its answer made curl lose the answer.
#[test]
fn a_refused_body_does_not_cost_its_sender_the_answer() {
    let _turn = beside_others();
    if !has("curl") {
        return skip("a_refused_body_does_not_cost_its_sender_the_answer", "curl is not there");
    }
    let dir = Dir::new();
    let linkr = Linkr::up_with(&dir, &[("LINKR_INSECURE", "false")]);
    let body = dir.write("body", vec![b'x'; 900_000]);
    for version in ["--http2-prior-knowledge", "--http1.1"] {
        for _ in 0..20 {
            let mut curl = command("curl", dir.path());
            curl.args([
                "--silent",
                "--show-error",
                version,
                "--max-time",
                "20",
                "--expect100-timeout",
                "0.001",
            ]);
            curl.args(["--header", "Content-Type: application/json", "--data-binary", &format!("@{body}")]);
            curl.args(["--write-out", " %{http_code}", &format!("http://{}/v1/links", linkr.api())]);
            let began = std::time::Instant::now();
            let done = curl.output().unwrap();
            let (said, wrong) = (text(&done.stdout), text(&done.stderr));
            assert!(done.status.success() && said.ends_with(" 401"), "{version}: {said} {wrong}");
            assert!(began.elapsed() < Duration::from_secs(5), "{version}: {:?}", began.elapsed());
        }
    }
}

#[test]
fn what_others_typed_does_not_steer_a_terminal() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let evil = "evil\u{202e}gpj\u{1b}[2J";
    linkr.ok(
        &dir,
        &[
            "link",
            "create",
            "https://a.example/",
            "--code",
            "a",
            "--title",
            evil,
            "--note",
            evil,
            "--tag",
            evil,
        ],
    );
    let shown = linkr.ok(&dir, &["link", "get", "a"]);
    assert_eq!(shown.matches("evil\\u{202e}gpj\\u{1b}[2J").count(), 3, "{shown}");
    for words in [&["link", "get", "a"][..], &["link", "list"], &["link", "history", "a"]] {
        let shown = linkr.ok(&dir, words);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{shown:?}");
    }
    let refused = linkr.run(&dir, &["link", "get", evil]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && !said.contains('\u{202e}') && !said.contains('\u{1b}'), "{said:?}");
}
