//! What a status says, for what a reconcile came to.

use serde_json::{Value, json};

use hub_crds::status::CertificateStatus;

use super::*;
use crate::{
    certificate::{self, Served, Standing},
    controller::{build, dereference, validate},
    fixtures,
};

fn now() -> Time {
    Time("2026-01-01T00:00:00Z".parse().unwrap())
}

fn succeeded(changes: &Value) -> Outcome {
    let hub = validate::validate(&fixtures::found(changes), &fixtures::images()).unwrap();
    let built = build::build(&hub);
    let applied = Resources {
        service_accounts: built.service_accounts,
        roles: built.roles,
        role_bindings: built.role_bindings,
        config_maps: built.config_maps,
        secrets: built.secrets,
        claims: built.claims,
        services: built.services,
        ingresses: built.ingresses,
        network_policies: built.network_policies,
        disruption_budgets: built.disruption_budgets,
        deployments: built.deployments,
        state: std::marker::PhantomData,
    };
    Ok((hub, applied))
}

fn whole() -> Option<Deployment> {
    let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
    serde_json::from_value(json!({"metadata": {"generation": 1}, "spec": {"replicas": 1}, "status": status})).unwrap()
}

fn said(status: &HubStatus, condition: &str) -> (String, String) {
    let found = status.conditions.iter().find(|found| found.type_ == condition).unwrap();
    assert_eq!(found.observed_generation, Some(3), "{condition}");
    (found.status.clone(), found.reason.clone())
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_hub_whose_pods_are_there_is_ready() {
    let stored = fixtures::stored(&json!({}));
    let pods = Pods { hub: whole(), proxy: whole() };
    let status = assess(&stored, &succeeded(&json!({})), &pods, &HubStatus::default(), &now());
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.conditions.len(), 8);
    assert_eq!(said(&status, "Ready"), is("True", "Available"));
    assert_eq!(said(&status, "TLSConfigured"), is("False", "InsecureAllowed"));
    assert_eq!(said(&status, "Progressing"), is("False", "RolledOut"));
    assert_eq!(said(&status, "Degraded"), is("False", "AsExpected"));
    assert_eq!(status.secrets, ["physics-cookie-secret", "physics-proxy-token", "physics-login-tokens"]);
    assert_eq!(status.login_urls_secret.as_deref(), Some("physics-login-urls"));
    assert_eq!(status.versions.as_ref().unwrap().hub, "hub:1");
    let again = assess(&stored, &succeeded(&json!({})), &pods, &status, &Time(jiff::Timestamp::now()));
    assert_eq!(again, status, "the same outcome is the same status: nothing is written");
}

#[test]
fn a_hub_that_is_under_way_or_stuck_is_not_ready() {
    let stored = fixtures::stored(&json!({}));
    let pods = Pods { hub: whole(), proxy: None };
    let status = assess(&stored, &succeeded(&json!({})), &pods, &HubStatus::default(), &now());
    assert_eq!(said(&status, "HubAvailable"), is("True", "Available"));
    assert_eq!(said(&status, "Ready"), is("False", "NotAvailable"));
    assert_eq!(said(&status, "Progressing"), is("True", "RollingOut"));

    let refused = json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]});
    let stuck = serde_json::from_value(json!({"metadata": {}, "spec": {}, "status": refused})).unwrap();
    let pods = Pods { hub: Some(stuck), proxy: whole() };
    let status = assess(&stored, &succeeded(&json!({})), &pods, &HubStatus::default(), &now());
    assert_eq!(said(&status, "Degraded"), is("True", "NotAvailable"));
    let ready = status.conditions.iter().find(|found| found.type_ == "Ready").unwrap();
    assert_eq!(ready.message, "exceeded quota", "the API server's own words");
}

/// Pods that serve go on serving whatever became wrong in the spec, and the conditions say both.
#[test]
fn a_wrong_spec_is_told_while_old_pods_serve() {
    let pods = Pods { hub: whole(), proxy: whole() };
    let stored = fixtures::stored(&json!({}));
    let before = assess(&stored, &succeeded(&json!({})), &pods, &HubStatus::default(), &now());
    let spec = fixtures::stored(&json!({"https": 7})).spec().unwrap_err();
    let failed: Outcome = Err(Error::Dereference(dereference::Error::Spec(spec)));
    let status = assess(&stored, &failed, &pods, &before, &now());
    assert_eq!(said(&status, "Ready"), is("False", "Invalid"));
    assert_eq!(said(&status, "Degraded"), is("True", "Invalid"));
    assert_eq!(said(&status, "HubAvailable"), is("True", "Available"));
    assert_eq!(said(&status, "SecretsReady"), is("True", "SecretsPresent"));
    assert!(status.conditions[0].message.contains("spec.https"), "{}", status.conditions[0].message);
    assert_eq!(status.url, before.url);
}

#[test]
fn a_paused_hub_says_so_and_stays_ready() {
    let stored = fixtures::stored(&json!({"paused": true}));
    let pods = Pods { hub: whole(), proxy: whole() };
    let status = assess(&stored, &succeeded(&json!({"paused": true})), &pods, &HubStatus::default(), &now());
    assert_eq!(said(&status, "Progressing"), is("False", "Paused"));
    assert_eq!(said(&status, "Ready"), is("True", "Available"));
    assert!(status.secrets.is_empty(), "a paused Hub was given nothing");
}

