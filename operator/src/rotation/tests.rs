//! The machine, row by row.

use super::*;
use crate::rotation::kept::Notes;

const GRACE: SignedDuration = SignedDuration::from_hours(1);

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
}

fn value(name: &str) -> ByteString {
    ByteString(name.as_bytes().to_vec())
}

fn look(minutes: i64) -> Look<'static> {
    Look {
        now: at(minutes),
        grace: GRACE,
        confirmed: BTreeSet::new(),
        reported: BTreeSet::new(),
        in_use: BTreeSet::new(),
        given: None,
        is_read_once: false,
        is_due: false,
        asked: Vec::new(),
    }
}

fn asked(what: What) -> Vec<Asked> {
    let answered = Answered { request: "a".into(), at: at(0), refused: None };
    vec![Asked { what, heard: ("rotate".into(), "1".into()), answered }]
}

fn step(before: &Kept, look: &Look<'_>) -> (Kept, Vec<Step>) {
    advance(before, look, || value("fresh"))
}

fn first() -> Kept {
    Kept::first(value("old"))
}

/// Version 0 in use, version 1 published at minute 0.
fn published() -> Kept {
    let (kept, steps) = step(&first(), &Look { asked: asked(What::Rotate), ..look(0) });
    assert_eq!(steps, [Step::Published(1)]);
    kept
}

fn accepted(kept: &Kept) -> Vec<u32> {
    kept.values.keys().copied().collect()
}

#[test]
fn a_secret_that_nobody_asks_about_stays_as_it_is() {
    assert_eq!(step(&first(), &look(0)), (first(), vec![]));
    assert_eq!(step(&published(), &look(5)), (published(), vec![]), "not confirmed, not used");
}

#[test]
fn a_rotation_publishes_promotes_when_confirmed_and_retires_when_the_grace_period_is_over() {
    let kept = published();
    assert_eq!((kept.current, accepted(&kept)), (0, vec![0, 1]));

    let (kept, steps) = step(&kept, &Look { confirmed: BTreeSet::from([0, 1]), ..look(2) });
    assert_eq!(steps, [Step::Promoted(1)]);
    assert_eq!((kept.current, accepted(&kept), kept.values[&1].clone()), (1, vec![0, 1], value("fresh")));
    assert_eq!(kept.notes.retires_at[&0], at(62));

    assert_eq!(step(&kept, &look(61)).0, kept, "before its time nothing is dropped");
    let (kept, steps) = step(&kept, &look(62));
    assert_eq!(steps, [Step::Finished(1)]);
    assert_eq!((kept.current, accepted(&kept)), (1, vec![1]));
    assert_eq!(step(&kept, &look(1000)).0, kept);
}

#[test]
fn what_is_asked_for_while_a_rotation_is_under_way_is_merged_into_it() {
    for confirmed in [BTreeSet::new(), BTreeSet::from([1])] {
        let look = Look { asked: asked(What::Rotate), is_due: true, confirmed, ..look(3) };
        let (kept, _) = step(&published(), &look);
        assert_eq!(accepted(&kept), [0, 1]);
        assert_eq!(kept.notes.heard["rotate"], "1");
    }
}

#[test]
fn a_schedule_that_is_due_rotates() {
    assert_eq!(step(&first(), &Look { is_due: true, ..look(0) }).1, [Step::Published(1)]);
}

/// A late report of a Secret that was lost since, or restored from an old backup, confirms nothing.
#[test]
fn a_number_that_a_report_names_already_is_not_used_again() {
    let stale = BTreeSet::from([0, 1, 2, u32::MAX]);
    let look = Look { reported: stale.clone(), confirmed: stale, asked: asked(What::Rotate), ..look(0) };
    let (kept, steps) = step(&first(), &look);
    assert_eq!(steps, [Step::Published(3)], "nor do forged numbers use them up");
    assert_eq!(step(&kept, &look).1, []);
}

#[test]
fn a_new_value_in_the_administrators_secret_is_a_rotation_and_the_same_one_is_none() {
    let (old, new) = (value("old"), value("new"));
    assert_eq!(step(&first(), &Look { given: Some(&old), ..look(0) }), (first(), vec![]));
    let (kept, steps) = step(&first(), &Look { given: Some(&new), ..look(0) });
    assert_eq!(steps, [Step::Published(1)]);
    assert_eq!(kept.values[&1], new);
    assert_eq!(step(&kept, &Look { given: Some(&new), ..look(1) }).0, kept);
    // Changed again meanwhile: one after the other.
    let newer = value("newer");
    assert_eq!(step(&kept, &Look { given: Some(&newer), ..look(1) }).0, kept);
    let (kept, steps) = step(&kept, &Look { given: Some(&newer), confirmed: BTreeSet::from([1]), ..look(2) });
    assert_eq!(steps, [Step::Promoted(1), Step::Published(2)]);
    assert_eq!((kept.current, kept.values[&2].clone()), (1, newer));
}

