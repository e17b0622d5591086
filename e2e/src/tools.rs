//! Programs of the Go world, built from modules whose versions and sums are pinned in `tools/`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{digest::Key, places::Places, program::Program, progress::step};

/// The Kubernetes version in `tools/kubernetes/go.mod`; the module does not know it itself.
pub(crate) const KUBERNETES: &str = "1.34.4";

/// One program, or several of one module.
pub(crate) struct Tool {
    module: &'static str,
    package: &'static str,
    programs: &'static [&'static str],
}

/// What every cluster is handled with.
pub(crate) const CLIENT: &[Tool] = &[
    Tool { module: "kind", package: "sigs.k8s.io/kind", programs: &["kind"] },
    Tool { module: "kubernetes", package: "k8s.io/kubernetes/cmd/kubectl", programs: &["kubectl"] },
    Tool { module: "helm", package: "helm.sh/helm/v3/cmd/helm", programs: &["helm"] },
];

/// What a node consists of where kind's own image cannot be pulled.
pub(crate) const NODE: &[Tool] = &[
    Tool {
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd",
        programs: &["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubeadm"],
    },
    Tool { module: "etcd", package: "go.etcd.io/etcd/server/v3", programs: &["etcd"] },
    Tool { module: "coredns", package: "github.com/coredns/coredns", programs: &["coredns"] },
    Tool {
        module: "local-path-provisioner",
        package: "github.com/rancher/local-path-provisioner",
        programs: &["local-path-provisioner"],
    },
];

/// An ACME server for tests, and its own DNS server.
pub(crate) const ACME: &[Tool] = &[Tool {
    module: "pebble",
    package: "github.com/letsencrypt/pebble/v2/cmd",
    programs: &["pebble", "pebble-challtestsrv"],
}];

/// What judges a server of HTTP/2.
pub(crate) const H2SPEC: &[Tool] =
    &[Tool { module: "h2spec", package: "github.com/summerwind/h2spec/cmd/h2spec", programs: &["h2spec"] }];

/// cert-manager's parts, whose commands have names that any module's could have.
pub(crate) const CERT_MANAGER: &[Tool] = &[
    Tool {
        module: "cert-manager",
        package: "github.com/cert-manager/cert-manager/cmd/controller",
        programs: &["cert-manager-controller"],
    },
    Tool {
        module: "cert-manager",
        package: "github.com/cert-manager/cert-manager/cmd/webhook",
        programs: &["cert-manager-webhook"],
    },
    Tool {
        module: "cert-manager",
        package: "github.com/cert-manager/cert-manager/cmd/cainjector",
        programs: &["cert-manager-cainjector"],
    },
];

/// Builds what is not in the cache. Go keeps its own cache of packages, so a build that was broken off goes on.
pub(crate) async fn ensure(places: &Places, tools: &[Tool]) -> Result<()> {
    for tool in tools {
        tool.ensure(places).await?;
    }
    Ok(())
}

impl Tool {
    async fn ensure(&self, places: &Places) -> Result<()> {
        let title = format!("Build {}", self.programs.join(", "));
        let stamp = places.file(&format!("bin/.{}-{}", self.programs[0], self.key(places)?))?;
        if stamp.exists() && self.programs.iter().all(|program| places.bin(program).exists()) {
            return Ok(());
        }
        step(places, &title, async |log| {
            self.command(places).logged(log).await.context(
                "failed to build a Go module; it needs Go 1.26 or newer and the Go module proxy (`go env GOPROXY`)",
            )
        })
        .await?;
        fs::write(stamp, "")?;
        Ok(())
    }

    fn command(&self, places: &Places) -> Program {
        let go = Program::new("go").dir(places.source("tools").join(self.module)).env("CGO_ENABLED", "0").args([
            "build",
            "-trimpath",
            "-ldflags",
            &linker_flags(),
            "-o",
        ]);
        match self.programs {
            [program] => go.arg(places.bin(program)).arg(self.package),
            programs => go
                .arg(format!("{}/", places.bin("").display()))
                .args(programs.iter().map(|program| format!("{}/{program}", self.package))),
        }
    }

    fn key(&self, places: &Places) -> Result<String> {
        let module = places.source("tools").join(self.module);
        Ok(Key::default().text(&linker_flags()).files(&module.join("go.mod"))?.files(&module.join("go.sum"))?.finish())
    }
}

/// Versions that the programs do not find in their modules: their own, and the one that `helm template` assumes.
fn linker_flags() -> String {
    let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
    let component = "k8s.io/component-base/version";
    let mut flags = format!("-s -w -X {component}.gitVersion=v{KUBERNETES}");
    for package in [component, "helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules"] {
        let prefix = if package == component { "git" } else { "k8sVersion" };
        flags += &format!(" -X {package}.{prefix}Major=1 -X {package}.{prefix}Minor={minor}");
    }
    flags
}

/// Where tests of single crates find others' programs.
pub(crate) fn variables(places: &Places) -> [(&'static str, PathBuf); 3] {
    [("PEBBLE", "pebble"), ("PEBBLE_CHALLTESTSRV", "pebble-challtestsrv"), ("H2SPEC", "h2spec")]
        .map(|(name, program)| (name, places.bin(program)))
}

/// The key of every program of the node.
pub(crate) fn node_key(places: &Places) -> Result<String> {
    let mut key = Key::default();
    for tool in NODE {
        key = key.text(&tool.key(places)?);
    }
    Ok(key.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_written_into_the_programs_is_the_pinned_one() {
        let places = Places::find().unwrap();
        let pins = fs::read_to_string(places.source("tools/kubernetes/go.mod")).unwrap();
        assert!(
            pins.contains(&format!("k8s.io/kubernetes v{KUBERNETES}\n")),
            "KUBERNETES differs from tools/kubernetes/go.mod"
        );
    }
}
