//! Every command and flag. Values come from flags, then `LINKR_…`, then `linkr.toml`, then the defaults here.

mod clicks;
mod copies;
mod doctor;
mod domains;
mod files;
mod keys;
mod links;
mod moments;
mod named;
#[cfg(test)]
mod page_commands;
mod tags;
mod tail;
mod targets;
mod values;

pub use self::clicks::{ClickArgs, ClickBy, ClickFilters, ClickOutput, Clicks, DeletedClicks};
pub use copies::{Backup, CopiedStore, StoreRestore};
pub use doctor::Doctor;
pub use domains::{DomainCommand, DomainFields, DomainWrite};
pub use files::{Conform, Export, ExportFormat, Format, Import, ReadArgs};
pub use keys::{Certs, Credential, EdgeCredential, FIRST_KEY, KeysCommand, Mint};
pub use links::{Ack, DeletedLinks, ExistingLink, Explain, LinkCommand, Restore, Update};
pub use moments::FlagTime;
pub use named::{AddressedCode, named};
pub use tags::TagCommand;
pub use tail::Tail;
pub use targets::TargetCommand;
pub use values::OwnFile;
pub use values::{base, column};

use moments::{moment, past_moment};
use values::{
    base_url, control_url, domain, front, idle, listener, receiver_url, server_url, size, store, time,
};

