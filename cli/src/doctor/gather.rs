//! Facts, from everybody who has some. Nothing is judged here, and nothing is changed.

mod files;
mod machine;
mod running;

use super::facts::{Build, Facts, Front, PlaceUse, Settings};
use crate::address::is_here;
use crate::args::{
    ClickArgs, Command, Control, ControlArgs, Edge, EdgeArgs, EdgeCredential, FIRST_KEY, RedisArgs,
    StoreArgs, Up,
};
use crate::serve;
use control::{RedisConfig, RedisUse, StoreLocation};
use files::Named;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The parts of the settings of a server.
struct Parts<'a> {
    front: Option<&'a EdgeArgs>,
    back: Option<&'a ControlArgs>,
    store: Option<&'a StoreArgs>,
    credential: Option<&'a EdgeCredential>,
    redis: &'a RedisArgs,
    control: &'a [String],
    admin: String,
    /// A file of SQLite, of control or of `up`.
    sqlite: Option<PathBuf>,
    snapshot: Option<&'a Path>,
    clicks: Option<Spool<'a>>,
    /// The key of clients on this machine.
    key: Option<PathBuf>,
}

struct Spool<'a> {
    dir: PathBuf,
    args: &'a ClickArgs,
}

/// Everything that can be known of this server, which may run or not; `None`: the command starts none.
pub fn facts(server: &Command, also: &[String]) -> Option<Facts> {
    let parts = parts(server)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
    let build = serve::BUILD;
    let own = Build { version: build.version.to_owned(), commit: build.commit.to_owned() };
    let refused = serve::check(server).err().map(|fault| fault.message().to_owned());
    let url = parts.redis.url().ok().flatten();
    let settings = Settings {
        refused,
        api: parts.back.map(|back| back.api),
        insecure: parts.back.is_some_and(|back| back.insecure),
        control: parts.control.to_vec(),
        front: parts.front.map(|front| Front {
            hot_set_bytes: front.hot_set_bytes as u64,
            workers: front.workers,
            snapshot: parts.snapshot.is_some(),
            with_control: parts.back.is_some(),
            spool_bytes: parts.clicks.as_ref().map(|spool| spool.args.clicks_spool_bytes as u64),
            redis: url.is_some(),
            geo: parts.clicks.as_ref().is_some_and(|spool| spool.args.geo.is_some()),
        }),
        store_hosts: parts.store.map_or(0, |store| hosts(&store.store)),
        fenced: parts.store.is_some_and(|store| store.fenced),
        redis_open: url.as_deref().map(open_nodes).unwrap_or_default(),
    };
    let dirs = [
        (PlaceUse::Store, parts.sqlite.as_deref().map(proto::own::folder_of)),
        (PlaceUse::Snapshot, parts.snapshot.map(proto::own::folder_of)),
        (PlaceUse::Clicks, parts.clicks.as_ref().map(|spool| spool.dir.as_path())),
    ];
    let places = dirs.into_iter().filter_map(|(what, dir)| machine::place(what, dir?)).collect();
    let running = running::at(&parts.admin).ok();
    let others = also.iter().map(|address| (address.clone(), running::at(address))).collect();
    let use_of_redis = if parts.back.is_some() { RedisUse::Writes } else { RedisUse::Reads };
    let redis = url.map(|url| {
        let config = RedisConfig { url, shards: parts.redis.redis_shards, ca: parts.redis.redis_ca.clone() };
        control::redis_survey(&config, use_of_redis)
    });
    let postgres = parts.store.filter(|store| !store.store.starts_with("sqlite:")).map(|store| {
        match serve::location(store).map_err(|fault| fault.message().to_owned())? {
            StoreLocation::Postgres(options) => store::postgres::survey(&options),
            StoreLocation::Sqlite(_) => Err("it is SQLite".to_owned()),
        }
    });
    let sqlite = parts.sqlite.as_deref().map(store::sqlite::survey);
    let clicks_unusable = parts.sqlite.as_deref().and_then(files::clicks_unusable);
    let named = named(&parts);
    let left = parts.sqlite.iter().flat_map(|store| store::left(store));
    let left = left.chain(parts.snapshot.and_then(files::bad_beside)).collect();
    let secrets = files::secrets(&named);
    let certificates = files::certificates(&named);
    let machine = machine::machine();
    Some(Facts {
        now,
        own,
        settings,
        machine,
        places,
        secrets,
        certificates,
        left,
        running,
        others,
        sqlite,
        clicks_unusable,
        postgres,
        redis,
    })
}

