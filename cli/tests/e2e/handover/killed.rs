//! kill -9 of either process at each step of a hand-over. The steps are those of `edge::handover`; the program under test, which
//! is no released one, stands still at the one that `HANDOVER_STOPS_AT` names.

use super::visitors::Visitors;
use super::{Process, Scene, Start, wait_ready};
use crate::clicks::{counted, lost};
use crate::support::{Dir, Linkr, beside_others, until};
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

/// What the newcomer was going to say, and what the old process says to its end.
const NEW: [(&str, &str); 4] = [
    ("new-connected", "the question: it has ended"),
    ("new-offered", "the newcomer: it has ended"),
    ("new-loaded", "the newcomer: it has ended"),
    ("new-go", "the newcomer: it has ended"),
];
const OLD: [&str; 6] =
    ["old-asked", "old-written", "old-offered", "old-ready", "old-gathered", "old-serving"];
pub const STANDS: &str = "the hand-over goes no further";

/// A newcomer that will never listen; killed when it is dropped.
pub struct Standing {
    child: Child,
    dir: Dir,
}

impl Standing {
    fn start(scene: &Scene, start: &Start, step: &str) -> Self {
        let dir = Dir::new();
        Self::of(scene.command(&dir, start), dir, step)
    }

    /// `dir`: where its log goes.
    pub fn of(mut command: Command, dir: Dir, step: &str) -> Self {
        command.env("HANDOVER_STOPS_AT", step).env("LINKR_INSECURE", "true");
        let log = std::fs::File::create(dir.file("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let standing = Self { child, dir };
        until("the newcomer to stand", || standing.said().contains(STANDS).then_some(()));
        standing
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.file("log")).unwrap_or_default()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_newcomer_that_is_killed_at_any_step_leaves_the_old_process_serving() {
    let _turn = beside_others();
    let scene = Scene::new();
    let mut edge = scene.first();
    let visitors = Visitors::new(&scene.shown, edge.linkr.edge(), edge.linkr.tls(), edge.linkr.admin());
    let seen = visitors.during(|seen| {
        for (step, says) in NEW {
            let told = edge.linkr.stderr().matches(says).count();
            let heir = Standing::start(&scene, &Start { upgrade: true, ..Start::default() }, step);
            seen.more(100);
            drop(heir);
            until(step, || (edge.linkr.stderr().matches(says).count() > told).then_some(()));
            seen.more(100);
        }
        // And behind all of them another one takes over.
        let heir = scene.start(&Start { upgrade: true, ..Start::default() });
        seen.more(100);
        std::mem::replace(&mut edge, heir).ends();
    });
    assert_eq!(seen.failed(), Vec::<String>::new());
    scene.settles(1 + seen.redirected());
}

/// What is kept with a process that is killed ends with it. Its clicks are counted, and the newcomer goes on.
#[test]
fn a_newcomer_goes_on_when_the_old_process_is_killed_at_any_step() {
    for step in OLD {
        let _turn = beside_others();
        let scene = Scene::new();
        let dir = Dir::new();
        let mut command = scene.command(&dir, &Start::default());
        command.env("HANDOVER_STOPS_AT", step);
        let linkr = Linkr::start(command, &dir, &["edge", "tls", "admin"]);
        wait_ready(&linkr);
        let mut old = Process { linkr, _dir: dir };
        assert_eq!(old.linkr.get("/x").status, 302);
        let (listen, tls) = (old.linkr.edge().to_string(), old.linkr.tls().to_string());
        let (heir, answered) = std::thread::scope(|scope| {
            let start = Start { listen: &listen, tls: &tls, upgrade: true, ..Start::default() };
            let scene = &scene;
            let heir = scope.spawn(move || scene.start(&start));
            until(step, || old.linkr.stderr().contains(STANDS).then_some(()));
            for _ in 0..50 {
                assert_eq!(old.linkr.get("/x").status, 302, "it serves meanwhile");
            }
            old.linkr.kill();
            (heir.join().unwrap(), 51)
        });
        until("the link", || (heir.linkr.get("/x").status == 302).then_some(()));
        until("every click to be counted", || (counted(&scene.control) > answered).then_some(()));
        assert_eq!(
            (counted(&scene.control), lost(&scene.control)),
            (answered + 1, BTreeMap::new()),
            "{step}"
        );
    }
}
