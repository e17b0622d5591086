//! What a test of `hub server` is given: the real Jupyter Server and ours, to be run side by side.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Result;

use crate::{
    cargo,
    environments::{self, Environment, Version},
    jupyter_server::{Home, JupyterServer, Side},
    packages,
    places::Places,
    program::Program,
};

/// A program to guard: it shows the files of its directory.
const SMALL: &[&str] = &["--", "python", "-m", "http.server", "{port}", "--bind", "127.0.0.1"];

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
        Ok(Self { hub: cargo::build_hub(places, false).await?, environment, places: places.clone() })
    }

    /// Starts a server with these arguments and additional variables on 127.0.0.1, on a free port unless they name one.
    /// The real one is JupyterLab: `jupyter server` with pages. Ours finds the same program on `PATH` and runs it behind
    /// itself, unless the arguments name another.
    pub(crate) async fn start(
        &self,
        side: Side,
        home: &Home,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<JupyterServer> {
        let program = match side {
            Side::Real => self.environment.program("jupyter-lab").args(["--allow-root", "--no-browser"]),
            Side::Ours => self.ours(),
        };
        let program = self.at_home(program, home)?;
        let program = env.iter().fold(program, |program, (name, value)| program.env(name, value));
        let any_port = (!args.iter().any(|arg| arg.starts_with("--port="))).then_some("--port=0");
        JupyterServer::start(program.arg("--ip=127.0.0.1").args(any_port).args(args), home).await
    }

    /// As [`Self::start`], where what is guarded is no matter: ours has a program behind it that starts at once.
    pub(crate) async fn start_small(
        &self,
        side: Side,
        home: &Home,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<JupyterServer> {
        match side {
            Side::Real => self.start(side, home, args, env).await,
            Side::Ours => self.start(side, home, &[args, SMALL].concat(), env).await,
        }
    }

    /// `jupyter server COMMAND` or `hub server COMMAND`, for the servers of a home.
    pub(crate) fn command(&self, side: Side, home: &Home, command: &str) -> Result<Program> {
        let program = match side {
            Side::Real => self.environment.program("jupyter-server"),
            Side::Ours => self.ours(),
        };
        self.at_home(program.arg(command), home)
    }

    /// The same on a terminal, whose answers are the input: see `clients/on_terminal.py`.
    pub(crate) fn on_terminal(&self, side: Side, home: &Home, command: &str) -> Result<Program> {
        let terminal = self.script("on_terminal.py", home)?;
        Ok(match side {
            Side::Real => terminal.arg(self.environment.bin().join("jupyter-server")),
            Side::Ours => terminal.arg(&self.hub).arg("server"),
        }
        .arg(command))
    }

    /// Python with the real server's libraries.
    pub(crate) fn python(&self, home: &Home) -> Result<Program> {
        self.at_home(self.environment.program("python"), home)
    }

    /// A program of our own in `clients/`, run with the real server's libraries.
    pub(crate) fn script(&self, name: &str, home: &Home) -> Result<Program> {
        Ok(self.python(home)?.arg(self.places.source("clients").join(name)))
    }

    /// What programs at home find in their environment.
    pub(crate) fn environment(&self, home: &Home) -> Result<Vec<(&'static str, OsString)>> {
        home.environment(&self.environment.bin())
    }

    fn ours(&self) -> Program {
        Program::new(&self.hub).arg("server")
    }

    fn at_home(&self, program: Program, home: &Home) -> Result<Program> {
        Ok(program.only_env(self.environment(home)?))
    }

    /// Where tests leave what people look at.
    pub(crate) fn output(&self) -> Result<PathBuf> {
        self.places.output()
    }
}
