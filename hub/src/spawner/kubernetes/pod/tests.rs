//! Whole objects, as they go to the API server.

use super::{super::is_of, *};
use hub_crds::config::{FrontImage, HubIdentity};
use k8s_openapi::api::core::v1::LocalObjectReference;
use secrecy::SecretString;
use serde_json::json;

const UID: &str = "7b1f3a52-0000-4000-8000-000000000001";

/// The Hub is called otherwise than its namespace and product, so that swapped labels are seen.
fn config(singleuser: Value) -> KubernetesConfig {
    KubernetesConfig {
        report: None,
        hub: HubIdentity { name: "jhub".to_owned(), namespace: "jupyter".to_owned(), uid: UID.to_owned() },
        namespace: "jupyter".to_owned(),
        singleuser: serde_json::from_value(singleuser).unwrap(),
        front: None,
        internal_tls_dir: None,
    }
}

fn request(user: &str, server: &str) -> StartRequest {
    StartRequest {
        name: ServerName { user: user.to_owned(), server: server.to_owned() },
        environment: BTreeMap::from([("JUPYTERHUB_USER".to_owned(), user.to_owned())]),
        prefix: format!("/user/{user}/"),
        api_token: SecretString::from("0123456789abcdef"),
        user_options: Value::Null,
        overrides: Vec::new(),
        state: Value::Null,
    }
}

fn labels_of(component: &str, user: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/instance": "jhub",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "hub",
        "component": component,
        "hub.jupyter.org/username": user,
        "jupyter.rs/hub": "jhub",
        "jupyter.rs/hub-namespace": "jupyter",
        "jupyter.rs/hub-uid": UID,
    })
}

fn owners() -> Value {
    json!([{"apiVersion": "jupyter.rs/v1alpha1", "kind": "Hub", "name": "jhub", "uid": UID}])
}

fn token_from_secret(variable: &str, secret: &str) -> Value {
    json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": "api-token"}}})
}

fn pod_of(singleuser: Value) -> Value {
    serde_json::to_value(build(&config(singleuser), &request("alice", ""), None).unwrap().pod).unwrap()
}

#[test]
fn the_default_pod_is_exactly_this() {
    let mut labels = labels_of("singleuser-server", "alice");
    labels["hub.jupyter.org/servername"] = json!("");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "jupyter-alice",
            "namespace": "jupyter",
            "labels": labels,
            "annotations": {"hub.jupyter.org/username": "alice"},
            "ownerReferences": owners(),
        },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "notebook",
                "image": "quay.io/jupyterhub/singleuser:6.1.1",
                "args": ["jupyterhub-singleuser"],
                "env": [
                    token_from_secret("JPY_API_TOKEN", "jupyter-alice-token"),
                    token_from_secret("JUPYTERHUB_API_TOKEN", "jupyter-alice-token"),
                    {"name": "JUPYTERHUB_SERVICE_URL", "value": "http://0.0.0.0:8888/user/alice/"},
                    {"name": "JUPYTERHUB_USER", "value": "alice"},
                    {"name": "JUPYTER_IMAGE", "value": "quay.io/jupyterhub/singleuser:6.1.1"},
                    {"name": "JUPYTER_IMAGE_SPEC", "value": "quay.io/jupyterhub/singleuser:6.1.1"},
                    {"name": "MEM_GUARANTEE", "value": "1000000000"},
                ],
                "ports": [{"name": "notebook-port", "containerPort": 8888}],
                "resources": {"requests": {"memory": "1G"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}],
            }],
            "enableServiceLinks": false,
            "restartPolicy": "OnFailure",
            "securityContext": {
                "fsGroup": 100,
                "fsGroupChangePolicy": "OnRootMismatch",
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-alice"}}],
        },
    });
    assert_eq!(pod_of(json!({})), expected);
}

