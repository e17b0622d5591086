//! What a test's own hub logs, at every level.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// All that was logged on this thread since it was made: a test and its hub run on one.
pub(crate) struct Log {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn capture() -> Self {
        // What a thread without any subscriber logs first may stay switched off for all. This one hears all and keeps
        // nothing; only the first test can set it.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt().with_writer(text.clone()).with_max_level(tracing::Level::TRACE);
        Self { text, _guard: tracing::subscriber::set_default(subscriber.with_ansi(false).finish()) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.0.lock().unwrap()).into_owned()
    }

    /// Lines of the hub's own, those of the audit log among them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let is_own = |line: &&str| line.contains(" hub::") || line.contains(" audit: ");
        self.text().lines().filter(is_own).map(str::to_owned).collect()
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Text {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
