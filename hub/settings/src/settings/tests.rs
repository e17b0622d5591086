//! Settings as files have them, and what is said of those that can't be used.

use super::*;
use hub_traitlets::load;
use secrecy::ExposeSecret;
use std::fs;

fn read_with(python: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jupyterhub_config.py");
    fs::write(&file, python).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = load(&["jupyterhub_config"], &[], Some(&file), &variables).map_err(|error| error.to_string())?;
    let complaint = |error: SettingsError| error.to_string().replace(&dir.path().display().to_string(), "DIR");
    Settings::read(&config, &variables).map_err(complaint)
}

fn read(python: &str) -> Result<Settings, String> {
    read_with(python, &[])
}

#[test]
fn the_pages_lines_are_read_s37_s38_s39_s52_s84() {
    let settings = read(
        "c = get_config()
c.JupyterHub.ssl_key = '/path/to/my.key'
c.JupyterHub.ssl_cert = '/path/to/my.cert'
c.ConfigurableHTTPProxy.api_token = 'abc123'
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:8001'
c.JupyterHub.cookie_secret = bytes.fromhex('6b6b')
c.JupyterHub.bind_url = 'http://:443'
",
    )
    .unwrap();
    let tls = settings.tls.unwrap();
    assert_eq!((tls.certificate, tls.key), ("/path/to/my.cert".into(), Some("/path/to/my.key".into())));
    assert_eq!((settings.addresses.ip.as_deref(), settings.addresses.port), (Some("0.0.0.0"), Some(443)));
    assert_eq!(settings.proxy.token.unwrap().secret.expose_secret(), "abc123");
    assert_eq!(settings.proxy.api, Some(("127.0.0.1".to_owned(), 8001)));
    assert!(
        matches!(settings.cookie_secret, CookieSecretPlace::Value { secret, .. } if secret.expose_secret() == b"kk")
    );
    assert!(read("c.JupyterHub.ssl_cert = '/x.pem'").unwrap().tls.unwrap().key.is_none());
    let nothing = read("").unwrap();
    assert!(nothing.tls.is_none() && nothing.proxy.token.is_none());
    assert_eq!((nothing.addresses.ip, nothing.addresses.port), (None, None));
    assert!(matches!(nothing.cookie_secret, CookieSecretPlace::File(None)));
}

#[test]
fn none_and_an_empty_string_are_errors_that_say_to_remove_the_line_s48() {
    for name in ["ssl_key", "ssl_cert"] {
        for value in ["None", "''"] {
            let refused = read(&format!("c.JupyterHub.ssl_cert = '/c'\nc.JupyterHub.{name} = {value}")).unwrap_err();
            assert!(
                refused.starts_with(&format!("failed to use JupyterHub.{name} from DIR/jupyterhub_config.py:2")),
                "{refused}"
            );
            assert!(refused.ends_with("remove the line"), "{refused}");
        }
    }
}

#[test]
fn a_setting_goes_before_the_environment_s53_s83() {
    let variables = [("CONFIGPROXY_AUTH_TOKEN", "env"), ("JPY_COOKIE_SECRET", "6c6c")];
    let settings = read_with("", &variables).unwrap();
    assert_eq!(settings.proxy.token.unwrap().secret.expose_secret(), "env");
    assert!(
        matches!(settings.cookie_secret, CookieSecretPlace::Value { secret, .. } if secret.expose_secret() == b"ll")
    );
    let both = "c.ConfigurableHTTPProxy.auth_token = 'set'\nc.JupyterHub.cookie_secret = '6b6b'";
    let settings = read_with(both, &variables).unwrap();
    assert_eq!(settings.proxy.token.unwrap().secret.expose_secret(), "set");
    assert!(
        matches!(settings.cookie_secret, CookieSecretPlace::Value { secret, .. } if secret.expose_secret() == b"kk")
    );
    // The environment goes before the file.
    let settings = read_with("c.JupyterHub.cookie_secret_file = '/s'", &variables).unwrap();
    assert!(matches!(settings.cookie_secret, CookieSecretPlace::Value { .. }));
}

