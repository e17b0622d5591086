//! The way through the hub's login (S63, S73 to S77): where the browser is sent, what it brings back, and the cookie that
//! ties both together. Pure.
//!
//! The state holds all that must be remembered meanwhile, so that any number of logins may be under way: a random id,
//! and the address that was asked for. The cookie is the same state, signed. The verifier of PKCE is made of it with the
//! server's secret, and is nowhere at all.

use axum::http::HeaderValue;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hub_auth::{
    cookie::{self, Keys, SetCookie},
    next_url::safe_next,
    pkce, token,
};
use secrecy::SecretString;
use url::form_urlencoded;

use super::environment::Environment;
use crate::head::Head;

/// Seconds that a login may take (S75).
pub(super) const STATE_MAX_AGE: i64 = 600;
/// The longest address that a login comes back to: it must fit into a cookie, and into the hub's address.
const LONGEST_NEXT: usize = 2000;
/// Logins that one browser may have under way. All are forgotten when one more begins.
const MOST_STATES: usize = 5;
/// Of the id at the front of a state: 16 random bytes in hex.
const ID_LENGTH: usize = 32;

/// The beginning of a login.
#[derive(Debug)]
pub(super) struct Departure {
    /// The hub's page.
    pub location: String,
    pub cookies: Vec<SetCookie>,
}

/// Sends a browser to the hub, to come back to what it asked for. `random` is new for each.
pub(super) fn depart(head: &Head<'_>, environment: &Environment, keys: &Keys, random: [u8; 16], now: i64) -> Departure {
    let next = Some(head.target()).filter(|next| next.len() <= LONGEST_NEXT).unwrap_or_default();
    let state = format!("{}{}", hex::encode(random), URL_SAFE_NO_PAD.encode(next));
    let location = authorize_url(environment, keys, &state);
    let under_way = state_cookies(&head.cookies, environment);
    let mut name = environment.state_cookie();
    let mut cookies = Vec::new();
    match under_way.len() {
        0 => {}
        // Another tab is logging in, too.
        1..MOST_STATES => name = format!("{name}-{}", &state[..8]),
        _ => cookies = clear_states(head, environment, now),
    }
    let value = cookie::sign(keys, &name, state.as_bytes(), now);
    let cookie = SetCookie::new(name, value, &environment.prefix).http_only().max_age(STATE_MAX_AGE);
    cookies.push(cookie.secure(is_secure(head, environment)));
    Departure { location, cookies }
}

/// The hub's page, which asks the person if need be and sends the browser back with a code.
fn authorize_url(environment: &Environment, keys: &Keys, state: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &environment.client_id)
        .append_pair("redirect_uri", &environment.callback)
        .append_pair("response_type", "code")
        .append_pair("state", state)
        .append_pair("code_challenge", &pkce::challenge(&verifier(keys, state)))
        .append_pair("code_challenge_method", pkce::Method::S256.name())
        .finish();
    environment.hub_page(&format!("api/oauth2/authorize?{query}"))
}

fn verifier(keys: &Keys, state: &str) -> String {
    keys.seal(format!("verifier of PKCE for the state {state}").as_bytes())
}

/// What the hub sent back.
#[derive(Debug)]
pub(super) struct Arrived {
    /// For one token.
    pub code: SecretString,
    /// Proves that it was us who asked for the code.
    pub verifier: SecretString,
    /// What the browser had asked for, a path of ours.
    pub next: String,
}

/// Why a browser comes back without a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArrivalError {
    #[error("The hub refused the login: {0}")]
    Refused(String),
    #[error("The hub sent no code.")]
    NoCode,
    #[error("The OAuth state is missing. Try logging in again.")]
    NoState,
    #[error("The OAuth state does not match. Try logging in again.")]
    WrongState,
}

/// Reads what a browser brings back from the hub. `head` is that of a request to the callback.
pub(super) fn arrive(
    head: &Head<'_>,
    environment: &Environment,
    keys: &Keys,
    now: i64,
) -> Result<Arrived, ArrivalError> {
    let field = |name| field(head.query, name);
    if let Some(error) = field("error") {
        let words = field("error_description").unwrap_or(error).chars().take(200).collect();
        return Err(ArrivalError::Refused(words));
    }
    let code = field("code").ok_or(ArrivalError::NoCode)?;
    let state = field("state").ok_or(ArrivalError::NoState)?;
    state_cookies(&head.cookies, environment)
        .into_iter()
        .filter_map(|(name, signed)| cookie::verify(keys, &name, &signed, STATE_MAX_AGE, now))
        .find(|ours| token::equal(&String::from_utf8_lossy(ours), &state))
        .ok_or(ArrivalError::WrongState)?;
    Ok(Arrived { code: code.into(), verifier: verifier(keys, &state).into(), next: destination(head, environment) })
}