use crate::fault::CommandFault;
use crate::log::LogForm;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use edge::ListenAddress;
use exposition::Network;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A URL shortener: redirects from memory, and links that change everywhere at once.
///
/// Without a command: `up`.
#[derive(Parser)]
#[command(name = "linkr", version, disable_help_subcommand = true, subcommand_required = true)]
pub struct Linkr {
    /// The settings file [default: linkr.toml here, if there is one]
    #[arg(long, global = true, env = "LINKR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Runs both halves in one process, with its data in one directory
    Up(Up),
    /// Runs the reading half: answers redirects from memory
    Edge(Edge),
    /// Runs the writing half: keeps the links, serves the API
    Control(Control),
    /// Creates, reads, changes, deletes and lists links
    Link {
        /// What to do with links.
        #[command(subcommand)]
        command: LinkCommand,
    },
    /// Lists, renames and merges the tags of links
    Tag {
        /// What to do with tags.
        #[command(subcommand)]
        command: TagCommand,
    },
    /// Creates, reads, changes, deletes and lists domains
    Domain {
        /// What to do with domains.
        #[command(subcommand)]
        command: DomainCommand,
    },
    /// Blocks hosts that no link may lead to
    Target {
        /// What to do with hosts.
        #[command(subcommand)]
        command: TargetCommand,
    },
    /// Shows how often links of one domain were clicked, by whom, from where and when
    Clicks(Box<Clicks>),
    /// Shows the edges and the log they follow
    Feed {
        /// What to show.
        #[command(subcommand)]
        command: FeedCommand,
    },
    /// Takes many links from a file
    Import(Import),
    /// Writes every link of one domain, in the order of their codes
    Export(Export),
    /// Asks an edge for every link of a file: exit status 1 when an answer is another than the file's
    ///
    /// The edge is asked for 100 codes that no link has, too: linkr clicks --unknown shows them afterwards.
    Conform(Conform),
    /// Takes a copy of the store, while a linkr runs on it, and says at which position it is
    Backup(Backup),
    /// Puts a backup in the place of a store, and keeps the one that was there
    Restore(StoreRestore),
    /// Makes, lists and revokes the keys of the API
    Keys {
        /// What to do with keys.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Makes certificates for the API and for edges, with an authority of their own
    Certs(Certs),
    /// Asks an admin listener whether linkr is ready: exit status 0 or 1
    Healthcheck(Healthcheck),
    /// Looks at a deployment and says what would hurt, each with its way out: exit status 1 if anything would
    ///
    /// Put it in front of the command that starts the server: linkr doctor edge --name edge1 …
    Doctor(Box<Doctor>),
    /// Shows what an edge answers while it answers it, or its last slow answers with what came before
    Tail(Tail),
    /// Checks or prints the settings
    Config {
        /// What to do with the settings.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Writes a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Writes a man page for each command into a directory
    Man {
        /// The directory, which is made where it is absent.
        dir: PathBuf,
    },
}

/// What to show of the feed.
#[derive(Subcommand)]
pub enum FeedCommand {
    /// Each edge, how far it has come and whether it is blind; the log, and every history of it
    Status {
        #[command(flatten)]
        api: Api,
    },
    /// An edge that is gone for good: it is listed and waited for no more. Refused while it may still answer
    Forget {
        /// The edge's name.
        name: String,
        #[command(flatten)]
        api: Api,
    },
}

/// What to do with the settings.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Reads the settings file and says whether it is good
    Check,
    /// Prints every setting with the value that would be used, as a settings file
    Print,
}

/// Where redirects are answered.
#[derive(Args)]
pub struct EdgeArgs {
    /// Where redirects are answered: ADDRESS:PORT, :PORT for every address of this machine, localhost:PORT, or
    /// unix:PATH; several are separated by commas
    #[arg(long, env = "LINKR_LISTEN", value_delimiter = ',', default_value = "127.0.0.1:8080", value_name = "ADDR", value_parser = front)]
    pub listen: Vec<ListenAddress>,
    /// Where they are answered over TLS, besides; in the same forms [default: 127.0.0.1:8443 with --tls-cert]
    #[arg(long, env = "LINKR_LISTEN_TLS", value_delimiter = ',', value_name = "ADDR", value_parser = front)]
    pub listen_tls: Vec<ListenAddress>,
    /// How long a connection may wait between two requests (seconds, or with s, m, h or d): longer than the balancer in front
    /// keeps it (AWS: 60s, Google: 600s), or that one sends a request into a connection that closes
    #[arg(long, env = "LINKR_IDLE_TIMEOUT", default_value = "620s", value_parser = idle, value_name = "TIME")]
    pub idle_timeout: Duration,
    /// Whether a proxy in front says by the PROXY protocol (1 or 2) from whom a connection comes
    #[arg(long, env = "LINKR_PROXY_PROTOCOL", default_value = "off", value_name = "WHEN")]
    pub proxy_protocol: ProxyHeaders,
    /// Certificates (PEM) that visitors are shown, separated by commas: by the name they ask for, the first for all others;
    /// read again when they change [default: no TLS]
    #[arg(long, env = "LINKR_TLS_CERT", value_delimiter = ',', value_name = "FILE")]
    pub tls_cert: Vec<PathBuf>,
    /// Their private keys (PEM), separated by commas, in the same order
    #[arg(long, env = "LINKR_TLS_KEY", value_delimiter = ',', value_name = "FILE")]
    pub tls_key: Vec<PathBuf>,
    /// Keys by which visitors resume TLS sessions, one a line of 64 hexadecimal digits (openssl rand -hex 32): the first seals,
    /// all open; the same file for several edges, read again when it changes [default: keys of this edge's own]
    #[arg(long, env = "LINKR_TLS_TICKET_KEYS", value_name = "FILE")]
    pub tls_ticket_keys: Option<PathBuf>,
    /// Where health and metrics are served: ADDRESS:PORT, :PORT for every address of this machine, or localhost:PORT
    #[arg(long, env = "LINKR_ADMIN", default_value = "127.0.0.1:8082", value_name = "ADDR", value_parser = listener)]
    pub admin: SocketAddr,
    /// Threads that answer redirects; 0: one for each core
    #[arg(long, env = "LINKR_WORKERS", default_value_t = 0, value_name = "N", value_parser = workers())]
    pub workers: usize,
    /// Memory for links: bytes, or with KiB, MiB, GiB, KB, MB or GB; a million links take about 200MiB
    #[arg(long, env = "LINKR_HOT_SET_BYTES", default_value = "1GiB", value_parser = size, value_name = "SIZE")]
    pub hot_set_bytes: usize,
}

impl EdgeArgs {
    /// The proxies in front, which are at `behind`.
    pub fn proxies(&self, behind: &ProxyArgs) -> edge::Proxies {
        let protocol = match self.proxy_protocol {
            ProxyHeaders::Off => edge::ProxyProtocol::Off,
            ProxyHeaders::Accept => edge::ProxyProtocol::Accept,
            ProxyHeaders::Require => edge::ProxyProtocol::Require,
        };
        edge::Proxies { protocol, trusted: behind.trusted_peers.clone() }
    }

