//! What is said to the authority: each function is one step of the machine, and what came of it. ACME itself (RFC 8555) is the
//! library's.

use std::net::IpAddr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, OrderStatus, Problem,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use secrecy::ExposeSecret;

use super::{
    Wanted,
    client::AuthorityClient,
    machine::{Authorization, Failure, FailureKind, Outcome, Seen, Status, Wish},
    state,
};

/// One authority, spoken to with one account.
pub struct Authority<'a> {
    pub client: AuthorityClient,
    pub wanted: &'a Wanted,
    pub wish: &'a Wish,
}

impl Authority<'_> {
    /// Makes an account, and agrees to the authority's terms in the name of who wrote the Hub.
    pub async fn create_account(&self) -> Result<Outcome, Failure> {
        let key = match &self.wanted.eab {
            Some(eab) => {
                Some(ExternalAccountKey::new(eab.key_id.clone(), &mac_key(eab.mac_key.expose_secret().as_bytes())?))
            }
            None => None,
        };
        let contact = [self.contact()];
        let contact = [contact[0].as_str()];
        let wish = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let created = builder.create(&wish, self.wish.directory.clone(), key.as_ref()).await;
        let (_, credentials) = created.map_err(|error| self.failed("make an account", error))?;
        Ok(Outcome::AccountCreated(state::Account {
            directory: self.wish.directory.clone(),
            email: self.wish.email.clone(),
            eab_key_id: self.wish.eab_key_id.clone(),
            credentials: serde_json::to_value(&credentials)
                .map_err(|error| self.failed("note the account", error.into()))?,
        }))
    }

    pub async fn update_email(&self, account: &Account) -> Result<Outcome, Failure> {
        account
            .update_contacts(&[&self.contact()])
            .await
            .map_err(|error| self.failed("change the e-mail address", error))?;
        Ok(Outcome::EmailUpdated)
    }

    fn contact(&self) -> String {
        format!("mailto:{}", self.wish.email)
    }

    /// The account that was made before.
    pub async fn account(&self, account: Option<&state::Account>) -> Result<Account, Failure> {
        let gone = || Failure {
            kind: FailureKind::AccountGone,
            message: "the account's credentials are broken: another is made".to_owned(),
        };
        let credentials = account.ok_or_else(gone)?.credentials.clone();
        let credentials = serde_json::from_value(credentials).map_err(|_| gone())?;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        builder.from_credentials(credentials).await.map_err(|error| self.failed("read the directory", error))
    }

    pub async fn place_order(&self, account: &Account) -> Result<Outcome, Failure> {
        let identifiers: Vec<_> = self.wish.hosts.iter().map(|host| identifier(host)).collect();
        let order = account
            .new_order(&NewOrder::new(&identifiers))
            .await
            .map_err(|error| self.failed("place an order", error))?;
        Ok(Outcome::OrderPlaced(order.url().to_owned()))
    }

    /// Looks at an order, and at its authorizations as long as they matter.
    pub async fn look(&self, account: &Account, url: &str) -> Result<Outcome, Failure> {
        let mut order = self.order(account, url).await?;
        let status = match order.state().status {
            OrderStatus::Pending => Status::Pending,
            OrderStatus::Ready => Status::Ready,
            OrderStatus::Processing => Status::Processing,
            OrderStatus::Valid => Status::Valid,
            OrderStatus::Invalid => Status::Invalid,
        };
        let problem = order.state().error.as_ref().map(describe);
        let retry_after = self.client.retry_after();
        let mut found = Vec::new();
        if matches!(status, Status::Pending | Status::Invalid) {
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization =
                    authorization.map_err(|error| self.order_failed("read an authorization", error))?;
                let host = authorization.identifier().to_string();
                let is_pending = authorization.status == AuthorizationStatus::Pending;
                let is_failed = authorization.status == AuthorizationStatus::Invalid;
                let challenge = authorization.challenge(ChallengeType::Http01);
                let problem = challenge.as_ref().and_then(|challenge| challenge.error.as_ref()).map(describe);
                let challenge = challenge
                    .map(|challenge| (challenge.token.clone(), challenge.key_authorization().as_str().to_owned()));
                found.push(Authorization { host, is_pending, is_failed, challenge, problem });
            }
        }
        Ok(Outcome::Seen(Seen { status, authorizations: found, problem, retry_after }))
    }

    /// Tells the authority that it may validate hosts. It may know that already, or have judged: the next look shows it.
    pub async fn tell(&self, account: &Account, url: &str, hosts: Vec<String>) -> Result<Outcome, Failure> {
        let mut order = self.order(account, url).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.order_failed("read an authorization", error))?;
            let is_meant = hosts.contains(&authorization.identifier().to_string());
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01).filter(|_| is_meant) else {
                continue;
            };
            if challenge.status != ChallengeStatus::Pending {
                continue;
            }
            if let Err(error) = challenge.set_ready().await {
                let failure = self.failed("ask for a validation", error);
                if failure.kind != FailureKind::Refused {
                    return Err(failure);
                }
            }
        }
        Ok(Outcome::Told(hosts))
    }

    pub async fn finalize(&self, account: &Account, order: &state::Order, url: &str) -> Result<Outcome, Failure> {
        let request = signing_request(&order.hosts, &order.key_pem).map_err(|error| Failure {
            kind: FailureKind::OrderGone,
            message: format!("the order's key is broken ({error}): another order is made"),
        })?;
        let mut order = self.order(account, url).await?;
        order.finalize_csr(&request).await.map_err(|error| self.order_failed("ask for the certificate", error))?;
        Ok(Outcome::Finalized)
    }

    pub async fn download(&self, account: &Account, order: &state::Order, url: &str) -> Result<Outcome, Failure> {
        let mut placed = self.order(account, url).await?;
        let chain = placed.certificate().await.map_err(|error| self.order_failed("fetch the certificate", error))?;
        let refused = |message: String| Failure { kind: FailureKind::Refused, message };
        let chain_pem =
            chain.ok_or_else(|| refused(format!("{} has no certificate for the order", self.wish.directory)))?;
        hub_tls::read(chain_pem.as_bytes(), Some(order.key_pem.as_bytes())).map_err(|problem| {
            refused(format!("{} has sent a certificate that cannot be used: {problem}", self.wish.directory))
        })?;
        Ok(Outcome::Downloaded { chain_pem })
    }

    async fn order(&self, account: &Account, url: &str) -> Result<instant_acme::Order, Failure> {
        account.order(url.to_owned()).await.map_err(|error| self.order_failed("look at the order", error))
    }

    /// An order that is spoken of and refused is one that the authority has lost.
    fn order_failed(&self, action: &str, error: Error) -> Failure {
        let mut failure = self.failed(action, error);
        if failure.kind == FailureKind::Refused {
            failure.kind = FailureKind::OrderGone;
        }
        failure
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is where errors end")]
    fn failed(&self, action: &str, error: Error) -> Failure {
        let directory = &self.wish.directory;
        match &error {
            Error::Api(problem) => {
                let kind = kind_of(problem, self.client.retry_after());
                let verb = if kind == FailureKind::Transient { "failed" } else { "has refused" };
                Failure { kind, message: format!("{directory} {verb} to {action}: {}", describe(problem)) }
            }
            error => Failure {
                kind: FailureKind::Transient,
                message: format!("failed to {action} at {directory}: {}", chain(error)),
            },
        }
    }
}

