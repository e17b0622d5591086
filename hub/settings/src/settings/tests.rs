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
