//! Secrets that rotate. The hub's report is written by the tests: nothing here runs pods.

use std::collections::BTreeSet;

use hub_crds::{
    names::{NUDGE_ANNOTATION, RESET_ANNOTATION, ROTATE_ANNOTATION, label},
    report::{self, Report, Request, Wish},
    status::{RotationStatus, reason},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Event, Pod, Secret},
};

use super::*;

const COOKIE: &str = "physics-cookie-secret";
const TOKEN: &str = "physics-proxy-token";

type Data = BTreeMap<String, ByteString>;

impl Lab {
    async fn data(&self, secret: &str) -> Data {
        self.api::<Secret>().get(secret).await.unwrap().data.unwrap()
    }

    async fn rotation(&self) -> RotationStatus {
        self.api::<StoredHub>().get("physics").await.unwrap().status().rotation.unwrap_or_default()
    }

    pub(super) async fn annotate(&self, annotation: &str, value: &str) {
        let body = json!({"metadata": {"annotations": {annotation: value}}});
        self.api::<StoredHub>().patch("physics", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
    }

    /// Waits until the request was acted on and taken off.
    async fn asked(&self, annotation: &str, value: &str) {
        self.annotate(annotation, value).await;
        let api = self.api::<StoredHub>();
        eventually(Duration::from_secs(5), || async {
            !api.get("physics").await.unwrap().annotations().contains_key(annotation)
        })
        .await;
        self.quiet().await;
    }

    /// What a hub does that has loaded these versions, and whose proxy took them.
    pub(super) async fn report(&self, versions: &[u32], request: Option<Request>) {
        let versions: BTreeSet<u32> = versions.iter().copied().collect();
        let report = Report {
            pod: "physics-hub-0".into(),
            cookie_secret: versions.clone(),
            proxy_token: versions.clone(),
            proxy: versions.clone(),
            crypt_keys: versions.clone(),
            crypt_keys_in_use: versions.last().copied().into_iter().collect(),
            request,
        };
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "physics-report"},
            "data": {report::KEY: serde_json::to_string(&report).unwrap()},
        });
        let parameters = PatchParams::apply("hub").force();
        self.api::<ConfigMap>().patch("physics-report", &parameters, &Patch::Apply(body)).await.unwrap();
        self.quiet().await;
    }

    async fn events(&self, reason: &str) -> usize {
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
    }

    async fn templates(&self) -> Vec<Value> {
        let deployments = self.api::<Deployment>().list(&ListParams::default()).await.unwrap();
        deployments.iter().map(|found| json!([found.name_any(), found.spec.as_ref().unwrap().template])).collect()
    }
}

fn versions(data: &Data) -> hub_crds::versions::Versions {
    hub_crds::versions::Versions::parse(&data["versions.json"].0).unwrap()
}

fn accepted(versions: &[u32]) -> BTreeSet<u32> {
    versions.iter().copied().collect()
}

