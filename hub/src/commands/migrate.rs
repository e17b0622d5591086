//! `hub migrate`: a Hub from the values of zero-to-jupyterhub.

use anyhow::Context;
use hub_settings::migrate::{Migration, Options, migrate};
use std::{
    fs,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Something is left for a person to look at.
const ATTENTION: u8 = 3;

/// Prints the Hub that the values of a zero-to-jupyterhub release come to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  helm get values jhub --all -n jhub | hub migrate - --release jhub > hub.yaml
  hub migrate values.yaml --name course --report report.txt > hub.yaml

With `--all` the chart's defaults are carried over, too. The Hub goes to the standard output, and
with it a Service for servers that run already; what became of each key goes to the standard error.
No secret is printed: the Hub names the chart's own Secret, and the report says which Secrets you
have to make. Nothing is changed in any cluster.
Exit codes: 0 every key is carried over or not needed, 3 the report has keys for you to look at
(BY HAND, UNKNOWN), 1 there is no Hub to print, 2 wrong usage.")]
pub struct Migrate {
    /// The values, in YAML; `-` is the standard input
    #[arg(value_name = "FILE")]
    values: PathBuf,
    /// Name of the Hub: lower case letters, digits and '-'
    #[arg(long, default_value = "jhub", value_name = "NAME")]
    name: String,
    /// Namespace of the Hub, which must be that of the release [default: that of kubectl]
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Name of the release, by which the chart names its objects if fullnameOverride is null
    #[arg(long, default_value = "jupyterhub", value_name = "NAME")]
    release: String,
    /// Where the report goes instead of the standard error
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Migrate {
    /// The exit code says whether a person has to look at something.
    ///
    /// # Errors
    /// The values can't be read, or the report can't be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let values = self.read()?;
        let options = Options { name: self.name, namespace: self.namespace, release: self.release };
        let Migration { manifest, report } = migrate(&values, &options)?;
        io::stdout().lock().write_all(manifest.as_bytes()).context("failed to print the Hub")?;
        match self.report {
            Some(path) => {
                fs::write(&path, report.to_string()).with_context(|| format!("failed to write {}", path.display()))?;
            }
            None => {
                let written = io::stderr().lock().write_all(report.to_string().as_bytes());
                written.context("failed to print the report")?;
            }
        }
        Ok(if report.needs_attention() { ExitCode::from(ATTENTION) } else { ExitCode::SUCCESS })
    }

    fn read(&self) -> anyhow::Result<String> {
        if self.values.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("failed to read the standard input")?;
            return Ok(text);
        }
        fs::read_to_string(&self.values).with_context(|| format!("failed to read {}", self.values.display()))
    }
}
