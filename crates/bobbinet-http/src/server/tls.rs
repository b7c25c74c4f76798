//! What the node shows of itself when a connection begins, and whom it lets in: read from files, and read anew as they change.
//!
//! The files are the truth: what stands in them counts for the next connection within [`LOOK_INTERVAL`], however it got there
//! (in place, by a rename, by the links that Kubernetes swaps). What cannot be used, such as a key that is a moment older than its
//! certificate, is said once and tried again; until then the last that could be used stays.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use bobbinet_auth::Certificate;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// How long a change of the files may go unnoticed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of one of the files: a chain of a dozen certificates, or the authorities of a large house.
const FILE_LENGTH_MAX: u64 = 1 << 20;

/// What is spoken once the connection is there, best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", HTTP1];

const HTTP1: &[u8] = b"http/1.1";

/// Where certificates and keys are, each in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates callers may show; `None` if callers are not asked for any.
    pub client_ca: Option<PathBuf>,
    /// Whether callers must show one. Probes need not.
    pub is_client_required: bool,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    File {
        /// The file that it is about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing of that kind in a file.
    #[error("there is no {what} in {}", path.display())]
    Empty {
        /// The file that it is about.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// What is in the files does not fit together.
    #[error("the certificate in {} cannot be used with its key", path.display())]
    Unusable {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The authorities for callers' certificates cannot be used.
    #[error("the authorities in {} cannot be used: {why}", path.display())]
    Authorities {
        /// The file of the authorities.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Takes the node's connections by TLS, 1.2 and later.
pub struct Tls {
    files: TlsFiles,
    loaded: RwLock<Arc<Loaded>>,
    looking: Mutex<Looking>,
}

/// What could be used last. A connection takes it once, when it begins: what it agrees on and who vouches for its certificate are then of
/// the same moment, however long the handshake takes.
pub(super) struct Loaded {
    contents: Contents,
    config: Arc<ServerConfig>,
    /// The same for those for whom there is no place.
    for_visitors: Arc<ServerConfig>,
}

/// Who a connection is made for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guest {
    /// Who has a place.
    Caller,
    /// Who is heard once and sent away: HTTP/1.1 will do.
    Visitor,
}

/// Hashes of what stands in the files: the private key itself is kept nowhere but where it signs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Contents {
    certificate: [u8; 32],
    key: [u8; 32],
    authorities: Option<[u8; 32]>,
}

struct Looking {
    last: Instant,
    complaint: Option<String>,
}

/// A certificate that a caller has shown when his connection began, and the authorities that vouched for it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) certificate: Certificate,
    authorities: Option<[u8; 32]>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsFault> {
        let loaded = Loaded::read(&files, None)?.expect("there is nothing yet that it could be the same as");
        let looking = Mutex::new(Looking { last: Instant::now(), complaint: None });
        Ok(Arc::new(Self { files, loaded: RwLock::new(Arc::new(loaded)), looking }))
    }

    /// Whether callers may show a certificate.
    pub(super) fn takes_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Whether callers must show a certificate.
    pub(super) fn is_client_required(&self) -> bool {
        self.files.is_client_required
    }

    /// What takes the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current().acceptor(Guest::Caller)
    }

    /// What the next connection begins with.
    pub(super) fn current(&self) -> Arc<Loaded> {
        self.look();
        self.snapshot()
    }

    /// Whether those who have vouched for a certificate still may: a connection can last longer than that.
    pub(super) fn is_trusted(&self, shown: &Shown) -> bool {
        self.look();
        self.snapshot().contents.authorities == shown.authorities
    }

    /// Looks at the files, if it is time. Waits for nobody: whoever looks already looks for all.
    fn look(&self) {
        let Ok(mut looking) = self.looking.try_lock() else { return };
        if looking.last.elapsed() < LOOK_INTERVAL {
            return;
        }
        looking.last = Instant::now();
        let complaint = match Loaded::read(&self.files, Some(self.snapshot().contents)) {
            Ok(None) => None,
            Ok(Some(loaded)) => {
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                tracing::info!(certificate = %self.files.certificate.display(), "took the new certificate");
                None
            }
            Err(fault) => {
                let cause = std::error::Error::source(&fault).map(|cause| format!(": {cause}")).unwrap_or_default();
                Some(format!("{fault}{cause}"))
            }
        };
        if let Some(why) = complaint.as_ref().filter(|_| complaint != looking.complaint) {
            tracing::warn!(why, "the certificate cannot be used as it is now: the one before stays");
        }
        looking.complaint = complaint;
    }

    fn snapshot(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Loaded {
    pub(super) fn acceptor(&self, guest: Guest) -> TlsAcceptor {
        TlsAcceptor::from(match guest {
            Guest::Caller => self.config.clone(),
            Guest::Visitor => self.for_visitors.clone(),
        })
    }

    /// The certificate that was shown on a connection that this has taken, if one was, and it can be read.
    pub(super) fn shown(&self, connection: &ServerConnection) -> Option<Shown> {
        let leaf = connection.peer_certificates()?.first()?;
        match Certificate::read(leaf) {
            Ok(certificate) => Some(Shown { certificate, authorities: self.contents.authorities }),
            Err(error) => {
                tracing::debug!(%error, "a caller's certificate counts for nothing");
                None
            }
        }
    }

    /// What stands in the files; `None` if that is known.
    fn read(files: &TlsFiles, known: Option<Contents>) -> Result<Option<Self>, TlsFault> {
        let certificate = read(&files.certificate)?;
        let key = read(&files.key)?;
        let authorities = files.client_ca.as_deref().map(read).transpose()?;
        let hash = |bytes: &Vec<u8>| Sha256::digest(bytes).into();
        let contents =
            Contents { certificate: hash(&certificate), key: hash(&key), authorities: authorities.as_ref().map(hash) };
        if known == Some(contents) {
            return Ok(None);
        }
        let chain = certificates(&files.certificate, &certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| TlsFault::Empty { path: files.key.clone(), what: "private key" })?;
        let unusable = |source| TlsFault::Unusable { path: files.certificate.clone(), source };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match files.client_ca.as_ref().zip(authorities) {
            None => builder.with_no_client_auth(),
            Some((path, authorities)) => {
                let unusable = |why: String| TlsFault::Authorities { path: path.clone(), why };
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, &authorities)? {
                    roots.add(authority).map_err(|error| unusable(error.to_string()))?;
                }
                // Whether one must be shown is asked of each request: probes have none.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(error.to_string()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if files.client_ca.is_some() {
            // One who resumes is not asked for his certificate again, which may have ended.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let mut for_visitors = config.clone();
        for_visitors.alpn_protocols = vec![HTTP1.to_vec()];
        Ok(Some(Self { contents, config: Arc::new(config), for_visitors: Arc::new(for_visitors) }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let file_error = |source| TlsFault::File { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(file_error)?;
    if !found.is_file() || found.len() > FILE_LENGTH_MAX {
        let why = format!("it is no file of at most {FILE_LENGTH_MAX} bytes");
        return Err(file_error(io::Error::other(why)));
    }
    fs::read(path).map_err(file_error)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| TlsFault::Empty { path: path.to_owned(), what: "certificate" })
}

/// Names the files, never their contents.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}
