//! Where people's servers run, and how many there may be.

use hub_crds::ServerLimits;
use hub_traitlets::{Error, Found, Value};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{COOKIE_SECRET_VARIABLE, HUB, PROXY_TOKEN_VARIABLE, people::texts};
use crate::reader::{Classes, Reader, SettingsError, unusable};

/// What starts servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpawnerClass {
    /// Processes of the system's user with that name.
    LocalProcess,
    /// Processes of the hub's own user, whoever they are for.
    Simple,
    /// One that this hub doesn't have here, by the name that the settings have for it.
    Other(String),
}

/// How servers are started.
#[derive(Debug)]
pub struct Spawner {
    pub class: SpawnerClass,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What servers get beside JupyterHub's own variables; it wins over those.
    pub environment: BTreeMap<String, String>,
    /// Variables of the hub's own environment that servers get, too.
    pub env_keep: Vec<String>,
    /// Where people begin in their server; `{username}` is their name.
    pub default_url: Option<String>,
    /// Where people's files are; `{username}` is their name, and `~` their home.
    pub notebook_dir: Option<String>,
    /// The home of a [`SpawnerClass::Simple`] server; `{username}` is its user's name.
    pub home: String,
    /// Time to have an address, and then to answer.
    pub start_timeout: Duration,
    pub http_timeout: Duration,
    /// Where servers listen.
    pub ip: IpAddr,
    /// 0 is a free one for each.
    pub port: u16,
}

const BASE: Classes = &["Spawner"];
const LOCAL: Classes = &["LocalProcessSpawner", "Spawner"];
const SIMPLE: Classes = &["SimpleLocalProcessSpawner", "LocalProcessSpawner", "Spawner"];

impl Spawner {
    pub(super) fn read(reader: &Reader<'_>, warnings: &mut Vec<String>) -> Result<Self, SettingsError> {
        let (class, classes) = class(reader)?;
        let command = reader.command(classes, "cmd")?.filter(|command| !command.is_empty());
        let mut command = command.unwrap_or_else(|| vec!["jupyterhub-singleuser".to_owned()]);
        command.extend(reader.read(classes, "args", Found::strings)?.unwrap_or_default());
        let mut environment = told(reader, classes)?;
        for name in ["mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee"] {
            if environment.contains_key(&name.to_uppercase()) {
                warnings.push(format!("servers as processes are told Spawner.{name}, but nothing holds them to it"));
            }
        }
        environment.extend(reader.read(classes, "environment", texts)?.unwrap_or_default());
        let seconds = |name, default| -> Result<Duration, SettingsError> {
            Ok(Duration::from_secs(reader.read(classes, name, Found::int::<u32>)?.unwrap_or(default).into()))
        };
        // Servers that end are noticed at once, so nothing asks now and then.
        reader.read(classes, "poll_interval", Found::int::<u32>)?;
        let home = match class {
            SpawnerClass::Simple => home(reader)?,
            _ => None,
        };
        Ok(Self {
            class,
            command,
            environment,
            env_keep: env_keep(reader, classes)?,
            default_url: reader.string(classes, "default_url")?,
            notebook_dir: reader.string(classes, "notebook_dir")?,
            home: home.unwrap_or_else(|| "/tmp/{username}".to_owned()),
            start_timeout: seconds("start_timeout", 60)?,
            http_timeout: seconds("http_timeout", 30)?,
            ip: ip(reader, classes)?,
            port: reader.read(classes, "port", Found::int)?.unwrap_or(0),
        })
    }
}

fn class(reader: &Reader<'_>) -> Result<(SpawnerClass, Classes), SettingsError> {
    let name = reader.string(HUB, "spawner_class")?.unwrap_or_else(|| "localprocess".to_owned());
    Ok(match name.as_str() {
        "localprocess" | "default" | "jupyterhub.spawner.LocalProcessSpawner" => (SpawnerClass::LocalProcess, LOCAL),
        "simple" | "jupyterhub.spawner.SimpleLocalProcessSpawner" => (SpawnerClass::Simple, SIMPLE),
        _ => (SpawnerClass::Other(name), BASE),
    })
}

