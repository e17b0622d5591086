//! What happens between the operator and a real authority.

use super::*;

fn is_issued(progress: &Progress) -> bool {
    progress.issued.is_some() && progress.trouble.is_none()
}

fn says(text: &str) -> impl Fn(&Progress) -> bool + '_ {
    move |progress| progress.trouble.as_ref().is_some_and(|trouble| trouble.contains(text))
}

#[tokio::test]
async fn a_certificate_is_issued_and_nothing_is_left_behind_s42() {
    let Some(lab) = Lab::start(&Pebble::default()).await else { return };
    let wanted = lab.wanted("physics", &["hub.test", "www.hub.test"]);
    let progress = lab.until(&wanted, is_issued).await;
    assert_eq!(names(progress.issued.as_ref().unwrap()), ["hub.test", "www.hub.test"]);
    assert!(lab.answered() >= 4, "a probe and a validation for each host, not {}", lab.answered());
    assert_eq!(lab.routes().await, json!({}));
    assert!(lab.memory.state("physics").challenges.is_empty());
    // Two thirds of 90 days, and up to a twentieth of them less.
    let days = progress.next.as_secs() / 86400;
    assert!((55..=60).contains(&days), "{days}");

    let mut keeper = lab.keeper("physics", None);
    lab.advance(&wanted, &mut keeper).await.unwrap();
    assert_eq!((keeper.reads, keeper.writes), (0, 0), "nothing is asked while there is nothing to do");
}

#[tokio::test]
async fn a_crash_at_any_write_and_nonces_refused_cost_nothing_row_26() {
    let environment = vec![("PEBBLE_WFE_NONCEREJECT", "50"), ("PEBBLE_AUTHZREUSE", "0")];
    let Some(lab) = Lab::start(&Pebble { environment, ..Pebble::default() }).await else { return };
    let crashes = (0..10).flat_map(|at| [true, false].map(|is_written| Crash { at, is_written }));
    let runs = crashes.enumerate().map(|(number, crash)| {
        let lab = &lab;
        async move {
            let hub = format!("hub-{number}");
            let wanted = lab.wanted(&hub, &[&format!("crash-{number}.test")]);
            let mut keeper = lab.keeper(&hub, Some(crash));
            let crashed = loop {
                match lab.advance(&wanted, &mut keeper).await {
                    Ok(progress) if is_issued(&progress) => break false,
                    Ok(progress) => tokio::time::sleep(progress.next).await,
                    Err(Crashed) => break true,
                }
            };
            let progress = lab.until(&wanted, is_issued).await;
            assert_eq!(names(progress.issued.as_ref().unwrap()), wanted.hosts, "{crash:?}");
            let state = lab.memory.state(&hub);
            assert!(state.history.failures.is_empty() && state.challenges.is_empty(), "{crash:?}: {state:?}");
            crashed
        }
    });
    let crashed = futures::future::join_all(runs).await;
    assert!(crashed.iter().filter(|crashed| **crashed).count() >= 14, "{crashed:?}");
    assert_eq!(lab.routes().await, json!({}));
}

#[tokio::test]
async fn a_certificate_is_renewed_and_the_authority_may_be_away_meanwhile_row_26() {
    let pebble = Pebble { life: Some(24), ..Pebble::default() };
    let Some(mut lab) = Lab::start(&pebble).await else { return };
    let wanted = lab.wanted("physics", &["hub.test"]);
    let first = lab.until(&wanted, is_issued).await.issued.unwrap();
    assert!((1..=16).contains(&lab.until(&wanted, is_issued).await.next.as_secs()));
    let second = lab.until(&wanted, |progress| is_issued(progress) && progress.issued.as_ref() != Some(&first)).await;
    let second = second.issued.unwrap();
    assert_ne!(first.key_pem, second.key_pem, "each certificate has its own key");

    lab.stop_pebble();
    let away = lab
        .until(&wanted, |progress| progress.trouble.as_ref().is_some_and(|trouble| trouble.contains("failed to")))
        .await;
    assert_eq!(away.issued.as_ref(), Some(&second), "the old one is served as long as there is no other");
    assert!(away.trouble.unwrap().contains("the next attempt is at"));
    assert_eq!(away.news.len(), 1, "{:?}", away.news);
    assert!(lab.memory.state("physics").history.failures.is_empty(), "nobody has validated anything");

    // It comes back without its memory: the account is unknown there.
    assert!(lab.start_pebble(&Pebble::default()), "its port is somebody else's");
    let third = lab.until(&wanted, |progress| is_issued(progress) && progress.issued.as_ref() != Some(&second)).await;
    assert!(third.next > Duration::from_secs(86400));
}

