//! No link is led to a blocked host; what a block disables it gives back, unless somebody has said otherwise.

use super::{decide, draft, item, key};
use crate::*;
use bytes::Bytes;
use link::{Position, Target, TargetHost};

const EVIL: &str = "https://evil.example/";
const GOOD: &str = "https://good.example/";

fn host() -> TargetHost {
    TargetHost::given("evil.example").unwrap()
}

fn row(code: &str, target: &str, disabled: bool, blocked_by: Option<TargetHost>) -> Row {
    let Draft { link, info } = draft(target);
    let info = Info { blocked_by, ..info };
    let link = link.disabled(disabled);
    Row { key: key(code), version: 1, uid: 1, link, info, create_time: 0, update_time: 0, delete_time: None }
}

/// As a store decides, which holds these links and blocks; whatever is asked of it, it was asked for.
fn decided(rows: Vec<Row>, blocks: &[&str], group: &[Request]) -> Decision {
    let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut asked = given_hosts(group);
    asked.extend(returning_hosts(group, &rows));
    let blocks = blocks.iter().map(|name| TargetHost::given(name).unwrap());
    let found = Holdings {
        rows,
        blocked: blocks.filter(|host| asked.contains(host)).collect(),
        ..Holdings::default()
    };
    decide(group, found, CommitPoint { head: Position::default(), tag: 1, now: 5 }, |_| Bytes::new())
}

fn update(fields: Vec<Field>) -> Request {
    item("a", Intent::Update { fields, etag: None })
}

fn target(text: &str) -> Field {
    Field::Target(Target::given(text, &[]).unwrap())
}

fn import(text: &str, disabled: bool) -> Request {
    let Draft { link, info } = draft(text);
    let draft = Draft { link: link.disabled(disabled), info };
    item("a", Intent::Import { draft, create_time: None, update: true })
}

fn is_refused(done: &Decision) -> bool {
    done.verdicts == [Verdict::Refused(Rejection::TargetBlocked { field: "target", host: host() })]
}

#[test]
fn a_write_is_refused_that_leads_a_link_there_anew() {
    let live = |disabled| vec![row("a", EVIL, disabled, None)];
    let deleted = || vec![Row { delete_time: Some(3), ..row("a", EVIL, false, None) }];
    let restore = |text| item("a", Intent::Restore { draft: draft(text), etag: None });
    let sub = "https://www.evil.example/x";
    let refused = [
        (vec![], item("a", Intent::Create(draft(EVIL)))),
        (vec![], import(sub, false)),
        (vec![row("a", GOOD, false, None)], update(vec![target(sub)])),
        (vec![row("a", GOOD, true, None)], update(vec![target(EVIL)])),
        (live(true), update(vec![Field::Disabled(false)])),
        (live(true), update(vec![target(sub)])),
        (live(true), restore(EVIL)),
        (live(true), import(EVIL, false)),
        (deleted(), item("a", Intent::Undelete { etag: None })),
        (deleted(), restore(EVIL)),
    ];
    for (rows, request) in refused {
        assert!(
            is_refused(&decided(rows.clone(), &["evil.example"], std::slice::from_ref(&request))),
            "{request:?}"
        );
        let done = decided(rows, &["a.evil.example", "notevil.example"], std::slice::from_ref(&request));
        assert!(!is_refused(&done), "{request:?}");
    }
    let taken = [
        (live(false), update(vec![Field::Title("t".into())])),
        (live(false), update(vec![Field::Disabled(true)])),
        (live(true), update(vec![target(EVIL), Field::Disabled(true)])),
        (live(true), update(vec![target(GOOD), Field::Disabled(false)])),
        (live(true), import(EVIL, true)),
        (live(false), item("a", Intent::Delete { etag: None })),
    ];
    for (rows, request) in taken {
        assert!(
            !is_refused(&decided(rows, &["evil.example"], std::slice::from_ref(&request))),
            "{request:?}"
        );
    }
}

