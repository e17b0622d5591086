//! Certificates that people give, in each form in which they have them, and the one that the operator makes. What is wrong
//! with one is said, and does not take the one before away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hub_crds::{
    names::child,
    status::{condition, reason},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rustls::version::TLS13;
use serde_json::{Value, json};

use super::{Expected, Site, conforms, hsts};
use crate::{
    cluster::Cluster,
    suite::tls::{Authority, Pair, handshake},
};

/// From a change of a Secret until the status tells of it.
const TOLD: Duration = Duration::from_secs(20);
/// From a change of a Secret until the proxy serves it: the kubelet looks at the pod every ten seconds.
const SERVED: Duration = Duration::from_secs(45);

/// The host of a second certificate, for clients that ask for it.
const OTHER_HOST: &str = "other.example.test";

/// A root and an authority below it, whose certificate only a chain brings.
struct Chain {
    root: Authority,
    middle: Authority,
}

impl Chain {
    fn new() -> Result<Self> {
        let root = Authority::root("e2e root")?;
        let middle = root.intermediate("e2e intermediate")?;
        Ok(Self { root, middle })
    }

    fn issue(&self, site: &Site<'_>) -> Result<Pair> {
        self.middle.issue(&site.host)
    }

    /// Root first, leaf last: clients want it the other way round.
    fn backwards(&self, leaf: &Pair) -> String {
        format!("{}{}{}", self.root.pem(), self.middle.pem(), leaf.certificate)
    }

    /// As it should be.
    fn in_order(&self, leaf: &Pair) -> String {
        format!("{}{}", leaf.certificate, self.middle.pem())
    }
}

/// A `kubernetes.io/tls` Secret whose chain is in the wrong order (S41).
pub(in crate::suite) async fn a_tls_secret_with_any_order_of_chain_s37_s38_s41(cluster: &Cluster) -> Result<()> {
    given(cluster, "secret", json!({"type": "secret", "secret": {"name": "given"}}), async |site, chain, leaf| {
        site.put_secret("given", &[("tls.crt", &chain.backwards(leaf)), ("tls.key", &leaf.key)]).await
    })
    .await
}

/// One file that holds the key too: no more is needed (S39).
pub(in crate::suite) async fn a_certificates_file_that_holds_the_key_s39(cluster: &Cluster) -> Result<()> {
    let https = json!({"type": "secret", "secret": {"name": "given", "certKey": "server.pem"}});
    given(cluster, "combined", https, async |site, chain, leaf| {
        site.put_secret("given", &[("server.pem", &format!("{}{}", leaf.key, chain.in_order(leaf)))]).await
    })
    .await
}

/// Key and certificate in Secrets of their own.
pub(in crate::suite) async fn key_and_certificate_given_separately_s37_s38(cluster: &Cluster) -> Result<()> {
    let https = json!({"type": "manual", "manual": {
        "keySecretRef": {"name": "the-key", "key": "my.key"}, "certSecretRef": {"name": "given", "key": "my.cert"},
    }});
    given(cluster, "manual", https, async |site, chain, leaf| {
        site.put_secret("the-key", &[("my.key", &leaf.key)]).await?;
        site.put_secret("given", &[("my.cert", &chain.in_order(leaf))]).await
    })
    .await
}