/// Variables that servers get of the hub's own; never those with a secret of the hub's.
fn env_keep(reader: &Reader<'_>, classes: Classes) -> Result<Vec<String>, SettingsError> {
    let Some(found) = reader.find(classes, "env_keep") else { return Ok(Vec::new()) };
    let names = found.strings()?;
    match names.iter().find(|name| HUB_ONLY.contains(&name.as_str())) {
        Some(name) => Err(unusable(&found, format!("{name} is the hub's own secret; remove it, or people have it"))),
        None => Ok(names),
    }
}

const HUB_ONLY: [&str; 3] = [COOKIE_SECRET_VARIABLE, PROXY_TOKEN_VARIABLE, "JUPYTERHUB_CRYPT_KEY"];

/// Where the files of a [`SpawnerClass::Simple`] server are.
fn home(reader: &Reader<'_>) -> Result<Option<String>, SettingsError> {
    let Some(found) = reader.find(&["SimpleLocalProcessSpawner"], "home_dir_template") else { return Ok(None) };
    let template = found.string()?;
    let rest = template.replace("{username}", "");
    match rest.contains(['{', '}']) {
        true => Err(unusable(&found, "of what stands in braces only {username} is replaced; correct the rest")),
        false => Ok(Some(template)),
    }
}

fn ip(reader: &Reader<'_>, classes: Classes) -> Result<IpAddr, SettingsError> {
    let Some((found, text)) = reader.said(classes, "ip")? else { return Ok(Ipv4Addr::LOCALHOST.into()) };
    match text.as_str() {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        text => text.parse().map_err(|_| unusable(&found, "write an address such as 127.0.0.1")),
    }
}

/// Variables that say what the traits say: programs in the server read them.
fn told(reader: &Reader<'_>, classes: Classes) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut told = BTreeMap::new();
    for name in ["mem_limit", "mem_guarantee"] {
        if let Some(bytes) = reader.find(classes, name).and_then(Found::not_none).map(|it| bytes(&it)).transpose()? {
            told.insert(name.to_uppercase(), bytes.to_string());
        }
    }
    for name in ["cpu_limit", "cpu_guarantee"] {
        if let Some(cpus) = reader.find(classes, name).and_then(Found::not_none).map(|it| it.float()).transpose()? {
            told.insert(name.to_uppercase(), cpus.to_string());
        }
    }
    for (name, variable) in [("debug", "JUPYTERHUB_DEBUG"), ("disable_user_config", "JUPYTERHUB_DISABLE_USER_CONFIG")] {
        if reader.read(classes, name, Found::bool)?.unwrap_or(false) {
            told.insert(variable.to_owned(), "1".to_owned());
        }
    }
    Ok(told)
}

/// A number of bytes: a whole number, or one with K, M, G or T after it.
fn bytes(found: &Found<'_>) -> Result<u64, Error> {
    let wrong = || found.error("write a number of bytes, or a text such as '512M' or '2G'");
    if let Value::Int(_) = found.value {
        return found.int();
    }
    let text = found.string().map_err(|_| wrong())?;
    let text = text.trim().to_uppercase();
    let (number, factor) = match text.char_indices().last() {
        Some((at, unit @ ('K' | 'M' | 'G' | 'T'))) => {
            let power = "KMGT".find(unit).map_or(0, |place| place + 1);
            (&text[..at], 1024_f64.powi(i32::try_from(power).unwrap_or(0)))
        }
        _ => (text.as_str(), 1.0),
    };
    let bytes = number.parse::<f64>().ok().map(|number| number * factor).filter(|bytes| (0.0..1e18).contains(bytes));
    bytes.map(|bytes| bytes as u64).ok_or_else(wrong)
}

pub(super) fn limits(reader: &Reader<'_>) -> Result<ServerLimits, SettingsError> {
    let number =
        |name, default| -> Result<u32, SettingsError> { Ok(reader.read(HUB, name, Found::int)?.unwrap_or(default)) };
    Ok(ServerLimits {
        allow_named_servers: reader.read(HUB, "allow_named_servers", Found::bool)?.unwrap_or(false),
        named_server_limit_per_user: number("named_server_limit_per_user", 0)?,
        concurrent_spawn_limit: number("concurrent_spawn_limit", 100)?,
        active_server_limit: number("active_server_limit", 0)?,
    })
}
