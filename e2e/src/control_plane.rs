//! etcd, kube-apiserver and kube-controller-manager as processes of this machine: a real Kubernetes API for tests whose pods
//! need not run. It starts within seconds, and nobody keeps its data.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use ::http::Request;
use anyhow::{Context, Result, bail, ensure};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    bench::free_ports,
    places::Places,
    program::last_lines,
    tools::{self, NODE},
};

const START: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
/// An administrator's, of an API that listens on the loopback device only.
const TOKEN: &str = "administrator-of-a-test";
/// The controllers that objects of ours need: owners' children are removed, namespaces and claims end, and Deployments get a
/// status.
const CONTROLLERS: &[&str] = &[
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",
    "deployment-controller",
    "replicaset-controller",
    "serviceaccount-controller",
];

/// A control plane. It ends with this.
pub(crate) struct ControlPlane {
    dir: TempDir,
    port: u16,
    /// Whoever is last depends on those before.
    processes: Vec<(&'static str, Child)>,
}

impl ControlPlane {
    /// Starts one, of programs that are built if need be.
    pub(crate) async fn start(places: &Places) -> Result<Self> {
        tools::ensure(places, NODE).await?;
        let dir = tempfile::tempdir()?;
        let [api] = free_ports()?;
        let mut started = Self { port: api.port(), dir, processes: Vec::new() };
        let etcd = started.run_etcd(&places.bin("etcd"))?;
        started.run_apiserver(&places.bin("kube-apiserver"), &etcd)?;
        started.answers().await?;
        started.run_controllers(&places.bin("kube-controller-manager"))?;
        Ok(started)
    }

    /// A kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&mut self, name: &'static str, program: &Path, args: &[String]) -> Result<()> {
        let log = fs::File::create(self.file(&format!("{name}.log")))?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.processes.push((name, command.spawn().with_context(|| format!("failed to start {name}"))?));
        Ok(())
    }

    /// Gives its address.
    fn run_etcd(&mut self, program: &Path) -> Result<String> {
        let [client, peer] = free_ports()?.map(|address| format!("http://{address}"));
        let args = [
            format!("--data-dir={}", self.file("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync=true".to_owned(),
        ];
        self.run("etcd", program, &args)?;
        Ok(client)
    }

    fn run_apiserver(&mut self, program: &Path, etcd: &str) -> Result<()> {
        let [tokens, private, public] = ["tokens.csv", "accounts.key", "accounts.pub"].map(|name| self.file(name));
        fs::write(&tokens, format!("{TOKEN},admin,admin,system:masters\n"))?;
        let accounts = rcgen::KeyPair::generate()?;
        fs::write(&private, accounts.serialize_pem())?;
        fs::write(&public, accounts.public_key_pem())?;
        fs::write(self.kubeconfig(), kubeconfig(self.port))?;
        let args = [
            format!("--etcd-servers={etcd}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--cert-dir={}", self.dir.path().display()),
            format!("--token-auth-file={}", tokens.display()),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", public.display()),
            format!("--service-account-signing-key-file={}", private.display()),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
        ];
        self.run("kube-apiserver", program, &args)
    }

    fn run_controllers(&mut self, program: &Path) -> Result<()> {
        let args = [
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--controllers={}", CONTROLLERS.join(",")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ];
        self.run("kube-controller-manager", program, &args)
    }

    /// Waits until the API server is ready.
    async fn answers(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        loop {
            if client.request_text(Request::get("/readyz").body(Vec::new())?).await.is_ok() {
                return Ok(());
            }
            for (name, process) in &mut self.processes {
                if let Some(status) = process.try_wait()? {
                    let words = fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
                    bail!("{name} ended with {status}\n{}", last_lines(&words, 10));
                }
            }
            ensure!(Instant::now() < end, "kube-apiserver is not ready after {} s", START.as_secs());
            sleep(POLL).await;
        }
    }
}

/// The API server makes its own certificate, which nobody else's program ever sees.
fn kubeconfig(port: u16) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": {"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true},
        }],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    })
    .to_string()
}
