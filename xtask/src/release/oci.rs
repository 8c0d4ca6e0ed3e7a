//! The container image as an OCI archive, made without a builder. What it says of itself is what the Dockerfile's last stage says,
//! and how often its health is looked at during a start.

use super::{Release, image, moment, pack, sum, text, write};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// The zstd level of the image's layer, which is a fifth smaller than with `gzip -9`. The library compresses, and no program of the
/// machine, so that each machine writes the same bytes.
const LEVEL: i32 = 19;

/// Nanoseconds between two checks of health during the start, for Docker 25 and later, where the first check would else come after
/// 5 s. The Dockerfile does not say `--start-interval`: builders of before, such as buildah 1.28 of Debian 12, refuse that flag.
const START_INTERVAL: u64 = 1_000_000_000;

/// The image that was written, in bytes.
pub struct Image {
    /// Its one layer, as it is sent.
    pub compressed: u64,
    /// The files in it.
    pub unpacked: u64,
}

/// A blob's name and length, as a manifest lists it.
struct Blob {
    sum: String,
    bytes: u64,
}

/// Writes the archive. `podman load` and `docker load` read it.
pub fn archive(release: &Release, to: &Path) -> Result<Image, String> {
    let (root, layout) = (release.share.join("root"), release.share.join("layout"));
    image::stage(&root, &release.binary)?;
    let tar = release.share.join("layer.tar");
    pack(release, &root, ".", &tar, &[])?;
    let unpacked = size(&root)?;
    let bare = fs::read(&tar).map_err(|fault| image::at(&tar, &fault))?;
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|fault| image::at(&blobs, &fault))?;
    let layer = zstd::bulk::compress(&bare, LEVEL).map_err(|fault| image::at(&tar, &fault))?;
    let layer = blob(&blobs, &layer)?;
    let config = blob(&blobs, config(release, &sum(&bare))?.to_string().as_bytes())?;
    let manifest = blob(&blobs, manifest(&config, &layer).to_string().as_bytes())?;
    let name = format!("docker.io/library/linkr:{}", release.version);
    let mut entry = described(&manifest, "application/vnd.oci.image.manifest.v1+json");
    entry["annotations"] =
        json!({ "org.opencontainers.image.ref.name": release.version, "io.containerd.image.name": name });
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]
    });
    write(&layout.join("index.json"), &index.to_string())?;
    write(&layout.join("oci-layout"), &json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    pack(release, &layout, ".", to, &["--owner=0", "--group=0", "--mode=u+rw,go-w,a+rX"])?;
    Ok(Image { compressed: layer.bytes, unpacked })
}

fn blob(folder: &Path, bytes: &[u8]) -> Result<Blob, String> {
    let blob = Blob { sum: sum(bytes), bytes: bytes.len() as u64 };
    let file = folder.join(&blob.sum);
    fs::write(&file, bytes).map_err(|fault| image::at(&file, &fault))?;
    Ok(blob)
}

fn described(blob: &Blob, kind: &str) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{}", blob.sum), "size": blob.bytes })
}

fn manifest(config: &Blob, layer: &Blob) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [described(layer, "application/vnd.oci.image.layer.v1.tar+zstd")],
    })
}

fn config(release: &Release, layer: &str) -> Result<Value, String> {
    let moment = moment(release)?;
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut runs = Value::Object(runs(&text(Path::new("Dockerfile"))?)?);
    runs["Labels"] = json!({
        "org.opencontainers.image.title": "linkr",
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.revision": release.origin.commit,
        "org.opencontainers.image.licenses": "Apache-2.0 OR MIT",
    });
    Ok(json!({
        "created": moment,
        "architecture": machine,
        "os": "linux",
        "config": runs,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": moment, "created_by": "make release" }],
    }))
}

