//! Whole objects, built from the Hub of the fixtures through the real `validate`.

use hub_crds::{ActivityTimes, ApiPages, Cull, Landing, LoginLimits, ProfileCull, Sessions};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::{
    controller::{types::Prepared, validate::validate},
    fixtures,
};

fn built(changes: &Value) -> Resources<Prepared> {
    build(&validate(&fixtures::found(changes), &fixtures::images()).unwrap())
}

fn whole(object: impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/instance": "physics",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "hub-operator",
        "jupyter.rs/hub": "physics",
        "jupyter.rs/hub-namespace": "lab",
    })
}

fn meta(name: &str, component: &str) -> Value {
    json!({
        "name": name,
        "namespace": "lab",
        "labels": labels(component),
        "ownerReferences": [{
            "apiVersion": "jupyter.rs/v1alpha1", "kind": "Hub", "name": "physics", "uid": "u-1",
            "controller": true, "blockOwnerDeletion": true,
        }],
    })
}

#[test]
fn services_lead_to_ports_by_name_and_the_api_to_proxies_that_are_not_ready() {
    let [hub, api, public] = <[_; 3]>::try_from(built(&json!({})).services).unwrap();
    assert_eq!(
        whole(hub),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta("physics-hub", "hub"),
            "spec": {
                "type": "ClusterIP",
                "selector": {"jupyter.rs/hub": "physics", "app.kubernetes.io/component": "hub"},
                "ports": [{"name": "http", "port": 8081, "protocol": "TCP", "targetPort": "http"}],
            },
        })
    );
    assert_eq!(
        whole(api),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta("physics-proxy-api", "proxy"),
            "spec": {
                "type": "ClusterIP",
                "publishNotReadyAddresses": true,
                "selector": {"jupyter.rs/hub": "physics", "app.kubernetes.io/component": "proxy"},
                "ports": [{"name": "api", "port": 8001, "protocol": "TCP", "targetPort": "api"}],
            },
        })
    );
    assert_eq!(
        whole(public),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta("physics-proxy-public", "proxy"),
            "spec": {
                "type": "NodePort",
                "selector": {"jupyter.rs/hub": "physics", "app.kubernetes.io/component": "proxy"},
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30080}],
            },
        })
    );
}

/// A node port that Kubernetes chose must not be fought over: without one in the spec the field is not sent.
#[test]
fn a_node_port_is_sent_only_when_given() {
    let services = built(&json!({"proxy": {"service": {"type": "LoadBalancer", "nodePorts": null}}})).services;
    let port = &whole(&services[2])["spec"]["ports"][0];
    assert_eq!(port.get("nodePort"), None);
}

