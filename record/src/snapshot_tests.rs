//! What is written comes back, and no other bytes are believed.

use super::*;
use link::{Link, LinkIdentity, LinkParts, LinkState, Target};
use proptest::prelude::*;

const HEAD: SnapshotHeader = SnapshotHeader {
    position: Position { epoch: Epoch { counter: 3, random: 7 }, seq: 9, tag: 0xfeed },
    fresh_at: Some(1_700_000_000_123),
};

const PROOF_OF: Proof = Proof { position: Position { seq: 18, ..HEAD.position }, seal: [0xab; 16] };

fn link(target: &str) -> Link {
    Link::new(LinkParts::to(Target::stored(target.as_bytes()).unwrap())).unwrap()
}

/// A file with these entries, flushed behind each for which `flushed` says so; the third one is a tombstone.
fn file(targets: &[String], flushed: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut writer = SnapshotWriter::new(Vec::new(), &HEAD).unwrap();
    for (number, target) in targets.iter().enumerate() {
        let (link, seq) = (link(target), number as u64);
        let link = (number != 2).then(|| link.as_ref());
        let (key, identity) = (format!("\0\0\0\0code{number}"), LinkIdentity::created(seq));
        writer.entry(key.as_bytes(), seq + 1, identity, link.as_ref());
        if flushed(number) {
            writer.flush().unwrap();
        }
    }
    let (bytes, length) = writer.finish(17, true, Some(PROOF_OF)).unwrap();
    assert_eq!(bytes.len() as u64, length);
    bytes
}

fn targets(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|number| format!("https://a.example/{number}/{}", "x".repeat(length))).collect()
}

/// Key, as_of and record of each entry.
type EntryTriple = Vec<(Vec<u8>, Seq, Vec<u8>)>;

/// Every part, in order: what a careless reader would see.
fn read(bytes: &[u8]) -> Result<(SnapshotHeader, EntryTriple, SnapshotFooter), SnapshotFault> {
    let mut reader = SnapshotReader::new(bytes)?;
    let mut all = Vec::new();
    loop {
        match reader.part()? {
            Section::Entries(entries) => {
                for entry in entries {
                    let SnapshotEntry { key, as_of, record } = entry?;
                    all.push((key.to_vec(), as_of, record.to_vec()));
                }
            }
            Section::End(footer) => return Ok((reader.header(), all, footer)),
        }
    }
}

/// Golden bytes: another version may have to say what is wrong with them. They change only with [`LAYOUT`].
#[test]
fn golden() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let bytes = file(&targets(1, 0), |_| false);
    let record = hex(&crate::encode(0, &LinkState::Live(link(&targets(1, 0)[0]))));
    let header =
        "896c696e6b720d0a000400000003000000070000000000000009000000000000feed0000018bcfe5687bda6ea073";
    let entry = format!("0900000000636f6465300000000000000001{:04x}{record}", record.len() / 2);
    let footer = "000000000000000000000011010000000000000001";
    let proof = "00000003000000070000000000000012000000000000feedabababababababababababababababab";
    assert_eq!(hex(&bytes[..HEADER + 4]), header);
    assert_eq!(hex(&bytes[HEADER + 4..][..60]), format!("00000038{entry}"));
    assert_eq!(hex(&bytes[HEADER + 68..]), format!("{footer}{proof}02752132"));
}

/// A file of the layout before: those of edges that are brought up to date. It lacks uids, so it is not all there is.
#[test]
fn the_layout_before_is_read_and_not_complete() {
    let mut bytes = file(&targets(1, 0), |_| false);
    bytes[9] = 3;
    let mut sums = Hasher::new();
    let mut sum = |bytes: &mut [u8]| {
        let (text, place) = bytes.split_at_mut(bytes.len() - 4);
        sums.update(text);
        place.copy_from_slice(&sums.clone().finalize().to_be_bytes());
    };
    let (head, block) = (HEADER + 4, HEADER + 68);
    sum(&mut bytes[..head]);
    sum(&mut bytes[head..block]);
    sum(&mut bytes[block..]);
    // The sums of that layout, so that this is a file of its programs and not of this one.
    let golden = [&bytes[HEADER..head], &bytes[bytes.len() - 4..]].concat();
    assert_eq!(golden, [0x5a, 0xb3, 0x52, 0xaa, 0x32, 0x40, 0xfd, 0xae]);
    let footer = SnapshotFooter { seen: 17, complete: false, count: 1, proof: Some(PROOF_OF) };
    assert_eq!(verify(&bytes[..]).unwrap(), (HEAD, footer));
}

#[test]
fn what_is_written_comes_back() {
    for (count, length) in [(0, 0), (1, 0), (5, 0), (3_000, 60), (40, 8_000)] {
        for every in [1, 7, usize::MAX] {
            let targets = targets(count, length);
            let bytes = file(&targets, |number| number % every == every - 1);
            let (header, all, footer) = read(&bytes).unwrap();
            assert_eq!(
                (header, footer),
                (
                    HEAD,
                    SnapshotFooter { seen: 17, complete: true, count: count as u64, proof: Some(PROOF_OF) }
                )
            );
            assert_eq!(verify(&bytes[..]).unwrap(), (header, footer));
            assert_eq!(all.len(), count);
            for (number, (key, as_of, record)) in all.into_iter().enumerate() {
                assert_eq!(key, format!("\0\0\0\0code{number}").as_bytes());
                assert_eq!(as_of, number as u64 + 1);
                let state = match number {
                    2 => LinkState::Deleted,
                    _ => LinkState::Live(link(&targets[number])),
                };
                assert_eq!(record, crate::encode(number as u64, &state));
            }
        }
    }
    let header = SnapshotHeader { fresh_at: None, ..HEAD };
    let (bytes, _) = SnapshotWriter::new(Vec::new(), &header).unwrap().finish(9, false, None).unwrap();
    assert_eq!(
        verify(&bytes[..]).unwrap(),
        (header, SnapshotFooter { seen: 9, complete: false, count: 0, proof: None })
    );
}