/// What a problem document means (RFC 8555, 6.7).
fn kind_of(problem: &Problem, retry_after: Option<jiff::SignedDuration>) -> FailureKind {
    let name = problem.r#type.as_deref().and_then(|name| name.strip_prefix("urn:ietf:params:acme:error:"));
    match (name, problem.status) {
        (Some("badNonce"), _) => FailureKind::BadNonce,
        (Some("rateLimited"), _) | (_, Some(429)) => FailureKind::RateLimited(retry_after),
        (Some("accountDoesNotExist"), _) => FailureKind::AccountGone,
        (Some("serverInternal"), _) | (_, Some(500..)) => FailureKind::Transient,
        _ => FailureKind::Refused,
    }
}

/// The authority's own words, cut to a length that a condition can have.
fn describe(problem: &Problem) -> String {
    const LONGEST: usize = 500;
    let mut text =
        problem.detail.clone().or_else(|| problem.r#type.clone()).unwrap_or_else(|| "no reason given".to_owned());
    for part in &problem.subproblems {
        text.push_str("; ");
        text.push_str(&part.to_string());
    }
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    text.truncate(end);
    text
}

/// An error with what caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

fn identifier(host: &str) -> Identifier {
    host.parse::<IpAddr>().map_or_else(|_| Identifier::Dns(host.to_owned()), Identifier::Ip)
}

/// Keys of external accounts are given in base64url, some with padding.
fn mac_key(text: &[u8]) -> Result<Vec<u8>, Failure> {
    let trimmed = text
        .trim_ascii()
        .strip_suffix(b"==")
        .or_else(|| text.trim_ascii().strip_suffix(b"="))
        .unwrap_or(text.trim_ascii());
    let key = BASE64_URL_SAFE_NO_PAD.decode(trimmed).ok().filter(|key| !key.is_empty());
    key.ok_or_else(|| Failure {
        kind: FailureKind::Refused,
        message: "spec.https.letsencrypt.eab.secretRef: the value is not in base64url: copy the MAC key as the authority gave it".to_owned(),
    })
}

/// A new key for a certificate, in PEM.
pub fn certificate_key() -> Result<String, rcgen::Error> {
    Ok(KeyPair::generate()?.serialize_pem())
}

fn signing_request(hosts: &[String], key_pem: &str) -> Result<Vec<u8>, rcgen::Error> {
    let mut parameters = CertificateParams::new(hosts)?;
    parameters.distinguished_name = DistinguishedName::new();
    Ok(parameters.serialize_request(&KeyPair::from_pem(key_pem)?)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use serde_json::json;

    fn problem(name: &str, status: u16) -> Problem {
        let name = format!("urn:ietf:params:acme:error:{name}");
        serde_json::from_value(json!({"type": name, "detail": "so it is", "status": status})).unwrap()
    }

    #[test]
    fn problems_are_told_apart_row_26() {
        let after = Some(SignedDuration::from_secs(90));
        for (name, status, kind) in [
            ("badNonce", 400, FailureKind::BadNonce),
            ("rateLimited", 429, FailureKind::RateLimited(after)),
            ("unknown", 429, FailureKind::RateLimited(after)),
            ("accountDoesNotExist", 400, FailureKind::AccountGone),
            ("serverInternal", 500, FailureKind::Transient),
            ("unknown", 503, FailureKind::Transient),
            ("malformed", 400, FailureKind::Refused),
            ("rejectedIdentifier", 400, FailureKind::Refused),
        ] {
            assert_eq!(kind_of(&problem(name, status), after), kind, "{name}");
        }
    }

    #[test]
    fn the_words_of_an_authority_are_cut_to_a_length() {
        let long: Problem = serde_json::from_value(json!({"detail": "é".repeat(9000)})).unwrap();
        assert_eq!(describe(&long).chars().count(), 500);
        assert_eq!(describe(&problem("malformed", 400)), "so it is");
    }

    #[test]
    fn mac_keys_may_be_padded_and_end_with_a_newline() {
        for text in ["AQI", "AQI=", "AQI\n", " AQI=\n"] {
            assert_eq!(mac_key(text.as_bytes()).unwrap(), [1, 2], "{text:?}");
        }
        assert!(mac_key(b"not base64!").unwrap_err().message.contains("eab.secretRef"));
        assert!(mac_key(b"").is_err());
    }
}