/// What a chosen profile changes is put over the Hub's settings, and what it says of the whole is still held against the
/// standard.
#[test]
fn a_chosen_profile_changes_the_pod_and_no_more_row_52() {
    let hub = json!({
        "image": "base:1", "args": ["--debug"], "memory": {"guarantee": "1G", "limit": "2G"}, "extraEnv": [{"name": "A", "value": "hub"}],
        "podTemplate": {"spec": {"priorityClassName": "low", "schedulerName": "hub"}},
    });
    let with = |overrides: Value| {
        let overrides = serde_json::from_value(overrides).unwrap();
        build(&config(hub.clone()), &StartRequest { overrides, ..request("alice", "") }, None)
    };
    let chosen = json!([
        {
            "image": "torch:2", "cpu": {"limit": 4}, "memory": {"limit": "8G"}, "extraResources": {"limits": {"nvidia.com/gpu": 1}},
            "extraEnv": [{"name": "A", "value": "profile"}, {"name": "JUPYTERHUB_USER", "value": "bob"}],
            "nodeSelector": {"gpu": "yes"}, "podTemplate": {"spec": {"priorityClassName": "high"}},
        },
        {"image": "torch:3", "cmd": ["start-lab"]},
    ]);
    let pod = serde_json::to_value(with(chosen).unwrap().pod).unwrap();
    let container = &pod["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["args"]), (&json!("torch:3"), &json!(["start-lab"])));
    assert_eq!(
        container["resources"],
        json!({"requests": {"memory": "1G"}, "limits": {"cpu": "4", "memory": "8G", "nvidia.com/gpu": "1"}})
    );
    assert_eq!(pod["spec"]["nodeSelector"], json!({"gpu": "yes"}));
    assert_eq!((&pod["spec"]["priorityClassName"], &pod["spec"]["schedulerName"]), (&json!("high"), &json!("hub")));
    let value = |name: &str| {
        let env = container["env"].as_array().unwrap();
        let named: Vec<_> =
            env.iter().filter(|variable| variable["name"] == name).map(|it| it["value"].clone()).collect();
        assert_eq!(named.len(), 1, "{name}");
        named[0].clone()
    };
    assert_eq!((value("A"), value("JUPYTERHUB_USER")), (json!("profile"), json!("alice")));
    assert_eq!(
        (value("JUPYTER_IMAGE"), value("MEM_LIMIT"), value("CPU_LIMIT")),
        (json!("torch:3"), json!("8000000000"), json!("4.0"))
    );

    let hostile = [
        json!([{"podTemplate": {"spec": {"hostNetwork": true}}}]),
        json!([{"podTemplate": {"spec": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}}}]),
        json!([{"podTemplate": {"spec": {"containers": [{"name": "notebook", "securityContext": {"privileged": true}}]}}}]),
    ];
    for overrides in hostile {
        let refused = with(overrides.clone()).err().unwrap_or_else(|| panic!("{overrides} passed"));
        assert!(refused.contains("restricted"), "{refused}");
    }
}

#[test]
fn the_claim_and_the_secret_are_exactly_this() {
    let singleuser = json!({"storage": {"capacity": "5Gi", "storageClassName": "fast"}});
    let objects = build(&config(singleuser), &request("user@example.com", "s1"), None).unwrap();
    let user = "user-example-com---b4c9a289";
    let annotations = json!({"hub.jupyter.org/username": "user@example.com", "hub.jupyter.org/servername": "s1"});
    assert_eq!(
        serde_json::to_value(objects.claim).unwrap(),
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": format!("claim-{user}--s1"),
                "namespace": "jupyter",
                "labels": labels_of("singleuser-storage", user),
                "annotations": annotations,
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "5Gi"}},
                "storageClassName": "fast",
            },
        }),
    );
    assert_eq!(
        serde_json::to_value(objects.secret).unwrap(),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": format!("jupyter-{user}--s1-token"),
                "namespace": "jupyter",
                "labels": labels_of("singleuser-server", user),
                "annotations": annotations,
                "ownerReferences": owners(),
            },
            "immutable": true,
            "stringData": {"api-token": "0123456789abcdef"},
        }),
    );
}