#[tokio::test]
async fn an_annotation_rotates_a_secret_in_three_steps_and_no_pod_is_replaced() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({"security": {"cookieSecret": {"rotation": {"gracePeriod": "3s"}}}})).await;
        lab.wait_until_applied().await;
        let templates = lab.templates().await;
        let pod = json!({
            "metadata": {"name": "like-the-hubs", "labels": {label::HUB: "physics", label::COMPONENT: "hub"}},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]},
        });
        let accounts = lab.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        eventually(Duration::from_secs(10), || async { accounts.get_opt("default").await.unwrap().is_some() }).await;
        create(&lab.api::<Pod>(), &pod).await;
        let first = lab.data(COOKIE).await;
        assert_eq!(first.len(), 1, "a secret that never rotated is one value");

        lab.asked(ROTATE_ANNOTATION, "cookie-secret").await;
        let published = lab.data(COOKIE).await;
        assert_eq!((versions(&published).current, versions(&published).accepted), (0, accepted(&[0, 1])));
        assert_eq!(published["cookie-secret"], first["cookie-secret"]);
        assert_eq!(published["cookie-secret.0"], first["cookie-secret"]);
        lab.wait_for("SecretRotation", "True", reason::PUBLISHED).await;
        let secret = lab.api::<Secret>().get(COOKIE).await.unwrap();
        let pod = lab.api::<Pod>().get("like-the-hubs").await.unwrap();
        assert_eq!(pod.annotations().get(NUDGE_ANNOTATION), secret.resource_version().as_ref());

        lab.report(&[0], None).await;
        assert_eq!(lab.data(COOKIE).await, published, "a hub that has not loaded it");
        lab.report(&[0, 1], None).await;
        let promoted = lab.data(COOKIE).await;
        assert_eq!((versions(&promoted).current, versions(&promoted).accepted), (1, accepted(&[0, 1])));
        assert_eq!(promoted["cookie-secret"], published["cookie-secret.1"]);
        lab.wait_for("SecretRotation", "False", reason::AS_EXPECTED).await;

        eventually(Duration::from_secs(6), || async { lab.data(COOKIE).await.len() == 3 }).await;
        let finished = lab.data(COOKIE).await;
        assert_eq!(versions(&finished).accepted, accepted(&[1]));
        assert_eq!(finished["cookie-secret"], promoted["cookie-secret"]);
        lab.quiet().await;
        let status = lab.rotation().await;
        assert_eq!(status.last_request.as_deref(), Some("rotate cookie-secret"));
        assert_eq!(status.cookie_secret.unwrap().accepted, [1]);
        assert_eq!(lab.templates().await, templates, "no template changes, so no pod is replaced");
        for reason in ["RotationStarted", "RotationPromoted", "RotationFinished"] {
            assert_eq!(lab.events(reason).await, 1, "{reason}");
        }

        let before = lab.metrics.api_requests();
        for number in 0..5 {
            lab.touch(number).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        lab.quiet().await;
        assert_eq!(since(&before, &lab.metrics.api_requests()), BTreeMap::new(), "nothing is left to do");
    })
    .await;
}

#[tokio::test]
async fn a_reset_voids_the_old_values_at_once_s34_s60_s68() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        lab.asked(ROTATE_ANNOTATION, "cookie-secret,proxy-token").await;
        let before = [lab.data(COOKIE).await, lab.data(TOKEN).await];
        lab.asked(RESET_ANNOTATION, "all").await;
        let [cookie, token] = [lab.data(COOKIE).await, lab.data(TOKEN).await];
        for (data, before, key) in [(&cookie, &before[0], "cookie-secret"), (&token, &before[1], "proxy-token")] {
            assert_eq!((versions(data).current, versions(data).accepted), (2, accepted(&[2])));
            assert!(before.values().all(|value| *value != data[key]));
        }
        let resets = versions(&cookie).resets;
        assert!(resets.sessions > 0 && resets.tokens > 0);
        assert_eq!(lab.rotation().await.last_request.as_deref(), Some("reset all"));

        lab.asked(RESET_ANNOTATION, "sessions").await;
        let after = lab.data(COOKIE).await;
        assert_eq!(after["cookie-secret"], cookie["cookie-secret"]);
        assert!(versions(&after).resets.sessions > resets.sessions);
        assert_eq!(versions(&after).resets.tokens, resets.tokens);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_taken_off() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let before = lab.data(COOKIE).await;
        lab.asked(ROTATE_ANNOTATION, "cooky-secret").await;
        let message = lab.wait_for("SecretRotation", "False", reason::REQUEST_REFUSED).await;
        assert!(message.contains("cookie-secret, proxy-token and crypt-keys"), "{message}");
        assert_eq!(lab.data(COOKIE).await["cookie-secret"], before["cookie-secret"]);
        assert_eq!(lab.events("RotationRefused").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_wish_from_the_hubs_pod_is_acted_on_once() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({"security": {"cryptKeys": {}}})).await;
        lab.wait_until_applied().await;
        let wish = || Some(Request { id: "0001".into(), wish: Wish::Rotate("crypt-keys".into()) });
        lab.report(&[0], wish()).await;
        assert_eq!(versions(&lab.data("physics-crypt-keys").await).accepted, accepted(&[0, 1]));
        lab.report(&[0, 1], wish()).await;
        let promoted = lab.data("physics-crypt-keys").await;
        assert_eq!((versions(&promoted).current, versions(&promoted).accepted), (1, accepted(&[0, 1])));
        lab.asked(RESET_ANNOTATION, "sessions").await;
        assert_eq!(lab.data("physics-crypt-keys").await, promoted);
        assert_eq!(lab.rotation().await.last_request.as_deref(), Some("reset sessions"));
    })
    .await;
}

