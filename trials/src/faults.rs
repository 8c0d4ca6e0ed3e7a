//! The faults: what each does to the world, and how it is healed.

use crate::history::{History, Restore, Window, now};
use crate::liar::{self, LiarReport};
use crate::meddler::Mischief;
use crate::stack::Stack;
use crate::wire::Mode;
use crate::world::{BLIND_SECONDS, Edge, Pulse, World};
use crate::writer::Writer;
use clap::ValueEnum;
use services::Random;
use services::Volume;
use std::time::Duration;
use tokio::time::sleep;

/// What is done to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Nothing: the figures without a fault
    None,
    /// kill -9 of an edge, and a new process
    EdgeKilled,
    /// SIGSTOP of an edge
    EdgeStopped,
    /// kill -9 of control, and a new process
    ControlKilled,
    /// SIGSTOP of control
    ControlStopped,
    /// An edge's connections to control are cut, and refused
    Cut,
    /// An edge's connections to control are there, and nothing arrives
    Silent,
    /// 80 ms more from control to every edge, and back
    Delay80,
    /// 200 ms more
    Delay200,
    /// Single messages of the stream are lost
    Drop,
    /// Single messages arrive twice
    Duplicate,
    /// Single messages arrive too late
    Reorder,
    /// A process with the stolen key of an edge says all that an edge can say
    LyingEdge,
    /// Control starts on an older copy of its database
    OldDatabase,
    /// kill -9 of Postgres, and a new start
    PostgresKilled,
    /// A standby without a lag takes over while the old primary still answers
    Promoted,
    /// The same with one that commits do not wait for: what the old primary took meanwhile is lost
    PromotedAsync,
    /// Postgres is stopped, and its standby takes over: nobody begins anew
    Switchover,
    /// There is no room on Postgres's disk, for its tables and sometimes for its log either
    PostgresFull,
    /// kill -9 of one of several controls; the others go on
    AControlLost,
    /// kill -9 of a node of a Redis Cluster, and a new start with nothing
    RedisNodeLost,
    /// kill -9 of Redis, and a new start: with nothing, or what it once saved
    RedisKilled,
    /// SIGSTOP of Redis
    RedisStopped,
    /// Redis forgets everything
    RedisFlushed,
    /// Redis is started on an older copy of itself
    RedisOlder,
}

/// A hundred megabytes of nothing in Postgres's log.
const USE_UP: &str =
    "SELECT pg_logical_emit_message(false, 'trial', repeat('x', 1000000)) FROM generate_series(1, 100)";
/// Of a thousand writes, those that wait for the edges: while an edge is cut off, and else.
const WAITING: (u32, u32) = (300, 60);
/// MiB that lies may take of control.
const LIES_TAKE: f64 = 256.0;

impl Fault {
    /// As on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it can be done to this world.
    pub fn fits(self, stack: Stack, controls: usize) -> bool {
        match self {
            Self::AControlLost => controls > 1,
            Self::RedisNodeLost => stack == Stack::Cluster,
            Self::RedisKilled => stack == Stack::Production,
            _ => stack != Stack::Sqlite || (self as u8) < Self::PostgresKilled as u8,
        }
    }

    /// Does it, heals it after `length`, waits until all is well, and notes it all.
    ///
    /// # Errors
    /// The trial itself cannot go on.
    pub async fn run(
        self,
        world: &mut World,
        writer: &Writer,
        history: &mut History,
        length: Duration,
        random: &mut Random,
    ) -> Result<(), String> {
        if self == Self::PostgresFull
            && let Err(fault) = move_postgres(world, Volume::Own).await?
        {
            println!("           SKIPPED {}: {fault}", self.name());
            return Ok(());
        }
        let from = now();
        let cut_off = matches!(self, Self::Cut | Self::Silent);
        writer.wait_for_edges(if cut_off { WAITING.0 } else { WAITING.1 });
        let done = self.act(world, writer, history, length, random).await;
        // With a delay still there: what is measured inside the window has all of it.
        let unrecovered = done.clone().err().or(world.recovered().await.err());
        writer.resume(None);
        if let (Self::OldDatabase | Self::PromotedAsync, Some(restore)) = (self, history.restores.last_mut())
        {
            restore.forks = world.forks().await?;
        }
        if world.meddled() > 0 {
            println!("           {} messages were hit", world.meddled());
        }
        world.edges.iter().for_each(|edge| edge.set(Mode::Pass));
        world.meddle(None).await?;
        let lost = world.recovered().await;
        let unrecovered = unrecovered.or(lost.clone().err());
        history.windows.push(Window { fault: self.name(), from, to: now(), unrecovered });
        lost?;
        if self == Self::PostgresFull {
            move_postgres(world, Volume::Disk).await?.map_err(|fault| text(&fault))?;
        }
        Ok(())
    }

