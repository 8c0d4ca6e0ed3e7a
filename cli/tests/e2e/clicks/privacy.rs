//! No address of a visitor is anywhere: in no file, log, metric or message.

use super::{FIREFOX, asked, counted, law, settle_all, visit};
use crate::support::{Connection, Dir, Linkr, beside_others, text};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// Of networks for documentation (RFC 5737, RFC 3849): nothing else here has such an address.
const VISITORS: [&str; 3] = ["198.51.100.77", "203.0.113.123", "2001:db8:77:1234:abcd:ef01:2345:6789"];

/// An address in every form in which somebody could have written it.
fn forms(address: &str) -> Vec<Vec<u8>> {
    let ip: IpAddr = address.parse().unwrap();
    let mut forms = vec![address.as_bytes().to_vec()];
    match ip {
        IpAddr::V4(ip) => {
            forms.push(ip.octets().to_vec());
            forms.push(ip.octets().iter().rev().copied().collect());
            forms.push(ip.to_ipv6_mapped().to_string().into_bytes());
        }
        IpAddr::V6(ip) => {
            forms.push(ip.octets().to_vec());
            forms.push(ip.octets().iter().rev().copied().collect());
            // The half that names a person's network.
            forms.push(ip.octets()[..8].to_vec());
        }
    }
    forms
}

/// One of these that stands there. Files of rings are long, and this is not built to be quick: it looks only where one could
/// begin.
fn found<'a>(bytes: &[u8], forms: &'a [Vec<u8>]) -> Option<&'a [u8]> {
    let mut begins = [false; 256];
    forms.iter().for_each(|form| begins[usize::from(form[0])] = true);
    for (at, byte) in bytes.iter().enumerate() {
        if begins[usize::from(*byte)]
            && let Some(form) = forms.iter().find(|form| bytes[at..].starts_with(form))
        {
            return Some(form);
        }
    }
    None
}

fn files(dir: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => files(&path, all),
            path => all.push(path),
        }
    }
}

#[test]
fn no_file_log_metric_or_message_holds_an_address() {
    let _turn = beside_others();
    let dir = Dir::new();
    let env = [("LINKR_TRUSTED_PEERS", "127.0.0.1"), ("LINKR_LOG", "trace")];
    let mut linkr = Linkr::up_with(&dir, &env);
    linkr.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    linkr.ok(&dir, &["domain", "update", "-", "--stats", "full"]);
    linkr.catch_up();
    let forms: Vec<Vec<u8>> = VISITORS.iter().flat_map(|visitor| forms(visitor)).collect();
    let clean = |what: &str, bytes: &[u8]| {
        let seen = found(bytes, &forms);
        assert!(seen.is_none(), "{what} holds {seen:02x?}");
    };
    let look = |linkr: &Linkr| {
        let mut all = Vec::new();
        files(dir.path(), &mut all);
        assert!(all.iter().any(|file| file.starts_with(dir.path().join("data/clicks"))), "{all:?}");
        for file in all {
            // One that is gone by now held nothing that is kept.
            if let Ok(bytes) = fs::read(&file) {
                clean(&file.display().to_string(), &bytes);
            }
        }
        clean("the log", linkr.stderr().as_bytes());
        clean("/metrics", Connection::to(linkr.admin()).ask("GET", "/metrics").body.as_bytes());
    };
    let mut edge = Connection::to(linkr.edge());
    let mut visit_as = |visitor: &str| {
        visit(&mut edge, "GET", "/x", &[("User-Agent", FIREFOX), ("X-Forwarded-For", visitor)]);
    };
    (0..21).for_each(|round| visit_as(VISITORS[round % VISITORS.len()]));
    // While clicks are in the ring, too.
    look(&linkr);
    settle_all(&linkr);
    // Whoever followed it within ten seconds is no other visitor.
    let answer = asked(&linkr, "/v1/links/x:clicks?group_by=kind");
    assert_eq!(super::counts(&answer)["human"], 3, "{answer}");
    for visitor in VISITORS {
        visit_as(visitor);
        look(&linkr);
    }
    settle_all(&linkr);
    assert_eq!(counted(&linkr), 24);
    for path in ["/v1/clicks?group_by=kind,country", "/v1/links/x:clicks", "/v1/clicks:unknown"] {
        clean(path, asked(&linkr, path).to_string().as_bytes());
    }
    for words in [&["clicks", "--export", "-", "-o", "json"][..], &["clicks", "x", "--by", "day,kind"]] {
        let done = linkr.run(&dir, words);
        clean(&words.join(" "), &[done.stdout, done.stderr].concat());
    }
    let copy = ["backup", "copy.db", "--data-dir", "data"];
    let done = crate::support::command(crate::support::LINKR, dir.path()).args(copy).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    // Of a killed process everything lies as it was.
    visit_as(VISITORS[0]);
    linkr.kill();
    drop(linkr);
    let linkr = Linkr::up_with(&dir, &env);
    look(&linkr);
    crate::support::until("the click of the killed process", || (counted(&linkr) == 25).then_some(()));
    assert_eq!(law(&linkr).lost, 0);
}

/// Who objects is counted, and nothing else is kept of him.
#[test]
fn who_objects_is_counted_without_visitor_and_country() {
    let _turn = beside_others();
    let dir = Dir::new();
    let geo = super::mmdb::write(&[super::mmdb::Row {
        network: [198, 51, 100, 0],
        bits: 24,
        country: "DE".into(),
    }]);
    let geo = dir.write("countries.mmdb", geo);
    let linkr = Linkr::up_with(&dir, &[("LINKR_TRUSTED_PEERS", "127.0.0.1"), ("LINKR_GEO", &geo)]);
    linkr.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    linkr.ok(&dir, &["domain", "update", "-", "--stats", "full"]);
    linkr.catch_up();
    let mut edge = Connection::to(linkr.edge());
    for more in [("Sec-GPC", "1"), ("DNT", "1"), ("Sec-GPC", "1"), ("DNT", "0")] {
        let fields = [("User-Agent", FIREFOX), ("X-Forwarded-For", VISITORS[0]), more];
        visit(&mut edge, "GET", "/x", &fields);
    }
    settle_all(&linkr);
    let answer = asked(&linkr, "/v1/links/x:clicks?group_by=country");
    let countries = super::counts(&answer);
    assert_eq!((countries.get("-"), countries.get("DE")), (Some(&3), Some(&1)), "{answer}");
}
