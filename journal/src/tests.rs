//! Groups of single and atomic requests, by hand and against a model.

mod blocked;
mod external_ids;

use super::*;
use bytes::Bytes;
use link::{Code, DomainId, Epoch, Key, Link, LinkIdentity, LinkParts, Position, Target};

fn key(code: &str) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(code).unwrap())
}

fn item(code: &str, intent: Intent) -> Request {
    Item { key: key(code), intent }.into()
}

fn draft(target: &str) -> Draft {
    let link = Link::new(LinkParts::to(Target::given(target, &[]).unwrap())).unwrap();
    Draft { link, info: Info::default() }
}

/// As a store decides; the answer to a retry names the links and how they belong together.
fn decided(group: &[Request], head: Position, tag: u64) -> Decision {
    decide(group, Holdings::default(), CommitPoint { head, tag, now: 5 }, |answered| {
        let codes = answered.links.iter().map(|named| names::link(&named.row.key, named.domain));
        Bytes::from(format!("{:?} {}", answered.kind, codes.collect::<Vec<_>>().join(" ")))
    })
}

#[test]
fn numbers_have_no_holes_and_each_item_sees_those_before() {
    let import = |update| Intent::Import { draft: draft("https://b.example/"), create_time: None, update };
    let group = [
        item("a", Intent::Create(draft("https://a.example/"))),
        item("a", Intent::Create(draft("https://a.example/"))),
        item("a", import(false)),
        item("a", import(true)),
        item("a", import(true)),
        item("b", Intent::Delete { etag: None }),
        item("a", Intent::Update { fields: vec![Field::Disabled(true)], etag: Some(7) }),
        item("a", Intent::Update { fields: vec![Field::Disabled(true)], etag: Some(12) }),
        item("a", Intent::Delete { etag: None }),
        item("a", Intent::Delete { etag: None }),
        item("a", import(true)),
        item("a", Intent::Purge { before: 4 }),
        item("a", Intent::Purge { before: 5 }),
        item("a", Intent::Purge { before: 5 }),
        item("a", Intent::Create(draft("https://c.example/"))),
    ];
    let start = Position { epoch: Epoch { counter: 1, random: 2 }, seq: 10, tag: 3 };
    let Decision { head, verdicts, writes, audits, .. } = decided(&group, start, 99);
    assert!(audits.is_empty(), "nobody is to be named");
    assert_eq!(head, Position { seq: 16, tag: 99, ..start });
    let numbers: Vec<_> = writes.iter().map(|write| (write.row.version, write.purge)).collect();
    assert_eq!(numbers, [11, 12, 13, 14, 15, 16].map(|seq| (seq, seq == 15)));
    let uids: Vec<_> = writes.iter().map(|write| write.row.uid).collect();
    assert_eq!(
        uids,
        [11, 11, 11, 11, 11, 16],
        "an import, an update and a deletion keep it; a new link has another"
    );
    let recorded = |at: usize| record::decode(&writes[at].change(99).record).unwrap().identity();
    assert_eq!(
        (recorded(0), recorded(1)),
        (LinkIdentity::created(11), LinkIdentity { uid: 11, version: 12 })
    );
    let name = || "domains/-/links/a".to_owned();
    let short: Vec<_> = verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Created(row) | Verdict::Changed(row) => Ok(row.version),
            Verdict::Same | Verdict::Before(_) | Verdict::Held => Ok(0),
            Verdict::Refused(fault) => Err(fault),
        })
        .collect();
    let want = [
        Ok(11),
        Err(Rejection::Exists(name())),
        Err(Rejection::Exists(name())),
        Ok(12),
        Ok(0),
        Err(Rejection::NotFound("domains/-/links/b".into())),
        Err(Rejection::EtagMismatch),
        Ok(13),
        Ok(14),
        Err(Rejection::NotFound(name())),
        Err(Rejection::CodeDeleted { name: name(), until: 5 + 30 * 24 * 60 * 60 * 1000 }),
        Ok(0),
        Ok(15),
        Ok(0),
        Ok(16),
    ];
    assert_eq!(short, want);
}

