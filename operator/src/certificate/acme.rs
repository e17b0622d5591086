//! Certificates by ACME (`letsencrypt`): what the Hub wants is put together here, and [`crate::acme`] gets it.

use std::time::Duration;

use hub_crds::{LetsEncrypt, SecretKeyRef, names::child, status::reason};
use secrecy::SecretString;

use super::{
    choice::{Candidate, Offer, Trouble},
    given, live_secret,
};
use crate::{
    acme::{
        self, ExternalAccount, News, Wanted,
        keeper::{Error, SecretKeeper},
        route::{Pods, Proxy},
        state::{Data, Issued},
    },
    controller::{
        Context, build,
        types::{Found, ValidatedHub},
    },
    rotation::{Kept, Rotating},
};

/// The Secret of record is made at the end of this look.
const WITHOUT_SECRET: Duration = Duration::from_secs(1);

/// What the authority has issued, or how far it is; and when to look again.
///
/// # Errors
/// The Secret of record cannot be read or written.
pub async fn offer(
    context: &Context,
    found: &Found,
    hub: &ValidatedHub,
    settings: &LetsEncrypt,
) -> Result<(Offer, Duration), Error> {
    let wanted = match wanted(context, found, hub, settings) {
        Ok(wanted) => wanted,
        Err(trouble) => return Ok((Offer::Nothing(trouble), Duration::MAX)),
    };
    let Some(known) = live_secret(&context.stores.secrets, hub, &child::acme(&hub.name)) else {
        return Ok((Offer::Nothing(on_its_way(settings, None)), WITHOUT_SECRET));
    };
    let mut keeper = SecretKeeper::new(&context.client, &hub.namespace, &hub.name);
    let known = known.data.clone().unwrap_or_default();
    let progress = acme::advance(&context.acme, &wanted, &known, &mut keeper).await?;
    for news in &progress.news {
        match news {
            News::Issued => tracing::info!(hub.name, hub.namespace, "a certificate was issued"),
            News::Failed(why) => tracing::warn!(hub.name, hub.namespace, why, "no certificate was issued"),
        }
    }
    let offer = match progress.issued.and_then(|issued| candidate(&issued, settings)) {
        Some(mut candidate) => {
            let trouble = progress.trouble.map(|why| {
                Trouble::new(reason::ISSUER_NOT_READY, format!("the certificate could not be renewed yet: {why}"))
            });
            candidate.notes.extend(trouble);
            Offer::Certificate(candidate)
        }
        None => Offer::Nothing(on_its_way(settings, progress.trouble)),
    };
    Ok((offer, progress.next))
}

/// Takes back what a Hub that had its certificate by ACME left at its proxy.
///
/// # Errors
/// The Secret of record cannot be read or written.
pub async fn abandon(context: &Context, found: &Found, hub: &ValidatedHub) -> Result<(), Error> {
    let Some(known) = live_secret(&context.stores.secrets, hub, &child::acme(&hub.name)) else { return Ok(()) };
    let mut keeper = SecretKeeper::new(&context.client, &hub.namespace, &hub.name);
    acme::abandon(&context.acme, &proxy(context, found, hub), &known.data.clone().unwrap_or_default(), &mut keeper)
        .await
}

fn wanted(context: &Context, found: &Found, hub: &ValidatedHub, settings: &LetsEncrypt) -> Result<Wanted, Trouble> {
    let value = |field: &str, SecretKeyRef { name, key }: &SecretKeyRef| {
        given::value(&format!("spec.https.letsencrypt.{field}"), name, key, &found.referenced)
    };
    let server_ca = settings.server_ca_secret_ref.as_ref().map(|reference| value("serverCaSecretRef", reference));
    let eab = settings.eab.as_ref().map(|eab| {
        let key = value("eab.secretRef", &eab.secret_ref)?;
        let mac_key = SecretString::from(String::from_utf8_lossy(key).trim());
        Ok(ExternalAccount { key_id: eab.key_id.clone(), mac_key })
    });
    Ok(Wanted {
        name: hub.name.clone(),
        namespace: hub.namespace.clone(),
        hosts: hub.hosts.clone(),
        email: settings.email.clone(),
        server: settings.server.clone(),
        server_ca: server_ca.transpose()?.map(<[u8]>::to_vec),
        eab: eab.transpose()?,
        self_check: settings.self_check,
        proxy: proxy(context, found, hub),
    })
}

fn proxy(context: &Context, found: &Found, hub: &ValidatedHub) -> Proxy {
    Proxy {
        api_url: build::proxy_api_url(hub),
        pods: Some(Pods {
            client: context.client.clone(),
            namespace: hub.namespace.clone(),
            service: child::proxy_api(&hub.name),
        }),
        tokens: found.record_data(&child::proxy_token(&hub.name)).map(tokens).unwrap_or_default(),
        is_by_host: hub.subdomain_host.is_some(),
    }
}

/// Every version of the token, the one in use first.
fn tokens(data: &Data) -> Vec<SecretString> {
    let Ok(kept) = Kept::read(Rotating::ProxyToken, data) else { return Vec::new() };
    let mut versions: Vec<_> = kept.values.iter().collect();
    versions.sort_by_key(|(version, _)| **version != kept.current);
    versions.into_iter().map(|(_, value)| SecretString::from(String::from_utf8_lossy(&value.0).into_owned())).collect()
}

fn candidate(issued: &Issued, settings: &LetsEncrypt) -> Option<Candidate> {
    let read = hub_tls::read(issued.chain_pem.as_bytes(), Some(issued.key_pem.as_bytes()));
    // It was checked when it came: whoever breaks it by hand gets another.
    Some(Candidate { certificate: read.ok()?, source: acme::directory(&settings.server).to_owned(), notes: Vec::new() })
}

fn on_its_way(settings: &LetsEncrypt, trouble: Option<String>) -> Trouble {
    let message =
        trouble.unwrap_or_else(|| format!("a certificate of {} is on its way", acme::directory(&settings.server)));
    Trouble::new(reason::ISSUING, message)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_proxy_is_asked_with_the_token_in_use_and_then_with_the_others() {
        let data: Data = [
            ("proxy-token", "b"),
            ("proxy-token.0", "a"),
            ("proxy-token.1", "b"),
            ("versions.json", r#"{"current": 1, "accepted": [0, 1]}"#),
        ]
        .map(|(key, value)| (key.to_owned(), ByteString(value.into())))
        .into();
        let tokens: Vec<_> = tokens(&data).iter().map(|token| token.expose_secret().to_owned()).collect();
        assert_eq!(tokens, ["b", "a"]);
    }
}