    /// TLS, if there is a certificate.
    ///
    /// # Errors
    /// One line about flags that do not go together.
    pub fn tls(&self) -> Result<Option<edge::TlsConfig>, CommandFault> {
        if self.tls_cert.len() != self.tls_key.len() {
            let (certs, keys) = (self.tls_cert.len(), self.tls_key.len());
            return Err(CommandFault::new(format_args!(
                "--tls-cert and --tls-key go together, one key for each certificate; here are {certs} and {keys}"
            )));
        }
        if self.tls_cert.is_empty() && !self.listen_tls.is_empty() {
            return Err(CommandFault::new("--listen-tls wants a certificate: --tls-cert and --tls-key"));
        }
        if self.tls_cert.is_empty() && self.tls_ticket_keys.is_some() {
            return Err(CommandFault::new("--tls-ticket-keys wants a certificate: --tls-cert and --tls-key"));
        }
        let usual = || vec![ListenAddress::At(([127, 0, 0, 1], 8443).into())];
        let listen = if self.listen_tls.is_empty() { usual() } else { self.listen_tls.clone() };
        let pairs: Vec<_> = self.tls_cert.iter().cloned().zip(self.tls_key.iter().cloned()).collect();
        let ticket_keys = self.tls_ticket_keys.clone();
        Ok(Some(edge::TlsConfig { listen, pairs, ticket_keys }).filter(|tls| !tls.pairs.is_empty()))
    }
}

/// The proxies in front of a server.
#[derive(Args, Clone)]
pub struct ProxyArgs {
    /// Where the proxies in front are, as networks such as 10.0.0.0/8, separated by commas: what they say of clients by the
    /// PROXY protocol and, to the API, by X-Forwarded-For is believed
    #[arg(long, env = "LINKR_TRUSTED_PEERS", value_delimiter = ',', value_name = "CIDR")]
    pub trusted_peers: Vec<Network>,
}

/// When a connection begins with a header of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProxyHeaders {
    /// Never
    Off,
    /// When it comes from a trusted peer that sends one
    Accept,
    /// Always: every connection comes from a trusted peer
    Require,
}

/// How a server ends when SIGTERM or SIGINT asks for it. A second signal ends it at once.
#[derive(Args, Clone, Copy)]
pub struct DrainArgs {
    /// How long it goes on accepting and answering, not ready any more, for balancers to notice: seconds, or with ms, s or m,
    /// at most an hour
    #[arg(long, env = "LINKR_DRAIN_DELAY", default_value = "0s", value_parser = time, value_name = "TIME")]
    pub drain_delay: Duration,
    /// How long what is under way and kept connections may take then: seconds, or with ms, s or m, at most an hour
    #[arg(long, env = "LINKR_DRAIN_TIMEOUT", default_value = "30s", value_parser = time, value_name = "TIME")]
    pub drain_timeout: Duration,
}

/// Where and how links are written.
#[derive(Args, Clone)]
pub struct ControlArgs {
    /// Where the API (gRPC and REST) is served: ADDRESS:PORT, :PORT for every address of this machine, or localhost:PORT;
    /// beyond this machine it wants TLS (--api-tls-cert)
    #[arg(long, env = "LINKR_API", default_value = "127.0.0.1:8081", value_name = "ADDR", value_parser = listener)]
    pub api: SocketAddr,
    /// Ask nobody for a key, and serve the API on any address without TLS: something else protects it
    #[arg(long, env = "LINKR_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: bool,
    /// The certificate (PEM) of the API, for https; read again when it changes
    #[arg(long, env = "LINKR_API_TLS_CERT", value_name = "FILE", requires = "api_tls_key")]
    pub api_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "LINKR_API_TLS_KEY", value_name = "FILE", requires = "api_tls_cert")]
    pub api_tls_key: Option<PathBuf>,
    /// Authorities (PEM) whose certificates let the edges that they name follow, without a key
    #[arg(long, env = "LINKR_API_CLIENT_CA", value_name = "FILE", requires = "api_tls_cert")]
    pub api_client_ca: Option<PathBuf>,
    /// Schemes that a target may have besides http and https, separated by commas [default: none]
    #[arg(long, env = "LINKR_MORE_SCHEMES", value_delimiter = ',', value_name = "SCHEME")]
    pub more_schemes: Vec<String>,
    /// Host names of your own short links besides domains, separated by commas: no target may be a link under them [default:
    /// none]
    #[arg(long, env = "LINKR_OWN_HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub own_hosts: Vec<String>,
    /// Where visitors of the default domain come in, such as https://go.example: links are shown with their address, and no
    /// target may be a link there
    #[arg(long, env = "LINKR_BASE_URL", value_name = "URL", value_parser = base_url)]
    pub base_url: Option<control::BaseUrl>,
    /// Codes that no link may be made under, in whatever case, separated by commas [default: none]
    #[arg(long, env = "LINKR_RESERVED_CODES", value_delimiter = ',', value_name = "CODE")]
    pub reserved_codes: Vec<String>,
    /// Sites whose pages may call the API from a browser, such as https://admin.example, separated by commas [default: none]
    #[arg(long, env = "LINKR_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Vec<String>,
}

