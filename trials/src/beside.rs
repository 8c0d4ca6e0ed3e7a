//! `linkr-trials beside`: how long visitors wait while their edge takes a large import, and while it writes its snapshot.

use crate::attacks::Driver;
use crate::fleet::{Edge, Fleet, OTHER_CORE};
use crate::hits::{self, Hits, Pair};
use crate::redis::{links, row};
use clap::Args;
use services::stats::median;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// p99.9 meanwhile, in their own when nothing else happens.
const P999: f64 = 1.5;
/// Hits a second, on kept connections.
const HITS: f64 = 4_000.0;
/// Links that they are for.
const ASKED: usize = 1_000;
/// A quiet round.
const QUIET: Duration = Duration::from_secs(4);
/// Behind a snapshot, for what it was to be over.
const AFTER: Duration = Duration::from_millis(100);
/// Hits while a snapshot is written, without which the round says nothing.
const ENOUGH: usize = 500;
/// For a snapshot to be there.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the hot set.
const ROOM: usize = 4 << 30;

/// The flags.
#[derive(Args)]
pub struct Interference {
    /// How many links an import brings, and a snapshot holds
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    links: usize,
    /// Pairs of rounds of each
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// What the edge runs on [default: what the machine allows]
    #[arg(long, value_enum)]
    driver: Option<Driver>,
    /// Judge answers only: for a machine that is busy with other things
    #[arg(long)]
    untimed: bool,
}

/// Hits under way, until they are ended.
struct BackgroundHits {
    over: Arc<AtomicBool>,
    hits: JoinHandle<Result<Hits, String>>,
}

impl BackgroundHits {
    fn start(edge: &Edge) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (until, address) = (Arc::clone(&over), edge.address);
        let goes_on = move |_| !until.load(Ordering::Relaxed);
        let hits = move || hits::drive_while(address, &asked(), HITS, goes_on, || Ok(()));
        Self { over, hits: tokio::task::spawn_blocking(hits) }
    }

    async fn end(self) -> Result<Hits, String> {
        self.over.store(true, Ordering::Relaxed);
        self.hits.await.map_err(|fault| fault.to_string())?
    }
}

impl Interference {
    /// `true`: within the limit.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        if !self.untimed {
            hits::prefer(OTHER_CORE)?;
        }
        let Some(mut fleet) = Fleet::start(false)? else { return Ok(true) };
        fleet.under.extend(Driver::words(self.driver));
        fleet.import(&links(&fleet, 0..self.links)?)?;
        println!(
            "The edge is alone on its core; control and the import share the generator's, and have to wait for it.\n\
             {HITS} hits a second, µs from when each was due; those that the generator sent late are left out. Medians:\n\
             {:9} {:>6} {:>8} {:>22} {:>22} {:>6} {:>14}",
            "while", "rounds", "hits", "quiet p50/p99/p99.9", "then", "ratio", "left out"
        );
        let mut pairs = Vec::new();
        for _ in 0..self.rounds * 3 {
            let pair = self.snapshot(&mut fleet).await?;
            if self.untimed || pair.beside.all >= ENOUGH {
                pairs.push(pair);
            }
            if pairs.len() == self.rounds {
                break;
            }
        }
        let mut good = self.judge("snapshot", &pairs);

        fleet.words.clear();
        let edge = fleet.edge(ROOM).await?;
        let mut pairs = Vec::new();
        for round in 1..=self.rounds {
            let file = links(&fleet, self.links * round..self.links * (round + 1))?;
            pairs.push(self.import(&fleet, &edge, &file).await?);
        }
        good &= self.judge("import", &pairs);
        println!("{}", if good { "within the limit" } else { "BEYOND THE LIMIT" });
        Ok(good)
    }

    async fn import(&self, fleet: &Fleet, edge: &Edge, file: &Path) -> Result<Pair, String> {
        let time = if self.untimed { QUIET / 8 } else { QUIET };
        let quiet = hits::drive(edge.address, &asked(), HITS, time)?;
        let driving = BackgroundHits::start(edge);
        let done = match fleet.import(file) {
            Ok(_) => fleet.followed(edge).await,
            Err(why) => Err(why),
        };
        let beside = driving.end().await?;
        done.map(|()| Pair { quiet, beside })
    }

    /// Of an edge that has just heard of all links, and so writes its first file within a second.
    async fn snapshot(&self, fleet: &mut Fleet) -> Result<Pair, String> {
        let file = fleet.path().join("snapshot");
        let new = file.with_extension("new");
        let _ = std::fs::remove_file(&file);
        fleet.words = vec!["--snapshot".into(), file.to_string_lossy().into()];
        let edge = fleet.edge(ROOM).await?;
        let driving = BackgroundHits::start(&edge);
        let began = Instant::now();
        let when = async |is: &dyn Fn() -> bool| {
            while !is() && began.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Instant::now()
        };
        let begun = when(&|| new.exists() || file.exists()).await;
        let written = when(&|| file.exists()).await;
        let quiet_from = written + AFTER;
        let time = if self.untimed { QUIET / 8 } else { QUIET };
        tokio::time::sleep_until((quiet_from + time).into()).await;
        let hits = driving.end().await?;
        if hits.right != hits.all || !file.exists() {
            return Err(format!("{} of {} answers are right, or no snapshot", hits.right, hits.all));
        }
        let quiet = hits.within(quiet_from..quiet_from + time);
        Ok(Pair { quiet, beside: hits.within(begun..written) })
    }

    fn judge(&self, name: &str, pairs: &[Pair]) -> bool {
        let of = |figure: &dyn Fn(&Pair) -> f64| median(&pairs.iter().map(figure).collect::<Vec<_>>());
        let three = |hits: fn(&Pair) -> &Hits| {
            let at = |part| of(&|pair| hits(pair).on_time().at(part));
            format!("{:.0} / {:.0} / {:.0}", at(0.5), at(0.99), at(0.999))
        };
        let ratio = of(&|pair| pair.ratio(0.999));
        let hits: usize = pairs.iter().map(|pair| pair.beside.all).sum();
        let right = pairs.iter().all(Pair::is_right);
        let (alone, then) = (of(&|pair| pair.quiet.late()), of(&|pair| pair.beside.late()));
        println!(
            "{name:9} {:6} {hits:8} {:>22} {:>22} {ratio:6.2} {alone:5.2}, {then:5.2} % {}",
            pairs.len(),
            three(|pair| &pair.quiet),
            three(|pair| &pair.beside),
            if right { "" } else { "WRONG ANSWERS" }
        );
        right && pairs.len() == self.rounds && (self.untimed || ratio <= P999)
    }
}

fn asked() -> Vec<String> {
    (0..ASKED).map(|link| row(link).0).collect()
}
