//! Who may log in and how, and who may do what: authenticator, lists, services, roles, groups and scopes.

use hub_crds::{
    CustomScope, HubGroup, HubRole,
    config::{OidcProvider, Problem, RbacConfig, ServiceConfig},
};
use hub_traitlets::{Error, Found, Value};
use secrecy::SecretString;
use std::{collections::BTreeMap, path::PathBuf};

use super::{HUB, oidc};
use crate::reader::{Classes, Reader, SettingsError, command, unusable};

/// The way of logging in.
#[derive(Debug)]
pub enum Authenticator {
    /// Any name, one shared password or none: for trials.
    Dummy { password: Option<SecretString> },
    /// At a provider.
    Provider(Provider),
    /// One that this hub doesn't have, by the name that the settings have for it.
    Other(String),
}

/// A provider that people log in at.
#[derive(Debug)]
pub struct Provider {
    pub provider: Box<OidcProvider>,
    pub client_secret: SecretString,
    /// Groups that it names, whose members may come in.
    pub allowed_groups: Vec<String>,
    /// Users' groups are those that it names.
    pub manage_groups: bool,
    /// The login page leads on at once.
    pub auto_login: bool,
}

/// Who may come in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Allow {
    pub all: bool,
    pub users: Vec<String>,
    pub blocked: Vec<String>,
    pub admins: Vec<String>,
    /// Groups that a provider names: of whom may come in, and of administrators.
    pub groups: Vec<String>,
    pub admin_groups: Vec<String>,
}

/// Everything about people.
#[derive(Debug)]
pub struct People {
    pub authenticator: Authenticator,
    pub allow: Allow,
    /// What a login brings along is kept, encrypted. Needs a key.
    pub enable_auth_state: bool,
    pub rbac: RbacConfig,
    /// The API tokens of services, by the services' names.
    pub service_tokens: BTreeMap<String, SecretString>,
    /// Services that the hub runs.
    pub managed: Vec<ManagedService>,
}

/// A program that the hub starts beside itself, and starts again when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedService {
    pub name: String,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Without it the hub's own.
    pub directory: Option<PathBuf>,
    /// A system user; without it the hub's own.
    pub user: Option<String>,
}

const DUMMY: Classes = &["DummyAuthenticator", "Authenticator"];
const ANY: Classes = &["Authenticator"];

impl People {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        let class = reader.string(HUB, "authenticator_class")?.unwrap_or_else(|| "pam".to_owned());
        let is_dummy = matches!(class.as_str(), "dummy" | "jupyterhub.auth.DummyAuthenticator");
        let provider = oidc::Kind::parse(&class);
        let classes = match provider {
            Some(kind) => kind.classes(),
            None if is_dummy => DUMMY,
            None => ANY,
        };
        let names = |name| -> Result<Vec<String>, Error> {
            Ok(reader.read(classes, name, Found::strings)?.unwrap_or_default())
        };
        let users = names("allowed_users")?;
        // JupyterHub's trial authenticator lets everybody in unless a list says whom.
        let all = reader.read(classes, "allow_all", Found::bool)?.unwrap_or(is_dummy && users.is_empty());
        // It leads from the login page to one that the authenticator names: others have none.
        reader.read(classes, "auto_login", Found::bool)?;
        let authenticator = match provider {
            Some(kind) => Authenticator::Provider(oidc::read(kind, reader)?),
            None if is_dummy => Authenticator::Dummy {
                // A variable that isn't there must not let everybody in.
                password: reader.text(&["DummyAuthenticator"], "password")?.map(|(_, text)| text.into()),
            },
            None => Authenticator::Other(class),
        };
        let (of_provider, admin_groups) = match &authenticator {
            Authenticator::Provider(it) => (it.allowed_groups.clone(), it.provider.admin_groups.clone()),
            Authenticator::Dummy { .. } | Authenticator::Other(_) => (Vec::new(), Vec::new()),
        };
        let services = services(reader)?;
        let rbac = RbacConfig {
            services: services.iter().map(|service| service.config.clone()).collect(),
            roles: roles(reader)?,
            groups: groups(reader)?,
            custom_scopes: custom_scopes(reader)?,
        };
        check(&rbac, reader)?;
        Ok(Self {
            authenticator,
            allow: Allow {
                all,
                users,
                blocked: names("blocked_users")?,
                admins: names("admin_users")?,
                groups: of_provider,
                admin_groups,
            },
            enable_auth_state: reader.read(classes, "enable_auth_state", Found::bool)?.unwrap_or(false),
            rbac,
            service_tokens: services
                .iter()
                .filter_map(|service| Some((service.config.name.clone(), service.token.clone()?)))
                .collect(),
            managed: services.into_iter().filter_map(|service| service.managed).collect(),
        })
    }
}

