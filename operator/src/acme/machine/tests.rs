use std::collections::BTreeMap;

use super::*;
use serde_json::json;

const DIRECTORY: &str = "https://ca.test/dir";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn wish() -> Wish {
    Wish {
        hosts: vec!["a.test".into(), "b.test".into()],
        email: "ada@a.test".into(),
        directory: DIRECTORY.into(),
        eab_key_id: None,
        given: String::new(),
        self_check: SelfCheck::Preferred,
    }
}

fn account() -> Account {
    let wish = wish();
    Account { directory: wish.directory, email: wish.email, eab_key_id: None, credentials: json!({}) }
}

/// A state that knows the wish, and has an account.
fn begun() -> State {
    let mut state = State { account: Some(account()), ..State::default() };
    state.adopt(&wish());
    state
}

/// 90 days from 0 on, for the hosts of the wish.
fn current() -> Current {
    Current { not_before: at(0), not_after: at(90 * 86_400), names: wish().hosts }
}

fn authorization(host: &str, is_pending: bool, is_failed: bool) -> Authorization {
    let challenge = Some((format!("token-{host}"), format!("answer-{host}")));
    Authorization {
        host: host.into(),
        is_pending,
        is_failed,
        challenge,
        problem: is_failed.then(|| "connection refused".into()),
    }
}

fn seen(status: Status, authorizations: Vec<Authorization>) -> Seen {
    Seen { status, authorizations, problem: None, retry_after: None }
}

fn pending() -> Seen {
    seen(Status::Pending, vec![authorization("a.test", true, false), authorization("b.test", true, false)])
}

fn ordering() -> State {
    let mut state = begun();
    state.take(&wish(), Outcome::OrderStarted { key_pem: "KEY".into() }, at(0), 0.5);
    state.take(&wish(), Outcome::OrderPlaced("https://ca.test/order/1".into()), at(0), 0.5);
    state
}

fn failure(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure { kind, message: "it failed".into() })
}

fn next(state: &State, now: Timestamp) -> Step {
    state.next(&wish(), None, None, now, 0.0)
}

