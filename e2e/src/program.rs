//! Other programs: run, waited for, and named in errors.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};

use crate::progress::Log;

/// Lines of a failed program's words that go into its error.
const LAST_WORDS: usize = 15;
/// The same where a log has the rest: enough for a compiler's error.
const LAST_LOGGED: usize = 40;

/// A program to run. Nothing secret may be among its arguments: errors show them.
pub(crate) struct Program {
    command: Command,
    shown: String,
    input: Option<Vec<u8>>,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program);
        let mut command = Command::new(program);
        command.kill_on_drop(true);
        Self { command, shown: name.to_string_lossy().into_owned(), input: None }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{} {}", self.shown, arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs without a variable that this process has.
    pub(crate) fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs with these variables and no other.
    pub(crate) fn only_env<'a>(mut self, vars: impl IntoIterator<Item = (&'a str, OsString)>) -> Self {
        self.command.env_clear().envs(vars);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the program reads from its standard input; without it the input is empty.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Starts the program, with every word going to a log. It is not ended when it is dropped.
    pub(crate) fn start(mut self, log: File) -> Result<Child> {
        let command = self.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(false);
        command.spawn().with_context(|| format!("failed to start `{}`", self.shown))
    }

    /// Standard output, without the last line's end; an error if the program fails.
    pub(crate) async fn output(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).trim_end().to_owned())
    }

    /// The same, byte for byte.
    pub(crate) async fn bytes(mut self) -> Result<Vec<u8>> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (shown, output) = self.collect().await?;
        if !output.status.success() {
            let words =
                [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("");
            bail!("`{shown}` failed ({})\n{}", output.status, last_lines(&words, LAST_WORDS));
        }
        Ok(output.stdout)
    }

    /// Standard output, while what goes to standard error goes to the log of the step.
    pub(crate) async fn output_logged(mut self, log: &Log) -> Result<String> {
        self.command.stdout(Stdio::piped()).stderr(log.append()?);
        let (shown, output) = self.collect().await?;
        require(&shown, output.status, log)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs with every word going to the log of the step; an error if the program fails.
    pub(crate) async fn logged(mut self, log: &Log) -> Result<()> {
        let file = log.append()?;
        self.command.stdout(file.try_clone()?).stderr(file);
        let (shown, output) = self.collect().await?;
        require(&shown, output.status, log)
    }

    /// Whether the program runs, ends well, and does so in time.
    pub(crate) async fn succeeds_within(self, limit: Duration) -> bool {
        matches!(timeout(limit, self.output()).await, Ok(Ok(_)))
    }

    /// `self | next`, as in a shell; fails if either fails.
    pub(crate) async fn pipe_into(mut self, mut next: Self) -> Result<()> {
        let mut source = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("failed to start `{}`", self.shown))?;
        let pipe: Stdio = source.stdout.take().context("a piped standard output")?.try_into()?;
        next.command.stdin(pipe).stdout(Stdio::piped()).stderr(Stdio::piped());
        let sink = next.command.output().await.with_context(|| format!("failed to start `{}`", next.shown))?;
        let sent = source.wait().await?;
        if !sink.status.success() {
            bail!(
                "`{}` failed ({})\n{}",
                next.shown,
                sink.status,
                last_lines(&String::from_utf8_lossy(&sink.stderr), LAST_WORDS)
            );
        }
        if !sent.success() {
            bail!("`{}` failed ({sent})", self.shown);
        }
        Ok(())
    }

    async fn collect(mut self) -> Result<(String, Output)> {
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn().with_context(|| format!("failed to start `{}`", self.shown))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let (Some(mut stdin), Some(bytes)) = (stdin, self.input) {
                // A program that does not read to the end says why in its own words.
                let _ = stdin.write_all(&bytes).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        Ok((self.shown, output?))
    }
}

/// An error that holds the log's end, unless the program succeeded.
fn require(shown: &str, status: ExitStatus, log: &Log) -> Result<()> {
    if !status.success() {
        bail!(
            "`{shown}` failed ({status}); its last words, all in {}:\n{}",
            log.path().display(),
            log.tail(LAST_LOGGED)
        );
    }
    Ok(())
}

/// Where a program lies on `PATH`.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Daemons and administration tools lie in directories that a plain user's PATH may lack.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// What runs with its working directory in a directory, each with its number and its command line.
pub(crate) fn processes_in(dir: &Path) -> Result<Vec<String>> {
    let processes = fs::read_dir("/proc")?.filter_map(|entry| Some(entry.ok()?.path()));
    // Others' processes, and those that end meanwhile, don't tell.
    let found = processes.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)));
    let shown = found.map(|process| {
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        format!("{}: {}", process.display(), String::from_utf8_lossy(&command).replace('\0', " "))
    });
    Ok(shown.collect())
}

/// The last lines of a text, without empty ones.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_what_the_program_said_without_the_last_newline() {
        assert_eq!(Program::new("sh").args(["-c", "cat; echo b"]).input("a\n").output().await.unwrap(), "a\nb");
    }

    #[tokio::test]
    async fn a_failure_names_the_command_and_keeps_its_words() {
        let error = Program::new("sh").args(["-c", "echo why >&2; exit 3"]).output().await.unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("why") && error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn a_pipe_fails_when_its_source_fails() {
        let source = Program::new("sh").args(["-c", "echo a; exit 1"]);
        assert!(source.pipe_into(Program::new("cat")).await.is_err());
        Program::new("echo").arg("a").pipe_into(Program::new("grep").arg("a")).await.unwrap();
    }

    #[test]
    fn each_program_is_looked_for_by_itself() {
        assert!(which("sh").is_some());
        assert!(which("no-such-program-here").is_none());
    }

    #[test]
    fn last_lines_are_the_last_that_say_something() {
        assert_eq!(last_lines("a\n\nb\nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }
}
