//! Services, roles, groups and custom scopes in the settings file, and what may be wrong with them: judged alike by the
//! operator, which has a condition for it, and by the hub, which does not start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use hub_auth::{
    names,
    scopes::{self, Definitions, roles},
};
use serde::{Deserialize, Serialize};

use crate::{CustomScope, HubGroup, HubRole};

/// Who may do what, beside what is so at every Hub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RbacConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<HubRole>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<HubGroup>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub custom_scopes: Vec<CustomScope>,
}

/// A program that somebody else runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceConfig {
    pub name: String,
    /// Where the proxy finds it: scheme, host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Holds its API token, which is its OAuth client's secret, too. Read again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Without it `{base_url}services/{name}/oauth_callback`, if there is a url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_redirect_uri: Option<String>,
    /// Without it `service-{name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oauth_client_allowed_scopes: Vec<String>,
    #[serde(default)]
    pub oauth_no_confirm: bool,
    /// List it on the home page.
    #[serde(default)]
    pub display: bool,
    #[serde(default)]
    pub admin: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub info: BTreeMap<String, String>,
}

impl ServiceConfig {
    /// Id of its OAuth client, if it has one.
    pub fn client_id(&self) -> String {
        self.oauth_client_id.clone().unwrap_or_else(|| names::service_client_id(&self.name))
    }
}

/// What is wrong with one field, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Below `spec` of a Hub and below `rbac` in the settings file alike: `roles[grader].scopes`.
    pub field: String,
    pub message: String,
}

impl RbacConfig {
    /// The scopes that exist at this hub.
    ///
    /// # Errors
    /// What is wrong with the declarations of custom scopes.
    pub fn definitions(&self) -> Result<Definitions, Vec<scopes::tree::WrongDeclaration>> {
        Definitions::with_custom(self.custom_scopes.iter().map(|scope| {
            let CustomScope { name, description, subscopes } = scope.clone();
            (name, scopes::CustomScope { description, includes: subscopes })
        }))
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Found(Vec::new());
        let definitions = self.definitions().unwrap_or_else(|wrong| {
            wrong.iter().for_each(|wrong| found.add("customScopes", wrong.to_string()));
            Definitions::default()
        });
        found.check_twice("services", self.services.iter().map(|service| &service.name));
        found.check_twice("roles", self.roles.iter().map(|role| &role.name));
        found.check_twice("groups", self.groups.iter().map(|group| &group.name));
        let mut clients = BTreeMap::new();
        for service in &self.services {
            found.check_service(service, &definitions);
            if let Some(other) = clients.insert(service.client_id(), &service.name) {
                let message = format!("the service {other} has the same: leave it out, or choose another");
                found.add(&format!("services[{}].oauthClientId", service.name), message);
            }
        }
        let services: BTreeSet<_> = self.services.iter().map(|service| service.name.as_str()).collect();
        self.roles.iter().for_each(|role| found.check_role(role, &services, &definitions));
        for group in &self.groups {
            found.check_users(&format!("groups[{}].users", group.name), &group.users);
        }
        found.0
    }
}

/// Problems as they are gathered.
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(Problem { field: field.to_owned(), message: message.into() });
    }

    fn check_twice<'a>(&mut self, list: &str, names: impl Iterator<Item = &'a String>) {
        let mut seen = BTreeSet::new();
        for name in names.filter(|name| !seen.insert(*name)) {
            self.add(&format!("{list}[{name}]"), "it is there twice: remove one");
        }
    }

    fn check_service(&mut self, service: &ServiceConfig, definitions: &Definitions) {
        let at = |field: &str| format!("services[{}].{field}", service.name);
        if !names::valid_service(&service.name) {
            self.add(
                &at("name"),
                "it must not be empty, hold `/` or an escape such as %20, or have blanks at its ends",
            );
        }
        if service.url.as_ref().is_some_and(|url| !is_http(url)) {
            self.add(&at("url"), "it must start with http:// or https:// and name a host");
        }
        if !service.client_id().starts_with(names::SERVICE_CLIENT) {
            self.add(&at("oauthClientId"), "it must start with `service-`: leave it out for `service-<name>`");
        }
        let logs_in = service.oauth_client_id.is_some() || service.oauth_no_confirm;
        if logs_in && service.url.is_none() && service.oauth_redirect_uri.is_none() {
            self.add(&at("oauthRedirectUri"), "a service without url that logs people in needs it: set it");
        }
        self.check_scopes(&at("oauthClientAllowedScopes"), &service.oauth_client_allowed_scopes, definitions);
    }

    fn check_role(&mut self, role: &HubRole, services: &BTreeSet<&str>, definitions: &Definitions) {
        let at = |field: &str| format!("roles[{}].{field}", role.name);
        if !roles::valid_name(&role.name) {
            self.add(
                &at("name"),
                "it must be 3 to 255 lower case letters, digits and `-_~.`, start with a letter and end with a letter or digit",
            );
        }
        if role.name == roles::ADMIN && (role.scopes.is_some() || role.description.is_some()) {
            self.add(&at("scopes"), "the role admin cannot be changed: remove scopes and description");
        }
        self.check_scopes(&at("scopes"), role.scopes.as_deref().unwrap_or_default(), definitions);
        self.check_users(&at("users"), role.users.as_deref().unwrap_or_default());
        for unknown in role.services.iter().flatten().filter(|name| !services.contains(name.as_str())) {
            self.add(&at("services"), format!("there is no service {unknown}: add it to services, or remove it here"));
        }
    }

    fn check_scopes(&mut self, field: &str, raw: &[String], definitions: &Definitions) {
        for scope in raw {
            let Err(unknown) = definitions.validate(scope) else { continue };
            let remedy = match definitions.nearest(scope) {
                Some(nearest) if nearest != *scope => format!("did you mean '{nearest}'?"),
                _ if scopes::tree::is_custom(scope.split('!').next().unwrap_or_default()) => {
                    "declare it in customScopes, or remove it".to_owned()
                }
                _ => "remove it".to_owned(),
            };
            self.add(field, format!("{unknown}: {remedy}"));
        }
    }

    fn check_users(&mut self, field: &str, users: &[String]) {
        for user in users.iter().filter(|user| !names::valid_user(user)) {
            self.add(field, format!("'{user}' cannot be a user's name: remove it"));
        }
    }
}

