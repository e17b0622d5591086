//! The table of the Secrets of record, row by row.

use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

fn holder() -> Holder {
    let labels = json!({
        label::HUB: "h",
        label::HUB_NAMESPACE: "n",
        label::MANAGED_BY: "hub-operator",
    });
    Holder {
        name: "h".into(),
        namespace: "n".into(),
        uid: "u1".into(),
        labels: serde_json::from_value(labels).unwrap(),
    }
}

fn cookie_secret() -> Record {
    Record::rotating("h", Rotating::CookieSecret, None)
}

fn live(record: &Record) -> Secret {
    let data = record.keys.iter().map(|key| (key.clone(), ByteString(vec![b'a'; 64]))).collect();
    record.secret(record.name.clone(), &holder(), data, true)
}

fn dying(record: &Record) -> Secret {
    let mut secret = live(record);
    secret.metadata.deletion_timestamp = Some(Time("2026-01-01T00:00:00Z".parse().unwrap()));
    secret
}

fn step(known: impl std::borrow::Borrow<Known>) -> Step {
    next_step(&cookie_secret(), &holder(), known.borrow(), |uid| uid == "alive")
}

#[test]
fn a_secret_that_never_was_is_created_with_a_finalizer_and_a_random_value() {
    let Step::Create(first) = step(Known::default()) else { panic!("not created") };
    let Step::Create(second) = step(Known::default()) else { panic!("not created") };
    assert_eq!(first.finalizers(), [SECRET_FINALIZER]);
    assert_eq!(first.labels()[label::HUB_UID], "u1");
    assert!(first.owner_references().is_empty());
    let value = |secret: &Secret| secret.data.as_ref().unwrap()["cookie-secret"].0.clone();
    assert_eq!(Content::CookieSecret.check(&value(&first)), Ok(()));
    assert_ne!(value(&first), value(&second));
}

#[test]
fn the_proxys_token_is_64_random_hexadecimal_digits_s51() {
    let [first, second] = [(); 2].map(|()| Content::ProxyToken.generate().0);
    for token in [&first, &second] {
        assert!(token.len() == 64 && token.iter().all(u8::is_ascii_hexdigit), "{token:?}");
    }
    assert_ne!(first, second);
}

#[test]
fn a_secret_that_was_and_is_gone_is_lost_and_nothing_is_generated() {
    assert_eq!(step(Known { had: true, ..Known::default() }), Step::Lost);
}

#[test]
fn the_bytes_of_a_dying_secret_go_into_a_copy_first_and_come_back_unchanged() {
    let record = cookie_secret();
    let Step::Copy(copy) = step(Known { live: Some(dying(&record)), copy: None, had: true }) else { panic!("no copy") };
    assert_eq!(copy.name_any(), "h-cookie-secret-copy");
    assert_eq!(copy.data, live(&record).data);

    let known = Known { live: Some(dying(&record)), copy: Some(copy.clone()), had: true };
    let Step::Release(released) = step(known) else { panic!("not released") };
    assert!(released.finalizers().is_empty());

    let Step::Create(anew) = step(Known { live: None, copy: Some(copy.clone()), had: true }) else {
        panic!("not anew")
    };
    assert_eq!(anew.data, live(&record).data);
    assert_eq!(anew.finalizers(), [SECRET_FINALIZER]);

    let known = Known { live: Some(anew.clone()), copy: Some(copy.clone()), had: true };
    assert_eq!(step(known), Step::DropCopy(copy));
    assert_eq!(step(Known { live: Some(anew), copy: None, had: true }), Step::Done);
}

#[test]
fn a_secret_of_another_or_of_a_living_hub_is_never_taken() {
    let mut foreign = live(&cookie_secret());
    foreign.metadata.labels = None;
    assert_eq!(step(Known { live: Some(foreign), ..Known::default() }), Step::Conflict);

    let mut others = live(&cookie_secret());
    others.labels_mut().insert(label::HUB_UID.into(), "alive".into());
    assert_eq!(step(Known { live: Some(others), ..Known::default() }), Step::Conflict);
}

#[test]
fn a_secret_of_a_deleted_hub_of_the_same_name_is_relabelled_byte_for_byte() {
    let mut kept = live(&cookie_secret());
    kept.labels_mut().insert(label::HUB_UID.into(), "gone".into());
    kept.metadata.finalizers = None;
    let data = kept.data.clone();
    let Step::Update(taken) = step(Known { live: Some(kept), ..Known::default() }) else { panic!("not taken") };
    assert_eq!(taken.labels()[label::HUB_UID], "u1");
    assert_eq!(taken.finalizers(), [SECRET_FINALIZER]);
    assert_eq!(taken.data, data);
}

#[test]
fn login_tokens_come_and_go_with_their_users_and_never_change() {
    let before = live(&Record::login_tokens("h", vec!["ada".into(), "eve".into()]));
    let record = Record::login_tokens("h", vec!["ada".into(), "grace".into()]);
    let known = Known { live: Some(before.clone()), copy: None, had: true };
    let Step::Update(after) = next_step(&record, &holder(), &known, |_| true) else { panic!("not updated") };
    let data = after.data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ada", "grace"]);
    assert_eq!(data["ada"], before.data.unwrap()["ada"]);
    assert_eq!(data["grace"].0.len(), 48);
}

#[test]
fn values_are_checked_without_being_told() {
    for (content, value, is_good) in [
        (Content::CookieSecret, "0123456789abcdef".repeat(4), true),
        (Content::CookieSecret, "0123456789ABCDEF".repeat(4), true),
        (Content::CookieSecret, "0123456789abcdef".repeat(2), false),
        (Content::CookieSecret, "z".repeat(64), false),
        (Content::CookieSecret, format!("{}\n", "a".repeat(64)), false),
        (Content::CryptKeys, "a".repeat(64), true),
        // As the chart zero-to-jupyterhub joins a list of keys, and as JupyterHub takes a key in base64.
        (Content::CryptKeys, format!("{};{}", "a".repeat(64), "b".repeat(64)), true),
        (Content::CryptKeys, format!("{}=", "A".repeat(43)), true),
        (Content::CryptKeys, format!("{};{}", "a".repeat(64), "b".repeat(63)), false),
        (Content::CryptKeys, format!("[\"{}\"]", "a".repeat(64)), false),
        (Content::CryptKeys, format!("{}\n", "a".repeat(64)), false),
        (Content::CryptKeys, ";;;;;;;;".into(), false),
        // As that chart makes one: letters and digits.
        (Content::ProxyToken, "aZ09".repeat(16), true),
        (Content::ProxyToken, "x".into(), true),
        (Content::ProxyToken, String::new(), false),
        (Content::ProxyToken, "a b".into(), false),
        (Content::ProxyToken, "a\n".into(), false),
        (Content::LoginTokens, "1234567".into(), false),
        (Content::LoginTokens, "12345678".into(), true),
        (Content::LoginTokens, "a".repeat(65), false),
    ] {
        let answer = content.check(value.as_bytes());
        assert_eq!(answer.is_ok(), is_good, "{content:?} {value:?}");
        assert!(answer.err().is_none_or(|message| value.len() < 8 || !message.contains(&value)));
    }
}