/// A service of the settings.
struct Service {
    config: ServiceConfig,
    token: Option<SecretString>,
    managed: Option<ManagedService>,
}

fn services(reader: &Reader<'_>) -> Result<Vec<Service>, SettingsError> {
    each(reader, "services", |fields| {
        let name = fields.name()?;
        let run = fields.read("command", command)?.filter(|command| !command.is_empty());
        let environment = fields.texts("environment")?.unwrap_or_default();
        let (directory, user) = (fields.string("cwd")?, fields.string("user")?);
        // How long JupyterHub waits for the service when it starts; this hub waits for none.
        fields.read("timeout", |it| it.int::<u32>())?;
        Ok(Service {
            managed: run.map(|command| ManagedService {
                name: name.clone(),
                command,
                environment,
                directory: directory.map(PathBuf::from),
                user,
            }),
            token: fields.string("api_token")?.map(SecretString::from),
            config: ServiceConfig {
                url: fields.string("url")?,
                token_file: None,
                oauth_redirect_uri: fields.string("oauth_redirect_uri")?,
                oauth_client_id: fields.string("oauth_client_id")?,
                oauth_client_allowed_scopes: fields
                    .read("oauth_client_allowed_scopes", |it| it.strings())?
                    .unwrap_or_default(),
                oauth_no_confirm: fields.read("oauth_no_confirm", |it| it.bool())?.unwrap_or(false),
                display: fields.read("display", |it| it.bool())?.unwrap_or(true),
                admin: fields.read("admin", |it| it.bool())?.unwrap_or(false),
                info: fields.texts("info")?.unwrap_or_default(),
                name,
            },
        })
    })
}

fn roles(reader: &Reader<'_>) -> Result<Vec<HubRole>, SettingsError> {
    each(reader, "load_roles", |fields| {
        Ok(HubRole {
            name: fields.name()?,
            description: fields.string("description")?,
            scopes: fields.read("scopes", |it| it.strings())?,
            users: fields.read("users", |it| it.strings())?,
            groups: fields.read("groups", |it| it.strings())?,
            services: fields.read("services", |it| it.strings())?,
        })
    })
}

/// Groups by name: a list of users, or a dict with the users and what is known of the group.
fn groups(reader: &Reader<'_>) -> Result<Vec<HubGroup>, SettingsError> {
    let Some(found) = reader.find(HUB, "load_groups") else { return Ok(Vec::new()) };
    let groups = found.dict()?.into_iter().map(|(name, value)| {
        let place = format!("load_groups[{name}]");
        let within = Found { trait_name: &place, value: &value, ..found };
        let Value::Dict(_) = value else {
            return Ok(HubGroup { name, users: within.strings()?, properties: None });
        };
        let mut fields = Fields::of(within)?;
        let (users, properties) =
            (fields.read("users", |it| it.strings())?.unwrap_or_default(), fields.texts("properties")?);
        fields.end()?;
        Ok(HubGroup { name, users, properties })
    });
    groups.collect()
}

fn custom_scopes(reader: &Reader<'_>) -> Result<Vec<CustomScope>, SettingsError> {
    let Some(found) = reader.find(HUB, "custom_scopes") else { return Ok(Vec::new()) };
    let scopes = found.dict()?.into_iter().map(|(name, value)| {
        let place = format!("custom_scopes[{name}]");
        let mut fields = Fields::of(Found { trait_name: &place, value: &value, ..found })?;
        let description = fields.string("description")?.unwrap_or_default();
        let subscopes = fields.read("subscopes", |it| it.strings())?.unwrap_or_default();
        fields.end()?;
        Ok(CustomScope { name, description, subscopes })
    });
    scopes.collect()
}