/// Every field of `spec.singleuser` has its place.
#[test]
fn every_setting_reaches_the_pod() {
    let pod = pod_of(json!({
        "image": "lab:2",
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [{"name": "registry"}],
        "cmd": ["start-singleuser.sh", "--debug"],
        "args": ["--ServerApp.terminals_enabled=False"],
        "defaultUrl": "/lab/tree/{username}",
        "notebookDir": "~/shared/{username}",
        "cpu": {"guarantee": "500m", "limit": 2},
        "memory": {"guarantee": "512Mi", "limit": "1Gi"},
        "extraResources": {"guarantees": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}},
        "storage": {"type": "none"},
        "extraVolumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
        "extraVolumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        "initContainers": [{"name": "fetch", "image": "git:1"}],
        "serviceAccountName": "notebooks",
        "uid": 2000,
        "fsGroup": 2001,
        "extraLabels": {"team": "blue"},
        "extraAnnotations": {"note": "x"},
        "nodeSelector": {"pool": "users"},
        "tolerations": [{"key": "users", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "users",
        "extraEnv": [{"name": "HOME_PAGE", "value": "$(JUPYTERHUB_USER)"}],
        "podTemplate": {
            "metadata": {"annotations": {"more": "y"}},
            "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "notebook", "workingDir": "/work"}]},
        },
    }));
    let (spec, notebook) = (&pod["spec"], &pod["spec"]["containers"][0]);
    let at = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/metadata/labels/team"), "blue");
    assert_eq!(at("/metadata/annotations/note"), "x");
    assert_eq!(at("/metadata/annotations/more"), "y");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(spec["automountServiceAccountToken"], json!(true));
    assert_eq!(spec["serviceAccountName"], "notebooks");
    assert_eq!(at("/spec/securityContext/runAsUser"), 2000);
    assert_eq!(at("/spec/securityContext/fsGroup"), 2001);
    assert_eq!(spec["nodeSelector"], json!({"pool": "users"}));
    assert_eq!(spec["tolerations"], json!([{"key": "users", "operator": "Exists"}]));
    assert_eq!(spec["affinity"], json!({"nodeAffinity": {}}));
    assert_eq!(spec["priorityClassName"], "users");
    assert_eq!(spec["terminationGracePeriodSeconds"], 5);
    assert_eq!(spec["volumes"], json!([{"name": "shm", "emptyDir": {"medium": "Memory"}}]));
    assert_eq!(at("/spec/initContainers/0/securityContext/capabilities/drop"), json!(["ALL"]));
    assert_eq!(notebook["image"], "lab:2");
    assert_eq!(notebook["imagePullPolicy"], "IfNotPresent");
    assert_eq!(notebook["args"], json!(["start-singleuser.sh", "--debug", "--ServerApp.terminals_enabled=False"]));
    assert_eq!(notebook["workingDir"], "/work");
    assert_eq!(notebook["volumeMounts"], json!([{"name": "shm", "mountPath": "/dev/shm"}]));
    assert_eq!(
        notebook["resources"],
        json!({
            "requests": {"cpu": "500m", "memory": "512Mi", "nvidia.com/gpu": "1"},
            "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
        }),
    );
    let value = |name: &str| {
        let variable = notebook["env"].as_array().unwrap().iter().find(|variable| variable["name"] == name);
        variable.and_then(|variable| variable["value"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(value("JUPYTERHUB_DEFAULT_URL"), "/lab/tree/alice");
    assert_eq!(value("JUPYTERHUB_ROOT_DIR"), "~/shared/alice");
    assert_eq!(value("HOME_PAGE"), "$(JUPYTERHUB_USER)");
    let limits = ["CPU_GUARANTEE", "CPU_LIMIT", "MEM_GUARANTEE", "MEM_LIMIT"].map(value);
    assert_eq!(limits, ["0.5", "2.0", "536870912", "1073741824"]);
}

/// A template must not make one user's pod pass for another's, or for another Hub's.
#[test]
fn a_template_cannot_take_the_pods_identity() {
    let pod = pod_of(json!({
        "extraEnv": [{"name": "JUPYTERHUB_USER", "value": "mallory"}],
        "podTemplate": {
            "metadata": {
                "name": "other", "namespace": "kube-system", "generateName": "x", "finalizers": ["a/b"],
                "labels": {"hub.jupyter.org/username": "mallory", "jupyter.rs/hub-uid": "none", "component": "hub"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}],
            },
            "spec": {"containers": [{"name": "notebook", "env": [
                {"name": "JUPYTERHUB_API_TOKEN", "value": "known"}, {"name": "JUPYTERHUB_USER", "value": "mallory"}]}]},
        },
    }));
    assert_eq!(pod, pod_of(json!({})));
}

/// A name that is code to the kubelet stays a name.
#[test]
fn no_value_of_ours_is_expanded() {
    let mut request = request("alice", "");
    request.environment.insert("JUPYTERHUB_USER".to_owned(), "$(JUPYTERHUB_API_TOKEN)".to_owned());
    let pod = build(&config(json!({})), &request, None).unwrap().pod;
    let env = pod.spec.unwrap().containers[0].env.clone().unwrap();
    let user = env.iter().find(|variable| variable.name == "JUPYTERHUB_USER").unwrap();
    assert_eq!(user.value.as_deref(), Some("$$(JUPYTERHUB_API_TOKEN)"));
}

#[test]
fn what_breaks_restricted_is_refused_by_name() {
    let container =
        |context: Value| json!({"spec": {"containers": [{"name": "notebook", "securityContext": context}]}});
    let cases = [
        (json!({"spec": {"hostNetwork": true}}), "hostNetwork"),
        (json!({"spec": {"hostPID": true}}), "hostPID"),
        (json!({"spec": {"securityContext": {"runAsNonRoot": false}}}), "runAsNonRoot"),
        (json!({"spec": {"securityContext": {"runAsUser": 0}}}), "runAsUser"),
        (json!({"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}}), "seccompProfile"),
        (json!({"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}), "hostPath"),
        (json!({"spec": {"containers": [{"name": "side", "image": "x"}]}}), "container side"),
        (container(json!({"privileged": true})), "privileged"),
        (container(json!({"allowPrivilegeEscalation": true})), "allowPrivilegeEscalation"),
        (container(json!({"capabilities": {"drop": null}})), "capabilities.drop"),
        (container(json!({"capabilities": {"add": ["SYS_ADMIN"]}})), "capabilities.add"),
        (
            json!({"spec": {"containers": [{"name": "notebook", "ports": [{"name": "notebook-port", "hostPort": 80}]}]}}),
            "hostPort",
        ),
    ];
    for (template, field) in cases {
        let error = build(&config(json!({"podTemplate": template})), &request("alice", ""), None).err().unwrap();
        assert!(error.contains(field) && error.contains("spec.singleuser"), "{field}: {error}");
    }
}

#[test]
fn what_is_no_object_of_kubernetes_is_refused_by_name() {
    for (singleuser, field) in [
        (json!({"podTemplate": {"spec": {"containers": "none"}}}), "podTemplate"),
        (json!({"extraVolumes": [{"name": "a"}, {"name": 1}]}), "extraVolumes[1]"),
        (json!({"initContainers": [{"name": 5}]}), "initContainers[0]"),
        (json!({"affinity": {"nodeAffinity": []}}), "affinity"),
    ] {
        let error = build(&config(singleuser), &request("alice", ""), None).err().unwrap();
        assert!(error.contains(field), "{field}: {error}");
    }
}

/// In a namespace of their own, user pods have no owner that Kubernetes could find.
#[test]
fn an_owner_is_named_in_its_own_namespace_only() {
    let mut config = config(json!({}));
    config.namespace = "users".to_owned();
    let objects = build(&config, &request("alice", ""), None).unwrap();
    assert_eq!(objects.pod.metadata.owner_references, None);
    assert_eq!(objects.pod.metadata.namespace.as_deref(), Some("users"));
    assert_eq!(objects.secret.metadata.owner_references, None);
}

/// A claim that another hub named keeps its name; the state is what kubespawner would have written, and says whose it is.
#[test]
fn names_once_used_are_used_again() {
    let mut request = request("alice", "");
    request.state = json!({"pvc_name": "claim-alice-2d1"});
    let config = config(json!({}));
    let objects = build(&config, &request, None).unwrap();
    assert_eq!(objects.claim.unwrap().metadata.name.as_deref(), Some("claim-alice-2d1"));
    assert_eq!(
        state(&config, &request.name, Some("claim-alice-2d1")),
        json!({
            "pod_name": "jupyter-alice", "namespace": "jupyter", "pvc_name": "claim-alice-2d1",
            "dns_name": "jupyter-alice.jupyter.svc.cluster.local", "kubespawner_version": "7.1.0", "hub": "jhub",
        }),
    );
}

/// Attack row 49, CVE-2020-15110: whoever finds a user name whose pod would be called like another's gets nothing of it.
#[test]
fn objects_are_a_servers_own_by_the_names_in_their_annotations() {
    let config = config(json!({}));
    let objects = build(&config, &request("alice", "lab"), None).unwrap();
    let of = |user: &str, server: &str| {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        (is_of(&config, &name, &objects.pod), is_of(&config, &name, &objects.secret))
    };
    assert_eq!(of("alice", "lab"), (true, true));
    for (user, server) in [("bob", "lab"), ("alice", ""), ("alice-lab", ""), ("", "")] {
        assert_eq!(of(user, server), (false, false), "{user} {server}");
    }
    let other =
        KubernetesConfig { hub: HubIdentity { name: "other".to_owned(), ..config.hub.clone() }, ..config.clone() };
    let name = ServerName { user: "alice".to_owned(), server: "lab".to_owned() };
    assert!(!is_of(&other, &name, &objects.pod));
}

fn fronted(mut singleuser: Value) -> Value {
    singleuser["front"] = json!("hub-server");
    singleuser["cmd"] = json!(["streamlit", "run", "app.py"]);
    singleuser["args"] = json!(["--server.port={port}"]);
    let secrets = ["hub-registry", "registry"].map(|name| LocalObjectReference { name: name.to_owned() }).to_vec();
    let front = FrontImage {
        image: "hub:1".to_owned(),
        image_pull_policy: Some("Never".to_owned()),
        image_pull_secrets: secrets,
    };
    let config = KubernetesConfig { front: Some(front), ..config(singleuser) };
    serde_json::to_value(build(&config, &request("alice", ""), None).unwrap().pod).unwrap()
}

/// The program is reached through the front only, which comes from the hub's own image. All else is as without it.
#[test]
fn a_front_is_brought_by_an_init_container_and_starts_the_program() {
    let plain = pod_of(json!({"imagePullSecrets": [{"name": "registry"}]}));
    let pod = fronted(json!({"imagePullSecrets": [{"name": "registry"}]}));
    let mount = json!({"name": "hub-server", "mountPath": "/opt/hub-server"});
    let mut expected = plain;
    expected["spec"]["initContainers"] = json!([{
        "name": "hub-server",
        "image": "hub:1",
        "imagePullPolicy": "Never",
        "args": ["server", "install", "/opt/hub-server"],
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": [mount],
    }]);
    expected["spec"]["volumes"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "hub-server", "emptyDir": {"sizeLimit": "256Mi"}}));
    expected["spec"]["imagePullSecrets"] = json!([{"name": "registry"}, {"name": "hub-registry"}]);
    let notebook = expected["spec"]["containers"][0].as_object_mut().unwrap();
    notebook.remove("args");
    notebook["volumeMounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "hub-server", "mountPath": "/opt/hub-server", "readOnly": true}));
    notebook.insert(
        "command".to_owned(),
        json!(["/opt/hub-server/hub", "server", "--", "streamlit", "run", "app.py", "--server.port={port}"]),
    );
    assert_eq!(pod, expected);
}

/// Nor can anybody else: the program behind it has no protection of its own.
#[test]
fn a_template_cannot_take_the_front_away() {
    let pod = fronted(json!({
        "initContainers": [{"name": "fetch", "image": "git:1"}],
        "extraVolumeMounts": [{"name": "own", "mountPath": "/opt/hub-server"}],
        "podTemplate": {"spec": {
            "initContainers": [{"name": "hub-server", "image": "other:1"}],
            "volumes": [{"name": "hub-server", "configMap": {"name": "other"}}],
            "containers": [{"name": "notebook", "command": ["streamlit"], "args": ["run"], "volumeMounts": [
                {"name": "hub-server", "mountPath": "/elsewhere"}]}],
        }},
    }));
    let plain = fronted(json!({}));
    let names = |list: &Value| list.as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    assert_eq!(pod["spec"]["initContainers"][0], plain["spec"]["initContainers"][0]);
    assert_eq!(names(&pod["spec"]["initContainers"]), ["hub-server", "fetch"]);
    for field in ["volumes", "containers"] {
        assert_eq!(pod["spec"][field], plain["spec"][field], "{field}");
    }
}

#[test]
fn a_front_without_an_image_is_refused() {
    let error = build(&config(json!({"front": "hub-server"})), &request("alice", ""), None).err().unwrap();
    assert!(error.contains("operator"), "{error}");
}

fn encrypted(singleuser: Value) -> Objects {
    let tls = ServerCertificate {
        name: "jupyter-alice.internal".to_owned(),
        certificate: "CERTIFICATE".to_owned(),
        key: SecretString::from("KEY"),
        authority: "AUTHORITY".to_owned(),
    };
    build(&config(singleuser), &request("alice", ""), Some(&tls)).unwrap()
}

/// All else is as without it.
#[test]
fn a_server_that_speaks_tls_has_its_certificate_beside_its_token() {
    let objects = encrypted(json!({}));
    let mut expected = pod_of(json!({}));
    expected["metadata"]["annotations"]["jupyter.rs/tls-name"] = json!("jupyter-alice.internal");
    let notebook = &mut expected["spec"]["containers"][0];
    let env = notebook["env"].as_array_mut().unwrap();
    env[2]["value"] = json!("https://0.0.0.0:8888/user/alice/");
    let files = [("SSL_CERTFILE", "tls.crt"), ("SSL_CLIENT_CA", "ca.crt"), ("SSL_KEYFILE", "tls.key")];
    let variables = files.map(|(name, file)| {
        json!({"name": format!("JUPYTERHUB_{name}"), "value": format!("/etc/jupyterhub/server-tls/{file}")})
    });
    env.splice(3..3, variables);
    let mount = json!({"name": "server-tls", "mountPath": "/etc/jupyterhub/server-tls", "readOnly": true});
    notebook["volumeMounts"].as_array_mut().unwrap().push(mount);
    let items = ["tls.crt", "tls.key", "ca.crt"].map(|file| json!({"key": file, "path": file}));
    let volume = json!({"name": "server-tls", "secret": {
        "secretName": "jupyter-alice-token", "defaultMode": 0o440, "items": items,
    }});
    expected["spec"]["volumes"].as_array_mut().unwrap().push(volume);
    assert_eq!(serde_json::to_value(objects.pod).unwrap(), expected);
    assert_eq!(
        serde_json::to_value(objects.secret.string_data).unwrap(),
        json!({"api-token": "0123456789abcdef", "tls.crt": "CERTIFICATE", "tls.key": "KEY", "ca.crt": "AUTHORITY"})
    );
}

/// Nor can it claim TLS for a server that speaks none.
#[test]
fn a_template_cannot_take_the_certificate_away() {
    let template = json!({
        "extraVolumeMounts": [{"name": "own", "mountPath": "/etc/jupyterhub/server-tls"}],
        "podTemplate": {
            "metadata": {"annotations": {"jupyter.rs/tls-name": "other"}},
            "spec": {
                "volumes": [{"name": "server-tls", "configMap": {"name": "other"}}],
                "containers": [{"name": "notebook", "env": [{"name": "JUPYTERHUB_SSL_CERTFILE", "value": "/x"}],
                    "volumeMounts": [{"name": "server-tls", "mountPath": "/elsewhere"}]}],
            },
        },
    });
    let whole = |objects: Objects| serde_json::to_value(objects.pod).unwrap();
    assert_eq!(whole(encrypted(template.clone())), whole(encrypted(json!({}))));
    assert_eq!(pod_of(template)["metadata"]["annotations"].get("jupyter.rs/tls-name"), None);
}