/// A Hub whose certificate `put` brings passes the suite, and serves a second one beside it.
async fn given(
    cluster: &Cluster,
    name: &str,
    mut https: Value,
    put: impl AsyncFnOnce(&Site<'_>, &Chain, &Pair) -> Result<()>,
) -> Result<()> {
    cluster
        .with_temp_ns(name, async |namespace| {
            let (site, chain) = (Site::new(cluster, namespace, name).await?, Chain::new()?);
            put(&site, &chain, &chain.issue(&site)?).await?;
            let other = chain.root.issue(OTHER_HOST)?;
            site.put_secret("other", &[("tls.crt", &other.certificate), ("tls.key", &other.key)]).await?;
            https["extraSecrets"] = json!([{"name": "other"}]);
            https["hsts"] = hsts();
            site.place.apply(site.spec(&https)).await?;
            site.await_ready(&chain.root.pem()).await?;
            let expected = Expected { source: "given".to_owned(), issuer: "e2e intermediate".to_owned(), chain: 2 };
            conforms(&site, &chain.root.pem(), &expected).await?;
            let other = handshake(site.https(), OTHER_HOST, &TLS13, &[]).await?;
            ensure!(other.names == [OTHER_HOST], "who asks for another host gets a certificate for {:?}", other.names);
            Ok(())
        })
        .await
}

/// S36: whoever takes the authority from its ConfigMap trusts what the operator made; it makes another when that is lost.
pub(in crate::suite) async fn a_self_signed_certificate_that_people_can_trust_s36(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("self-signed", async |namespace| {
            let site = Site::new(cluster, namespace, "self-signed").await?;
            site.place.apply(site.spec(&json!({"type": "selfSigned", "hsts": hsts()}))).await?;
            let configs: Api<ConfigMap> = cluster.api(namespace);
            let name = child::ca(site.place.name);
            let is_there = |config: Option<&ConfigMap>| config.is_some_and(|config| config.data.is_some());
            let config = cluster.await_condition(&configs, &name, "an authority to trust", TOLD, is_there).await?;
            let authority = config.and_then(|config| config.data?.remove("ca.crt")).context("it is in ca.crt")?;
            site.await_ready(&authority).await?;
            let served = site.served().await?.chain;
            let expected = Expected { source: "self-signed".to_owned(), issuer: String::new(), chain: served };
            conforms(&site, &authority, &expected).await.map(|_| ())
        })
        .await
}

/// A change of the Secret, what it is, and a word of what the status then says.
struct Wrong {
    what: &'static str,
    certificate: String,
    key: String,
    word: &'static str,
}

/// S39, S41, S48, rows 25 and 66: the one before stays, the status says what is wrong, and a good one takes over.
pub(in crate::suite) async fn a_wrong_certificate_leaves_the_one_before_s40_s41(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("wrong", async |namespace| {
            let (site, chain) = (Site::new(cluster, namespace, "wrong").await?, Chain::new()?);
            let (first, other) = (chain.issue(&site)?, chain.issue(&site)?);
            site.put_secret("given", &[("tls.crt", &chain.in_order(&first)), ("tls.key", &first.key)]).await?;
            site.place.apply(site.spec(&json!({"type": "secret", "secret": {"name": "given"}}))).await?;
            site.await_ready(&chain.root.pem()).await?;
            let serial = site.served().await?.serial;
            for wrong in wrong_ones(&site, &chain, &first, &other)? {
                site.put_secret("given", &[("tls.crt", &wrong.certificate), ("tls.key", &wrong.key)]).await?;
                told(&site, "False", wrong.word).await.with_context(|| wrong.what.to_owned())?;
                ensure!(site.served().await?.serial == serial, "{}: it is served", wrong.what);
                let ready = site.condition(condition::READY).await?;
                ensure!(ready.status == "True", "{}: the Hub is not Ready: {}", wrong.what, ready.message);
            }
            a_chain_without_its_intermediate_is_a_warning(&site, &other).await?;
            let last = chain.issue(&site)?;
            site.put_secret("given", &[("tls.crt", &chain.backwards(&last)), ("tls.key", &last.key)]).await?;
            told(&site, "True", "").await?;
            let browser = site.browser("anybody", &chain.root.pem())?;
            let served = async || {
                ensure!(site.served().await?.serial != serial, "the first one is served");
                browser.look("/hub/health").await?.expect(&[200]).map(|_| ())
            };
            cluster.eventually("the last certificate", SERVED, served).await
        })
        .await
}

fn wrong_ones(site: &Site<'_>, chain: &Chain, first: &Pair, other: &Pair) -> Result<[Wrong; 6]> {
    let expired = chain.middle.issue_expired(&site.host)?;
    let good = || chain.in_order(first);
    let half = || good()[..good().len() / 3].to_owned();
    let wrong = |what, certificate, key: &str, word| Wrong { what, certificate, key: key.to_owned(), word };
    Ok([
        wrong("a key that does not fit", good(), &other.key, "fit"),
        wrong("an expired one", chain.in_order(&expired), &expired.key, "expired"),
        wrong("half a file", half(), &first.key, "as a whole"),
        wrong("an empty certificate", String::new(), &first.key, "tls.crt"),
        wrong("an empty key", good(), "", "no private key"),
        wrong("no PEM at all", "not a certificate".to_owned(), &first.key, "no certificate"),
    ])
}

/// It is served, since some clients know the intermediate.
async fn a_chain_without_its_intermediate_is_a_warning(site: &Site<'_>, leaf: &Pair) -> Result<()> {
    site.put_secret("given", &[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]).await?;
    told(site, "True", "ntermediate").await.context("without its intermediate")?;
    let alone = async || {
        let served = site.served().await?;
        ensure!(served.chain == 1, "{} certificates are served", served.chain);
        Ok(())
    };
    site.place.cluster.eventually("the leaf alone", SERVED, alone).await?;
    Ok(())
}

/// Waits until `CertificateReady` has a status and a message with a word.
async fn told(site: &Site<'_>, status: &str, word: &str) -> Result<()> {
    let question = async || {
        let condition = site.condition(condition::CERTIFICATE_READY).await?;
        let is_told = condition.status == status && condition.message.contains(word);
        ensure!(is_told, "CertificateReady is {} ({}): {}", condition.status, condition.reason, condition.message);
        Ok(())
    };
    site.place.cluster.eventually("the status to tell", TOLD, question).await
}

/// A Hub that is asked for before its Secret is there waits for it, and says so.
pub(in crate::suite) async fn a_secret_that_comes_later_is_waited_for(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("later", async |namespace| {
            let (site, chain) = (Site::new(cluster, namespace, "later").await?, Chain::new()?);
            site.place.apply(site.spec(&json!({"type": "secret", "secret": {"name": "given"}}))).await?;
            told(&site, "False", "given").await?;
            let leaf = chain.issue(&site)?;
            site.put_secret("given", &[("tls.crt", &chain.in_order(&leaf)), ("tls.key", &leaf.key)]).await?;
            site.await_ready(&chain.root.pem()).await?;
            let ready = site.condition(condition::READY).await?;
            ensure!(ready.reason != reason::SECRET_MISSING, "the Hub is Ready, and says {}", ready.message);
            Ok(())
        })
        .await
}