/// Row 15, in the middle of a rotation: every version comes back.
#[tokio::test]
async fn a_secret_deleted_while_it_rotates_is_back_with_all_its_bytes_row_15() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        lab.asked(ROTATE_ANNOTATION, "cookie-secret").await;
        let before = lab.data(COOKIE).await;
        comes_back::<Secret>(&lab, COOKIE).await;
        lab.quiet().await;
        assert_eq!(lab.data(COOKIE).await, before);
        lab.report(&[0, 1], None).await;
        assert_eq!(versions(&lab.data(COOKIE).await).current, 1);
    })
    .await;
}

/// Row 16: it is told, left alone, and healed by whoever repairs it.
#[tokio::test]
async fn a_secret_emptied_or_broken_by_hand_is_told_and_left_alone_row_16() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        lab.asked(ROTATE_ANNOTATION, "cookie-secret").await;
        let (good, templates) = (lab.data(COOKIE).await, lab.templates().await);
        let secrets = lab.api::<Secret>();
        let write = async |data: Value| {
            let body = json!({"data": data});
            secrets.patch(COOKIE, &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
        };
        for (broken, words) in [
            (json!({"cookie-secret": ""}), "cookie-secret must be 64"),
            (json!({"cookie-secret.1": null}), "cookie-secret.1 is missing"),
            (json!({"versions.json": "Z2FyYmFnZQ=="}), "versions.json"),
            (
                json!({"cookie-secret": null, "cookie-secret.0": null, "versions.json": null}),
                "cookie-secret is missing",
            ),
        ] {
            write(broken.clone()).await;
            let message = lab.wait_for("SecretsReady", "False", reason::SECRET_INVALID).await;
            assert!(message.contains(words) && message.contains("backup"), "{broken}: {message}");
            lab.wait_for("Degraded", "True", reason::SECRET_INVALID).await;
            lab.annotate(ROTATE_ANNOTATION, "cookie-secret").await;
            lab.quiet().await;
            assert_ne!(lab.data(COOKIE).await, good, "nothing is made anew");
            assert_eq!(lab.templates().await, templates);
            write(json!(good)).await;
            lab.wait_for("SecretsReady", "True", reason::SECRETS_PRESENT).await;
            lab.quiet().await;
            // The request that came meanwhile is merged into the rotation that is under way.
            let healed = lab.data(COOKIE).await;
            assert_eq!(versions(&healed).accepted, accepted(&[0, 1]));
            assert_eq!(healed["cookie-secret.1"], good["cookie-secret.1"]);
            write(json!(good)).await;
            lab.quiet().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_of_ones_own_is_only_read_and_a_new_value_in_it_is_a_rotation() {
    in_lab(|lab| async move {
        let [old, new] = ["0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4)];
        let secrets = lab.api::<Secret>();
        let mine = create(&secrets, &json!({"metadata": {"name": "mine"}, "stringData": {"k": old}})).await;
        lab.apply_hub(&json!({"security": {"cookieSecret": {"secretRef": {"name": "mine", "key": "k"}}}})).await;
        lab.wait_until_applied().await;
        assert_eq!(lab.data(COOKIE).await, BTreeMap::from([("cookie-secret".into(), ByteString(old.clone().into()))]));
        assert_eq!(secrets.get("mine").await.unwrap(), mine, "it is only read");

        let body = json!({"stringData": {"k": new}});
        secrets.patch("mine", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
        lab.wait_for("SecretRotation", "True", reason::PUBLISHED).await;
        lab.quiet().await;
        assert_eq!(lab.data(COOKIE).await["cookie-secret.1"].0, new.as_bytes());
        lab.report(&[0, 1], None).await;
        assert_eq!(lab.data(COOKIE).await["cookie-secret"].0, new.as_bytes());

        // Gone: it is told, and the pods go on with what they have.
        let before = lab.data(COOKIE).await;
        secrets.delete("mine", &DeleteParams::default()).await.unwrap();
        lab.wait_for("SecretsReady", "False", reason::SECRET_MISSING).await;
        assert_eq!(lab.data(COOKIE).await, before);
        create(&secrets, &json!({"metadata": {"name": "mine"}, "stringData": {"k": new}})).await;
        lab.wait_for("SecretsReady", "True", reason::SECRETS_PRESENT).await;
        lab.quiet().await;
        assert_eq!(lab.data(COOKIE).await, before, "the same value is no rotation");

        lab.asked(RESET_ANNOTATION, "cookie-secret").await;
        let message = lab.wait_for("SecretRotation", "False", reason::REQUEST_REFUSED).await;
        assert!(message.contains("Secret mine"), "{message}");
        assert_eq!(lab.data(COOKIE).await["cookie-secret"], before["cookie-secret"]);
    })
    .await;
}

#[tokio::test]
async fn configurable_http_proxy_is_rolled_for_a_new_token_and_ours_is_not() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({"proxy": {"implementation": "configurable-http-proxy"}})).await;
        lab.wait_until_applied().await;
        let templates = lab.templates().await;
        lab.asked(ROTATE_ANNOTATION, "proxy-token").await;
        let after = lab.templates().await;
        assert_eq!(after[0], templates[0], "the hub reads it again");
        assert_eq!(after[1][1]["metadata"]["annotations"], json!({"jupyter.rs/proxy-token-version": "1"}));
        assert_eq!(versions(&lab.data(TOKEN).await).current, 1);
        let message = lab.wait_for("SecretRotation", "False", reason::AS_EXPECTED).await;
        assert!(message.contains("configurable-http-proxy"), "{message}");
    })
    .await;
}

