//! The image, built by buildah from the last stage of the Dockerfile, and run by podman as people run it: as nobody's user, with a
//! root that cannot be written, without a capability, under the profile that is shipped. The first stage compiles, and its base image
//! comes from a registry; what it makes is put in its place (`xtask image-root`).

use super::{Network, Packaged, lacks, ok, release, root, turn, until, xtask};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// From the start of a container to the first good health check.
const HEALTHY: Duration = Duration::from_secs(2);

const NEEDED: [&str; 8] = ["buildah", "podman", "runc", "unshare", "nsenter", "ip", "ldd", "strip"];

/// The folder of an engine, with images and containers of its own.
struct Engine {
    network: Network,
    folder: services::Folder,
}

impl Engine {
    fn new() -> Self {
        let folder = services::Folder::new("image", None).unwrap();
        Self { network: Network::new(folder.path()), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at(&self, command: &mut Command) {
        command.arg("--root").arg(self.path("storage")).arg("--runroot").arg(self.path("run"));
        command.args(["--storage-driver", "vfs"]);
    }

    fn podman(&self) -> Command {
        let mut podman = self.network.command("podman", self.folder.path());
        self.at(&mut podman);
        podman.arg("--tmpdir").arg(self.path("tmp"));
        podman.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        podman
    }

    /// The image of the Dockerfile.
    fn build(&self, packaged: &Packaged) {
        let context = self.path("context");
        fs::create_dir_all(&context).unwrap();
        ok(xtask().arg("image-root").arg(context.join("image")).arg("--binary").arg(&packaged.binary));
        fs::create_dir(context.join("image-data")).unwrap();
        fs::rename(context.join("image/data"), context.join("image-data/data")).unwrap();
        let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
        let (_, stage) = dockerfile.rsplit_once("\nFROM ").unwrap();
        let stage = format!("FROM {stage}");
        let here = stage.replace("--from=build ", "").replace(" /image", " image");
        assert_eq!(here.matches("COPY").count(), 2, "{here}");
        fs::write(context.join("Dockerfile"), here).unwrap();
        let mut buildah = services::command("buildah", &context);
        self.at(&mut buildah);
        ok(buildah.args(["bud", "--isolation", "chroot", "--format", "docker", "--tag", "linkr", "."]));
    }

    fn run(&self, name: &str, more: &[&str], words: &[&str]) -> Container<'_> {
        let mut run = self.podman();
        run.args(["run", "--detach", "--name", name, "--log-driver", "k8s-file", "--network", "host"]);
        run.args([
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
            "--read-only",
            "--cap-drop",
            "all",
        ]);
        run.args(["--security-opt", "no-new-privileges"]).args(more).arg("linkr").args(words);
        let began = Instant::now();
        ok(&mut run);
        Container { engine: self, name: name.to_owned(), began }
    }
}

/// A running container; removed when it is dropped.
struct Container<'a> {
    engine: &'a Engine,
    name: String,
    began: Instant,
}

impl Container<'_> {
    fn ask(&self, words: &[&str]) -> Output {
        let mut podman = self.engine.podman();
        podman.args(words).output().unwrap()
    }

    fn inspect(&self, what: &str) -> String {
        ok(self.engine.podman().args(["inspect", "--format", what, &self.name])).trim().to_owned()
    }

    fn is_healthy(&self) -> bool {
        self.ask(&["healthcheck", "run", &self.name]).status.success()
    }

    /// How long the image's own check took to be good.
    fn healthy(&self) -> Duration {
        until(&format!("{} to be healthy: {}", self.name, self.log()), || self.is_healthy().then_some(()));
        self.began.elapsed()
    }

    fn log(&self) -> String {
        let said = self.ask(&["logs", &self.name]);
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    }

    fn exec(&self, words: &[&str]) -> String {
        ok(self.engine.podman().args(["exec", &self.name, "/linkr"]).args(words))
    }

    /// SIGTERM, and its exit status.
    fn stop(&self) -> String {
        ok(self.engine.podman().args(["stop", "--time", "30", &self.name]));
        self.inspect("{{.State.ExitCode}}")
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.ask(&["rm", "--force", "--volumes", "--time", "0", &self.name]);
    }
}

fn profile() -> String {
    format!("seccomp={}", root().join("deploy/seccomp.json").display())
}

#[test]
#[ignore = "builds and runs containers: make test-long"]
fn the_image_runs_as_people_run_it() {
    if lacks("the_image_runs_as_people_run_it", &NEEDED) {
        return;
    }
    let _turn = turn();
    let (engine, packaged) = (Engine::new(), Packaged::new());
    engine.build(&packaged);
    both_halves_in_one(&engine, &packaged);
    one_half_each(&engine);
}

