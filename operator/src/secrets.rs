//! Secrets of record: values that are made once and must never change by accident. They are created, never applied; a
//! finalizer keeps the bytes of one that somebody deletes until they are written into a new one.
//!
//! ```text
//! absent, never had         -> create
//! absent, a copy exists     -> create from the copy -> delete the copy
//! absent, had before        -> lost: a condition, nothing is generated (made again if its value is given)
//! dying                     -> make a copy -> release the finalizer -> (absent, a copy exists)
//! not labelled as ours      -> conflict: never adopted
//! a deleted Hub's           -> relabel with this Hub's uid
//! ```
//!
//! A crash between any two steps leads back into this table with nothing lost.

pub mod settle;

use std::collections::BTreeMap;

use hub_auth::crypt_keys::CryptKeys;
use hub_crds::names::{SECRET_FINALIZER, child, label, secret_key};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::ObjectMeta,
    runtime::reflector::{ObjectRef, Store},
};

use crate::{certificate::self_signed, rotation::Rotating, stores::belongs_to};
pub use settle::{Error, release, release_without_hub, settle};

/// A Secret of record that a Hub needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub name: String,
    pub keys: Vec<String>,
    pub content: Content,
    /// The value in the administrator's own Secret, from which this one is made.
    pub given: Option<ByteString>,
}

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// 64 hexadecimal characters (S80).
    CookieSecret,
    /// 64 hexadecimal characters (S51).
    ProxyToken,
    /// 64 hexadecimal characters, or what JupyterHub takes: several keys with `;` between them, of which the first encrypts.
    CryptKeys,
    /// The key of an authority, in PEM.
    CaKey,
    /// For each user 48 hexadecimal characters (S8). Users come and go, and their keys with them.
    LoginTokens,
    /// The state of ACME.
    Acme,
}

impl Record {
    /// Of a secret that rotates.
    pub fn rotating(hub: &str, secret: Rotating, given: Option<ByteString>) -> Self {
        let name = match secret {
            Rotating::CookieSecret => child::cookie_secret(hub),
            Rotating::ProxyToken => child::proxy_token(hub),
            Rotating::CryptKeys => child::crypt_keys(hub),
        };
        Self { name, keys: vec![secret.key().to_owned()], content: secret.content(), given }
    }

    /// Of the authority of a self-signed certificate.
    pub fn ca_key(hub: &str) -> Self {
        Self::authority(child::ca_key(hub))
    }

    /// Of the authority by which the Hub's pods know each other.
    pub fn internal_ca_key(hub: &str) -> Self {
        Self::authority(child::internal_ca_key(hub))
    }

    fn authority(name: String) -> Self {
        Self { name, keys: vec![secret_key::CA_KEY.to_owned()], content: Content::CaKey, given: None }
    }

    /// What the operator knows of a Hub's certificate by ACME: it fills it in itself.
    pub fn acme(hub: &str) -> Self {
        Self { name: child::acme(hub), keys: Vec::new(), content: Content::Acme, given: None }
    }

    pub fn login_tokens(hub: &str, users: Vec<String>) -> Self {
        Self { name: child::login_tokens(hub), keys: users, content: Content::LoginTokens, given: None }
    }

    /// Name of the copy that exists while the Secret is made anew.
    fn copy_name(&self) -> String {
        format!("{}-copy", self.name)
    }

    /// The data that this record should have, given what is there: values are kept, missing ones of users are made,
    /// those of users who are gone are dropped.
    fn complete(&self, data: &BTreeMap<String, ByteString>) -> BTreeMap<String, ByteString> {
        let new = || self.given.clone().unwrap_or_else(|| self.content.generate());
        self.keys.iter().map(|key| (key.clone(), data.get(key).cloned().unwrap_or_else(new))).collect()
    }
}

impl Content {
    pub fn generate(self) -> ByteString {
        let text = match self {
            Self::CookieSecret | Self::ProxyToken | Self::CryptKeys => hex::encode(rand::random::<[u8; 32]>()),
            Self::LoginTokens => hex::encode(rand::random::<[u8; 24]>()),
            Self::CaKey => self_signed::generate_key(),
            Self::Acme => String::new(),
        };
        ByteString(text.into_bytes())
    }

    /// What is wrong with a value, and what to do; the value itself is never in the text.
    pub fn check(self, value: &[u8]) -> Result<(), &'static str> {
        let is_hex = value.iter().all(u8::is_ascii_hexdigit);
        let is_word = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        match self {
            Self::CookieSecret if value.len() != 64 || !is_hex => {
                Err("must be 64 hexadecimal characters, as `openssl rand -hex 32` prints them (without the newline)")
            }
            Self::CryptKeys if !is_word || CryptKeys::parse([(0, value)]).is_err() => Err(
                "must be 64 hexadecimal characters, as `openssl rand -hex 32` prints them (without the newline), or several such keys with `;` between them",
            ),
            Self::ProxyToken if !is_word => Err(
                "must be at least one printable character without spaces or newline, such as `openssl rand -hex 32` prints",
            ),
            Self::CaKey if !self_signed::is_key(value) => Err("must be the private key of an authority, in PEM"),
            Self::LoginTokens if !is_word || !(8..=64).contains(&value.len()) => {
                Err("must be 8 to 64 printable characters without spaces or newline")
            }
            _ => Ok(()),
        }
    }
}

