//! What this machine must have: named with the command that installs it, and installed on Debian after asking.

use std::{env, fmt, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    places::Places,
    program::{Program, which},
    progress::{ask, step},
};

/// A program (or file) and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) found_by: &'static str,
    pub(crate) package: &'static str,
}

const fn need(found_by: &'static str, package: &'static str) -> Need {
    Need { found_by, package }
}

/// Always: images are made with Docker, held together by a C compiler's tools, and trust Debian's certificates.
pub(crate) const IMAGES: &[Need] = &[
    need("docker", "docker.io"),
    need("cc", "gcc"),
    need("/usr/include/stdlib.h", "libc6-dev"),
    need("strip", "binutils"),
    need("tar", "tar"),
    need("/usr/share/ca-certificates/mozilla", "ca-certificates"),
];
/// To start Docker's daemon, and to narrow what its containers ask for.
pub(crate) const DAEMON: &[Need] =
    &[need("dockerd", "docker.io"), need("iptables", "iptables"), need("jq", "jq"), need("capsh", "libcap2-bin")];
/// To make a base image where none can be pulled.
pub(crate) const NO_REGISTRY: &[Need] = &[need("debootstrap", "debootstrap")];
/// For the unit area: to count a program's instructions.
pub(crate) const UNIT: &[Need] = &[need("valgrind", "valgrind")];
/// For the tests of a database that is a server of its own.
pub(crate) const DATABASES: &[Need] = &[need("/usr/lib/postgresql", "postgresql"), need("setpriv", "util-linux")];
/// For the tests that look through a browser.
pub(crate) const BROWSER: &[Need] = &[
    need("chromium", "chromium"),
    need("chromedriver", "chromium-driver"),
    need("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"),
];
/// To fetch what judges pages.
pub(crate) const NPM: &[Need] = &[need("npm", "npm")];
/// To fetch the proxy that ours stands in for, and to look at ours as others do.
pub(crate) const PEERS: &[Need] = &[need("npm", "npm"), need("curl", "curl")];
/// To pin what is measured to a core, and to count what it asks of the disk.
pub(crate) const BENCHMARKS: &[Need] = &[need("taskset", "util-linux"), need("strace", "strace")];
/// What our proxy is measured beside, what makes the certificates, and what lets each open as many files as there may be.
pub(crate) const PROXIES: &[Need] = &[
    need("/usr/sbin/nginx", "nginx"),
    need("/usr/sbin/haproxy", "haproxy"),
    need("openssl", "openssl"),
    need("prlimit", "util-linux"),
];

/// What is missing and may not be installed without being told to.
#[derive(Debug)]
pub(crate) struct Missing {
    command: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "programs are missing; install them with\n\n    {}\n\nor run this again with --yes", self.command)
    }
}

impl std::error::Error for Missing {}

/// Installs what is missing: at once with `yes` or `CI=true`, otherwise after asking.
pub(crate) async fn ensure(places: &Places, yes: bool, needs: &[Need]) -> Result<()> {
    need_languages()?;
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = packages_of(&missing);
    let names = missing.iter().map(|need| need.found_by).collect::<Vec<_>>().join(", ");
    eprintln!("missing: {names}");
    if which("apt-get").is_none() {
        bail!(
            "install {} with this system's package manager (Debian's names), then run this again",
            packages.join(", ")
        );
    }
    let root = Program::new("id").arg("-u").output().await? == "0";
    let command =
        format!("{}apt-get install -y --no-install-recommends {}", if root { "" } else { "sudo " }, packages.join(" "));
    let agreed = yes || env::var("CI").is_ok_and(|ci| ci == "true") || ask(&format!("Run `{command}`?"))? == Some(true);
    if !agreed {
        return Err(Missing { command }.into());
    }
    install(places, root, &packages).await?;
    match needs.iter().find(|need| !is_there(need)) {
        Some(need) => bail!("package {} is installed, but {} is still missing", need.package, need.found_by),
        None => Ok(()),
    }
}

async fn install(places: &Places, root: bool, packages: &[&str]) -> Result<()> {
    let apt = |args: &[&str]| {
        let program = if root { Program::new("apt-get") } else { Program::new("sudo").arg("apt-get") };
        // An index is refreshed by the other writers of it too; dpkg's questions have no one to answer them.
        program.args(["-o", "DPkg::Lock::Timeout=120", "-qq"]).args(args).env("DEBIAN_FRONTEND", "noninteractive")
    };
    step(places, &format!("Install {}", packages.join(", ")), async |log| {
        apt(&["update"]).logged(log).await?;
        apt(&["install", "-y", "--no-install-recommends"]).args(packages).logged(log).await
    })
    .await
}

/// Go and Python are languages that the person brings: Debian's Go is too old for the pinned modules.
fn need_languages() -> Result<()> {
    which("go").context("go is missing; install Go 1.26 or newer from https://go.dev/dl/ and put it on PATH")?;
    which("python3").context("python3 is missing; install it with `apt-get install -y python3 python3-pip`")?;
    Ok(())
}

fn is_there(need: &Need) -> bool {
    if need.found_by.starts_with('/') { Path::new(need.found_by).exists() } else { which(need.found_by).is_some() }
}

fn packages_of(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_being_there_does_not_hide_another_that_is_not() {
        assert!(is_there(&need("sh", "dash")));
        assert!(!is_there(&need("no-such-program-here", "none")));
        assert!(is_there(&need("/", "base-files")));
    }

    #[test]
    fn packages_are_named_once() {
        assert_eq!(
            packages_of(&[need("docker", "docker.io"), need("dockerd", "docker.io"), need("jq", "jq")]),
            ["docker.io", "jq"]
        );
    }

    #[test]
    fn what_is_missing_comes_with_its_command() {
        let text = Missing { command: "apt-get install -y jq".to_owned() }.to_string();
        assert!(text.contains("apt-get install -y jq") && text.contains("--yes"));
    }
}
