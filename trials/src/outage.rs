//! `linkr-trials outage`: control dies behind a real HAProxy that watches every answer and takes a server out after
//! ten bad ones in a row.

use crate::history::{Answer, Read, now, strict};
use crate::keyring::ADMIN;
use crate::links::Links;
use crate::process::command;
use crate::reader::Reader;
use crate::stack::Stack;
use crate::world::{World, WorldPlan};
use crate::writer::Writer;
use clap::Args;
use serde::Serialize;
use services::Process;
use services::Random;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::Endpoint;

const EDGES: u8 = 3;
/// Before and after the outage.
const CALM: Duration = Duration::from_secs(2);
/// Places where Debian and others put it.
const HAPROXY: [&str; 3] = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];

/// The flags.
#[derive(Args)]
pub struct Outage {
    /// How long control is dead
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// Requests a second
    #[arg(long, default_value_t = 3_000, value_name = "N")]
    reads: u32,
    /// Of a hundred requests, those for codes that nobody made
    #[arg(long, default_value_t = 10, value_name = "N")]
    unknown: u32,
    /// Links, half of them normal: only those are asked for
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    links: u32,
    /// Decides what is read [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// The report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What was seen in one run.
#[derive(Debug, Default, Serialize)]
struct OutageReport {
    seed: u64,
    reads: u64,
    normal: u64,
    normal_failed: u64,
    unknown: u64,
    unknown_503: u64,
    restart_ms: u64,
    servers: Vec<ServerCount>,
    faults: Vec<String>,
}

/// A server behind HAProxy, as that counts.
#[derive(Clone, Debug, Serialize)]
struct ServerCount {
    name: String,
    /// Answers that it took for errors.
    errors: u64,
    /// Times that it took the server out.
    downs: u64,
    /// What the server is now, such as `UP`.
    status: String,
}

impl Outage {
    /// `true`: nothing was found.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let seed = self.seed.unwrap_or_else(crate::process::unix_ms);
        println!("seed {seed}");
        let mut world = World::start(WorldPlan {
            edges: EDGES,
            seed,
            snapshots: true,
            stack: Stack::Sqlite,
            controls: 1,
            keys: false,
        })
        .await?;
        let channel = Endpoint::from_shared(world.apis[0].url()).map_err(|fault| fault.to_string())?;
        let links = Arc::new(Links::normal(self.unknown));
        let way = world.keys.way(channel.connect_lazy(), ADMIN)?;
        Writer::new(vec![way], links.clone(), Vec::new()).populate(self.links).await;
        world.recovered().await?;
        let balancer = Balancer::start(&world).await?;

        let (end, stop) = watch::channel(false);
        let (connections, answers) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let readers: Vec<_> = (0..64)
            .map(|number| {
                let (links, connections, answers) = (links.clone(), connections.clone(), answers.clone());
                let (address, rate, stop) = (balancer.address, f64::from(self.reads) / 64.0, stop.clone());
                let reader = Reader { edge: 0, address, rate, links, connections, answers, stop };
                tokio::spawn(reader.run(Random::of(seed, number)))
            })
            .collect();

        sleep(CALM).await;
        world.control()?.kill();
        let dead = Duration::from_secs(self.seconds);
        sleep(dead / 2).await;
        // As whoever restarts an edge behind a balancer does it: no new requests, a clean stop, a start from the file.
        balancer.say("set server edges/edge-0 state drain").await?;
        sleep(Duration::from_millis(200)).await;
        let restart = now();
        world.stop_edge_cleanly(0)?;
        world.spawn_edge(0, false).await?;
        let restart_ms = (now() - restart) / 1000;
        balancer.say("set server edges/edge-0 state ready").await?;
        sleep(dead / 2).await;
        let servers = balancer.servers().await?;
        world.start_control(0)?;
        let recovered = world.recovered().await;
        sleep(CALM).await;
        let mut report = OutageReport { seed, restart_ms, servers, ..OutageReport::default() };
        report.judge();
        report.servers = balancer.servers().await?;
        report.judge();
        let _ = end.send(true);
        for reader in readers {
            let reads = reader.await.map_err(|fault| fault.to_string())?;
            reads.iter().for_each(|read| report.count(read, self.links));
        }
        report.faults.extend(recovered.err());
        println!("{}", report.text());
        if let Some(file) = &self.json {
            let json = serde_json::to_string_pretty(&report).unwrap_or_default();
            std::fs::write(file, json)
                .map_err(|fault| format!("cannot write {}: {fault}", file.display()))?;
        }
        Ok(report.faults.is_empty())
    }
}

