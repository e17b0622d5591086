//! The original's options that are refused by name.

use clap::ArgAction;

/// The original's options that nothing here answers to.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of configurable-http-proxy that are refused")]
pub(super) struct Unsupported {
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    ssl_allow_rc4: bool,
    #[arg(long, hide = true)]
    ssl_dhparam: Option<String>,
    #[arg(long, hide = true)]
    storage_backend: Option<String>,
}

impl Unsupported {
    /// The first option that was given, and what to do instead.
    pub(super) fn given(&self) -> Option<(&'static str, &'static str)> {
        const STORE: &str = "storage backends are JavaScript classes; --snapshot keeps the table over a restart";
        [
            (self.ssl_allow_rc4, "--ssl-allow-rc4", "RC4 is broken and will not be supported; remove the option"),
            (
                self.ssl_dhparam.is_some(),
                "--ssl-dhparam",
                "keys are agreed on by elliptic curves only; remove the option",
            ),
            (self.storage_backend.is_some(), "--storage-backend", STORE),
        ]
        .into_iter()
        .find_map(|(is_given, name, remedy)| is_given.then_some((name, remedy)))
    }
}
