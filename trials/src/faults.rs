//! The faults: what each does to the world, and how it is healed.

use crate::history::{History, Restore, Window, now};
use crate::meddler::Mischief;
use crate::random::Random;
use crate::wire::Mode;
use crate::world::World;
use crate::writer::Writer;
use clap::ValueEnum;
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
    /// Control starts on an older copy of its database
    OldDatabase,
}

/// Of a thousand writes, those that wait for the edges: while an edge is cut off, and else.
const WAITING: (u32, u32) = (300, 60);

impl Fault {
    /// As on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
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
        let edge = u8::try_from(random.below(world.edges.len() as u32)).unwrap_or(0);
        let own = usize::from(edge);
        let from = now();
        let cut_off = matches!(self, Self::Cut | Self::Silent);
        writer.wait_for_edges(if cut_off { WAITING.0 } else { WAITING.1 });
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
                world.start_control()?;
                sleep(length / 2).await;
            }
            Self::ControlStopped => {
                world.control()?.signal("STOP");
                sleep(length).await;
                world.control()?.signal("CONT");
            }
            Self::Cut | Self::Silent => {
                world.edges[own].wire.set(if self == Self::Cut { Mode::Cut } else { Mode::Silent });
                sleep(length).await;
                world.edges[own].wire.set(Mode::Pass);
            }
            Self::Delay80 | Self::Delay200 => {
                let delay = Duration::from_millis(if self == Self::Delay80 { 80 } else { 200 });
                world.edges.iter().for_each(|edge| edge.wire.set(Mode::Delay(delay)));
                sleep(length).await;
            }
            Self::Drop => meddle(world, writer, Mischief::Drop, length).await?,
            Self::Duplicate => meddle(world, writer, Mischief::Duplicate, length).await?,
            Self::Reorder => meddle(world, writer, Mischief::Reorder, length).await?,
            Self::OldDatabase => put_back(world, writer, history, length).await?,
        }
        // With a delay still there: what is measured inside the window has all of it.
        let unrecovered = world.recovered().await.err();
        writer.resume(None);
        if let (Self::OldDatabase, Some(restore)) = (self, history.restores.last_mut()) {
            restore.forks = world.forks().await?;
        }
        if world.meddled() > 0 {
            println!("           {} messages were hit", world.meddled());
        }
        world.edges.iter().for_each(|edge| edge.wire.set(Mode::Pass));
        world.meddle(None).await?;
        let unrecovered = unrecovered.or(world.recovered().await.err());
        history.windows.push(Window { fault: self.name(), from, to: now(), unrecovered });
        Ok(())
    }
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

async fn put_back(
    world: &mut World,
    writer: &Writer,
    history: &mut History,
    length: Duration,
) -> Result<(), String> {
    writer.pause().await;
    world.control()?.stop()?;
    world.copy_database()?;
    let copied = now();
    world.start_control()?;
    writer.resume(None);
    sleep(length / 2).await;
    writer.pause().await;
    world.control()?.kill();
    let dead = now();
    world.put_database_back()?;
    let started = now();
    world.start_control()?;
    writer.resume(Some(copied));
    sleep(length / 2).await;
    history.restores.push(Restore { copied, dead, started, forks: Vec::new() });
    Ok(())
}