#[test]
fn only_a_hub_with_login_tokens_has_a_secret_with_login_urls() {
    let stored = fixtures::stored(&json!({}));
    let pods = Pods { hub: whole(), proxy: whole() };
    let before = assess(&stored, &succeeded(&json!({})), &pods, &HubStatus::default(), &now());
    let dummy = json!({"auth": {"token": null, "dummy": {"allowAnyPassword": true}, "allowAll": true}});
    let status = assess(&stored, &succeeded(&dummy), &pods, &before, &now());
    assert_eq!(status.login_urls_secret, None);
}

#[test]
fn the_address_is_the_best_that_the_cluster_tells() {
    let address = |changes: &Value, balancer: Value| {
        let Ok((hub, mut applied)) = succeeded(changes) else { panic!("not built") };
        applied.services[2].status = serde_json::from_value(json!({"loadBalancer": {"ingress": balancer}})).unwrap();
        url(&hub, applied.services.get(2))
    };
    let balanced = json!({"proxy": {"service": {"type": "LoadBalancer", "nodePorts": null}}});
    let inside = json!({"proxy": {"service": {"type": "ClusterIP", "nodePorts": null}}});
    let secure = |service: Value| json!({"https": {"type": "selfSigned"}, "proxy": {"service": service}});
    for (changes, balancer, expected) in [
        (&json!({"publicUrl": "https://x.org/jupyter/"}), json!(null), "https://x.org/jupyter/"),
        (&json!({"subdomainHost": "https://x.org"}), json!(null), "https://x.org/jupyter/"),
        (&balanced, json!([{"ip": "192.0.2.7"}]), "http://192.0.2.7/jupyter/"),
        (&balanced, json!([{"ip": "2001:db8::7"}]), "http://[2001:db8::7]/jupyter/"),
        (&balanced, json!([{"hostname": "lb.example.org"}]), "http://lb.example.org/jupyter/"),
        (&balanced, json!(null), "http://physics-proxy-public.lab/jupyter/"),
        (&json!({}), json!(null), "http://<node>:30080/jupyter/"),
        (&inside, json!(null), "http://physics-proxy-public.lab/jupyter/"),
        (
            &secure(json!({"type": "LoadBalancer", "nodePorts": null})),
            json!([{"ip": "192.0.2.7"}]),
            "https://192.0.2.7/jupyter/",
        ),
        (&secure(json!({"nodePorts": {"https": 30443}})), json!(null), "https://<node>:30443/jupyter/"),
        (
            &secure(json!({"type": "ClusterIP", "nodePorts": null})),
            json!(null),
            "https://physics-proxy-public.lab/jupyter/",
        ),
    ] {
        assert_eq!(address(changes, balancer.clone()), expected, "{changes} {balancer}");
    }
}

/// A Hub that serves a certificate, as [`crate::certificate::obtain`] found it.
fn serving(is_good: bool, verdict: (bool, &'static str)) -> Outcome {
    let https = json!({"https": {"type": "secret", "allowInsecure": null, "secret": {"name": "mine"}}});
    let Ok((mut hub, applied)) = succeeded(&https) else { panic!("not built") };
    let facts = CertificateStatus { source: "Secret mine".into(), ..CertificateStatus::default() };
    let (is_true, reason) = verdict;
    hub.certificate = Standing {
        served: Some(Served { facts, is_good, files: std::collections::BTreeMap::new() }),
        verdict: Some(certificate::Verdict { is_true, reason, message: "words".into() }),
        ..Standing::default()
    };
    Ok((hub, applied))
}

/// Row 25: the condition tells of a source that broke, and nobody is kept out.
#[test]
fn a_hub_is_ready_as_long_as_a_good_certificate_is_served() {
    let stored = fixtures::stored(&json!({}));
    let pods = Pods { hub: whole(), proxy: whole() };
    for (is_good, verdict, ready) in [
        (true, (true, reason::VALID), is("True", "Available")),
        (true, (true, reason::INTERMEDIATE_MISSING), is("True", "Available")),
        (true, (false, reason::CERTIFICATE_INVALID), is("True", "Available")),
        (false, (false, reason::CERTIFICATE_EXPIRED), is("False", reason::CERTIFICATE_EXPIRED)),
    ] {
        let status = assess(&stored, &serving(is_good, verdict), &pods, &HubStatus::default(), &now());
        let status_word = if verdict.0 { "True" } else { "False" };
        assert_eq!(said(&status, "CertificateReady"), is(status_word, verdict.1));
        assert_eq!(said(&status, "Ready"), ready, "{verdict:?}");
        assert_eq!(said(&status, "TLSConfigured"), is("True", "TerminatedInProxy"));
        assert_eq!(status.certificate.unwrap().source, "Secret mine");
    }
}

#[test]
fn a_hub_that_never_had_a_certificate_is_degraded() {
    let stored = fixtures::stored(&json!({}));
    let trouble = certificate::choice::Trouble::new(reason::SECRET_MISSING, "Secret mine does not exist");
    let failed: Outcome = Err(Error::Certificate(certificate::Error::Nothing(trouble)));
    let status = assess(&stored, &failed, &Pods { hub: None, proxy: None }, &HubStatus::default(), &now());
    assert_eq!(said(&status, "CertificateReady"), is("False", "SecretMissing"));
    assert_eq!(said(&status, "Degraded"), is("True", "SecretMissing"));
}

#[test]
fn what_is_said_of_a_certificate_goes_with_it() {
    let stored = fixtures::stored(&json!({}));
    let pods = Pods { hub: whole(), proxy: whole() };
    let before = assess(&stored, &serving(true, (true, reason::VALID)), &pods, &HubStatus::default(), &now());
    let after = assess(&stored, &succeeded(&json!({})), &pods, &before, &now());
    assert!(after.conditions.iter().all(|found| found.type_ != "CertificateReady"));
    assert_eq!(after.certificate, None);
}
