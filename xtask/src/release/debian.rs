//! The Debian package: the program, its units and user, completions, man pages, pages.

use super::{Release, compress, copy, image, pages, said, text, write};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What runs around the program when the package comes and goes.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
const HALVES: [&str; 3] = ["control", "edge", "up"];

/// Writes `linkr_VERSION_MACHINE.deb` into `out`.
pub fn package(release: &Release, licences: &Path, out: &Path) -> Result<(), String> {
    let tree = release.share.join("debian");
    let place = |path: &str| folder(&tree, path);
    copy(&[&release.binary], &place("usr/bin")?)?;
    for half in HALVES {
        let units =
            ["service", "socket"].map(|kind| PathBuf::from(format!("deploy/systemd/linkr-{half}.{kind}")));
        copy(&[&units[0], &units[1]], &place("usr/lib/systemd/system")?)?;
        let settings = format!(
            "# Settings of linkr-{half}.service, a line each, such as LINKR_LOG_FORMAT=json: `linkr {half} --help` names them.\n"
        );
        write(&place("etc/linkr")?.join(format!("{half}.env")), &settings)?;
    }
    place("var/lib/linkr")?;
    completions(release, &tree)?;
    manual(release, &place("usr/share/man/man1")?)?;
    let docs = place("usr/share/doc/linkr")?;
    // Pages keep the folder `docs` that they have in the checkout: README and pages link to each other by relative paths.
    copy(&pages()?.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &place("usr/share/doc/linkr/docs")?)?;
    copy(&["README.md", "CHANGELOG.md"].map(Path::new), &docs)?;
    compress(&docs.join("CHANGELOG.md"))?;
    fs::rename(docs.join("CHANGELOG.md.gz"), docs.join("changelog.gz"))
        .map_err(|fault| image::at(&docs, &fault))?;
    write(&docs.join("copyright"), &copyright(licences)?)?;
    let share = place("usr/share/linkr")?;
    let more =
        ["alerts.yml", "grafana", "haproxy", "nginx", "postgres-roles.sql", "redis-acl.conf", "seccomp.json"];
    copy(&more.map(|name| PathBuf::from("deploy").join(name)).each_ref().map(PathBuf::as_path), &share)?;
    about(release, &tree)?;
    said(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&tree))?;
    for script in SCRIPTS {
        let file = tree.join("DEBIAN").join(script);
        fs::set_permissions(&file, Permissions::from_mode(0o755))
            .map_err(|fault| image::at(&file, &fault))?;
    }
    // Several threads would cut what they compress into other pieces.
    said(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
            .args([&tree, out])
            .env("SOURCE_DATE_EPOCH", release.origin.epoch.to_string()),
    )
    .map(|_| ())
}

fn folder(tree: &Path, path: &str) -> Result<PathBuf, String> {
    let folder = tree.join(path);
    fs::create_dir_all(&folder).map_err(|fault| image::at(&folder, &fault))?;
    Ok(folder)
}

fn completions(release: &Release, tree: &Path) -> Result<(), String> {
    for (from, to, name) in [
        ("linkr.bash", "usr/share/bash-completion/completions", "linkr"),
        ("_linkr", "usr/share/zsh/vendor-completions", "_linkr"),
        ("linkr.fish", "usr/share/fish/vendor_completions.d", "linkr.fish"),
    ] {
        copy(&[&release.share.join("completions").join(from)], &folder(tree, to)?.join(name))?;
    }
    Ok(())
}

fn manual(release: &Release, to: &Path) -> Result<(), String> {
    let from = release.share.join("man");
    for entry in fs::read_dir(&from).map_err(|fault| image::at(&from, &fault))?.flatten() {
        copy(&[&entry.path()], to)?;
        compress(&to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copyright(licences: &Path) -> Result<String, String> {
    let own = text(Path::new("LICENSE-MIT"))?;
    let others = text(licences)?;
    Ok(format!(
        "linkr is under Apache-2.0 (/usr/share/common-licenses/Apache-2.0) or the licence that follows, as you like.\n\n{own}\n{others}"
    ))
}

/// The folder DEBIAN.
fn about(release: &Release, tree: &Path) -> Result<(), String> {
    let to = folder(tree, "DEBIAN")?;
    for script in SCRIPTS {
        copy(&[&Path::new("deploy/debian").join(script)], &to)?;
    }
    let settings: Vec<String> = HALVES.iter().map(|half| format!("/etc/linkr/{half}.env\n")).collect();
    write(&to.join("conffiles"), &settings.concat())?;
    let machine = said(Command::new("dpkg").arg("--print-architecture"))?;
    let size = said(Command::new("du").args(["-sk", "--apparent-size", "--exclude=DEBIAN"]).arg(tree))?;
    let size = size.split_whitespace().next().unwrap_or_default();
    let control = text(Path::new("deploy/debian/control"))?
        .replace("@version@", &release.version)
        .replace("@machine@", machine.trim())
        .replace("@kibibytes@", size)
        .replace("@glibc@", &glibc(&release.binary)?);
    write(&to.join("control"), &control)
}

/// The first version of the C library with everything that the program calls.
fn glibc(binary: &Path) -> Result<String, String> {
    let symbols = said(Command::new("objdump").arg("-T").arg(binary))?;
    newest(&symbols).ok_or_else(|| format!("{} calls no function of glibc", binary.display()))
}

fn newest(symbols: &str) -> Option<String> {
    let numbers = |version: &str| version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok();
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        Some((numbers(version)?, version.to_owned()))
    });
    versions.max().map(|(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_glibc() {
        let text = "0 DF *UND* 0 (GLIBC_2.9) a\n0 DF *UND* 0 (GLIBC_2.34) b\n0 DF *UND* 0 (GLIBC_2.2.5) c\n";
        assert_eq!(newest(text).as_deref(), Some("2.34"));
        assert_eq!(newest("none"), None);
    }
}
