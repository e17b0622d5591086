//! What is to be done about a Hub's secrets now, and what there is to tell: pure.

use std::collections::{BTreeMap, BTreeSet};

use hub_crds::{
    ProxyImplementation,
    names::label_value,
    report::Report,
    status::{RotationStatus, SecretVersions, reason},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;

use super::{
    Answered, Asked, Kept, Look, Schedule, Step, What, advance,
    request::{Held, Request},
    rotating::Rotating,
};
use crate::{
    conditions::{self, Verdict},
    controller::types::Found,
};

/// After this a value that is published and not in use is told as a problem.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// What is to be done, and what there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Secrets of record as they are to be; each carries uid and resourceVersion.
    pub writes: Vec<Secret>,
    /// Requests that are answered by that.
    pub answered: Vec<Request>,
    pub news: Vec<News>,
    pub status: RotationStatus,
    pub verdict: Verdict,
    /// When it has to be looked at again though nothing changed.
    pub again: Option<Timestamp>,
    /// The version of the proxy's token that is in use.
    pub proxy_token_version: u32,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub is_warning: bool,
    pub reason: &'static str,
    pub note: String,
}

/// One secret before and after.
struct Turn<'a> {
    secret: Rotating,
    /// Name of its Secret.
    name: &'a str,
    live: Option<&'a Secret>,
    kept: Option<Kept>,
    steps: Vec<Step>,
    next_rotation: Option<Timestamp>,
}

/// The secrets that are there and hold what they should.
#[derive(Debug)]
pub struct Secrets {
    pub kept: BTreeMap<Rotating, Kept>,
    /// None has to be made, or to be put right, first.
    pub are_settled: bool,
}

/// Plans.
pub fn plan(found: &Found, secrets: &Secrets) -> Plan {
    let records = found.records.iter().filter_map(|(record, known)| {
        let secret = Rotating::of(record)?;
        Some(Turn {
            secret,
            name: &record.name,
            live: known.live.as_ref(),
            kept: secrets.kept.get(&secret).cloned(),
            steps: Vec::new(),
            next_rotation: None,
        })
    });
    let mut turns: Vec<_> = records.collect();
    let acts = secrets.are_settled && !found.spec.paused;
    let held: Vec<_> = turns.iter().map(|turn| held(found, turn.secret)).collect();
    let judged: Vec<_> = found.requests.iter().map(|request| (request, request.judge(&held))).collect();
    let mut news = Vec::new();
    for turn in &mut turns {
        let is_due = turn.look_at_schedule(found, acts);
        if acts {
            let mut asked = Vec::new();
            for (request, judged) in &judged {
                // What is refused altogether is remembered by the secret that every Hub has.
                let refused =
                    (judged.what.is_empty() && turn.secret == Rotating::CookieSecret).then_some(What::Refused);
                if let Some(what) = judged.what.get(&turn.secret).copied().or(refused) {
                    asked.extend(turn.ask(request, what, judged.refused.clone(), found.now));
                }
            }
            for told in asked.iter().filter_map(|asked| refusal(&asked.answered)) {
                if !news.contains(&told) {
                    news.push(told);
                }
            }
            turn.advance(found, asked, is_due);
        }
    }
    news.extend(turns.iter().flat_map(Turn::news));
    Plan {
        writes: turns.iter().filter_map(|turn| turn.write(&secrets.kept)).collect(),
        answered: if acts { found.requests.clone() } else { Vec::new() },
        news,
        status: status(&turns),
        verdict: verdict(&turns, found),
        again: turns.iter().flat_map(|turn| turn.times(found.now)).min(),
        proxy_token_version: turns
            .iter()
            .find(|turn| turn.secret == Rotating::ProxyToken)
            .and_then(|turn| turn.kept.as_ref())
            .map_or(0, |kept| kept.current),
    }
}

fn held(found: &Found, secret: Rotating) -> Held {
    let reference = secret.source(&found.spec).and_then(|source| source.secret_ref.as_ref());
    Held { secret, given_by: reference.map(|reference| reference.name.clone()) }
}

fn is_read_once(found: &Found, secret: Rotating) -> bool {
    secret == Rotating::ProxyToken && found.spec.proxy.implementation == ProxyImplementation::ConfigurableHttpProxy
}

