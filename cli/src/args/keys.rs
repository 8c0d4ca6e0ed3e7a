//! The flags of `linkr keys …` and `linkr certs`, and how a client says who it is.

use super::{Api, FlagTime, moment, values};
use crate::address::is_here;
use crate::fault::CommandFault;
use clap::{Args, Subcommand};
use control::keys::KeyDraft;
use proto::client::{Access, KeySource};
use std::path::PathBuf;
use store::model::Scopes;

/// In a data directory: the key of clients on this machine.
pub const FIRST_KEY: &str = "admin.key";

/// What to do with keys.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Makes a key and prints it, once
    Create {
        /// Who will use it; a client has at most two keys for the same domains [default: the name of the edge]
        #[arg(required_unless_present = "edge")]
        client: Option<String>,
        /// What it allows: links:read, links:write, clicks:read, clicks:delete, domains:admin, keys:admin, feed
        #[arg(
            long,
            visible_alias = "scope",
            value_delimiter = ',',
            default_value = "links:read,links:write",
            value_name = "SCOPE"
        )]
        scopes: Vec<String>,
        /// The domains that it is for [default: all]
        #[arg(long, value_delimiter = ',', value_name = "DOMAIN")]
        domains: Vec<String>,
        /// The edge that a key with scope feed lets in, by the name that it runs under (linkr edge --name)
        #[arg(long, value_name = "NAME")]
        edge: Option<String>,
        /// From when on it is refused: a time with its offset such as 2030-01-31T12:00Z (Z: UTC), or so long from now such as
        /// 90d (units: s, m for minutes, h, d, w) [default: never]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        expire_time: Option<FlagTime>,
        #[command(flatten)]
        api: Api,
    },
    /// Lists keys, without their secrets
    List {
        /// Revoked ones, too
        #[arg(long)]
        show_revoked: bool,
        #[command(flatten)]
        api: Api,
    },
    /// Makes a second key for the client of one, and prints it; revoke the first when nobody uses it any more
    Rotate {
        /// The first one's id
        id: String,
        /// From when on the second is refused, as in 'keys create' [default: as long from now on as the first was made for]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        expire_time: Option<FlagTime>,
        #[command(flatten)]
        api: Api,
    },
    /// Ends a key, or the certificates of an edge, on every server within a second
    Revoke {
        /// Its id; edge:NAME for certificates of this name
        id: String,
        #[command(flatten)]
        api: Api,
    },
    /// Shows who made and revoked keys, and who wrote domains and blocks
    Audit {
        /// Only this one: keys/ID, domains/DOMAIN or blocks/HOST
        name: Option<String>,
        /// How many writes at most
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
        page_size: i32,
        /// Goes on after an earlier page
        #[arg(long, value_name = "TOKEN")]
        page_token: Option<String>,
        #[command(flatten)]
        api: Api,
    },
}

/// `linkr certs`.
#[derive(Args)]
pub struct Certs {
    /// The directory that they are written to; the authority that an earlier one made there signs them
    pub dir: PathBuf,
    /// A name of an edge (linkr edge --name); may be given several times
    #[arg(long, value_name = "NAME")]
    pub edge: Vec<String>,
    /// A name or address that the API is reached by; may be given several times
    #[arg(long, value_name = "HOST", default_values = ["localhost", "127.0.0.1"])]
    pub host: Vec<String>,
    /// For how long the certificates are good, at most 825 days; a new authority is good for ten years
    #[arg(long, value_name = "DAYS", default_value = "90", value_parser = values::days)]
    pub days: u32,
}

/// The key of a client.
#[derive(Args)]
pub struct Credential {
    /// The key that is shown to the server; a file keeps it out of the list of processes
    #[arg(long, env = "LINKR_KEY", hide_env_values = true, value_name = "KEY", conflicts_with = "key_file")]
    pub key: Option<String>,
    /// A file that holds it [default: admin.key in ./linkr-data, or in the directory that LINKR_DATA_DIR names, if there is
    /// one and the server is on this machine]
    #[arg(long, env = "LINKR_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Authorities (PEM) that https:// believes instead of the system's
    #[arg(long, env = "LINKR_SERVER_CA", value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
}

