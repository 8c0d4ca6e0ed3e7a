//! Settings that can never have the effect they were given for: refused before anything starts.

use crate::args::{
    ClickArgs, Command, Control, ControlArgs, Edge, EdgeArgs, EdgeCredential, ProxyHeaders, RedisArgs,
    StoreArgs,
};
use crate::fault::CommandFault;
use crate::secret;
use edge::ListenAddress;
use link::Code;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Less than this holds no handful of links.
const LEAST_HOT_SET: usize = 16 << 10;

/// Less than this takes no batch of clicks of a busy edge.
const LEAST_SPOOL: usize = 1 << 20;

/// Whether each setting of a server can do what it is for.
///
/// # Errors
/// The first that cannot, and what to do.
pub fn check(asked: &Command) -> Result<(), CommandFault> {
    match asked {
        Command::Up(up) => {
            listeners(&[
                ("--listen", &up.front.listen),
                ("--listen-tls", &up.front.listen_tls),
                ("--admin", &[ListenAddress::At(up.front.admin)]),
                ("--api", &[ListenAddress::At(up.back.api)]),
            ])?;
            front(&up.front, !up.behind.trusted_peers.is_empty())?;
            clicks(&up.clicks, true)?;
            back(&up.back)?;
            redis(&up.redis)
        }
        Command::Edge(asked) => {
            listeners(&[
                ("--listen", &asked.front.listen),
                ("--listen-tls", &asked.front.listen_tls),
                ("--admin", &[ListenAddress::At(asked.front.admin)]),
            ])?;
            front(&asked.front, !asked.behind.trusted_peers.is_empty())?;
            edge(asked)?;
            clicks(&asked.clicks, asked.snapshot.is_some())?;
            redis(&asked.redis)
        }
        Command::Control(Control { kept, admin, back: asked, redis: copy, command: None, .. }) => {
            listeners(&[
                ("--api", &[ListenAddress::At(asked.api)]),
                ("--admin", &[ListenAddress::At(*admin)]),
            ])?;
            store(kept)?;
            back(asked)?;
            redis(copy)
        }
        Command::Control(Control { kept, .. }) => store(kept),
        _ => Ok(()),
    }
}

fn never(text: std::fmt::Arguments<'_>) -> Result<(), CommandFault> {
    Err(CommandFault::new(text))
}

/// Two of one process cannot share an address.
fn listeners(all: &[(&str, &[ListenAddress])]) -> Result<(), CommandFault> {
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    let mut files: Vec<&PathBuf> = Vec::new();
    for (flag, listen) in all.iter().flat_map(|(flag, own)| own.iter().map(move |listen| (*flag, listen))) {
        if let ListenAddress::File(file) = listen {
            if files.contains(&file) {
                return never(format_args!("{flag} names unix:{} twice: leave one out", file.display()));
            }
            files.push(file);
        }
        for address in listen.addresses().into_iter().filter(|address| address.port() != 0) {
            let meets = |(_, other): &&(&str, SocketAddr)| {
                let any = address.ip().is_unspecified() || other.ip().is_unspecified();
                other.port() == address.port() && (other.ip() == address.ip() || any)
            };
            if let Some((other, _)) = taken.iter().find(meets) {
                return never(format_args!(
                    "{flag} and {other} are the same address, {address}: give each a port of its own"
                ));
            }
            taken.push((flag, address));
        }
    }
    Ok(())
}

/// `names`: some peers are trusted.
fn front(front: &EdgeArgs, names: bool) -> Result<(), CommandFault> {
    if front.hot_set_bytes < LEAST_HOT_SET {
        return never(format_args!(
            "--hot-set-bytes {} holds no links worth the name: give 16KiB or more; a million links take about 200MiB",
            front.hot_set_bytes
        ));
    }
    let by_files =
        front.listen.iter().chain(&front.listen_tls).all(|listen| matches!(listen, ListenAddress::File(_)));
    if front.proxy_protocol != ProxyHeaders::Off && !names && !by_files {
        return never(format_args!(
            "--proxy-protocol wants to know whose word counts: give --trusted-peers, the networks of the proxies in front"
        ));
    }
    Ok(())
}

/// `usual`: they have a place without a flag.
fn clicks(clicks: &ClickArgs, usual: bool) -> Result<(), CommandFault> {
    let ClickArgs { clicks_dir, clicks_spool_bytes, geo, ignore_clicks_from } = clicks;
    if clicks_dir.is_none() && !usual {
        let given = [
            ("--geo", geo.is_some()),
            ("--ignore-clicks-from", !ignore_clicks_from.is_empty()),
            ("--clicks-spool-bytes", *clicks_spool_bytes != ClickArgs::SPOOL_BYTES),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            return never(format_args!(
                "{flag} is for clicks, and this edge has no place for any: give --clicks-dir, or --snapshot"
            ));
        }
    }
    if let Some(dir) = clicks_dir {
        let (name, above) = (dir.display(), proto::own::folder_of(dir));
        if !above.is_dir() {
            return never(format_args!(
                "--clicks-dir {name}: there is no directory {}: make it first",
                above.display()
            ));
        }
        if dir.exists() && !dir.is_dir() {
            return never(format_args!("--clicks-dir {name} is a file: name a directory"));
        }
    }
    if *clicks_spool_bytes < LEAST_SPOOL {
        return never(format_args!(
            "--clicks-spool-bytes {clicks_spool_bytes} has no room for the clicks of a busy second: give 1MiB or more; a \
             million clicks take about 30MiB"
        ));
    }
    match geo {
        Some(file) if !file.exists() => never(format_args!(
            "--geo {}: there is no such file: put the database there first",
            file.display()
        )),
        Some(file) if file.is_dir() => {
            never(format_args!("--geo {} is a directory: name the database in it", file.display()))
        }
        _ => Ok(()),
    }
}

