//! Profiles and pages of a Hub in the cluster: who is offered what, what the pod becomes, and what nobody can ask for.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    hubs::{self, Place},
    person::Person,
};
use crate::cluster::Cluster;

const HUB: &str = "chosen";
const LOGO: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><rect width='8' height='8'/></svg>";

/// Ada is in the group that may have the large one, bob is not.
fn spec(cluster: &Cluster) -> Value {
    let mut spec = hubs::spec(cluster);
    spec["auth"]["token"]["users"] = json!([{"name": "ada", "admin": true}, {"name": "bob"}]);
    spec["groups"] = json!([{"name": "ml", "users": ["ada"]}]);
    spec["pages"] = json!({
        "title": "Physics & Co",
        "announcement": "Down on <b>Friday</b>",
        "logo": {"name": "logo", "key": "logo.svg"},
        "links": [{"text": "Help", "url": "https://example.org/help"}],
    });
    spec["singleuser"]["profiles"] = json!([
        {"slug": "small", "displayName": "Small", "default": true},
        {
            "slug": "large", "displayName": "Large", "allowedGroups": ["ml"],
            "overrides": {
                "cpu": {"limit": "900m"},
                "memory": {"limit": "900M"},
                "podTemplate": {"metadata": {"annotations": {"example.org/kind": "large"}}},
            },
            "options": [{
                "slug": "mode", "displayName": "Mode",
                "choices": [
                    {"slug": "quiet", "displayName": "Quiet"},
                    {"slug": "loud", "displayName": "Loud", "overrides": {"extraEnv": [{"name": "MODE", "value": "loud"}]}},
                ],
            }],
        },
    ]);
    spec
}

pub(super) async fn a_chosen_profile_is_what_runs_and_nothing_else_can_be_asked_for_row_52(
    cluster: &Cluster,
) -> Result<()> {
    cluster
        .with_temp_ns("profiles", async |namespace| {
            let hub = Place { cluster, namespace, name: HUB };
            hub.apply(spec(cluster)).await?;
            hub.await_ready().await?;
            let (ada, bob) = (hub.visitor("ada").await?, hub.visitor("bob").await?);
            has_the_administrators_look(&hub, &bob).await?;
            forged_choices_are_refused(&bob).await?;
            what_was_chosen_runs(&hub, &ada).await
        })
        .await
}

/// Title, announcement and links are text; the logo may come after the Hub.
async fn has_the_administrators_look(hub: &Place<'_>, bob: &Person) -> Result<()> {
    let home = bob.visit("/hub/home").await?.expect(&[200])?;
    for part in
        ["Physics &#38; Co</title>", "Down on &#60;b&#62;Friday&#60;/b&#62;", "href=\"https://example.org/help\""]
    {
        ensure!(home.body.contains(part), "the page has no {part}");
    }
    let logo: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "logo"}, "data": {"logo.svg": LOGO}}))?;
    hub.cluster.api(hub.namespace).create(&PostParams::default(), &logo).await?;
    hub.cluster
        .eventually("the logo to be the administrator's", std::time::Duration::from_secs(150), async || {
            let shown = bob.look("/hub/logo").await?;
            ensure!(shown.body == LOGO, "the logo is another one");
            Ok(())
        })
        .await
        .map(|_| ())
}

async fn forged_choices_are_refused(bob: &Person) -> Result<()> {
    let form = bob.visit("/hub/spawn").await?.expect(&[200])?;
    ensure!(form.body.contains("value=\"small\"") && !form.body.contains("large"), "bob is offered {}", form.body);
    let refused = bob.submit(&form, &BTreeMap::from([("profile", "large")])).await?;
    ensure!(refused.status == 400, "a forged form is answered {}", refused.status);
    for options in [json!({"profile": "large"}), json!({"profile": {"slug": "small", "overrides": {"image": "evil"}}})]
    {
        bob.visit("/hub/home").await?.expect(&[200])?;
        let answer = bob.fetch(Method::POST, "/hub/api/users/bob/server", Some(&options)).await?;
        ensure!(answer.status == 400, "{options} is answered {}", answer.status);
    }
    Ok(())
}

async fn what_was_chosen_runs(hub: &Place<'_>, ada: &Person) -> Result<()> {
    let form = ada.visit("/hub/spawn").await?.expect(&[200])?;
    let chosen = BTreeMap::from([("profile", "large"), ("profile-option-large--mode", "loud")]);
    let started = ada.submit(&form, &chosen).await?;
    ensure!(matches!(started.status, 200 | 302), "a start is answered {}: {}", started.status, started.body);
    ada.visit("/hub/home").await?.expect(&[200])?;
    ada.follow_progress().await?;
    let pod = hub.user_pod("ada").await?;
    let annotations = pod.metadata.annotations.unwrap_or_default();
    ensure!(annotations.get("example.org/kind").is_some_and(|kind| kind == "large"), "the pod has {annotations:?}");
    let container = pod.spec.and_then(|spec| spec.containers.into_iter().next()).context("a pod has a container")?;
    let limits = container.resources.and_then(|resources| resources.limits).unwrap_or_default();
    let limits: BTreeMap<_, _> = limits.into_iter().map(|(name, amount)| (name, amount.0)).collect();
    let expected = BTreeMap::from([("cpu".to_owned(), "900m".to_owned()), ("memory".to_owned(), "900M".to_owned())]);
    ensure!(limits == expected, "the pod's limits are {limits:?}");
    let env = container.env.unwrap_or_default();
    ensure!(
        env.iter().any(|variable| variable.name == "MODE" && variable.value.as_deref() == Some("loud")),
        "the pod has no MODE"
    );
    ada.stop_server().await
}
