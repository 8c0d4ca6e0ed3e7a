//! `linkr up`: both halves in one process, and how another process goes on in the place of one.

use super::own_control::{OfferedControl, OwnControl};
use super::{
    StartedBoth, control_config, data, edge_config, edge_redis, given_sockets, host_name, take_api, upgrade,
};
use crate::args::Up;
use crate::fault::CommandFault;
use control::keys::Secret;
use control::{ApiSockets, StoreLocation};
use data::DirectoryLock;
use edge::{Address, Asked, GivenSockets, Newcomer, SharedProcess};
use proto::client::{Access, KeySource};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// `up` announces itself when all links are loaded, or after so long: then it goes on loading.
const LOAD: Duration = Duration::from_secs(5);
/// For the kernel to give back what a process had that was killed.
const FREED: Duration = Duration::from_secs(5);
/// For the control of a process that takes over to open the store and to serve; callers wait meanwhile. Then the process that ran
/// opens it again.
const OPENS: Duration = Duration::from_secs(10);

/// What a start of both halves was asked for.
pub struct UpPlan {
    args: Up,
    redis: Option<edge::RedisConfig>,
    traces: Option<control::Traces>,
}

/// What a start begins with: nothing, or another process that runs.
pub enum Beginning {
    Alone,
    /// The process that ran has just been killed.
    Behind,
    /// One that runs hands over.
    Heir(Box<Newcomer>),
}

impl UpPlan {
    /// The data directory is made.
    pub fn new(args: Up, traces: Option<control::Traces>) -> Result<Arc<Self>, CommandFault> {
        let redis = edge_redis(&args.redis)?;
        data::directory(&args.data_dir)?;
        Ok(Arc::new(Self { args, redis, traces }))
    }

    pub fn args(&self) -> &Up {
        &self.args
    }

    /// By which another process finds this one, and gets its links.
    fn links(&self) -> PathBuf {
        self.args.data_dir.join("links")
    }

    /// With `--upgrade`, whether a process runs that hands over.
    pub async fn beginning(self: &Arc<Self>) -> Result<Beginning, CommandFault> {
        if !self.args.upgrade {
            return Ok(Beginning::Alone);
        }
        let links = self.links();
        let asked = blocking(move || Newcomer::ask(&links, &host_name()).map_err(CommandFault::new)).await?;
        Ok(match asked {
            Asked::Nobody => Beginning::Alone,
            Asked::Ended => Beginning::Behind,
            Asked::Agreed(newcomer) => Beginning::Heir(newcomer),
        })
    }

    pub async fn start(self: Arc<Self>, beginning: Beginning) -> Result<StartedBoth, CommandFault> {
        match beginning {
            Beginning::Alone => self.alone(given_sockets()?).await,
            Beginning::Behind => self.behind().await,
            Beginning::Heir(newcomer) => {
                upgrade::begins();
                let (given, runtime) = (given_sockets()?, Handle::current());
                blocking(move || self.take_over(newcomer, given, &runtime)).await
            }
        }
    }

    async fn behind(&self) -> Result<StartedBoth, CommandFault> {
        tracing::warn!(name: "handover_cut", "the process that ran has ended before it handed over: this one just starts");
        let until = Instant::now() + FREED;
        loop {
            match self.alone(GivenSockets::default()).await {
                Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
                started => return started,
            }
        }
    }

    async fn alone(&self, mut given: GivenSockets) -> Result<StartedBoth, CommandFault> {
        let lock = DirectoryLock::new(&self.args.data_dir)?;
        // The edge in this process has a key that ends with it.
        let config = self.control(Secret::new())?;
        let clicks = self.args.clicks.clone().config(Some(self.args.data_dir.join("clicks")));
        let checked = edge_config((&self.args.front, &self.args.behind), Vec::new(), String::new(), None)?;
        edge::check(&edge::Config { clicks, ..checked }, &given).map_err(CommandFault::new)?;
        let api = take_api(config.api, &mut given)?;
        let sockets = ApiSockets::at(api, &config).map_err(CommandFault::new)?;
        let held = sockets.held().map_err(CommandFault::new)?;
        let control = self.own_control(config, held, lock);
        control.start(sockets).await?;
        let edge = self.edge(&control, control.own_api())?;
        let edge = match edge::start(edge, given).map_err(CommandFault::new) {
            Ok(edge) => edge,
            Err(fault) => {
                if let Some(control) = control.take().await {
                    control.stop().await;
                }
                return Err(fault);
            }
        };
        let own = edge.listen().iter().chain(edge.listen_tls());
        control.knows_edge_at(own.filter_map(Address::tcp).collect());
        // Half of this process waits for the other: whoever reads what it announces can rely on that.
        let edge = blocking(move || {
            edge.wait_ready(LOAD);
            Ok(edge)
        });
        Ok(StartedBoth { edge: edge.await?, control })
    }

