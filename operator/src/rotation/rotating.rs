//! The secrets that rotate: how each is called, where its settings are, and who has to have a value before it is used.

use std::collections::BTreeSet;

use hub_crds::{HubSpec, SecretSource, Sessions, names::secret_key, report::Report};
use jiff::SignedDuration;

use crate::secrets::{Content, Record};

/// One of the secrets that rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rotating {
    CookieSecret,
    ProxyToken,
    CryptKeys,
}

impl Rotating {
    pub const ALL: [Self; 3] = [Self::CookieSecret, Self::ProxyToken, Self::CryptKeys];

    /// Its key in its Secret; requests call it so, too.
    pub fn key(self) -> &'static str {
        match self {
            Self::CookieSecret => secret_key::COOKIE_SECRET,
            Self::ProxyToken => secret_key::PROXY_TOKEN,
            Self::CryptKeys => secret_key::CRYPT_KEYS,
        }
    }

    /// The secret that a request names.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|secret| secret.key() == name)
    }

    pub fn content(self) -> Content {
        match self {
            Self::CookieSecret => Content::CookieSecret,
            Self::ProxyToken => Content::ProxyToken,
            Self::CryptKeys => Content::CryptKeys,
        }
    }

    /// The secret that a Secret of record holds, if it is one that rotates.
    pub fn of(record: &Record) -> Option<Self> {
        Self::ALL.into_iter().find(|secret| secret.content() == record.content)
    }

    pub fn field(self) -> &'static str {
        match self {
            Self::CookieSecret => "spec.security.cookieSecret",
            Self::ProxyToken => "spec.security.proxyAuthToken",
            Self::CryptKeys => "spec.security.cryptKeys",
        }
    }

    /// Its settings; nothing if the Hub does without.
    pub fn source(self, spec: &HubSpec) -> Option<&SecretSource> {
        match self {
            Self::CookieSecret => Some(&spec.security.cookie_secret),
            Self::ProxyToken => Some(&spec.security.proxy_auth_token),
            Self::CryptKeys => spec.security.crypt_keys.as_ref(),
        }
    }

    /// The grace period that its settings ask for. That of the cookie secret is by default as long as a login.
    ///
    /// # Errors
    /// They cannot be read; says so.
    pub fn grace(self, source: &SecretSource, sessions: &Sessions) -> Result<SignedDuration, String> {
        match (&source.rotation.grace_period, self) {
            (Some(text), _) => text.parse::<SignedDuration>().map_err(|error| error.to_string()),
            (None, Self::ProxyToken) => Ok(SignedDuration::from_mins(5)),
            (None, Self::CookieSecret) => Ok(SignedDuration::from_secs(sessions.login_seconds())),
            (None, Self::CryptKeys) => Ok(SignedDuration::from_hours(14 * 24)),
        }
    }

    /// Versions that everybody who has to accept them has loaded.
    pub fn confirmed(self, report: &Report) -> BTreeSet<u32> {
        match self {
            Self::CookieSecret => report.cookie_secret.clone(),
            Self::ProxyToken => report.proxy_token.intersection(&report.proxy).copied().collect(),
            Self::CryptKeys => report.crypt_keys.clone(),
        }
    }

    /// Every version that a report names.
    pub fn reported(self, report: &Report) -> BTreeSet<u32> {
        match self {
            Self::CookieSecret => report.cookie_secret.clone(),
            Self::ProxyToken => report.proxy_token.union(&report.proxy).copied().collect(),
            Self::CryptKeys => report.crypt_keys.union(&report.crypt_keys_in_use).copied().collect(),
        }
    }

    /// Who has not got a version yet.
    pub fn laggard(self, version: u32, report: &Report) -> String {
        let pod = &report.pod;
        if pod.is_empty() {
            "the hub, which has reported nothing yet".to_owned()
        } else if self == Self::ProxyToken && report.proxy_token.contains(&version) {
            format!("the proxy, which did not take it when the hub (pod {pod}) asked")
        } else {
            format!("the hub (pod {pod})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_cookie_secret_is_accepted_for_as_long_as_a_login_lasts() {
        let sessions = Sessions { cookie_max_age_days: 30, ..Sessions::default() };
        let given = |period: Option<&str>| {
            let mut source = SecretSource::default();
            source.rotation.grace_period = period.map(str::to_owned);
            Rotating::ALL.map(|secret| secret.grace(&source, &sessions).unwrap().as_hours())
        };
        assert_eq!(given(None), [30 * 24, 0, 14 * 24]);
        assert_eq!(given(Some("2h")), [2, 2, 2]);
    }
}