#[test]
fn the_hub_runs_with_secrets_as_whole_directories_and_nothing_of_them_in_its_template() {
    let resources = built(&json!({}));
    let settings = &resources.config_maps[0];
    let deployment = whole(&resources.deployments[0]);
    let security = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    let probe = |period: i32, timeout: i32, failures: i32| {
        json!({
            "httpGet": {"path": "/jupyter/hub/health", "port": "http", "scheme": "HTTP"},
            "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures,
        })
    };
    let secret =
        |name: &str, secret: &str| json!({"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}});
    assert_eq!(
        deployment,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("physics-hub", "hub"),
            "spec": {
                "replicas": 1,
                "revisionHistoryLimit": 3,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"jupyter.rs/hub": "physics", "app.kubernetes.io/component": "hub"}},
                "template": {
                    "metadata": {
                        "labels": labels("hub"),
                        "annotations": {"jupyter.rs/config-checksum": config_map::checksum(settings)},
                    },
                    "spec": {
                        "serviceAccountName": "physics-hub",
                        "automountServiceAccountToken": true,
                        "enableServiceLinks": false,
                        "terminationGracePeriodSeconds": 5,
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [{
                            "name": "hub",
                            "image": "hub:1",
                            "args": ["serve", "--config", "/etc/jupyterhub/config/hub.yaml"],
                            "ports": [{"name": "http", "containerPort": 8081, "protocol": "TCP"}],
                            "resources": {},
                            "securityContext": security,
                            "startupProbe": probe(1, 1, 120),
                            "livenessProbe": probe(5, 5, 4),
                            "readinessProbe": probe(1, 1, 3),
                            "volumeMounts": [
                                {"name": "config", "mountPath": "/etc/jupyterhub/config", "readOnly": true},
                                {"name": "cookie-secret", "mountPath": "/etc/jupyterhub/secrets/cookie", "readOnly": true},
                                {"name": "proxy-token", "mountPath": "/etc/jupyterhub/secrets/proxy", "readOnly": true},
                                {"name": "data", "mountPath": "/srv/jupyterhub"},
                                {"name": "tmp", "mountPath": "/tmp"},
                                {"name": "login-tokens", "mountPath": "/etc/jupyterhub/secrets/login-tokens", "readOnly": true},
                            ],
                        }],
                        "volumes": [
                            {"name": "config", "configMap": {"name": "physics-hub"}},
                            secret("cookie-secret", "physics-cookie-secret"),
                            secret("proxy-token", "physics-proxy-token"),
                            {"name": "data", "persistentVolumeClaim": {"claimName": "physics-hub-db"}},
                            {"name": "tmp", "emptyDir": {}},
                            {"name": "login-tokens", "projected": {"defaultMode": 0o440, "sources": [
                                {"secret": {"name": "physics-login-tokens", "items": [{"key": "ada", "path": "ada"}]}},
                                {"secret": {"name": "grace-secret", "items": [{"key": "tok", "path": "grace"}]}},
                            ]}},
                        ],
                    },
                },
            },
        })
    );
}

#[test]
fn our_proxy_reads_its_token_from_a_file_and_keeps_a_snapshot() {
    let deployment = whole(&built(&json!({})).deployments[1]);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["args"],
        json!([
            "--ip=",
            "--port=8000",
            "--api-ip=",
            "--api-port=8001",
            "--metrics-port=8002",
            "--default-target=http://physics-hub.lab:8081",
            "--error-target=http://physics-hub.lab:8081/jupyter/hub/error",
            "--trusted-proxies=",
            "--auth-token-dir=/etc/jupyterhub/secrets/proxy",
            "--snapshot=/run/hub-proxy/routes.json",
            "--grace-period=20",
        ])
    );
    assert_eq!(container.get("command"), None);
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/_hub_proxy_readyz");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/_chp_healthz");
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.uid");
    assert_eq!(
        deployment["spec"]["strategy"],
        json!({
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        })
    );
    assert_eq!(deployment["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn configurable_http_proxy_gets_its_own_command_and_its_token_from_the_environment_s54() {
    let changes = json!({"proxy": {"implementation": "configurable-http-proxy"}});
    let deployment = whole(&built(&changes).deployments[1]);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "chp:5");
    assert_eq!(container["command"], json!(["configurable-http-proxy"]));
    assert!(!container["args"].to_string().contains("token"));
    assert_eq!(
        container["env"],
        json!([{"name": "CONFIGPROXY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {
            "name": "physics-proxy-token", "key": "proxy-token",
        }}}])
    );
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/_chp_healthz");
    assert_eq!(pod["volumes"], json!([{"name": "tmp", "emptyDir": {}}]));
}

