//! What the settings and the files that they name make of a deployment.

use super::{Check, Finding};
use crate::address::is_here;
use crate::doctor::facts::Facts;

pub const CHECKS: &[Check] = &[refused, keyless, in_the_clear, no_snapshot, open_secrets, certificates, left];

/// Days in which somebody can still renew a certificate in peace. `LinkrCertificateExpires` has the same.
const SOON: i64 = 14 * 86_400;
const DAY: i64 = 86_400;

fn refused(facts: &Facts) -> Vec<Finding> {
    let refused = facts.settings.refused.as_ref();
    let way_out = "change the setting that it names: until then no start succeeds";
    refused.map(|why| Finding::new("settings_refused", why.clone(), way_out)).into_iter().collect()
}

fn keyless(facts: &Facts) -> Vec<Finding> {
    let Some(api) = facts.settings.api.filter(|_| facts.settings.insecure) else { return Vec::new() };
    vec![if api.ip().to_canonical().is_loopback() {
        Finding::new(
            "api_keyless",
            format!(
                "the API at {api} asks nobody for a key: every user of this machine changes every link, and so does a web \
                     page that a browser here shows (DNS rebinding)"
            ),
            "leave --insecure out; the key is in admin.key of the data directory, or made by linkr control mint-key",
        )
    } else {
        Finding::new(
            "api_open",
            format!(
                "the API at {api} asks nobody for a key: whoever reaches that address changes every link"
            ),
            "leave --insecure out and give --api-tls-cert and --api-tls-key; or let nobody else into that network",
        )
    }]
}

fn in_the_clear(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for url in facts.settings.control.iter().filter(|url| url.starts_with("http://") && !is_here(url)) {
        found.push(Finding::new(
            "control_in_clear",
            format!("this edge follows {url} without TLS: whoever is on the way reads its key, and may change where links lead"),
            "give control --api-tls-cert and --api-tls-key, and write https:// here",
        ));
    }
    for url in &facts.settings.redis_open {
        found.push(Finding::new(
            "redis_open",
            format!("{url} is asked without a password: whoever reaches that Redis changes where links lead"),
            "make the two users of deploy/redis-acl.conf, and put the URL with its password into a file (--redis-file)",
        ));
    }
    found
}

fn no_snapshot(facts: &Facts) -> Vec<Finding> {
    let Some(front) = facts.settings.front.as_ref() else { return Vec::new() };
    if front.snapshot || front.with_control {
        return Vec::new();
    }
    let clicks = if front.spool_bytes.is_none() { ", and none of its redirects is counted" } else { "" };
    vec![Finding::new(
        "no_snapshot",
        format!(
            "this edge keeps no file of its links: a start while control is away has none, another process cannot go on in \
                 its place (--upgrade){clicks}"
        ),
        "give --snapshot FILE, on a disk that outlives the process",
    )]
}

fn open_secrets(facts: &Facts) -> Vec<Finding> {
    let open = facts.secrets.iter().filter(|secret| secret.is_open);
    let found = open.map(|secret| {
        let (flag, file) = (secret.flag, secret.path.display());
        Finding::new(
            "secret_readable",
            format!("{file} ({flag}) holds a secret, and other users of this machine may read it"),
            format!("chmod 600 {file}; if somebody else was there, make another secret"),
        )
    });
    found.collect()
}

fn certificates(facts: &Facts) -> Vec<Finding> {
    let soon = facts.certificates.iter().filter(|one| one.ends - facts.now < SOON);
    let found = soon.map(|one| {
        let (flag, file, left) = (one.flag, one.path.display(), one.ends - facts.now);
        let when = match left {
            ..0 => format!("has expired {} days ago", -left / DAY),
            _ => format!("expires in {} days", left / DAY),
        };
        Finding::new(
            "certificate_ends",
            format!("the certificate in {file} ({flag}) {when}: from then on nobody who checks it connects"),
            "renew it and put it into the same file: it is read again within a second, nothing has to be restarted",
        )
    });
    found.collect()
}

fn left(facts: &Facts) -> Vec<Finding> {
    let found = facts.left.iter().map(|file| {
        let file = file.display();
        Finding::new(
            "left_over",
            format!("{file} was left by a backup or restore that was killed, or is a snapshot that could not be read; it takes room"),
            format!("look that nothing is missed, and remove {file}"),
        )
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::finds;
    use super::*;

    #[test]
    fn settings_that_a_start_refuses() {
        let found = finds("settings_refused", |facts| {
            facts.settings.refused = Some("--admin and --api are the same".into());
        });
        assert!(found.cause.contains("--admin"));
    }

    #[test]
    fn an_api_that_asks_for_no_key() {
        finds("api_keyless", |facts| facts.settings.insecure = true);
        finds("api_open", |facts| {
            (facts.settings.insecure, facts.settings.api) = (true, Some(([0, 0, 0, 0], 8081).into()));
        });
    }

    #[test]
    fn what_goes_over_a_network_in_the_clear() {
        finds("control_in_clear", |facts| facts.settings.control.push("http://10.0.0.1:8081".into()));
        finds("redis_open", |facts| facts.settings.redis_open.push("redis://cache".into()));
    }

    #[test]
    fn an_edge_without_a_snapshot() {
        finds("no_snapshot", |facts| facts.settings.front.as_mut().unwrap().snapshot = false);
    }

    #[test]
    fn secrets_that_others_read() {
        let found = finds("secret_readable", |facts| facts.secrets[0].is_open = true);
        assert_eq!(found.way_out, "chmod 600 tls.key; if somebody else was there, make another secret");
    }

    #[test]
    fn certificates_that_end_soon() {
        let soon = finds("certificate_ends", |facts| facts.certificates[0].ends = facts.now + 10 * DAY);
        assert!(soon.cause.contains("expires in 10 days"), "{}", soon.cause);
        let past = finds("certificate_ends", |facts| facts.certificates[0].ends = facts.now - 3 * DAY);
        assert!(past.cause.contains("has expired 3 days ago"), "{}", past.cause);
    }

    #[test]
    fn what_was_left() {
        finds("left_over", |facts| facts.left.push("linkr.db.new-0123".into()));
    }
}