fn is_http(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let config: RbacConfig = serde_yaml::from_str(text).unwrap();
        config.problems().into_iter().map(|Problem { field, message }| format!("{field}: {message}")).collect()
    }

    #[test]
    fn what_is_right_has_no_problems() {
        let text = "
services:
- { name: grades, url: 'http://grades.lab:8080', oauthClientAllowedScopes: ['custom:grades:read'] }
- { name: watcher }
- { name: outside, oauthRedirectUri: 'https://other.example.org/callback', oauthNoConfirm: true }
roles:
- { name: grader, scopes: ['custom:grades:write', 'read:users!group=class'], users: [Ada], groups: [class], services: [grades] }
- { name: user, scopes: [self, 'access:services!service=grades'] }
- { name: admin, users: [ada], services: [watcher] }
groups: [{ name: class, users: [grace], properties: { year: '1' } }]
customScopes:
- { name: 'custom:grades:write', description: x, subscopes: ['custom:grades:read'] }
- { name: 'custom:grades:read', description: x }
";
        assert_eq!(problems(text), [""; 0]);
        assert_eq!(problems("{}"), [""; 0]);
    }

    #[test]
    fn what_is_wrong_names_the_field_and_the_remedy() {
        for (text, expected) in [
            (
                "roles: [{ name: grader, scopes: ['read:user'] }]",
                "roles[grader].scopes: Scope 'read:user' does not exist: did you mean 'read:users'?",
            ),
            (
                "roles: [{ name: grader, scopes: ['custom:grades:read'] }]",
                "roles[grader].scopes: Scope 'custom:grades:read' does not exist: declare it in customScopes, or remove it",
            ),
            (
                "roles: [{ name: grader, scopes: ['servers!planet=mars'] }]",
                "roles[grader].scopes: Scope filter '!planet=mars' in scope 'servers!planet=mars' does not exist: remove it",
            ),
            (
                "roles: [{ name: grader, services: [grades] }]",
                "roles[grader].services: there is no service grades: add it to services, or remove it here",
            ),
            ("roles: [{ name: ab }]", "roles[ab].name: it must be 3 to 255 lower case letters"),
            ("roles: [{ name: admin, scopes: [] }]", "roles[admin].scopes: the role admin cannot be changed"),
            ("roles: [{ name: abc }, { name: abc }]", "roles[abc]: it is there twice: remove one"),
            ("roles: [{ name: abc, users: ['a/b'] }]", "roles[abc].users: 'a/b' cannot be a user's name"),
            ("groups: [{ name: g, users: [' '] }]", "groups[g].users: ' ' cannot be a user's name"),
            ("services: [{ name: a/b }]", "services[a/b].name: it must not be empty"),
            ("services: [{ name: a, url: 'ftp://x' }]", "services[a].url: it must start with http://"),
            ("services: [{ name: a, url: 'http://' }]", "services[a].url: it must start with http://"),
            (
                "services: [{ name: a, oauthClientId: b, oauthRedirectUri: /x }]",
                "services[a].oauthClientId: it must start with `service-`",
            ),
            ("services: [{ name: a, oauthNoConfirm: true }]", "services[a].oauthRedirectUri: a service without url"),
            (
                "services: [{ name: a }, { name: b, oauthClientId: service-a, oauthRedirectUri: /x }]",
                "services[b].oauthClientId: the service a has the same",
            ),
            (
                "services: [{ name: a, oauthClientAllowedScopes: [sel] }]",
                "services[a].oauthClientAllowedScopes: Scope 'sel' does not exist: did you mean 'self'?",
            ),
            (
                "customScopes: [{ name: 'grades:read', description: x }]",
                "customScopes: 'grades:read' is no name of a custom scope",
            ),
        ] {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
        }
    }
}