/// It reads its token once, so a number on its template rolls it. Ours reads it again, and is never rolled.
#[test]
fn a_new_token_rolls_configurable_http_proxy_and_nothing_else() {
    let templates = |implementation: &str, version: u32| {
        let changes = json!({"proxy": {"implementation": implementation}});
        let mut hub = validate(&fixtures::found(&changes), &fixtures::images()).unwrap();
        hub.rotation.proxy_token_version = version;
        let deployments = build(&hub).deployments;
        deployments.into_iter().map(|deployment| whole(deployment)["spec"]["template"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(templates("hub-proxy", 0), templates("hub-proxy", 7));
    let [before, after] = [0, 7].map(|version| templates("configurable-http-proxy", version));
    assert_eq!(before[0], after[0], "the hub reads it again");
    assert_eq!(before[1]["metadata"].get("annotations"), None, "a Hub that never rotated is not rolled");
    assert_eq!(after[1]["metadata"]["annotations"], json!({"jupyter.rs/proxy-token-version": "7"}));
}

#[test]
fn the_hub_writes_its_report_into_one_config_map_and_no_other() {
    let mut resources = built(&json!({}));
    let report = whole(resources.config_maps.remove(1));
    let meta = meta("physics-report", "hub");
    assert_eq!(
        report,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}),
        "what is in it is the hub's own"
    );
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["physics-report"], "verbs": ["get", "patch"]});
    let endpoints =
        json!({"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]});
    let kind = |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta});
    let mut role = kind("Role");
    role["rules"] = json!([rule, endpoints]);
    assert_eq!(whole(resources.roles.remove(1)), role);
    let mut binding = kind("RoleBinding");
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "physics-report"});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "physics-hub", "namespace": "lab"}]);
    assert_eq!(whole(resources.role_bindings.remove(1)), binding);
    let config = resources.config_maps.remove(0).data.unwrap()["hub.yaml"].clone();
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(&config).unwrap();
    assert_eq!(config.kubernetes.unwrap().report.as_deref(), Some("physics-report"));
    assert_eq!(config.crypt_keys_file, None);
}

#[test]
fn crypt_keys_are_mounted_where_the_settings_say() {
    let mut found = fixtures::found(&json!({"security": {"cryptKeys": {}}}));
    let record = crate::secrets::Record::rotating("physics", crate::rotation::Rotating::CryptKeys, None);
    found.records.push((record, crate::secrets::Known::default()));
    let resources = build(&validate(&found, &fixtures::images()).unwrap());
    let config = &resources.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
    assert!(config.contains("cryptKeysFile: /etc/jupyterhub/secrets/crypt/crypt-keys"), "{config}");
    let pod = &whole(&resources.deployments[0])["spec"]["template"]["spec"];
    let mount = json!({"name": "crypt-keys", "mountPath": "/etc/jupyterhub/secrets/crypt", "readOnly": true});
    let volume = json!({"name": "crypt-keys", "secret": {"secretName": "physics-crypt-keys", "defaultMode": 0o440}});
    assert!(pod["containers"][0]["volumeMounts"].as_array().unwrap().contains(&mount));
    assert!(pod["volumes"].as_array().unwrap().contains(&volume));
}

/// Only then do routes begin with a host, for either proxy.
#[test]
fn with_subdomains_the_proxy_routes_by_host() {
    for implementation in ["hub-proxy", "configurable-http-proxy"] {
        let arguments = |subdomain_host: Value| {
            let changes = json!({"proxy": {"implementation": implementation}, "subdomainHost": subdomain_host});
            let deployment = whole(&built(&changes).deployments[1]);
            deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().cloned().unwrap()
        };
        assert!(arguments(json!("http://hub.example.org")).contains(&json!("--host-routing")));
        assert!(!arguments(json!(null)).contains(&json!("--host-routing")));
    }
}

#[test]
fn the_hub_is_told_of_subdomains_and_of_the_prefix_of_cookies() {
    let config = |changes: Value| -> hub_crds::config::HubConfig {
        let settings = built(&changes).config_maps.remove(0);
        serde_yaml::from_str(&settings.data.unwrap()["hub.yaml"]).unwrap()
    };
    let plain = config(json!({}));
    assert_eq!((plain.subdomain_host, plain.public_url, plain.cookie_host_prefix), (None, None, false));
    let config = config(json!({
        "https": {"type": "external"},
        "subdomainHost": "https://hub.example.org",
        "security": {"cookieHostPrefix": true},
    }));
    assert_eq!(config.subdomain_host.as_deref(), Some("https://hub.example.org"));
    assert_eq!(config.public_url.as_deref(), Some("https://hub.example.org/jupyter/"));
    assert!(config.cookie_host_prefix);
}

