//! A clock that is set while linkr runs, in the table of docs/reliability.md: the process is given another one in place of
//! the system's, which it asks for by the C library.

use super::{Scene, edge_as, json, linkr, logged, ready, wait_ready};
use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, text, until};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// `clock_gettime` and its like with so many seconds more as the file says.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *ahead;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("TEST_CLOCK"), O_RDONLY);
    void *at = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) abort();
    ahead = at;
    close(file);
}
int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (to) *to = precise.tv_sec;
    return precise.tv_sec;
}
"#;

/// A clock that can be set, for the processes of a test.
pub struct Clock<'a>(&'a Dir);

impl<'a> Clock<'a> {
    /// `None` where there is no C compiler.
    pub fn new(dir: &'a Dir) -> Option<Self> {
        let source = dir.write("clock.c", CLOCK);
        let words = ["-shared", "-fPIC", "-O1", "-o", &dir.file("clock.so"), &source];
        let made = Command::new("cc").args(words).output().ok()?;
        assert!(made.status.success(), "{}", text(&made.stderr));
        dir.write("clock", 0_i64.to_ne_bytes());
        Some(Self(dir))
    }

    pub fn given_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.0.file("clock.so")).env("TEST_CLOCK", self.0.file("clock"));
    }

    /// Seconds ahead of the machine's. In place: the processes have the file mapped.
    pub fn set(&self, ahead: i64) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(self.0.file("clock")).unwrap();
        file.write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
    }
}

fn server(dir: &Dir, clock: &Clock) -> Linkr {
    let mut server = json(command(LINKR, dir.path()));
    clock.given_to(&mut server);
    server.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    Linkr::start(server, dir, &["api", "admin"])
}

#[test]
fn a_clock_that_is_set_back_and_forward() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let (Some(of_control), Some(of_edge)) = (Clock::new(&dir), Clock::new(&own)) else {
        return skip("signals", "there is no C compiler");
    };
    let key = linkr(&dir, &["control", "--store", "sqlite:linkr.db", "mint-key", "--name", "root"]);
    let server = server(&dir, &of_control);
    let url = format!("http://{}", server.api());
    let asking = |words: &[&str]| linkr(&dir, &[words, &["--server", &url, "--key", &key]].concat());
    let feed = asking(&["keys", "create", "edges", "--scopes", "feed", "--edge", "one"]);
    let mut edge = command(LINKR, own.path());
    of_edge.given_to(&mut edge);
    let edge = edge_as(edge, &own, &url, &["--name", "one", "--control-key", feed.lines().last().unwrap()]);
    wait_ready(&edge);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let create = |code: &str, lasts: i64| {
        let expires = prost_types::Timestamp { seconds: now + lasts, nanos: 0 }.to_string();
        asking(&["link", "create", "https://example.com/", "--code", code, "--expire-time", &expires]);
    };
    create("hour", 3_600);
    until("the redirect", || (edge.get("/hour").status == 302).then_some(()));

    let forward = Scene::of(&edge, "clock set forward");
    of_edge.set(7_200);
    forward.lasts();
    until("the link to expire", || (edge.get("/hour").status == 410).then_some(()));
    let back = Scene::of(&server, "clock set back");
    of_control.set(-7_200);
    back.lasts();
    // No promise of freshness goes by these clocks: what is written now is answered, and nobody is blind.
    create("later", 3_600 * 24);
    until("the redirect", || (edge.get("/later").status == 302).then_some(()));
    assert!(edge.metric("linkr_edge_staleness_seconds").unwrap() < 1.0);
    assert_eq!(ready(&edge, "/readyz").0, 200);
    of_control.set(0);
    back.is_over();
    forward.is_over();
    assert!(logged(&edge).iter().all(|line| line["event"] != "blind"));
}
