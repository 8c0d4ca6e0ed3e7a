//! `linkr-trials clicks`: the real clicks, in their order, on a real edge whose set has room for few of the links. Links
//! that were made before the first click are imported; each other one is written at its place among the clicks and
//! pushed. Every answer is compared, and says where it came from.

use crate::fleet::{Edge, Fleet};
use crate::http;
use clap::Args;
use prost_types::Timestamp;
use proto::v1::links_client::LinksClient;
use proto::v1::propagation::Status;
use proto::v1::{self, Ack};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// What is hoped for from memory; the set's own trial (`hitrate`) says what the policy can do.
const MEMORY: f64 = 90.0;

/// The flags.
#[derive(Args)]
pub struct Clicks {
    /// The folder with clicks/links.csv.zst, clicks/clicks.csv.zst and clicks/expected.csv.zst
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"), value_name = "DIR")]
    data: PathBuf,
    /// Only the first of the clicks, and the links that they ask for
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Of a hundred bytes that the links take in a set, those that it has room for
    #[arg(long, default_value_t = 5.0, value_name = "N")]
    percent: f64,
    /// Kept connections; they take turns
    #[arg(long, default_value_t = 16, value_name = "N")]
    connections: usize,
    /// So many clicks are sent before the first of their answers is waited for
    #[arg(long, default_value_t = 1, value_name = "N")]
    at_once: usize,
    /// Of a hundred answers that memory did not have, those that have to come from Redis
    #[arg(long, default_value_t = 99.9, value_name = "N")]
    from_redis: f64,
}

/// A link, and what must come back for it: `None` where nobody takes it for a link.
struct ExpectedLink {
    code: String,
    target: String,
    created: String,
    expected: Option<String>,
}

/// What is done, in order.
#[derive(Default)]
struct Trace {
    links: Vec<ExpectedLink>,
    /// Those made before the first click.
    before: Vec<usize>,
    /// Those made during the clicks, with the number of the click that they come before.
    during: Vec<(usize, usize)>,
    clicks: Vec<usize>,
}

#[derive(Default)]
struct ClickTally {
    wrong: u64,
    first_wrong: Option<String>,
    /// Answers about links by tier.
    tiers: BTreeMap<String, u64>,
    /// Of codes without a link, by tier.
    unknown: BTreeMap<String, u64>,
}

impl Clicks {
    /// `true`: nothing was wrong, and what memory did not have came from Redis.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let trace = match Trace::read(&self.data, self.first) {
            Ok(trace) => trace,
            Err(why) => {
                println!("SKIPPED: {why}");
                return Ok(true);
            }
        };
        let all = trace.size().await?;
        let budget = (all * self.percent / 100.0 * 64.0 / 63.0) as usize;
        let Some(mut fleet) = Fleet::start(true)? else { return Ok(true) };
        let imported = fleet.import(&trace.file(&fleet, trace.before.iter().copied())?)?;
        let known = |link: &&usize| trace.links[**link].expected.is_some();
        fleet.copied(trace.before.iter().filter(known).count()).await?;
        let edge = fleet.edge(budget).await?;
        println!(
            "{} links take {all:.0} bytes in a set; this one has {budget}: 64/63 of {} %, for a 64th is kept for \
             absent codes\nbefore the first click: {imported}; in the set then: {}",
            trace.links.len(),
            self.percent,
            edge.metric("linkr_hot_set_entries").await?
        );
        let channel = Endpoint::from_shared(format!("http://{}", fleet.api)).map_err(text)?;
        let mut writer = LinksClient::new(channel.tcp_nodelay(true).connect_lazy());
        let mut visitors = Vec::new();
        for _ in 0..self.connections.max(1) {
            visitors.push(connect(edge.address).await?);
        }

        let began = Instant::now();
        let (mut seen, mut pushed, mut refused) = (ClickTally::default(), 0, 0);
        let mut during = trace.during.iter().peekable();
        let mut at = 0;
        while at < trace.clicks.len() {
            while let Some((_, link)) = during.next_if(|(before, _)| *before <= at) {
                match push(&mut writer, &trace.links[*link]).await? {
                    true => pushed += 1,
                    false => refused += 1,
                }
            }
            let next = during.peek().map_or(trace.clicks.len(), |(before, _)| *before);
            let end = next.min(at + self.at_once.clamp(1, visitors.len()));
            visit(&mut visitors[..end - at], &trace, &trace.clicks[at..end], &mut seen).await?;
            visitors.rotate_left(end - at);
            at = end;
        }
        println!(
            "{} clicks on {} connections, {} at once, in {:.1} s, {pushed} links pushed among them, {refused} refused",
            trace.clicks.len(),
            visitors.len(),
            self.at_once,
            began.elapsed().as_secs_f64()
        );
        seen.judge(&edge, self.from_redis).await
    }
}

