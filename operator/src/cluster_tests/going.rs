//! Hubs that go, and what they leave.

use hub_crds::names::{SECRET_FINALIZER, label};
use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Pod, Secret, Service},
    networking::v1::NetworkPolicy,
    rbac::v1::{Role, RoleBinding},
};

use super::*;

/// Until Kubernetes has removed what had an owner that is gone. It looks every 30 s only whether there are new kinds of owners,
/// such as ours in a cluster that has just got to know it.
const COLLECTED: Duration = Duration::from_secs(120);

async fn delete_hub(lab: &Lab) {
    let api = lab.api::<StoredHub>();
    api.delete("physics", &DeleteParams::default()).await.unwrap();
    eventually(Duration::from_secs(20), || async { api.get_opt("physics").await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn a_deleted_hub_leaves_its_database_and_secrets_and_a_new_one_takes_them_up() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let secrets = lab.api::<Secret>();
        let before = secrets.get("physics-cookie-secret").await.unwrap();
        let claim = lab.api::<PersistentVolumeClaim>().get("physics-hub-db").await.unwrap().uid();
        delete_hub(&lab).await;
        let gone = || async { lab.api::<Service>().list(&ListParams::default()).await.unwrap().items.is_empty() };
        eventually(COLLECTED, gone).await;
        let kept = secrets.get("physics-cookie-secret").await.unwrap();
        assert!(kept.finalizers().is_empty(), "a kept Secret can be deleted by whoever wants to");

        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let taken = secrets.get("physics-cookie-secret").await.unwrap();
        let hub = lab.api::<StoredHub>().get("physics").await.unwrap();
        assert_eq!(taken.data, before.data);
        assert_eq!(taken.uid(), before.uid());
        assert_eq!(taken.labels()[label::HUB_UID], hub.uid());
        assert_eq!(taken.finalizers(), [SECRET_FINALIZER]);
        assert_eq!(lab.api::<PersistentVolumeClaim>().get("physics-hub-db").await.unwrap().uid(), claim);
    })
    .await;
}

#[tokio::test]
async fn the_policy_delete_leaves_nothing() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({"deletionPolicy": "Delete"})).await;
        lab.wait_until_applied().await;
        delete_hub(&lab).await;
        eventually(COLLECTED, || async {
            let claims = lab.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
            let secrets = lab.api::<Secret>().list(&ListParams::default()).await.unwrap().items;
            let deployments = lab.api::<Deployment>().list(&ListParams::default()).await.unwrap().items;
            // A claim that a pod names is protected until the pod is gone: nothing here runs pods.
            claims.iter().all(|claim| claim.metadata.deletion_timestamp.is_some())
                && secrets.is_empty()
                && deployments.is_empty()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_is_in_the_users_namespace_goes_too() {
    in_lab(|lab| async move {
        let users = lab.namespaces[1].clone();
        lab.apply_hub(&json!({"singleuser": {"namespace": users}})).await;
        lab.wait_until_applied().await;
        let roles = Api::<Role>::namespaced(lab.client.clone(), &users);
        let bindings = Api::<RoleBinding>::namespaced(lab.client.clone(), &users);
        let policies = Api::<NetworkPolicy>::namespaced(lab.client.clone(), &users);
        let pods = Api::<Pod>::namespaced(lab.client.clone(), &users);
        let here = lab.api::<Role>().list(&ListParams::default()).await.unwrap();
        assert_eq!(here.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["physics-report"]);
        assert!(roles.get("physics-hub").await.unwrap().owner_references().is_empty());
        let labels = json!({label::HUB: "physics", label::HUB_NAMESPACE: lab.namespace});
        let pod = |name: &str, labels: Value| {
            json!({"metadata": {"name": name, "labels": labels}, "spec": {
                "serviceAccountName": "default", "automountServiceAccountToken": false,
                "containers": [{"name": "c", "image": "i"}],
            }})
        };
        let service_accounts =
            Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(lab.client.clone(), &users);
        eventually(Duration::from_secs(10), || async { service_accounts.get_opt("default").await.unwrap().is_some() })
            .await;
        create(&pods, &pod("ours", labels)).await;
        create(&pods, &pod("theirs", json!({}))).await;

        let uid = roles.get("physics-hub").await.unwrap().uid();
        roles.delete("physics-hub", &DeleteParams::default()).await.unwrap();
        eventually(Duration::from_secs(2), || async {
            roles.get_opt("physics-hub").await.unwrap().is_some_and(|role| role.uid() != uid)
        })
        .await;

        delete_hub(&lab).await;
        assert!(roles.list(&ListParams::default()).await.unwrap().items.is_empty());
        assert!(bindings.list(&ListParams::default()).await.unwrap().items.is_empty());
        assert!(policies.list(&ListParams::default()).await.unwrap().items.is_empty());
        eventually(Duration::from_secs(10), || async { pods.get_opt("ours").await.unwrap().is_none() }).await;
        assert!(pods.get_opt("theirs").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_is_going_is_not_held_up() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        let all = Api::<Namespace>::all(lab.client.clone());
        all.delete(&lab.namespace, &DeleteParams::default()).await.unwrap();
        eventually(COLLECTED, || async { all.get_opt(&lab.namespace).await.unwrap().is_none() }).await;
    })
    .await;
}

#[tokio::test]
async fn a_secret_whose_hub_was_torn_away_can_go() {
    in_lab(|lab| async move {
        lab.apply_hub(&json!({})).await;
        lab.wait_until_applied().await;
        // Somebody takes our finalizer off the Hub while it is paused, so that nothing is ordered.
        let api = lab.api::<StoredHub>();
        lab.apply_hub(&json!({"paused": true})).await;
        lab.wait_for("Progressing", "False", "Paused").await;
        let body = json!({"metadata": {"finalizers": null}});
        api.patch("physics", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
        api.delete("physics", &DeleteParams::default()).await.unwrap();
        let secrets = lab.api::<Secret>();
        secrets.delete("physics-proxy-token", &DeleteParams::default()).await.unwrap();
        eventually(Duration::from_secs(5), || async {
            secrets.get_opt("physics-proxy-token").await.unwrap().is_none()
        })
        .await;
    })
    .await;
}