/// What old crypt keys are still needed, as far as is known: before the hub says that it has the one in use, all are.
fn in_use(secret: Rotating, kept: &Kept, report: &Report) -> BTreeSet<u32> {
    match secret {
        Rotating::CryptKeys if report.crypt_keys.contains(&kept.current) => report.crypt_keys_in_use.clone(),
        Rotating::CryptKeys => kept.values.keys().copied().collect(),
        _ => BTreeSet::new(),
    }
}

impl Turn<'_> {
    /// Whether the schedule says that it is time; finds out when it will be next. As long as nothing can be done, a time that
    /// passed stays the next one.
    fn look_at_schedule(&mut self, found: &Found, acts: bool) -> bool {
        let remembered = before(found, self.secret).and_then(|versions| versions.next_rotation?.parse().ok());
        let text = self.secret.source(&found.spec).and_then(|source| source.rotation.schedule.as_deref());
        let Some(schedule) = text.and_then(|text| Schedule::parse(text).ok()) else { return false };
        let due = schedule.look(remembered, self.kept.as_ref().and_then(Kept::began_at), found.now);
        self.next_rotation = if acts || !due.is_due { due.next } else { remembered };
        due.is_due
    }

    /// A request, unless this secret has heard it already.
    fn ask(&self, request: &Request, what: What, refused: Option<String>, now: Timestamp) -> Option<Asked> {
        let place = request.place.name().to_owned();
        let heard = self.kept.as_ref().and_then(|kept| kept.notes.heard.get(&place));
        (heard != Some(&request.id)).then(|| Asked {
            what,
            heard: (place, request.id.clone()),
            answered: Answered { request: request.text(), at: now, refused },
        })
    }

    fn advance(&mut self, found: &Found, asked: Vec<Asked>, is_due: bool) {
        let (Some(kept), Some(source)) = (&self.kept, self.secret.source(&found.spec)) else { return };
        let look = Look {
            now: found.now,
            grace: self.secret.grace(source, &found.spec.hub.sessions).unwrap_or(PATIENCE),
            confirmed: self.secret.confirmed(&found.report),
            reported: self.secret.reported(&found.report),
            in_use: in_use(self.secret, kept, &found.report),
            given: found.given(self.secret),
            is_read_once: is_read_once(found, self.secret),
            is_due,
            asked,
        };
        let (after, steps) = advance(kept, &look, || self.secret.content().generate());
        (self.kept, self.steps) = (Some(after), steps);
    }

    /// The Secret as it is to be, if that is not how it is.
    fn write(&self, before: &BTreeMap<Rotating, Kept>) -> Option<Secret> {
        let (after, live) = (self.kept.as_ref()?, self.live?);
        (before.get(&self.secret) != Some(after)).then(|| {
            let data = live.data.clone().unwrap_or_default();
            Secret { data: Some(after.write(self.secret, &data)), ..live.clone() }
        })
    }

    fn news(&self) -> Vec<News> {
        let key = self.secret.key();
        let until = self.kept.as_ref().and_then(last_retirement);
        let news = self.steps.iter().map(|step| match step {
            Step::Published(version) => (
                "RotationStarted",
                format!("{key}: version {version} is published, and used as soon as every pod has it"),
            ),
            Step::Promoted(version) => {
                let until =
                    until.map_or_else(String::new, |until| format!(", older ones are accepted until {}", time(until)));
                ("RotationPromoted", format!("{key}: version {version} is in use{until}"))
            }
            Step::Finished(version) => ("RotationFinished", format!("{key}: no version before {version} is accepted")),
            Step::Reset(version) => {
                ("SecretReset", format!("{key}: version {version} is in use, and nothing else accepted"))
            }
        });
        news.map(|(reason, note)| News { is_warning: false, reason, note }).collect()
    }

    /// When something about it is over.
    fn times(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let notes = self.kept.as_ref().map(|kept| &kept.notes);
        let retires = notes.map(|notes| notes.retires_at.values().copied().collect::<Vec<_>>()).unwrap_or_default();
        let overdue = notes.and_then(|notes| notes.published_at?.checked_add(PATIENCE).ok());
        retires.into_iter().chain(overdue).chain(self.next_rotation).filter(move |time| *time > now)
    }

    fn versions(&self) -> SecretVersions {
        let Some(kept) = &self.kept else {
            return SecretVersions { secret: self.name.to_owned(), accepted: vec![0], ..SecretVersions::default() };
        };
        SecretVersions {
            secret: self.name.to_owned(),
            version: kept.current,
            next: kept.next(),
            accepted: kept.values.keys().copied().collect(),
            rotated_at: kept.notes.rotated_at.map(time),
            retires_at: last_retirement(kept).map(time),
            next_rotation: self.next_rotation.map(time),
        }
    }

    /// What the condition says of it: whether it waits, whether for too long, and the words.
    fn progress(&self, found: &Found) -> Option<(&'static str, String)> {
        let (key, kept) = (self.secret.key(), self.kept.as_ref()?);
        if let Some(next) = kept.next() {
            let laggard = self.secret.laggard(next, &found.report);
            let since = kept.notes.published_at.unwrap_or(found.now);
            if found.now.duration_since(since) < PATIENCE {
                return Some((
                    reason::PUBLISHED,
                    format!("{key}: version {next} is published and waits for {laggard}"),
                ));
            }
            let since = time(since);
            let message = format!(
                "{key}: version {next} was published at {since} and still waits for {laggard}. Version {} stays in use. See the log \
                 of that pod; if it never comes, delete the pod",
                kept.current
            );
            return Some((reason::NOT_CONFIRMED, message));
        }
        let until = last_retirement(kept)?;
        let mut message =
            format!("{key}: version {} is in use, older ones are accepted until {}", kept.current, time(until));
        if until <= found.now {
            message = format!(
                "{key}: version {} is in use, and something is still encrypted with an older one",
                kept.current
            );
        }
        if is_read_once(found, self.secret) {
            message.push_str("; configurable-http-proxy reads its token when it starts, so its pod was replaced");
        }
        Some((reason::AS_EXPECTED, message))
    }
}