    async fn act(
        self,
        world: &mut World,
        writer: &Writer,
        history: &mut History,
        length: Duration,
        random: &mut Random,
    ) -> Result<(), String> {
        let edge = u8::try_from(random.below(world.edges.len() as u32)).unwrap_or(0);
        let own = usize::from(edge);
        match self {
            Self::None => sleep(length).await,
            Self::EdgeKilled => {
                world.kill_edge(edge);
                sleep(length / 2).await;
                world.restart_edge(edge, random.chance(500)).await?;
                sleep(length / 2).await;
            }
            Self::EdgeStopped => {
                world.stop_edge(edge);
                sleep(length).await;
                world.continue_edge(edge);
                sleep(length / 5).await;
            }
            Self::ControlKilled => {
                world.control()?.kill();
                sleep(length / 2).await;
                world.start_control(0)?;
                sleep(length / 2).await;
            }
            Self::ControlStopped => {
                world.control()?.signal("STOP")?;
                sleep(length).await;
                world.control()?.signal("CONT")?;
            }
            Self::Cut | Self::Silent => {
                world.edges[own].set(if self == Self::Cut { Mode::Cut } else { Mode::Silent });
                sleep(length).await;
                world.edges[own].set(Mode::Pass);
            }
            Self::Delay80 | Self::Delay200 => {
                let delay = Duration::from_millis(if self == Self::Delay80 { 80 } else { 200 });
                world.edges.iter().for_each(|edge| edge.set(Mode::Delay(delay)));
                sleep(length).await;
            }
            Self::Drop => meddle(world, writer, Mischief::Drop, length).await?,
            Self::Duplicate => meddle(world, writer, Mischief::Duplicate, length).await?,
            Self::Reorder => meddle(world, writer, Mischief::Reorder, length).await?,
            Self::LyingEdge => lied_to(world, writer, length, random).await?,
            Self::OldDatabase => put_back(world, writer, history, length).await?,
            Self::PostgresKilled => {
                world.servers()?.postgres.kill();
                sleep(length / 2).await;
                world.servers()?.postgres.start_again().map_err(|fault| text(&fault))?;
                sleep(length / 2).await;
            }
            Self::Promoted | Self::PromotedAsync | Self::Switchover => {
                promote(self, world, writer, history, length).await?;
            }
            Self::PostgresFull => full(world, writer, length, random).await?,
            Self::AControlLost => {
                let lost = random.below(world.controls() as u32) as usize;
                world.lose_control(lost);
                sleep(length / 2).await;
                world.recovered().await?;
                sleep(length / 2).await;
                world.start_control(lost)?;
            }
            Self::RedisNodeLost
            | Self::RedisKilled
            | Self::RedisStopped
            | Self::RedisFlushed
            | Self::RedisOlder => redis(self, world, length, random).await?,
        }
        Ok(())
    }
}

