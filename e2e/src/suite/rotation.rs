//! Secrets that rotate under people who work, and resets, which end what they were good for.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hub_crds::{
    names::{RESET_ANNOTATION, ROTATE_ANNOTATION, child, secret_key},
    status::{RotationStatus, SecretVersions, condition},
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::wait::Condition,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    faults::Admin,
    https::renewal::{identity, pods},
    hubs::{self, Place, pod_is_ready, restarts},
    node::Node,
    people::login_token,
    person::Person,
    secrets::delete_and_await,
    skip,
    webdriver::Browser,
};
use crate::cluster::Cluster;

/// From the request until the new value is in use, with the kubelet's round between.
const ROTATED: Duration = Duration::from_secs(90);
/// From a change of a Secret by hand until the status tells of it.
const TOLD: Duration = Duration::from_secs(20);
/// Programs that ask the hub for what the proxy has, all the time.
const PROGRAMS: usize = 4;

/// A rotation of the cookie secret with a kill of the hub in the middle: nobody has to log in again, in a real browser or
/// at a real single-user server, and no pod is touched. What is signed from then on is signed with the new value.
pub(super) async fn nobody_is_logged_out_when_the_cookie_secret_rotates(cluster: &Cluster) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("processes are killed on the node, which must be a container of this machine");
    };
    cluster
        .with_temp_ns("rotation", async |namespace| {
            let hub = Place { cluster, namespace, name: "rotating" };
            let mut spec = hubs::spec(cluster);
            spec["singleuser"]["storage"] = json!({"type": "none"});
            hub.apply(spec).await?;
            hub.await_ready().await?;
            let output = cluster.output()?;
            Browser::with(output, "rotation", async |browser| rotate_cookie_secret(&hub, &node, browser).await).await
        })
        .await
}

async fn rotate_cookie_secret(hub: &Place<'_>, node: &Node, browser: &Browser) -> Result<()> {
    let address = hub.address().await?;
    let token = login_token(hub.cluster, hub.namespace, hub.name, "ada").await?;
    browser.goto(&format!("{address}/hub/home?token={token}")).await?;
    browser.await_path(|path| path == "/hub/home").await?;
    let ada = hub.visitor("ada").await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let mut kernel = ada.connect(&ada.start_kernel().await?).await?;
    kernel.run("x = 41").await?;
    let (before, user_pod) = (pods(hub).await?, hub.user_pod("ada").await?);
    ensure!(signed_with(&ada)? == 0, "the first cookie is signed with version {}", signed_with(&ada)?);

    ask_for_rotation(hub, "cookie-secret").await?;
    let cookie = |status: RotationStatus| status.cookie_secret;
    await_version(hub, "the next value to be published", cookie, |secret| {
        secret.next == Some(1) || secret.version == 1
    })
    .await?;
    node.kill(&before[0]).await?;
    let status = await_version(hub, "the new value to be in use", cookie, |secret| secret.version == 1).await?;
    ensure!(status.accepted == [0, 1] && status.retires_at.is_some(), "the old value is not good any more: {status:?}");
    is_recorded(hub, "rotate cookie-secret").await?;

    // Her server asks the hub past the proxy, which alone waits for it; and a Service leads to the hub again once its pod is
    // ready, of which the hub's own answers say nothing.
    hub.cluster
        .eventually("the hub's pod after its death", hubs::READY, async || is_back(hub, &before[0]).await)
        .await?;
    let still = async || {
        ensure!(ada.is_logged_in().await?, "ada is logged out by the rotation");
        ada.open_lab().await
    };
    hub.cluster.eventually("the hub after its death", hubs::READY, still).await?;
    ensure!(kernel.run("x + 1").await? == "42", "the kernel forgot");
    browser.goto(&format!("{address}/hub/home")).await?;
    browser.await_path(|path| path == "/hub/home").await.context("the browser is logged out by the rotation")?;
    // The Secret says so; the hub once the kubelet has brought it.
    let newly_signed = async || {
        let newcomer = hub.visitor("ada").await?;
        ensure!(signed_with(&newcomer)? == 1, "a new cookie is signed with version {}", signed_with(&newcomer)?);
        newcomer.open_lab().await
    };
    hub.cluster.eventually("a login that the new value signs", ROTATED, newly_signed).await?;

    let after = pods(hub).await?;
    let [(uid, start, _), proxy] = before.each_ref().map(identity);
    ensure!(identity(&after[0]) == (uid, start, restarts(&before[0]) + 1), "the hub's pod was touched");
    ensure!(identity(&after[1]) == proxy, "the proxy's pod was touched");
    ensure!(identity(&hub.user_pod("ada").await?) == identity(&user_pod), "the user's pod was touched");

    // Row 15: with all its versions it comes back.
    let secrets: Api<Secret> = hub.cluster.api(hub.namespace);
    let name = child::cookie_secret(hub.name);
    let data = secrets.get(&name).await?.data;
    let (_, again) = delete_and_await(hub.cluster, &secrets, &name).await?;
    ensure!(again.data == data, "Secret {name} came back with other bytes");
    ensure!(ada.is_logged_in().await?, "ada is logged out when the Secret was deleted");
    Ok(())
}

