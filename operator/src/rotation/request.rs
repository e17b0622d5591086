//! What somebody asks for, by an annotation on the Hub or with `hub rotate` and `hub reset` in its pod: understood, or
//! refused with the remedy. Pure.

use std::collections::BTreeMap;

use hub_crds::{
    names::{RESET_ANNOTATION, ROTATE_ANNOTATION},
    report::{ALL, Report, SESSIONS, Wish},
};

use super::{Ends, What, rotating::Rotating};

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    RotateAnnotation,
    ResetAnnotation,
    Pod,
}

/// A request with an id, so that it is acted on once whatever crashes in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub place: Place,
    pub id: String,
    pub wish: Wish,
}

/// A secret that this Hub has, and the administrator's own Secret that its value comes from.
#[derive(Clone, Debug)]
pub struct Held {
    pub secret: Rotating,
    pub given_by: Option<String>,
}

/// A request, secret by secret.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub what: BTreeMap<Rotating, What>,
    /// Why some of it, or all, is not done.
    pub refused: Option<String>,
}

/// Longer than anything that makes sense.
const LONGEST: usize = 100;

impl Place {
    pub const ANNOTATIONS: [Self; 2] = [Self::RotateAnnotation, Self::ResetAnnotation];

    /// How a Secret remembers it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RotateAnnotation => "rotate",
            Self::ResetAnnotation => "reset",
            Self::Pod => "pod",
        }
    }

    pub fn annotation(self) -> Option<&'static str> {
        match self {
            Self::RotateAnnotation => Some(ROTATE_ANNOTATION),
            Self::ResetAnnotation => Some(RESET_ANNOTATION),
            Self::Pod => None,
        }
    }

    fn wish(self, items: &str) -> Wish {
        match self {
            Self::ResetAnnotation => Wish::Reset(items.to_owned()),
            _ => Wish::Rotate(items.to_owned()),
        }
    }
}

impl Request {
    /// From an annotation's value, to which the operator adds an id before it acts: `cookie-secret (5f0c...)`.
    pub fn claimed(place: Place, value: &str) -> Option<Self> {
        let (items, id) = value.strip_suffix(')')?.rsplit_once(" (")?;
        Some(Self { place, id: id.to_owned(), wish: place.wish(items) })
    }

    /// The annotation's value with an id.
    pub fn claim(value: &str, id: &str) -> String {
        format!("{} ({id})", value.trim())
    }

    /// What [`Request::claim`] made of it.
    pub fn value(&self) -> String {
        let (Wish::Rotate(items) | Wish::Reset(items)) = &self.wish;
        Self::claim(items, &self.id)
    }

    /// The newest wish of somebody in the hub's pod.
    pub fn of(report: &Report) -> Option<Self> {
        let request = report.request.clone().filter(|request| request.id.len() <= LONGEST)?;
        Some(Self { place: Place::Pod, id: request.id, wish: request.wish })
    }

    /// Such as `rotate cookie-secret`.
    pub fn text(&self) -> String {
        let (verb, items) = match &self.wish {
            Wish::Rotate(items) => ("rotate", items),
            Wish::Reset(items) => ("reset", items),
        };
        let items: String = items.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
        format!("{verb} {items}")
    }

    /// What it means for each secret of a Hub.
    pub fn judge(&self, held: &[Held]) -> Judged {
        let mut judged = Judged::default();
        let (Wish::Rotate(items) | Wish::Reset(items)) = &self.wish;
        for item in items.split(',').map(str::trim) {
            match &self.wish {
                Wish::Rotate(_) => judged.rotate(item, held),
                Wish::Reset(_) => judged.reset(item, held),
            }
        }
        judged
    }
}

impl Judged {
    fn rotate(&mut self, item: &str, held: &[Held]) {
        match Rotating::named(item).map(|secret| (secret, find(secret, held))) {
            Some((secret, Some(Held { given_by: None, .. }))) => self.add(secret, What::Rotate),
            Some((secret, Some(Held { given_by: Some(name), .. }))) => self.refuse(&format!(
                "{} comes from Secret {name}: put a new value in there, and it rotates",
                secret.key()
            )),
            Some((secret, None)) => self.refuse_absent(secret),
            None => self.refuse("rotate takes cookie-secret, proxy-token and crypt-keys, separated by commas"),
        }
    }

    fn reset(&mut self, item: &str, held: &[Held]) {
        match (item, Rotating::named(item)) {
            (SESSIONS, _) => self.add(Rotating::CookieSecret, What::Reset { renew: false, ends: Ends::Sessions }),
            (ALL, _) => {
                for Held { secret, given_by } in held {
                    let ends = if *secret == Rotating::CookieSecret { Ends::Tokens } else { Ends::Nothing };
                    self.add(*secret, What::Reset { renew: given_by.is_none(), ends });
                    if let Some(name) = given_by {
                        self.refuse(&format!("the value in use of {} stays that of Secret {name}", secret.key()));
                    }
                }
            }
            (_, Some(secret)) => match find(secret, held) {
                Some(Held { given_by: None, .. }) => {
                    let ends = if secret == Rotating::CookieSecret { Ends::Sessions } else { Ends::Nothing };
                    self.add(secret, What::Reset { renew: true, ends });
                }
                Some(Held { given_by: Some(name), .. }) => self.refuse(&format!(
                    "{} comes from Secret {name}: put a new value in there, and then reset sessions, or all",
                    secret.key()
                )),
                None => self.refuse_absent(secret),
            },
            (_, None) => {
                self.refuse(
                    "reset takes cookie-secret, proxy-token, crypt-keys, sessions and all, separated by commas",
                );
            }
        }
    }