/// Whoever takes over knows what was begun: everything is in the Secrets.
#[tokio::test]
async fn an_operator_that_starts_in_the_middle_goes_on() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        lab.asked(ROTATE_ANNOTATION, "cookie-secret").await;
        let before = lab.data(COOKIE).await;
        // As if one had crashed after it wrote the Secret and before it took the request off.
        let heard = versions(&before).operator["heard"]["rotate"].as_str().unwrap().to_owned();
        lab.apply_hub(&json!({"paused": true})).await;
        lab.wait_for("Progressing", "False", reason::PAUSED).await;
        lab.annotate(ROTATE_ANNOTATION, &format!("cookie-secret ({heard})")).await;
        lab.report(&[0, 1], None).await;
        assert_eq!(lab.data(COOKIE).await, before, "nothing is done for a Hub that is paused");
        lab.apply_hub(&json!({})).await;
        eventually(Duration::from_secs(5), || async { versions(&lab.data(COOKIE).await).current == 1 }).await;
        lab.quiet().await;
        assert_eq!(versions(&lab.data(COOKIE).await).accepted, accepted(&[0, 1]), "the request counted once");
        let hub = lab.api::<StoredHub>().get("physics").await.unwrap();
        assert!(!hub.annotations().contains_key(ROTATE_ANNOTATION));
    })
    .await;
}