#[test]
fn a_link_that_one_of_a_group_leads_there_is_asked_for_by_those_behind_it() {
    let group = [
        item("a", Intent::Create(draft(GOOD))),
        update(vec![Field::Disabled(true)]),
        update(vec![target(EVIL)]),
        update(vec![Field::Disabled(false)]),
    ];
    let done = decided(vec![], &["evil.example"], &group);
    assert!(matches!(done.verdicts[2], Verdict::Refused(Rejection::TargetBlocked { .. })));
    assert!(matches!(&done.verdicts[3], Verdict::Changed(row) if !row.link.parts().terms.disabled));
}

#[test]
fn whoever_sets_target_or_disabled_takes_a_link_out_of_the_block() {
    let kept = || vec![row("a", EVIL, true, Some(host()))];
    for (request, stays) in [
        (update(vec![Field::Note("n".into())]), true),
        (update(vec![Field::Disabled(true)]), false),
        (update(vec![target(GOOD)]), false),
        (update(vec![target(EVIL)]), false),
        (item("a", Intent::Delete { etag: None }), true),
    ] {
        let done = decided(kept(), &["evil.example"], std::slice::from_ref(&request));
        let Verdict::Changed(row) = &done.verdicts[0] else { panic!("{done:?}") };
        assert_eq!(
            (row.info.blocked_by.is_some(), row.link.parts().terms.disabled),
            (stays, true),
            "{request:?}"
        );
        let counted = done.disabled.get(&host()).copied().unwrap_or(0);
        let is_live = row.delete_time.is_none();
        assert_eq!(counted, if stays && is_live { 0 } else { -1 }, "{request:?}");
    }
    let same = decided(kept(), &["evil.example"], &[import(EVIL, true)]);
    assert_eq!(same.verdicts, [Verdict::Same], "what was exported is the same link");
}

#[test]
fn a_block_and_its_undo_are_counted_once_and_only_where_they_are_due() {
    let block = |code: &str| item(code, Intent::Block { host: host() });
    let lift = |code: &str| item(code, Intent::Lift { host: host() });
    let rows = || {
        vec![
            row("a", EVIL, false, None),
            row("off", EVIL, true, None),
            row("good", GOOD, false, None),
            Row { delete_time: Some(3), ..row("gone", EVIL, false, None) },
        ]
    };
    let group = [block("a"), block("a"), block("off"), block("good"), block("gone"), block("none")];
    let done = decided(rows(), &["evil.example"], &group);
    assert_eq!((done.writes.len(), done.disabled), (1, [(host(), 1)].into()));
    assert_eq!(decided(rows(), &[], &group).writes.len(), 0, "it was undone meanwhile");
    let kept = || vec![row("a", EVIL, true, Some(host())), row("off", EVIL, true, None)];
    let done = decided(kept(), &[], &[lift("a"), lift("a"), lift("off"), lift("none")]);
    assert_eq!((done.writes.len(), done.disabled), (1, [(host(), -1)].into()));
    assert!(!done.writes[0].row.link.parts().terms.disabled);
    assert!(decided(kept(), &["evil.example"], &[lift("a")]).writes.is_empty(), "it is blocked again");
    let other = TargetHost::given("example").unwrap();
    let done = decided(kept(), &["example"], &[lift("a")]);
    assert_eq!(done.disabled, [(host(), -1), (other.clone(), 1)].into());
    let row = &done.writes[0].row;
    assert_eq!((row.link.parts().terms.disabled, &row.info.blocked_by), (true, &Some(other)));
}

#[test]
fn a_deleted_link_comes_back_enabled_when_its_block_has_gone() {
    let gone = || vec![Row { delete_time: Some(3), ..row("a", EVIL, true, Some(host())) }];
    let undelete = || item("a", Intent::Undelete { etag: None });
    assert!(is_refused(&decided(gone(), &["evil.example"], &[undelete()])));
    let done = decided(gone(), &[], &[undelete()]);
    let row = &done.writes[0].row;
    assert_eq!(
        (row.link.parts().terms.disabled, &row.info.blocked_by, done.disabled.len()),
        (false, &None, 0)
    );
}
