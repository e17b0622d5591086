//! How the hub behaves to people and to clients of its REST API.

use hub_crds::{ActivityTimes, ApiPages, ClientRules, Landing, Sessions, config::PagesConfig};
use hub_traitlets::{Found, Value};

use super::HUB;
use crate::reader::{Reader, SettingsError, unusable};

/// How the hub behaves to people and to clients of its REST API. What is not said is as in a `Hub`.
#[derive(Debug, Default)]
pub struct Behaviour {
    pub sessions: Sessions,
    pub landing: Landing,
    pub api_pages: ApiPages,
    pub activity: ActivityTimes,
    pub clients: ClientRules,
    pub pages: PagesConfig,
}

impl Behaviour {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        let mut read = Self::default();
        let Self { sessions, landing, api_pages, activity, clients, pages } = &mut read;
        for (name, number) in [
            ("oauth_token_expires_in", &mut sessions.oauth_token_expires_in),
            ("api_page_default_limit", &mut api_pages.default_limit),
            ("api_page_max_limit", &mut api_pages.max_limit),
            ("activity_resolution", &mut activity.resolution),
            ("last_activity_interval", &mut activity.interval),
        ] {
            if let Some(said) = reader.read(HUB, name, Found::int)? {
                *number = said;
            }
        }
        for (name, flag) in [
            ("shutdown_on_logout", &mut sessions.shutdown_on_logout),
            ("redirect_to_server", &mut landing.redirect_to_server),
            ("authenticate_prometheus", &mut clients.authenticate_prometheus),
        ] {
            if let Some(said) = reader.read(HUB, name, Found::bool)? {
                *flag = said;
            }
        }
        if let Some(found) = reader.find(HUB, "cookie_max_age_days") {
            sessions.cookie_max_age_days = days(&found)?;
        }
        landing.default_url = reader.string(HUB, "default_url")?;
        pages.logo_file = reader.string(HUB, "logo_file")?.filter(|file| !file.is_empty()).map(Into::into);
        if let Some(found) = reader.find(HUB, "template_vars") {
            pages.announcement = announcement(&found)?;
        }
        Ok(read)
    }
}

/// The one variable of JupyterHub's own templates that says something here.
fn announcement(found: &Found<'_>) -> Result<Option<String>, SettingsError> {
    let mut announcement = None;
    for (name, value) in found.dict()? {
        match (name.as_str(), value) {
            ("announcement", Value::Str(text)) => announcement = Some(text).filter(|text| !text.is_empty()),
            ("announcement", _) => return Err(unusable(found, "write the announcement as a text")),
            _ => {
                return Err(unusable(
                    found,
                    format!("`{name}` is not known; only announcement is, for the pages are fixed"),
                ));
            }
        }
    }
    Ok(announcement)
}

/// JupyterHub takes fractions of a day; here a login lasts whole days.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn days(found: &Found<'_>) -> Result<u32, SettingsError> {
    let most = Sessions::MOST_DAYS;
    let days = match found.value {
        Value::Float(days) => *days,
        _ => found.float()?,
    };
    if days.fract() == 0.0 && (1.0..=f64::from(most)).contains(&days) {
        return Ok(days as u32);
    }
    Err(unusable(found, format!("write a whole number from 1 to {most}, which is as long as browsers keep a cookie")))
}
