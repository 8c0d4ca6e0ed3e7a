//! `gen-snapshot`: the file of an edge that holds so many links, without a control to have them from.

use link::{Code, DomainId, Epoch, Key, Link, LinkIdentity, LinkParts, Position, Seq, Target};
use record::snapshot::{SnapshotHeader, SnapshotWriter};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Links between two writes.
const AT_ONCE: u32 = 1000;
/// So that codes and targets keep their length.
const MOST: u32 = 10_000_000;

/// Writes it: the links are those of `linkr-loadtest … --make-links`, the history one that no control has.
pub fn generate(links: &str, file: &Path) -> Result<(), String> {
    let count = links.parse().ok().filter(|count| (1..=MOST).contains(count));
    let count = count.ok_or_else(|| format!("{links}: 1 to {MOST} links"))?;
    let bytes = write(count, file).map_err(|fault| format!("cannot write {}: {fault}", file.display()))?;
    println!("{}: {count} links, {bytes} bytes", file.display());
    Ok(())
}

fn write(count: u32, file: &Path) -> std::io::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let seq = Seq::from(count);
    let position = Position { epoch: Epoch { counter: 1, random: now as u32 }, seq, tag: 1 };
    let out = BufWriter::new(File::create(file)?);
    let mut writer = SnapshotWriter::new(out, &SnapshotHeader { position, fresh_at: Some(now) })?;
    for number in 0..count {
        let (key, link) = (key(number), link(number));
        let identity = LinkIdentity::created(Seq::from(number) + 1);
        writer.entry(key.as_bytes(), seq, identity, Some(&link.as_ref()));
        if number % AT_ONCE == 0 {
            writer.flush()?;
        }
    }
    let (out, bytes) = writer.finish(seq, true, None)?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(bytes)
}

fn key(number: u32) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(&format!("c{number:07}")).expect("a code"))
}

fn link(number: u32) -> Link {
    let target = format!(
        "https://www.example.com/articles/2026/{number:07}/some-title-of-medium-length-here?utm_source=linkr&id=1"
    );
    Link::new(LinkParts::to(Target::stored(target.as_bytes()).expect("a target"))).expect("a link")
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::snapshot::{Section, SnapshotReader, verify};

    #[test]
    fn the_file_is_one_that_an_edge_reads() {
        let path = std::env::temp_dir().join(format!("linkr-gen-snapshot-{}", std::process::id()));
        generate("2500", &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (header, footer) = verify(&bytes[..]).unwrap();
        assert_eq!((header.position.seq, footer.count, footer.complete), (2500, 2500, true));
        let mut reader = SnapshotReader::new(&bytes[..]).unwrap();
        let Section::Entries(mut entries) = reader.part().unwrap() else { panic!("no entries") };
        let first = entries.next().unwrap().unwrap();
        assert_eq!((first.key, first.as_of), (&b"\0\0\0\0c0000000"[..], 2500));
        assert_eq!(record::decode(first.record).unwrap().state, link::LinkState::Live(link(0)));
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        for links in ["0", "-1", "10000001", "many"] {
            assert!(generate(links, Path::new("/nowhere/file")).unwrap_err().contains("1 to 10000000"));
        }
    }
}