fn parts(server: &Command) -> Option<Parts<'_>> {
    Some(match server {
        Command::Up(up) => {
            let Up { data_dir, front, back, redis, clicks, .. } = up;
            let dir = clicks.clicks_dir.clone().unwrap_or_else(|| data_dir.join("clicks"));
            Parts {
                front: Some(front),
                back: Some(back),
                store: None,
                credential: None,
                redis,
                control: &[],
                admin: front.admin.to_string(),
                sqlite: Some(data_dir.join("linkr.db")),
                snapshot: None,
                clicks: Some(Spool { dir, args: clicks }),
                key: Some(data_dir.join(FIRST_KEY)),
            }
        }
        Command::Edge(edge) => {
            let Edge { control, snapshot, credential, front, redis, clicks, .. } = edge;
            let snapshot = snapshot.as_deref();
            let dir = clicks.clicks_dir.clone().or_else(|| snapshot.map(ClickArgs::beside));
            Parts {
                front: Some(front),
                back: None,
                store: None,
                credential: Some(credential),
                redis,
                control,
                admin: front.admin.to_string(),
                sqlite: None,
                snapshot,
                clicks: dir.map(|dir| Spool { dir, args: clicks }),
                key: None,
            }
        }
        Command::Control(Control { kept, admin, back, redis, command: None, .. }) => Parts {
            front: None,
            back: Some(back),
            store: Some(kept),
            credential: None,
            redis,
            control: &[],
            admin: admin.to_string(),
            sqlite: kept.store.strip_prefix("sqlite:").map(PathBuf::from),
            snapshot: None,
            clicks: None,
            key: None,
        },
        _ => return None,
    })
}

/// The files that the settings name.
fn named<'a>(parts: &'a Parts<'a>) -> Vec<Named<'a>> {
    let mut all: Vec<Named<'a>> = Vec::new();
    let mut secret = |flag, path: Option<&'a Path>| all.extend(path.map(|path| Named::secret(flag, path)));
    secret("the first key", parts.key.as_deref());
    secret("--redis-file", parts.redis.redis_file.as_deref());
    if let Some(store) = parts.store {
        secret("--store-password-file", store.store_password_file.as_deref());
        secret("--store-direct-password-file", store.store_direct_password_file.as_deref());
    }
    if let Some(back) = parts.back {
        secret("--api-tls-key", back.api_tls_key.as_deref());
    }
    if let Some(front) = parts.front {
        front.tls_key.iter().for_each(|key| secret("--tls-key", Some(key.as_path())));
        secret("--tls-ticket-keys", front.tls_ticket_keys.as_deref());
    }
    if let Some(credential) = parts.credential {
        secret("--control-key-file", credential.control_key_file.as_deref());
        secret("--control-cert-key", credential.control_cert_key.as_deref());
    }
    let mut certificate =
        |flag, path: Option<&'a Path>| all.extend(path.map(|path| Named::certificate(flag, path)));
    certificate("--redis-ca", parts.redis.redis_ca.as_deref());
    if let Some(back) = parts.back {
        certificate("--api-tls-cert", back.api_tls_cert.as_deref());
        certificate("--api-client-ca", back.api_client_ca.as_deref());
    }
    if let Some(front) = parts.front {
        front.tls_cert.iter().for_each(|cert| certificate("--tls-cert", Some(cert.as_path())));
    }
    if let Some(credential) = parts.credential {
        certificate("--control-ca", credential.control_ca.as_deref());
        certificate("--control-cert", credential.control_cert.as_deref());
    }
    all
}

/// How many hosts the address of a database names.
fn hosts(url: &str) -> usize {
    let place = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    place.rsplit('@').next().map_or(0, |hosts| hosts.split(',').count())
}

/// Nodes of Redis beyond this machine that are asked without a password.
fn open_nodes(url: &str) -> Vec<String> {
    let nodes = url.split(',').map(str::trim);
    let open = nodes.filter(|node| !node.contains('@') && node.contains("://"));
    open.filter(|node| !is_here(node)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_a_database_and_nodes_that_ask_for_no_password() {
        assert_eq!(hosts("postgres://linkr:p@db-1,db-2:5433/linkr?sslmode=require"), 2);
        assert_eq!(hosts("postgres://db/linkr"), 1);
        assert_eq!(open_nodes("redis://cache"), ["redis://cache"]);
        assert_eq!(open_nodes("redis://u:p@cache,redis://127.0.0.1:7000"), Vec::<String>::new());
    }
}