#[test]
fn the_settings_file_is_what_the_hub_reads() {
    let settings = built(&json!({})).config_maps.remove(0);
    let text = &settings.data.unwrap()["hub.yaml"];
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(text).unwrap();
    assert_eq!(config.base_url, "/jupyter/");
    assert_eq!(config.connect_url, "http://physics-hub.lab:8081");
    assert_eq!(config.proxy.api_url, "http://physics-proxy-api.lab:8001");
    assert_eq!(config.proxy.service.as_deref(), Some("physics-proxy-api"));
    let kubernetes = config.kubernetes.unwrap();
    assert_eq!((kubernetes.namespace.as_str(), kubernetes.hub.uid.as_str()), ("lab", "u-1"));
    assert_eq!(kubernetes.singleuser.image, "example.org/lab:1");
}

/// Hubs of before those fields, whose pods must not roll for them.
#[test]
fn what_is_as_it_always_was_is_not_in_the_settings_file() {
    let file = |changes: Value| {
        let mut settings = built(&changes).config_maps.remove(0);
        settings.data.as_mut().unwrap().remove("hub.yaml").unwrap()
    };
    let plain = file(json!({}));
    for field in
        ["sessions", "landing", "pages", "profiles", "apiPages", "activity", "loginLimits", "trustedProxies", "cull"]
    {
        assert!(!plain.contains(field), "{plain}");
    }
    let defaults = json!({"hub": {
        "cookieMaxAgeDays": 14, "oauthTokenExpiresIn": 0, "shutdownOnLogout": false, "redirectToServer": true,
        "apiPageDefaultLimit": 50, "apiPageMaxLimit": 200, "activityResolution": 30, "lastActivityInterval": 60,
    }, "security": {"login": {"maxFailures": 10, "windowSeconds": 300, "lockoutSeconds": 300}}});
    assert_eq!(file(defaults), plain);
}

#[test]
fn logs_are_json_and_the_audit_log_a_file_where_that_is_asked_for() {
    let arguments = |changes: &Value, component: usize| {
        let deployment = whole(&built(changes).deployments[component]);
        deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().cloned().unwrap()
    };
    let changes = json!({"logFormat": "json", "hub": {"auditLog": "file"}});
    let of_hub = ["serve", "--config", "/etc/jupyterhub/config/hub.yaml"].map(Value::from);
    assert_eq!(arguments(&json!({}), 0), of_hub);
    let more = ["--log-format=json", "--audit-file=/srv/jupyterhub/audit.log"].map(Value::from);
    assert_eq!(arguments(&changes, 0), [&of_hub[..], &more].concat());
    let is_json = |changes: &Value| arguments(changes, 1).contains(&json!("--log-format=json"));
    assert!(is_json(&changes) && !is_json(&json!({})));
    let other = json!({"logFormat": "json", "proxy": {"implementation": "configurable-http-proxy"}});
    assert!(!is_json(&other), "it has no such option");
}

#[test]
fn the_hub_is_told_when_to_cull_unless_that_is_off() {
    let cull = |changes: &Value| {
        let settings = built(changes).config_maps.remove(0).data.unwrap();
        serde_yaml::from_str::<hub_crds::config::HubConfig>(&settings["hub.yaml"]).unwrap().cull
    };
    assert_eq!(cull(&json!({})), None);
    assert_eq!(cull(&json!({"cull": {"enabled": false, "timeout": 60}})), None);
    assert_eq!(cull(&json!({"cull": {}})), Some(Cull::default()));
    let changes = json!({
        "cull": {"timeout": 60, "profiles": [{"slug": "gpu", "maxAge": 7}]},
        "singleuser": {"profiles": [{"slug": "gpu", "displayName": "GPU"}]},
    });
    let profiles = vec![ProfileCull { slug: "gpu".to_owned(), timeout: None, max_age: Some(7) }];
    assert_eq!(cull(&changes), Some(Cull { timeout: 60, profiles, ..Cull::default() }));
}