#[test]
fn what_cannot_be_used_is_said_with_its_place_and_the_remedy() {
    for (python, remedy) in [
        ("c.JupyterHub.ssl_kye = '/x'", "write JupyterHub.ssl_key if you mean that"),
        ("c.JupyterHub.ssl_key = '/x'", "set JupyterHub.ssl_cert, too"),
        ("c.JupyterHub.cookie_secret = 'secret'", "openssl rand -hex 32"),
        ("c.JupyterHub.cookie_secret = ''", "remove the line"),
        ("c.JupyterHub.bind_url = 'secret'", "http://127.0.0.1:8000"),
        ("c.ConfigurableHTTPProxy.api_url = 'http://:8001/x/'", "a path is not possible"),
        ("c.ConfigurableHTTPProxy.auth_token = 'se cret'", "openssl rand -hex 32"),
        ("c.ConfigurableHTTPProxy.api_url = 'secret'", "http://127.0.0.1:8001"),
        ("c.JupyterHub.port = 'secret'", "write a whole number"),
    ] {
        let refused = read(python).unwrap_err();
        assert!(refused.contains(remedy) && refused.contains("jupyterhub_config.py:1"), "{python}: {refused}");
        assert!(!refused.contains("se cret") && !refused.contains("'secret'"), "{refused}");
    }
    let refused = read_with("", &[("JPY_COOKIE_SECRET", "secret")]).unwrap_err();
    assert!(refused.contains("JPY_COOKIE_SECRET: it must be an even number"), "{refused}");
}

/// What a hub starts with.
const GOOD: &str = "c.JupyterHub.authenticator_class = 'dummy'\n";