impl Credential {
    /// How this server is reached.
    pub fn access(&self, server: &str) -> Access {
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) => KeySource::Text(key.clone()),
            (None, Some(file)) => KeySource::File(file.clone()),
            // The key of this machine is shown to nobody else.
            (None, None) => match Some(first_key()).filter(|file| is_here(server) && file.exists()) {
                Some(file) => KeySource::File(file),
                None => KeySource::None,
            },
        };
        Access { key, ca: self.server_ca.clone(), identity: None }
    }

    /// File in which a key was looked for, and which is not there; `None`: it cannot be told, or a server elsewhere is shown none.
    pub fn looked_for(&self, server: &str) -> Option<PathBuf> {
        let file = std::path::absolute(first_key()).unwrap_or_else(|_| first_key());
        (is_here(server) && matches!(file.try_exists(), Ok(false))).then_some(file)
    }

    /// Where the key that this server is shown comes from.
    pub fn origin(&self, server: &str) -> Option<String> {
        match self.access(server).key {
            KeySource::None => None,
            KeySource::Text(_) => Some("--key or LINKR_KEY".to_owned()),
            KeySource::File(file) => Some(file.display().to_string()),
        }
    }
}

/// Where the first start of `linkr up` puts a key, with its data where this environment has them.
fn first_key() -> PathBuf {
    let dir = std::env::var_os("LINKR_DATA_DIR").map_or_else(|| PathBuf::from("linkr-data"), PathBuf::from);
    dir.join(FIRST_KEY)
}

/// How an edge says who it is.
#[derive(Args)]
pub struct EdgeCredential {
    /// The key (scope feed, for the name of this edge) that is shown to control; a file keeps it out of the list of processes
    #[arg(long, env = "LINKR_CONTROL_KEY", hide_env_values = true, value_name = "KEY")]
    pub control_key: Option<String>,
    /// A file that holds it; read again for each connection
    #[arg(long, env = "LINKR_CONTROL_KEY_FILE", value_name = "FILE", conflicts_with = "control_key")]
    pub control_key_file: Option<PathBuf>,
    /// Authorities (PEM) that https:// to control believes instead of the system's
    #[arg(long, env = "LINKR_CONTROL_CA", value_name = "FILE")]
    pub control_ca: Option<PathBuf>,
    /// The certificate (PEM) of this edge, in place of a key; read again for each connection
    #[arg(long, env = "LINKR_CONTROL_CERT", value_name = "FILE", requires = "control_cert_key")]
    pub control_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "LINKR_CONTROL_CERT_KEY", value_name = "FILE", requires = "control_cert")]
    pub control_cert_key: Option<PathBuf>,
}

impl EdgeCredential {
    /// How control is reached.
    pub fn access(self) -> Access {
        let key = match (self.control_key, self.control_key_file) {
            (Some(key), _) => KeySource::Text(key),
            (None, Some(file)) => KeySource::File(file),
            (None, None) => KeySource::None,
        };
        Access { key, ca: self.control_ca, identity: self.control_cert.zip(self.control_cert_key) }
    }
}

/// `linkr control mint-key`.
#[derive(Args)]
pub struct Mint {
    /// Who will use it
    #[arg(long, default_value = "admin")]
    pub name: String,
    /// What it allows: links:read, links:write, clicks:read, clicks:delete, domains:admin, keys:admin, feed
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "links:read,links:write,clicks:read,clicks:delete,domains:admin,keys:admin",
        value_name = "SCOPE"
    )]
    pub scopes: Vec<String>,
    /// The edge that a key with scope feed lets in, by the name that it runs under (linkr edge --name)
    #[arg(long, value_name = "NAME")]
    pub edge: Option<String>,
}

impl Mint {
    /// The key that is asked for.
    pub fn wish(&self) -> Result<KeyDraft, CommandFault> {
        let parsed = Scopes::parse(self.scopes.iter().map(String::as_str));
        let scopes = parsed.map_err(|name| CommandFault::new(format_args!(
                "--scopes: {name} is none: there are links:read, links:write, clicks:read, clicks:delete, domains:admin, \
                 keys:admin and feed"
            )))?;
        Ok(KeyDraft { client: self.name.clone(), scopes, edge: self.edge.clone(), ..KeyDraft::admin() })
    }
}
