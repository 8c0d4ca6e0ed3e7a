//! The file that an edge starts from: any bytes, and bytes whose sums are right whatever they say. It is read as
//! `edge/src/keep/read.rs` does, and what a set then holds is what a write could have made.

use super::{leads_somewhere_safe, responses};
use ::record::encode_domain;
use ::record::snapshot::{
    Section, SnapshotEntry, SnapshotFault, SnapshotHeader, SnapshotReader, SnapshotWriter, verify,
};
use ::record::{decode, encode_as};
use hot::{
    AnswerContext, Conversation, Counts, Domains, EntryState, Policy, Restoration, Set, Stamp, StoredValue,
    View, answer,
};
use link::{
    Domain, DomainId, DomainRules, Epoch, Key, Link, LinkIdentity, LinkParts, LinkState, Position, Target,
};
use std::sync::Arc;

/// The first byte says which of the two; see the module.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0..=0x7f, rest)) => load(rest),
        Some((_, rest)) => load(&with_sums(rest)),
        None => {}
    }
}

fn load(file: &[u8]) {
    let Ok((header, footer)) = verify(file) else { return };
    assert!(footer.seen >= header.position.seq);
    let set = Set::new(1 << 16);
    set.restore(header.position, footer.seen);
    let (mut count, mut bytes, mut held) = (0, 0, Vec::new());
    let mut links = set.restoration();
    let mut reader = SnapshotReader::new(file).expect("it was verified");
    assert_eq!(reader.header(), header);
    loop {
        match reader.part().expect("it was verified") {
            Section::End(end) => break assert_eq!(end, footer),
            Section::Entries(entries) => {
                for entry in entries {
                    let entry = entry.expect("it was verified");
                    count += 1;
                    bytes += entry.key.len() + entry.record.len() + 11;
                    held.extend(put_back(&mut links, &entry));
                }
            }
        }
    }
    drop(links);
    assert_eq!(count, footer.count);
    assert!(bytes <= file.len(), "entries out of nowhere");
    if footer.complete {
        set.set_complete();
    }
    assert!(set.bytes() <= set.budget());
    for key in held.iter().take(8) {
        set.look_up(key.as_bytes(), |held| match held.found {
            EntryState::Live(link) => leads_somewhere_safe(&link),
            EntryState::Deleted | EntryState::Absent(_) => {} // evicted
            EntryState::Quarantined => panic!("it was not put back"),
        });
        visit(&set, key);
    }
}

/// As the edge does, with what the set takes of it.
fn put_back(links: &mut Restoration<'_>, entry: &SnapshotEntry<'_>) -> Option<Key> {
    if DomainId::of_entry(entry.key).is_some() {
        let _ = (::record::decode_domain(entry.record), ::record::domain_name(entry.record));
        return None;
    }
    let (stored, version) = StoredValue::of(decode(entry.record), entry.as_of)?;
    let key = Key::from_bytes(entry.key).ok()?;
    if stored == StoredValue::Quarantined {
        return None;
    }
    assert!(version <= entry.as_of);
    links.put_back(entry.key, version, entry.as_of, &stored);
    Some(key)
}