#[test]
fn the_way_to_a_certificate() {
    let (wish, mut state) = (wish(), State::default());
    state.adopt(&wish);
    assert_eq!(next(&state, at(0)), Step::CreateAccount);
    state.take(&wish, Outcome::AccountCreated(account()), at(0), 0.5);
    assert_eq!(next(&state, at(0)), Step::MakeProbes);
    let probes = vec![("t1".into(), "x1".into()), ("t2".into(), "x2".into())];
    assert_eq!(state.take(&wish, Outcome::ProbesMade(probes), at(0), 0.5).pause, Some(SETTLE));
    assert_eq!(state.challenges["t2"].host, "b.test");
    assert_eq!(next(&state, at(1)), Step::Probe);
    state.take(&wish, Outcome::Probed(None), at(1), 0.5);
    assert_eq!(next(&state, at(1)), Step::StartOrder);
    state.take(&wish, Outcome::OrderStarted { key_pem: "KEY".into() }, at(1), 0.5);
    assert!(state.challenges.is_empty(), "probes are answered no more");
    assert_eq!(next(&state, at(1)), Step::PlaceOrder);
    state.take(&wish, Outcome::OrderPlaced("https://ca.test/order/1".into()), at(1), 0.5);
    assert_eq!(next(&state, at(1)), Step::Look);
    assert_eq!(
        state.take(&wish, Outcome::Seen(pending()), at(2), 0.5).pause,
        Some(SETTLE),
        "replicas hear of the challenges first"
    );
    assert_eq!(state.challenges["token-a.test"].answer, "answer-a.test");
    assert_eq!(state.take(&wish, Outcome::Seen(pending()), at(3), 0.5), Verdict::default());
    let tell = vec!["a.test".to_owned(), "b.test".to_owned()];
    assert_eq!(state.next(&wish, None, Some(&pending()), at(3), 0.0), Step::Tell(tell.clone()));
    state.take(&wish, Outcome::Told(tell), at(3), 0.5);
    assert_eq!(state.next(&wish, None, Some(&pending()), at(4), 0.0), Step::Wait(POLL));
    assert_eq!(state.next(&wish, None, Some(&seen(Status::Ready, vec![])), at(5), 0.0), Step::Finalize);
    state.take(&wish, Outcome::Finalized, at(5), 0.5);
    assert_eq!(next(&state, at(6)), Step::Look);
    assert_eq!(state.next(&wish, None, Some(&seen(Status::Processing, vec![])), at(6), 0.0), Step::Wait(POLL));
    assert_eq!(state.next(&wish, None, Some(&seen(Status::Valid, vec![])), at(7), 0.0), Step::Download);
    let verdict = state.take(&wish, Outcome::Downloaded { chain_pem: "CHAIN".into() }, at(8), 0.5);
    assert_eq!(verdict, Verdict { pause: None, news: Some(News::Issued) });
    assert_eq!(state.issued, Some(Issued { chain_pem: "CHAIN".into(), key_pem: "KEY".into() }));
    assert_eq!(state.next(&wish, Some(&current()), None, at(8), 0.0), Step::Withdraw);
    state.take(&wish, Outcome::Withdrawn, at(8), 0.5);
    assert!(matches!(state.next(&wish, Some(&current()), None, at(8), 0.0), Step::Wait(_)));
    assert_eq!(state.trouble(&wish, at(8)), None);
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
    let mut state = begun();
    state.issued_by = Some(DIRECTORY.into());
    let step = |state: &State, wish: &Wish, day: i64, jitter| {
        state.next(wish, Some(&current()), None, at(day * 86_400), jitter)
    };
    assert_eq!(step(&state, &wish(), 50, 0.0), Step::Wait(SignedDuration::from_hours(10 * 24)));
    assert_eq!(step(&state, &wish(), 60, 0.0), Step::MakeProbes);
    assert!(matches!(step(&state, &wish(), 55, 1.0), Step::Wait(_)));
    assert_eq!(
        step(&state, &wish(), 56, 1.0),
        Step::MakeProbes,
        "with jitter it is up to a twentieth of the life earlier"
    );

    let others = Wish { hosts: vec!["a.test".into()], ..wish() };
    assert_eq!(step(&state, &others, 1, 0.0), Step::MakeProbes, "other names are ordered at once");
    let elsewhere = Wish { directory: "https://other.test".into(), ..wish() };
    assert_eq!(step(&state, &elsewhere, 1, 0.0), Step::CreateAccount, "so is one of another authority");
    let reachable = Wish { email: "grace@a.test".into(), ..wish() };
    assert_eq!(step(&state, &reachable, 1, 0.0), Step::UpdateEmail);
    state.account = None;
    assert!(matches!(step(&state, &wish(), 1, 0.0), Step::Wait(_)), "an account is made when one is needed");
}

#[test]
fn what_the_self_check_decides() {
    for (self_check, seconds, is_passed) in
        [(SelfCheck::Preferred, 599, false), (SelfCheck::Preferred, 600, true), (SelfCheck::Required, 86_400, false)]
    {
        let (wish, mut state) = (Wish { self_check, ..wish() }, begun());
        state.take(&wish, Outcome::ProbesMade(vec![("t".into(), "x".into())]), at(0), 0.5);
        let verdict = state.take(&wish, Outcome::Probed(Some("a.test: refused".into())), at(seconds), 0.5);
        let Phase::Probing(probing) = &state.phase else { panic!() };
        assert_eq!(probing.is_passed, is_passed, "{self_check:?} {seconds}");
        assert_eq!(verdict.pause.is_none(), is_passed);
        assert!(state.trouble(&wish, at(seconds)).unwrap().contains("a.test: refused"));
    }
    let off = Wish { self_check: SelfCheck::Skip, ..wish() };
    assert_eq!(begun().next(&off, None, None, at(0), 0.0), Step::StartOrder);
}

