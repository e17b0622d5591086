//! Pods of others' programs, with a Service that leads to them, in the namespace of a test.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};

use crate::{cluster::Cluster, suite::hubs::pod_is_ready};

const READY: Duration = Duration::from_secs(60);

/// A container that passes the Pod Security Standard `restricted`, with the Secret of the pod's name below `/etc/peer`.
pub(in crate::suite) fn container(name: &str, image: &str, args: &[&str], env: &[(&str, &str)]) -> Value {
    let env: Vec<_> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": name, "image": image, "args": args, "env": env,
        "volumeMounts": [
            {"name": "given", "mountPath": "/etc/peer", "readOnly": true},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

/// Starts a pod and waits until it is ready. `service` is the spec of the Service of the same name, without its selector.
pub(in crate::suite) async fn start(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    containers: &[Value],
    mut service: Value,
) -> Result<Pod> {
    service["selector"] = json!({"peer": name});
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service},
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"peer": name}},
            "spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 1,
                "containers": containers,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
                    // Ports below 1024 are for everybody.
                    "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
                },
                "volumes": [
                    {"name": "given", "secret": {"secretName": name}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        },
    ]});
    cluster
        .kubectl_with(&["--namespace", namespace, "apply", "--server-side", "-f", "-"], objects.to_string())
        .await
        .with_context(|| format!("failed to make pod {name}"))?;
    let pods: Api<Pod> = cluster.api(namespace);
    let ready = cluster.await_condition(&pods, name, "the pod to be ready", READY, pod_is_ready()).await?;
    ready.context("a pod that is ready is there")
}
