//! `make release`: what is handed to people, made of one binary, with the same bytes each time.

mod bill;
mod debian;
mod oci;

use crate::image;
use bill::Bill;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of the image that a release may have, compressed and on disk.
const MOST_COMPRESSED: u64 = 12_000_000;
const MOST_UNPACKED: u64 = 32_000_000;

/// Where releases are built, below the folder of the sources.
const BUILD: &str = "target/release-build";

/// The commit that a release is made from. It is read once, so that a commit meanwhile changes no name in the release.
#[derive(Clone)]
struct Origin {
    commit: String,
    /// Seconds since 1970: the time that every file of the release has.
    epoch: u64,
}

/// What every part of a release is made from.
struct Release {
    /// Of the workspace.
    version: String,
    origin: Origin,
    /// The binary without its symbols.
    binary: PathBuf,
    /// A folder with the folders `completions` and `man`.
    share: PathBuf,
}

/// The words behind `release`: `--binary PATH` takes a binary that is there, `--out DIR` another folder.
pub fn from_words(words: &[String]) -> Option<Result<(), String>> {
    let (mut binary, mut out) = (None, PathBuf::from("target/release-files"));
    for pair in words.chunks(2) {
        match pair {
            [flag, path] if flag == "--binary" => binary = Some(PathBuf::from(path)),
            [flag, path] if flag == "--out" => out = PathBuf::from(path),
            _ => return None,
        }
    }
    Some(make(binary.as_deref(), &out))
}

fn make(binary: Option<&Path>, out: &Path) -> Result<(), String> {
    let origin = origin()?;
    match binary {
        Some(binary) => files(binary, &origin, out).map(|_| ()),
        None => {
            let here = std::env::current_dir().map_err(|fault| format!("no current folder: {fault}"))?;
            let binary = built(&here, &origin)?;
            if self::origin()?.commit != origin.commit {
                return Err(format!("another commit than {} was checked out meanwhile", origin.commit));
            }
            within_limits(&files(&binary, &origin, out)?)
        }
    }
}

/// Builds this commit twice, in two folders, and compares every file of the two releases.
pub fn twice() -> Result<(), String> {
    let here = std::env::current_dir().map_err(|fault| format!("no current folder: {fault}"))?;
    let origin = origin()?;
    let again = here.join("target/release-again");
    empty(&again)?;
    let archive = "git archive \"$2\" | tar -x -C \"$1\"";
    said(Command::new("sh").args(["-c", archive, "sh"]).arg(&again).arg(&origin.commit))?;
    let (first, second) = (Path::new("target/release-files"), Path::new("target/release-files-again"));
    within_limits(&files(&built(&here, &origin)?, &origin, first)?)?;
    files(&built(&again, &origin)?, &origin, second)?;
    let read = |folder: &Path| text(&folder.join("SHA256SUMS"));
    let (one, other) = (read(first)?, read(second)?);
    match one == other {
        true => {
            println!("two builds in two folders gave the same bytes:\n{one}");
            Ok(())
        }
        false => Err(format!("two builds of {} differ:\n{one}\n{other}", origin.commit)),
    }
}

/// The binary as it is shipped. Nothing in it says where it was built.
fn built(source: &Path, origin: &Origin) -> Result<PathBuf, String> {
    let changed = said(Command::new("git").args(["status", "--porcelain", "--untracked-files=no"]))?;
    if !changed.is_empty() {
        return Err(format!("a release is built from a commit, and these files are not in one:\n{changed}"));
    }
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .map_err(|_| "neither CARGO_HOME nor HOME is set: where are the sources of the libraries?")?;
    let hidden = [(home, "/cargo"), (source.display().to_string(), "/linkr")];
    let flags =
        |name: &str| hidden.iter().map(|(from, to)| format!("{name}={from}={to}")).collect::<Vec<_>>();
    let target = source.join(BUILD);
    println!("+ cargo build --profile dist --package cli, in {}", source.display());
    let status = super::cargo_command()
        .args(["build", "--profile", "dist", "--locked", "--package", "cli", "--target-dir"])
        .arg(&target)
        .current_dir(source)
        .env("CARGO_ENCODED_RUSTFLAGS", flags("--remap-path-prefix").join("\u{1f}"))
        .env("CFLAGS", flags("-ffile-prefix-map").join(" "))
        .env("CXXFLAGS", flags("-ffile-prefix-map").join(" "))
        .env("CARGO_INCREMENTAL", "0")
        .env("LINKR_COMMIT", &origin.commit)
        .env("SOURCE_DATE_EPOCH", origin.epoch.to_string())
        .status();
    match status {
        Ok(status) if status.success() => Ok(target.join("dist/linkr")),
        Ok(status) => Err(format!("cargo build failed: {status}")),
        Err(fault) => Err(format!("cannot run cargo: {fault}")),
    }
}

