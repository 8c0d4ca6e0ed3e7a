//! The servers: build from the settings, say where they listen, run until a signal, stop in order.

mod admin;
mod data;
mod ending;
mod numbers;
mod own_control;
mod reload;
mod supervisor;
mod up;
mod upgrade;

use crate::args::{
    ClickArgs, Command, Control, ControlArgs, ControlCommand, Edge, EdgeArgs, ProxyArgs, RedisArgs, Up,
};
use crate::client;
use crate::fault::CommandFault;
use crate::log::{self, LogForm, announce};
use crate::out;
use crate::settings::effect;
use control::StoreLocation;
pub use data::{directory, kept, store as location};
use edge::Address;
use ending::{Signals, end};
pub use numbers::BUILD;
use own_control::OwnControl;
use proto::client::Access;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use up::{Beginning, UpPlan};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Descriptors that no visitor gets: the admin listener's places, and as many for everything else.
const FILES_KEPT_BACK: usize = 2 * exposition::ADMIN_PLACES;

/// Both halves, which serve.
struct StartedBoth {
    edge: edge::EdgeServer,
    control: Arc<OwnControl>,
}

/// `linkr up`: both halves in one process. The edge follows over loopback, as it would from another machine.
pub fn up(args: Up, traces: Option<control::Traces>) -> Result<(), CommandFault> {
    if args.upgrade
        && let Some(done) = reload::in_background()
    {
        return done;
    }
    run(async {
        let mut signals = Signals::new()?;
        let plan = UpPlan::new(args, traces)?;
        let (args, drain) = (plan.args(), plan.args().drain);
        let StartedBoth { edge, control } = match plan.beginning().await? {
            // A signal waits until both halves run: they are stopped in order then.
            beginning @ (Beginning::Alone | Beginning::Behind) => plan.clone().start(beginning).await?,
            heir => upgrade::unless_asked_to_end(plan.clone().start(heir), &mut signals).await?,
        };
        if let Some(control) = &*control.running().await {
            announce_both(args, &edge, control);
        }
        let supervised = supervisor::supervise(edge.health());
        let signal = tokio::select! {
            signal = signals.asked(drain) => signal,
            () = edge.handed_over() => {
                supervised.end(); // the newcomer speaks for both from now on
                control.let_go();
                upgrade::leave(edge, drain, &mut signals).await;
                stopped("none: another process goes on in the place of this one");
                return Ok(());
            }
        };
        edge.drain();
        let control = control.take().await;
        end(Some(edge), control, drain, &mut signals).await;
        stopped(signal);
        Ok(())
    })
}

fn announce_both(args: &Up, edge: &edge::EdgeServer, control: &control::ControlServer) {
    let (insecure, tls) = (args.back.insecure, args.back.api_tls_cert.is_some());
    let first = data::key_file(&args.data_dir).filter(|_| !insecure);
    let (api, key) = (control.api(), data::own_key(&args.data_dir).filter(|_| !insecure));
    announce(&format!(
        "store    {}\n{}\n{}\n{}\n\ntry      {} link create https://example.com --code hello{}\nthen     curl -i {}/hello",
        control.store_name(),
        edge_lines(edge),
        api_line(api, tls),
        page_line(control, tls, key),
        own_name(),
        said_to_client(api, tls, first),
        asked_at(edge.listen()),
    ));
    edge_listens(edge, Some(control));
}

