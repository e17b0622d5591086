//! What an ID token (OpenID Connect Core 1.0 section 3.1.3.7) and a logout token (Back-Channel Logout 1.0 section 2.6) must
//! say, once their signature is good.

use serde_json::Value;

use super::Refusal;

/// By how many seconds the provider's clock may differ from ours.
const LEEWAY: i64 = 60;
/// The event that makes a token one of a logout.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Longer subjects are not allowed (Core section 2).
const LONGEST_SUBJECT: usize = 255;

/// Who must have issued a token, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Between<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
}

/// Checks the claims of an ID token at `now`, in seconds since 1970, and returns its subject. `nonce` is that of the login
/// that it answers; `None` at a refresh, where it may be left out (section 12.2).
///
/// # Errors
/// It is not the answer to this login.
pub fn check_id_token<'a>(
    claims: &'a Value,
    between: Between<'_>,
    nonce: Option<&str>,
    now: i64,
) -> Result<&'a str, Refusal> {
    check_times(claims, between, now)?;
    if nonce.is_some() && claims["nonce"].as_str() != nonce {
        return Err(Refusal::Nonce);
    }
    subject(claims).ok_or(Refusal::Subject)
}

/// The subject, whom the provider never calls otherwise.
fn subject(claims: &Value) -> Option<&str> {
    claims["sub"].as_str().filter(|subject| !subject.is_empty() && subject.len() <= LONGEST_SUBJECT)
}

/// Issuer, audience and times: what both kinds of token have.
fn check_times(claims: &Value, between: Between<'_>, now: i64) -> Result<(), Refusal> {
    if claims["iss"].as_str() != Some(between.issuer) {
        return Err(Refusal::Issuer);
    }
    let (is_for_us, is_for_others) = match &claims["aud"] {
        Value::String(audience) => (audience == between.client_id, false),
        Value::Array(audiences) => {
            (audiences.iter().any(|audience| audience == between.client_id), audiences.len() > 1)
        }
        _ => (false, false),
    };
    let is_authorized = match &claims["azp"] {
        Value::Null => !is_for_others,
        authorized => authorized == between.client_id,
    };
    if !is_for_us || !is_authorized {
        return Err(Refusal::Audience);
    }
    let seconds = |name: &str| claims[name].as_f64().ok_or(Refusal::Malformed);
    if seconds("exp")? <= (now - LEEWAY) as f64 {
        return Err(Refusal::Expired);
    }
    if seconds("iat")? > (now + LEEWAY) as f64 || claims["nbf"].as_f64().is_some_and(|at| at > (now + LEEWAY) as f64) {
        return Err(Refusal::NotYet);
    }
    Ok(())
}

/// Whom a provider has logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// The token's own id: it counts once.
    pub id: String,
    /// When it expires, in seconds since 1970.
    pub expires_at: i64,
    /// One of its sessions; without it all of the subject's.
    pub session: Option<String>,
    pub subject: Option<String>,
}

/// Checks the claims of a logout token.
///
/// # Errors
/// It is none, or none for this hub.
pub fn check_logout_token(claims: &Value, between: Between<'_>, now: i64) -> Result<Logout, Refusal> {
    check_times(claims, between, now)?;
    let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let (id, session, subject) = (text("jti"), text("sid"), subject(claims).map(str::to_owned));
    // An ID token has a nonce, so that neither can be taken for the other.
    if !claims["events"][LOGOUT_EVENT].is_object() || !claims["nonce"].is_null() {
        return Err(Refusal::NoLogout);
    }
    match (id, claims["exp"].as_f64()) {
        (Some(id), Some(expires_at)) if session.is_some() || subject.is_some() => {
            Ok(Logout { id, expires_at: expires_at as i64, session, subject })
        }
        _ => Err(Refusal::NoLogout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BETWEEN: Between<'_> = Between { issuer: "https://login", client_id: "hub" };
    const NOW: i64 = 1_795_000_000;

    fn with(change: &Value) -> Value {
        let mut claims = json!({
            "iss": "https://login", "aud": "hub", "sub": "u1", "nonce": "n", "iat": NOW - 5, "exp": NOW + 60,
        });
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    #[test]
    fn an_id_token_is_of_this_issuer_for_this_client_in_this_login_row_31() {
        for good in [
            json!({}),
            json!({"aud": ["hub"]}),
            json!({"aud": ["hub", "other"], "azp": "hub"}),
            json!({"exp": NOW - LEEWAY + 1, "iat": NOW + LEEWAY}),
        ] {
            assert_eq!(check_id_token(&with(&good), BETWEEN, Some("n"), NOW), Ok("u1"), "{good}");
        }
        for (change, refusal) in [
            (json!({"iss": "https://login/"}), Refusal::Issuer),
            (json!({"iss": null}), Refusal::Issuer),
            (json!({"aud": "other"}), Refusal::Audience),
            (json!({"aud": null}), Refusal::Audience),
            (json!({"aud": ["hub", "other"]}), Refusal::Audience),
            (json!({"aud": ["hub", "other"], "azp": "other"}), Refusal::Audience),
            (json!({"azp": "other"}), Refusal::Audience),
            (json!({"exp": NOW - LEEWAY}), Refusal::Expired),
            (json!({"exp": null}), Refusal::Malformed),
            (json!({"exp": "tomorrow"}), Refusal::Malformed),
            (json!({"iat": NOW + LEEWAY + 1}), Refusal::NotYet),
            (json!({"iat": null}), Refusal::Malformed),
            (json!({"nbf": NOW + 3600}), Refusal::NotYet),
            (json!({"nonce": "other"}), Refusal::Nonce),
            (json!({"nonce": null}), Refusal::Nonce),
            (json!({"sub": ""}), Refusal::Subject),
            (json!({"sub": 7}), Refusal::Subject),
            (json!({"sub": "x".repeat(256)}), Refusal::Subject),
        ] {
            assert_eq!(check_id_token(&with(&change), BETWEEN, Some("n"), NOW), Err(refusal), "{change}");
        }
        assert_eq!(check_id_token(&with(&json!({"nonce": null})), BETWEEN, None, NOW), Ok("u1"));
    }

    #[test]
    fn a_logout_token_is_no_id_token_and_no_id_token_a_logout_token_row_31() {
        let logout = |change: &Value| {
            let mut claims = with(&json!({"nonce": null, "jti": "j1", "sid": "s1", "events": {LOGOUT_EVENT: {}}}));
            claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            check_logout_token(&claims, BETWEEN, NOW)
        };
        let good = logout(&json!({})).unwrap();
        assert_eq!((good.session.as_deref(), good.subject.as_deref()), (Some("s1"), Some("u1")));
        assert!(logout(&json!({"sid": null})).is_ok() && logout(&json!({"sub": null})).is_ok());
        for change in [
            json!({"nonce": "n"}),
            json!({"events": {}}),
            json!({"events": [LOGOUT_EVENT]}),
            json!({"events": {LOGOUT_EVENT: "yes"}}),
            json!({"jti": null}),
            json!({"sid": null, "sub": null}),
        ] {
            assert_eq!(logout(&change), Err(Refusal::NoLogout), "{change}");
        }
        assert_eq!(logout(&json!({"aud": "other"})), Err(Refusal::Audience));
        assert_eq!(logout(&json!({"exp": NOW - 3600})), Err(Refusal::Expired));
        assert_eq!(check_logout_token(&with(&json!({})), BETWEEN, NOW), Err(Refusal::NoLogout));
    }
}
