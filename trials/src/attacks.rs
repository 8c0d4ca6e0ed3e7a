//! `linkr-trials attacks`: what hostile clients do to others on the same edge. In turn a quiet round and one under
//! attack; judged are the answers that others get, how long they wait, and the memory that the edge takes.

pub mod attacker;

use crate::fleet::{Edge, Fleet, OTHER_CORE};
use crate::hits::{self, Hits};
use crate::http::metric;
use crate::redis::{links, row};
use attacker::{Attack, AttackerProcess};
use clap::{Args, ValueEnum};
use services::Certificates;
use services::stats::median;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// p99 of other clients under attack, in their own p99 in the quiet rounds.
const P99: f64 = 2.0;
/// Of one core: an edge that is out of descriptors must not ask for more of them all the time.
const MAX_CPU_OUT_OF_FILES: f64 = 0.5;
/// What the edge may open when it is flooded.
const FEW_FILES: &str = "--nofile=4096";
/// For the connections of an attack to be gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// For an answer of the admin listener: less than a balancer's or a kubelet's.
const PATIENCE_FOR_ADMIN: Duration = Duration::from_secs(1);

/// The flags.
#[derive(Args)]
pub struct Attacks {
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    attack: Vec<Attack>,
    /// What the edge runs on [default: what the machine allows]
    #[arg(long, value_enum)]
    driver: Option<Driver>,
    /// How long a round takes, once the attack is under way
    #[arg(long, default_value_t = 4.0, value_name = "N")]
    seconds: f64,
    /// Pairs of rounds
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Hits a second of the other clients
    #[arg(long, default_value_t = 1_000.0, value_name = "N")]
    hits: f64,
    /// Of a hundred hostile clients, those that come
    #[arg(long, default_value_t = 100, value_name = "N")]
    clients: usize,
    /// Judge answers and memory only: for a machine that is busy with other things
    #[arg(long)]
    untimed: bool,
}

/// What an edge runs on.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// io_uring
    Uring,
    /// epoll
    Epoll,
}

impl Driver {
    /// What an edge runs under for that.
    pub fn words(driver: Option<Self>) -> impl Iterator<Item = String> {
        let words: &[&str] = match driver {
            Some(Self::Epoll) => &["env", "MONOIO_FORCE_LEGACY_DRIVER=1"],
            _ => &[],
        };
        words.iter().map(|&word| word.to_owned())
    }
}

/// One round under attack.
struct Round {
    hits: Hits,
    /// Bytes, at most, above what the edge held before.
    grown: u64,
    /// Of one core.
    cpu: f64,
}