/// `linkr edge`.
pub fn edge(args: Edge) -> Result<(), CommandFault> {
    if args.upgrade
        && let Some(done) = reload::in_background()
    {
        return done;
    }
    run(async {
        let mut signals = Signals::new()?;
        let control = args.control.join(", ");
        let redis = edge_redis(&args.redis)?;
        let name = args.name.unwrap_or_else(host_name);
        let config = edge_config((&args.front, &args.behind), args.control, name, None)?;
        let (unpinned, snapshot, access) = (args.unpinned, args.snapshot, args.credential.access());
        let upgrade = args.upgrade;
        let clicks = args.clicks.config(snapshot.as_deref().map(ClickArgs::beside));
        let counts_none = clicks.is_none();
        let otlp = args.traces.otlp;
        let config = edge::Config { unpinned, snapshot, redis, access, clicks, otlp, ..config };
        let given = given_sockets()?;
        let edge = match upgrade {
            true => upgrade::take_over(config, given, &mut signals).await?,
            false => edge::start(config, given).map_err(CommandFault::new)?,
        };
        announce(&format!("control  {control}\n{}", edge_lines(&edge)));
        edge_listens(&edge, None);
        let supervised = supervisor::supervise(edge.health());
        if counts_none {
            tracing::info!(
                name: "clicks_not_counted",
                "this edge has no place to keep clicks in, and none of its redirects is counted: give --clicks-dir or --snapshot"
            );
        }
        let signal = tokio::select! {
            signal = signals.asked(args.drain) => signal,
            () = edge.handed_over() => {
                supervised.end(); // the newcomer speaks for both from now on
                upgrade::leave(edge, args.drain, &mut signals).await;
                stopped("none: another process goes on in the place of this one");
                return Ok(());
            }
        };
        end(Some(edge), None, args.drain, &mut signals).await;
        stopped(signal);
        Ok(())
    })
}

/// `linkr control`.
pub fn control(args: Control, traces: Option<control::Traces>) -> Result<(), CommandFault> {
    let store = data::store(&args.kept)?;
    if let Some(ControlCommand::MintKey(mint)) = &args.command {
        let store = store.open().map_err(CommandFault::new)?;
        let secret = control::keys::mint(&*store, mint.wish()?).map_err(CommandFault::new);
        store.close();
        return out::line(secret?.reveal());
    }
    if let Some(ControlCommand::BumpEpoch { above }) = args.command {
        let StoreLocation::Postgres(options) = store else {
            return Err(CommandFault::new("a start of control on SQLite begins a history by itself"));
        };
        let new = store::postgres::bump_epoch(&options, above).map_err(CommandFault::new)?;
        let text = format!("history {}-{:08x} begins at {}", new.epoch.counter, new.epoch.random, new.seq);
        return out::line(&text);
    }
    run(async {
        let mut signals = Signals::new()?;
        let tls = args.back.api_tls_cert.is_some();
        let config = control_config(store, args.back, &args.redis, &args.behind)?;
        let config = control::Config { traces, ..config };
        config.check().map_err(CommandFault::new)?;
        let mut given = given_sockets()?;
        let admin = admin::bind(args.admin, given.take_one("--admin", args.admin)).await?;
        let api = take_api(config.api, &mut given)?;
        given.all_taken("--api and --admin").map_err(CommandFault::new)?;
        let control = control::start_at(config, api).await.map_err(CommandFault::new)?;
        let health = admin::health(control.readiness());
        let address = admin::serve(admin, control.metrics(), health.clone());
        announce(&format!(
            "store    {}\n{}\nadmin    http://{address}",
            control.store_name(),
            api_line(control.api(), tls)
        ));
        let store = control.store_name();
        tracing::info!(name: "listening", api = %control.api(), admin = %address, store, version = VERSION, "control listens");
        supervisor::supervise(health);
        let signal = signals.asked(args.drain).await;
        end(None, Some(control), args.drain, &mut signals).await;
        stopped(signal);
        Ok(())
    })
}

/// The spans of a server that writes, if they have a receiver.
///
/// # Errors
/// One line about the receiver.
pub fn traces(asked: &Command) -> Result<Option<control::Traces>, CommandFault> {
    let traces = match asked {
        Command::Up(up) => &up.traces,
        Command::Control(control) if control.command.is_none() => &control.traces,
        _ => return Ok(None),
    };
    let traces = traces.otlp.as_deref().map(control::Traces::to).transpose();
    traces.map_err(|why| CommandFault::new(format_args!("--otlp: {why}")))
}

/// How a server's log looks; `None`: the command is none.
pub fn log_form(asked: &Command) -> Option<LogForm> {
    match asked {
        Command::Up(up) => Some(up.log.log_format),
        Command::Edge(edge) => Some(edge.log.log_format),
        Command::Control(control) => control.command.is_none().then_some(control.log.log_format),
        _ => None,
    }
}

fn run(server: impl Future<Output = Result<(), CommandFault>>) -> Result<(), CommandFault> {
    edge::raise_file_limit(); // each connection is one
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|fault| CommandFault::new(format_args!("cannot start: {fault}")))?;
    let ended = runtime.block_on(server);
    runtime.shutdown_background(); // what was cut is not waited for
    ended
}

