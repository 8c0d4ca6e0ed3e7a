//! What is asked of the relay, and of what an edge makes of its work.

use super::*;

const OLD: Epoch = Epoch { counter: 1, random: 7 };
const NOW: Epoch = Epoch { counter: 2, random: 8 };

fn copied(epoch: Epoch, seq: Seq, tag: u64) -> CopyPosition {
    CopyPosition { at: Position { epoch, seq, tag }, copy: 0xc0 }
}

fn log(head: Seq, tag_at_applied: Option<u64>, oldest: Seq) -> LogView {
    let head = Position { epoch: NOW, seq: head, tag: head * 10 };
    LogView { head, ancestor: Some((OLD, 50)), oldest, tag_at_applied }
}

fn link(seq: Seq) -> Change {
    let (key, record) = (Bytes::from_static(b"\0\0\0\0k"), format!("r{seq}").into());
    Change { seq, tag: seq * 10, kind: ChangeKind::LINK, key, record }
}

fn attached(relay: &mut Relay, seq: Seq) {
    let stored = copied(NOW, seq, seq * 10).encode();
    assert_eq!(relay.attach(Some(&stored), &log(100, Some(seq * 10), 1), 9), RelayStep::Follow);
}

#[test]
fn a_position_comes_back_and_other_bytes_are_none() {
    let position = copied(NOW, 70, 700);
    let bytes = position.encode();
    assert_eq!(CopyPosition::decode(&bytes), Some(position));
    assert_eq!(CopyPosition::decode(&bytes[1..]), None);
    assert_eq!(CopyPosition::decode(&copied(NOW, 1 << 48, 0).encode()), None, "no log is as long");
    assert!(
        copied(NOW, 256, 0).encode() > copied(NOW, 255, u64::MAX).encode(),
        "their order is that of strings"
    );
}

#[test]
fn names() {
    assert_eq!(position_key(Shard { number: 3, of: 8 }), "linkr:{3/8}:position");
    assert_eq!(
        value_key(Shard { number: 3, of: 8 }, 0xab, b"\0\0\0\0k"),
        &b"linkr:{3/8}:00000000000000ab:\0\0\0\0k"[..]
    );
}

#[test]
fn a_shard_is_a_keys_for_ever() {
    assert_eq!(shard_of(b"any", 1), Shard::ONE);
    // By the vectors of FNV-1a: "" is cbf29ce484222325, "a" af63dc4c8601ec8c, "foobar" 85944171f73967e8.
    for (key, number) in [(&b""[..], 0x2325), (b"a", 0xec8c), (b"foobar", 0x67e8)] {
        assert_eq!(shard_of(key, 1 << 15).number, number & 0x7fff);
        assert_eq!(shard_of(key, 8), Shard { number: number % 8, of: 8 });
    }
}

#[test]
fn where_redis_stands_decides_how_it_goes_on() {
    let check = |stored: Option<CopyPosition>, log: LogView, want: &str| {
        let bytes = stored.map(|stored| stored.encode());
        let got = match Relay::new(Shard::ONE).attach(bytes.as_deref(), &log, 9) {
            RelayStep::Follow => "follow",
            RelayStep::Replaced => "replaced",
            RelayStep::Behind => "behind",
            RelayStep::StartOver(script) => {
                assert_eq!((script.expected, script.new), (bytes, CopyPosition { at: log.head, copy: 9 }));
                assert!(script.puts.is_empty());
                "start over"
            }
        };
        assert_eq!(got, want, "{stored:?} {log:?}");
    };
    check(None, log(100, Some(0), 1), "start over");
    check(Some(copied(NOW, 70, 700)), log(100, Some(700), 71), "follow");
    check(Some(copied(NOW, 70, 700)), log(100, Some(700), 72), "start over");
    check(Some(copied(NOW, 70, 700)), log(100, None, 90), "start over");
    check(Some(copied(NOW, 70, 700)), log(100, Some(701), 1), "replaced");
    check(Some(copied(NOW, 170, 1700)), log(100, None, 1), "replaced");
    check(Some(copied(OLD, 40, 400)), log(100, Some(400), 1), "start over");
    check(Some(copied(Epoch { counter: 3, random: 1 }, 4, 4)), log(100, Some(4), 1), "behind");
    let strange = Relay::new(Shard::ONE).attach(Some(b"what"), &log(100, Some(0), 1), 9);
    assert!(matches!(strange, RelayStep::StartOver(script) if script.expected.as_deref() == Some(b"what")));
}

