//! What is planned for whole Hubs, through the real `validate`.

use hub_crds::{names::label, report::Wish};
use serde_json::{Value, json};

use super::*;
use crate::{
    controller::{types::own_labels, validate::validate},
    fixtures,
    rotation::request::Place,
    secrets::Known,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A Hub whose three Secrets of record are there.
fn found(changes: &Value) -> Found {
    let mut found = fixtures::found(changes);
    for (record, known) in &mut found.records {
        let values: serde_json::Map<_, _> =
            record.keys.iter().map(|key| (key.clone(), json!("a".repeat(64)))).collect();
        let mut secret = (*fixtures::secret(&record.name, &Value::Object(values)).1).clone();
        secret.metadata.labels = Some(own_labels("physics", "lab"));
        secret.metadata.labels.get_or_insert_default().insert(label::HUB_UID.into(), "u-1".into());
        secret.metadata.finalizers = Some(vec![hub_crds::names::SECRET_FINALIZER.into()]);
        *known = Known { live: Some(secret), copy: None, had: true };
    }
    found
}

fn planned(found: &Found) -> Plan {
    validate(found, &fixtures::images()).unwrap().rotation
}

fn asking(mut found: Found, wish: Wish) -> Found {
    found.requests = vec![Request { place: Place::Pod, id: "id-1".into(), wish }];
    found
}

fn rotate(item: &str) -> Wish {
    Wish::Rotate(item.to_owned())
}

/// As it is after the plan was carried out.
fn carried_out(mut found: Found) -> Found {
    let plan = planned(&found);
    for secret in plan.writes {
        let name = secret.metadata.name.clone().unwrap();
        let (_, known) = found.records.iter_mut().find(|(record, _)| record.name == name).unwrap();
        known.live = Some(secret);
    }
    found.rotation = Some(plan.status);
    found
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.news.iter().map(|news| news.reason).collect()
}

#[test]
fn nothing_is_planned_for_a_hub_that_asks_for_nothing() {
    let plan = planned(&found(&json!({})));
    assert_eq!((plan.writes.len(), plan.news.len(), plan.again), (0, 0, None));
    assert_eq!((plan.verdict.is_true, plan.verdict.message.as_str()), (false, "no secret is rotating"));
    let versions = plan.status.cookie_secret.clone().unwrap();
    assert_eq!((versions.secret.as_str(), versions.version, versions.accepted), ("physics-cookie-secret", 0, vec![0]));
    assert_eq!(plan.status.crypt_keys, None);
    // The first look at a new Hub says the same: its status is written once.
    assert_eq!(planned(&fixtures::found(&json!({}))).status, plan.status);
}

#[test]
fn a_request_is_written_told_and_acted_on_once() {
    let found = asking(found(&json!({})), rotate("cookie-secret"));
    let plan = planned(&found);
    assert_eq!(plan.writes.len(), 1);
    assert_eq!(plan.writes[0].metadata.name.as_deref(), Some("physics-cookie-secret"));
    assert_eq!((reasons(&plan), plan.answered.len()), (vec!["RotationStarted"], 1));
    let versions = plan.status.cookie_secret.clone().unwrap();
    assert_eq!((versions.version, versions.next, versions.accepted), (0, Some(1), vec![0, 1]));
    assert_eq!(plan.status.last_request.as_deref(), Some("rotate cookie-secret"));
    assert_eq!(plan.status.last_request_time.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!((plan.verdict.is_true, plan.verdict.reason), (true, "Published"));
    assert!(plan.verdict.message.contains("the hub, which has reported nothing yet"), "{}", plan.verdict.message);
    assert_eq!(plan.again, Some(at("2026-01-01T00:10:00Z")));

    let found = carried_out(found);
    let again = planned(&found);
    assert_eq!((again.writes.len(), again.news.len()), (0, 0), "the same request again");
    assert_eq!((again.status, again.verdict), (plan.status, plan.verdict));
}

#[test]
fn the_condition_says_whom_a_rotation_waits_for_and_complains_after_ten_minutes() {
    let mut found = carried_out(asking(found(&json!({})), rotate("proxy-token")));
    found.report.pod = "physics-hub-0".into();
    let message = |found: &Found| planned(found).verdict.message;
    assert!(message(&found).contains("waits for the hub (pod physics-hub-0)"), "{}", message(&found));
    found.report.proxy_token = BTreeSet::from([0, 1]);
    found.report.proxy = BTreeSet::from([0]);
    assert!(message(&found).contains("waits for the proxy"), "{}", message(&found));
    found.now = at("2026-01-01T00:10:00Z");
    let late = planned(&found).verdict;
    assert_eq!((late.is_true, late.reason), (true, "NotConfirmed"));
    assert!(
        late.message.contains("still waits for the proxy") && late.message.contains("delete the pod"),
        "{}",
        late.message
    );

    found.report.proxy = BTreeSet::from([0, 1]);
    let plan = planned(&found);
    assert_eq!((reasons(&plan), plan.proxy_token_version), (vec!["RotationPromoted"], 1));
    assert_eq!(plan.status.proxy_auth_token.clone().unwrap().retires_at.as_deref(), Some("2026-01-01T00:15:00Z"));
    assert_eq!((plan.verdict.is_true, plan.again), (false, Some(at("2026-01-01T00:15:00Z"))));
    let mut found = carried_out(found);
    found.now = at("2026-01-01T00:15:00Z");
    assert_eq!(reasons(&planned(&found)), ["RotationFinished"]);
}

#[test]
fn configurable_http_proxy_is_rolled_and_the_condition_says_why() {
    let chp = json!({"proxy": {"implementation": "configurable-http-proxy"}});
    let plan = planned(&asking(found(&chp), rotate("proxy-token")));
    assert_eq!((reasons(&plan), plan.proxy_token_version), (vec!["RotationStarted", "RotationPromoted"], 1));
    assert!(plan.verdict.message.contains("configurable-http-proxy reads its token when it starts"));
}

#[test]
fn a_refused_request_is_told_once_and_stays_in_the_condition() {
    let found = asking(found(&json!({})), rotate("cooky-secret"));
    let plan = planned(&found);
    assert_eq!((reasons(&plan), plan.news[0].is_warning), (vec!["RotationRefused"], true));
    assert!(plan.news[0].note.contains("cookie-secret, proxy-token and crypt-keys"));
    assert_eq!(plan.verdict.reason, "RequestRefused");
    assert!(plan.status.last_request_refused.is_some());
    let again = planned(&carried_out(found));
    assert_eq!((again.writes.len(), again.news.len(), again.verdict), (0, 0, plan.verdict));
}

/// A crash after the first of several Secrets: the rest follows, and none is reset twice.
#[test]
fn a_reset_of_all_that_broke_off_goes_on_where_it_was() {
    let mut found = asking(found(&json!({})), Wish::Reset("all".into()));
    let plan = planned(&found);
    assert_eq!(plan.writes.len(), 2);
    assert_eq!(reasons(&plan), ["SecretReset", "SecretReset"]);
    found.records[0].1.live = Some(plan.writes[0].clone());
    let rest = planned(&found);
    assert_eq!(rest.writes.len(), 1);
    assert_eq!(rest.writes[0].metadata.name.as_deref(), Some("physics-proxy-token"));
}

#[test]
fn nothing_is_done_while_a_secret_is_missing_or_the_hub_is_paused() {
    let mut dying = asking(found(&json!({})), Wish::Reset("all".into()));
    let live = dying.records[1].1.live.as_mut().unwrap();
    live.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(dying.now));
    let paused = asking(found(&json!({"paused": true})), Wish::Reset("all".into()));
    for found in [dying, paused] {
        let plan = planned(&found);
        assert_eq!((plan.writes.len(), plan.answered.len(), plan.news.len()), (0, 0, 0));
    }
}

/// What was rotated before and is being made anew from its copy keeps its version in status and template.
#[test]
fn a_secret_that_is_made_anew_keeps_its_versions() {
    let chp = json!({"proxy": {"implementation": "configurable-http-proxy"}});
    let mut found = carried_out(asking(found(&chp), rotate("proxy-token")));
    let known = &mut found.records[1].1;
    known.copy = known.live.take();
    assert_eq!(planned(&found).proxy_token_version, 1);
}

#[test]
fn a_schedule_rotates_when_it_is_due_and_the_status_says_when() {
    let schedule = json!({"security": {"cookieSecret": {"rotation": {"schedule": "0 3 1 * *"}}}});
    let found = carried_out(found(&schedule));
    let next = found.rotation.clone().unwrap().cookie_secret.unwrap().next_rotation;
    assert_eq!(next.as_deref(), Some("2026-01-01T03:00:00Z"));
    let mut found = found;
    found.now = at("2026-01-01T03:00:00Z");
    let plan = planned(&found);
    assert_eq!(reasons(&plan), ["RotationStarted"]);
    assert_eq!(plan.status.cookie_secret.unwrap().next_rotation.as_deref(), Some("2026-02-01T03:00:00Z"));
    // The Secret was written, the status was not.
    let status = found.rotation.clone();
    let mut found = carried_out(found);
    found.rotation = status;
    assert_eq!(reasons(&planned(&found)), Vec::<&str>::new());
}

#[test]
fn a_new_value_of_the_administrators_is_published_and_only_read() {
    let reference = json!({"security": {"cookieSecret": {"secretRef": {"name": "mine", "key": "k"}}}});
    let mut found = found(&reference);
    found.referenced.extend([fixtures::secret("mine", &json!({"k": "b".repeat(64)}))]);
    let plan = planned(&found);
    assert_eq!(reasons(&plan), ["RotationStarted"]);
    assert_eq!(plan.writes[0].data.as_ref().unwrap()["cookie-secret.1"].0, "b".repeat(64).as_bytes());
}

/// No value, nor anything made of one, is where people read.
#[test]
fn nothing_of_a_value_is_told() {
    let found = asking(found(&json!({})), Wish::Reset("all".into()));
    let plan = planned(&found);
    let told = format!("{:?} {:?} {:?}", plan.status, plan.verdict, plan.news);
    for secret in &plan.writes {
        for value in secret.data.as_ref().unwrap().values().filter(|value| value.0.len() == 64) {
            assert!(!told.contains(std::str::from_utf8(&value.0).unwrap()));
        }
    }
}
