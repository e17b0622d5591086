//! Decides which certificate is served, and what is said of it: pure. What is broken, expired or not meant for its key never
//! takes the place of a good one.

use hub_crds::status::reason;
use hub_tls::{Certificate, Problem, Warning};
use jiff::{SignedDuration, Timestamp};

/// Source of a certificate that nobody trusts, served until the first real one is there.
pub const TEMPORARY: &str = "temporary";
/// A certificate that nobody renews is warned of this long before its end, or in the last third of a short life.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A certificate with its key, where it came from, and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub certificate: Certificate,
    pub source: String,
    /// It can be served for all that.
    pub notes: Vec<Trouble>,
}

/// What is wrong, as a condition says it: with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: &'static str,
    pub message: String,
}

impl Trouble {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What the source that the spec names has to give.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each look at a Hub, and it goes at once")]
pub enum Offer {
    Certificate(Candidate),
    /// Nothing: it is on its way, or somebody has to do something.
    Nothing(Trouble),
}

/// What is served.
#[derive(Clone, Debug)]
pub struct Choice {
    pub served: Option<Candidate>,
    /// Why it is not what it should be.
    pub trouble: Option<Trouble>,
}

/// Chooses between what the source offers and what is served now.
pub fn choose(offer: Offer, current: Option<Candidate>, now: Timestamp) -> Choice {
    match offer {
        Offer::Certificate(new) => match (outside_its_time(&new, now), current) {
            (None, _) => Choice { served: Some(new), trouble: None },
            (Some(trouble), Some(current)) if is_good(&current, now) => keep(current, &trouble, now),
            (trouble, _) => Choice { served: Some(new), trouble },
        },
        Offer::Nothing(trouble) => match current {
            Some(current) => keep(current, &trouble, now),
            None => Choice { served: None, trouble: Some(trouble) },
        },
    }
}

fn keep(current: Candidate, trouble: &Trouble, now: Timestamp) -> Choice {
    let until = current.certificate.not_after;
    let served = match current.source.as_str() {
        TEMPORARY => "until then a temporary certificate is served that nobody trusts".to_owned(),
        source if until > now => format!("the one of {source} is served meanwhile, which is good until {until}"),
        source => format!("the one of {source} is served meanwhile, which has expired at {until}"),
    };
    let message = format!("{}; {served}", trouble.message);
    Choice { served: Some(current), trouble: Some(Trouble::new(trouble.reason, message)) }
}

/// Whether people can rely on a certificate now.
pub fn is_good(candidate: &Candidate, now: Timestamp) -> bool {
    candidate.source != TEMPORARY && outside_its_time(candidate, now).is_none()
}

fn outside_its_time(candidate: &Candidate, now: Timestamp) -> Option<Trouble> {
    let problem = candidate.certificate.check(now).err()?;
    let reason = match problem {
        Problem::NotYetValid(_) => reason::CERTIFICATE_NOT_YET_VALID,
        _ => reason::CERTIFICATE_EXPIRED,
    };
    Some(Trouble::new(reason, format!("{}: {problem}", candidate.source)))
}

/// What is said of a certificate that is served and good: nothing but its end, or what a person should put right.
pub fn praise(candidate: &Candidate, hosts: &[String], is_renewed: bool, now: Timestamp) -> Trouble {
    let (certificate, source) = (&candidate.certificate, &candidate.source);
    let mut notes = candidate.notes.clone();
    notes.extend(certificate.warnings_at(now).iter().map(|warning| note(source, warning)));
    if let Some(host) = hosts.iter().find(|host| !certificate.covers(host)) {
        let message = format!(
            "the certificate of {source} is not for {host}, where people are sent to: browsers warn them. Get one for it, or correct spec.publicUrl"
        );
        notes.push(Trouble::new(reason::NAMES_MISSING, message));
    }
    let until = certificate.not_after;
    if !is_renewed && now >= until - warn_before(certificate) {
        let message = format!("the certificate of {source} ends at {until} and was not renewed yet: renew it");
        notes.push(Trouble::new(reason::EXPIRES_SOON, message));
    }
    let told = |note: &Trouble| note.message.clone();
    match notes.first() {
        Some(first) => Trouble::new(first.reason, notes.iter().map(told).collect::<Vec<_>>().join("; ")),
        None => Trouble::new(reason::VALID, format!("the certificate of {source} is served, good until {until}")),
    }
}

fn note(source: &str, warning: &Warning) -> Trouble {
    let reason = match warning {
        Warning::IntermediateMissing(_) => reason::INTERMEDIATE_MISSING,
        Warning::NamesMissing => reason::NAMES_MISSING,
        _ => reason::CHAIN_WRONG,
    };
    Trouble::new(reason, format!("{source}: {warning}"))
}

fn warn_before(certificate: &Certificate) -> SignedDuration {
    WARN_BEFORE.min(certificate.not_after.duration_since(certificate.not_before) / 3)
}

#[cfg(test)]
mod tests;