/// Each with a value that can be used, one of a wrong type, and a part of what is said of that.
const UNDERSTOOD: &[(&str, &str, &str, &str)] = &[
    ("JupyterHub.bind_url", "'http://127.0.0.1:8000/jupyter/'", "8000", "write a string"),
    ("JupyterHub.hub_bind_url", "'http://*:8081'", "8081", "write a string"),
    ("JupyterHub.hub_connect_url", "'http://hub:8081'", "8081", "write a string"),
    ("JupyterHub.hub_connect_ip", "'hub'", "1", "write a string"),
    ("JupyterHub.hub_ip", "'0.0.0.0'", "0", "write a string"),
    ("JupyterHub.hub_port", "8082", "'8082'", "write a whole number"),
    ("JupyterHub.ip", "'127.0.0.1'", "1", "write a string"),
    ("JupyterHub.port", "9000", "'9000'", "write a whole number"),
    ("JupyterHub.base_url", "'/jupyter/'", "1", "write a string"),
    ("JupyterHub.public_url", "'https://hub.example.org/'", "1", "write a string"),
    ("JupyterHub.subdomain_host", "'https://hub.example.org'", "'ftp://x'", "https://hub.example.com"),
    ("JupyterHub.db_url", "'sqlite:///hub.sqlite'", "1", "write a string"),
    ("JupyterHub.cookie_secret", "b'0123456789abcdef'", "1", "write a string"),
    ("JupyterHub.cookie_secret_file", "'/srv/secret'", "1", "write a string"),
    ("JupyterHub.cookie_max_age_days", "7.0", "0.5", "from 1 to 400"),
    ("JupyterHub.ssl_cert", "'/srv/cert.pem'", "1", "write a string"),
    ("JupyterHub.authenticator_class", "'jupyterhub.auth.DummyAuthenticator'", "1", "write a string"),
    ("JupyterHub.spawner_class", "'simple'", "1", "write a string"),
    ("JupyterHub.services", "[{'name': 'a', 'api_token': 'x'}]", "{'a': 1}", "write a list of dicts"),
    ("JupyterHub.load_roles", "[{'name': 'grader', 'users': ['a']}]", "['grader']", "write a dict"),
    ("JupyterHub.load_groups", "{'class': ['a'], 'staff': {'users': ['b']}}", "['class']", "write a dict"),
    ("JupyterHub.custom_scopes", "{'custom:a:b': {'description': 'x'}}", "1", "write a dict"),
    ("JupyterHub.allow_named_servers", "True", "'yes'", "write True or False"),
    ("JupyterHub.named_server_limit_per_user", "3", "'3'", "write a whole number"),
    ("JupyterHub.concurrent_spawn_limit", "10", "-1", "as large or as small"),
    ("JupyterHub.active_server_limit", "10", "None", "write a whole number"),
    ("JupyterHub.redirect_to_server", "False", "'no'", "write True or False"),
    ("JupyterHub.default_url", "'/hub/home'", "1", "write a string"),
    ("JupyterHub.trusted_downstream_ips", "['10.0.0.1']", "'10.0.0.1'", "write a list of strings"),
    ("JupyterHub.log_level", "'DEBUG'", "'loud'", "write 'DEBUG'"),
    ("JupyterHub.log_level", "30", "25", "write 'DEBUG'"),
    ("JupyterHub.shutdown_on_logout", "True", "'no'", "write True or False"),
    ("JupyterHub.cleanup_servers", "False", "'no'", "write True or False"),
    ("JupyterHub.api_page_default_limit", "10", "'10'", "write a whole number"),
    ("JupyterHub.api_page_max_limit", "10", "1.5", "write a whole number"),
    ("JupyterHub.oauth_token_expires_in", "3600", "'1h'", "write a whole number"),
    ("JupyterHub.activity_resolution", "10", "'10'", "write a whole number"),
    ("JupyterHub.last_activity_interval", "10", "'10'", "write a whole number"),
    ("JupyterHub.authenticate_prometheus", "False", "'no'", "write True or False"),
    ("ConfigurableHTTPProxy.api_token", "'abc'", "1", "write a string"),
    ("ConfigurableHTTPProxy.auth_token", "'abc'", "b'\\xff'", "write a string"),
    ("ConfigurableHTTPProxy.api_url", "'http://127.0.0.1:8001'", "8001", "write a string"),
    ("ConfigurableHTTPProxy.should_start", "True", "'no'", "write True or False"),
    ("ConfigurableHTTPProxy.command", "['configurable-http-proxy', '--x']", "1", "write a list of strings"),
    ("ConfigurableHTTPProxy.command", "'configurable-http-proxy'", "[1]", "write a list of strings"),
    ("ConfigurableHTTPProxy.pid_file", "'proxy.pid'", "1", "write a string"),
    ("ConfigurableHTTPProxy.debug", "True", "'x'", "write True or False"),
    ("Authenticator.allow_all", "True", "'all'", "write True or False"),
    ("Authenticator.allowed_users", "{'alice', 'bob'}", "'alice'", "write a list of strings"),
    ("Authenticator.admin_users", "['alice']", "[1]", "write a list of strings"),
    ("Authenticator.blocked_users", "set_of_nobody", "'alice'", "write a list of strings"),
    ("Authenticator.enable_auth_state", "False", "'no'", "write True or False"),
    ("Authenticator.auto_login", "True", "'no'", "write True or False"),
    ("DummyAuthenticator.password", "'secret'", "1", "write a string"),
    ("Spawner.cmd", "['jupyter-labhub']", "1", "write a list of strings"),
    ("Spawner.cmd", "'jupyter-labhub'", "{'a': 1}", "write a list of strings"),
    ("Spawner.args", "['--debug']", "'--debug'", "write a list of strings"),
    ("Spawner.environment", "{'A': 'b'}", "{'A': 1}", "write a string"),
    ("Spawner.env_keep", "['A']", "'A'", "write a list of strings"),
    ("Spawner.default_url", "'/lab'", "1", "write a string"),
    ("Spawner.notebook_dir", "'~/x'", "1", "write a string"),
    ("Spawner.start_timeout", "300", "'300'", "write a whole number"),
    ("Spawner.http_timeout", "60", "-1", "as large or as small"),
    ("Spawner.poll_interval", "30", "'30'", "write a whole number"),
    ("Spawner.ip", "'127.0.0.1'", "'here'", "write an address"),
    ("Spawner.port", "8888", "'8888'", "write a whole number"),
    ("Spawner.mem_limit", "'1.5G'", "'much'", "'512M'"),
    ("Spawner.mem_limit", "1024", "True", "'512M'"),
    ("Spawner.cpu_limit", "0.5", "'half'", "write a number"),
    ("Spawner.debug", "True", "'x'", "write True or False"),
];