/// Where a browser wants to go that comes back from the hub: whoever made the state, it leads to a page of ours.
pub(super) fn destination(head: &Head<'_>, environment: &Environment) -> String {
    let state = field(head.query, "state").unwrap_or_default();
    let next = state.get(ID_LENGTH..).and_then(|next| URL_SAFE_NO_PAD.decode(next).ok());
    own_path(&next.and_then(|next| String::from_utf8(next).ok()).unwrap_or_default(), environment)
}

/// The last value of that name that isn't empty.
fn field(query: &str, name: &str) -> Option<String> {
    let values = form_urlencoded::parse(query.as_bytes()).filter(|(found, value)| found == name && !value.is_empty());
    values.last().map(|(_, value)| value.into_owned())
}

/// The address if it is a path of ours that a header can hold, and leads not back here; else the server's first page.
pub(super) fn own_path(next: &str, environment: &Environment) -> String {
    let path = safe_next(next, None).filter(|path| path.starts_with(&environment.prefix));
    let leads_back = |path: &String| path.split('?').next() == Some(environment.callback_path());
    path.filter(|path| !leads_back(path) && HeaderValue::from_str(path).is_ok())
        .unwrap_or_else(|| environment.prefix.clone())
}

/// The cookie that logs in here from now on (S62): the token, signed, for this server's path only (S69).
pub(super) fn token_cookie(
    head: &Head<'_>,
    environment: &Environment,
    keys: &Keys,
    token: &str,
    now: i64,
) -> SetCookie {
    let name = environment.token_cookie();
    let value = cookie::sign(keys, &name, token.as_bytes(), now);
    let cookie = SetCookie::new(name, value, &environment.prefix).http_only().secure(is_secure(head, environment));
    match environment.cookie.days {
        Some(days) => cookie.expires(now.saturating_add(days.saturating_mul(cookie::DAY))),
        None => cookie,
    }
}

/// Takes the token's cookie away.
pub(super) fn clear_token(environment: &Environment, now: i64) -> SetCookie {
    SetCookie::clear(environment.token_cookie(), &environment.prefix, now)
}

/// Takes the cookies of all logins away that are under way (S76).
pub(super) fn clear_states(head: &Head<'_>, environment: &Environment, now: i64) -> Vec<SetCookie> {
    let states = state_cookies(&head.cookies, environment);
    states.into_iter().map(|(name, _)| SetCookie::clear(name, &environment.prefix, now)).collect()
}