    fn control(&self, own: Secret) -> Result<control::Config, CommandFault> {
        let store = StoreLocation::Sqlite(self.args.data_dir.join("linkr.db"));
        let config = control_config(store, self.args.back.clone(), &self.args.redis, &self.args.behind)?;
        let config = control::Config { own_edge: Some(own), traces: self.traces.clone(), ..config };
        config.check().map_err(CommandFault::new)?;
        Ok(config)
    }

    fn own_control(
        &self,
        config: control::Config,
        held: control::HeldSockets,
        lock: DirectoryLock,
    ) -> Arc<OwnControl> {
        OwnControl::new(config, self.args.data_dir.clone(), self.args.drain.drain_timeout, held, lock)
    }

    /// An edge that follows the control in this process over loopback, as it would from another machine.
    fn edge(&self, control: &Arc<OwnControl>, own_api: String) -> Result<edge::Config, CommandFault> {
        let args = &self.args;
        let metrics: edge::MoreMetrics = control.clone();
        let config = edge_config((&args.front, &args.behind), vec![own_api], host_name(), Some(metrics))?;
        let key = KeySource::Text(control.own_key().to_owned());
        Ok(edge::Config {
            redis: self.redis.clone(),
            access: Access { key, ..Access::default() },
            clicks: args.clicks.clone().config(Some(args.data_dir.join("clicks"))),
            otlp: args.traces.otlp.clone(),
            control_health: Some(control.clone()),
            shares: Some(SharedProcess { links: self.links(), companion: control.clone() }),
            ..config
        })
    }

    /// Everything that can be tried is, before the process that runs closes its control.
    fn take_over(
        &self,
        mut newcomer: Box<Newcomer>,
        given: GivenSockets,
        runtime: &Handle,
    ) -> Result<StartedBoth, CommandFault> {
        let prepared = self.prepare(OfferedControl::of(newcomer.companion()));
        let (control, edge) = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => {
                newcomer.give_up(fault.message());
                return Err(fault);
            }
        };
        let loaded = newcomer.load(edge, given).map_err(CommandFault::new)?;
        let by = Instant::now() + OPENS;
        let mut opened = runtime.block_on(control.start_again(OPENS));
        while opened.is_err() && loaded.is_alone() && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(50)); // the kernel gives back what the other process had
            opened = runtime.block_on(control.start_again(OPENS));
        }
        if let Err(fault) = opened {
            loaded.give_up(fault.message());
            return Err(fault);
        }
        let own = loaded.edge().listen().iter().chain(loaded.edge().listen_tls());
        control.knows_edge_at(own.filter_map(Address::tcp).collect());
        match loaded.serve(by).map_err(CommandFault::new) {
            Ok(edge) => Ok(StartedBoth { edge, control }),
            Err(fault) => {
                runtime.block_on(control.leave()); // the process that ran opens the store again
                Err(fault)
            }
        }
    }

    /// A control in the place of the one that is offered, which still runs, and an edge that follows first that one and then this.
    fn prepare(
        &self,
        offered: Result<OfferedControl, CommandFault>,
    ) -> Result<(Arc<OwnControl>, edge::Config), CommandFault> {
        let OfferedControl { key, api, own_api, has_tls, sockets, lock } = offered?;
        let config = self.control(key)?;
        let is_same = config.api == api || config.api.port() == 0 && config.api.ip() == api.ip();
        if !is_same || config.tls.is_some() != has_tls {
            let over = |has_tls| if has_tls { " over TLS" } else { "" };
            return Err(CommandFault::new(format_args!(
                "the API of the process that runs is on {api}{}, and this one is to serve it on {}{}: the edge of that process, and \
                 whoever follows it, would lose control; stop that process and start this one",
                over(has_tls),
                config.api,
                over(config.tls.is_some())
            )));
        }
        if let StoreLocation::Sqlite(path) = &config.store {
            store::sqlite::can_open(path).map_err(CommandFault::new)?;
        }
        let control = self.own_control(config, sockets, lock);
        let edge = self.edge(&control, own_api)?;
        Ok((control, edge))
    }
}

async fn blocking<T: Send + 'static>(
    done: impl FnOnce() -> Result<T, CommandFault> + Send + 'static,
) -> Result<T, CommandFault> {
    let done = tokio::task::spawn_blocking(done).await;
    done.map_err(|fault| CommandFault::new(format_args!("cannot start: {fault}")))?
}
