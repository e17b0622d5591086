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
        assert_eq!(names.len(), RECORDS.len() + 1, "a copy is left beside the login URLs: {names:?}");
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
        let made = lab.api::<Secret>().get("physics-cookie-secret").await.unwrap().data.unwrap();
        assert_eq!(made["cookie-secret"].0, "0123456789abcdef".repeat(4).as_bytes(), "the last good value stays");
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
        // Metadata, to see that nobody else has a Secret of the name that the login URLs get.
        assert_eq!(requests.get(&("secrets".to_owned(), "get")), Some(&1), "{requests:?}");
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

#[tokio::test]
async fn the_login_urls_follow_tokens_and_address_and_go_with_the_last_token_user_s9() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({"publicUrl": "http://hub.example.org/jupyter/"})).await;
        lab.wait_until_applied().await;
        let (api, hubs) = (lab.api::<Secret>(), lab.api::<StoredHub>());
        let named = || async { hubs.get("physics").await.unwrap().status().login_urls_secret };
        let value = |secret: &str, key: &'static str| {
            let (api, secret) = (api.clone(), secret.to_owned());
            async move {
                let data = api.get(&secret).await.unwrap().data.unwrap();
                String::from_utf8(data[key].0.clone()).unwrap()
            }
        };
        let name = named().await.unwrap();
        let token = value("physics-login-tokens", "ada").await;
        assert_eq!(value(&name, "ada").await, format!("http://hub.example.org/jupyter/?token={token}"));

        // A token of somebody's own choice, and one that is changed by hand.
        create(&api, &json!({"metadata": {"name": "eves"}, "stringData": {"t": "a+b-c=d&e"}})).await;
        let eve = json!({"name": "eve", "tokenSecretRef": {"name": "eves", "key": "t"}});
        lab.apply_hub(&json!({"auth": {"token": {"users": [{"name": "ada"}, eve]}}})).await;
        let changed = json!({"stringData": {"ada": "another-token-for-ada"}});
        api.patch("physics-login-tokens", &PatchParams::default(), &Patch::Merge(changed)).await.unwrap();
        eventually(Duration::from_secs(5), || async { value(&name, "ada").await.ends_with("another-token-for-ada") })
            .await;
        lab.quiet().await;
        assert_eq!(value(&name, "eve").await, "http://localhost:8000/jupyter/?token=a%2Bb-c%3Dd%26e");

        // A Secret of record is never taken away; this one is no record.
        let dummy = json!({"auth": {"token": null, "dummy": {"allowAnyPassword": true}, "allowAll": true}});
        lab.apply_hub(&dummy).await;
        eventually(Duration::from_secs(5), || async { api.get_opt(&name).await.unwrap().is_none() }).await;
        lab.wait_until_applied().await;
        assert_eq!(named().await, None);
        assert!(api.get_opt("physics-login-tokens").await.unwrap().is_some());
    })
    .await;
}

/// The authority's key is a Secret of record, and what is made from it a child.
#[tokio::test]
async fn internal_tls_keeps_its_key_and_makes_the_rest_anew() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({"security": {"internalTLS": true}})).await;
        lab.wait_until_applied().await;
        let api = lab.api::<Secret>();
        let data = async |name: &str| api.get(name).await.unwrap().data.unwrap();
        let (key, made) = (data("physics-pods-authority").await, data("physics-pods-certificate").await);
        assert_eq!(made.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
        comes_back::<Secret>(&lab, "physics-pods-authority").await;
        lab.quiet().await;
        assert_eq!(data("physics-pods-authority").await, key);
        assert_eq!(data("physics-pods-certificate").await, made, "nothing was made anew with the same key");
        comes_back::<Secret>(&lab, "physics-pods-certificate").await;
        lab.quiet().await;
        assert_ne!(data("physics-pods-certificate").await["tls.key"], made["tls.key"]);
        lab.apply_hub(&json!({"security": {"internalTLS": false}})).await;
        lab.wait_until_applied().await;
        assert!(api.get_opt("physics-pods-certificate").await.unwrap().is_none());
        assert_eq!(data("physics-pods-authority").await, key, "a Secret of record is never taken away");
    })
    .await;
}