/// What a start would say of its settings before it touches anything.
pub fn check(asked: &Command) -> Result<(), CommandFault> {
    let (front, back, redis, behind) = match asked {
        Command::Up(Up { front, back, redis, behind, .. }) => (Some(front), Some(back), redis, behind),
        Command::Control(Control { back, redis, behind, .. }) => (None, Some(back), redis, behind),
        Command::Edge(Edge { front, redis, behind, .. }) => (Some(front), None, redis, behind),
        _ => return Ok(()),
    };
    log::filter()?;
    effect::check(asked)?;
    if matches!(asked, Command::Control(Control { command: Some(_), .. })) {
        return Ok(()); // it asks the store only
    }
    if let Some(tls) = front.map(EdgeArgs::tls).transpose()?.flatten() {
        tls.check().map_err(CommandFault::new)?;
    }
    edge_redis(redis)?;
    let Some(back) = back else { return Ok(()) };
    let store = match asked {
        Command::Control(Control { kept, .. }) if !kept.store.starts_with("sqlite:") => data::store(kept)?,
        _ => StoreLocation::Sqlite(PathBuf::new()), // its directory is not made here
    };
    control_config(store, back.clone(), redis, behind)?.check().map_err(CommandFault::new)
}

fn control_config(
    store: StoreLocation,
    back: ControlArgs,
    redis: &RedisArgs,
    behind: &ProxyArgs,
) -> Result<control::Config, CommandFault> {
    let ControlArgs {
        api,
        insecure,
        api_tls_cert,
        api_tls_key,
        api_client_ca,
        more_schemes,
        own_hosts,
        base_url,
        reserved_codes,
        cors_origins,
    } = back;
    let tls = api_tls_cert.zip(api_tls_key);
    let tls = tls.map(|(cert, key)| control::TlsConfig { cert, key, client_ca: api_client_ca });
    let (shards, ca) = (redis.redis_shards, redis.redis_ca.clone());
    let redis = redis.url()?.map(|url| control::RedisConfig { url, shards, ca });
    let own_edge = None;
    Ok(control::Config {
        store,
        api,
        insecure,
        tls,
        own_edge,
        more_schemes,
        own_hosts,
        base_url,
        reserved_codes,
        redis,
        cors_origins,
        trusted_peers: behind.trusted_peers.clone(),
        link_files: Some(client::link_files()),
        traces: None,
        own_listeners: control::OwnListeners::default(),
    })
}

fn edge_config(
    (front, behind): (&EdgeArgs, &ProxyArgs),
    control: Vec<String>,
    name: String,
    control_metrics: Option<edge::MoreMetrics>,
) -> Result<edge::Config, CommandFault> {
    let &EdgeArgs { admin, workers, hot_set_bytes, idle_timeout, .. } = front;
    let (listen, proxies) = (front.listen.clone(), front.proxies(behind));
    let workers = match workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    let (unpinned, snapshot, redis, access) = (false, None, None, Access::default());
    let tls = front.tls()?;
    // In one process with control they share the descriptors.
    let of_control = control_metrics.as_ref().map_or(0, |_| control::descriptors(edge::file_limit()));
    let files_kept_back = FILES_KEPT_BACK + of_control;
    let more_metrics = control_metrics
        .into_iter()
        .chain([Arc::new(numbers::Process) as _, Arc::new(numbers::BUILD) as _])
        .collect();
    Ok(edge::Config {
        listen,
        idle_timeout,
        proxies,
        tls,
        admin,
        control,
        access,
        workers,
        unpinned,
        hot_set_bytes,
        name,
        snapshot,
        redis,
        files_kept_back,
        build: numbers::BUILD,
        more_metrics,
        clicks: None,
        otlp: None,
        control_health: None,
        shares: None,
    })
}

fn edge_redis(redis: &RedisArgs) -> Result<Option<edge::RedisConfig>, CommandFault> {
    let url = redis.url()?.map(|url| edge::RedisUrl::parse(&url)).transpose();
    let url = url.map_err(|why| CommandFault::new(format_args!("--redis {why}")))?;
    // As everywhere, if nothing else is said.
    let ca = redis.redis_ca.clone().or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
    Ok(url.map(|url| edge::RedisConfig { url, shards: redis.redis_shards, ca }))
}

