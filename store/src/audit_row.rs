//! A link's whole state as bytes, as the audit keeps it. They are read for 400 days: tags never change their meaning.

use super::stored_info;
use crate::model::{Info, Row, StoreFault};
use bytes::Bytes;
use link::{Key, LinkState};
use prost::Message;

#[derive(Message)]
struct StoredRow {
    /// The live record, with its version; of a deleted link, the last one.
    #[prost(bytes = "bytes", tag = "1")]
    record: Bytes,
    #[prost(string, tag = "2")]
    title: String,
    #[prost(string, repeated, tag = "3")]
    tags: Vec<String>,
    #[prost(string, tag = "4")]
    note: String,
    /// Unix milliseconds, as are all times here.
    #[prost(int64, tag = "5")]
    create_time: i64,
    #[prost(int64, tag = "6")]
    update_time: i64,
    #[prost(int64, optional, tag = "7")]
    delete_time: Option<i64>,
    /// See [`stored_info`].
    #[prost(bytes = "vec", tag = "8")]
    more: Vec<u8>,
}

/// All but the key.
pub(super) fn to_bytes(row: &Row) -> Bytes {
    let (info, more) = (row.info.clone(), stored_info::more(&row.info));
    let stored = StoredRow {
        record: record::encode_as(row.identity(), &LinkState::Live(row.link.clone())),
        title: info.title,
        tags: info.tags,
        note: info.note,
        create_time: row.create_time,
        update_time: row.update_time,
        delete_time: row.delete_time,
        more,
    };
    stored.encode_to_vec().into()
}

/// Decodes the bytes of [`to_bytes`]; [`StoreFault::Corrupt`] where they are none.
pub(super) fn from_bytes(key: &Key, bytes: &[u8]) -> Result<Row, StoreFault> {
    let wrong = |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("a row of the audit: {what}"));
    let stored = StoredRow::decode(bytes).map_err(|e| wrong(&e))?;
    let versioned = record::decode(&stored.record).map_err(|e| wrong(&e))?;
    let LinkState::Live(link) = versioned.state else { return Err(wrong(&"it holds a tombstone")) };
    let StoredRow { title, tags, note, create_time, update_time, delete_time, more, .. } = stored;
    let known = Info { title, tags, note, ..Info::default() };
    let info = stored_info::with_more(known, &more).map_err(|e| wrong(&e))?;
    let (key, version, uid) = (key.clone(), versioned.version, versioned.uid);
    Ok(Row { key, version, uid, link, info, create_time, update_time, delete_time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{Code, DomainId, Link, LinkParts, Target};

    /// Golden bytes: they may be in a database.
    #[test]
    fn a_row_comes_back() {
        let row = Row {
            key: Key::new(DomainId::DEFAULT, &Code::new("a").unwrap()),
            version: 7,
            uid: 7,
            link: Link::new(LinkParts::to(Target::given("https://a.example/", &[]).unwrap())).unwrap(),
            info: Info {
                title: "t".into(),
                tags: vec!["x".into(), "y".into()],
                note: "n".into(),
                ..Info::default()
            },
            create_time: -1,
            update_time: 5,
            delete_time: Some(0),
        };
        let bytes = to_bytes(&row);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let record = "01000000000000000000070000020012";
        let record = record.to_owned() + "68747470733a2f2f612e6578616d706c652f";
        assert_eq!(hex, format!("0a22{record}1201741a01781a017922016e28ffffffffffffffffff0130053800"));
        assert_eq!(from_bytes(&row.key, &bytes).unwrap(), row);
        let changed = Row { uid: 3, ..row.clone() };
        assert_eq!(from_bytes(&changed.key, &to_bytes(&changed)).unwrap(), changed);
        let live = Row { delete_time: None, ..row };
        assert_eq!(from_bytes(&live.key, &to_bytes(&live)).unwrap(), live);
        for wrong in [&b""[..], b"\x0a\x01", &bytes[..20]] {
            assert!(matches!(from_bytes(&live.key, wrong), Err(StoreFault::Corrupt(_))), "{wrong:?}");
        }
    }
}