#[test]
fn a_file_cut_at_any_length_is_found() {
    let bytes = file(&targets(30, 20), |number| number % 10 == 0);
    assert!(verify(&bytes[..]).is_ok());
    for length in 0..bytes.len() {
        match verify(&bytes[..length]) {
            Err(SnapshotFault::Magic) => assert!(length < MAGIC.len(), "{length}"),
            Err(SnapshotFault::Torn) => assert!(length >= MAGIC.len(), "{length}"),
            other => panic!("{length}: {other:?}"),
        }
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(verify(&longer[..]), Err(SnapshotFault::Malformed("something is behind the end"))));
}

#[test]
fn every_changed_byte_is_found() {
    let bytes = file(&targets(30, 20), |number| number % 10 == 0);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let fault = verify(&changed[..]).expect_err("a changed bit was not found");
            match at {
                0..8 => assert!(matches!(fault, SnapshotFault::Magic)),
                // One bit makes the layout before of it, which the sum does not fit.
                8..10 => assert!(matches!(fault, SnapshotFault::Layout(_) | SnapshotFault::Sum)),
                10..46 => assert!(matches!(fault, SnapshotFault::Sum)),
                _ => {}
            }
        }
    }
}

/// Sums of its own do not save a block that stands where another did.
#[test]
fn blocks_out_of_place_are_found() {
    let bytes = file(&targets(4, 20), |_| true);
    let head = HEADER + 4;
    let length = |at: usize| 8 + u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (one, two) = (length(head), length(head + length(head)));
    assert_eq!(one, two);
    let mut swapped = bytes.clone();
    swapped[head..head + one].copy_from_slice(&bytes[head + one..head + one + two]);
    swapped[head + one..head + one + two].copy_from_slice(&bytes[head..head + one]);
    assert!(matches!(verify(&swapped[..]), Err(SnapshotFault::Sum)));
    let missing = [&bytes[..head], &bytes[head + one..]].concat();
    assert!(matches!(verify(&missing[..]), Err(SnapshotFault::Sum)));
}

/// What only a wrong writer can make: every sum is right.
fn forged(block: &[u8], footer: &[u8]) -> Result<(SnapshotHeader, SnapshotFooter), SnapshotFault> {
    let mut writer = SnapshotWriter::new(Vec::new(), &HEAD).unwrap();
    if !block.is_empty() {
        writer.put(&(block.len() as u32).to_be_bytes()).unwrap();
        writer.put(block).unwrap();
        writer.put_sum().unwrap();
    }
    writer.put(&[0; 4]).unwrap();
    writer.put(footer).unwrap();
    writer.put_sum().unwrap();
    verify(&writer.out[..])
}

#[test]
fn a_wrong_writer_is_found_too() {
    let footer = |seen: u64, complete: u8, count: u64| {
        [&seen.to_be_bytes()[..], &[complete], &count.to_be_bytes(), &[0; PROOF]].concat()
    };
    let entry = [&[1, b'k'][..], &8u64.to_be_bytes(), &[0, 2, 9, 9]].concat();
    assert!(forged(&entry, &footer(9, 0, 1)).is_ok());
    let two = [&entry[..], &entry[..entry.len() - 1]].concat();
    assert!(matches!(forged(&two, &footer(9, 0, 2)), Err(SnapshotFault::Malformed("an entry is cut"))));
    assert!(matches!(forged(&entry, &footer(9, 0, 2)), Err(SnapshotFault::Malformed("number of entries"))));
    assert!(matches!(forged(&[], &footer(8, 0, 0)), Err(SnapshotFault::Malformed("footer"))));
    assert!(matches!(forged(&[], &footer(9, 2, 0)), Err(SnapshotFault::Malformed("footer"))));
    let long = vec![0; MAX_BLOCK + 1];
    assert!(matches!(forged(&long, &footer(9, 0, 0)), Err(SnapshotFault::Malformed("length of a block"))));
}

proptest! {
    /// Any bytes at all, also behind a beginning that is right, are read to an end without a panic.
    #[test]
    fn any_bytes_are_refused_or_read(
        bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0usize..200,
    ) {
        let good = file(&targets(3, 5), |_| true);
        let _ = read(&bytes);
        let _ = read(&[&good[..keep.min(good.len())], &bytes].concat());
    }

    /// Several changes at once: cut, overwritten, doubled.
    #[test]
    fn what_is_believed_is_what_was_written(
        cut in 0usize..600, at in 0usize..600, with in prop::collection::vec(any::<u8>(), 0..9), twice: bool,
    ) {
        let good = file(&targets(5, 5), |number| number % 2 == 0);
        let mut bytes = good.clone();
        let at = at.min(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        bytes.truncate(bytes.len().saturating_sub(cut / 2));
        if twice {
            bytes.extend_from_slice(&good);
        }
        if verify(&bytes[..]).is_ok() {
            prop_assert_eq!(bytes, good);
        }
    }
}
