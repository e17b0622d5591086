//! The certificates that are served: read from files, chosen by the name that a client asks for, and read again when
//! their files change. A file that can't be used changes nothing: what was served before is served on.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use hub_tls::{Certificate, Problem};
use jiff::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::metrics::CertificateMetrics;
use crate::watch::Watched;

/// More than is read of a file: [`hub_tls::read`] refuses what is larger than 64 KiB.
const MAX_FILE: usize = 64 * 1024 + 1;
/// Who these bits let in is neither the owner nor of the group.
const OTHERS: u32 = 0o007;

/// PEM files. The certificate's file holds the leaf and its chain in any order (S41), and may hold the key, too (S39).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: Option<PathBuf>,
}

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to read {what} from {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "refusing to use the private key in {}: it has mode {mode:04o} and can be read by others; run `chmod 640 {}`",
        path.display(),
        path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{}: {problem}", path.display())]
    Unusable { path: PathBuf, problem: Problem },
    #[error("failed to use the authorities in {}: {reason}", path.display())]
    Authorities { path: PathBuf, reason: String },
    #[error("failed to set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// One certificate that is served.
#[derive(Debug, Clone)]
struct Served {
    /// Its certificate's.
    file: PathBuf,
    certificate: Arc<Certificate>,
    key: Arc<CertifiedKey>,
}

impl Served {
    fn is(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| self.certificate.chain_pem == other.certificate.chain_pem)
    }
}

/// All certificates of a proxy.
#[derive(Debug)]
pub(crate) struct Store {
    main: TlsFiles,
    directory: Option<PathBuf>,
    watched: Watched,
    metrics: Arc<CertificateMetrics>,
    /// The main one comes first.
    served: RwLock<Arc<[Served]>>,
}

impl Store {
    /// Reads everything for the first time. An expired certificate is served all the same: to refuse would end what the
    /// person at the browser can still decide about.
    pub(crate) fn new(
        main: &TlsFiles,
        directory: Option<&Path>,
        metrics: Arc<CertificateMetrics>,
    ) -> Result<Self, TlsError> {
        let paths = [Some(main.certificate.as_path()), main.key.as_deref(), directory];
        let watched = Watched::new(paths.into_iter().flatten().map(Path::to_owned).collect());
        let first = load(main)?;
        let store = Self {
            main: main.clone(),
            directory: directory.map(Path::to_owned),
            watched,
            metrics,
            served: RwLock::new(Arc::from([])),
        };
        store.introduce(&first);
        if let Err(problem) = first.certificate.check(Timestamp::now()) {
            tracing::error!(file = %main.certificate.display(), "{problem}; it is served for want of a better one");
        }
        store.serve(vec![first]);
        // The others.
        store.reload();
        Ok(store)
    }

    /// Reads the certificates again whenever their files change.
    pub(crate) async fn watch(&self) {
        let mut watched = self.watched.clone();
        loop {
            watched.changed().await;
            self.reload();
        }
    }

    fn served(&self) -> Arc<[Served]> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads all files. What is new in them is served from now on if it can be.
    fn reload(&self) {
        let before = self.served();
        let more = self.directory.as_deref().map_or_else(Vec::new, |directory| pairs(directory, &self.main));
        let mut served = Vec::new();
        for files in std::iter::once(&self.main).chain(&more) {
            let old = before.iter().find(|old| old.file == files.certificate);
            served.extend(self.renewed(files, old).or_else(|| old.cloned()));
        }
        self.serve(served);
    }

    fn serve(&self, served: Vec<Served>) {
        let ends = served.iter().map(|one| (file_name(&one.file), one.certificate.not_after.as_second()));
        self.metrics.set_ends(ends.collect());
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served.into();
    }

    /// What is new in the files, if it can be served; if not, says why.
    fn renewed(&self, files: &TlsFiles, old: Option<&Served>) -> Option<Served> {
        let checked = load(files).and_then(|new| match new.certificate.check(Timestamp::now()) {
            Err(problem) if !new.is(old) => Err(TlsError::Unusable { path: new.file, problem }),
            _ => Ok(new),
        });
        match checked {
            Ok(new) if new.is(old) => None,
            Ok(new) => {
                self.introduce(&new);
                Some(new)
            }
            Err(error) => {
                let kept = if old.is_some() { "the one before is served on" } else { "it is left out" };
                tracing::error!(%error, "a certificate can't be used; {kept}");
                self.metrics.failed();
                None
            }
        }
    }

    fn introduce(&self, new: &Served) {
        let now = Timestamp::now();
        let file = new.file.display();
        for warning in new.certificate.warnings_at(now) {
            tracing::warn!(%file, "{warning}");
        }
        tracing::info!(%file, certificate = %new.certificate, "certificate loaded");
        self.metrics.loaded(now);
    }

    /// The certificate for the name that a client asked for: one that has it exactly, else one with a wildcard for it,
    /// else the main one.
    fn find(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let served = self.served();
        let has = |one: &&Served, host: &str| one.certificate.names.iter().any(|name| name.eq_ignore_ascii_case(host));
        let named = host.and_then(|host| {
            let exact = served.iter().find(|one| has(one, host));
            exact.or_else(|| served.iter().find(|one| one.certificate.covers(host)))
        });
        named.or(served.first()).map(|one| one.key.clone())
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(client_hello.server_name())
    }
}

/// Every `NAME.crt` in the directory with the `NAME.key` beside it, but for the main certificate.
fn pairs(directory: &Path, main: &TlsFiles) -> Vec<TlsFiles> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::error!(%error, directory = %directory.display(), "failed to look for more certificates");
            return Vec::new();
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut certificates: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "crt") && *path != main.certificate)
        .collect();
    certificates.sort();
    let pair = |certificate: PathBuf| TlsFiles { key: Some(certificate.with_extension("key")), certificate };
    certificates.into_iter().map(pair).collect()
}

/// A certificate for the proxy's own use.
pub(crate) fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    load(files).map(|loaded| loaded.certificate.certified_key())
}

fn load(files: &TlsFiles) -> Result<Served, TlsError> {
    let certificate_pem = match files.key {
        Some(_) => read("the certificate", &files.certificate, false)?,
        None => read("the certificate and its key", &files.certificate, true)?,
    };
    let key_pem = files.key.as_deref().map(|key| read("the private key", key, true)).transpose()?;
    let certificate = hub_tls::read(&certificate_pem, key_pem.as_deref().map(Vec::as_slice)).map_err(|problem| {
        let is_about_key = matches!(problem, Problem::NoKey | Problem::KeyEncrypted | Problem::KeyUnsupported);
        let path = files.key.as_ref().filter(|_| is_about_key).unwrap_or(&files.certificate);
        TlsError::Unusable { path: path.clone(), problem }
    })?;
    let key = Arc::new(certificate.certified_key());
    Ok(Served { file: files.certificate.clone(), certificate: Arc::new(certificate), key })
}

/// Reads a file; one that holds a key must be closed to others (S40).
fn read(what: &'static str, path: &Path, is_secret: bool) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if is_secret && mode & OTHERS != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    // Whole from the start: a buffer that grows leaves copies of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