/// Everything that is handed out, made from this binary, with a file of check sums: the image and its size on disk.
fn files(binary: &Path, origin: &Origin, out: &Path) -> Result<oci::Image, String> {
    empty(out)?;
    let out = &fs::canonicalize(out).map_err(|fault| image::at(out, &fault))?;
    let parts = out.join("parts");
    let stripped = parts.join("linkr");
    fs::create_dir_all(&parts).map_err(|fault| image::at(&parts, &fault))?;
    image::strip(binary, &stripped)?;
    share(&stripped, &parts)?;
    let release = Release { version: version()?, origin: origin.clone(), binary: stripped, share: parts };
    let bill = Bill::new(&release)?;
    let name = format!("linkr-{}", release.version);
    let (inventory, licences) = (out.join(format!("{name}.cdx.json")), release.share.join("THIRD-PARTY.txt"));
    write(&inventory, &bill.inventory())?;
    write(&licences, &bill.licences()?)?;
    tarball(&release, &inventory, &licences, out)?;
    debian::package(&release, &licences, out)?;
    let made = oci::archive(&release, &out.join(format!("{name}.oci.tar")))?;
    fs::remove_dir_all(&release.share).map_err(|fault| image::at(&release.share, &fault))?;
    write(&out.join("SHA256SUMS"), &sums(out)?)?;
    println!("{}: the release {} of {}", out.display(), release.version, origin.commit);
    Ok(made)
}

/// Completions and man pages, as the binary itself writes them.
fn share(binary: &Path, to: &Path) -> Result<(), String> {
    let completions = to.join("completions");
    fs::create_dir_all(&completions).map_err(|fault| image::at(&completions, &fault))?;
    for (shell, file) in [("bash", "linkr.bash"), ("zsh", "_linkr"), ("fish", "linkr.fish")] {
        write(&completions.join(file), &said(Command::new(binary).args(["completions", shell]))?)?;
    }
    said(Command::new(binary).arg("man").arg(to.join("man"))).map(|_| ())
}

/// For machines without a package manager: binary, licences, pages, and all that `deploy` has.
fn tarball(release: &Release, inventory: &Path, licences: &Path, out: &Path) -> Result<(), String> {
    let name = format!("linkr-{}-{}-linux", release.version, std::env::consts::ARCH);
    let folder = release.share.join(&name);
    fs::create_dir_all(folder.join("docs")).map_err(|fault| image::at(&folder, &fault))?;
    let inside = |path: &str| folder.join(path);
    copy(
        &[&release.binary, licences, &release.share.join("completions"), &release.share.join("man")],
        &folder,
    )?;
    copy(&[inventory], &inside("linkr.cdx.json"))?;
    copy(&["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md", "deploy"].map(Path::new), &folder)?;
    let pages = pages()?;
    copy(&pages.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &inside("docs"))?;
    let tar = release.share.join(format!("{name}.tar"));
    pack(release, &release.share, &name, &tar, &["--owner=0", "--group=0", "--mode=u+rw,go-w,a+rX"])?;
    compress(&tar)?;
    let file = format!("{name}.tar.gz");
    let from = release.share.join(&file);
    fs::rename(&from, out.join(&file)).map_err(|fault| image::at(&from, &fault))
}

