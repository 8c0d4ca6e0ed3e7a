//! What people note about a link, but for title, tags and note, as bytes: column `more` of every store, and a part of each
//! row of the audit. Tags never change their meaning, nor are they used again.
//!
//! Title, tags and note have columns, which controls of before read and write. These controls do not name `more`: what they
//! write over a link leaves it as it is.

use crate::model::Info;
use link::TargetHost;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};

#[derive(PartialEq, Message)]
struct StoredInfo {
    #[prost(string, tag = "1")]
    external_id: String,
    #[prost(uint64, tag = "2")]
    imported_clicks: u64,
    /// Turned round, as [`TargetHost`] compares it.
    #[prost(string, tag = "3")]
    blocked_by: String,
}

/// All but what has a column. Fields that are not known here come first: of two with one tag the last one counts.
pub(super) fn more(info: &Info) -> Vec<u8> {
    let Info { title: _, tags: _, note: _, external_id, imported_clicks, blocked_by, newer } = info;
    let blocked_by = blocked_by.as_ref().map_or_else(String::new, |host| host.turned().to_owned());
    let stored =
        StoredInfo { external_id: external_id.clone(), imported_clicks: *imported_clicks, blocked_by };
    [&newer[..], &stored.encode_to_vec()].concat()
}

/// What has a column, with the bytes of [`more`].
pub(super) fn with_more(info: Info, bytes: &[u8]) -> Result<Info, DecodeError> {
    let StoredInfo { external_id, imported_clicks, blocked_by } = StoredInfo::decode(bytes)?;
    let blocked_by = Some(blocked_by).filter(|host| !host.is_empty()).map(TargetHost::stored);
    Ok(Info { external_id, imported_clicks, blocked_by, newer: unknown(bytes)?.into(), ..info })
}

/// The fields that this linkr does not know, as they came.
fn unknown(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (mut left, mut unknown) = (bytes, Vec::new());
    while !left.is_empty() {
        let from = left;
        let (tag, wire) = decode_key(&mut left)?;
        skip_field(wire, tag, &mut left, DecodeContext::default())?;
        let field = &from[..from.len() - left.len()];
        if StoredInfo::decode(field)? == StoredInfo::default() {
            unknown.extend_from_slice(field);
        }
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden bytes: they are in databases.
    #[test]
    fn what_is_known_comes_back() {
        let info = Info { external_id: "CRM 17".into(), ..Info::default() };
        assert_eq!(more(&info), b"\x0a\x06CRM 17");
        assert_eq!(with_more(Info::default(), b"\x0a\x06CRM 17").unwrap(), info);
        let clicked = Info { imported_clicks: 300, ..info.clone() };
        assert_eq!(more(&clicked), b"\x0a\x06CRM 17\x10\xac\x02");
        assert_eq!(with_more(Info::default(), &more(&clicked)).unwrap(), clicked);
        let blocked = Info { blocked_by: Some(TargetHost::stored("example.evil.".into())), ..info.clone() };
        assert_eq!(more(&blocked), b"\x0a\x06CRM 17\x1a\x0dexample.evil.");
        assert_eq!(with_more(Info::default(), &more(&blocked)).unwrap(), blocked);
        let both = Info { newer: b"\xf8\x7f\x07"[..].into(), ..info };
        assert_eq!(with_more(Info::default(), &more(&both)).unwrap(), both);
        let cleared = Info { external_id: String::new(), ..both };
        assert_eq!(more(&cleared), b"\xf8\x7f\x07");
    }

    /// Two fields of a newer linkr, a text and a number. A control that does not know them writes them back.
    #[test]
    fn what_a_newer_linkr_keeps_is_not_lost() {
        let newer = b"\xfa\x7f\x02ok\xf8\x7f\x07";
        let info = with_more(Info { title: "t".into(), ..Info::default() }, newer).unwrap();
        assert_eq!((&*info.title, &info.newer[..]), ("t", &newer[..]));
        assert_eq!(more(&info), newer);
        assert!(more(&Info { note: "n".into(), ..Info::default() }).is_empty(), "it has a column");
        for wrong in [&b"\xfa"[..], b"\xfa\x7f\x03ok", b"\x07"] {
            assert!(with_more(Info::default(), wrong).is_err(), "{wrong:?}");
        }
    }
}
