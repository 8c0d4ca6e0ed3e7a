//! The Debian package in a clean Debian, made by debootstrap: installed, started as its unit says, upgraded, removed. systemd does not
//! run there, so a program that writes down its words stands in for systemctl.

use super::{Network, Packaged, lacks, ok, release, skip, turn, until};
use services::{Folder, Process};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const NEEDED: [&str; 8] =
    ["debootstrap", "chroot", "unshare", "nsenter", "ip", "dpkg-deb", "strip", "objdump"];
/// A reload of `linkr up` ends when the test has done what the unit says; should that have failed, too.
const SYSTEMCTL: &str = "#!/bin/sh
echo \"$@\" >> /systemctl.log
[ \"$*\" = 'try-reload-or-restart linkr-up.service' ] || exit 0
for moment in $(seq 600); do
    if [ -e /reloaded ]; then exit 0; fi
    sleep 0.1
done
exit 1
";
const ENTER: &str = "mount -t proc proc \"$1/proc\" && root=$1 && shift && exec chroot \"$root\" \"$@\"";

/// A Debian in a folder, with a network of its own.
struct Debian {
    network: Network,
    folder: Folder,
}

impl Debian {
    /// From where this machine's packages come; the reason if that cannot be.
    fn new() -> Result<Self, String> {
        let folder = Folder::new("debian", None).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let own = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let suite =
            own.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).ok_or("this is no Debian")?;
        let listed = ok(services::command("apt-get", folder.path()).args([
            "indextargets",
            "--format",
            "$(RELEASE) $(COMPONENT) $(REPO_URI)",
            "Created-By: Packages",
        ]));
        let of_suite = format!("{suite} main ");
        let mirror = listed.lines().find_map(|line| line.strip_prefix(&of_suite));
        let mirror = mirror.ok_or("apt knows no packages (apt-get update)")?;
        let debian = Self { network: Network::new(folder.path()), folder };
        let mut make = services::command("debootstrap", debian.folder.path());
        ok(make.args(["--variant=minbase", suite]).arg(debian.root()).arg(mirror));
        Ok(debian)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).unwrap_or_default()
    }

    /// A command in it.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.network.command("unshare", self.folder.path());
        command.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(self.root()).args(words);
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C");
        command
    }

    fn ok(&self, words: &[&str]) -> String {
        ok(&mut self.command(words))
    }

    /// What the installed `linkr-up.service` says to start or to reload it, as systemd would do it.
    fn run(&self, key: &str) -> Process {
        let unit = self.text("/usr/lib/systemd/system/linkr-up.service");
        let all = |key: &str| {
            unit.lines()
                .filter_map(move |line| line.strip_prefix(&format!("{key}=")))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (user, state) = (all("User").remove(0), format!("/var/lib/{}", all("StateDirectory")[0]));
        self.ok(&["install", "-d", "-o", &user, "-g", &user, "-m", "0700", &state]);
        let set: Vec<String> = all("Environment").iter().map(|pair| pair.replace("%S", "/var/lib")).collect();
        let mut words = vec![
            "setpriv",
            "--pdeathsig=KILL",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--bounding-set=-all",
            "--no-new-privs",
            "env",
        ];
        words.extend(set.iter().map(String::as_str));
        let run = all(key).remove(0);
        words.extend(run.split(' '));
        Process::hear(&self.command(&words), &self.folder.path().join("log"), &["edge", "api", "admin"])
            .unwrap()
    }

    fn create(&self, code: &str) {
        let key = "/var/lib/linkr/up/admin.key";
        self.ok(&["linkr", "link", "create", "https://example.com", "--code", code, "--key-file", key]);
    }

    fn leads(&self) {
        let linkr = Packaged::new().binary;
        until("the redirect", || {
            self.network
                .leads(&linkr, self.folder.path(), "127.0.0.1:8080", "hello", "https://example.com")
                .then_some(())
        });
    }
}

/// The package of this build, and the same as an earlier version of it.
fn packages(debian: &Debian) -> (String, String) {
    let folder = debian.folder.path();
    let new = format!(
        "linkr_{}_{}.deb",
        env!("CARGO_PKG_VERSION"),
        ok(services::command("dpkg", folder).arg("--print-architecture")).trim()
    );
    let (package, old) = (release().join(&new), folder.join("old"));
    fs::copy(&package, debian.file(&new)).unwrap();
    ok(services::command("dpkg-deb", folder).arg("--raw-extract").args([&package, &old]));
    let control = fs::read_to_string(old.join("DEBIAN/control")).unwrap();
    let earlier = control.replace(&format!("Version: {}", env!("CARGO_PKG_VERSION")), "Version: 0.0.1");
    assert_ne!(control, earlier);
    fs::write(old.join("DEBIAN/control"), earlier).unwrap();
    ok(services::command("dpkg-deb", folder)
        .args(["--root-owner-group", "-Znone", "--build"])
        .args([&old, &debian.file("old.deb")]));
    ("/old.deb".to_owned(), format!("/{new}"))
}

