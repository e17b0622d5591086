//! Where the hub tells people that it is: when it starts (S9), in one-time links, and in the list of servers (S14).

use hub_crds::{config::HubConfig, forwarded_ports, forwarded_url, login_url, names::child};

use crate::{
    app::App,
    authenticator::{Authenticator, TokenUser},
    urls::Urls,
};

/// An address of the hub for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole address, which ends with the base URL.
    pub url: String,
    /// The command that makes it lead here, if it doesn't by itself.
    pub forward: Option<String>,
    /// The command that shows the login URLs, if there is one.
    pub show_logins: Option<String>,
}

impl Address {
    /// The address of a hub whose settings these are: the public one, or that of a forwarded port.
    pub fn of(config: &HubConfig, urls: &Urls) -> Self {
        let hub = config.kubernetes.as_ref().map(|kubernetes| &kubernetes.hub);
        let forward = hub.map(|hub| {
            let (namespace, service) = (&hub.namespace, child::proxy_public(&hub.name));
            let ports = forwarded_ports(config.https);
            format!("kubectl --namespace {namespace} port-forward service/{service} {ports}")
        });
        let show_logins = hub.map(|hub| {
            let (namespace, secret) = (&hub.namespace, child::login_urls(&hub.name));
            format!(
                "kubectl --namespace {namespace} get secret {secret} --output \
                 go-template='{{{{range .data}}}}{{{{base64decode .}}}}{{{{\"\\n\"}}}}{{{{end}}}}'"
            )
        });
        match urls.public() {
            Some(public) => Self { url: public.to_string(), forward: None, show_logins },
            None => Self { url: forwarded_url(config.https, &config.base_url), forward, show_logins },
        }
    }

    /// The address that logs in whose token it is.
    pub fn login(&self, token: &str) -> String {
        login_url(&self.url, token)
    }

    /// What the log says when the hub has started (S9). `logins` are login URLs; `None` keeps them out of the log.
    pub fn announcement(&self, logins: Option<&[String]>) -> String {
        let mut text = "The Hub is running at:".to_owned();
        let urls = match logins {
            Some(logins) if !logins.is_empty() => logins,
            _ => std::slice::from_ref(&self.url),
        };
        for url in urls {
            text.push_str(&format!("\n    {url}"));
        }
        if let (None, Some(command)) = (logins, &self.show_logins) {
            text.push_str(&format!("\nThe addresses that log in are not logged; they are shown by:\n    {command}"));
        }
        if let Some(command) = &self.forward {
            text.push_str(&format!("\nIt is there as long as this runs:\n    {command}"));
        }
        text
    }
}

impl App {
    /// The address with the token of each user who may log in with one.
    pub fn login_urls(&self) -> Vec<String> {
        let Authenticator::Token(tokens) = &self.authenticator else { return Vec::new() };
        let admitted = tokens.users().filter(|user| self.allow.admits(&user.name));
        admitted.filter_map(TokenUser::read_token).map(|token| self.address.login(&token)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(public: bool) -> Address {
        let config = serde_json::from_value(serde_json::json!({
            "baseUrl": "/jupyter/",
            "bind": "0.0.0.0:8081",
            "connectUrl": "http://physics-hub.lab:8081",
            "https": "external",
            "databaseFile": "d",
            "cookieSecretFile": "c",
            "proxy": {"apiUrl": "http://physics-proxy-api.lab:8001", "tokenFile": "p"},
            "auth": {"authenticator": {"type": "token", "users": [], "tokensDir": "t", "log": true}},
            "controlSocket": "s",
            "kubernetes": {
                "hub": {"name": "physics", "namespace": "lab", "uid": "u"},
                "namespace": "lab",
                "singleuser": {},
            },
        }))
        .unwrap();
        let public = public.then(|| "https://hub.example.org/jupyter/".parse().unwrap());
        Address::of(&config, &Urls::new("/jupyter/", public))
    }

    #[test]
    fn the_log_holds_the_login_urls_in_the_words_of_the_page_s9() {
        let public = address(true);
        let urls = ["a".repeat(48), "b".repeat(48)].map(|token| public.login(&token));
        assert_eq!(
            public.announcement(Some(&urls)),
            format!(
                "The Hub is running at:\n    https://hub.example.org/jupyter/?token={}\n    \
                 https://hub.example.org/jupyter/?token={}",
                "a".repeat(48),
                "b".repeat(48)
            )
        );
        let forwarded = address(false);
        assert_eq!(
            forwarded.announcement(Some(&[forwarded.login("abcdefgh")])),
            "The Hub is running at:\n    http://localhost:8000/jupyter/?token=abcdefgh\nIt is there as long as this runs:\n    \
             kubectl --namespace lab port-forward service/physics-proxy-public 8000:80"
        );
        assert_eq!(public.announcement(Some(&[])), "The Hub is running at:\n    https://hub.example.org/jupyter/");
    }

    #[test]
    fn a_log_without_tokens_says_how_to_read_them_s9() {
        assert_eq!(
            address(true).announcement(None),
            "The Hub is running at:\n    https://hub.example.org/jupyter/\nThe addresses that log in are not logged; they are \
             shown by:\n    kubectl --namespace lab get secret physics-login-urls --output \
             go-template='{{range .data}}{{base64decode .}}{{\"\\n\"}}{{end}}'"
        );
    }
}
