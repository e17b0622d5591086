//! What was understood, for `hub serve --print-settings`: a line of Python for each setting, with its place, and no secret.

use hub_traitlets::{Config, Found, Value, Variables};

use crate::{
    settings::{COOKIE_SECRET_VARIABLE, PROXY_TOKEN_VARIABLE, Settings},
    table,
};

const HIDDEN: &str = "<hidden>";
/// What the name of a secret has in it. A key of a dict, such as a service's `api_token`, is judged by its name alone.
const SECRET: [&str; 5] = ["token", "secret", "password", "passwd", "key"];

/// Each setting as `Class.trait = value  # where it stands`, the variables that count, and what has no effect.
pub fn settings(config: &Config, settings: &Settings, variables: &Variables) -> String {
    let refused = settings.refusals.iter().map(|line| format!("# error: {line}\n"));
    let warned = settings.warnings.iter().map(|line| format!("# warning: {line}\n"));
    given(config, variables) + &refused.chain(warned).collect::<String>()
}

fn given(config: &Config, variables: &Variables) -> String {
    let settings = config.iter().map(|found| format!("{} = {}  # {}\n", found.name(), shown(&found), found.origin));
    let named = [COOKIE_SECRET_VARIABLE, PROXY_TOKEN_VARIABLE].into_iter();
    let set = named.filter(|name| variables.get(*name).is_some_and(|value| !value.is_empty()));
    settings.chain(set.map(|name| format!("# {name} = {HIDDEN}  # the environment\n"))).collect()
}

fn shown(found: &Found<'_>) -> String {
    if table::is_secret(found.class, found.trait_name) {
        return HIDDEN.to_owned();
    }
    literal(found.value, found.trait_name == "environment")
}

/// The value as Python writes it. `hides_texts` hides what a dict holds, whatever its keys are called.
fn literal(value: &Value, hides_texts: bool) -> String {
    let all = |items: &[Value]| items.iter().map(|item| literal(item, hides_texts)).collect::<Vec<_>>().join(", ");
    match value {
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Str(text) => quoted(text),
        Value::Bytes(_) => HIDDEN.to_owned(),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Tuple(items) if items.len() == 1 => format!("({},)", all(items)),
        Value::Tuple(items) => format!("({})", all(items)),
        Value::Set(items) if items.is_empty() => "set()".to_owned(),
        Value::Set(items) => format!("{{{}}}", all(items)),
        Value::Dict(items) => {
            let item =
                |(key, value): &(Value, Value)| format!("{}: {}", literal(key, false), held(key, value, hides_texts));
            format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(", "))
        }
        Value::Text(texts) if texts.len() == 1 => texts.iter().map(|text| quoted(text)).collect(),
        Value::Text(texts) => format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")),
    }
}

/// What a dict holds under a key.
fn held(key: &Value, value: &Value, hides_texts: bool) -> String {
    let name = match key {
        Value::Str(name) => name.to_lowercase(),
        _ => String::new(),
    };
    if hides_texts || SECRET.iter().any(|word| name.contains(word)) {
        return HIDDEN.to_owned();
    }
    literal(value, name == "environment")
}

/// In Python's quotes; the password of an address is hidden.
fn quoted(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Ok(mut url) = url::Url::parse(text)
        && url.password().is_some()
    {
        // What has a password can have another.
        let _ = url.set_password(Some("hidden"));
        shown = url.into();
    }
    format!("'{}'", shown.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_traitlets::Origin;

    #[test]
    fn every_setting_is_shown_with_its_place_and_no_secret() {
        let file = |line| Origin::File { path: "/srv/jupyterhub_config.py".into(), line: Some(line) };
        let mut config = Config::default();
        let text = |text: &str| Value::Text(vec![text.to_owned()]);
        config.set("JupyterHub", "ip", text("::1"), Origin::CommandLine);
        config.set("JupyterHub", "cookie_secret", Value::Bytes(b"hunter2".to_vec()), file(1));
        config.set("JupyterHub", "db_url", "postgresql://hub:hunter2@db/hub".into(), file(2));
        config.set("ConfigurableHTTPProxy", "auth_token", text("hunter2"), Origin::CommandLine);
        config.set("DummyAuthenticator", "password", "hunter2".into(), file(3));
        let service = [("name", "a".into()), ("api_token", "hunter2".into()), ("admin", Value::Bool(true))];
        let dict =
            |items: &[(&str, Value)]| Value::dict(items.iter().map(|(key, value)| ((*key).into(), value.clone())));
        config.set("JupyterHub", "services", Value::List(vec![dict(&service)]), file(4));
        config.set("Spawner", "environment", dict(&[("GREETING", "hunter2".into())]), file(5));
        config.set("Spawner", "args", Value::Tuple(vec!["--a='b'".into()]), file(6));
        let variables = [("JPY_COOKIE_SECRET".to_owned(), "hunter2".to_owned())].into();
        assert_eq!(
            given(&config, &variables),
            "ConfigurableHTTPProxy.auth_token = <hidden>  # the command line
DummyAuthenticator.password = <hidden>  # /srv/jupyterhub_config.py:3
JupyterHub.cookie_secret = <hidden>  # /srv/jupyterhub_config.py:1
JupyterHub.db_url = 'postgresql://hub:hidden@db/hub'  # /srv/jupyterhub_config.py:2
JupyterHub.ip = '::1'  # the command line
JupyterHub.services = [{'name': 'a', 'api_token': <hidden>, 'admin': True}]  # /srv/jupyterhub_config.py:4
Spawner.args = ('--a=\\'b\\'',)  # /srv/jupyterhub_config.py:6
Spawner.environment = {'GREETING': <hidden>}  # /srv/jupyterhub_config.py:5
# JPY_COOKIE_SECRET = <hidden>  # the environment
"
        );
    }
}
