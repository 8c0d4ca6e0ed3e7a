//! Files of certificates and keys: read as PEM, and what else they are said by name.

use rustls::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// The kind of item that a PEM file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemContent {
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
pub fn read(file: &Path, wanted: PemContent) -> Result<Vec<u8>, String> {
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

/// What a file in DER holds, as its first bytes tell: all of them are an ASN.1 sequence (X.690, section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Der {
    /// A certificate (RFC 5280, section 4.1): in it another sequence, and in that a version or a number.
    Certificate,
    /// A private key (RFC 5208, section 5; RFC 8017, A.1.2; RFC 5915, section 3): it begins with version 0 or 1.
    Key,
    /// An encrypted private key (RFC 5208, section 6): in it another sequence, which begins with an algorithm.
    Encrypted,
    /// Certificates and their key in one file, PKCS #12 (RFC 7292, section 4): it begins with version 3.
    Both,
}

impl Der {
    fn of(bytes: &[u8]) -> Option<Self> {
        match inside(bytes)? {
            [0x02, 0x01, 0 | 1, ..] => Some(Self::Key),
            [0x02, 0x01, 3, ..] => Some(Self::Both),
            sequence => match inside(sequence)?.first()? {
                0x06 => Some(Self::Encrypted),
                _ => Some(Self::Certificate),
            },
        }
    }
}

/// What stands in a sequence.
fn inside(bytes: &[u8]) -> Option<&[u8]> {
    let behind = bytes.strip_prefix(&[0x30])?;
    let (length, rest) = behind.split_first()?;
    match length {
        0..=0x7f => Some(rest),
        0x81..=0x84 => rest.get(usize::from(length & 0x7f)..),
        _ => None,
    }
}

/// What is wrong with it, if anything can be said without reading it as a certificate or key.
fn wrong(bytes: &[u8], wanted: PemContent) -> Option<&'static str> {
    const BOTH: &str = "it is PKCS #12, which holds certificates and a key, not PEM: openssl pkcs12 -in FILE -nokeys -out \
                        NEW.pem writes the certificates, openssl pkcs12 -in FILE -nocerts -nodes -out NEW.key the key";
    let text = String::from_utf8_lossy(bytes);
    let begins = |what: &str| text.contains(&format!("-----BEGIN {what}"));
    let key = begins("PRIVATE KEY") || begins("RSA PRIVATE KEY") || begins("EC PRIVATE KEY");
    let encrypted = begins("ENCRYPTED PRIVATE KEY") || (key && text.contains("Proc-Type: 4,ENCRYPTED"));
    match (wanted, Der::of(bytes)) {
        _ if bytes.trim_ascii().is_empty() => Some("it is empty"),
        (_, Some(Der::Both)) => Some(BOTH),
        (PemContent::Certificates, _) if begins("CERTIFICATE-") => None,
        (PemContent::Certificates, Some(Der::Certificate)) => Some(
            "it is a certificate in DER, not PEM: openssl x509 -inform der -in FILE -out NEW.pem converts it",
        ),
        (PemContent::Certificates, Some(Der::Key | Der::Encrypted)) => {
            Some("it is no certificate but a private key, and in DER: are two flags swapped?")
        }
        (PemContent::Certificates, None) if key || encrypted => {
            Some("there is no certificate in it but a private key: are two flags swapped?")
        }
        (PemContent::Certificates, None) if begins("TRUSTED CERTIFICATE") => {
            Some("it is a certificate in OpenSSL's own form: openssl x509 -in FILE -out NEW.pem converts it")
        }
        (PemContent::Certificates, None) if begins("CERTIFICATE REQUEST") => {
            Some("it is a request for a certificate: an authority makes the certificate of it")
        }
        (PemContent::Certificates, None) => {
            Some("there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)")
        }
        (PemContent::Key, _) if encrypted => Some(
            "the private key is encrypted and needs a passphrase: openssl pkey -in FILE -out NEW.key asks for it and writes \
             one without; keep that from others (chmod 600)",
        ),
        (PemContent::Key, _) if key => None,
        (PemContent::Key, Some(Der::Key)) => Some(
            "it is a private key in DER, not PEM: openssl pkey -inform der -in FILE -out NEW.key converts it",
        ),
        (PemContent::Key, Some(Der::Encrypted)) => Some(
            "it is a private key in DER that is encrypted and needs a passphrase: openssl pkey -inform der -in FILE -out \
             NEW.key asks for it and writes one without, in PEM; keep that from others (chmod 600)",
        ),
        (PemContent::Key, Some(Der::Certificate)) => {
            Some("it is no private key but a certificate, and in DER: are two flags swapped?")
        }
        (PemContent::Key, None) if begins("OPENSSH PRIVATE KEY") => Some("it is a key of SSH, not of TLS"),
        (PemContent::Key, None) if begins("PUBLIC KEY") => {
            Some("it is a public key: the private one that belongs to it is wanted")
        }
        (PemContent::Key, None) if begins("CERTIFICATE-") => {
            Some("there is no private key in it but a certificate: are two flags swapped?")
        }
        (PemContent::Key, None) => Some("there is no private key in it (PEM: -----BEGIN PRIVATE KEY-----)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_instead() {
        use PemContent::{Certificates, Key};
        for (bytes, wanted, said) in [
            (&b"-----BEGIN CERTIFICATE-----\n"[..], Certificates, ""),
            (b"Bag Attributes\n-----BEGIN CERTIFICATE-----\n", Certificates, ""),
            (b"-----BEGIN EC PRIVATE KEY-----\n", Key, ""),
            (b"-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----", Key, ""),
            (b" \n", Key, "empty"),
            (b"\x30\x82\x03\x0b\x30\x82\x01\xf3\xa0\x03", Certificates, "x509 -inform der"),
            (b"\x30\x82\x03\x0b\x30\x82\x01\xf3\xa0\x03", Key, "no private key but a certificate"),
            (b"\x30\x81\x87\x02\x01\x00\x30", Key, "a private key in DER, not PEM: openssl pkey -inform der"),
            (b"\x30\x2e\x02\x01\x00\x30\x05\x06", Key, "pkey -inform der"), // Ed25519, which is short
            (b"\x30\x77\x02\x01\x01\x04\x20", Key, "pkey -inform der"),     // SEC 1
            (b"\x30\x77\x02\x01\x01\x04\x20", Certificates, "no certificate but a private key"),
            (b"\x30\x82\x02\xdd\x30\x57\x06\x09", Key, "needs a passphrase: openssl pkey -inform der"),
            (b"\x30\x82\x09\xa1\x02\x01\x03\x30", Certificates, "pkcs12 -in FILE -nokeys"),
            (b"\x30\x82\x09\xa1\x02\x01\x03\x30", Key, "pkcs12 -in FILE -nocerts"),
            (b"0123", Key, "no private key in it"),
            (b"-----BEGIN PUBLIC KEY-----\n", Key, "a public key"),
            (b"-----BEGIN CERTIFICATE REQUEST-----\n", Certificates, "a request for a certificate"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", Certificates, "swapped"),
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