/// How a container of the last stage of a Dockerfile runs, in the words of an image's configuration.
fn runs(dockerfile: &str) -> Result<Map<String, Value>, String> {
    let stage = dockerfile.rsplit_once("\nFROM ").map_or(dockerfile, |(_, stage)| stage);
    let mut runs = Map::new();
    for line in stage.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let list = || {
            serde_json::from_str::<Vec<String>>(rest).map_err(|fault| format!("Dockerfile: {line}: {fault}"))
        };
        let set = |names: &mut dyn Iterator<Item = String>| {
            Value::Object(names.map(|name| (name, json!({}))).collect())
        };
        match word {
            "COPY" => {} // the tree that image::stage makes
            "USER" => drop(runs.insert("User".into(), rest.into())),
            "WORKDIR" => drop(runs.insert("WorkingDir".into(), rest.into())),
            "ENV" => drop(runs.insert("Env".into(), json!([rest]))),
            "VOLUME" => drop(runs.insert("Volumes".into(), set(&mut rest.split(' ').map(str::to_owned)))),
            "EXPOSE" => {
                let mut ports = rest.split(' ').map(|port| format!("{port}/tcp"));
                runs.insert("ExposedPorts".into(), set(&mut ports));
            }
            "ENTRYPOINT" => drop(runs.insert("Entrypoint".into(), json!(list()?))),
            "CMD" => drop(runs.insert("Cmd".into(), json!(list()?))),
            "HEALTHCHECK" => drop(runs.insert("Healthcheck".into(), health(rest)?)),
            _ => return Err(format!("Dockerfile: make release does not know the line {line}")),
        }
    }
    Ok(runs)
}

/// `--interval=10s … CMD ["/linkr", …]`
fn health(rest: &str) -> Result<Value, String> {
    let wrong = || format!("Dockerfile: HEALTHCHECK {rest} is not understood");
    let (flags, command) = rest.split_once("CMD ").ok_or_else(wrong)?;
    let command: Vec<String> = serde_json::from_str(command).map_err(|_| wrong())?;
    let test = [vec!["CMD".to_owned()], command].concat();
    let mut health = json!({ "Test": test, "StartInterval": START_INTERVAL });
    for flag in flags.split_whitespace() {
        let (name, value) = flag.split_once('=').ok_or_else(wrong)?;
        let name = match name {
            "--interval" => "Interval",
            "--timeout" => "Timeout",
            "--start-period" => "StartPeriod",
            _ => return Err(wrong()),
        };
        let seconds: u64 = value.strip_suffix('s').and_then(|value| value.parse().ok()).ok_or_else(wrong)?;
        health[name] = (seconds * 1_000_000_000).into();
    }
    Ok(health)
}

/// Bytes of the files below a folder.
fn size(folder: &Path) -> Result<u64, String> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(|fault| image::at(folder, &fault))?.flatten() {
        let path = entry.path();
        let meta = fs::symlink_metadata(&path).map_err(|fault| image::at(&path, &fault))?;
        bytes += if meta.is_dir() { size(&path)? } else { meta.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_of_a_dockerfile() {
        let text = "FROM a AS build\nRUN x\n\nFROM scratch\nCOPY --from=build /image/ /\nUSER 1:1\nENV A=b\nEXPOSE 1 2\n\
                    HEALTHCHECK --interval=10s CMD [\"/a\", \"b\"]\nCMD [\"c\"]\n";
        let want = json!({
            "User": "1:1",
            "Env": ["A=b"],
            "ExposedPorts": { "1/tcp": {}, "2/tcp": {} },
            "Healthcheck": {
                "Test": ["CMD", "/a", "b"], "Interval": 10_000_000_000_u64, "StartInterval": 1_000_000_000,
            },
            "Cmd": ["c"],
        });
        assert_eq!(Value::Object(runs(text).unwrap()), want);
        assert!(runs("FROM a\nRUN x\n").unwrap_err().contains("RUN x"));
        let own = include_str!("../../../Dockerfile");
        let own = runs(own).unwrap();
        assert_eq!(own["User"], "65532:65532");
        assert!(own["Healthcheck"]["StartPeriod"].is_u64(), "without it StartInterval does nothing");
    }
}