/// The pages of `docs` and the decisions that they name, without pictures.
fn pages() -> Result<Vec<PathBuf>, String> {
    let docs = Path::new("docs");
    let entries = fs::read_dir(docs).map_err(|fault| image::at(docs, &fault))?;
    let mut pages: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    pages.retain(|page| page.extension().is_some_and(|kind| kind == "md"));
    pages.sort();
    pages.push(docs.join("decisions"));
    Ok(pages)
}

fn copy(from: &[&Path], to: &Path) -> Result<(), String> {
    said(Command::new("cp").arg("-r").args(from).arg(to)).map(|_| ())
}

/// An archive that does not say when, where and by whom it was made.
fn pack(release: &Release, folder: &Path, name: &str, tar: &Path, more: &[&str]) -> Result<(), String> {
    let mut command = Command::new("tar");
    let mtime = format!("--mtime=@{}", release.origin.epoch);
    command.args(["--format=gnu", "--sort=name", "--numeric-owner", &mtime]);
    said(command.args(more).arg("-C").arg(folder).arg("-cf").args([tar, Path::new(name)])).map(|_| ())
}

/// `FILE` becomes `FILE.gz`.
fn compress(file: &Path) -> Result<(), String> {
    said(Command::new("gzip").arg("-n9").arg(file)).map(|_| ())
}

fn within_limits(image: &oci::Image) -> Result<(), String> {
    println!("image: {} bytes compressed, {} unpacked", image.compressed, image.unpacked);
    match image.compressed <= MOST_COMPRESSED && image.unpacked <= MOST_UNPACKED {
        true => Ok(()),
        false => Err(format!("the image has more than {MOST_COMPRESSED} or {MOST_UNPACKED} bytes")),
    }
}

/// As `sha256sum` writes and checks them.
fn sums(out: &Path) -> Result<String, String> {
    let entries = fs::read_dir(out).map_err(|fault| image::at(out, &fault))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut lines = String::new();
    for file in files {
        let bytes = fs::read(&file).map_err(|fault| image::at(&file, &fault))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _ = writeln!(lines, "{}  {name}", sum(&bytes));
    }
    Ok(lines)
}

/// SHA-256, in hexadecimal digits.
fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Of the workspace, where it stands once.
fn version() -> Result<String, String> {
    let manifest = text(Path::new("Cargo.toml"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \""));
    line.and_then(|rest| rest.strip_suffix('"'))
        .map(str::to_owned)
        .ok_or("Cargo.toml has no version".to_owned())
}

/// The commit that is checked out; its time is `SOURCE_DATE_EPOCH`, or when it was made.
fn origin() -> Result<Origin, String> {
    let commit = said(Command::new("git").args(["rev-parse", "HEAD"]))?.trim().to_owned();
    let given = std::env::var("SOURCE_DATE_EPOCH");
    let epoch = given.or_else(|_| said(Command::new("git").args(["log", "-1", "--format=%ct", &commit])))?;
    let epoch =
        epoch.trim().parse().map_err(|_| format!("SOURCE_DATE_EPOCH is no number of seconds: {epoch}"))?;
    Ok(Origin { commit, epoch })
}

/// The time that every file of a release has, as RFC 3339 writes it.
fn moment(release: &Release) -> Result<String, String> {
    let since = format!("@{}", release.origin.epoch);
    let text = said(Command::new("date").args(["--utc", "--date", &since, "+%Y-%m-%dT%H:%M:%SZ"]))?;
    Ok(text.trim().to_owned())
}

/// An empty folder, whatever was there.
fn empty(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|fault| image::at(folder, &fault))?;
    }
    fs::create_dir_all(folder).map_err(|fault| image::at(folder, &fault))
}

fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|fault| image::at(file, &fault))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|fault| image::at(file, &fault))
}

/// What a program printed, if it ended well.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().map_err(|fault| format!("cannot run {name}: {fault}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(format!("{name} failed: {}", String::from_utf8_lossy(&done.stderr).trim())),
    }
}
