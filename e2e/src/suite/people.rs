//! The people of the example Hub. A test has one to itself as long as it holds them, so tests don't stop each other's
//! servers.

use std::ops::Deref;

use anyhow::{Context, Result};
use hub_crds::names::child;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::sync::{Mutex, MutexGuard};

use super::person::Person;
use crate::cluster::{Cluster, HUB, NAMESPACE};

static ADA: Mutex<()> = Mutex::const_new(());
static GRACE: Mutex<()> = Mutex::const_new(());

/// A person with a fresh browser, and the token that they log in with.
pub(super) struct Borrowed {
    pub(super) token: String,
    person: Person,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Borrowed {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.person
    }
}

/// The example Hub's administrator. Who borrows both takes her first.
pub(super) async fn ada(cluster: &Cluster) -> Result<Borrowed> {
    borrow(cluster, "ada", &ADA).await
}

/// A user like any other.
pub(super) async fn grace(cluster: &Cluster) -> Result<Borrowed> {
    borrow(cluster, "grace", &GRACE).await
}

async fn borrow(cluster: &Cluster, name: &str, turn: &'static Mutex<()>) -> Result<Borrowed> {
    let turn = turn.lock().await;
    let token = login_token(cluster, NAMESPACE, HUB, name).await?;
    Ok(Borrowed { token, person: Person::new(name, &cluster.base_url)?, _turn: turn })
}

/// The token that a user of `auth.token` logs in with.
pub(super) async fn login_token(cluster: &Cluster, namespace: &str, hub: &str, user: &str) -> Result<String> {
    let secrets: Api<Secret> = cluster.api(namespace);
    let name = child::login_tokens(hub);
    let secret = secrets.get(&name).await.with_context(|| format!("failed to read Secret {name}"))?;
    let token = secret.data.and_then(|mut data| data.remove(user));
    let token = token.with_context(|| format!("Secret {name} has no token of {user}"))?;
    String::from_utf8(token.0).with_context(|| format!("the token of {user} is no text"))
}