impl Trace {
    fn read(data: &Path, first: Option<usize>) -> Result<Self, String> {
        let rows = |name: &str| -> Result<Vec<Vec<String>>, String> {
            let bytes = unpacked(&data.join("clicks").join(name))?;
            csv::Reader::from_reader(&*bytes).deserialize().collect::<Result<_, _>>().map_err(text)
        };
        let expected = rows("expected.csv.zst")?.into_iter().filter_map(|row| {
            let [code, location] = <[String; 2]>::try_from(row).ok()?;
            Some((code, Some(location).filter(|location| !location.is_empty())))
        });
        let mut expected: HashMap<String, Option<String>> = expected.collect();
        let clicks = rows("clicks.csv.zst")?;
        let clicks = &clicks[..first.unwrap_or(clicks.len()).min(clicks.len())];
        let time = |click: &Vec<String>| click[0].parse::<i64>().map_err(text);
        let times = clicks.iter().map(time).collect::<Result<Vec<_>, _>>()?;
        let asked: std::collections::HashSet<&str> = clicks.iter().map(|click| &*click[1]).collect();
        let start = *times.first().ok_or("there are no clicks")?;
        let (mut trace, mut numbers, mut during) = (Self::default(), HashMap::new(), Vec::new());
        for row in rows("links.csv.zst")? {
            let [code, target, created] = <[String; 3]>::try_from(row).map_err(|_| "no link")?;
            if !asked.contains(&*code) {
                continue;
            }
            let at = created.parse::<Timestamp>().map_err(text)?.seconds;
            let number = trace.links.len();
            if at > start {
                during.push((at, number));
            } else {
                trace.before.push(number);
            }
            let expected = expected.remove(&code).ok_or_else(|| format!("nothing is expected of {code}"))?;
            numbers.insert(code.clone(), number);
            trace.links.push(ExpectedLink { code, target, created, expected });
        }
        during.sort_unstable();
        // Before the first click of that second, or a later one.
        trace.during =
            during.iter().map(|(at, link)| (times.partition_point(|time| time < at), *link)).collect();
        for click in clicks {
            trace.clicks.push(*numbers.get(&click[1]).ok_or_else(|| format!("no link: {}", click[1]))?);
        }
        Ok(trace)
    }

    /// Some links as a file to import.
    fn file(&self, fleet: &Fleet, links: impl Iterator<Item = usize>) -> Result<PathBuf, String> {
        let file = fleet.path().join("links.csv");
        let mut writer = csv::Writer::from_path(&file).map_err(text)?;
        writer.write_record(["code", "target", "create_time"]).map_err(text)?;
        for link in links.map(|link| &self.links[link]) {
            writer.write_record([&link.code, &link.target, &link.created]).map_err(text)?;
        }
        writer.flush().map_err(text)?;
        Ok(file)
    }

    /// What all of them take in a set, by its own count.
    async fn size(&self) -> Result<f64, String> {
        let mut fleet = Fleet::start(false)?.ok_or("there is no control")?;
        let edge = fleet.edge(1 << 30).await?;
        let empty = edge.metric("linkr_hot_set_bytes").await?;
        fleet.import(&self.file(&fleet, 0..self.links.len())?)?;
        fleet.followed(&edge).await?;
        Ok(edge.metric("linkr_hot_set_bytes").await? - empty)
    }
}

