//! Files of certificates and keys: read as PEM, and what else they are said by name.

use std::path::Path;

/// What a file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One certificate or more.
    Certificates,
    /// A private key, not encrypted.
    Key,
}

/// The bytes of a file that holds what is wanted, without a mark of their order in front.
///
/// # Errors
/// It cannot be read, or what it holds instead and how that is mended.
pub fn read(file: &Path, wanted: Wanted) -> Result<Vec<u8>, String> {
    let name = file.display();
    let bytes = crate::file::read(file).map_err(|fault| format!("cannot read {name}: {fault}"))?.bytes;
    match wrong(&bytes, wanted) {
        None => Ok(bytes),
        Some(why) => Err(format!("cannot use {name}: {}", why.replace("FILE", &name.to_string()))),
    }
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
}