#[test]
fn each_setting_is_understood_and_one_of_another_type_is_refused() {
    for (name, good, wrong, said) in UNDERSTOOD {
        let good = if *good == "set_of_nobody" { "[]" } else { good };
        let settings = read(&format!("{GOOD}c.{name} = {good}")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(settings.refusals.is_empty(), "{name}: {:?}", settings.refusals);
        let refused = read(&format!("{GOOD}c.{name} = {wrong}")).expect_err(name);
        assert!(refused.contains(said) && refused.contains(":2"), "{name} = {wrong}: {refused}");
    }
}

#[test]
fn nothing_is_passed_over_in_silence() {
    let settings = read(
        "c.JupyterHub.template_paths = ['x']
c.Spawner.pre_spawn_hook = 'x'
c.GenericOAuthenticator.client_id = 'x'
c.KubeSpawner.image = 'x'
c.DummyAuthenticator.password = 'x'
",
    )
    .unwrap();
    let begin =
        |lines: &[String]| lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    // Without a class it is PAM, as in JupyterHub.
    let refused = ["JupyterHub.authenticator_class", "JupyterHub.template_paths", "Spawner.pre_spawn_hook"];
    assert_eq!(begin(&settings.refusals), refused);
    let warned = ["DummyAuthenticator.password", "GenericOAuthenticator.client_id", "KubeSpawner.image"];
    assert_eq!(begin(&settings.warnings), warned);
}

#[test]
fn addresses_are_put_together_as_in_jupyterhub() {
    let addresses = |python: &str| read(&format!("{GOOD}{python}")).unwrap().addresses;
    let all =
        addresses("c.JupyterHub.bind_url = 'http://:9000/jupyter'\nc.JupyterHub.hub_bind_url = 'http://:9001/x/'");
    assert_eq!((all.ip.as_deref(), all.port, all.base_url.as_str()), (Some("0.0.0.0"), Some(9000), "/jupyter/"));
    assert_eq!((all.hub, all.hub_connect_url), (("0.0.0.0".to_owned(), 9001), None));
    let parts =
        addresses("c.JupyterHub.ip = '::1'\nc.JupyterHub.base_url = 'b'\nc.JupyterHub.hub_connect_ip = '10.0.0.1'");
    assert_eq!((parts.ip.as_deref(), parts.port, parts.base_url.as_str()), (Some("::1"), None, "/b/"));
    assert_eq!(parts.hub_connect_url.as_deref(), Some("http://10.0.0.1:8081"));
    let public = addresses("c.JupyterHub.base_url = '/b/'\nc.JupyterHub.public_url = 'hub.example.org'");
    assert_eq!(public.public_url.unwrap().as_str(), "https://hub.example.org/b/");
    let refused = read(&format!("{GOOD}c.JupyterHub.public_url = 'https://hub.example.org/other/'")).unwrap_err();
    assert!(refused.contains("its path must be the base URL, /"), "{refused}");
}

#[test]
fn should_start_false_needs_a_token_s55() {
    let without = "c.ConfigurableHTTPProxy.should_start = False";
    let refused = read(without).unwrap_err();
    assert!(refused.contains("auth_token") && refused.contains("CONFIGPROXY_AUTH_TOKEN"), "{refused}");
    assert!(!read_with(without, &[("CONFIGPROXY_AUTH_TOKEN", "x")]).unwrap().proxy.should_start);
}

#[test]
fn a_trial_lets_everybody_in_unless_a_list_says_whom() {
    let allow = |python: &str| read(&format!("{GOOD}{python}")).unwrap().people.allow;
    assert!(allow("").all && !allow("c.Authenticator.allowed_users = ['alice']").all);
    assert!(!allow("c.Authenticator.allow_all = False").all);
    // The more special class counts.
    assert!(allow("c.Authenticator.allow_all = False\nc.DummyAuthenticator.allow_all = True").all);
}

#[test]
fn services_and_roles_are_read_and_what_is_wrong_with_one_is_said_by_name() {
    let people = read(&format!(
        "{GOOD}c.JupyterHub.services = [
    {{'name': 'grades', 'url': 'http://127.0.0.1:9000', 'api_token': 'secret', 'oauth_no_confirm': True}},
    {{'name': 'culler', 'command': ['python3', '-m', 'culler'], 'environment': {{'A': 'b'}}, 'display': False}},
]
c.JupyterHub.load_roles = [{{'name': 'cull', 'scopes': ['list:users'], 'services': ['culler']}}]
"
    ))
    .unwrap()
    .people;
    let [grades, culler] = people.rbac.services.as_slice() else { panic!("{:?}", people.rbac.services) };
    assert!(grades.oauth_no_confirm && grades.display && !culler.display);
    assert_eq!(people.service_tokens["grades"].expose_secret(), "secret");
    assert_eq!(people.managed[0].command, ["python3", "-m", "culler"]);
    assert!(!format!("{people:?}").contains("secret"));
    for (line, said) in [
        (
            "services = [{'name': 'a', 'ulr': 'secret'}]",
            "JupyterHub.services[a] from DIR/jupyterhub_config.py:2: `ulr` is not known",
        ),
        ("services = [{'url': 'secret'}]", "write 'name': 'a'"),
        ("services = [{'name': 'a', 'admin': 'secret'}]", "JupyterHub.services[a].admin"),
        ("services = [{'name': 'a', 'url': 'secret'}]", "JupyterHub.services[a].url"),
        (
            "services = [{'name': 'a', 'oauth_client_id': 'b', 'oauth_redirect_uri': '/x'}]",
            "JupyterHub.services[a].oauth_client_id",
        ),
        ("load_roles = [{'name': 'grader', 'scopes': ['read:user']}]", "JupyterHub.load_roles[grader].scopes"),
        ("load_groups = {'g': {'users': ['a'], 'x': 1}}", "JupyterHub.load_groups[g]"),
    ] {
        let refused = read(&format!("{GOOD}c.JupyterHub.{line}")).unwrap_err();
        assert!(refused.contains(said) && !refused.contains("secret"), "{line}: {refused}");
    }
}

