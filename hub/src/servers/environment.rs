//! The environment that a real `jupyterhub-singleuser` is started with (`JUPYTERHUB_*`). Pure. What depends on the
//! place where it runs, and its token, the spawner adds.

use hub_auth::names;
use serde_json::json;
use std::collections::BTreeMap;

use super::ServerSettings;
use crate::spawner::ServerName;

/// The whole environment of one server.
pub(super) fn environment(settings: &ServerSettings, name: &ServerName) -> BTreeMap<String, String> {
    let urls = &settings.urls;
    let prefix = urls.server_path(&name.user, &name.server);
    let api_url = format!("{}{}api", settings.connect_url.trim_end_matches('/'), urls.hub());
    let of_server = format!("access:servers!server={}", names::full_server_name(&name.user, &name.server));
    let access = json!([of_server, format!("access:servers!user={}", name.user)]).to_string();
    let host = urls.public().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let variables = [
        ("CLIENT_ID", names::server_client_id(&name.user, &name.server)),
        ("COOKIE_HOST_PREFIX_ENABLED", u8::from(settings.cookie_host_prefix).to_string()),
        ("HOST", host),
        ("OAUTH_CALLBACK_URL", urls.server_callback(&name.user, &name.server)),
        ("OAUTH_SCOPES", access.clone()),
        ("OAUTH_ACCESS_SCOPES", access),
        ("OAUTH_CLIENT_ALLOWED_SCOPES", "[]".to_owned()),
        ("USER", name.user.clone()),
        ("SERVER_NAME", name.server.clone()),
        ("ACTIVITY_URL", format!("{api_url}/users/{}/activity", names::escape(&name.user))),
        ("API_URL", api_url),
        ("BASE_URL", urls.base().to_owned()),
        ("PUBLIC_URL", urls.whole_server(&name.user, &name.server).unwrap_or_default()),
        ("PUBLIC_HUB_URL", urls.absolute(urls.hub()).unwrap_or_default()),
        ("SERVICE_PREFIX", prefix),
    ];
    variables.into_iter().map(|(key, value)| (format!("JUPYTERHUB_{key}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls::Urls;

    fn settings(base: &str, public: Option<&str>) -> ServerSettings {
        let public = public.map(|url| url.parse().unwrap());
        ServerSettings::new(Urls::new(base, public), "http://jhub-hub.jupyter:8081")
    }

    fn expected(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_default_server_gets_exactly_this() {
        let name = ServerName { user: "alice".to_owned(), server: String::new() };
        assert_eq!(
            environment(&settings("/", None), &name),
            expected(&[
                ("JUPYTERHUB_ACTIVITY_URL", "http://jhub-hub.jupyter:8081/hub/api/users/alice/activity"),
                ("JUPYTERHUB_API_URL", "http://jhub-hub.jupyter:8081/hub/api"),
                ("JUPYTERHUB_BASE_URL", "/"),
                ("JUPYTERHUB_CLIENT_ID", "jupyterhub-user-alice"),
                ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0"),
                ("JUPYTERHUB_HOST", ""),
                ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", r#"["access:servers!server=alice/","access:servers!user=alice"]"#),
                ("JUPYTERHUB_OAUTH_CALLBACK_URL", "/user/alice/oauth_callback"),
                ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", "[]"),
                ("JUPYTERHUB_OAUTH_SCOPES", r#"["access:servers!server=alice/","access:servers!user=alice"]"#),
                ("JUPYTERHUB_PUBLIC_HUB_URL", ""),
                ("JUPYTERHUB_PUBLIC_URL", ""),
                ("JUPYTERHUB_SERVER_NAME", ""),
                ("JUPYTERHUB_SERVICE_PREFIX", "/user/alice/"),
                ("JUPYTERHUB_USER", "alice"),
            ]),
        );
    }

    /// What differs for a server with a host of its own and cookies that no other host can set.
    #[test]
    fn a_server_at_its_users_own_host_is_told_both_hosts() {
        let name = ServerName { user: "zoë".to_owned(), server: "s1".to_owned() };
        let urls = Urls::with_subdomains("/jupyter/", "https://hub.example.com:8443".parse().unwrap());
        let plain = ServerSettings::new(urls, "http://jhub-hub.jupyter:8081");
        let environment = environment(&ServerSettings { cookie_host_prefix: true, ..plain }, &name);
        let server = "https://xn--zo-ija.hub.example.com:8443/jupyter/user/zo%C3%AB/s1/";
        for (key, value) in [
            ("HOST", "https://hub.example.com:8443"),
            ("PUBLIC_URL", server),
            ("PUBLIC_HUB_URL", "https://hub.example.com:8443/jupyter/hub/"),
            ("OAUTH_CALLBACK_URL", &format!("{server}oauth_callback")),
            ("SERVICE_PREFIX", "/jupyter/user/zo%C3%AB/s1/"),
            ("COOKIE_HOST_PREFIX_ENABLED", "1"),
        ] {
            assert_eq!(environment[&format!("JUPYTERHUB_{key}")], value, "{key}");
        }
    }

    /// A base path, a public address, a name that must be escaped, and a named server.
    #[test]
    fn a_named_server_below_a_base_path_gets_exactly_this() {
        let name = ServerName { user: "user+x@example.com".to_owned(), server: "s1".to_owned() };
        let settings = settings("/jupyter/", Some("https://hub.example.com:8443/jupyter/"));
        assert_eq!(
            environment(&settings, &name),
            expected(&[
                (
                    "JUPYTERHUB_ACTIVITY_URL",
                    "http://jhub-hub.jupyter:8081/jupyter/hub/api/users/user%2Bx@example.com/activity",
                ),
                ("JUPYTERHUB_API_URL", "http://jhub-hub.jupyter:8081/jupyter/hub/api"),
                ("JUPYTERHUB_BASE_URL", "/jupyter/"),
                ("JUPYTERHUB_CLIENT_ID", "jupyterhub-user-user%2Bx%40example.com+s1"),
                ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0"),
                ("JUPYTERHUB_HOST", "https://hub.example.com:8443"),
                (
                    "JUPYTERHUB_OAUTH_ACCESS_SCOPES",
                    r#"["access:servers!server=user+x@example.com/s1","access:servers!user=user+x@example.com"]"#,
                ),
                ("JUPYTERHUB_OAUTH_CALLBACK_URL", "/jupyter/user/user%2Bx@example.com/s1/oauth_callback"),
                ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", "[]"),
                (
                    "JUPYTERHUB_OAUTH_SCOPES",
                    r#"["access:servers!server=user+x@example.com/s1","access:servers!user=user+x@example.com"]"#,
                ),
                ("JUPYTERHUB_PUBLIC_HUB_URL", "https://hub.example.com:8443/jupyter/hub/"),
                ("JUPYTERHUB_PUBLIC_URL", "https://hub.example.com:8443/jupyter/user/user%2Bx@example.com/s1/"),
                ("JUPYTERHUB_SERVER_NAME", "s1"),
                ("JUPYTERHUB_SERVICE_PREFIX", "/jupyter/user/user%2Bx@example.com/s1/"),
                ("JUPYTERHUB_USER", "user+x@example.com"),
            ]),
        );
    }
}