#[test]
fn the_hub_is_told_how_often_a_login_may_fail_and_who_says_where_it_comes_from() {
    let changes = json!({
        "security": {"login": {"maxFailures": 3, "windowSeconds": 60, "lockoutSeconds": 900}},
        "proxy": {"trustedProxies": ["10.0.0.0/8"]},
    });
    let settings = built(&changes).config_maps.remove(0);
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(&settings.data.unwrap()["hub.yaml"]).unwrap();
    assert_eq!(config.login_limits, LoginLimits { max_failures: 3, window_seconds: 60, lockout_seconds: 900 });
    assert_eq!(config.proxy.trusted_proxies, ["10.0.0.0/8"]);
}

#[test]
fn the_hub_is_told_how_long_logins_last_and_where_they_lead() {
    let changes = json!({"hub": {
        "cookieMaxAgeDays": 7, "oauthTokenExpiresIn": 3600, "shutdownOnLogout": true, "redirectToServer": false,
        "defaultUrl": "/jupyter/hub/token", "apiPageDefaultLimit": 20, "apiPageMaxLimit": 500,
        "activityResolution": 60, "lastActivityInterval": 300,
    }});
    let settings = built(&changes).config_maps.remove(0);
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(&settings.data.unwrap()["hub.yaml"]).unwrap();
    assert_eq!(
        config.sessions,
        Sessions { cookie_max_age_days: 7, oauth_token_expires_in: 3600, shutdown_on_logout: true }
    );
    let default_url = Some("/jupyter/hub/token".to_owned());
    assert_eq!(config.landing, Landing { redirect_to_server: false, default_url });
    assert_eq!(config.api_pages, ApiPages { default_limit: 20, max_limit: 500 });
    assert_eq!(config.activity, ActivityTimes { resolution: 60, interval: 300 });
}

/// The tokens are files from their Secrets; neither the settings nor the pod template has one.
/// The user of the fixture who has a Secret of their own has a token from the start; the other's is made first.
#[test]
fn login_urls_are_in_a_secret_that_goes_with_its_hub_s9() {
    let built = |record: Option<Value>| {
        let mut found = fixtures::found(&json!({"publicUrl": "https://x.org/jupyter/", "https": {"type": "external"}}));
        let live = record.map(|tokens| {
            let mut secret = (*fixtures::secret("physics-login-tokens", &tokens).1).clone();
            secret.metadata.labels = Some(crate::controller::types::own_labels("physics", "lab"));
            secret.labels_mut().insert(label::HUB_UID.to_owned(), "u-1".to_owned());
            secret
        });
        found.records[2].1.live = live;
        let secrets = build(&validate(&found, &fixtures::images()).unwrap()).secrets;
        assert_eq!(secrets.len(), 1);
        whole(&secrets[0])
    };
    let url =
        |token: &str| json!(k8s_openapi::ByteString(format!("https://x.org/jupyter/?token={token}").into_bytes()));
    let first = built(None);
    assert_eq!(
        first,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta("physics-login-urls", "hub"), "type": "Opaque",
            "data": {"grace": url("correct-horse")},
        })
    );
    let token = "c8de56fa4deed24899803e93c227592aef6538f93025fe01";
    let second = built(Some(json!({"ada": token})));
    assert_eq!(second["data"], json!({"ada": url(token), "grace": url("correct-horse")}));
    let dummy = json!({"auth": {"token": null, "dummy": {"allowAnyPassword": true}, "allowAll": true}});
    assert!(self::built(&dummy).secrets.is_empty());
}

