//! Names and passwords in a cluster: a first login, a change in a browser, a Secret with hashes, and the end of a user's access.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    hubs::{self, Place},
    person::Person,
    webdriver::{Browser, ENTER},
};
use crate::cluster::Cluster;

const FIRST: &str = "correct horse";
const SECOND: &str = "battery staple";
/// From a change of a Secret until the kubelet has brought it into the hub's pod, and the hub has seen it.
const MOUNTED: Duration = Duration::from_secs(150);

fn spec(cluster: &Cluster, password: &Value) -> Value {
    let mut spec = hubs::spec(cluster);
    spec["auth"] = json!({"password": password, "allowedUsers": ["grace"], "adminUsers": ["ada"]});
    spec["singleuser"]["storage"] = json!({"type": "none"});
    spec
}

pub(super) async fn a_password_is_chosen_changed_and_its_user_disabled_row_37(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("passwords", async |namespace| {
            let hub = Place { cluster, namespace, name: "pw" };
            hub.apply(spec(cluster, &json!({"firstUse": true}))).await?;
            hub.await_ready().await?;
            let address = hub.address().await?;
            let [grace, ada] = [Person::new("grace", &address)?, Person::new("ada", &address)?];
            ada.log_in_with_form("the administrator's").await?;
            grace.log_in_with_form(FIRST).await?;
            ensure!(grace.is_logged_in().await? && ada.is_logged_in().await?, "a first password opens nothing");
            let eve = Person::new("eve", &address)?;
            ensure!(eve.log_in_with_form(FIRST).await?.status == 403, "somebody else comes in");
            grace.start_server().await?;
            grace.open_lab().await?;

            Browser::with(cluster.output()?, "passwords", async |browser| change(browser, &address).await).await?;
            ensure!(!grace.is_logged_in().await?, "the other browser is still logged in");
            ensure!(grace.log_in_with_form(FIRST).await?.status == 403, "the old password opens");
            grace.log_in_with_form(SECOND).await?;
            grace.open_lab().await?;

            ada.visit("/hub/home").await?.expect(&[200])?;
            ada.fetch(Method::PUT, "/hub/api/users/grace/disabled", None).await?.expect(&[204])?;
            ensure!(!grace.is_logged_in().await?, "a disabled user is logged in");
            ensure!(grace.log_in_with_form(SECOND).await?.status == 403, "a disabled user logs in");
            let lab = grace.visit("/user/grace/lab").await?;
            ensure!(lab.path() == "/hub/login", "the server of a disabled user leads to {}", lab.url);
            stopped(&hub, &ada).await?;

            ada.fetch(Method::DELETE, "/hub/api/users/grace/disabled", None).await?.expect(&[204])?;
            grace.log_in_with_form(SECOND).await?;
            ensure!(grace.is_logged_in().await?, "a user who was enabled again cannot log in");
            Ok(())
        })
        .await
}

/// A person's way: log in, go to the page, change the password, and work on.
async fn change(browser: &Browser, address: &str) -> Result<()> {
    browser.goto(&format!("{address}/hub/login?next=%2Fhub%2Ftoken")).await?;
    browser.type_into("input[name=username]", "grace").await?;
    browser.type_into("input[name=password]", &format!("{FIRST}{ENTER}")).await?;
    browser.await_path(|path| path == "/hub/token").await?;
    browser.find("button[name=everywhere]").await?;
    browser.screenshot("sessions").await?;
    browser.click("a[href$='change-password']").await?;
    browser.await_path(|path| path == "/hub/change-password").await?;
    browser.type_into("input[name=old_password]", FIRST).await?;
    browser.type_into("input[name=new_password]", SECOND).await?;
    browser.screenshot("change-password").await?;
    browser.type_into("input[name=new_password_confirmation]", &format!("{SECOND}{ENTER}")).await?;
    browser.await_path(|path| path == "/hub/home").await
}

async fn stopped(hub: &Place<'_>, ada: &Person) -> Result<()> {
    let what = "the server of a disabled user to be gone";
    let ask = async || {
        let user = ada.fetch(Method::GET, "/hub/api/users/grace", None).await?.expect(&[200])?.json()?;
        ensure!(user["server"].is_null() && user["pending"].is_null(), "{user}");
        Ok(())
    };
    hub.cluster.eventually(what, Duration::from_secs(60), ask).await
}

pub(super) async fn passwords_in_a_secret_are_hashes_and_are_taken_up_when_they_change(
    cluster: &Cluster,
) -> Result<()> {
    cluster
        .with_temp_ns("hashes", async |namespace| {
            let hub = Place { cluster, namespace, name: "hashes" };
            let secrets: Api<Secret> = cluster.api(namespace);
            let hash = |password| hub_auth::password::phc(password, [7; 16]);
            let secret = json!({"metadata": {"name": "people"}, "stringData": {"grace": hash(FIRST)}});
            secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
            hub.apply(spec(cluster, &json!({"usersSecretRef": {"name": "people"}}))).await?;
            hub.await_ready().await?;
            let grace = Person::new("grace", &hub.address().await?)?;
            grace.log_in_with_form(FIRST).await?;
            ensure!(grace.is_logged_in().await?, "the password of the Secret opens nothing");
            let patch = json!({"stringData": {"grace": hash(SECOND)}});
            secrets.patch("people", &PatchParams::default(), &Patch::Merge(patch)).await?;
            let what = "the sessions of the old password to end";
            let ended = async || {
                ensure!(!grace.is_logged_in().await?, "they go on");
                Ok(())
            };
            cluster.eventually(what, MOUNTED, ended).await?;
            grace.log_in_with_form(SECOND).await?;
            ensure!(grace.is_logged_in().await?, "the new password of the Secret opens nothing");
            Ok(())
        })
        .await
}
