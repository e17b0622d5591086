//! The table of what is served, row by row.

use super::*;
use crate::fixtures;

fn now() -> Timestamp {
    "2026-06-15T00:00:00Z".parse().unwrap()
}

fn candidate(source: &str, years: std::ops::Range<i32>) -> Candidate {
    let certificate = fixtures::pair(&["hub.org"], years).read();
    Candidate { certificate, source: source.to_owned(), notes: Vec::new() }
}

fn trouble() -> Trouble {
    Trouble::new(reason::CERTIFICATE_INVALID, "Secret new: broken")
}

/// Source of what is served, and reason and message of what is said.
fn chosen(offer: Offer, current: Option<Candidate>) -> (Option<String>, Option<(&'static str, String)>) {
    let choice = choose(offer, current, now());
    (choice.served.map(|served| served.source), choice.trouble.map(|trouble| (trouble.reason, trouble.message)))
}

#[test]
fn a_good_certificate_takes_the_place_of_any_other() {
    for current in [None, Some(candidate("Secret old", 2025..2027)), Some(candidate(TEMPORARY, 2025..2027))] {
        let offer = Offer::Certificate(candidate("Secret new", 2026..2028));
        assert_eq!(chosen(offer, current), (Some("Secret new".to_owned()), None));
    }
}

/// Row 25.
#[test]
fn what_is_broken_or_outside_its_time_never_takes_the_place_of_a_good_one() {
    let good = || Some(candidate("Secret old", 2025..2027));
    for (offer, reason) in [
        (Offer::Nothing(trouble()), reason::CERTIFICATE_INVALID),
        (Offer::Certificate(candidate("Secret new", 2020..2021)), reason::CERTIFICATE_EXPIRED),
        (Offer::Certificate(candidate("Secret new", 2030..2031)), reason::CERTIFICATE_NOT_YET_VALID),
    ] {
        let (served, said) = chosen(offer, good());
        let (told, message) = said.unwrap();
        assert_eq!((served.as_deref(), told), (Some("Secret old"), reason));
        assert!(message.starts_with("Secret new: "), "{message}");
        assert!(
            message.contains("the one of Secret old is served meanwhile, which is good until 2027-01-01"),
            "{message}"
        );
    }
}

#[test]
fn an_expired_one_is_served_if_there_is_nothing_better() {
    let expired = || candidate("Secret new", 2020..2021);
    for current in [None, Some(candidate("Secret old", 2019..2020)), Some(candidate(TEMPORARY, 2026..2027))] {
        let (served, said) = chosen(Offer::Certificate(expired()), current);
        assert_eq!((served.as_deref(), said.unwrap().0), (Some("Secret new"), reason::CERTIFICATE_EXPIRED));
    }
    let (served, said) = chosen(Offer::Nothing(trouble()), Some(expired()));
    assert_eq!(served.as_deref(), Some("Secret new"));
    assert!(said.unwrap().1.contains("which has expired at 2021-01-01"));
    assert!(!is_good(&expired(), now()));
}

#[test]
fn a_temporary_one_is_served_while_nothing_else_is_there_and_is_not_good() {
    let waiting = || Offer::Nothing(Trouble::new(reason::ISSUING, "waiting"));
    let (served, said) = chosen(waiting(), Some(candidate(TEMPORARY, 2026..2027)));
    assert_eq!(served.as_deref(), Some(TEMPORARY));
    assert_eq!(said.unwrap().1, "waiting; until then a temporary certificate is served that nobody trusts");
    assert!(!is_good(&candidate(TEMPORARY, 2026..2027), now()));
    assert_eq!(chosen(waiting(), None).0, None);
}

#[test]
fn what_is_said_of_a_good_one_names_what_could_be_better_s41() {
    let hosts = |host: &str| vec![host.to_owned()];
    let good = candidate("Secret x", 2026..2028);
    let said = praise(&good, &hosts("hub.org"), false, now());
    let served = "the certificate of Secret x is served, good until 2028-01-01T00:00:00Z";
    assert_eq!((said.reason, said.message.as_str()), (reason::VALID, served));

    let said = praise(&good, &hosts("other.org"), false, now());
    assert_eq!(said.reason, reason::NAMES_MISSING);
    assert!(said.message.contains("not for other.org"), "{}", said.message);

    let pair = fixtures::pair(&["hub.org"], 2026..2028);
    let certificate = hub_tls::read(pair.leaf.as_bytes(), Some(pair.key.as_bytes())).unwrap();
    let alone = Candidate { certificate, ..good };
    let said = praise(&alone, &hosts("other.org"), false, now());
    assert_eq!(said.reason, reason::INTERMEDIATE_MISSING, "the first thing that is wrong lends its reason");
    assert!(said.message.contains("Intermediate") && said.message.contains("other.org"), "{}", said.message);
}

#[test]
fn only_a_certificate_that_nobody_renews_is_warned_of_before_its_end() {
    let at = |time: &str, is_renewed| {
        praise(&candidate("Secret x", 2026..2027), &[], is_renewed, time.parse().unwrap()).reason
    };
    assert_eq!(at("2026-12-17T00:00:00Z", false), reason::VALID);
    assert_eq!(at("2026-12-19T00:00:00Z", false), reason::EXPIRES_SOON);
    assert_eq!(at("2026-12-19T00:00:00Z", true), reason::VALID);
}