#[test]
fn a_provider_reaches_the_hub_as_settings_and_its_secret_as_a_file() {
    let provider = json!({
        "issuer": "https://login.example.org", "clientId": "hub", "clientSecretRef": {"name": "provider", "key": "tok"},
        "adminGroups": ["ops"],
    });
    let mut found = fixtures::found(&json!({
        "publicUrl": "https://x.org/jupyter/",
        "auth": {"token": null, "oidc": provider, "allowedGroups": ["staff"], "manageGroups": true},
    }));
    found.referenced.extend([fixtures::secret("provider", &json!({"tok": "secret-of-the-hub"}))]);
    let resources = build(&validate(&found, &fixtures::images()).unwrap());
    let settings = &resources.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(settings).unwrap();
    assert!(config.auth.manage_groups && config.auth.allowed_groups == ["staff"] && !config.auth.allow_all);
    let hub_crds::config::AuthenticatorConfig::Oidc { provider, client_secret_file, ca_file } =
        config.auth.authenticator
    else {
        panic!("{settings}")
    };
    assert_eq!(provider.issuer.as_deref(), Some("https://login.example.org"));
    assert_eq!((provider.admin_groups.as_slice(), ca_file), (&["ops".to_owned()][..], None));
    assert_eq!(client_secret_file.to_str(), Some("/etc/jupyterhub/secrets/oidc/client-secret"));
    let hub = whole(&resources.deployments[0]);
    let volumes = hub["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "oidc").unwrap();
    assert_eq!(
        volume["projected"]["sources"],
        json!([{"secret": {"name": "provider", "items": [{"key": "tok", "path": "client-secret"}]}}])
    );
    assert!(!settings.contains("secret-of-the-hub") && !hub.to_string().contains("secret-of-the-hub"));
}

#[test]
fn services_reach_the_hub_as_settings_and_their_tokens_as_files() {
    let mut found = fixtures::found(&json!({
        "services": [
            {
                "name": "grades", "url": "http://grades.lab:8080", "oauthNoConfirm": true, "info": {"a": "b"},
                "apiTokenSecretRef": {"name": "grades-secret", "key": "tok"},
            },
            {"name": "plain"},
        ],
        "roles": [{"name": "grader", "scopes": ["custom:grades:read"], "users": ["grace"], "services": ["grades"]}],
        "groups": [{"name": "class", "users": ["grace"]}],
        "customScopes": [{"name": "custom:grades:read", "description": "Read grades"}],
    }));
    found.referenced.extend([fixtures::secret("grades-secret", &json!({"tok": "secret-of-grades"}))]);
    let resources = build(&validate(&found, &fixtures::images()).unwrap());
    let settings = &resources.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(settings).unwrap();
    let [grades, plain] = <[_; 2]>::try_from(config.rbac.services).unwrap();
    assert_eq!(grades.token_file.unwrap().to_str(), Some("/etc/jupyterhub/secrets/services/grades"));
    assert!(grades.oauth_no_confirm && grades.display && !grades.admin);
    assert_eq!(plain.token_file, None);
    assert_eq!(config.rbac.roles[0].services, Some(vec!["grades".to_owned()]));
    assert_eq!(config.rbac.groups[0].users, ["grace"]);
    assert_eq!(config.rbac.custom_scopes[0].name, "custom:grades:read");

    let deployment = whole(&resources.deployments[0]);
    let pod = &deployment["spec"]["template"]["spec"];
    let last = |list: &Value| list.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        last(&pod["containers"][0]["volumeMounts"]),
        json!({"name": "service-tokens", "mountPath": "/etc/jupyterhub/secrets/services", "readOnly": true})
    );
    let source = json!({"secret": {"name": "grades-secret", "items": [{"key": "tok", "path": "grades"}]}});
    assert_eq!(
        last(&pod["volumes"]),
        json!({"name": "service-tokens", "projected": {"defaultMode": 0o440, "sources": [source]}})
    );
    assert!(!settings.contains("secret-of-grades") && !deployment.to_string().contains("secret-of-grades"));
}

/// An operator that knows of services rolls no hub that has none.
#[test]
fn settings_that_say_nothing_of_services_are_as_they_were() {
    let settings = built(&json!({})).config_maps.remove(0);
    assert!(!settings.data.unwrap()["hub.yaml"].contains("rbac"));
}

