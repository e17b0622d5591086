//! The rules of the OAuth 2 authorization code grant (RFC 6749 section 4.1, RFC 7636), with the words that JupyterHub's
//! clients know. Pure; the endpoints are [`crate::handlers::authorize`] and [`crate::handlers::api::oauth_token`].
//!
//! ```text
//! server -> browser: /hub/api/oauth2/authorize?client_id&redirect_uri&state&code_challenge
//!   login, access check, (consent) -> code, once, 300 s -> redirect_uri?code&state
//! server -> hub: POST /hub/api/oauth2/token  code, client secret, code_verifier -> access token of this session
//! ```

use hub_auth::pkce;
use url::form_urlencoded;

use crate::form::Fields;

/// Seconds in which a code must be turned into a token.
pub const CODE_LIFETIME: i64 = 300;
/// The old name of a request for nothing but the user's name.
const IDENTIFY: &str = "identify";

/// What a client asks of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeRequest {
    pub redirect_uri: String,
    pub state: Option<String>,
    /// Scopes that the client named; without any it wants all that it may have.
    pub scopes: Option<Vec<String>>,
    pub challenge: Option<(String, pkce::Method)>,
}

/// Why nothing is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizeError {
    /// The client or its address is not known: the person is told, and sent nowhere.
    Page(&'static str),
    /// The client is told, at this address.
    Redirect(String),
}

/// The client that a request names.
pub fn client_id(query: &Fields) -> Result<&str, AuthorizeError> {
    for (name, message) in [
        ("client_id", "Duplicate client_id parameter."),
        ("response_type", "Duplicate response_type parameter."),
        ("redirect_uri", "Duplicate redirect_uri parameter."),
        ("scope", "Duplicate scope parameter."),
        ("state", "Duplicate state parameter."),
    ] {
        if query.count(name) > 1 {
            return Err(AuthorizeError::Page(message));
        }
    }
    query.get("client_id").filter(|id| !id.is_empty()).ok_or(AuthorizeError::Page("Missing client_id parameter."))
}

impl AuthorizeRequest {
    /// Reads a request of a known client, whose codes go to the address `registered` only. With `require_pkce` it must
    /// have a challenge that nobody who sees it can answer.
    pub fn parse(query: &Fields, registered: &str, require_pkce: bool) -> Result<Self, AuthorizeError> {
        let given = |name| query.get(name).filter(|value| !value.is_empty());
        let redirect_uri = match given("redirect_uri") {
            None if registered.is_empty() => return Err(AuthorizeError::Page("Missing redirect URI.")),
            None => registered.to_owned(),
            Some(uri) if uri == registered => uri.to_owned(),
            Some(_) => return Err(AuthorizeError::Page("Mismatching redirect URI.")),
        };
        let scopes = given("scope").map(|list| list.split_whitespace().map(str::to_owned).collect());
        let mut request = Self { redirect_uri, state: given("state").map(str::to_owned), scopes, challenge: None };
        match given("response_type") {
            Some("code") => {}
            Some(_) => return Err(request.refuse("unsupported_response_type", None)),
            None => return Err(request.refuse("invalid_request", Some("Missing response_type parameter."))),
        }
        if let Some(challenge) = given("code_challenge") {
            let method = pkce::Method::parse(given("code_challenge_method").unwrap_or("plain"));
            let method = method.filter(|method| !require_pkce || *method == pkce::Method::S256);
            let method =
                method.ok_or_else(|| request.refuse("invalid_request", Some("Transform algorithm not supported.")))?;
            request.challenge = Some((challenge.to_owned(), method));
        } else if require_pkce {
            return Err(request.refuse("invalid_request", Some("Code challenge required.")));
        }
        Ok(request)
    }

    /// The scopes in question: `defaults` are all that the client may have.
    pub fn wanted(&self, defaults: &[String]) -> Vec<String> {
        let named = self.scopes.as_deref().unwrap_or(defaults);
        named.iter().filter(|scope| *scope != IDENTIFY).cloned().collect()
    }

    pub fn refuse(&self, error: &'static str, description: Option<&'static str>) -> AuthorizeError {
        let described = description.map(|text| ("error_description", text));
        let state = self.state.as_deref().map(|state| ("state", state));
        let arguments = [Some(("error", error)), described, state];
        AuthorizeError::Redirect(with_arguments(&self.redirect_uri, arguments.into_iter().flatten()))
    }

    /// Where the code goes.
    pub fn grant(&self, code: &str) -> String {
        let state = self.state.as_deref().map(|state| ("state", state));
        with_arguments(&self.redirect_uri, [Some(("code", code)), state].into_iter().flatten())
    }
}

fn with_arguments<'a>(uri: &str, arguments: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(arguments).finish();
    format!("{uri}{}{query}", if uri.contains('?') { '&' } else { '?' })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<AuthorizeRequest, AuthorizeError> {
        AuthorizeRequest::parse(&Fields::parse(query.as_bytes()), "/user/alice/oauth_callback", false)
    }

    fn redirected(query: &str) -> String {
        match parse(query) {
            Err(AuthorizeError::Redirect(to)) => to,
            other => panic!("{other:?}"),
        }
    }

    const CALLBACK: &str = "redirect_uri=%2Fuser%2Falice%2Foauth_callback";

    #[test]
    fn a_request_of_a_single_user_server_is_read() {
        let request =
            parse(&format!("{CALLBACK}&response_type=code&state=S&code_challenge=C&code_challenge_method=S256"))
                .unwrap();
        assert_eq!(request.challenge, Some(("C".into(), pkce::Method::S256)));
        assert_eq!(request.grant("abc"), "/user/alice/oauth_callback?code=abc&state=S");
        assert_eq!(request.wanted(&["self".into()]), ["self"]);
    }

    #[test]
    fn an_unknown_address_is_never_redirected_to() {
        for uri in
            ["https%3A%2F%2Fevil.example%2F", "%2Fuser%2Falice%2Foauth_callback%2F", "%2Fuser%2Fbob%2Foauth_callback"]
        {
            let answer = parse(&format!("redirect_uri={uri}&response_type=code"));
            assert_eq!(answer, Err(AuthorizeError::Page("Mismatching redirect URI.")), "{uri}");
        }
    }

    #[test]
    fn errors_reach_the_client_in_the_words_that_it_knows() {
        let callback = "/user/alice/oauth_callback?error=";
        assert_eq!(
            redirected(&format!("{CALLBACK}&response_type=token&state=S")),
            format!("{callback}unsupported_response_type&state=S")
        );
        assert_eq!(
            redirected(&format!("{CALLBACK}&state=S")),
            format!("{callback}invalid_request&error_description=Missing+response_type+parameter.&state=S")
        );
        assert_eq!(
            redirected(&format!("{CALLBACK}&response_type=code&code_challenge=C&code_challenge_method=S512")),
            format!("{callback}invalid_request&error_description=Transform+algorithm+not+supported.")
        );
    }

    #[test]
    fn the_client_must_be_named_once() {
        let id = |query: &str| client_id(&Fields::parse(query.as_bytes())).map(str::to_owned);
        assert_eq!(id("client_id=a"), Ok("a".into()));
        assert_eq!(id(""), Err(AuthorizeError::Page("Missing client_id parameter.")));
        assert_eq!(id("client_id=a&client_id=b"), Err(AuthorizeError::Page("Duplicate client_id parameter.")));
    }
}