/// configurable-http-proxy takes its token when it starts: the new one is in use at once, and its pod is replaced.
#[test]
fn a_reader_that_reads_once_gets_the_value_at_once() {
    let (kept, steps) = step(&first(), &Look { is_read_once: true, asked: asked(What::Rotate), ..look(0) });
    assert_eq!(steps, [Step::Published(1), Step::Promoted(1)]);
    assert_eq!((kept.current, accepted(&kept)), (1, vec![0, 1]));
    let (kept, steps) = step(&published(), &Look { is_read_once: true, ..look(1) });
    assert_eq!((kept.current, steps), (1, vec![Step::Promoted(1)]), "the implementation was changed in between");
}

#[test]
fn crypt_keys_are_kept_as_long_as_anything_needs_them() {
    let (kept, _) = step(&published(), &Look { confirmed: BTreeSet::from([1]), ..look(0) });
    let (held, steps) = step(&kept, &Look { in_use: BTreeSet::from([0, 1]), ..look(600) });
    assert_eq!((accepted(&held), steps), (vec![0, 1], vec![]));
    assert_eq!(step(&held, &Look { in_use: BTreeSet::from([1]), ..look(600) }).1, [Step::Finished(1)]);
}

#[test]
fn a_reset_leaves_one_value_and_ends_what_it_says_s34_s60_s68() {
    let now = u32::try_from(at(9).as_second()).unwrap();
    for (ends, sessions, tokens) in [(Ends::Nothing, 0, 0), (Ends::Sessions, now, 0), (Ends::Tokens, now, now)] {
        let (kept, steps) = step(&published(), &Look { asked: asked(What::Reset { renew: true, ends }), ..look(9) });
        assert_eq!(steps, [Step::Reset(2)]);
        assert_eq!((kept.current, accepted(&kept), kept.values[&2].clone()), (2, vec![2], value("fresh")));
        assert_eq!(kept.resets, Resets { sessions, tokens });
        assert_eq!(kept.notes.rotated_at, Some(at(9)));
    }
}

#[test]
fn ending_sessions_keeps_the_newest_value_and_voids_the_others_s60() {
    let sessions = || asked(What::Reset { renew: false, ends: Ends::Sessions });
    let (kept, steps) = step(&first(), &Look { asked: sessions(), ..look(0) });
    assert_eq!((kept.values, steps), (first().values, vec![Step::Reset(0)]));
    let (kept, steps) = step(&published(), &Look { asked: sessions(), ..look(0) });
    assert_eq!((kept.current, accepted(&kept), steps), (1, vec![1], vec![Step::Reset(1)]));
    let given = value("given");
    let (kept, _) = step(&published(), &Look { asked: sessions(), given: Some(&given), ..look(0) });
    assert_eq!((kept.current, kept.values.into_values().collect::<Vec<_>>()), (2, vec![given]));
}

/// Even of a Secret that was restored from an old backup, and of two in one second.
#[test]
fn each_reset_has_a_higher_number_than_any_before() {
    let reset = || asked(What::Reset { renew: true, ends: Ends::Tokens });
    let (one, _) = step(&first(), &Look { asked: reset(), ..look(0) });
    let (two, _) = step(&one, &Look { asked: reset(), ..look(0) });
    assert!(two.resets.sessions > one.resets.sessions && two.resets.tokens > one.resets.tokens);
    let (from_backup, _) = step(&first(), &Look { asked: reset(), ..look(1) });
    assert!(from_backup.resets.sessions > two.resets.sessions);
}

#[test]
fn a_refused_request_is_remembered_and_changes_nothing() {
    let (kept, steps) = step(&first(), &Look { asked: asked(What::Refused), ..look(0) });
    assert_eq!((kept.values.clone(), kept.current, steps), (first().values, 0, vec![]));
    assert_eq!(kept.notes.heard["rotate"], "1");
}

/// As somebody may leave it who repairs `versions.json` by hand.
#[test]
fn an_old_version_without_a_time_gets_one() {
    let (mut kept, _) = step(&published(), &Look { confirmed: BTreeSet::from([1]), ..look(0) });
    kept.notes = Notes::default();
    let (kept, steps) = step(&kept, &look(100));
    assert_eq!((accepted(&kept), steps), (vec![0, 1], vec![]));
    assert_eq!(kept.notes.retires_at[&0], at(160));
}
