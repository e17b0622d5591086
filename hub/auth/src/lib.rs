//! The rules of the hub's security, without any input or output: no clock, no randomness and no storage but what is
//! passed in, and the memory of [`failure_limit`] and [`lockout`]. Tokens, passwords, signed cookies, cross-site checks, scopes, PKCE,
//! safe redirects, names, and the word of a provider of logins.

pub mod cookie;
pub mod crypt_keys;
pub mod failure_limit;
pub mod fernet;
pub mod lockout;
pub mod names;
pub mod next_url;
pub mod oidc;
pub mod password;
pub mod pkce;
pub mod scopes;
pub mod subdomain;
pub mod token;
pub mod xsrf;

/// The version of JupyterHub whose protocol is spoken: hub and servers tell each other theirs.
pub const JUPYTERHUB_VERSION: &str = "6.1.1";
