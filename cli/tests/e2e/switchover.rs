//! The commands of `docs/switchover.md`, run as they stand there on two real servers, while links are written.

use crate::manual::Page;
use crate::stores::{catch_up, control, edge};
use crate::support::{Connection, Dir, Linkr, beside_others, skip, until};
use services::{Postgres, ServerFault};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// For a call that finds no primary.
const PAUSE: Duration = Duration::from_millis(50);

/// The commands of the page, below a heading.
fn blocks(heading: &str) -> Vec<String> {
    Page::at("docs/switchover.md").blocks(heading)
}

/// Writes that are repeated until they are acknowledged, at one control and the other.
#[derive(Default)]
struct Writes {
    acknowledged: AtomicUsize,
    longest_ms: AtomicUsize,
    end: AtomicBool,
}

impl Writes {
    fn go_on(&self, controls: [&Linkr; 2]) {
        while !self.end.load(Ordering::Relaxed) {
            let (number, began) = (self.acknowledged.load(Ordering::Relaxed), Instant::now());
            until("a write to be acknowledged", || {
                [0, 1].into_iter().find(|at| {
                    let id = format!("w{number}");
                    let body = format!("{{\"code\":\"{id}\",\"target\":\"https://example.com/{number}\"}}");
                    let mut connection = Connection::to(controls[*at].api());
                    let answer =
                        connection.call_with("POST", "/v1/links", &[("Idempotency-Key", &id)], &body);
                    let answer = answer.unwrap().unwrap();
                    assert!([201, 503, 504].contains(&answer.status), "{answer:?}");
                    let done = answer.status == 201;
                    std::thread::sleep(if done { Duration::ZERO } else { PAUSE });
                    done
                })
            });
            self.longest_ms.fetch_max(began.elapsed().as_millis() as usize, Ordering::Relaxed);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn until_more(&self) {
        let from = self.acknowledged.load(Ordering::Relaxed);
        until("writes", || (self.acknowledged.load(Ordering::Relaxed) >= from + 20).then_some(()));
    }
}

/// The history that control tells of.
fn history(dir: &Dir, control: &Linkr) -> String {
    let status = control.ok(dir, &["feed", "status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["histories"].to_string()
}

#[test]
fn the_page_switches_over_and_back_and_nothing_is_lost() {
    let name = "the_page_switches_over_and_back_and_nothing_is_lost";
    let mut old = match Postgres::start(&["fsync=off"]) {
        Ok(server) => server,
        Err(fault @ ServerFault::Missing(_)) => return skip(name, &fault.to_string()),
        Err(fault) => panic!("{fault}"),
    };
    let Some(old_data) = old.data() else { return skip(name, "LINKR_TEST_POSTGRES cannot be stopped") };
    let _turn = beside_others();
    let url = old.create("linkr").unwrap();
    let folder = old.folder_beside().unwrap();
    let (old_data, new_data) =
        (old_data.display().to_string(), folder.path().join("data").display().to_string());

    let standby = blocks("A standby");
    let [copy, wait] = standby.as_slice() else { panic!("{standby:?}") };
    old.shell(copy, &[("OLD", &url), ("NEW_DATA", &new_data)]).unwrap();
    let mut new = old.beside(folder).unwrap();
    let new_url = new.url("linkr");
    old.shell(wait, &[("OLD", &url)]).unwrap();

    let port = |server: &Postgres| server.port().unwrap();
    let both =
        url.replace(&format!(":{}/", port(&old)), &format!(":{},127.0.0.1:{}/", port(&old), port(&new)));
    let dirs = [Dir::new(), Dir::new(), Dir::new()];
    let controls = [0, 1].map(|at| control(&dirs[at], &both));
    let edge = edge(&dirs[2], &controls[0]);
    let (before, writes) = (history(&dirs[0], &controls[0]), Writes::default());
    let resets = || edge.metric("linkr_feed_resets_total").unwrap();
    until("all links", || (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(()));
    let first = resets();
    std::thread::scope(|scope| {
        scope.spawn(|| writes.go_on(controls.each_ref()));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            writes.until_more();
            switch(&mut old, &mut new, [&url, &new_url, &old_data, &new_data]);
            writes.until_more();
            // And back, by the same commands.
            switch(&mut new, &mut old, [&new_url, &url, &new_data, &old_data]);
            writes.until_more();
        }));
        writes.end.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let (written, longest) = (writes.acknowledged.into_inner(), writes.longest_ms.into_inner());
    eprintln!("{name}: {written} writes over two switchovers, the longest waited {longest} ms");
    let found = controls[1].ok(&dirs[1], &["export"]).lines().count() - 1; // a line of names
    assert_eq!(found, written);
    assert_eq!(history(&dirs[0], &controls[0]), before, "no history began");
    catch_up(&edge, &controls[0]);
    assert_eq!(resets(), first, "it begins anew: {}", edge.stderr());
    assert_eq!(edge.get("/w0").location(), "https://example.com/0");
}

/// The old one is stopped, the new one promoted; then the old one follows, and commits wait for it.
fn switch(old: &mut Postgres, new: &mut Postgres, [url, new_url, old_data, new_data]: [&str; 4]) {
    let variables = [("OLD", url), ("NEW", new_url), ("OLD_DATA", old_data), ("NEW_DATA", new_data)];
    let steps = blocks("The switchover");
    let [look, stop, promote] = steps.as_slice() else { panic!("{steps:?}") };
    until("the standby to have everything", || {
        (old.shell(look, &variables).unwrap() == "streaming|sync|t").then_some(())
    });
    new.shell(stop, &variables).unwrap();
    new.shell(promote, &variables).unwrap();
    let follow = blocks("The old server as the standby").concat();
    new.shell(&follow, &variables).unwrap();
    old.start_again().unwrap();
    let wait = blocks("A standby").remove(1).replace("$OLD", "$NEW");
    new.shell(&wait, &variables).unwrap();
}