fn back(back: &ControlArgs) -> Result<(), CommandFault> {
    if back.api_tls_cert.is_some() != back.api_tls_key.is_some() {
        return never(format_args!(
            "--api-tls-cert and --api-tls-key go together: one alone turns no TLS on"
        ));
    }
    if back.api_client_ca.is_some() && back.api_tls_cert.is_none() {
        return never(format_args!(
            "--api-client-ca wants TLS on the API: give --api-tls-cert and --api-tls-key too"
        ));
    }
    for scheme in &back.more_schemes {
        link::more_scheme(scheme)
            .map_err(|why| CommandFault::new(format_args!("--more-schemes: '{scheme}' {why}")))?;
    }
    for host in &back.own_hosts {
        let port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        if host == "-" || host.contains("://") || port || link::read_host(host).is_none() {
            return never(format_args!(
                "--own-hosts: '{host}' is no host name: give names such as go.example, without scheme, port or path"
            ));
        }
    }
    for code in &back.reserved_codes {
        match Code::new(code.as_str()) {
            Ok(_) => {}
            Err(link::CodeFault::Reserved) => {
                return never(format_args!("--reserved-codes: '{code}' is reserved anyhow: leave it out"));
            }
            Err(why) => {
                return never(format_args!(
                    "--reserved-codes: '{code}' {why}: no link could have it, leave it out"
                ));
            }
        }
    }
    Ok(())
}

fn redis(redis: &RedisArgs) -> Result<(), CommandFault> {
    let url = redis.url()?;
    let Some(url) = url else {
        return match (redis.redis_shards, &redis.redis_ca) {
            (1, None) => Ok(()),
            (1, Some(_)) => never(format_args!("--redis-ca is for a Redis, and there is none: give --redis")),
            _ => never(format_args!("--redis-shards is for a Redis, and there is none: give --redis")),
        };
    };
    if redis.redis_ca.is_some() && !url.contains("rediss://") {
        return never(format_args!(
            "--redis-ca is for TLS, and the address of Redis has none: write rediss://"
        ));
    }
    Ok(())
}

fn store(kept: &StoreArgs) -> Result<(), CommandFault> {
    let StoreArgs { store, store_password_file, store_direct, store_direct_password_file, auto_fork, fenced } =
        kept;
    if store.starts_with("sqlite:") {
        let given = [
            ("--store-password-file", store_password_file.is_some()),
            ("--store-direct", store_direct.is_some()),
            ("--store-direct-password-file", store_direct_password_file.is_some()),
            ("--auto-fork", *auto_fork),
            ("--fenced", *fenced),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => never(format_args!(
                "{flag} is for PostgreSQL, and the links are kept in SQLite: give --store postgres://…, or leave it out"
            )),
            None => Ok(()),
        };
    }
    if store_direct.as_ref().is_some_and(|direct| direct.starts_with("sqlite:")) {
        return never(format_args!(
            "--store-direct has to be the same database as --store: postgres://OWNER@HOST/DATABASE"
        ));
    }
    if store_direct.is_none() && store_direct_password_file.is_some() {
        return never(format_args!("--store-direct-password-file is for --store-direct, which is not given"));
    }
    for (url, file, flag) in [
        (Some(store), store_password_file, "--store"),
        (store_direct.as_ref(), store_direct_password_file, "--store-direct"),
    ] {
        let own = url.is_some_and(|url| secret::without_password(url).is_some());
        if own && file.is_some() {
            return never(format_args!(
                "{flag} holds a password and {flag}-password-file another: leave one out"
            ));
        }
    }
    Ok(())
}

fn edge(edge: &Edge) -> Result<(), CommandFault> {
    for (at, url) in edge.control.iter().enumerate() {
        if edge.control[..at].iter().any(|other| other.trim_end_matches('/') == url.trim_end_matches('/')) {
            return never(format_args!("--control names {url} twice: name each control once"));
        }
    }
    if let Some(name) = edge.name.as_ref().filter(|name| name.trim().is_empty()) {
        return never(format_args!("--name '{name}' is no name: leave it out for the host's"));
    }
    if let Some(snapshot) = &edge.snapshot {
        snapshot_place(snapshot)?;
    } else if edge.upgrade {
        return never(format_args!(
            "--upgrade wants --snapshot: beside that file the process that runs is found, and by it the links come"
        ));
    }
    let EdgeCredential { control_ca, control_cert, control_cert_key, control_key, control_key_file, .. } =
        &edge.credential;
    if control_cert.is_some() != control_cert_key.is_some() {
        return never(format_args!(
            "--control-cert and --control-cert-key go together: one alone is no certificate"
        ));
    }
    if control_cert.is_some() && (control_key.is_some() || control_key_file.is_some()) {
        return never(format_args!(
            "--control-cert stands in for a key: leave --control-key and --control-key-file out, or it"
        ));
    }
    if edge.control.iter().any(|url| url.starts_with("https://")) {
        return Ok(());
    }
    match [("--control-ca", control_ca), ("--control-cert", control_cert)]
        .iter()
        .find(|(_, file)| file.is_some())
    {
        Some((flag, _)) => never(format_args!("{flag} is for TLS, and --control has none: write https://")),
        None => Ok(()),
    }
}

fn snapshot_place(snapshot: &Path) -> Result<(), CommandFault> {
    let name = snapshot.display();
    let dir = proto::own::folder_of(snapshot);
    if !dir.is_dir() {
        return never(format_args!(
            "--snapshot {name}: there is no directory {}: make it first",
            dir.display()
        ));
    }
    if snapshot.is_dir() {
        return never(format_args!("--snapshot {name} is a directory: name a file in it"));
    }
    Ok(())
}
