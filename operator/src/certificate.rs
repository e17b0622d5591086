//! The certificate that a Hub's proxy serves: got from where the spec says, judged, and kept in one Secret of the Hub's own
//! whatever its source. What is wrong at the source never reaches the proxy: the Secret stays as it is, and a condition
//! says what to do.
//!
//! ```text
//! given | cert_manager | self_signed | acme  ->  choice  ->  Standing  ->  build, status
//! (what the source has)                         (pure)
//! ```

pub mod acme;
pub mod cert_manager;
pub mod choice;
pub mod given;
pub mod hosts;
pub mod self_signed;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use hub_crds::{
    Https, HttpsType, TlsSecret,
    names::{CERTIFICATE_SOURCE_ANNOTATION, HTTPS_TYPE_ANNOTATION, child, secret_key},
    status::{CertificateStatus, reason},
};
use hub_tls::Certificate;
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use secrecy::ExposeSecret;

use crate::{
    controller::{
        Context, apply,
        types::{Found, ValidatedHub},
    },
    extension::CERTIFICATE,
    stores::belongs_to,
};
use choice::{Candidate, Choice, Offer, TEMPORARY, Trouble, choose};
use given::Secrets;
use self_signed::Authority;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none to serve, and never was: nothing is made before there is.
    #[error("{}", .0.message)]
    Nothing(Trouble),
    #[error(transparent)]
    SelfSigned(#[from] self_signed::Error),
    #[error(transparent)]
    Acme(#[from] crate::acme::keeper::Error),
    #[error(transparent)]
    Object(#[from] apply::Error),
}

/// How a Hub stands with its certificate. One whose TLS does not end in its proxy has nothing of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub served: Option<Served>,
    /// What the condition says; none where there is no certificate to speak of.
    pub verdict: Option<Verdict>,
    /// Certificate of the Hub's own authority, for people to trust.
    pub authority: Option<String>,
    /// When to look again, if that is sooner than usual.
    pub next: Option<Duration>,
}

/// What the condition `CertificateReady` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub is_true: bool,
    pub reason: &'static str,
    pub message: String,
}

/// What the proxy gets.
#[derive(Clone, PartialEq)]
pub struct Served {
    pub facts: CertificateStatus,
    /// Whether people can rely on it now.
    pub is_good: bool,
    /// Files of the proxy's directory: the certificate with its chain, its key, and those of `extraSecrets`.
    pub files: BTreeMap<String, ByteString>,
}

/// Keys are not shown.
impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Served").field("facts", &self.facts).field("files", &files).finish_non_exhaustive()
    }
}

/// Gets a Hub's certificate.
///
/// # Errors
/// There is none and there never was one, or the API server refuses what is needed for it.
pub async fn obtain(context: &Context, found: &Found, hub: &ValidatedHub) -> Result<Standing, Error> {
    let live = live_secret(&context.stores.secrets, hub, &child::tls(&hub.name));
    if !hub.paused && hub.https != HttpsType::CertManager && was_of_cert_manager(live.as_deref()) {
        let name = child::cert_manager(&hub.name);
        let owner = (hub.name.as_str(), hub.namespace.as_str());
        context.extensions.remove(&context.client, CERTIFICATE, &name, owner).await?;
    }
    if !hub.paused && hub.https != HttpsType::LetsEncrypt {
        acme::abandon(context, found, hub).await?;
    }
    let Some(https) = found.spec.https.as_ref().filter(|_| hub.https.is_served()) else {
        return Ok(Standing::default());
    };
    let now = Timestamp::now();
    let names = self_signed_names(context, hub);
    // A temporary one is no loss: another is made.
    let is_spent =
        |current: &Candidate| current.source == TEMPORARY && self_signed::is_due(&current.certificate, &names, now);
    let current = live.as_deref().and_then(current).filter(|current| !is_spent(current));
    let mut standing = Standing::default();
    let offer = match (hub.https, &https.cert_manager, &https.letsencrypt) {
        _ if hub.paused => paused(current.clone()),
        (HttpsType::CertManager, Some(settings), _) => {
            let offer = cert_manager::offer(context, hub, settings, &found.referenced).await?;
            standing.next = matches!(offer, Offer::Nothing(_)).then_some(cert_manager::WAIT);
            offer
        }
        (HttpsType::LetsEncrypt, _, Some(settings)) => {
            let (offer, next) = acme::offer(context, found, hub, settings).await?;
            standing.next = Some(next);
            offer
        }
        (HttpsType::SelfSigned, ..) => {
            from_own_authority(context, found, hub, &names, current.as_ref(), &mut standing, now)?
        }
        _ => from_secrets(https, found),
    };
    let mut choice = choose(offer, current, now);
    if choice.served.is_none() && !hub.paused {
        choice = stand_in(hub, choice, &names, now)?;
    }
    let extras = extras(https, &found.referenced, live.as_deref(), now);
    finish(&mut standing, hub, found, choice, &extras, now);
    Ok(standing)
}