#[test]
fn old_probes_are_made_anew_and_their_wait_goes_on() {
    let mut state = begun();
    state.take(&wish(), Outcome::ProbesMade(vec![("t".into(), "x".into())]), at(0), 0.5);
    assert_eq!(next(&state, at(3599)), Step::Probe);
    assert_eq!(next(&state, at(3600)), Step::MakeProbes);
    state.take(&wish(), Outcome::ProbesMade(vec![("u".into(), "y".into())]), at(3600), 0.5);
    assert_eq!(state.challenges.keys().collect::<Vec<_>>(), ["u"]);
    assert_eq!(state.phase, Phase::Probing(Probing { since: at(0), is_passed: false }));
}

#[test]
fn a_failed_validation_is_counted_and_says_what_to_do_row_26() {
    let mut state = ordering();
    let invalid =
        seen(Status::Invalid, vec![authorization("a.test", false, true), authorization("b.test", true, false)]);
    let verdict = state.take(&wish(), Outcome::Seen(invalid), at(10), 1.0);
    assert_eq!(state.history.failures, [at(10)]);
    assert_eq!(next(&state, at(10)), Step::Withdraw);
    state.take(&wish(), Outcome::Withdrawn, at(10), 0.5);
    assert_eq!(next(&state, at(10)), Step::Wait(SignedDuration::from_secs(61)));
    assert_eq!(next(&state, at(71)), Step::MakeProbes);
    let trouble = state.trouble(&wish(), at(10)).unwrap();
    for part in [DIRECTORY, "a.test: connection refused", "port 80", "the next attempt is at"] {
        assert!(trouble.contains(part), "{part} is not in {trouble}");
    }
    assert!(matches!(verdict.news, Some(News::Failed(_))));
    // The same again is no news.
    state.phase = ordering().phase;
    let again = seen(Status::Invalid, vec![authorization("a.test", false, true)]);
    assert_eq!(state.take(&wish(), Outcome::Seen(again), at(90), 1.0).news, None);
}

#[test]
fn no_more_hosts_are_validated_at_once_than_may_fail_row_26() {
    let hosts: Vec<_> = (0..9).map(|number| format!("h{number}.test")).collect();
    let all = seen(Status::Pending, hosts.iter().map(|host| authorization(host, true, false)).collect());
    let mut state = ordering();
    let told = |state: &State, seen: &Seen| match state.next(&wish(), None, Some(seen), at(60), 0.0) {
        Step::Tell(hosts) => hosts,
        Step::Wait(_) => Vec::new(),
        step => panic!("{step:?}"),
    };
    state.history.count_failures(2, at(0));
    assert_eq!(told(&state, &all), ["h0.test", "h1.test", "h2.test"]);
    state.take(&wish(), Outcome::Told(hosts[..3].to_vec()), at(60), 0.5);
    assert!(told(&state, &all).is_empty());
    // One has been validated, so another may be.
    let fewer = seen(Status::Pending, hosts[1..].iter().map(|host| authorization(host, true, false)).collect());
    assert_eq!(told(&state, &fewer), ["h3.test"]);
}

#[test]
fn whatever_is_wished_there_are_never_six_failures_within_an_hour_row_26() {
    let (mut now, mut failures) = (0, Vec::new());
    let mut state = begun();
    while now < 4 * 3600 {
        // Somebody edits the Hub all the time, so that each wish is a new one; the self-check is off.
        let wish = Wish { email: format!("{now}@a.test"), self_check: SelfCheck::Skip, ..wish() };
        state.adopt(&wish);
        state.account = Some(Account { email: wish.email.clone(), ..account() });
        for _ in 0..9 {
            match state.next(&wish, None, Some(&pending()), at(now), 0.0) {
                Step::Wait(_) => break,
                Step::Withdraw => drop(state.take(&wish, Outcome::Withdrawn, at(now), 0.0)),
                Step::StartOrder => {
                    drop(state.take(&wish, Outcome::OrderStarted { key_pem: String::new() }, at(now), 0.0));
                }
                Step::PlaceOrder => drop(state.take(&wish, Outcome::OrderPlaced("o".into()), at(now), 0.0)),
                Step::Tell(hosts) => {
                    // All that were told fail.
                    failures.extend(hosts.iter().map(|_| now));
                    let failed = hosts.iter().map(|host| authorization(host, false, true)).collect();
                    state.take(&wish, Outcome::Seen(seen(Status::Invalid, failed)), at(now), 0.0);
                }
                step => panic!("{step:?}"),
            }
        }
        now += 13;
    }
    assert!(failures.len() >= 15, "{}", failures.len());
    for window in failures.windows(6) {
        assert!(window[5] - window[0] >= 3600, "{window:?}");
    }
}