#[test]
fn an_import_takes_away_nothing_that_is_not_known_here() {
    let made = |target: &str, newer: &'static [u8]| {
        let info = Info { newer: Bytes::from_static(newer), ..Info::default() };
        Draft { info, ..draft(target) }
    };
    let import = |target: &str| {
        let draft = made(target, b"");
        item("a", Intent::Import { draft, create_time: None, update: true })
    };
    let group = [
        item("a", Intent::Create(made("https://a.example/", b"newer"))),
        import("https://a.example/"),
        import("https://b.example/"),
    ];
    let Decision { verdicts, writes, .. } = decided(&group, Position::default(), 1);
    assert_eq!(verdicts[1], Verdict::Same);
    assert!(matches!(&verdicts[2], Verdict::Changed(row) if row.info.newer == "newer"));
    assert_eq!(writes.len(), 2);
}

#[test]
fn a_retry_in_the_same_group_is_answered_like_the_first() {
    let retry = |hash| {
        Some(Retry { principal: String::new(), method: "CreateLink", id: "x".into(), hash: [hash; 16] })
    };
    let with = |code: &str, hash| Request {
        retry: retry(hash),
        ..item(code, Intent::Create(draft("https://a.example/")))
    };
    let group = [with("a", 1), with("b", 1), with("a", 2)];
    let Decision { head, verdicts, .. } = decided(&group, Position::default(), 1);
    assert_eq!(head.seq, 1);
    assert!(matches!(verdicts[1], Verdict::Before(_)));
    assert_eq!(verdicts[2], Verdict::Refused(Rejection::IdempotencyMismatch));
}

fn by(method: &'static str) -> Option<Author> {
    Some(Author { principal: "p".into(), method, request_id: "r".into() })
}

#[test]
fn a_batch_is_answered_as_a_whole_and_its_retry_too() {
    let retry = Retry { principal: String::new(), method: "BatchCreateLinks", id: "x".into(), hash: [1; 16] };
    let batch = Request {
        items: ["a", "b"]
            .map(|code| Item { key: key(code), intent: Intent::Create(draft("https://a.example/")) })
            .into(),
        kind: RequestKind::Batch,
        by: by("BatchCreateLinks"),
        retry: Some(retry),
    };
    let group = [batch.clone(), batch];
    let done = decided(&group, Position::default(), 1);
    assert_eq!((done.head.seq, done.writes.len(), done.audits.len()), (2, 2, 2));
    let (retry, answer) = done.writes[1].answer.as_ref().unwrap();
    assert!(done.writes[0].answer.is_none() && retry.id == "x");
    assert_eq!(answer, "Batch domains/-/links/a domains/-/links/b");
    assert_eq!(done.verdicts[2..], [Verdict::Before(answer.clone()), Verdict::Before(answer.clone())]);
}

#[test]
fn of_a_chunk_only_what_it_replaces_is_noted_in_full() {
    let import = |code: &str, target: &str| {
        let (draft, update) = (draft(target), true);
        Item { key: key(code), intent: Intent::Import { draft, create_time: None, update } }
    };
    let items = vec![
        import("a", "https://a.example/"),
        import("a", "https://a.example/"),
        import("a", "https://b.example/"),
        import("b", "https://a.example/"),
    ];
    let chunk = Request { items, kind: RequestKind::Chunk, by: by("ImportLinks"), retry: None };
    let done = decided(&[chunk], Position::default(), 1);
    let short: Vec<_> =
        done.audits.iter().map(|a| (a.seq, a.first, a.key.is_some(), a.before.is_some())).collect();
    assert_eq!(short, [(2, None, true, true), (3, Some(1), false, false)]);
    assert_eq!(done.audits[0].after.clone().unwrap(), done.writes[1].row);
}

