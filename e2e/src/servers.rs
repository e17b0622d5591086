//! What a test of `hub server` is given: the real Jupyter Server and ours, to be run side by side.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    cargo,
    environments::{self, Environment, Version},
    jupyter_server::{Home, JupyterServer, Side},
    packages,
    places::Places,
    program::Program,
};

/// Both sides' programs.
pub struct Servers {
    hub: PathBuf,
    environment: Environment,
    places: Places,
}

impl Servers {
    /// Makes what is not there yet.
    pub(crate) async fn prepare(places: &Places, yes: bool) -> Result<Self> {
        packages::ensure(places, yes, packages::BROWSER).await?;
        let environment = environments::ensure(places, Version::V6).await?;
        Ok(Self { hub: cargo::build_hub(places).await?, environment, places: places.clone() })
    }

    /// Starts a server with these arguments and additional variables on a free port of 127.0.0.1. The real one is
    /// JupyterLab: `jupyter server` with pages. Ours finds the same program on `PATH` and runs it behind itself, unless
    /// the arguments name another.
    pub(crate) async fn start(
        &self,
        side: Side,
        home: &Home,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<JupyterServer> {
        let program = match side {
            Side::Real => self.environment.program("jupyter-lab").args(["--allow-root", "--no-browser"]),
            Side::Ours => Program::new(&self.hub).arg("server"),
        };
        let program = program.only_env(home.environment(&self.environment.bin())?);
        let program = env.iter().fold(program, |program, (name, value)| program.env(name, value));
        JupyterServer::start(program.args(["--ip=127.0.0.1", "--port=0"]).args(args), home).await
    }

    /// `jupyter server COMMAND` or `hub server COMMAND`, for the servers of a home.
    pub(crate) fn command(&self, side: Side, home: &Home, command: &str) -> Result<Program> {
        let program = match side {
            Side::Real => self.environment.program("jupyter-server"),
            Side::Ours => Program::new(&self.hub).arg("server"),
        };
        Ok(program.arg(command).only_env(home.environment(&self.environment.bin())?))
    }

    /// A Python program of our own in `clients/`, run with the real server's libraries.
    pub(crate) fn script(&self, name: &str, home: &Home) -> Result<Program> {
        let script = self.places.source("clients").join(name);
        Ok(self.environment.program("python").arg(script).only_env(home.environment(&self.environment.bin())?))
    }

    /// Where tests leave what people look at.
    pub(crate) fn output(&self) -> Result<PathBuf> {
        self.places.output()
    }
}