#[test]
fn trouble_at_the_authority_keeps_what_runs_there_row_26() {
    for (kind, phase_stays, seconds) in [
        (FailureKind::Transient, true, 6),
        (FailureKind::RateLimited(Some(SignedDuration::from_secs(600))), true, 601),
        (FailureKind::Refused, false, 61),
        (FailureKind::OrderGone, false, 6),
        (FailureKind::AccountGone, false, 6),
    ] {
        let mut state = ordering();
        state.take(&wish(), failure(kind), at(0), 1.0);
        assert_eq!(state.phase != Phase::Idle, phase_stays, "{kind:?}");
        assert_eq!(state.history.retry_at(at(0)), Some(at(seconds)), "{kind:?}");
        assert_eq!(state.account.is_none(), kind == FailureKind::AccountGone);
        assert!(state.history.failures.is_empty(), "no validation has failed");
        let wait = if phase_stays { Step::Wait(SignedDuration::from_secs(seconds)) } else { Step::Withdraw };
        assert_eq!(next(&state, at(0)), wait, "{kind:?}");
    }
    let mut state = ordering();
    assert_eq!(state.take(&wish(), failure(FailureKind::BadNonce), at(0), 1.0), pause(ONE_SECOND));
    assert_eq!(state, ordering(), "another nonce is all it takes");
}

#[test]
fn an_authority_that_is_away_for_days_is_asked_every_half_hour_or_hour_row_26() {
    let (mut state, mut now, mut waits) = (ordering(), at(0), Vec::new());
    while now < at(3 * 86_400) {
        state.take(&wish(), failure(FailureKind::Transient), now, 0.3);
        let Step::Wait(wait) = next(&state, now) else { panic!() };
        waits.push(wait.as_secs());
        now += wait;
    }
    assert!(waits[0] <= 6 && waits.is_sorted(), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 3601) && waits.iter().filter(|wait| **wait > 1800).count() > 60);
}

#[test]
fn another_wish_waits_for_nothing_but_drops_what_runs() {
    let mut state = ordering();
    state.take(&wish(), failure(FailureKind::Transient), at(0), 1.0);
    state.history.count_failures(1, at(0));
    let other = Wish { hosts: vec!["c.test".into()], ..wish() };
    state.adopt(&other);
    assert_eq!((state.phase.clone(), state.history.retry_at), (Phase::Idle, None));
    assert_eq!(state.history.failures.len(), 1, "what has failed has failed");
    assert_eq!(state.next(&other, None, None, at(0), 0.0), Step::Withdraw);
    let before = state.clone();
    state.adopt(&other);
    assert_eq!(state, before, "a wish is taken in once");
}

#[test]
fn an_order_that_cannot_come_to_an_end_is_given_up() {
    let mut state = ordering();
    state.take(&wish(), Outcome::Seen(pending()), at(3601), 1.0);
    assert!(state.phase == Phase::Idle && state.history.problem.unwrap().contains("within an hour"));
    let mut state = ordering();
    let mut only_dns = authorization("a.test", true, false);
    only_dns.challenge = None;
    state.take(&wish(), Outcome::Seen(seen(Status::Pending, vec![only_dns])), at(1), 1.0);
    assert!(state.history.problem.unwrap().contains("no HTTP-01 challenge for a.test"));
}

#[test]
fn a_route_that_cannot_be_taken_away_is_tried_again() {
    let mut state = begun();
    state.routed = wish().hosts;
    assert_eq!(state.take(&wish(), Outcome::NotWithdrawn, at(0), 0.5), pause(WITHDRAW_AGAIN));
    assert_eq!(next(&state, at(30)), Step::Withdraw);
    state.take(&wish(), Outcome::Withdrawn, at(30), 0.5);
    assert!(state.routed.is_empty() && state.challenges == BTreeMap::new());
}
