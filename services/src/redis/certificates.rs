//! A private authority and the certificate of a server on loopback, made by openssl.

use crate::{Folder, ServerFault, program};
use std::path::PathBuf;
use std::process::Command;

/// Files in a folder that goes with this: `ca.pem` for clients, `cert.pem` and `key.pem` for the server.
#[derive(Debug)]
pub struct Certificates(Folder);

impl Certificates {
    /// A new authority, and a certificate for `localhost` and `127.0.0.1` that it signed.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] without openssl, otherwise [`ServerFault::Failed`].
    pub fn new() -> Result<Self, ServerFault> {
        let (openssl, folder) = (program("openssl", &[])?, Folder::new("certificates", None)?);
        for line in [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
             -keyout ca-key.pem -out ca.pem",
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
             -addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE \
             -CA ca.pem -CAkey ca-key.pem -keyout key.pem -out cert.pem",
        ] {
            let output = Command::new(&openssl).args(line.split(' ')).current_dir(folder.path()).output();
            let output = output.map_err(|e| ServerFault::Failed(format!("cannot run openssl: {e}")))?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(ServerFault::Failed(format!("openssl makes no certificate: {why}")));
            }
        }
        Ok(Self(folder))
    }

    /// One of the files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
