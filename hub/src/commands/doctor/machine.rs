//! A hub on one machine.

use hub_settings::{CookieSecretPlace, PlacedSecret, Settings, http};
use hub_traitlets::{Config, Variables};
use secrecy::ExposeSecret;
use std::path::Path;

use super::{Finding, database, hub, in_time, proxy, secret, whole};
use crate::{
    cookie_secret::CookieSecret,
    database::Place,
    machine::{self, files::check_tls},
    proxy::{ProxyClient, ProxyToken},
};

pub(super) async fn examine(file: &Path, config: &Config, variables: &Variables) -> Vec<Finding> {
    let settings = match Settings::read(config, variables) {
        Ok(settings) => settings,
        Err(error) => return vec![("settings", Err(whole(error)))],
    };
    let told =
        if settings.refusals.is_empty() { Ok(file.display().to_string()) } else { Err(settings.refusals.join("; ")) };
    let mut findings = vec![("settings", told), ("cookie secret", cookie_secret(&settings.cookie_secret))];
    if let Some(tls) = &settings.tls {
        findings.push(("certificate", check_tls(tls).map_err(whole).map(|()| tls.certificate.display().to_string())));
    }
    findings.push(("database", in_time(database_of(&settings)).await));
    findings.push(("proxy", in_time(proxy_of(&settings)).await));
    let (host, port) = &settings.addresses.hub;
    findings.push(("hub", in_time(hub(&http(host, *port), &settings.addresses.base_url, true)).await));
    findings.push(("servers", machine::check_servers(settings).map_err(whole)));
    findings
}

fn cookie_secret(place: &CookieSecretPlace) -> Result<String, String> {
    let file = match place {
        CookieSecretPlace::Value { place, .. } => return Ok(place.clone()),
        CookieSecretPlace::File(Some(file)) => file.as_path(),
        CookieSecretPlace::File(None) => Path::new(machine::COOKIE_SECRET),
    };
    match file.exists() {
        true => secret(file, |file| CookieSecret::file(file).map(drop)),
        false => Ok(format!("{} is made at the first start", file.display())),
    }
}

async fn database_of(settings: &Settings) -> Result<String, String> {
    let place = Place::parse(settings.db_url.expose_secret(), Path::new(""))?;
    match place.file().filter(|file| !file.exists()) {
        Some(file) => Ok(format!("{} is made at the first start", file.display())),
        None => database(&place).await,
    }
}

async fn proxy_of(settings: &Settings) -> Result<String, String> {
    let Some((PlacedSecret { secret, .. }, (host, port))) =
        settings.proxy.token.as_ref().zip(settings.proxy.api.as_ref())
    else {
        return Ok("the hub starts it, and nobody else knows its token or where its API is".to_owned());
    };
    let api_url = http(host, *port);
    proxy(&api_url, &ProxyClient::new(&api_url, ProxyToken::Value(secret.clone()))).await
}
