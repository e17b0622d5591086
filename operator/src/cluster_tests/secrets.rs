//! Secrets of record, and Secrets that a Hub refers to.

use hub_crds::status::reason;
use k8s_openapi::api::core::v1::Secret;

use super::*;

const RECORDS: [&str; 3] = ["physics-cookie-secret", "physics-proxy-token", "physics-login-tokens"];

#[tokio::test]
async fn a_deleted_secret_of_record_is_back_byte_for_byte_within_two_seconds() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let api = lab.api::<Secret>();
        for name in RECORDS {
            let before = api.get(name).await.unwrap().data;
            comes_back::<Secret>(&lab, name).await;
            lab.quiet().await;
            assert_eq!(api.get(name).await.unwrap().data, before, "{name}");
        }
        let names: Vec<_> = api.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.len(), RECORDS.len(), "a copy is left: {names:?}");
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_is_truly_lost_is_told_and_not_made_anew() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let api = lab.api::<Secret>();
        let kept = api.get("physics-cookie-secret").await.unwrap();
        // Somebody takes the finalizer off in the moment of deleting it: as if it went behind the operator's back.
        lab.apply_hub(&json!({"paused": true})).await;
        lab.wait_for("Progressing", "False", reason::PAUSED).await;
        let body = json!({"metadata": {"finalizers": null}});
        api.patch("physics-cookie-secret", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
        api.delete("physics-cookie-secret", &DeleteParams::default()).await.unwrap();
        lab.apply_hub(&json!({})).await;
        let message = lab.wait_for("SecretsReady", "False", reason::SECRET_LOST).await;
        assert!(message.contains("physics-cookie-secret") && message.contains("backup"), "{message}");
        assert!(api.get_opt("physics-cookie-secret").await.unwrap().is_none());

        let restored = json!({
            "metadata": {"name": "physics-cookie-secret", "labels": kept.labels()},
            "data": kept.data,
        });
        create(&api, &restored).await;
        lab.wait_until_applied().await;
        assert_eq!(api.get("physics-cookie-secret").await.unwrap().data, kept.data);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_secret_of_that_name_is_a_conflict() {
    in_lab(|lab| async move {
        let foreign = json!({"metadata": {"name": "physics-proxy-token"}, "stringData": {"proxy-token": "theirs"}});
        let before = create(&lab.api::<Secret>(), &foreign).await;
        lab.apply_hub(&json!({})).await;
        lab.wait_for("SecretsReady", "False", reason::CONFLICT).await;
        assert_eq!(lab.api::<Secret>().get("physics-proxy-token").await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn a_referenced_secret_is_waited_for_and_a_bad_value_changes_nothing() {
    in_lab(|lab| async move {
        let reference = json!({"security": {"cookieSecret": {"secretRef": {"name": "mine", "key": "cookie"}}}});
        lab.apply_hub(&reference).await;
        let message = lab.wait_for("SecretsReady", "False", reason::SECRET_MISSING).await;
        assert!(message.contains("mine") && message.contains("cookie"), "{message}");
        assert!(lab.api::<Deployment>().get_opt("physics-hub").await.unwrap().is_none());

        let secret = json!({"metadata": {"name": "mine"}, "stringData": {"cookie": "0123456789abcdef".repeat(4)}});
        create(&lab.api::<Secret>(), &secret).await;
        lab.wait_until_applied().await;
        let before = lab.api::<Deployment>().get("physics-hub").await.unwrap().spec;

        let body = json!({"stringData": {"cookie": "too short"}});
        lab.api::<Secret>().patch("mine", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
        let message = lab.wait_for("Ready", "False", reason::SECRET_INVALID).await;
        assert!(message.contains("64 hexadecimal") && !message.contains("too short"), "{message}");
        assert_eq!(lab.api::<Deployment>().get("physics-hub").await.unwrap().spec, before);
        assert!(lab.api::<Secret>().get_opt("physics-cookie-secret").await.unwrap().is_none());
    })
    .await;
}

/// An operator that may read every Secret must still ask for those only that a Hub names.
#[tokio::test]
async fn the_data_of_foreign_secrets_is_never_asked_for() {
    in_lab(|lab| async move {
        let foreign = json!({"metadata": {"name": "foreign"}, "stringData": {"a": "b"}});
        create(&lab.api::<Secret>(), &foreign).await;
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let body = json!({"stringData": {"a": "c"}});
        lab.api::<Secret>().patch("foreign", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
        lab.quiet().await;
        let requests = lab.metrics.api_requests();
        assert_eq!(requests.get(&("secrets".to_owned(), "get")), None, "{requests:?}");
        // For each of two namespaces: our own by label, and the metadata of all.
        assert_eq!(requests.get(&("secrets".to_owned(), "list")), Some(&4), "{requests:?}");
    })
    .await;
}

#[tokio::test]
async fn tokens_are_made_for_new_users_and_dropped_with_old_ones() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let data = || async { lab.api::<Secret>().get("physics-login-tokens").await.unwrap().data.unwrap() };
        let before = data().await;
        lab.apply_hub(&json!({"auth": {"token": {"users": [{"name": "ada"}, {"name": "eve"}]}}})).await;
        lab.wait_until_applied().await;
        let both = data().await;
        assert_eq!(both["ada"], before["ada"]);
        assert_eq!(both["eve"].0.len(), 48);
        lab.apply_hub(&json!({"auth": {"token": {"users": [{"name": "eve"}]}}})).await;
        lab.wait_until_applied().await;
        assert_eq!(data().await.keys().collect::<Vec<_>>(), ["eve"]);
    })
    .await;
}
