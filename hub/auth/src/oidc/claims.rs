//! From what a provider says of a person to a user: name, groups, and which claims count.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

use super::Refusal;
use crate::names::{is_mistakable, normalize_user, valid_group, valid_user};

/// What the ID token says, with what the provider's page of user data says in its place. An e-mail address comes with its own
/// verification or with none: that of another address says nothing of it (GHSA-rrvg-cxh4-qhrv is of this kind).
pub fn merged(id_token: &Map<String, Value>, user_data: &Map<String, Value>) -> Map<String, Value> {
    let mut all = id_token.clone();
    if user_data.contains_key("email") {
        all.remove("email_verified");
    }
    all.extend(user_data.clone());
    all
}

/// The subject of a provider without ID tokens: `sub`, or `id` as GitHub and others have it.
pub fn subject(user_data: &Map<String, Value>) -> Option<String> {
    ["sub", "id"].into_iter().find_map(|name| match user_data.get(name)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The user's name, as logins use it.
///
/// # Errors
/// There is none, it is no name here, or the provider doesn't vouch for it.
pub fn user_name(claims: &Map<String, Value>, claim: &str) -> Result<String, Refusal> {
    let name = claims.get(claim).and_then(Value::as_str).ok_or(Refusal::NoName)?;
    if claim == "email" && !is_verified(claims) {
        return Err(Refusal::EmailNotVerified);
    }
    // Of two `@` one program takes the first and another the last (CVE-2026-40574).
    let has_parts = |(local, domain): (&str, &str)| !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    let is_address = name.split_once('@').map(has_parts);
    if is_address == Some(false) || claim == "email" && is_address.is_none() {
        return Err(Refusal::BadName);
    }
    let name = normalize_user(name);
    if !valid_user(&name) {
        Err(Refusal::BadName)
    } else if is_mistakable(&name) {
        Err(Refusal::MistakableName)
    } else {
        Ok(name)
    }
}

/// Some providers write the truth as a text.
fn is_verified(claims: &Map<String, Value>) -> bool {
    matches!(claims.get("email_verified"), Some(verified) if *verified == true || *verified == "true")
}

/// The groups at a claim; dots lead into objects (`realm_access.roles`). What can't be a group's name is left out.
pub fn groups(claims: &Map<String, Value>, claim: &str) -> BTreeSet<String> {
    // A claim may have dots in its own name, as those with a URL have.
    let found = claims.get(claim).or_else(|| {
        let (first, rest) = claim.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |within, name| within.get(name))
    });
    let names: Vec<_> = match found {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    names.into_iter().filter(|name| valid_group(name)).map(str::to_owned).collect()
}

/// Google's `hd` tells of the organisation; the end of an e-mail address does not (GHSA-55m3-44xf-hg4h).
///
/// # Errors
/// It is none of these domains. Without domains everybody passes.
pub fn check_hosted_domain(claims: &Map<String, Value>, domains: &[String]) -> Result<(), Refusal> {
    let own = claims.get("hd").and_then(Value::as_str);
    let is_one = own.is_some_and(|own| domains.iter().any(|domain| domain.eq_ignore_ascii_case(own)));
    if domains.is_empty() || is_one { Ok(()) } else { Err(Refusal::Domain) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn which_names_pass_row_31() {
        for (claims, claim, name) in [
            (json!({"preferred_username": "Ada"}), "preferred_username", Ok("ada")),
            (json!({"preferred_username": "zo\u{eb}"}), "preferred_username", Ok("zo\u{eb}")),
            (json!({"email": "Ada@Example.org", "email_verified": true}), "email", Ok("ada@example.org")),
            (json!({"email": "ada@example.org", "email_verified": "true"}), "email", Ok("ada@example.org")),
            (json!({"email": "ada@example.org"}), "email", Err(Refusal::EmailNotVerified)),
            (json!({"email": "ada@example.org", "email_verified": false}), "email", Err(Refusal::EmailNotVerified)),
            (json!({"email": "ada@example.org", "email_verified": 1}), "email", Err(Refusal::EmailNotVerified)),
            (json!({"email": "a@evil.com@good.com", "email_verified": true}), "email", Err(Refusal::BadName)),
            (json!({"email": "ada", "email_verified": true}), "email", Err(Refusal::BadName)),
            (json!({"upn": "a@evil.com@good.com"}), "upn", Err(Refusal::BadName)),
            (json!({"upn": "@good.com"}), "upn", Err(Refusal::BadName)),
            (json!({"upn": "a/b"}), "upn", Err(Refusal::BadName)),
            (json!({"upn": ""}), "upn", Err(Refusal::BadName)),
            (json!({"upn": "ada "}), "upn", Err(Refusal::BadName)),
            (json!({"upn": ["ada"]}), "upn", Err(Refusal::NoName)),
            (json!({}), "upn", Err(Refusal::NoName)),
            (json!({"upn": "\u{430}lice"}), "upn", Err(Refusal::MistakableName)),
            (json!({"upn": "\u{ff41}da"}), "upn", Err(Refusal::MistakableName)),
            (json!({"upn": "ad\u{200b}a"}), "upn", Err(Refusal::MistakableName)),
        ] {
            assert_eq!(user_name(&map(&claims), claim), name.map(str::to_owned), "{claims}");
        }
    }

    #[test]
    fn the_verification_of_one_address_is_not_anothers_row_31() {
        let token = map(&json!({"sub": "1", "email": "me@evil.com", "email_verified": true}));
        let of_page = merged(&token, &map(&json!({"sub": "1", "email": "ada@good.com"})));
        assert_eq!(user_name(&of_page, "email"), Err(Refusal::EmailNotVerified));
        assert_eq!(user_name(&merged(&token, &Map::new()), "email").as_deref(), Ok("me@evil.com"));
    }

    #[test]
    fn groups_are_found_by_name_and_by_path() {
        let claims = map(&json!({
            "groups": ["staff", "staff", 7, "", "a\nb"],
            "realm_access": {"roles": ["admin"]},
            "https://example.org/groups": ["x"],
            "one": "alone",
        }));
        let found = |claim: &str| groups(&claims, claim).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(found("groups"), "staff");
        assert_eq!(found("realm_access.roles"), "admin");
        assert_eq!(found("https://example.org/groups"), "x");
        assert_eq!(found("one"), "alone");
        assert_eq!(found("realm_access") + &found("none") + &found("groups.0"), "");
    }

    #[test]
    fn the_domain_is_what_the_provider_says_and_not_the_end_of_an_address_row_31() {
        let domains = ["Example.org".to_owned()];
        assert!(check_hosted_domain(&map(&json!({"hd": "example.org"})), &domains).is_ok());
        for claims in [json!({"email": "a@example.org"}), json!({"hd": "evil.org"}), json!({"hd": ["example.org"]})] {
            assert_eq!(check_hosted_domain(&map(&claims), &domains), Err(Refusal::Domain));
        }
        assert!(check_hosted_domain(&Map::new(), &[]).is_ok());
    }

    #[test]
    fn whoever_has_no_id_token_is_known_by_a_number_or_text() {
        assert_eq!(subject(&map(&json!({"id": 583_231, "login": "octocat"}))).as_deref(), Some("583231"));
        assert_eq!(subject(&map(&json!({"id": 1, "sub": "a"}))).as_deref(), Some("a"));
        assert_eq!(subject(&map(&json!({"id": null, "sub": ""}))), None);
    }
}
