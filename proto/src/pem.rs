//! Files of certificates and keys: read as PEM, and what else they are said by name.

use rustls::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// What a file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One certificate or more.
    Certificates,
    /// A private key, not encrypted.
    Key,
}

const DAMAGED: &str = "a part of it is no PEM: copy it anew";

/// The bytes of a file that holds what is wanted, without a mark of their order in front.
///
/// # Errors
/// It cannot be read, or what it holds instead and how that is mended.
pub fn read(file: &Path, wanted: Wanted) -> Result<Vec<u8>, String> {
    let name = file.display();
    let bytes = crate::file::read(file).map_err(|fault| format!("cannot read {name}: {fault}"))?.bytes;
    match wrong(&bytes, wanted) {
        None if is_cut(&bytes) => {
            Err(format!("cannot use {name}: it breaks off in the middle: is it still being written?"))
        }
        None => Ok(bytes),
        Some(why) => Err(format!("cannot use {name}: {}", why.replace("FILE", &name.to_string()))),
    }
}

/// The certificates of a file whose bytes these are.
///
/// # Errors
/// They are none, in one line.
pub fn certificates(bytes: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|_| cannot(file, &DAMAGED))?;
    if all.is_empty() { Err(cannot(file, &"there is no certificate in it")) } else { Ok(all) }
}

/// The private key of a file whose bytes these are.
///
/// # Errors
/// It is none, in one line.
pub fn key(bytes: &[u8], file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| cannot(file, &DAMAGED))
}

/// Why a certificate and a private key do not do together.
pub fn unusable(cert: &Path, key: &Path, fault: &Error) -> String {
    match fault {
        Error::InconsistentKeys(_) => cannot(key, &format_args!("it is not the key of {}", cert.display())),
        Error::InvalidCertificate(_) => damaged(cert),
        Error::General(_) => cannot(key, &"no RSA, ECDSA or Ed25519 key is in it"),
        fault => cannot(cert, fault),
    }
}

/// What a file says in PEM is no certificate.
pub fn damaged(file: &Path) -> String {
    cannot(file, &"the certificate in it is damaged")
}

fn cannot(file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("cannot use {}: {why}", file.display())
}

/// Somebody may be writing it.
fn is_cut(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.matches("-----BEGIN ").count() > text.matches("-----END ").count()
}

/// What is wrong with it, if anything can be said without reading it as a certificate or key.
fn wrong(bytes: &[u8], wanted: Wanted) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    let begins = |what: &str| text.contains(&format!("-----BEGIN {what}"));
    let key = begins("PRIVATE KEY") || begins("RSA PRIVATE KEY") || begins("EC PRIVATE KEY");
    // The first of an ASN.1 sequence that is longer than 127 bytes (X.690, section 8.1).
    let der = bytes.len() > 2 && bytes[0] == 0x30 && (0x81..=0x84).contains(&bytes[1]);
    match wanted {
        _ if bytes.trim_ascii().is_empty() => Some("it is empty"),
        Wanted::Certificates if begins("CERTIFICATE-") => None,
        Wanted::Certificates if der => {
            Some("it is DER, not PEM: openssl x509 -inform der -in FILE -out NEW.pem")
        }
        Wanted::Certificates if key => {
            Some("there is no certificate in it but a private key: are two flags swapped?")
        }
        Wanted::Certificates if begins("TRUSTED CERTIFICATE") => {
            Some("it is a certificate in OpenSSL's own form: openssl x509 -in FILE -out NEW.pem")
        }
        Wanted::Certificates => Some("there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)"),
        Wanted::Key
            if begins("ENCRYPTED PRIVATE KEY") || (key && text.contains("Proc-Type: 4,ENCRYPTED")) =>
        {
            Some(
                "the private key is encrypted: openssl pkey -in FILE -out NEW.key, and keep that from others (chmod 600)",
            )
        }
        Wanted::Key if key => None,
        Wanted::Key if der => Some("it is DER, not PEM: openssl pkey -inform der -in FILE -out NEW.key"),
        Wanted::Key if begins("OPENSSH PRIVATE KEY") => Some("it is a key of SSH, not of TLS"),
        Wanted::Key if begins("CERTIFICATE-") => {
            Some("there is no private key in it but a certificate: are two flags swapped?")
        }
        Wanted::Key => Some("there is no private key in it (PEM: -----BEGIN PRIVATE KEY-----)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_instead() {
        use Wanted::{Certificates, Key};
        for (bytes, wanted, said) in [
            (&b"-----BEGIN CERTIFICATE-----\n"[..], Certificates, ""),
            (b"Bag Attributes\n-----BEGIN CERTIFICATE-----\n", Certificates, ""),
            (b"-----BEGIN EC PRIVATE KEY-----\n", Key, ""),
            (b"-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----", Key, ""),
            (b" \n", Key, "empty"),
            (b"\x30\x82\x01\x0a\x02", Certificates, "x509 -inform der"),
            (b"\x30\x81\x87\x02", Key, "pkey -inform der"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", Key, "encrypted"),
            (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", Key, "encrypted"),
            (b"-----BEGIN CERTIFICATE-----\n", Key, "swapped"),
            (b"-----BEGIN PRIVATE KEY-----\n", Certificates, "swapped"),
            (b"hello", Certificates, "no certificate in it"),
        ] {
            let found = wrong(bytes, wanted).unwrap_or_default();
            assert!(found.contains(said) && found.is_empty() == said.is_empty(), "{said}: {found}");
        }
    }
    #[test]
    fn a_file_that_is_half_written_is_told_from_one_that_is_whole() {
        let whole = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(!is_cut(whole.as_bytes()));
        for length in 30..whole.len() - 25 {
            assert!(is_cut(&whole.as_bytes()[..length]), "{length}");
        }
        assert!(is_cut(format!("{whole}{}", &whole[..40]).as_bytes()), "the second one");
    }

    #[test]
    fn what_is_damaged_is_said_without_bytes() {
        let file = Path::new("a.pem");
        let bad = b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        for why in
            [certificates(bad, file).unwrap_err(), key(b"-----BEGIN PRIVATE KEY-----\n", file).unwrap_err()]
        {
            assert_eq!(why, format!("cannot use a.pem: {DAMAGED}"));
        }
    }
}
