//! The certificates by which a Hub's pods know each other: an authority whose key is a Secret of record, and the one
//! certificate with which hub and proxy come to users' servers. Servers' own are issued by the hub when it starts them.
//!
//! All but the key is made from it, and made anew long before its end with the same key: what servers have goes on to hold.

use std::{collections::BTreeMap, fmt};

use hub_crds::names::{child, secret_key};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use secrecy::ExposeSecret;

use crate::{
    certificate::{
        live_secret,
        self_signed::{Authority, Error},
    },
    controller::{
        Context,
        types::{Found, ValidatedHub},
    },
};

/// What hub and proxy have in their directory.
#[derive(Clone, PartialEq)]
pub struct InternalTls {
    pub files: BTreeMap<String, ByteString>,
}

/// Keys are not shown.
impl fmt::Debug for InternalTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InternalTls").field("files", &self.files.keys()).finish()
    }
}

/// What there is for a Hub that wants it; nothing until the authority's key is there, which the operator makes with the
/// other Secrets of record.
///
/// # Errors
/// No certificate could be made.
pub fn obtain(context: &Context, found: &Found, hub: &ValidatedHub) -> Result<Option<InternalTls>, Error> {
    let live = live_secret(&context.stores.secrets, hub, &child::internal_tls(&hub.name));
    make(found, live.as_deref(), found.now)
}

fn make(found: &Found, live: Option<&Secret>, now: Timestamp) -> Result<Option<InternalTls>, Error> {
    let key = found.generated(&child::internal_ca_key(&found.name), secret_key::CA_KEY);
    let Some(key) = key.and_then(|key| std::str::from_utf8(key).ok()) else { return Ok(None) };
    let live = |name: &str| live.and_then(|live| live.data.as_ref()?.get(name)).map(|value| value.0.as_slice());
    let published = live(secret_key::CA_CERTIFICATE).and_then(|text| std::str::from_utf8(text).ok());
    // One that was broken by hand counts as none.
    let current = live(secret_key::TLS_CERTIFICATE)
        .zip(live(secret_key::TLS_KEY))
        .and_then(|(certificate, key)| hub_tls::read(certificate, Some(key)).ok());
    let owner = format!("Pods of Hub {} in {}", found.name, found.namespace);
    let authority = Authority::new(key, &owner, published, now)?;
    let client = authority.client(current, "hub and proxy", now)?;
    let files = [
        (secret_key::CA_CERTIFICATE, authority.certificate.as_str()),
        (secret_key::TLS_CERTIFICATE, client.chain_pem.as_str()),
        (secret_key::TLS_KEY, client.key_pem.expose_secret()),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())));
    Ok(Some(InternalTls { files: files.into() }))
}

#[cfg(test)]
mod tests;