/// Every honest edge says hello once more meanwhile, and one of them comes back from its file. Whether an answer was
/// wrong is judged at the end; this looks at what answers do not show.
async fn lied_to(
    world: &mut World,
    writer: &Writer,
    length: Duration,
    random: &mut Random,
) -> Result<(), String> {
    writer.wait_for_edges(WAITING.0);
    let (forks, resets, before) = (world.forks().await?, world.resets().await?, world.pulse().await?);
    let (propagated, seed) = (writer.arrived(), random.next());
    let report = world.path().join("liar.json");
    let mut liar = world.start_liar(length, seed, &report)?;
    let mut worst = WorstCase::default();
    worst.watch(world, length / 4, before).await?;
    world.edges.iter().for_each(Edge::cut_once);
    worst.watch(world, length / 4, before).await?;
    let edge = u8::try_from(random.below(world.edges.len() as u32)).unwrap_or(0);
    let own = world.resets_of(edge).await?;
    world.stop_edge_cleanly(edge)?;
    let began = now();
    world.restart_edge(edge, false).await?;
    let back = (now() - began) / 1000;
    worst.watch(world, length / 2, before).await?;
    world.recovered().await?;
    let ended = Duration::from_secs(20);
    let gone = async {
        while !liar.ended()? {
            sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, String>(())
    };
    tokio::time::timeout(ended, gone).await.map_err(|_| "the liar does not end".to_owned())??;
    let told = std::fs::read(&report).map_err(|fault| fault.to_string())?;
    let told: LiarReport = serde_json::from_slice(&told).map_err(|fault| fault.to_string())?;
    let propagated = writer.arrived() - propagated;
    println!(
        "           {told:?}; {propagated} writes were waited for; an edge was back in {back} ms; knowledge at most \
         {:.2} s old; {:.0} MiB more in control",
        worst.staleness, worst.grown
    );
    let more = world.resets().await? - (resets - own);
    world.forget(liar::NAME).await?;
    let wrong = [
        (world.forks().await? != forks, "a history has begun".to_owned()),
        (more > 0.0, format!("{more} honest edges were reset")),
        (
            worst.staleness >= BLIND_SECONDS + worst.late,
            format!("an honest edge was blind: {:.2} s", worst.staleness),
        ),
        (worst.grown > LIES_TAKE, format!("control has taken {:.0} MiB more", worst.grown)),
        (propagated == 0, "no write that waits for the edges was answered".to_owned()),
        (told.dropped > 0, format!("{} calls ended without a word", told.dropped)),
        (!told.all_ways(), "the liar has not lied in all ways".to_owned()),
    ];
    let wrong: Vec<String> = wrong.into_iter().filter(|(wrong, _)| *wrong).map(|(_, what)| what).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The worst that was seen while somebody lied.
#[derive(Default)]
struct WorstCase {
    staleness: f64,
    grown: f64,
    /// Seconds by which this process itself woke up late: a busy machine is nobody's lie.
    late: f64,
}

impl WorstCase {
    async fn watch(&mut self, world: &World, length: Duration, before: Pulse) -> Result<(), String> {
        let end = tokio::time::Instant::now() + length;
        while tokio::time::Instant::now() < end {
            let pulse = world.pulse().await?;
            self.staleness = self.staleness.max(pulse.staleness);
            self.grown = self.grown.max(pulse.memory - before.memory);
            let (pause, began) = (Duration::from_millis(20), tokio::time::Instant::now());
            sleep(pause).await;
            self.late = self.late.max((began.elapsed() - pause).as_secs_f64());
        }
        Ok(())
    }
}

fn text(fault: &services::ServerFault) -> String {
    fault.to_string()
}

/// Done to one of its nodes.
async fn redis(fault: Fault, world: &mut World, length: Duration, random: &mut Random) -> Result<(), String> {
    world.copied().await?;
    let nodes = &mut world.servers()?.redis;
    let node = random.below(nodes.len() as u32) as usize;
    let redis = &mut nodes[node];
    match fault {
        Fault::RedisFlushed => drop(redis.cli(&["FLUSHALL"]).map_err(|fault| text(&fault))?),
        Fault::RedisStopped => redis.signal("STOP").map_err(|fault| text(&fault))?,
        Fault::RedisOlder => drop(redis.cli(&["SAVE"]).map_err(|fault| text(&fault))?),
        _ => redis.kill().map_err(|fault| text(&fault))?,
    }
    sleep(length / 2).await;
    match fault {
        Fault::RedisFlushed => {}
        Fault::RedisStopped => redis.signal("CONT").map_err(|fault| text(&fault))?,
        _ => {
            redis.kill().map_err(|fault| text(&fault))?;
            redis.start_again().map_err(|fault| text(&fault))?;
        }
    }
    sleep(length / 2).await;
    world.copied().await
}

/// Postgres goes on at another place, as at a switchover. Inside: it cannot be there.
async fn move_postgres(
    world: &mut World,
    place: Volume,
) -> Result<Result<(), services::ServerFault>, String> {
    if let Err(fault) = world.servers()?.follow(true, place) {
        return Ok(Err(fault));
    }
    world.recovered().await?;
    world.servers()?.hand_over()?;
    world.recovered().await?;
    Ok(Ok(()))
}

async fn full(
    world: &mut World,
    writer: &Writer,
    length: Duration,
    random: &mut Random,
) -> Result<(), String> {
    let before = writer.refused_full();
    let postgres = &mut world.servers()?.postgres;
    postgres.fill_disk().map_err(|fault| text(&fault))?;
    if random.chance(500) {
        // Its log has files in reserve. With those used up the next one is missing, and by that Postgres ends.
        let _ = postgres.psql("postgres", USE_UP);
    }
    sleep(length).await;
    let ended = postgres.psql("postgres", "SELECT 1").is_err();
    let told = postgres.told();
    postgres.empty_disk().map_err(|fault| text(&fault))?;
    let refused = writer.refused_full() - before;
    let last = told.lines().rev().find(|line| line.contains("PANIC") || line.contains("FATAL"));
    let state = if ended { last.unwrap_or("had ended") } else { "still ran" };
    println!("           {refused} writes were refused for the full disk; Postgres: {state}");
    if refused == 0 && !ended { Err("nobody noticed that the disk was full".to_owned()) } else { Ok(()) }
}

/// Recovery is waited for with the streams as the mischief left them, and without writes: nothing cuts them, and
/// nothing comes whose place would show what is missing.
async fn meddle(
    world: &mut World,
    writer: &Writer,
    mischief: Mischief,
    length: Duration,
) -> Result<(), String> {
    world.meddle(Some(mischief)).await?;
    sleep(length).await;
    writer.pause().await;
    world.meddle(Some(Mischief::None)).await
}

/// With Postgres control lives on, and finds other rows behind its connections.
async fn put_back(
    world: &mut World,
    writer: &Writer,
    history: &mut History,
    length: Duration,
) -> Result<(), String> {
    let servers = world.has_servers();
    writer.pause().await;
    if !servers {
        world.control()?.stop()?;
    }
    world.copy_database()?;
    let copied = now();
    if !servers {
        world.start_control(0)?;
    }
    writer.resume(None);
    sleep(length / 2).await;
    writer.pause().await;
    if !servers {
        world.control()?.kill();
    }
    let before = now();
    world.put_database_back()?;
    let after = now();
    if !servers {
        world.start_control(0)?;
    }
    // A control that runs says what it knew until the database is another one, and may see that as soon as it comes.
    let (dead, started) = if servers { (after, before) } else { (before, after) };
    writer.resume(Some(copied));
    sleep(length / 2).await;
    history.restores.push(Restore { copied, dead, started, forks: Vec::new() });
    Ok(())
}

/// A standby takes over while the old primary still answers who is connected to it.
async fn promote(
    fault: Fault,
    world: &mut World,
    writer: &Writer,
    history: &mut History,
    length: Duration,
) -> Result<(), String> {
    let synchronous = fault != Fault::PromotedAsync;
    world.servers()?.follow(synchronous, Volume::Disk).map_err(|fault| text(&fault))?;
    world.recovered().await?;
    if fault == Fault::Switchover {
        let before = world.resets().await?;
        sleep(length / 4).await;
        world.servers()?.hand_over()?;
        sleep(length / 2).await;
        world.recovered().await?;
        let more = world.resets().await? - before;
        return if more == 0.0 { Ok(()) } else { Err(format!("a clean switchover sent {more} snapshots")) };
    }
    if synchronous {
        sleep(length / 4).await;
        world.servers()?.promote(true)?;
        sleep(length / 2).await;
        world.servers()?.fence()?;
        sleep(length / 4).await;
        return Ok(());
    }
    writer.pause().await;
    world.servers()?.caught_up()?;
    let copied = now();
    // If control could reach both, nobody could say from outside which of them took a write.
    world.servers()?.promote(false)?;
    writer.resume(None);
    sleep(length / 2).await;
    writer.pause().await;
    let started = now();
    world.servers()?.fence()?;
    let dead = now();
    writer.resume(Some(copied));
    sleep(length / 2).await;
    history.restores.push(Restore { copied, dead, started, forks: Vec::new() });
    Ok(())
}