impl ClickTally {
    async fn judge(&self, edge: &Edge, limit: f64) -> Result<bool, String> {
        let count = |tier: &str| self.tiers.get(tier).copied().unwrap_or(0);
        let links: u64 = self.tiers.values().sum();
        let (hot, redis) = (count("hot"), count("redis"));
        let part = |some: u64, all: u64| some as f64 * 100.0 / all.max(1) as f64;
        let (memory, rest) = (part(hot, links), part(redis, links - hot));
        println!(
            "wrong: {}{}",
            self.wrong,
            self.first_wrong.as_ref().map(|why| format!(", first {why}")).unwrap_or_default()
        );
        println!("from memory: {memory:.2} % of {links} (hoped for: {MEMORY} %)");
        println!(
            "of the rest from Redis: {rest:.2} % of {} (limit {limit} %); all: {:?}",
            links - hot,
            self.tiers
        );
        println!("codes without a link: {:?}", self.unknown);
        for outcome in ["answered", "unknown", "refused", "poisoned", "failed", "timed_out"] {
            let name = format!("linkr_redis_requests_total{{outcome=\"{outcome}\"}}");
            print!("{outcome} {}  ", edge.metric(&name).await?);
        }
        println!("(questions to Redis)");
        let good = self.wrong == 0 && rest >= limit;
        println!("{}", if good { "clean" } else { "BROKEN" });
        Ok(good)
    }
}

/// Writes a link, and waits until the edge has it; `false`: it is none.
async fn push(writer: &mut LinksClient<Channel>, link: &ExpectedLink) -> Result<bool, String> {
    let body = v1::Link { target: link.target.clone(), ..v1::Link::default() };
    let request = v1::CreateLinkRequest {
        link_id: link.code.clone(),
        link: Some(body),
        ack: Ack::Propagated.into(),
        ..Default::default()
    };
    match writer.create_link(request).await {
        Err(status) if status.code() == Code::InvalidArgument && link.expected.is_none() => Ok(false),
        Err(status) => Err(format!("{} was not written: {status}", link.code)),
        Ok(made) => match made.into_inner().propagation.unwrap_or_default().status() {
            Status::Propagated => Ok(true),
            other => Err(format!("{} was not pushed: {other:?}", link.code)),
        },
    }
}

async fn connect(edge: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(edge).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    Ok(stream)
}

/// Sends these clicks, one on each connection, then reads and compares what came.
async fn visit(
    visitors: &mut [TcpStream],
    trace: &Trace,
    clicks: &[usize],
    seen: &mut ClickTally,
) -> Result<(), String> {
    for (stream, click) in visitors.iter_mut().zip(clicks) {
        let code = &trace.links[*click].code;
        let request = format!("GET /{code} HTTP/1.1\r\nHost: t.example\r\nX-Linkr-Debug: 1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(text)?;
    }
    for (stream, click) in visitors.iter_mut().zip(clicks) {
        let link = &trace.links[*click];
        let mut bytes = Vec::with_capacity(4096);
        let reply = loop {
            if let Some(reply) = http::reply(&bytes)? {
                break reply;
            }
            if stream.read_buf(&mut bytes).await.map_err(text)? == 0 {
                return Err(format!("the edge closed before it answered /{}", link.code));
            }
        };
        let right = match &link.expected {
            Some(location) => reply.status / 100 == 3 && reply.location.as_ref() == Some(location),
            None => reply.status == 404,
        };
        if !right {
            seen.wrong += 1;
            let said =
                || format!("/{}: {} {:?}, not {:?}", link.code, reply.status, reply.location, link.expected);
            seen.first_wrong.get_or_insert_with(said);
        }
        if reply.close {
            *stream = connect(stream.peer_addr().map_err(text)?).await?; // it was this connection's last
        }
        let tiers = if link.expected.is_some() { &mut seen.tiers } else { &mut seen.unknown };
        *tiers.entry(reply.tier.unwrap_or_default()).or_default() += 1;
    }
    Ok(())
}

fn unpacked(file: &Path) -> Result<Vec<u8>, String> {
    let done = Command::new("zstd").arg("-dc").arg(file).output();
    match done {
        Ok(done) if done.status.success() => Ok(done.stdout),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(fault) => Err(format!("zstd: {fault}")),
    }
}

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}