impl Attacks {
    /// `true`: every attack stayed within its limits.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let Some(mut fleet) = Fleet::start(false)? else { return Ok(true) };
        let file = links(&fleet, 0..1_000)?;
        fleet.import(&file)?;
        if !self.untimed {
            hits::prefer(OTHER_CORE)?;
        }
        let all = if self.attack.is_empty() { Attack::value_variants() } else { &self.attack };
        let mut good = true;
        println!(
            "{:14} {:>8} {:>10} {:>10} {:>7} {:>8} {:>10} {:>10} {:>6}",
            "attack", "clients", "quiet p99", "under it", "ratio", "left out", "memory", "cap", "CPU"
        );
        for attack in all {
            good &= self.one(&mut fleet, *attack).await?;
        }
        println!("{}", if good { "within the limits" } else { "BEYOND A LIMIT" });
        Ok(good)
    }

    /// On an edge of its own, so that what one leaves behind is not taken for what the next does.
    async fn one(&self, fleet: &mut Fleet, attack: Attack) -> Result<bool, String> {
        fleet.under = Vec::new();
        if !self.untimed {
            // So that nothing else on its core is taken for the attack.
            fleet.under.extend(["chrt", "-f", "1"].map(str::to_owned));
        }
        fleet.under.extend(Driver::words(self.driver));
        if attack == Attack::Flood {
            fleet.under.extend(["prlimit", FEW_FILES].map(str::to_owned));
        }
        let certificates = match attack.is_over_tls().then(Certificates::new).transpose() {
            Err(missing @ services::ServerFault::Missing(_)) => {
                println!("{:14} SKIPPED: {missing}", attack.name());
                return Ok(true);
            }
            certificates => certificates.map_err(|fault| fault.to_string())?,
        };
        fleet.words = Vec::new();
        if let Some(own) = &certificates {
            fleet.words.extend(["--listen-tls", "127.0.0.1:0"].map(str::to_owned));
            for (word, file) in [("--tls-cert", "cert.pem"), ("--tls-key", "key.pem")] {
                fleet.words.extend([word.to_owned(), own.file(file).to_string_lossy().into()]);
            }
        }
        let authority = certificates.as_ref().map(|own| own.file("ca.pem"));
        let edge = fleet.edge(1 << 26).await?;
        let clients = (attack.clients() * self.clients / 100).max(2);
        // Also under a flood there must be more than fit.
        let clients = if attack == Attack::Flood { attack.clients() } else { clients };
        let codes: Vec<String> = (0..200).map(|link| row(link).0).collect();
        let (mut quiet, mut rounds) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            quiet.push(hits::drive(edge.address, &codes, self.hits, Duration::from_secs_f64(self.seconds))?);
            rounds.push(self.round(&edge, attack, clients, &codes, authority.as_deref())?);
            settled(&edge).await?;
        }
        // Somebody who comes now is served.
        let after = hits::drive(edge.address, &codes, self.hits, Duration::from_millis(200))?;
        let p99 = |hits: &Hits| hits.on_time().at(0.99);
        let (alone, beside) = (
            median(&quiet.iter().map(p99).collect::<Vec<_>>()),
            median(&rounds.iter().map(|own| p99(&own.hits)).collect::<Vec<_>>()),
        );
        let ratio = rounds.iter().zip(&quiet).map(|(own, alone)| p99(&own.hits) / p99(alone));
        let ratio = median(&ratio.collect::<Vec<_>>());
        let grown = rounds.iter().map(|round| round.grown).max().unwrap_or(0);
        let cap = attack.cap(clients);
        let cpu = median(&rounds.iter().map(|round| round.cpu).collect::<Vec<_>>());
        let late = median(&rounds.iter().map(|own| own.hits.late()).collect::<Vec<_>>());
        let answers = rounds.iter().map(|round| &round.hits).chain(&quiet).chain([&after]);
        let right = answers.into_iter().all(|hits| hits.right == hits.all && hits.all > 0);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut faults = Vec::new();
        if !right {
            faults.push("wrong answers");
        }
        if grown > cap {
            faults.push("memory");
        }
        if !self.untimed && ratio > P99 {
            faults.push("p99");
        }
        if attack == Attack::Flood && cpu > MAX_CPU_OUT_OF_FILES {
            faults.push("CPU");
        }
        println!(
            "{:14} {clients:8} {alone:7.0} µs {beside:7.0} µs {ratio:7.2} {late:6.2} % {:6.1} MiB {:6.1} MiB {:4.0} % {}",
            attack.name(),
            mib(grown),
            mib(cap),
            cpu * 100.0,
            faults.join(", ")
        );
        Ok(faults.is_empty())
    }

    fn round(
        &self,
        edge: &Edge,
        attack: Attack,
        clients: usize,
        codes: &[String],
        authority: Option<&Path>,
    ) -> Result<Round, String> {
        let attacked = edge.tls.unwrap_or(edge.address);
        let before = edge.resident();
        let (over, mut running) = (AtomicBool::new(false), None);
        let (hits, peak, cpu) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut peak = 0;
                while !over.load(Ordering::Relaxed) {
                    peak = edge.resident().max(peak);
                    std::thread::sleep(Duration::from_millis(50));
                }
                peak
            });
            let mut used = (Instant::now(), 0.0);
            let begin = || {
                running = Some(AttackerProcess::start(attack, attacked, clients, authority)?);
                used = (Instant::now(), edge.cpu_seconds());
                reachable(edge.admin)
            };
            let time = Duration::from_secs_f64(self.seconds);
            // On a busy machine nobody can say who is late.
            let time = if self.untimed { time } else { time.max(attack.least()) };
            let hits = hits::drive_beside(edge.address, codes, self.hits, time, begin);
            let cpu = (edge.cpu_seconds() - used.1) / used.0.elapsed().as_secs_f64();
            over.store(true, Ordering::Relaxed);
            (hits, watching.join().unwrap_or(u64::MAX), cpu)
        });
        if let Some(running) = running {
            running.end()?;
        }
        Ok(Round { hits: hits?, grown: peak.saturating_sub(before), cpu })
    }
}

/// Whoever looks after the edge reaches it also now: a balancer takes out what does not answer, and a container is killed.
fn reachable(admin: SocketAddr) -> Result<(), String> {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&admin, PATIENCE_FOR_ADMIN)?;
        stream.set_read_timeout(Some(PATIENCE_FOR_ADMIN))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer == b"HTTP/1.1 200" => Ok(()),
        Ok(answer) => Err(format!("/readyz: {}", answer.escape_ascii())),
        Err(fault) => Err(format!("/readyz cannot be reached: {fault}")),
    }
}

/// Waits until the connections of an attack are gone.
async fn settled(edge: &Edge) -> Result<(), String> {
    let began = Instant::now();
    while metric(edge.admin, "linkr_edge_connections{worker=\"0\"}").await.is_none_or(|open| open > 0.0) {
        if began.elapsed() > PATIENCE {
            return Err(format!("connections are still there after {PATIENCE:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