/// Sockets that systemd has opened for this process.
fn given_sockets() -> Result<edge::GivenSockets, CommandFault> {
    edge::GivenSockets::passed().map_err(CommandFault::new)
}

fn take_api(
    api: SocketAddr,
    given: &mut edge::GivenSockets,
) -> Result<control::ReservedAddress, CommandFault> {
    match given.take_one("--api", api) {
        Some(given) => Ok(control::ReservedAddress::Given(given)),
        None => control::take(api).map_err(CommandFault::new),
    }
}

/// The line about where an edge listens, and the control in its process.
fn edge_listens(edge: &edge::EdgeServer, control: Option<&control::ControlServer>) {
    let (listen, admin, driver, workers) =
        (listed(edge.listen()), edge.admin(), edge.driver(), edge.workers());
    let tls = (!edge.listen_tls().is_empty()).then(|| tracing::field::display(listed(edge.listen_tls())));
    let api = control.map(|control| tracing::field::display(control.api()));
    let store = control.map(control::ControlServer::store_name);
    tracing::info!(
        name: "listening", %listen, tls, %admin, api, store, driver, workers, version = VERSION, "linkr listens"
    );
}

fn stopped(signal: &str) {
    tracing::info!(name: "stopped", signal, "everything has ended");
}

/// As it was called, so that the command to try works as it stands.
fn own_name() -> String {
    std::env::args().next().filter(|name| !name.contains(' ')).unwrap_or_else(|| "linkr".to_owned())
}

fn edge_lines(edge: &edge::EdgeServer) -> String {
    let (workers, driver) = (edge.workers(), edge.driver());
    let plural = if workers == 1 { "" } else { "s" };
    let more = |key: &str, all: Vec<String>| match all.as_slice() {
        [] => String::new(),
        all => format!("\n{key:<9}{}", all.join(", ")),
    };
    let (first, others) = edge.listen().split_first().unzip();
    let others = others.into_iter().flatten().map(|other| url("http", other)).collect();
    let tls = edge.listen_tls().iter().map(|tls| url("https", tls)).collect();
    format!(
        "edge     {}  ({workers} worker{plural}, {driver}){}{}\nadmin    http://{}",
        first.map_or_else(String::new, |first| url("http", first)),
        more("also", others),
        more("tls", tls),
        edge.admin()
    )
}

/// Where a listener is, for people.
fn url(scheme: &str, address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("{scheme}://{address}"),
        file => file.to_string(),
    }
}

fn listed(all: &[Address]) -> String {
    all.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
}

/// What curl is told to ask an edge on this machine.
fn asked_at(listen: &[Address]) -> String {
    match listen.iter().find_map(Address::tcp) {
        Some(address) => format!("http://{}", reachable(address)),
        None => match listen.first() {
            Some(Address::File(path)) => format!("--unix-socket {} http://localhost", path.display()),
            _ => String::new(),
        },
    }
}

/// Where the pages are. A terminal is shown an address that signs in, once: nobody else sees that.
fn page_line(control: &control::ControlServer, tls: bool, key: Option<String>) -> String {
    let base = format!("http{}://{}", if tls { "s" } else { "" }, reachable(control.api()));
    match key.filter(|_| std::io::stdout().is_terminal()) {
        Some(key) => format!(
            "page     {base}{}  (signs in once, for ten minutes)",
            control.sign_in_tickets().path(&key)
        ),
        None => format!("page     {base}/ui"),
    }
}

fn api_line(api: SocketAddr, tls: bool) -> String {
    format!("api      http{}://{api}", if tls { "s" } else { "" })
}

/// What a client has to be told besides its request, if anything.
fn said_to_client(api: SocketAddr, tls: bool, key: Option<PathBuf>) -> String {
    let mut said = String::new();
    if api.port() != 8081 || tls {
        said = format!(" --server http{}://{}", if tls { "s" } else { "" }, reachable(api));
    }
    if let Some(file) = key {
        said.push_str(&format!(" --key-file {}", file.display()));
    }
    said
}

/// The address by which this machine reaches a listener: loopback where it listens on every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "edge".to_owned() } else { name.trim().to_owned() }
}