/// Name and value of the cookies of logins under way.
fn state_cookies(cookies: &str, environment: &Environment) -> Vec<(String, String)> {
    let plain = environment.state_cookie();
    let states = cookie::values_by_prefix(cookies, &plain).filter(|(name, _)| is_suffix(&name[plain.len()..]));
    states.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is_suffix(rest: &str) -> bool {
    rest.is_empty() || rest.strip_prefix('-').is_some_and(|id| id.len() == 8)
}

/// Whether browsers may send a cookie over encrypted connections only.
fn is_secure(head: &Head<'_>, environment: &Environment) -> bool {
    environment.cookie.secure.unwrap_or_else(|| match &environment.public_origin {
        Some(origin) => origin.starts_with("https:"),
        None => head.is_secure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::environment::tests::alice;
    use secrecy::ExposeSecret;
    use std::collections::BTreeMap;

    const NOW: i64 = 1_795_440_749;

    fn keys() -> Keys {
        Keys::new(0, &[b'k'; 32])
    }

    fn server() -> Environment {
        alice(&[]).unwrap().unwrap()
    }

    fn asks<'a>(path: &'a str, query: &'a str, cookies: &'a str) -> Head<'a> {
        Head { method: "GET", path, query, cookies: cookies.into(), ..Head::default() }
    }

    fn state_of(random: [u8; 16], next: &str) -> String {
        hex::encode(random) + &URL_SAFE_NO_PAD.encode(next)
    }

    fn query(url: &str) -> BTreeMap<String, String> {
        form_urlencoded::parse(url.split_once('?').unwrap().1.as_bytes()).into_owned().collect()
    }

    /// As a browser sends it back.
    fn pair(cookie: &SetCookie) -> String {
        cookie.to_string().split_once(';').unwrap().0.to_owned()
    }

    fn arrive_with(query: &str, cookies: &str, now: i64) -> Result<Arrived, ArrivalError> {
        arrive(&asks("/user/alice/oauth_callback", query, cookies), &server(), &keys(), now)
    }

    #[test]
    fn the_browser_is_sent_to_the_hub_with_a_short_lived_cookie_s73_s74_s75_s77() {
        let departure = depart(&asks("/user/alice/lab", "a=1", ""), &server(), &keys(), [7; 16], NOW);
        assert!(departure.location.starts_with("/hub/api/oauth2/authorize?"), "{}", departure.location);
        let query = query(&departure.location);
        let state = state_of([7; 16], "/user/alice/lab?a=1");
        for (name, value) in [
            ("client_id", "jupyterhub-user-alice"),
            ("redirect_uri", "/user/alice/oauth_callback"),
            ("response_type", "code"),
            ("state", &state),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(query[name], value, "{name}");
        }
        assert_eq!((query["code_challenge"].len(), query.len()), (43, 6));
        let [cookie] = &departure.cookies[..] else { panic!("{:?}", departure.cookies) };
        let cookie_name = "jupyterhub-user-alice-oauth-state";
        let text = cookie.to_string();
        assert!(text.starts_with("jupyterhub-user-alice-oauth-state=\"2|"), "{text}");
        assert!(text.ends_with("\"; HttpOnly; Max-Age=600; Path=/user/alice/; SameSite=Lax"), "{text}");
        let [value] = &cookie::values(&pair(cookie), cookie_name).collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!(
            cookie::verify(&keys(), cookie_name, value, 600, NOW).unwrap(),
            state.as_bytes(),
            "and nothing else"
        );
    }

    #[test]
    fn who_comes_back_with_state_and_cookie_has_a_code_and_its_verifier() {
        let departure = depart(&asks("/user/alice/lab", "a=1", ""), &server(), &keys(), [7; 16], NOW);
        let state = state_of([7; 16], "/user/alice/lab?a=1");
        let arrived = arrive_with(&format!("code=C&state={state}"), &pair(&departure.cookies[0]), NOW + 599).unwrap();
        assert_eq!((arrived.code.expose_secret(), arrived.next.as_str()), ("C", "/user/alice/lab?a=1"));
        let challenge = &query(&departure.location)["code_challenge"];
        assert!(pkce::verify(challenge, pkce::Method::S256, arrived.verifier.expose_secret()));
    }

    /// Attack row 28.
    #[test]
    fn without_its_own_state_nobody_comes_in_s73_s75() {
        let of = |random: [u8; 16]| depart(&asks("/user/alice/lab", "", ""), &server(), &keys(), random, NOW);
        let cookie = pair(&of([7; 16]).cookies[0]);
        let state = state_of([7; 16], "/user/alice/lab");
        let good = format!("code=C&state={state}");
        let elsewhere = format!("code=C&state={}", state_of([7; 16], "/user/alice/tree"));
        let forged = &format!("jupyterhub-user-alice-oauth-state={state}");
        let renamed = cookie.replacen("state=", "state-07070707=", 1);
        for (query, cookies, now, error) in [
            (good.as_str(), "", NOW, ArrivalError::WrongState),
            (&good, &cookie, NOW + 601, ArrivalError::WrongState),
            (&good, &pair(&of([8; 16]).cookies[0]), NOW, ArrivalError::WrongState),
            (&good, forged, NOW, ArrivalError::WrongState),
            (&elsewhere, &cookie, NOW, ArrivalError::WrongState),
            (&good, &renamed, NOW, ArrivalError::WrongState),
            ("code=C&state=", &cookie, NOW, ArrivalError::NoState),
            ("code=C", &cookie, NOW, ArrivalError::NoState),
            ("state=07", &cookie, NOW, ArrivalError::NoCode),
            ("", &cookie, NOW, ArrivalError::NoCode),
            ("error=access_denied&state=07", &cookie, NOW, ArrivalError::Refused("access_denied".into())),
            ("error=a&error_description=b+c", "", NOW, ArrivalError::Refused("b c".into())),
        ] {
            assert_eq!(arrive_with(query, cookies, now).unwrap_err(), error, "{query} {cookies}");
        }
    }

    #[test]
    fn tabs_may_log_in_at_the_same_time_and_all_states_are_cleared_s76() {
        let mut cookies = Vec::new();
        for number in 0..4 {
            let sent = cookies.join("; ");
            let departure = depart(&asks("/user/alice/lab", "", &sent), &server(), &keys(), [number; 16], NOW);
            assert_eq!(departure.cookies.len(), 1);
            cookies.push(pair(&departure.cookies[0]));
        }
        let names: std::collections::BTreeSet<_> = cookies.iter().map(|pair| pair.split('=').next().unwrap()).collect();
        assert_eq!(names.len(), 4);
        let all = cookies.join("; ");
        for number in 0..4 {
            let state = state_of([number; 16], "/user/alice/lab");
            assert!(arrive_with(&format!("code=C&state={state}"), &all, NOW).is_ok(), "{number}");
        }
        let cleared = clear_states(&asks("/", "", &all), &server(), NOW);
        assert_eq!(cleared.len(), 4);
        assert!(cleared.iter().all(|cookie| cookie.to_string().contains("=\"\"; expires=")));

        // Somebody who asks again and again has no ever longer header.
        let fifth = depart(&asks("/user/alice/lab", "", &all), &server(), &keys(), [4; 16], NOW);
        let all = format!("{all}; {}", pair(&fifth.cookies[0]));
        let sixth = depart(&asks("/user/alice/lab", "", &all), &server(), &keys(), [5; 16], NOW);
        assert_eq!(sixth.cookies.len(), 6);
        assert!(sixth.cookies[5].to_string().starts_with("jupyterhub-user-alice-oauth-state=\"2|"));
    }

    /// The cookies of the named server reach the default one's path never, those of the default one do reach the other.
    #[test]
    fn the_states_of_another_server_are_not_ours() {
        let others = "jupyterhub-user-alice+s1-oauth-state=x; jupyterhub-user-alice-oauth-statement=x; \
                      jupyterhub-user-alice-oauth-state-s1-oauth-state=x";
        assert!(state_cookies(others, &server()).is_empty());
    }

    /// Attack row 32.
    #[test]
    fn a_login_leads_only_to_pages_of_this_server() {
        let server = server();
        for (next, expected) in [
            ("/user/alice/lab?a=1", "/user/alice/lab?a=1"),
            ("/user/alice/a\\b", "/user/alice/a%5Cb"),
            ("", "/user/alice/"),
            ("//evil.test/user/alice/", "/user/alice/"),
            ("https://evil.test/user/alice/", "/user/alice/"),
            ("/user/bob/", "/user/alice/"),
            ("/user/alice/\r\nX: y", "/user/alice/"),
            ("/user/alice/oauth_callback?code=1", "/user/alice/"),
        ] {
            assert_eq!(own_path(next, &server), expected, "{next:?}");
        }
        let long = format!("/user/alice/{}", "a".repeat(3000));
        let departure = depart(&asks(&long, "", ""), &server, &keys(), [7; 16], NOW);
        assert!(departure.cookies[0].to_string().len() < 500);
    }

    #[test]
    fn the_cookie_is_for_this_path_and_not_for_scripts_s62_s69() {
        let text = |changes: &[(&str, &str)], is_secure| {
            let environment = alice(changes).unwrap().unwrap();
            token_cookie(&Head { is_secure, ..Head::default() }, &environment, &keys(), "the-token", NOW).to_string()
        };
        let plain = text(&[], false);
        assert!(plain.starts_with("jupyterhub-user-alice=2|1:0|10:1795440749|21:jupyterhub-user-alice|12:"), "{plain}");
        assert!(plain.contains("; expires=Wed, 23 Dec 2026 "), "{plain}");
        assert!(plain.ends_with("; HttpOnly; Path=/user/alice/; SameSite=Lax"), "{plain}");
        let secure = |changes: &[(&str, &str)], is_secure| text(changes, is_secure).ends_with("; Secure");
        let public = |url| ("JUPYTERHUB_PUBLIC_URL", url);
        let options = ("JUPYTERHUB_COOKIE_OPTIONS", r#"{"secure": true, "expires_days": null}"#);
        assert!(secure(&[], true));
        assert!(secure(&[public("https://hub.example.org/user/alice/")], false));
        assert!(!secure(&[public("http://hub.example.org/user/alice/")], true));
        assert!(secure(&[options], false) && !text(&[options], false).contains("expires"));
        let host = text(&[("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "1")], false);
        assert!(host.starts_with("__Host-jupyterhub-user-alice=") && host.ends_with("; Path=/; SameSite=Lax; Secure"));
    }
}