#[test]
fn oauthenticators_settings_are_a_provider() {
    const GENERIC: &str = "c.JupyterHub.authenticator_class = 'generic-oauth'
c.GenericOAuthenticator.client_id = 'hub'
c.GenericOAuthenticator.client_secret = 'x'
c.GenericOAuthenticator.authorize_url = 'https://login/auth'
c.GenericOAuthenticator.token_url = 'https://login/token'
";
    let generic = format!(
        "{GENERIC}c.OAuthenticator.userdata_url = 'https://login/me'
c.GenericOAuthenticator.auth_state_groups_key = 'oauth_user.roles'
c.GenericOAuthenticator.allowed_groups = {{'staff'}}
c.GenericOAuthenticator.admin_groups = {{'ops'}}
c.Authenticator.manage_groups = True
"
    );
    let settings = read(&generic).unwrap();
    assert!(settings.refusals.is_empty() && settings.warnings.is_empty(), "{:?}", settings.refusals);
    assert_eq!(settings.people.allow.groups, ["staff"]);
    let Authenticator::Provider(generic) = settings.people.authenticator else { panic!("a provider") };
    assert!(generic.manage_groups && !generic.auto_login && !settings.people.allow.all);
    assert_eq!(
        (generic.provider.groups_claim.as_str(), generic.provider.username_claim.as_str()),
        ("roles", "username")
    );
    assert_eq!(generic.provider.endpoints.unwrap().userinfo_url, "https://login/me");

    let missing = read(GENERIC).unwrap_err();
    assert!(missing.contains("GenericOAuthenticator.userdata_url is not set"), "{missing}");
    let variables = [("OAUTH_CLIENT_ID", "hub"), ("OAUTH_CLIENT_SECRET", "x")];
    let github = "c.JupyterHub.authenticator_class = 'github'\nc.GitHubOAuthenticator.allowed_organizations = ['a:b']";
    let Authenticator::Provider(github) = read_with(github, &variables).unwrap().people.authenticator else {
        panic!("a provider")
    };
    assert_eq!((github.allowed_groups, github.provider.username_claim.as_str()), (vec!["a:b".to_owned()], "login"));
}