#[test]
fn the_hub_may_do_what_it_needs_where_the_user_pods_are_and_nothing_else() {
    let mut resources = built(&json!({"singleuser": {"namespace": "desks"}}));
    let elsewhere = json!({"name": "physics-hub", "namespace": "desks", "labels": labels("hub")});
    let rule = |resource: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
    assert_eq!(
        whole(resources.roles.remove(0)),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": elsewhere,
            "rules": [
                rule("pods", &["get", "list", "watch", "create", "patch", "delete"]),
                rule("persistentvolumeclaims", &["get", "list", "watch", "create", "delete"]),
                rule("secrets", &["create", "patch", "delete"]),
                rule("events", &["get", "list", "watch"]),
            ],
        })
    );
    assert_eq!(
        whole(resources.role_bindings.remove(0)),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": elsewhere,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "physics-hub"},
            "subjects": [{"kind": "ServiceAccount", "name": "physics-hub", "namespace": "lab"}],
        })
    );
}

#[test]
fn the_database_claim_outlives_its_hub() {
    let mut labels = labels("hub");
    labels["jupyter.rs/hub-uid"] = json!("u-1");
    assert_eq!(
        whole(built(&json!({})).claims.remove(0)),
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "physics-hub-db", "namespace": "lab", "labels": labels},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        })
    );
}

/// What a hub is told of its database, and how the next one takes its place.
#[test]
fn a_database_is_a_file_on_a_claim_or_a_server_elsewhere() {
    let claim = |name: &str| json!({"name": "data", "persistentVolumeClaim": {"claimName": name}});
    let secret = json!({"name": "database", "secret": {
        "secretName": "db", "defaultMode": 0o440, "items": [{"key": "address", "path": "url"}],
    }});
    let postgres = json!({"type": "postgres", "urlSecretRef": {"name": "db", "key": "address"}});
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let (file, url) =
        ("databaseFile: /srv/jupyterhub/jupyterhub.sqlite", "databaseUrlFile: /etc/jupyterhub/secrets/database/url");
    for (database, claims, volume, strategy, told, not_told) in [
        (json!({}), 1, claim("physics-hub-db"), json!({"type": "Recreate"}), file, url),
        (json!({"pvc": {"claimName": "hub-db-dir"}}), 0, claim("hub-db-dir"), json!({"type": "Recreate"}), file, url),
        (postgres, 0, secret, rolling, url, file),
    ] {
        let mut found = fixtures::found(&json!({"database": database}));
        let values = json!({"address": "postgresql://hub:hunter2@db/hub"});
        let (_, referenced) = fixtures::secret("db", &values);
        found.referenced.insert("db".to_owned(), referenced);
        let built = build(&validate(&found, &fixtures::images()).unwrap());
        assert_eq!(built.claims.len(), claims);
        let spec = &whole(&built.deployments[0])["spec"];
        let volumes = spec["template"]["spec"]["volumes"].as_array().unwrap();
        assert!(volumes.contains(&volume), "{volumes:?}");
        assert_eq!(spec["strategy"], strategy);
        let settings = &built.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
        assert!(settings.contains(told) && !settings.contains(not_told) && !settings.contains("hunter2"), "{settings}");
    }
}