/// What the types can't say: judged as the operator judges it.
fn check(rbac: &RbacConfig, reader: &Reader<'_>) -> Result<(), SettingsError> {
    let Some(Problem { field, message }) = rbac.problems().into_iter().next() else { return Ok(()) };
    let (list, rest) = field.split_at(field.find('[').unwrap_or(field.len()));
    let list = match list {
        "roles" => "load_roles",
        "groups" => "load_groups",
        "customScopes" => "custom_scopes",
        _ => "services",
    };
    let place = format!("{list}{}", snake_case(rest));
    Err(match reader.find(HUB, list) {
        Some(found) => unusable(&Found { trait_name: &place, ..found }, message),
        None => SettingsError::Refused(vec![format!("failed to use JupyterHub.{place}: {message}")]),
    })
}

/// `[a].oauthClientId` as `[a].oauth_client_id`: only the part after the brackets is a field's name.
fn snake_case(field: &str) -> String {
    let (name, field) = field.split_at(field.rfind(']').map_or(0, |end| end + 1));
    let lower = |c: char| if c.is_ascii_uppercase() { format!("_{}", c.to_ascii_lowercase()) } else { c.to_string() };
    name.to_owned() + &field.chars().map(lower).collect::<String>()
}

/// Reads each dict of a list.
fn each<T>(
    reader: &Reader<'_>,
    list: &'static str,
    read: impl Fn(&mut Fields<'_>) -> Result<T, SettingsError>,
) -> Result<Vec<T>, SettingsError> {
    let Some(found) = reader.find(HUB, list) else { return Ok(Vec::new()) };
    let (Value::List(items) | Value::Tuple(items)) = found.value else {
        return Err(found.error("write a list of dicts, as [{'name': 'a'}], in the file that --config names").into());
    };
    let dicts = items.iter().enumerate().map(|(index, value)| {
        let place = format!("{list}[{index}]");
        let mut fields = Fields::of(Found { trait_name: &place, value, ..found })?;
        let dict = read(&mut fields)?;
        fields.end()?;
        Ok(dict)
    });
    dicts.collect()
}

/// A dict of a setting, from which each key is taken once: what is left at the end isn't known.
struct Fields<'a> {
    within: Found<'a>,
    /// How errors call the dict, such as `services[grades]`.
    place: String,
    values: BTreeMap<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(found: Found<'a>) -> Result<Self, Error> {
        let values = found.dict()?.into_iter().collect();
        Ok(Self { within: found, place: found.trait_name.to_owned(), values, known: Vec::new() })
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        reader: impl FnOnce(&Found<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, SettingsError> {
        self.known.push(key);
        let Some(value) = self.values.remove(key) else { return Ok(None) };
        let name = format!("{}.{key}", self.place);
        let Found { class, origin, .. } = self.within;
        let found = Found { class, trait_name: &name, value: &value, origin };
        Ok(found.not_none().map(|found| reader(&found)).transpose()?)
    }

    fn string(&mut self, key: &'static str) -> Result<Option<String>, SettingsError> {
        Ok(self.read(key, |it| it.string())?.filter(|text| !text.is_empty()))
    }

    /// A dict of texts.
    fn texts(&mut self, key: &'static str) -> Result<Option<BTreeMap<String, String>>, SettingsError> {
        self.read(key, texts)
    }

    /// The name, by which errors call the rest.
    fn name(&mut self) -> Result<String, SettingsError> {
        let name = self.string("name")?.ok_or_else(|| unusable(&self.within, "it has no name; write 'name': 'a'"))?;
        let list = self.place.split('[').next().unwrap_or_default();
        self.place = format!("{list}[{name}]");
        Ok(name)
    }

    fn end(self) -> Result<(), SettingsError> {
        let Some(unknown) = self.values.keys().next() else { return Ok(()) };
        let found = Found { trait_name: &self.place, ..self.within };
        Err(unusable(&found, format!("`{unknown}` is not known; known are {}", self.known.join(", "))))
    }
}

/// A dict of texts.
pub(super) fn texts(found: &Found<'_>) -> Result<BTreeMap<String, String>, Error> {
    let text = |(key, value): (String, Value)| {
        let name = format!("{}[{key}]", found.trait_name);
        let text = Found { trait_name: &name, value: &value, ..*found }.string()?;
        Ok((key, text))
    };
    found.dict()?.into_iter().map(text).collect()
}
