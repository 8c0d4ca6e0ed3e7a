//! `linkr certs`: an authority for trying things out and small sites, a certificate of the API, one for each edge.

use crate::args::Certs;
use crate::fault::CommandFault;
use crate::out;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::fmt::Display;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Days of an authority: it signs again before what it signed ends, and everybody who believes it has to be visited anew.
const AUTHORITY_DAYS: u32 = 3650;
/// Clocks of other machines may be behind.
const BEHIND: Duration = Duration::from_secs(60 * 60);

/// Runs it: `ca.pem`, `server.pem` and a file for each edge, every private key beside them as `….key` (0600).
pub fn make(args: &Certs) -> Result<(), CommandFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.dir);
    made.map_err(|fault| cannot(&args.dir, &fault))?;
    let issuer = authority(&args.dir)?;
    let server =
        Leaf { name: "server", names: args.host.clone(), usage: ExtendedKeyUsagePurpose::ServerAuth };
    certificate(args, server, &issuer)?;
    for edge in &args.edge {
        if edge.starts_with('.') || edge.contains('/') || ["ca", "server"].contains(&edge.as_str()) {
            return Err(CommandFault::new(format_args!(
                "--edge {edge} cannot be the name of a file of its own"
            )));
        }
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        certificate(args, Leaf { name: edge, names: vec![edge.clone()], usage }, &issuer)?;
    }
    let dir = args.dir.display();
    out::line(&format!(
        "control  --api-tls-cert {dir}/server.pem --api-tls-key {dir}/server.key --api-client-ca {dir}/ca.pem"
    ))?;
    args.edge.iter().try_for_each(|edge| {
        out::line(&format!(
            "edge     --name {edge} --control-ca {dir}/ca.pem --control-cert {dir}/{edge}.pem --control-cert-key {dir}/{edge}.key"
        ))
    })
}

/// The one that was made here before, or a new one.
fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, CommandFault> {
    let (certificate, private) = (dir.join("ca.pem"), dir.join("ca.key"));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "linkr authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    if certificate.exists() {
        let key = proto::file::read(&private).and_then(proto::file::SmallFile::text);
        let key = key.map_err(|fault| cannot(&private, &fault))?;
        let key = KeyPair::from_pem(&key).map_err(|fault| cannot(&private, &fault))?;
        return Ok(Issuer::new(params, key));
    }
    let key = KeyPair::generate().map_err(|fault| cannot(&private, &fault))?;
    last(&mut params, AUTHORITY_DAYS);
    let own = params.self_signed(&key).map_err(|fault| cannot(&certificate, &fault))?;
    write(&private, &key.serialize_pem(), 0o600)?;
    write(&certificate, &own.pem(), 0o644)?;
    Ok(Issuer::new(params, key))
}

/// A certificate that signs no other.
struct Leaf<'a> {
    name: &'a str,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
}

fn certificate(args: &Certs, leaf: Leaf<'_>, issuer: &Issuer<'_, KeyPair>) -> Result<(), CommandFault> {
    let Leaf { name, names, usage } = leaf;
    let (file, private) = (args.dir.join(format!("{name}.pem")), args.dir.join(format!("{name}.key")));
    let mut params = CertificateParams::new(names).map_err(|fault| cannot(&file, &fault))?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    last(&mut params, args.days);
    let key = KeyPair::generate().map_err(|fault| cannot(&private, &fault))?;
    let signed = params.signed_by(&key, issuer).map_err(|fault| cannot(&file, &fault))?;
    write(&private, &key.serialize_pem(), 0o600)?;
    write(&file, &signed.pem(), 0o644)
}

/// From now on.
fn last(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(BEHIND);
    params.not_after =
        date_time_ymd(1970, 1, 1) + (now + Duration::from_secs(u64::from(days) * 24 * 60 * 60));
}

/// Whole or not at all: a server may be looking at the file.
pub fn write(file: &Path, text: &str, mode: u32) -> Result<(), CommandFault> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let _ = fs::remove_file(&new); // left by one that was killed
    let written = || {
        let mut out = File::options().create_new(true).write(true).mode(mode).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, file)
    };
    written().map_err(|fault| cannot(file, &fault))
}

fn cannot(file: &Path, fault: &dyn Display) -> CommandFault {
    CommandFault::new(format_args!("cannot use {}: {fault}", file.display()))
}