/// A Secret that the operator made for the Hub, as the cluster has it.
pub fn live_secret(secrets: &Store<Secret>, hub: &ValidatedHub, name: &str) -> Option<Arc<Secret>> {
    let key = ObjectRef::new(name).within(&hub.namespace);
    secrets.get(&key).filter(|secret| belongs_to(&**secret, &hub.name, &hub.namespace))
}

/// Whether it was written last while there was a `Certificate` of cert-manager's, which has to go with its type.
fn was_of_cert_manager(live: Option<&Secret>) -> bool {
    let word = live.and_then(|secret| secret.annotations().get(HTTPS_TYPE_ANNOTATION));
    word.is_some_and(|word| word == HttpsType::CertManager.as_str())
}

/// What is served now; one that was broken by hand counts as none.
fn current(secret: &Secret) -> Option<Candidate> {
    let certificate = stored(secret, secret_key::TLS_CERTIFICATE, secret_key::TLS_KEY)?;
    let source = secret.annotations().get(CERTIFICATE_SOURCE_ANNOTATION).cloned();
    Some(Candidate { certificate, source: source.unwrap_or_else(|| "an unknown source".to_owned()), notes: Vec::new() })
}

fn stored(secret: &Secret, certificate: &str, key: &str) -> Option<Certificate> {
    let data = secret.data.as_ref()?;
    hub_tls::read(&data.get(certificate)?.0, Some(&data.get(key)?.0)).ok()
}

fn paused(current: Option<Candidate>) -> Offer {
    let nothing =
        || Offer::Nothing(Trouble::new(reason::PAUSED, "spec.paused is true: no certificate is got until it is false"));
    current.map_or_else(nothing, Offer::Certificate)
}

fn from_secrets(https: &Https, found: &Found) -> Offer {
    match (&https.secret, &https.manual) {
        (Some(secret), _) => given::of_secret("spec.https.secret", secret, &found.referenced),
        (_, Some(manual)) => given::of_manual(manual, &found.referenced),
        _ => Offer::Nothing(Trouble::new(reason::INVALID, "spec.https names no certificate for its type")),
    }
}

fn from_own_authority(
    context: &Context,
    found: &Found,
    hub: &ValidatedHub,
    names: &[String],
    current: Option<&Candidate>,
    standing: &mut Standing,
    now: Timestamp,
) -> Result<Offer, Error> {
    let key = found.generated(&child::ca_key(&hub.name), secret_key::CA_KEY);
    let Some(key) = key.and_then(|key| std::str::from_utf8(key).ok()) else { return Ok(self_signed::waits_for_key()) };
    let published = context.stores.config_maps.get(&ObjectRef::new(&child::ca(&hub.name)).within(&hub.namespace));
    let published = published.as_ref().and_then(|map| map.data.as_ref()?.get(secret_key::CA_CERTIFICATE));
    let owner = format!("Hub {} in {}", hub.name, hub.namespace);
    let authority = Authority::new(key, &owner, published.map(String::as_str), now)?;
    let offer = authority.offer(current, names, now)?;
    standing.authority = Some(authority.certificate);
    Ok(offer)
}

