//! Services that the hub runs, as JupyterHub does: programs beside it, with a token, which are started again when they end.

use anyhow::Context;
use hub_auth::names;
use hub_crds::config::ServiceConfig;
use hub_server::Group;
use hub_settings::{ManagedService, People};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::files::write_private;
use crate::{
    spawner::local::{Owner, inherited},
    urls::Urls,
};

/// Which processes they are, so that the next hub can end those that one which was killed left: their tokens are good for
/// nothing any more, and they hold their ports.
const NOTES: &str = "jupyterhub-services.json";
/// How long a service has to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// One that ran for so long is started again at once.
const STEADY: Duration = Duration::from_secs(60);

/// Gives a token to each service that the hub runs and that has none.
pub(super) fn make_tokens(people: &mut People) {
    for service in &people.managed {
        let token = || SecretString::from(hex::encode(rand::random::<[u8; 32]>()));
        people.service_tokens.entry(service.name.clone()).or_insert_with(token);
    }
}

/// A service with all that its process gets.
#[derive(Clone)]
pub(super) struct Service {
    service: ManagedService,
    environment: BTreeMap<String, String>,
}

impl Service {
    /// Those that the hub runs. Their tokens are made.
    pub(super) fn all(people: &People, urls: &Urls, connect_url: &str) -> Vec<Self> {
        let managed = people.managed.iter().filter_map(|service| {
            let config = people.rbac.services.iter().find(|config| config.name == service.name)?;
            let mut environment = service.environment.clone();
            environment.extend(variables(config, people.service_tokens.get(&service.name)?, urls, connect_url));
            Some(Self { service: service.clone(), environment })
        });
        managed.collect()
    }