#[test]
fn changes_move_with_the_position() {
    let mut relay = Relay::new(Shard::ONE);
    assert_eq!(relay.carry(log(72, None, 1).head, &[link(71)]), None, "not attached");
    attached(&mut relay, 70);
    let mut purge = link(72);
    (purge.kind, purge.record) = (ChangeKind::PURGE, Bytes::new());
    let end = Position { epoch: NOW, seq: 72, tag: 720 };
    let script = relay.carry(end, &[link(71), purge]).unwrap();
    let name = value_key(Shard::ONE, 0xc0, b"\0\0\0\0k");
    let want =
        [ValueWrite { name: name.clone(), value: Some(value(71, b"r71")) }, ValueWrite { name, value: None }];
    assert_eq!((&script.puts[..], script.new), (&want[..], CopyPosition { at: end, copy: 0xc0 }));
    assert!(script.may_run(Some(&copied(NOW, 70, 700).encode())));
    assert!(!script.may_run(Some(&copied(NOW, 71, 710).encode())) && !script.may_run(None));
    assert!(Script { expected: None, ..script.clone() }.may_run(Some(b"")), "as good as none");
    relay.ran(&script, ScriptOutcome::Moved);
    assert_eq!(relay.at(), Some(script.new));
    assert_eq!(relay.carry(end, &[]), None, "there already");
    relay.ran(&script, ScriptOutcome::Unknown);
    assert_eq!(relay.at(), None, "looks again");
}

#[test]
fn a_quiet_shard_moves_too_and_a_strange_change_removes_what_it_may_have_made_wrong() {
    let mut relay = Relay::new(Shard::ONE);
    attached(&mut relay, 70);
    let end = Position { epoch: NOW, seq: 71, tag: 710 };
    assert_eq!(relay.carry(end, &[]).unwrap().new.at, end);
    let strange = Change { kind: ChangeKind(9), ..link(71) };
    assert_eq!(relay.carry(end, &[strange]).unwrap().puts[0].value, None);
    let domain = Change { kind: ChangeKind::DOMAIN, ..link(71) };
    assert!(relay.carry(end, &[domain]).unwrap().puts.is_empty());
    assert_eq!(relay.carry(Position { epoch: OLD, ..end }, &[]), None, "another history");
}

#[test]
fn an_offer_is_taken_only_when_it_knows_more() {
    let at = copied(NOW, 70, 700);
    let offer = |as_of| Offer::new(Shard::ONE, at, as_of, b"\0\0\0\0k", b"r");
    let stored = at.encode();
    assert!(offer(70).may_run(Some(&stored), None));
    assert!(!offer(69).may_run(Some(&stored), None), "older than the position");
    assert!(offer(71).may_run(Some(&stored), Some(&value(70, b"r"))));
    assert!(!offer(71).may_run(Some(&stored), Some(&value(71, b"r"))), "what is there knows as much");
    assert!(!offer(71).may_run(None, None));
    assert!(!offer(71).may_run(Some(&CopyPosition { copy: 1, ..at }.encode()), None), "another copy");
    assert!(!offer(71).may_run(Some(&copied(OLD, 70, 700).encode()), None), "another history");
}

#[test]
fn what_an_edge_makes_of_the_replies() {
    let question = RedisQuestion::new(Shard::ONE, 0xc0, b"\0\0\0\0k");
    assert_eq!(question.names[0], position_key(Shard::ONE));
    let at = Some(copied(NOW, 70, 700).encode());
    let ask = |position: &Option<Bytes>, value: Option<Bytes>| told(&question, &[position.clone(), value]);
    let says = |as_of| Some(RedisReading { epoch: NOW, as_of, record: Some("r".into()) });
    assert_eq!(ask(&at, Some(value(60, b"r"))), (Some(0xc0), says(70)));
    assert_eq!(ask(&at, Some(value(80, b"r"))), (Some(0xc0), says(80)), "filled in ahead of the position");
    assert_eq!(ask(&at, None), (Some(0xc0), None), "nil is unknown");
    assert_eq!(ask(&at, Some("short".into())), (Some(0xc0), None));
    assert_eq!(ask(&None, Some(value(60, b"r"))), (None, None));
    let moved = Some(CopyPosition { copy: 1, ..copied(NOW, 70, 700) }.encode());
    assert_eq!(ask(&moved, Some(value(60, b"r"))), (Some(1), None), "another copy: ask again under its name");
}