fn before(found: &Found, secret: Rotating) -> Option<SecretVersions> {
    let status = found.rotation.as_ref()?;
    match secret {
        Rotating::CookieSecret => status.cookie_secret.clone(),
        Rotating::ProxyToken => status.proxy_auth_token.clone(),
        Rotating::CryptKeys => status.crypt_keys.clone(),
    }
}

fn status(turns: &[Turn<'_>]) -> RotationStatus {
    let of = |secret| turns.iter().find(|turn| turn.secret == secret).map(Turn::versions);
    let last = last_answer(turns);
    RotationStatus {
        cookie_secret: of(Rotating::CookieSecret),
        proxy_auth_token: of(Rotating::ProxyToken),
        crypt_keys: of(Rotating::CryptKeys),
        last_request: last.map(|last| last.request.clone()),
        last_request_time: last.map(|last| time(last.at)),
        last_request_refused: last.and_then(|last| last.refused.clone()),
    }
}

fn last_answer<'a>(turns: &'a [Turn<'_>]) -> Option<&'a Answered> {
    turns.iter().filter_map(|turn| turn.kept.as_ref()?.notes.last.as_ref()).max_by_key(|last| last.at)
}

/// True while anything waits for a pod; the words are about everything that is not settled.
fn verdict(turns: &[Turn<'_>], found: &Found) -> Verdict {
    let progress: Vec<_> = turns.iter().filter_map(|turn| turn.progress(found)).collect();
    let mut words: Vec<_> = progress.iter().map(|(_, words)| words.clone()).collect();
    let is = |reason| progress.iter().any(|(found, _)| *found == reason);
    let refused = last_answer(turns).and_then(refusal);
    let reason = if is(reason::NOT_CONFIRMED) {
        reason::NOT_CONFIRMED
    } else if is(reason::PUBLISHED) {
        reason::PUBLISHED
    } else if refused.is_some() {
        reason::REQUEST_REFUSED
    } else {
        reason::AS_EXPECTED
    };
    words.extend(refused.map(|refused| refused.note));
    if words.is_empty() {
        words.push("no secret is rotating".to_owned());
    }
    conditions::secret_rotation(is(reason::NOT_CONFIRMED) || is(reason::PUBLISHED), reason, words.join("; "))
}

fn refusal(answered: &Answered) -> Option<News> {
    let why = answered.refused.as_ref()?;
    let note = format!("`{}`: {why}", answered.request);
    Some(News { is_warning: true, reason: "RotationRefused", note })
}

fn last_retirement(kept: &Kept) -> Option<Timestamp> {
    kept.notes.retires_at.values().max().copied()
}

/// As Kubernetes writes times: whole seconds.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Components whose pods have the secrets mounted.
pub const COMPONENTS: [&str; 2] = [label_value::HUB, label_value::PROXY];

#[cfg(test)]
mod tests;