impl OutageReport {
    fn count(&mut self, read: &Read, links: u32) {
        self.reads += 1;
        if read.key >= links {
            self.unknown += 1;
            self.unknown_503 += u64::from(read.answer == Answer::Unavailable);
            let good = matches!(read.answer, Answer::NotFound | Answer::Unavailable);
            if !good {
                self.fault(format!("a code that nobody made: {read:?}"));
            }
            return;
        }
        debug_assert!(!strict(read.key));
        self.normal += 1;
        if read.answer != Answer::To(1) {
            self.normal_failed += 1;
            self.fault(format!("a normal link: {read:?}"));
        }
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < 20 {
            self.faults.push(text);
        }
    }

    fn judge(&mut self) {
        for ServerCount { name, downs, status, .. } in self.servers.clone() {
            // The one that is restarted says itself that it drains.
            let own = u64::from(name == "edge-0");
            if downs > own || !status.starts_with("UP") {
                self.fault(format!("{name} was taken out {downs} times and is {status}"));
            }
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} reads: {} of normal links, {} of them failed; {} of unknown codes, {} of them 503\n\
             edge-0 from SIGTERM to ready again, from its file: {} ms\n",
            self.reads, self.normal, self.normal_failed, self.unknown, self.unknown_503, self.restart_ms
        );
        for ServerCount { name, errors, downs, status } in &self.servers {
            let _ = writeln!(text, "{name}: {errors} errors seen, taken out {downs} times, {status}");
        }
        for fault in &self.faults {
            let _ = writeln!(text, "VIOLATION {fault}");
        }
        text + if self.faults.is_empty() { "clean" } else { "BROKEN" }
    }
}

/// A running HAProxy.
struct Balancer {
    address: SocketAddr,
    socket: PathBuf,
    _process: Process,
}

impl Balancer {
    async fn start(world: &World) -> Result<Self, String> {
        let program = HAPROXY.iter().map(Path::new).find(|path| path.is_file());
        let program = program.ok_or("there is no haproxy: apt-get install haproxy")?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|fault| fault.to_string())?;
        let socket = world.path().join("haproxy.sock");
        let file = world.path().join("haproxy.cfg");
        std::fs::write(&file, config(world, address, &socket)).map_err(|fault| fault.to_string())?;
        let words = ["-db", "-f", "haproxy.cfg"];
        let log = world.path().join("haproxy.log");
        let process = Process::hear(&command(program, world.path(), &words), &log, &[])?;
        let balancer = Self { address, socket, _process: process };
        let up = async {
            while TcpStream::connect(address).await.is_err()
                || balancer.servers().await.is_ok_and(|all| all.iter().any(|server| server.status != "UP"))
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(10), up).await;
        up.map_err(|_| {
            format!("haproxy does not start: {}", std::fs::read_to_string(log).unwrap_or_default())
        })?;
        Ok(balancer)
    }

    /// One command of its runtime API.
    async fn say(&self, line: &str) -> Result<String, String> {
        let said = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        said.await.map_err(|fault| format!("haproxy does not take {line:?}: {fault}"))
    }

    async fn servers(&self) -> Result<Vec<ServerCount>, String> {
        let table = self.say("show stat").await?;
        let mut lines = table.trim_start_matches("# ").lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let at =
            |name: &str| names.iter().position(|own| *own == name).ok_or(format!("haproxy lacks {name}"));
        let (backend, server, status) = (at("pxname")?, at("svname")?, at("status")?);
        let (errors, downs) = (at("hanafail")?, at("chkdown")?);
        let mut found = Vec::new();
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let field = |at: usize| fields.get(at).copied().unwrap_or_default();
            if field(backend) == "edges" && field(server) != "BACKEND" {
                let number = |at: usize| field(at).parse().unwrap_or(0);
                found.push(ServerCount {
                    name: field(server).to_owned(),
                    errors: number(errors),
                    downs: number(downs),
                    status: field(status).to_owned(),
                });
            }
        }
        Ok(found)
    }
}

/// Any ten answers in a row that look like a sick server take it out.
fn config(world: &World, address: SocketAddr, socket: &Path) -> String {
    let mut text = format!(
        "global\n  stats socket {} level admin\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n  retries 2\n  \
         option redispatch 1\n\
         frontend visitors\n  bind {address}\n  default_backend edges\n\
         backend edges\n  balance roundrobin\n  option httpchk GET /readyz\n",
        socket.display()
    );
    for edge in &world.edges {
        let (name, address, admin) = (&edge.name, edge.address, edge.admin.port());
        let _ = writeln!(
            text,
            "  server {name} {address} check port {admin} inter 500ms fall 3 rise 1 observe layer7 error-limit 10 \
             on-error mark-down"
        );
    }
    text
}