    fn refuse_absent(&mut self, secret: Rotating) {
        self.refuse(&format!("this Hub has no {}: {} is not set", secret.key(), secret.field()));
    }

    fn refuse(&mut self, why: &str) {
        match &mut self.refused {
            None => self.refused = Some(why.to_owned()),
            Some(before) if !before.contains(why) => *before = format!("{before}; {why}"),
            Some(_) => {}
        }
    }

    /// Of two things asked of one secret both are done, or the stronger one.
    fn add(&mut self, secret: Rotating, what: What) {
        let both = match (self.what.get(&secret), what) {
            (Some(What::Reset { renew: one, ends: this }), What::Reset { renew: other, ends: that }) => {
                What::Reset { renew: *one || other, ends: *this.max(&that) }
            }
            _ => what,
        };
        self.what.insert(secret, both);
    }
}

fn find(secret: Rotating, held: &[Held]) -> Option<&Held> {
    held.iter().find(|held| held.secret == secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEW: What = What::Reset { renew: true, ends: Ends::Nothing };

    fn held(given_by: Option<&str>) -> Vec<Held> {
        let given_by = given_by.map(str::to_owned);
        vec![Held { secret: Rotating::CookieSecret, given_by }, Held { secret: Rotating::ProxyToken, given_by: None }]
    }

    fn judge(wish: Wish, held: &[Held]) -> (Vec<(Rotating, What)>, String) {
        let judged = Request { place: Place::Pod, id: "1".into(), wish }.judge(held);
        (judged.what.into_iter().collect(), judged.refused.unwrap_or_default())
    }

    #[test]
    fn each_request_means_what_it_says_s34_s60_s68() {
        use Rotating::{CookieSecret, ProxyToken};
        let ends = |renew, ends| What::Reset { renew, ends };
        for (wish, expected) in [
            (Wish::Rotate("cookie-secret".into()), vec![(CookieSecret, What::Rotate)]),
            (
                Wish::Rotate(" proxy-token , cookie-secret".into()),
                vec![(CookieSecret, What::Rotate), (ProxyToken, What::Rotate)],
            ),
            (Wish::Reset("cookie-secret".into()), vec![(CookieSecret, ends(true, Ends::Sessions))]),
            (Wish::Reset("proxy-token".into()), vec![(ProxyToken, RENEW)]),
            (Wish::Reset("sessions".into()), vec![(CookieSecret, ends(false, Ends::Sessions))]),
            (Wish::Reset("sessions,cookie-secret".into()), vec![(CookieSecret, ends(true, Ends::Sessions))]),
            (Wish::Reset("all".into()), vec![(CookieSecret, ends(true, Ends::Tokens)), (ProxyToken, RENEW)]),
        ] {
            assert_eq!(judge(wish.clone(), &held(None)), (expected, String::new()), "{wish:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_remedy() {
        for (wish, own, words) in [
            (Wish::Rotate("cooky-secret".into()), None, "cookie-secret, proxy-token and crypt-keys"),
            (Wish::Rotate(String::new()), None, "cookie-secret, proxy-token and crypt-keys"),
            (Wish::Rotate("sessions".into()), None, "cookie-secret, proxy-token and crypt-keys"),
            (Wish::Reset("everything".into()), None, "sessions and all"),
            (Wish::Rotate("crypt-keys".into()), None, "spec.security.cryptKeys is not set"),
            (Wish::Reset("crypt-keys".into()), None, "spec.security.cryptKeys is not set"),
            (
                Wish::Rotate("cookie-secret".into()),
                Some("mine"),
                "Secret mine: put a new value in there, and it rotates",
            ),
            (
                Wish::Reset("cookie-secret".into()),
                Some("mine"),
                "Secret mine: put a new value in there, and then reset",
            ),
        ] {
            let (what, refused) = judge(wish.clone(), &held(own));
            assert!(what.is_empty() && refused.contains(words), "{wish:?}: {what:?} {refused}");
        }
        let (what, refused) = judge(Wish::Rotate("proxy-token,nonsense".into()), &held(None));
        assert_eq!(what, [(Rotating::ProxyToken, What::Rotate)]);
        assert!(!refused.is_empty());
    }

    /// Whose values are somebody else's loses its old ones and its sessions all the same.
    #[test]
    fn all_is_reset_even_where_values_are_given() {
        let (what, refused) = judge(Wish::Reset("all".into()), &held(Some("mine")));
        let cookie = What::Reset { renew: false, ends: Ends::Tokens };
        assert_eq!(what, [(Rotating::CookieSecret, cookie), (Rotating::ProxyToken, RENEW)]);
        assert!(refused.contains("Secret mine"), "{refused}");
    }

    #[test]
    fn an_annotation_is_claimed_with_an_id_and_read_again() {
        let value = Request::claim(" cookie-secret ", "5f0c");
        assert_eq!(value, "cookie-secret (5f0c)");
        let request = Request::claimed(Place::ResetAnnotation, &value).unwrap();
        assert_eq!((request.id.as_str(), request.text().as_str()), ("5f0c", "reset cookie-secret"));
        assert_eq!(Request::claimed(Place::RotateAnnotation, "cookie-secret"), None);
    }

    #[test]
    fn hostile_words_are_cut() {
        let wish = Wish::Rotate(format!("{}\n\u{1b}[2J{}", "x".repeat(60), "y".repeat(1000)));
        let text = Request { place: Place::Pod, id: "1".into(), wish }.text();
        assert!(text.len() < 120 && !text.contains(['\n', '\u{1b}']), "{text:?}");
    }
}