mod model {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What is done to one of three codes. External ids are numbers; 0 is none.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Create(u8),
        Update(Option<u64>),
        Name(u8),
        Delete,
        Undelete,
        Purge,
    }

    fn act() -> impl Strategy<Value = (usize, Act)> {
        let act = prop_oneof![
            4 => (0..3u8).prop_map(Act::Create),
            4 => prop::option::weighted(0.4, 1u64..12).prop_map(Act::Update),
            4 => (0..3u8).prop_map(Act::Name),
            3 => Just(Act::Delete),
            2 => Just(Act::Undelete),
            1 => Just(Act::Purge),
        ];
        (0..3usize, act)
    }

    fn kind() -> impl Strategy<Value = RequestKind> {
        prop_oneof![Just(RequestKind::Batch), Just(RequestKind::Chunk)]
    }

    /// A link by hand: its version, whether it is deleted, and its external id.
    type ModelState = BTreeMap<usize, (u64, bool, u8)>;

    /// One item on a state: whether it was refused.
    fn step(state: &mut ModelState, head: &mut u64, (code, act): (usize, Act)) -> bool {
        let next = match (act, state.get(&code)) {
            (Act::Purge, Some((_, true, _))) => None,
            (Act::Purge, _) => return false,
            (Act::Create(id), None) | (Act::Name(id), Some((_, false, _))) => Some((false, id)),
            (Act::Undelete, Some((_, true, id))) => Some((false, *id)),
            (Act::Update(etag), Some((version, false, id))) if etag.is_none_or(|etag| etag == *version) => {
                Some((false, *id))
            }
            (Act::Delete, Some((_, false, id))) => Some((true, *id)),
            _ => return true,
        };
        if let Some((false, id @ 1..)) = next
            && state.iter().any(|(other, (_, deleted, has))| *other != code && !deleted && *has == id)
        {
            return true;
        }
        *head += 1;
        match next {
            Some((deleted, id)) => state.insert(code, (*head, deleted, id)),
            None => state.remove(&code),
        };
        false
    }

    fn written((code, act): (usize, Act)) -> Item {
        let name = |id: u8| if id == 0 { String::new() } else { id.to_string() };
        let intent = match act {
            Act::Create(id) => Intent::Create(external_ids::with_id("https://a.example/", &name(id))),
            Act::Name(id) => Intent::Update { fields: vec![Field::ExternalId(name(id))], etag: None },
            Act::Update(etag) => Intent::Update { fields: vec![Field::Disabled(true)], etag },
            Act::Delete => Intent::Delete { etag: None },
            Act::Undelete => Intent::Undelete { etag: None },
            Act::Purge => Intent::Purge { before: i64::MAX },
        };
        Item { key: key(["a", "b", "c"][code]), intent }
    }

    proptest! {
        #[test]
        fn a_group_of_single_and_atomic_requests(
            requests in prop::collection::vec((prop::collection::vec(act(), 1..6), kind()), 0..8),
        ) {
            let mut state = ModelState::new();
            let (mut head, mut refusals) = (0, Vec::new());
            for (acts, kind) in &requests {
                let (mut tried, mut at, mut refused) = (state.clone(), head, Vec::new());
                for act in acts {
                    refused.push(step(&mut tried, &mut at, *act));
                    if refused.last() == Some(&true) && *kind == RequestKind::Batch {
                        break;
                    }
                }
                if *kind == RequestKind::Chunk || !refused.contains(&true) {
                    (state, head) = (tried, at);
                }
                refused.resize(acts.len(), false);
                refusals.extend(refused);
            }

            let group: Vec<Request> = requests
                .iter()
                .map(|(acts, kind)| Request {
                    items: acts.iter().copied().map(written).collect(),
                    kind: *kind,
                    by: by("Test"),
                    retry: None,
                })
                .collect();
            let done = decided(&group, Position::default(), 9);
            prop_assert_eq!(done.head.seq, head);
            let seqs: Vec<u64> = done.writes.iter().map(|write| write.row.version).collect();
            prop_assert_eq!(seqs, (1..=head).collect::<Vec<_>>(), "dense, and in their order");
            let told: Vec<bool> = done.verdicts.iter().map(|v| matches!(v, Verdict::Refused(_))).collect();
            prop_assert_eq!(told, refusals);
            let mut last = ModelState::new();
            for Write { row, before, purge, .. } in &done.writes {
                let code = usize::from(row.key.code()[0] - b'a');
                prop_assert_eq!(before.as_ref().map(|row| row.version), last.get(&code).map(|known| known.0));
                match purge {
                    true => last.remove(&code),
                    false => {
                        let id = row.info.external_id.parse().unwrap_or(0);
                        last.insert(code, (row.version, row.delete_time.is_some(), id))
                    }
                };
            }
            prop_assert_eq!(last, state);
            // Each write is noted once, by itself or with its chunk.
            let mut noted: Vec<u64> = done.audits.iter().filter(|a| a.key.is_some()).map(|a| a.seq).collect();
            for write in &done.writes {
                let chunk = |a: &&Audit| a.first.is_some_and(|first| (first..=a.seq).contains(&write.row.version));
                if write.before.is_none() && done.audits.iter().any(|a| chunk(&a)) && !noted.contains(&write.row.version) {
                    noted.push(write.row.version);
                }
            }
            noted.sort_unstable();
            prop_assert_eq!(noted, (1..=head).collect::<Vec<_>>());
        }
    }
}
