//! Children: made once, left alone, put right.

use hub_crds::{names::label, status::reason};
use k8s_openapi::api::{
    core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::{Role, RoleBinding},
};

use super::*;

#[tokio::test]
async fn a_new_hub_costs_one_write_for_each_child_and_then_none() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let writes = lab.metrics.api_writes();
        let expected = [
            (("configmaps", "patch"), 2),
            (("deployments", "patch"), 2),
            (("hubs", "patch"), 1),
            (("networkpolicies", "patch"), 3),
            (("persistentvolumeclaims", "patch"), 1),
            (("rolebindings", "patch"), 2),
            (("roles", "patch"), 2),
            (("secrets", "create"), 3),
            (("secrets", "patch"), 1),
            (("serviceaccounts", "patch"), 2),
            (("services", "patch"), 3),
        ];
        for ((resource, verb), count) in expected {
            assert_eq!(writes.get(&(resource.to_owned(), verb)), Some(&count), "{verb} {resource}: {writes:?}");
        }
        assert_eq!(writes.len(), expected.len() + 1, "{writes:?}");
        assert!(writes[&("hubs/status".to_owned(), "patch")] <= 2, "{writes:?}");

        let before = lab.metrics.api_requests();
        for number in 0..10 {
            lab.touch(number).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        lab.quiet().await;
        assert_eq!(
            since(&before, &lab.metrics.api_requests()),
            BTreeMap::new(),
            "ten looks at what is as it should be"
        );
    })
    .await;
}

#[tokio::test]
async fn a_deleted_child_is_back_within_two_seconds() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        comes_back::<Deployment>(&lab, "physics-hub").await;
        comes_back::<Deployment>(&lab, "physics-proxy").await;
        comes_back::<Service>(&lab, "physics-proxy-public").await;
        comes_back::<ConfigMap>(&lab, "physics-hub").await;
        comes_back::<Role>(&lab, "physics-hub").await;
        comes_back::<RoleBinding>(&lab, "physics-hub").await;
        comes_back::<ServiceAccount>(&lab, "physics-hub").await;
        comes_back::<NetworkPolicy>(&lab, "physics-singleuser").await;
    })
    .await;
}

#[tokio::test]
async fn an_edit_of_our_fields_is_reverted_and_one_of_others_is_kept() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let api = lab.api::<Deployment>();
        let edit = json!({
            "metadata": {"annotations": {"example.org/theirs": "kept"}},
            "spec": {"replicas": 0, "minReadySeconds": 7},
        });
        api.patch("physics-proxy", &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
        eventually(Duration::from_secs(2), || async {
            api.get("physics-proxy").await.unwrap().spec.unwrap().replicas == Some(1)
        })
        .await;
        let found = api.get("physics-proxy").await.unwrap();
        assert_eq!(found.spec.as_ref().unwrap().min_ready_seconds, Some(7));
        assert_eq!(found.annotations()["example.org/theirs"], "kept");
    })
    .await;
}

#[tokio::test]
async fn what_the_spec_wants_no_more_goes() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({
            "proxy": {"service": {"annotations": {"example.org/cloud": "a"}}, "nodeSelector": {"disk": "ssd"}},
        }))
        .await;
        lab.wait_until_applied().await;
        let services = lab.api::<Service>();
        assert_eq!(services.get("physics-proxy-public").await.unwrap().annotations()["example.org/cloud"], "a");
        lab.apply_hub(&json!({"networkPolicy": {"enabled": false}})).await;
        lab.wait_until_applied().await;
        assert!(services.get("physics-proxy-public").await.unwrap().annotations().is_empty());
        let proxy = lab.api::<Deployment>().get("physics-proxy").await.unwrap();
        assert_eq!(proxy.spec.unwrap().template.spec.unwrap().node_selector, None);
        assert!(lab.api::<NetworkPolicy>().list(&ListParams::default()).await.unwrap().items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_taken_over() {
    in_lab(|lab| async move {
        let service = json!({
            "metadata": {"name": "physics-hub"},
            "spec": {"ports": [{"port": 1234}], "selector": {"app": "theirs"}},
        });
        let before = create(&lab.api::<Service>(), &service).await;
        lab.apply_hub(&json!({})).await;
        let message = lab.wait_for("Degraded", "True", reason::CONFLICT).await;
        assert!(message.contains("Service physics-hub"), "{message}");
        assert_eq!(lab.api::<Service>().get("physics-hub").await.unwrap(), before);
        lab.api::<Service>().delete("physics-hub", &DeleteParams::default()).await.unwrap();
        // The stores do not show foreign objects, so this is found by the next retry.
        lab.wait_until_applied().await;
    })
    .await;
}

#[tokio::test]
async fn a_paused_hub_is_left_as_it_is() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        lab.apply_hub(&json!({"paused": true, "baseUrl": "/elsewhere/"})).await;
        lab.wait_for("Progressing", "False", reason::PAUSED).await;
        lab.api::<Service>().delete("physics-hub", &DeleteParams::default()).await.unwrap();
        lab.quiet().await;
        assert!(lab.api::<Service>().get_opt("physics-hub").await.unwrap().is_none());
        let settings = lab.api::<ConfigMap>().get("physics-hub").await.unwrap().data.unwrap();
        assert!(!settings["hub.yaml"].contains("elsewhere"));
        lab.apply_hub(&json!({"baseUrl": "/elsewhere/"})).await;
        lab.wait_until_applied().await;
        assert!(lab.api::<Service>().get_opt("physics-hub").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn two_hubs_do_not_touch_each_other() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let mut other = lab.api::<StoredHub>().get("physics").await.unwrap();
        other.metadata = kube::api::ObjectMeta { name: Some("chemistry".into()), ..Default::default() };
        let other = json!({
            "apiVersion": "jupyter.rs/v1alpha1", "kind": "Hub", "metadata": other.metadata, "spec": other.spec,
        });
        let api = lab.api::<StoredHub>();
        api.patch("chemistry", &PatchParams::apply("person"), &Patch::Apply(other)).await.unwrap();
        eventually(Duration::from_secs(10), || async {
            lab.api::<Deployment>().get_opt("chemistry-proxy").await.unwrap().is_some()
        })
        .await;
        api.delete("chemistry", &DeleteParams::default()).await.unwrap();
        eventually(Duration::from_secs(10), || async { api.get_opt("chemistry").await.unwrap().is_none() }).await;
        for (name, kind) in [("physics-hub", "hub"), ("physics-proxy", "proxy")] {
            let found = lab.api::<Deployment>().get(name).await.unwrap();
            assert_eq!(found.labels()[label::COMPONENT], kind);
            assert!(found.metadata.deletion_timestamp.is_none());
        }
        assert_eq!(lab.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items.len(), 2);
    })
    .await;
}