/// What a visitor is answered is one whole response.
fn visit(set: &Set, key: &Key) {
    let request = [b"GET /", key.code(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let (stamp, mut counts, mut out) = (Stamp::new("date"), Counts::default(), Vec::new());
    let mut domains = View::new(Arc::new(Domains::default()));
    let domains = &mut domains;
    let (now, boot_ms, policy, debug) = (0, 1, Policy::default(), false);
    let mut turn = AnswerContext {
        set,
        now,
        boot_ms,
        domains,
        policy,
        debug,
        stamp: &stamp,
        counts: &mut counts,
        clicks: None,
    };
    let (taken, _) = answer(&mut Conversation::default(), &request, &mut out, &mut turn);
    assert_eq!(taken, request.len());
    assert!(responses(&out) <= 1);
}

const HEAD: SnapshotHeader = SnapshotHeader {
    position: Position { epoch: Epoch { counter: 3, random: 7 }, seq: 9, tag: 0xfeed },
    fresh_at: Some(1_700_000_000_123),
};

/// A file with right sums: how it begins is ours, its position and times, blocks and the entries in them are the data's.
/// A block is its length (u16, little-endian) and so many bytes; where one of no length stands, or nothing is left, the
/// footer is.
fn with_sums(data: &[u8]) -> Vec<u8> {
    let (mut file, _) = SnapshotWriter::new(Vec::new(), &HEAD).unwrap().finish(9, true, None).unwrap();
    file.truncate(10);
    let mut sum = crc32fast::Hasher::new();
    let mut put = |bytes: &[u8], file: &mut Vec<u8>| {
        sum.update(bytes);
        file.extend_from_slice(bytes);
        file.extend_from_slice(&sum.clone().finalize().to_be_bytes());
    };
    let (head, mut rest) = data.split_at(data.len().min(32));
    let begin = [&std::mem::take(&mut file)[..], head, &vec![0; 32 - head.len()]].concat();
    put(&begin, &mut file);
    let mut count = 0u64;
    while let [low, high, behind @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        if length == 0 {
            break;
        }
        let (block, behind) = behind.split_at(length);
        put(&[&(length as u32).to_be_bytes(), block].concat(), &mut file);
        (rest, count) = (behind, count + entries(block));
    }
    put(&[&[0; 4][..], &u64::MAX.to_be_bytes(), &[1], &count.to_be_bytes(), &[0; 40]].concat(), &mut file);
    file
}

/// So many whole entries are at the start of a block.
fn entries(mut block: &[u8]) -> u64 {
    let mut count = 0;
    while let [key, rest @ ..] = block {
        let head = usize::from(*key) + 8;
        let Some([high, low]) = rest.get(head..head + 2) else { break };
        let end = head + 2 + usize::from(u16::from_be_bytes([*high, *low]));
        let Some(behind) = rest.get(end..) else { break };
        (block, count) = (behind, count + 1);
    }
    count
}

/// Real files, and the same as [`with_sums`] takes them.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut writer = SnapshotWriter::new(Vec::new(), &HEAD).unwrap();
    let name = Domain::new("go.example").unwrap();
    let rules = encode_domain(9, &DomainRules { name, ..DomainRules::default() });
    writer.domain(DomainId(7), 9, &rules);
    let mut block = Vec::new();
    for number in 0..4u64 {
        let target = Target::stored(format!("https://a.example/{number}").as_bytes()).unwrap();
        let link = Link::new(LinkParts::to(target)).unwrap();
        let (key, shown) = ([&[0; 4], format!("c{number}").as_bytes()].concat(), link.as_ref());
        // The last one was changed since it was created.
        let identity = LinkIdentity { uid: number.min(2) + 1, version: number + 1 };
        writer.entry(&key, number + 2, identity, (number != 2).then_some(&shown));
        let state = if number == 2 { LinkState::Deleted } else { LinkState::Live(link) };
        let record = encode_as(identity, &state);
        block.push(key.len() as u8);
        block.extend_from_slice(&key);
        block.extend_from_slice(&(number + 2).to_be_bytes());
        block.extend_from_slice(&(record.len() as u16).to_be_bytes());
        block.extend_from_slice(&record);
    }
    let (file, _) = writer.finish(17, true, None).unwrap();
    let header = &file[10..42];
    let script = [&[0xff], header, &(block.len() as u16).to_le_bytes(), &block[..]].concat();
    // So that a fault of this file is no silent end of the target.
    assert_eq!(
        verify(&with_sums(&script[1..])[..])
            .map_err(|fault: SnapshotFault| fault.to_string())
            .unwrap()
            .1
            .count,
        4
    );
    vec![[&[0], &file[..]].concat(), script, vec![0xff], [&[0], &b"\x89linkr\r\n"[..]].concat()]
}
