//! What somebody in the hub's pod wants of its secrets (`hub rotate`, `hub reset`), and who carries it out: the operator,
//! which reads the wish in the hub's report, or this hub itself where no operator keeps its secrets.

use hub_crds::{
    config::HubIdentity,
    names::secret_key::{COOKIE_SECRET, CRYPT_KEYS, PROXY_TOKEN},
    report::{ALL, Request, SESSIONS, Wish},
    versions::Versions,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

use crate::{app::App, audit::Act, own_secret::OwnSecret};

/// The secrets that rotate, as annotations and commands name them.
pub const SECRETS: [&str; 3] = [COOKIE_SECRET, PROXY_TOKEN, CRYPT_KEYS];

/// Where the newest wish is until the operator has read it: a restart must not lose it.
const REQUEST: &str = "rotation_request";

/// Who keeps the secrets.
pub enum Keeper {
    /// The operator of this Hub.
    Operator(HubIdentity),
    /// This hub.
    Own {
        /// The cookie secret's file; or, if it stands in the settings, where.
        cookie_secret: Result<Mutex<OwnSecret>, String>,
        /// Why the proxy's token doesn't rotate.
        proxy_token: String,
    },
}

/// Which versions of the secrets this hub has, by the secrets' names.
pub type Standing = BTreeMap<String, Versions>;

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is carried out.
    Done,
    /// The operator will do it; this command shows how it stands.
    Asked { watch: String },
}

/// Why a wish is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl RotationError {
    fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }
}

/// Which versions there are now.
///
/// # Errors
/// A secret could never be read.
pub fn standing(app: &App) -> anyhow::Result<Standing> {
    let mut standing = Standing::from([
        (COOKIE_SECRET.to_owned(), app.cookie_secret.get()?.versions.clone()),
        (PROXY_TOKEN.to_owned(), app.servers.proxy().token().versions()?),
    ]);
    if let Some(keeper) = &app.crypt_keys {
        standing.insert(CRYPT_KEYS.to_owned(), keeper.versions()?);
    }
    Ok(standing)
}

/// Carries a wish out, or hands it to the operator.
///
/// # Errors
/// There is no such secret, it does not rotate here, or it can't be written.
pub async fn request(app: &App, wish: &Wish) -> Result<Outcome, RotationError> {
    check(wish, app.crypt_keys.is_some())?;
    match &app.keeper {
        Keeper::Operator(hub) => {
            let request = Request { id: app.random_id(), wish: wish.clone() };
            let text = serde_json::to_string(&request).map_err(anyhow::Error::from)?;
            app.database.set_hub_setting(REQUEST, &text).await.map_err(anyhow::Error::from)?;
            asked(wish, "change of secrets asked for").done("the operator carries it out");
            let HubIdentity { name, namespace, .. } = hub;
            Ok(Outcome::Asked { watch: format!("kubectl --namespace {namespace} describe hub {name}") })
        }
        Keeper::Own { cookie_secret, proxy_token } => {
            carry_out(app, wish, cookie_secret, proxy_token).await?;
            asked(wish, "secrets changed").done("asked for");
            Ok(Outcome::Done)
        }
    }
}

/// The newest wish, for the report.
///
/// # Errors
/// The database can't be read.
pub async fn newest_request(app: &App) -> anyhow::Result<Option<Request>> {
    Ok(app.database.hub_setting(REQUEST).await?.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// What came of a command, for the audit log.
fn asked(wish: &Wish, event: &'static str) -> Act<'static> {
    match wish {
        Wish::Rotate(secret) => Act::of("hub rotate", event).object(secret),
        Wish::Reset(secret) => Act::of("hub reset", event).object(secret),
    }
}

fn check(wish: &Wish, has_crypt_keys: bool) -> Result<(), RotationError> {
    let (Wish::Rotate(secret) | Wish::Reset(secret)) = wish;
    let is_known = match wish {
        Wish::Rotate(_) => SECRETS.contains(&secret.as_str()),
        Wish::Reset(_) => SECRETS.contains(&secret.as_str()) || [SESSIONS, ALL].contains(&secret.as_str()),
    };
    if !is_known {
        return Err(RotationError::refused(format!(
            "there is no secret `{secret}`; name one of {}",
            SECRETS.join(", ")
        )));
    }
    if secret == CRYPT_KEYS && !has_crypt_keys {
        return Err(RotationError::refused(
            "this hub has no crypt keys; nothing in its database is encrypted with one",
        ));
    }
    Ok(())
}

async fn carry_out(
    app: &App,
    wish: &Wish,
    cookie_secret: &Result<Mutex<OwnSecret>, String>,
    proxy_token: &str,
) -> Result<(), RotationError> {
    let (Wish::Rotate(secret) | Wish::Reset(secret)) = wish;
    match secret.as_str() {
        PROXY_TOKEN => return Err(RotationError::refused(proxy_token)),
        CRYPT_KEYS => {
            let variable = crate::auth_state::VARIABLE;
            return Err(RotationError::refused(format!(
                "the crypt keys stand in {variable}; put a new key and `;` before them there, and start the hub anew"
            )));
        }
        _ => {}
    }
    let file = cookie_secret.as_ref().map_err(RotationError::refused)?.lock().await;
    match wish {
        Wish::Rotate(_) => file.rotate(app.now(), SignedDuration::from_secs(app.sessions.login_seconds()))?,
        Wish::Reset(what) if what == SESSIONS => file.reset_sessions()?,
        Wish::Reset(what) => file.reset(what == ALL)?,
    }
    Ok(())
}

/// Ends the old versions whose time is over, where this hub keeps them.
///
/// # Errors
/// The files can't be written.
pub async fn retire(app: &App) -> anyhow::Result<()> {
    match &app.keeper {
        Keeper::Own { cookie_secret: Ok(file), .. } => file.lock().await.retire(app.now()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_rotates() {
        let refusal = |wish: Wish, has_keys| check(&wish, has_keys).err().map(|error| error.to_string());
        for secret in SECRETS {
            assert_eq!(refusal(Wish::Rotate(secret.to_owned()), true), None);
            assert_eq!(refusal(Wish::Reset(secret.to_owned()), true), None);
        }
        assert_eq!(refusal(Wish::Reset(ALL.to_owned()), false), None);
        let unknown = refusal(Wish::Rotate(ALL.to_owned()), true).unwrap();
        assert_eq!(unknown, "there is no secret `all`; name one of cookie-secret, proxy-token, crypt-keys");
        assert!(refusal(Wish::Rotate(CRYPT_KEYS.to_owned()), false).unwrap().contains("no crypt keys"));
    }
}