    async fn spawn(&self) -> anyhow::Result<Child> {
        let (program, arguments) = self.service.command.split_first().context("the command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(inherited(&[], |key| env::var(key).ok()));
        if let Some(user) = &self.service.user {
            let account = Owner::SystemUsers.account(user).await?;
            command.envs(account.variables);
            if let Some((user, group)) = account.ids {
                command.uid(user).gid(group);
            }
        }
        command.envs(&self.environment).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        if let Some(directory) = &self.service.directory {
            command.current_dir(directory);
        }
        command.spawn().with_context(|| format!("failed to start {program}"))
    }
}

/// What JupyterHub tells a service of itself and the hub.
fn variables(config: &ServiceConfig, token: &SecretString, urls: &Urls, connect_url: &str) -> BTreeMap<String, String> {
    let name = &config.name;
    let access = json!(["access:services", format!("access:services!service={name}")]).to_string();
    let allowed = json!(config.oauth_client_allowed_scopes).to_string();
    let token = token.expose_secret();
    let callback = config.oauth_redirect_uri.clone().unwrap_or_else(|| urls.service(name) + "oauth_callback");
    let mut variables = vec![
        ("JPY_API_TOKEN", token.to_owned()),
        ("JUPYTERHUB_API_TOKEN", token.to_owned()),
        ("JUPYTERHUB_API_URL", format!("{connect_url}{}api", urls.hub())),
        ("JUPYTERHUB_BASE_URL", urls.base().to_owned()),
        ("JUPYTERHUB_CLIENT_ID", config.client_id()),
        ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0".to_owned()),
        ("JUPYTERHUB_HOST", urls.public().map(|url| url.origin().ascii_serialization()).unwrap_or_default()),
        ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", access.clone()),
        ("JUPYTERHUB_OAUTH_CALLBACK_URL", callback),
        ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", allowed),
        ("JUPYTERHUB_OAUTH_SCOPES", access),
        ("JUPYTERHUB_PUBLIC_HUB_URL", urls.absolute(urls.hub()).unwrap_or_default()),
        ("JUPYTERHUB_SERVICE_NAME", name.clone()),
    ];
    if let Some(url) = &config.url {
        let path = names::service_path(urls.base(), name);
        variables.push(("JUPYTERHUB_PUBLIC_URL", urls.absolute(&path).unwrap_or_default()));
        variables.push(("JUPYTERHUB_SERVICE_PREFIX", path));
        variables.push(("JUPYTERHUB_SERVICE_URL", url.clone()));
    }
    variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Runs services until `stopping`, and then ends them. Those that a killed hub left end first.
pub(super) async fn run(services: Vec<Service>, stopping: CancellationToken) {
    end_left(Path::new(NOTES));
    let notes = Notes::default();
    let mut running = JoinSet::new();
    for service in services {
        running.spawn(keep(service, notes.clone(), stopping.clone()));
    }
    running.join_all().await;
    let _ = fs::remove_file(NOTES);
}

async fn keep(service: Service, notes: Notes, stopping: CancellationToken) {
    let name = service.service.name.clone();
    let mut wait = FIRST_WAIT;
    while !stopping.is_cancelled() {
        let began = Instant::now();
        match service.spawn().await {
            Ok(mut child) => {
                notes.add(&name, Group::of(&child));
                let how = tokio::select! {
                    () = stopping.cancelled() => return end(child).await,
                    ended = child.wait() => ended.map_or_else(|error| error.to_string(), |status| status.to_string()),
                };
                tracing::error!(service = name, how, "a service ended and is started again");
            }
            Err(error) => {
                tracing::error!(service = name, error.message = format!("{error:#}"), "a service can't be started");
            }
        }
        wait = if began.elapsed() > STEADY { FIRST_WAIT } else { wait };
        stopping.run_until_cancelled(sleep(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Ends a service with all that it started.
async fn end(mut child: Child) {
    let Some(group) = Group::of(&child) else { return };
    group.terminate();
    let _ = timeout(GRACE, child.wait()).await;
    group.kill();
}

/// The processes of services, by the services' names, as they are written down.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<String, Value>>>);

impl Notes {
    fn add(&self, service: &str, group: Option<Group>) {
        let Some(group) = group else { return };
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(service.to_owned(), json!({ "pid": group.pid(), "started": group.started() }));
        let text = json!(*notes).to_string();
        if let Err(error) = write_private(Path::new(NOTES), text.as_bytes()) {
            tracing::warn!(error.message = format!("{error:#}"), "services that a killed hub leaves won't be found");
        }
    }
}

fn end_left(notes: &Path) {
    let text = fs::read(notes).unwrap_or_default();
    let notes: BTreeMap<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
    for (service, group) in notes.iter().filter_map(|(service, note)| Some((service, Group::from_state(note)?))) {
        tracing::warn!(service, pid = group.pid(), "ending a service of the last run");
        group.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_what_jupyterhub_tells_it() {
        let config = ServiceConfig {
            name: "grades".to_owned(),
            url: Some("http://127.0.0.1:9000".to_owned()),
            ..ServiceConfig::default()
        };
        let urls = Urls::new("/b/", Some("https://hub.example.org/b/".parse().unwrap()));
        let told = variables(&config, &SecretString::from("the-token"), &urls, "http://127.0.0.1:8081");
        let scopes = r#"["access:services","access:services!service=grades"]"#;
        for (name, value) in [
            ("API_TOKEN", "the-token"),
            ("API_URL", "http://127.0.0.1:8081/b/hub/api"),
            ("BASE_URL", "/b/"),
            ("CLIENT_ID", "service-grades"),
            ("HOST", "https://hub.example.org"),
            ("OAUTH_ACCESS_SCOPES", scopes),
            ("OAUTH_CALLBACK_URL", "/b/services/grades/oauth_callback"),
            ("OAUTH_CLIENT_ALLOWED_SCOPES", "[]"),
            ("OAUTH_SCOPES", scopes),
            ("PUBLIC_HUB_URL", "https://hub.example.org/b/hub/"),
            ("PUBLIC_URL", "https://hub.example.org/b/services/grades/"),
            ("SERVICE_NAME", "grades"),
            ("SERVICE_PREFIX", "/b/services/grades/"),
            ("SERVICE_URL", "http://127.0.0.1:9000"),
        ] {
            assert_eq!(told[&format!("JUPYTERHUB_{name}")], value, "{name}");
        }
        let without_url =
            variables(&ServiceConfig { url: None, ..config }, &SecretString::from("x"), &urls, "http://h");
        assert!(!without_url.contains_key("JUPYTERHUB_SERVICE_URL"));
    }
}