/// Names of a certificate that the operator makes itself: it may as well be for every way to the Hub.
fn self_signed_names(context: &Context, hub: &ValidatedHub) -> Vec<String> {
    let key = ObjectRef::new(&child::proxy_public(&hub.name)).within(&hub.namespace);
    let service = context.stores.services.get(&key);
    let balancer = service.and_then(|service| {
        let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.clone();
        ingress.hostname.or(ingress.ip)
    });
    let in_cluster = hosts::in_cluster(&hub.name, &hub.namespace);
    hub.hosts.iter().cloned().chain(in_cluster).chain(balancer).collect()
}

/// Where there is nothing to serve: a temporary certificate if one is on its way, else nothing is made for the Hub.
fn stand_in(hub: &ValidatedHub, choice: Choice, names: &[String], now: Timestamp) -> Result<Choice, Error> {
    let Some(trouble) = choice.trouble else { return Ok(choice) };
    match hub.https {
        HttpsType::CertManager | HttpsType::LetsEncrypt => {
            Ok(choose(Offer::Nothing(trouble), Some(self_signed::temporary(names, now)?), now))
        }
        // The next look has its key.
        HttpsType::SelfSigned => Ok(Choice { served: None, trouble: Some(trouble) }),
        _ => Err(Error::Nothing(trouble)),
    }
}

/// Each of `extraSecrets`, by its name.
fn extras(https: &Https, secrets: &Secrets, live: Option<&Secret>, now: Timestamp) -> Vec<(String, Choice)> {
    let choice = |reference: &TlsSecret| {
        let (name, field) = (&reference.name, format!("spec.https.extraSecrets[{}]", reference.name));
        let [certificate, key] = extra_files(name);
        let current = live.and_then(|live| stored(live, &certificate, &key));
        let source = format!("Secret {name}");
        let current = current.map(|certificate| Candidate { certificate, source, notes: Vec::new() });
        (name.clone(), choose(given::of_secret(&field, reference, secrets), current, now))
    };
    https.extra_secrets.iter().map(choice).collect()
}

/// Names of the files of one of `extraSecrets`: the proxy takes what is called alike.
fn extra_files(name: &str) -> [String; 2] {
    [format!("extra-{name}.crt"), format!("extra-{name}.key")]
}

fn finish(
    standing: &mut Standing,
    hub: &ValidatedHub,
    found: &Found,
    choice: Choice,
    extras: &[(String, Choice)],
    now: Timestamp,
) {
    let troubled = choice.trouble.as_ref().or_else(|| extras.iter().find_map(|(_, extra)| extra.trouble.as_ref()));
    let is_true = troubled.is_none() && choice.served.is_some();
    let praised = || {
        // Others renew what is in somebody's Secret.
        let is_renewed = !matches!(hub.https, HttpsType::Secret | HttpsType::Manual);
        choice.served.as_ref().map(|served| choice::praise(served, &hosts::addressed(&found.spec), is_renewed, now))
    };
    let said = troubled.cloned().or_else(praised);
    standing.verdict = said.map(|Trouble { reason, message }| Verdict { is_true, reason, message });
    standing.served = choice.served.map(|main| Served {
        facts: facts(&main),
        is_good: choice::is_good(&main, now),
        files: files(&main.certificate, extras),
    });
}

fn files(main: &Certificate, extras: &[(String, Choice)]) -> BTreeMap<String, ByteString> {
    let pair = |[certificate, key]: [String; 2], pair: &Certificate| {
        let text = |text: &str| ByteString(text.as_bytes().to_vec());
        [(certificate, text(&pair.chain_pem)), (key, text(pair.key_pem.expose_secret()))]
    };
    let main = pair([secret_key::TLS_CERTIFICATE, secret_key::TLS_KEY].map(str::to_owned), main);
    let extras =
        extras.iter().filter_map(|(name, extra)| Some(pair(extra_files(name), &extra.served.as_ref()?.certificate)));
    main.into_iter().chain(extras.flatten()).collect()
}

fn facts(candidate: &Candidate) -> CertificateStatus {
    let Candidate { certificate, source, .. } = candidate;
    CertificateStatus {
        source: source.clone(),
        issuer: certificate.issuer.clone(),
        names: certificate.names.clone(),
        serial: certificate.serial.clone(),
        not_before: certificate.not_before.to_string(),
        not_after: certificate.not_after.to_string(),
    }
}