/// Where traces go.
#[derive(Args, Clone)]
pub struct TraceArgs {
    /// The receiver of traces, by OTLP over gRPC: http://HOST:PORT or https://HOST:PORT, usually port 4317 [default: none;
    /// linkr tail --slow shows those of an edge all the same]
    #[arg(long, env = "LINKR_OTLP", value_name = "URL", value_parser = receiver_url)]
    pub otlp: Option<String>,
}

/// How a server keeps its log.
#[derive(Args, Clone, Copy)]
pub struct LogArgs {
    /// How a line of the log looks; the variable LINKR_LOG says which lines there are, such as info (default) or debug
    #[arg(long, env = "LINKR_LOG_FORMAT", default_value = "text", value_name = "FORM")]
    pub log_format: LogForm,
}

/// Which Redis holds a copy of the links.
#[derive(Args, Clone)]
pub struct RedisArgs {
    /// Redis between control and edges: redis://[user:password@]host[:port][/database], or rediss:// for TLS; nodes of
    /// a cluster are separated by commas
    #[arg(long, env = "LINKR_REDIS", hide_env_values = true, value_name = "URL")]
    pub redis: Option<String>,
    /// A file that holds this URL, for one with a password
    #[arg(long, env = "LINKR_REDIS_FILE", value_name = "FILE", conflicts_with = "redis")]
    pub redis_file: Option<PathBuf>,
    /// Parts of the copy with a position each, for a cluster: the same number for control and every edge
    #[arg(
        long,
        env = "LINKR_REDIS_SHARDS",
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub redis_shards: u16,
    /// Authorities (PEM) that rediss:// believes instead of the system's
    #[arg(long, env = "LINKR_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
}

impl RedisArgs {
    /// The URL, wherever it stands.
    pub fn url(&self) -> Result<Option<String>, CommandFault> {
        let Some(file) = &self.redis_file else { return Ok(self.redis.clone()) };
        match proto::file::read(file).and_then(proto::file::SmallFile::text) {
            Ok(url) => Ok(Some(url.trim().to_owned())),
            Err(fault) => Err(CommandFault::new(format_args!(
                "cannot read {}: {fault}: see --redis-file",
                file.display()
            ))),
        }
    }
}

/// `linkr up`.
#[derive(Args)]
pub struct Up {
    /// The directory that holds everything
    #[arg(long, env = "LINKR_DATA_DIR", default_value = "./linkr-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Go on in the place of the linkr up that runs with the same --data-dir, without a visitor's notice; without one, just start
    #[arg(long, env = "LINKR_UPGRADE", value_parser = clap::builder::BoolishValueParser::new())]
    pub upgrade: bool,
    /// The reading half.
    #[command(flatten)]
    pub front: EdgeArgs,
    /// The writing half.
    #[command(flatten)]
    pub back: ControlArgs,
    /// The proxies in front of the server.
    #[command(flatten)]
    pub behind: ProxyArgs,
    /// The copy between them.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// What is noted of clicks.
    #[command(flatten)]
    pub clicks: ClickArgs,
    /// The traces.
    #[command(flatten)]
    pub traces: TraceArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// How it ends.
    #[command(flatten)]
    pub drain: DrainArgs,
}

/// `linkr edge`.
#[derive(Args)]
pub struct Edge {
    /// The API of control, as a URL; of several that share one store, separated by commas
    #[arg(
        long,
        env = "LINKR_CONTROL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8081",
        value_name = "URL",
        value_parser = control_url
    )]
    pub control: Vec<String>,
    /// The name of this edge in control's metrics [default: the host's name]
    #[arg(long, env = "LINKR_NAME")]
    pub name: Option<String>,
    /// The file in which links are kept over a restart, for a start while control is away [default: none]
    #[arg(long, env = "LINKR_SNAPSHOT", value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// Go on in the place of the edge that runs with the same --snapshot, without a visitor's notice; without one, just start
    #[arg(long, env = "LINKR_UPGRADE", value_parser = clap::builder::BoolishValueParser::new())]
    pub upgrade: bool,
    /// Who it is for control.
    #[command(flatten)]
    pub credential: EdgeCredential,
    /// Do not tie each worker to a core: for several edges on one machine
    #[arg(long, env = "LINKR_UNPINNED", value_parser = clap::builder::BoolishValueParser::new())]
    pub unpinned: bool,
    /// The reading half.
    #[command(flatten)]
    pub front: EdgeArgs,
    /// The proxies in front of the server.
    #[command(flatten)]
    pub behind: ProxyArgs,
    /// The copy that is asked before control.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// What is noted of clicks.
    #[command(flatten)]
    pub clicks: ClickArgs,
    /// The traces.
    #[command(flatten)]
    pub traces: TraceArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// How it ends.
    #[command(flatten)]
    pub drain: DrainArgs,
}

