//! Who is at the door: the ways of logging in. Whether that person may come in is the business of [`allow`].

use hub_crds::config::{AuthConfig, AuthenticatorConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::{app::App, error::Result, passwords};

pub mod allow;
mod dummy;
pub mod oidc;
mod password;
mod token;

pub use dummy::DummyPassword;
pub use oidc::Oidc;
pub use password::Passwords;
pub use token::{LoginTokens, TokenUser};

/// The way of logging in that the settings chose.
pub enum Authenticator {
    /// Each user has a token (S2).
    Token(LoginTokens),
    /// Each user has a password.
    Password(Passwords),
    /// Any name, one shared password: for trials.
    Dummy(DummyPassword),
    /// At a provider, not here.
    Oidc(Box<Oidc>),
}

/// The longest name or password that is looked at, in bytes: whatever hashes them must not take long (attack row 33).
const LONGEST: usize = 1024;

/// What the login form sent.
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

impl Authenticator {
    /// # Errors
    /// What asks a provider can't be made.
    pub fn new(config: &AuthConfig) -> anyhow::Result<Self> {
        Ok(match &config.authenticator {
            AuthenticatorConfig::Token { users, tokens_dir, .. } => Self::Token(LoginTokens::new(users, tokens_dir)),
            AuthenticatorConfig::Password { users_dir, first_use, min_length } => {
                Self::Password(Passwords::new(users_dir.as_deref(), *first_use, *min_length))
            }
            AuthenticatorConfig::Dummy { password_file } => Self::Dummy(DummyPassword::new(password_file.as_deref())),
            AuthenticatorConfig::Oidc { provider, client_secret_file, ca_file } => {
                let mut oidc = Oidc::new((**provider).clone(), client_secret_file, ca_file.as_deref())?;
                oidc.auto_login = config.auto_login;
                oidc.manages_groups = config.manage_groups;
                oidc.keeps_state = config.enable_auth_state;
                Self::Oidc(Box::new(oidc))
            }
        })
    }

    /// The provider that people log in at, if they do.
    pub fn oidc(&self) -> Option<&Oidc> {
        match self {
            Self::Oidc(oidc) => Some(oidc),
            _ => None,
        }
    }

    /// The normalised name of the user whose credentials these are. An unknown user, a wrong password and a name that
    /// can't be one give the same answer.
    ///
    /// # Errors
    /// The file that holds the password can't be used, and nobody can log in; or too many do at this moment.
    pub async fn login(&self, app: &App, credentials: &Credentials) -> Result<Option<String>> {
        if credentials.username.len().max(credentials.password.expose_secret().len()) > LONGEST {
            return Ok(None);
        }
        match self {
            Self::Token(tokens) => Ok(tokens.login(credentials)),
            Self::Password(passwords) => passwords::login(app, passwords, credentials).await,
            Self::Dummy(dummy) => Ok(dummy.login(credentials)?),
            Self::Oidc(_) => Ok(None),
        }
    }

    /// The user whose login token this is (S4, S5, S6).
    pub fn token_user(&self, token: &str) -> Option<String> {
        match self {
            Self::Token(tokens) => tokens.user_of(token),
            Self::Password(_) | Self::Dummy(_) | Self::Oidc(_) => None,
        }
    }

    /// Whether guessing at login tokens could succeed.
    pub fn has_guessable_tokens(&self) -> bool {
        match self {
            Self::Token(tokens) => tokens.has_guessable(),
            Self::Password(_) | Self::Dummy(_) | Self::Oidc(_) => false,
        }
    }

    /// Users that the settings name, with whether they are administrators.
    pub fn configured_users(&self) -> Vec<(String, bool)> {
        match self {
            Self::Token(tokens) => tokens.users().map(|user| (user.name.clone(), user.admin)).collect(),
            Self::Password(_) | Self::Dummy(_) | Self::Oidc(_) => Vec::new(),
        }
    }

    /// What people log in with, as digests, and whose it is: `None` for everybody's. One that was never read is left out.
    pub fn digests(&self) -> Vec<(Option<String>, [u8; 32])> {
        match self {
            Self::Token(tokens) => {
                tokens.users().filter_map(|user| Some((Some(user.name.clone()), user.digest()?))).collect()
            }
            Self::Password(passwords) => {
                passwords.digests().into_iter().map(|(user, digest)| (Some(user), digest)).collect()
            }
            Self::Dummy(dummy) => dummy.digest().into_iter().map(|digest| (None, digest)).collect(),
            Self::Oidc(_) => Vec::new(),
        }
    }

    /// Users' passwords, if people log in with one of their own.
    pub fn passwords(&self) -> Option<&Passwords> {
        match self {
            Self::Password(passwords) => Some(passwords),
            _ => None,
        }
    }

    /// Whether the login form asks for a token rather than for a name and password.
    pub fn is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }

    /// What people prove with who they are, in the words of the audit log.
    pub fn proof(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Password(_) | Self::Dummy(_) => "password",
            Self::Oidc(_) => "provider",
        }
    }

    /// Name for `GET /hub/api/info`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Password(_) => "password",
            Self::Dummy(_) => "dummy",
            Self::Oidc(_) => "oidc",
        }
    }
}