/// The commands of README.md: a link is made in the container, and is there again after a stop, and after a restore meanwhile.
fn both_halves_in_one(engine: &Engine, packaged: &Packaged) {
    let profile = profile();
    let up = engine.run("up", &["--volume", "data:/data", "--security-opt", &profile], &[]);
    let took = up.healthy();
    if packaged.is_dist {
        assert!(took < HEALTHY, "healthy after {took:?}");
    }
    let pid = up.inspect("{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in
        ["Uid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(up.log().contains("io_uring"), "{}", up.log());
    let refused = up.ask(&["exec", "up", "/linkr", "man", "/man"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only file system"), "{refused:?}");
    let place = ok(engine.podman().args(["volume", "inspect", "--format", "{{.Mountpoint}}", "data"]));
    let owner = fs::metadata(place.trim()).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (65_532, 65_532));
    up.exec(&["link", "create", "https://example.com", "--code", "hello"]);
    let leads = || {
        engine.network.leads(
            &packaged.binary,
            engine.folder.path(),
            "127.0.0.1:8080",
            "hello",
            "https://example.com",
        )
    };
    until("the redirect", || leads().then_some(()));
    assert!(up.exec(&["backup", "/data/monday.db"]).contains("holds everything"));
    assert_eq!(up.stop(), "0");
    let restore = engine.run("restore", &["--volume", "data:/data"], &["restore", "/data/monday.db"]);
    until("the restore", || restore.log().contains("begins a new history").then_some(()));
    drop(restore);
    ok(engine.podman().args(["start", "up"]));
    up.healthy();
    until("the redirect after a stop", || leads().then_some(()));
    assert_eq!(up.stop(), "0");
}

/// Each is asked at its own admin listener. An edge reaches a control whose authority is in the image's file of them, and no other.
fn one_half_each(engine: &Engine) {
    let profile = profile();
    let certificates = engine.path("certificates");
    let made = Packaged::new().binary;
    ok(services::command(made, engine.folder.path())
        .arg("certs")
        .arg(&certificates)
        .args(["--host", "127.0.0.1"]));
    for file in ["", "server.key", "server.pem", "ca.pem"] {
        std::os::unix::fs::chown(certificates.join(file), Some(65_532), Some(65_532)).unwrap();
    }
    let edge = |name: &str, more: &[&str]| {
        let more =
            [&["--env", "LINKR_CONTROL=https://127.0.0.1:8081", "--security-opt", &profile], more].concat();
        engine.run(name, &more, &["edge", "--snapshot", "/data/links"])
    };
    let lonely = edge("lonely", &[]);
    until("an edge without control to say that it is not ready", || {
        let said = lonely.ask(&["exec", "lonely", "/linkr", "healthcheck"]);
        String::from_utf8_lossy(&said.stderr).contains("127.0.0.1:8082 is not ready").then_some(())
    });
    assert!(!lonely.is_healthy(), "an edge that has no links is healthy");
    drop(lonely);

    let keys = format!("{}:/keys:ro", certificates.display());
    let more =
        ["--env", "LINKR_STORE=sqlite:/data/linkr.db", "--env", "LINKR_INSECURE=true", "--volume", &keys];
    let words = ["control", "--api-tls-cert", "/keys/server.pem", "--api-tls-key", "/keys/server.key"];
    // Under the engine's own profile, which has no io_uring: control asks for none.
    let control = engine.run("control", &more, &words);
    control.healthy();
    assert!(control.log().contains("8083"), "{}", control.log());

    let stranger = edge("stranger", &[]);
    until("an edge to refuse an authority that it does not know", || {
        stranger.log().contains("unknown_authority").then_some(())
    });
    assert!(!stranger.is_healthy());
    drop(stranger);
    let known = format!("{}:/etc/ssl/certs/ca-certificates.crt:ro", certificates.join("ca.pem").display());
    let friend = edge("friend", &["--volume", &known]);
    friend.healthy();
    assert_eq!((friend.stop().as_str(), control.stop().as_str()), ("0", "0"));
}

/// The archive of a release says of itself what the image of the Dockerfile does, and holds the same files.
#[test]
#[ignore = "builds and loads containers: make test-long"]
fn the_archive_of_a_release_is_that_image() {
    if lacks("the_archive_of_a_release_is_that_image", &NEEDED) {
        return;
    }
    let _turn = turn();
    let (engine, packaged) = (Engine::new(), Packaged::new());
    engine.build(&packaged);
    let archive = release().join(format!("linkr-{}.oci.tar", env!("CARGO_PKG_VERSION")));
    let loaded = ok(engine.podman().args(["load", "--quiet", "--input"]).arg(&archive));
    let loaded = loaded.trim().rsplit(' ').next().unwrap();
    let about =
        |image: &str, what: &str| ok(engine.podman().args(["image", "inspect", "--format", what, image]));
    for what in ["User", "Cmd", "Entrypoint", "WorkingDir", "Volumes", "ExposedPorts"]
        .map(|one| format!("{{{{.Config.{one}}}}}"))
    {
        assert_eq!(about(loaded, &what), about("linkr", &what), "{what}");
    }
    // The builder adds a PATH.
    assert!(about("linkr", "{{.Config.Env}}").contains("LINKR_DATA_DIR=/data"));
    assert_eq!(about(loaded, "{{.Config.Env}}").trim(), "[LINKR_DATA_DIR=/data]");
    let files = |image: &str| {
        let name = format!("of-{}", image.len());
        ok(engine.podman().args(["create", "--name", &name, image]));
        let mut list = services::command("sh", engine.folder.path());
        list.args(["-c", "\"$@\" | tar -tv --numeric-owner | sed -E 's/ [0-9]{4}-[^ ]+ [^ ]+ / /' | grep -v -E ' (dev|proc|sys|run|etc/(hosts|hostname|resolv.conf|mtab))' | LC_ALL=C sort", "sh"]);
        let export = {
            let mut export = engine.podman();
            export.args(["export", &name]);
            export
        };
        ok(list.arg(export.get_program()).args(export.get_args()))
    };
    let (one, other) = (files(loaded), files("linkr"));
    assert!(one.contains("etc/ssl/certs/ca-certificates.crt") && one.contains(" linkr"), "{one}");
    assert_eq!(one, other);
    judge_size(&engine, &archive, &one, packaged.is_dist);
}

/// As few bytes as promised, if it is the binary that people get.
fn judge_size(engine: &Engine, archive: &Path, files: &str, is_dist: bool) {
    let compressed = fs::metadata(archive).unwrap().len();
    let unpacked: u64 =
        files.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    println!("{}: {compressed} bytes, {unpacked} unpacked", engine.folder.path().display());
    assert!(!is_dist || (compressed <= 12_000_000 && unpacked <= 32_000_000), "{compressed}, {unpacked}");
}