/// `linkr control`.
#[derive(Args)]
pub struct Control {
    /// The links.
    #[command(flatten)]
    pub kept: StoreArgs,
    /// Where health and metrics are served: ADDRESS:PORT, :PORT for every address of this machine, or localhost:PORT
    #[arg(long, env = "LINKR_ADMIN", default_value = "127.0.0.1:8083", value_name = "ADDR", value_parser = listener)]
    pub admin: SocketAddr,
    /// The writing half.
    #[command(flatten)]
    pub back: ControlArgs,
    /// The proxies in front of the server.
    #[command(flatten)]
    pub behind: ProxyArgs,
    /// Where a copy is kept for the edges.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// The traces.
    #[command(flatten)]
    pub traces: TraceArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// How it ends.
    #[command(flatten)]
    pub drain: DrainArgs,
    /// Instead of running.
    #[command(subcommand)]
    pub command: Option<ControlCommand>,
}

/// What `linkr control` does instead of running.
#[derive(Subcommand)]
pub enum ControlCommand {
    /// Says that the database was put back on purpose: a new history begins with what it holds, and every edge begins
    /// anew
    BumpEpoch {
        /// The number of the history that control or an edge has seen, as their log says
        #[arg(long, default_value_t = 0, value_name = "N")]
        above: u32,
    },
    /// Writes a key straight into the store and prints it, for whoever has none yet
    MintKey(Mint),
}

/// Where the links of `linkr control` are kept.
#[derive(Args)]
pub struct StoreArgs {
    /// Where the links are kept: sqlite:PATH, or postgres://USER@HOST/DATABASE, which several controls may share
    #[arg(
        long,
        env = "LINKR_STORE",
        hide_env_values = true,
        default_value = "sqlite:linkr-data/linkr.db",
        value_parser = store
    )]
    pub store: String,
    /// PostgreSQL: a file with the password
    #[arg(long, env = "LINKR_STORE_PASSWORD_FILE", value_name = "FILE")]
    pub store_password_file: Option<PathBuf>,
    /// PostgreSQL: the same database past a PgBouncer and as the owner of the tables, for changes of them
    #[arg(long, env = "LINKR_STORE_DIRECT", hide_env_values = true, value_name = "URL", value_parser = store)]
    pub store_direct: Option<String>,
    /// PostgreSQL: a file with the owner's password, for --store-direct
    #[arg(long, env = "LINKR_STORE_DIRECT_PASSWORD_FILE", value_name = "FILE")]
    pub store_direct_password_file: Option<PathBuf>,
    /// PostgreSQL: begin a new history by itself when the database was replaced by an older or another state of it
    #[arg(long, env = "LINKR_AUTO_FORK", value_parser = clap::builder::BoolishValueParser::new())]
    pub auto_fork: bool,
    /// PostgreSQL: a primary is always stopped before another takes its place, so that what it answers holds
    #[arg(long, env = "LINKR_FENCED", value_parser = clap::builder::BoolishValueParser::new())]
    pub fenced: bool,
}

/// Which server a client asks for links.
#[derive(Args)]
pub struct Server {
    /// The server.
    #[command(flatten)]
    pub api: Api,
    /// The one domain whose links are meant, a host name; `-` is the default one
    #[arg(long, default_value = "-", value_parser = domain)]
    pub domain: String,
}

/// Which server a client asks.
#[derive(Args)]
pub struct Api {
    /// The API of a running linkr: a URL, HOST:PORT, or a port of this machine
    #[arg(long, env = "LINKR_SERVER", default_value = "http://127.0.0.1:8081", value_name = "URL", value_parser = server_url)]
    pub server: String,
    /// The key.
    #[command(flatten)]
    pub credential: Credential,
    /// How results are printed
    #[arg(short, long, env = "LINKR_OUTPUT", default_value = "text", value_name = "FORM")]
    pub output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For machines: the fields of the REST API
    Json,
    /// For scripts: of one link, the address under which people find it
    Url,
}

/// `linkr healthcheck`.
#[derive(Args)]
pub struct Healthcheck {
    /// The admin listener to ask: HOST:PORT, or a port of this machine [default: 127.0.0.1:8082, and 127.0.0.1:8083 where
    /// nothing listens there]
    #[arg(long, env = "LINKR_ADMIN", value_name = "ADDR")]
    pub admin: Option<String>,
}

/// More threads than any machine has cores for.
fn workers() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_fit_together() {
        Linkr::command().debug_assert();
    }
}