/// The hub moves to the new token while programs ask it for what the proxy has: not one call fails, and no pod is touched.
pub(super) async fn no_call_fails_when_the_proxy_token_rotates_s49(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("proxy-token", async |namespace| {
            let hub = Place { cluster, namespace, name: "tokens" };
            let mut spec = hubs::spec(cluster);
            spec["security"] = json!({"proxyAuthToken": {"rotation": {"gracePeriod": "20s"}}});
            hub.apply(spec).await?;
            hub.await_ready().await?;
            let before = pods(&hub).await?.map(|pod| identity(&pod));
            let (admin, over, calls) = (Admin::of(&hub).await?, AtomicBool::new(false), AtomicUsize::new(0));
            let load = async {
                let programs = (0..PROGRAMS).map(|_| async {
                    while !over.load(Ordering::Relaxed) {
                        admin.call(Method::GET, "/proxy", None).await?;
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                });
                futures::future::try_join_all(programs).await.map(|_: Vec<()>| ())
            };
            let rotate = async {
                let rotated = rotate_proxy_token(&hub).await;
                over.store(true, Ordering::Relaxed);
                rotated
            };
            tokio::try_join!(load, rotate)?;
            let calls = calls.load(Ordering::Relaxed);
            ensure!(calls > 100, "only {calls} calls were made");
            cluster.measured("calls while the proxy token rotates", format!("{calls}, none failed"));
            ensure!(pods(&hub).await?.map(|pod| identity(&pod)) == before, "a pod was touched");
            Ok(())
        })
        .await
}

/// To the end of the grace period.
async fn rotate_proxy_token(hub: &Place<'_>) -> Result<()> {
    hub.command(&["rotate", "proxy-token"]).await?;
    let token = |status: RotationStatus| status.proxy_auth_token;
    await_version(hub, "the new token to be in use", token, |secret| secret.version == 1).await?;
    await_version(hub, "the old token to be void", token, |secret| secret.accepted == [1]).await?;
    is_recorded(hub, "rotate proxy-token").await
}

/// Rows 15 and 16 and S34, S60, S68: a Secret that is emptied by hand is told of and left alone, and people work on; a
/// reset is what ends their sessions, and their tokens.
pub(super) async fn an_emptied_secret_ends_nothing_and_a_reset_everything_s34_s60_s68(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("reset", async |namespace| {
            let hub = Place { cluster, namespace, name: "reset" };
            let ada = hub.ada_at_work(hubs::spec(cluster)).await?;
            emptied_by_hand(&hub, &ada).await.context("the cookie secret was emptied")?;
            everything_ends(&hub, &ada).await.context("a reset of everything")
        })
        .await
}

async fn emptied_by_hand(hub: &Place<'_>, ada: &Person) -> Result<()> {
    let secrets: Api<Secret> = hub.cluster.api(hub.namespace);
    let name = child::cookie_secret(hub.name);
    let (before, good) = (pods(hub).await?.map(|pod| identity(&pod)), secrets.get(&name).await?.data);
    let put = async |value: Value| {
        let patch = json!([{"op": "replace", "path": "/data", "value": value}]);
        let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
        anyhow::Ok(secrets.patch(&name, &PatchParams::default(), &patch).await?)
    };
    put(json!({secret_key::COOKIE_SECRET: ""})).await?;
    for (kind, status) in [(condition::SECRETS_READY, "False"), (condition::DEGRADED, "True")] {
        let message = await_condition(hub, kind, status).await?;
        ensure!(message.contains(&name), "{kind} does not name the Secret: {message}");
    }
    tokio::time::sleep(Duration::from_secs(15)).await; // the kubelet has brought it to the pods
    ensure!(ada.is_logged_in().await?, "ada is logged out");
    ada.open_lab().await?;
    ensure!(pods(hub).await?.map(|pod| identity(&pod)) == before, "a pod was touched");
    let left = secrets.get(&name).await?.data.unwrap_or_default();
    ensure!(left.get(secret_key::COOKIE_SECRET).is_some_and(|value| value.0.is_empty()), "a new value was made");
    put(serde_json::to_value(good)?).await?;
    await_condition(hub, condition::SECRETS_READY, "True").await?;
    ensure!(ada.is_logged_in().await?, "ada is logged out by the repair");
    Ok(())
}

async fn everything_ends(hub: &Place<'_>, ada: &Person) -> Result<()> {
    let made = ada.fetch(Method::POST, "/hub/api/users/ada/tokens", None).await?.expect(&[201])?.json()?;
    let token = made["token"].as_str().context("a new token has its text")?;
    ensure!(opens(hub, token).await?, "a new token is refused");
    hub.command(&["reset", "all", "--yes"]).await?;
    let ended = async || {
        ensure!(!ada.is_logged_in().await?, "ada is logged in");
        ensure!(!opens(hub, token).await?, "a token of ada's works");
        Ok(())
    };
    hub.cluster.eventually("every session and token to be void", ROTATED, ended).await?;
    is_recorded(hub, "reset all").await?;
    let again = hub.visitor("ada").await?;
    ensure!(again.is_logged_in().await?, "ada can't log in again");
    Ok(())
}

async fn opens(hub: &Place<'_>, token: &str) -> Result<bool> {
    let request = crate::http::client(None)?.get(format!("{}/hub/api/user", hub.address().await?));
    Ok(request.header("Authorization", format!("token {token}")).send().await?.status().is_success())
}

/// Whether a pod whose process was killed once has another one that is ready.
async fn is_back(hub: &Place<'_>, before: &Pod) -> Result<()> {
    let pod = hub.pod("hub").await?;
    ensure!(restarts(&pod) == restarts(before) + 1, "the hub's pod was started {} times", restarts(&pod) + 1);
    ensure!(pod_is_ready().matches_object(Some(&pod)), "the hub's pod is not ready");
    Ok(())
}

/// What `kubectl annotate` does.
async fn ask_for_rotation(hub: &Place<'_>, secret: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {ROTATE_ANNOTATION: secret}}});
    hub.hubs().patch(hub.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// The request was acted on once: it is in the status, and no annotation any more.
async fn is_recorded(hub: &Place<'_>, request: &str) -> Result<()> {
    let object = hub.hubs().get(hub.name).await?;
    let annotations = object.metadata.annotations.unwrap_or_default();
    let left = [ROTATE_ANNOTATION, RESET_ANNOTATION].iter().any(|name| annotations.contains_key(*name));
    ensure!(!left, "the request is still there: {annotations:?}");
    let recorded = object.status.and_then(|status| status.rotation?.last_request);
    ensure!(recorded.as_deref() == Some(request), "the status records {recorded:?}");
    Ok(())
}

/// Waits until the status tells of a secret what is waited for.
async fn await_version(
    hub: &Place<'_>,
    what: &str,
    secret: impl Fn(RotationStatus) -> Option<SecretVersions>,
    is_so: impl Fn(&SecretVersions) -> bool,
) -> Result<SecretVersions> {
    let question = async || {
        let rotation = hub.hubs().get(hub.name).await?.status.and_then(|status| status.rotation);
        let secret = rotation.and_then(&secret).context("the status tells nothing of the secret")?;
        ensure!(is_so(&secret), "the status has {secret:?}");
        Ok(secret)
    };
    hub.cluster.eventually(what, ROTATED, question).await
}

/// Waits until a condition has a status; gives its message.
async fn await_condition(hub: &Place<'_>, kind: &str, status: &str) -> Result<String> {
    let question = async || {
        let conditions = hub.hubs().get(hub.name).await?.status.unwrap_or_default().conditions;
        let condition = conditions.into_iter().find(|it| it.type_ == kind).context("there is no such condition")?;
        ensure!(condition.status == status, "{kind} is {}: {}", condition.status, condition.message);
        Ok(condition.message)
    };
    hub.cluster.eventually(&format!("{kind} to be {status}"), TOLD, question).await
}

/// The version of the cookie secret that signed a person's login, as the cookie itself says: `2|1:VERSION|...`.
fn signed_with(person: &Person) -> Result<u32> {
    let jar = person.jar();
    let cookie = jar.value("jupyterhub-hub-login", "/hub/").context("the login gave no cookie")?;
    let version = cookie.split('|').nth(1).and_then(|field| field.split_once(':')).context("it is no signed value")?.1;
    Ok(version.parse()?)
}