#[test]
fn a_disruption_budget_is_made_for_more_than_one_replica_only() {
    assert!(built(&json!({})).disruption_budgets.is_empty());
    let mut built = built(&json!({"proxy": {"replicas": 2}}));
    let proxy = whole(&built.deployments[1]);
    assert_eq!(proxy["spec"]["replicas"], 2);
    let spread = &proxy["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(
        (&spread["topologyKey"], &spread["whenUnsatisfiable"]),
        (&json!("kubernetes.io/hostname"), &json!("ScheduleAnyway"))
    );
    let budget = whole(built.disruption_budgets.remove(0));
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert_eq!(budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"], "proxy");
}

/// A changed setting rolls the hub; a changed secret never does.
#[test]
fn the_checksum_follows_the_settings_only() {
    let checksum = |changes: &Value| config_map::checksum(&built(changes).config_maps[0]);
    assert_eq!(checksum(&json!({})), checksum(&json!({})));
    assert_ne!(checksum(&json!({})), checksum(&json!({"baseUrl": "/other/"})));
    let mut found = fixtures::found(&json!({}));
    let before = build(&validate(&found, &fixtures::images()).unwrap());
    found.referenced.extend([fixtures::secret("grace-secret", &json!({"tok": "another-token"}))]);
    let after = build(&validate(&found, &fixtures::images()).unwrap());
    assert_eq!(whole(&before.deployments), whole(&after.deployments));
}

#[test]
fn placement_and_images_of_the_spec_reach_the_pods() {
    let changes = json!({"hub": {
        "image": "mine:2", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "64Mi"}},
        "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}}, "priorityClassName": "high", "extraEnv": [{"name": "A", "value": "b"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    }});
    let pod = &whole(&built(&changes).deployments[0])["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!((&container["image"], &container["imagePullPolicy"]), (&json!("mine:2"), &json!("Always")));
    assert_eq!(container["resources"], json!({"requests": {"cpu": "50m"}, "limits": {"memory": "64Mi"}}));
    assert_eq!(container["env"], json!([{"name": "A", "value": "b"}]));
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(pod["tolerations"], json!([{"key": "k", "operator": "Exists"}]));
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "zone");
}

/// The look of the pages is a setting; the picture is the administrator's ConfigMap, without which the hub starts, too.
#[test]
fn pages_are_told_and_their_logo_is_mounted() {
    let resources = built(&json!({"pages": {
        "title": "Physics", "announcement": "Down", "links": [{"text": "Help", "url": "/help"}],
        "logo": {"name": "pictures", "key": "logo.png"},
    }}));
    let text = &resources.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
    let told: Value = serde_yaml::from_str(text).unwrap();
    assert_eq!(
        told["pages"],
        json!({
            "title": "Physics", "announcement": "Down", "links": [{"text": "Help", "url": "/help"}],
            "logoFile": "/etc/jupyterhub/pages/logo.png",
        })
    );
    let pod = &whole(&resources.deployments[0])["spec"]["template"]["spec"];
    let mount = json!({"name": "logo", "mountPath": "/etc/jupyterhub/pages", "readOnly": true});
    let items = json!([{"key": "logo.png", "path": "logo.png"}]);
    let volume = json!({"name": "logo", "configMap": {"name": "pictures", "items": items, "optional": true}});
    assert!(pod["containers"][0]["volumeMounts"].as_array().unwrap().contains(&mount));
    assert!(pod["volumes"].as_array().unwrap().contains(&volume));
}

#[test]
fn profiles_reach_the_hub_as_they_are_written() {
    let profile =
        json!({"slug": "gpu", "displayName": "GPU", "allowedGroups": ["ml"], "overrides": {"cpu": {"limit": 4}}});
    let resources = built(&json!({"singleuser": {"profiles": [profile]}}));
    let text = &resources.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
    let told: Value = serde_yaml::from_str(text).unwrap();
    assert_eq!(told["kubernetes"]["singleuser"]["profiles"], json!([profile]));
}

/// The front of user pods is in the hub's own image, pulled as the hub's own pod pulls it.
#[test]
fn the_settings_say_where_the_front_of_servers_comes_from() {
    let front = |changes: Value| {
        let text = built(&changes).config_maps[0].data.clone().unwrap()["hub.yaml"].clone();
        serde_yaml::from_str::<Value>(&text).unwrap()["kubernetes"]["front"].clone()
    };
    let hub = json!({"image": "hub:2", "imagePullPolicy": "Never", "imagePullSecrets": [{"name": "registry"}]});
    let with = |namespace: Value| json!({"hub": hub, "singleuser": {"front": "hub-server", "cmd": ["p", "{port}"], "namespace": namespace}});
    let secrets = json!([{"name": "registry"}]);
    assert_eq!(
        front(with(Value::Null)),
        json!({"image": "hub:2", "imagePullPolicy": "Never", "imagePullSecrets": secrets}),
    );
    assert_eq!(front(with(json!("users"))), json!({"image": "hub:2", "imagePullPolicy": "Never"}));
    assert_eq!(front(json!({"hub": hub})), Value::Null);
}

mod https;
mod internal_tls;