#[test]
#[ignore = "makes a Debian: make test-long"]
fn a_clean_debian_installs_starts_upgrades_and_removes_it() {
    let test = "a_clean_debian_installs_starts_upgrades_and_removes_it";
    if lacks(test, &NEEDED) {
        return;
    }
    let _turn = turn();
    let debian = match Debian::new() {
        Ok(debian) => debian,
        Err(why) => return skip(test, &why),
    };
    let (old, new) = packages(&debian);
    debian.ok(&["dpkg", "--install", &old]);
    assert_eq!(debian.ok(&["dpkg", "--audit"]), "");
    is_installed(&debian);

    let mut running = debian.run("ExecStart");
    debian.create("hello");
    debian.leads();
    fs::create_dir_all(debian.file("/run/systemd/system")).unwrap();
    fs::write(debian.file("/usr/bin/systemctl"), SYSTEMCTL).unwrap();
    fs::set_permissions(debian.file("/usr/bin/systemctl"), Permissions::from_mode(0o755)).unwrap();
    fs::write(debian.file("/etc/linkr/up.env"), "LINKR_LOG_FORMAT=json\n").unwrap();
    let heir = goes_on_in_the_new_version(&debian, &mut running, &new);
    drop(heir);
    let running = debian.run("ExecStart");
    debian.leads();
    drop(running);
    is_removed(&debian);
}

/// What runs hands over to a process of the new package, which is left running.
fn goes_on_in_the_new_version(debian: &Debian, running: &mut Process, new: &str) -> Process {
    let log = debian.folder.path().join("dpkg");
    let mut install = Process::hear(&debian.command(&["dpkg", "--install", new]), &log, &[]).unwrap();
    let reload = "try-reload-or-restart linkr-up.service";
    until("the reload", || debian.text("/systemctl.log").contains(reload).then_some(()));
    let heir = debian.run("ExecReload");
    until("the end of the process before", || running.ended().unwrap().then_some(()));
    fs::write(debian.file("/reloaded"), "").unwrap();
    assert!(install.wait(), "{}", install.told());
    debian.leads();
    debian.create("again"); // the store has gone along
    let version = debian.ok(&["dpkg-query", "--show", "--showformat", "${Version}", "linkr"]);
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let told = debian.text("/systemctl.log");
    for half in ["control", "up", "edge"] {
        assert!(told.contains(&format!("try-reload-or-restart linkr-{half}.service")), "{told}");
    }
    assert!(!told.contains("disable"), "{told}");
    assert_eq!(debian.text("/etc/linkr/up.env"), "LINKR_LOG_FORMAT=json\n");
    heir
}

fn is_installed(debian: &Debian) {
    let user = debian.ok(&["getent", "passwd", "linkr"]);
    assert!(user.contains(":/var/lib/linkr:/usr/sbin/nologin"), "{user}");
    assert_eq!(fs::metadata(debian.file("/var/lib/linkr")).unwrap().mode() & 0o7777, 0o755);
    let version = debian.ok(&["linkr", "--version"]);
    assert_eq!(version, format!("linkr {}\n", env!("CARGO_PKG_VERSION")));
    debian.ok(&["bash", "-n", "/usr/share/bash-completion/completions/linkr"]);
    for half in ["control", "edge", "up"] {
        assert!(debian.text(&format!("/etc/linkr/{half}.env")).contains(&format!("linkr-{half}.service")));
        let page = debian.ok(&["zcat", &format!("/usr/share/man/man1/linkr-{half}.1.gz")]);
        assert!(page.contains(".SH OPTIONS"), "{page}");
        // Of a page that the unit names, too.
        let unit = debian.text(&format!("/usr/lib/systemd/system/linkr-{half}.service"));
        let page = unit.lines().find_map(|line| line.strip_prefix("Documentation=file://")).unwrap();
        assert!(debian.file(page).is_file(), "{page}");
    }
    for file in [
        "/usr/share/zsh/vendor-completions/_linkr",
        "/usr/share/linkr/alerts.yml",
        "/usr/share/doc/linkr/copyright",
        "/usr/share/doc/linkr/docs/README.md",
        "/usr/share/doc/linkr/docs/decisions/0001-where-this-differs-from-the-first-plan.md",
    ] {
        assert!(debian.file(file).is_file(), "{file}");
    }
}

/// What it brought is gone, what people wrote goes with a purge, and what it holds for them stays.
fn is_removed(debian: &Debian) {
    debian.ok(&["dpkg", "--remove", "linkr"]);
    let told = debian.text("/systemctl.log");
    assert!(told.contains("disable --now linkr-up.socket linkr-up.service"), "{told}");
    let gone = |path: &str| !Path::new(&debian.file(path)).exists();
    assert!(gone("/usr/bin/linkr") && gone("/usr/lib/systemd/system/linkr-up.service"));
    assert!(!gone("/etc/linkr/up.env"));
    let said = debian.command(&["dpkg", "--purge", "linkr"]).output().unwrap();
    assert!(
        said.status.success() && String::from_utf8_lossy(&said.stderr).contains("/var/lib/linkr"),
        "{said:?}"
    );
    assert!(gone("/etc/linkr") && !gone("/var/lib/linkr/up/linkr.db"));
}