#[tokio::test]
async fn a_failed_validation_is_counted_told_and_not_repeated_at_once_row_26() {
    let Some(mut lab) = Lab::start(&Pebble::default()).await else { return };
    // The proxy leads to a solver that knows nothing.
    let solver_url = std::mem::replace(&mut lab.acme.solver_url, "http://127.0.0.1:9".to_owned());
    let mut wanted = lab.wanted("physics", &["hub.test", "www.hub.test"]);

    // What the probe shows costs nothing.
    let waiting = lab.until(&wanted, says("port 80 of hub.test, www.hub.test leads to this Hub")).await;
    assert!(waiting.trouble.as_ref().unwrap().contains("nothing is ordered before"), "{waiting:?}");
    let state = lab.memory.state("physics");
    assert!(matches!(state.phase, Phase::Probing(_)) && state.history.failures.is_empty());

    // Ten minutes later, one order is made all the same.
    wanted.self_check = SelfCheck::Preferred;
    lab.memory.change("physics", |state| {
        let Phase::Probing(probing) = &mut state.phase else { panic!("{state:?}") };
        probing.since -= SignedDuration::from_mins(11);
    });
    let failed = lab.until(&wanted, says("could not validate")).await;
    let trouble = failed.trouble.unwrap();
    assert!(
        trouble.contains("hub.test:") && trouble.contains("port 80") && trouble.contains("the next attempt is at"),
        "{trouble}"
    );
    assert_eq!(failed.news, [News::Failed(trouble.split("; the next").next().unwrap().to_owned())]);
    let state = lab.memory.state("physics");
    assert_eq!(state.phase, Phase::Idle);
    let count = state.history.failures.len();
    assert!((1..=2).contains(&count), "{count}");
    assert!(failed.next >= Duration::from_secs(25), "{:?}", failed.next);

    let mut keeper = lab.keeper("physics", None);
    lab.advance(&wanted, &mut keeper).await.unwrap();
    // The route goes, and then there is nothing to do.
    lab.advance(&wanted, &mut keeper).await.unwrap();
    assert_eq!(lab.memory.state("physics").history.failures.len(), count);
    assert_eq!(lab.routes().await, json!({}));

    // An order that runs is dropped with its type.
    lab.memory.change("physics", |state| state.history.retry_at = None);
    wanted.self_check = SelfCheck::Required;
    lab.until(&wanted, |_| !lab.memory.state("physics").challenges.is_empty()).await;
    // The probes are written before the route leads to them.
    lab.advance(&wanted, &mut keeper).await.unwrap();
    assert_ne!(lab.routes().await, json!({}));
    abandon(&lab.acme, &wanted.proxy, &lab.memory.data("physics"), &mut keeper).await.unwrap();
    assert_eq!(lab.routes().await, json!({}));
    assert!(lab.memory.state("physics").challenges.is_empty());

    // Mended, and the time is there.
    lab.acme.solver_url = solver_url;
    wanted.self_check = SelfCheck::Skip;
    lab.memory.change("physics", |state| state.history.retry_at = None);
    lab.until(&wanted, is_issued).await;
    let history = lab.memory.state("physics").history;
    assert_eq!((history.failures.len(), history.attempts), (count, 0));
}

#[tokio::test]
async fn an_authority_may_want_an_external_account_and_refuse_a_host() {
    const MAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let Some(lab) = Lab::start(&Pebble { mac_key: Some(MAC_KEY), ..Pebble::default() }).await else { return };
    let mut wanted = lab.wanted("physics", &["refused.test"]);
    lab.until(&wanted, says("has refused to make an account")).await;
    wanted.eab =
        Some(ExternalAccount { key_id: "kid-1".to_owned(), mac_key: SecretString::from("not base64!".to_owned()) });
    lab.until(&wanted, says("eab.secretRef")).await;
    wanted.eab = Some(ExternalAccount { key_id: "kid-1".to_owned(), mac_key: SecretString::from(MAC_KEY.to_owned()) });
    // Another wish doesn't wait.
    let refused = lab.until(&wanted, says("has refused to place an order")).await;
    assert!(refused.trouble.unwrap().contains("refused.test"));
    wanted.hosts = vec!["hub.test".to_owned()];
    lab.until(&wanted, is_issued).await;

    let account = lab.memory.state("physics").account.unwrap();
    wanted.email = "grace@hub.test".to_owned();
    lab.until(&wanted, |_| lab.memory.state("physics").account.unwrap().email == "grace@hub.test").await;
    assert_eq!(lab.memory.state("physics").account.unwrap().credentials, account.credentials, "the account stays");
}
