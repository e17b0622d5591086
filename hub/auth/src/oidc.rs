//! What a provider of OpenID Connect says of a person, and when it is believed (attack row 31). Pure: what was fetched comes
//! in, and whoever it is goes out.
//!
//! ```text
//! metadata -> attempt (state, nonce, PKCE) -> the provider's ID token: jws, tokens -> claims: name and groups
//! ```

pub mod attempt;
pub mod claims;
pub mod jws;
pub mod metadata;
pub mod tokens;

/// Why the provider's word is not taken. The texts are for people, and hold nothing that somebody sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the provider's token is not one")]
    Malformed,
    #[error("the provider's token is signed in a way that is not accepted")]
    Algorithm,
    #[error("the provider's token is signed with an unknown key")]
    UnknownKey,
    #[error("the signature of the provider's token is wrong")]
    Signature,
    #[error("the provider's token was issued by somebody else")]
    Issuer,
    #[error("the provider's token is for somebody else")]
    Audience,
    #[error("the provider's token has expired")]
    Expired,
    #[error("the provider's token is of a time to come")]
    NotYet,
    #[error("the provider's token is not the answer to this login")]
    Nonce,
    #[error("the provider does not say who it is")]
    Subject,
    #[error("the provider tells of another person than its token")]
    OtherSubject,
    #[error("the provider's token is no logout token")]
    NoLogout,
    #[error("the provider gives no user name")]
    NoName,
    #[error("the provider has not verified the e-mail address")]
    EmailNotVerified,
    #[error("the user name that the provider gives is not valid here")]
    BadName,
    #[error("the user name that the provider gives can be taken for another one")]
    MistakableName,
    #[error("the account is not of a domain that may log in")]
    Domain,
}