/// Which Hub a Secret of record is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    /// Labels of the Hub's children.
    pub labels: BTreeMap<String, String>,
}

/// What is known of one Secret of record.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub live: Option<Secret>,
    pub copy: Option<Secret>,
    /// The Hub has had it before.
    pub had: bool,
}

impl Known {
    pub fn look(store: &Store<Secret>, namespace: &str, record: &Record, had: bool) -> Self {
        let get = |name: &str| store.get(&ObjectRef::new(name).within(namespace)).map(|secret| (*secret).clone());
        // Of ACME nothing is lost that can't be had again.
        let had = had && record.content != Content::Acme;
        Self { live: get(&record.name), copy: get(&record.copy_name()), had }
    }

    /// Somebody deletes it, and its bytes are still there.
    pub fn is_dying(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.metadata.deletion_timestamp.is_some())
    }

    /// The same, if the store's word would make a value lost, by asking the API server: the store may lag behind.
    pub async fn be_sure(self, client: &Client, namespace: &str, record: &Record) -> Result<Self, kube::Error> {
        if !self.had || self.live.is_some() || self.copy.is_some() {
            return Ok(self);
        }
        let api = Api::<Secret>::namespaced(client.clone(), namespace);
        Ok(Self { live: api.get_opt(&record.name).await?, copy: api.get_opt(&record.copy_name()).await?, had: true })
    }
}

/// The next step for one Secret of record.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// As it should be.
    Done,
    /// Make it: with new values, or with those of the copy.
    Create(Secret),
    /// Write it back with labels, finalizer or keys put right; carries uid and resourceVersion.
    Update(Secret),
    /// Write the bytes of a dying one down.
    Copy(Secret),
    /// Let the dying one go; carries uid and resourceVersion.
    Release(Secret),
    /// The copy has served.
    DropCopy(Secret),
    /// There is another's Secret of that name.
    Conflict,
    /// It is gone and so are its bytes.
    Lost,
}

/// Decides the next step (the table above). `is_alive` says whether a Hub of a uid still exists.
pub fn next_step(record: &Record, holder: &Holder, known: &Known, is_alive: impl Fn(&str) -> bool) -> Step {
    let copy = known.copy.as_ref().filter(|copy| may_take(copy, holder, &is_alive));
    match (&known.live, copy) {
        (Some(live), _) if !may_take(live, holder, &is_alive) => Step::Conflict,
        (Some(live), None) if live.metadata.deletion_timestamp.is_some() => {
            Step::Copy(record.secret(record.copy_name(), holder, live.data.clone().unwrap_or_default(), false))
        }
        (Some(live), Some(_)) if live.metadata.deletion_timestamp.is_some() => match is_held(live) {
            true => Step::Release(without_finalizer(live)),
            // Someone else's finalizer holds it: it is made anew when it is gone.
            false => Step::Done,
        },
        (Some(live), _) => match put_right(record, holder, live) {
            Some(update) => Step::Update(update),
            None => copy.map_or(Step::Done, |copy| Step::DropCopy(copy.clone())),
        },
        (None, Some(copy)) => {
            Step::Create(record.secret(record.name.clone(), holder, copy.data.clone().unwrap_or_default(), true))
        }
        (None, None) if known.had && record.given.is_none() => Step::Lost,
        (None, None) => {
            Step::Create(record.secret(record.name.clone(), holder, record.complete(&BTreeMap::new()), true))
        }
    }
}

/// Whether a Secret is this Hub's, or was that of a Hub of the same name that is gone.
fn may_take(secret: &Secret, holder: &Holder, is_alive: impl Fn(&str) -> bool) -> bool {
    let uid = secret.labels().get(label::HUB_UID).map(String::as_str);
    belongs_to(secret, &holder.name, &holder.namespace) && uid.is_some_and(|uid| uid == holder.uid || !is_alive(uid))
}

fn is_held(secret: &Secret) -> bool {
    secret.finalizers().iter().any(|name| name == SECRET_FINALIZER)
}

fn without_finalizer(secret: &Secret) -> Secret {
    let mut secret = secret.clone();
    secret.finalizers_mut().retain(|name| name != SECRET_FINALIZER);
    secret
}

/// The live Secret with labels, finalizer and keys as they should be; nothing if they are.
fn put_right(record: &Record, holder: &Holder, live: &Secret) -> Option<Secret> {
    let mut right = live.clone();
    right.labels_mut().extend(holder.secret_labels());
    if !is_held(live) && live.metadata.deletion_timestamp.is_none() {
        right.finalizers_mut().push(SECRET_FINALIZER.to_owned());
    }
    if record.content == Content::LoginTokens {
        right.data = Some(record.complete(live.data.as_ref().unwrap_or(&BTreeMap::new())));
    }
    (right != *live).then_some(right)
}

impl Record {
    fn secret(&self, name: String, holder: &Holder, data: BTreeMap<String, ByteString>, is_held: bool) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(holder.namespace.clone()),
                labels: Some(holder.secret_labels()),
                finalizers: is_held.then(|| vec![SECRET_FINALIZER.to_owned()]),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(data),
            ..Secret::default()
        }
    }
}

impl Holder {
    /// Labels of a Secret of record; no owner reference, since it may outlive its Hub.
    fn secret_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(label::HUB_UID.to_owned(), self.uid.clone());
        labels
    }
}

#[cfg(test)]
mod tests;
