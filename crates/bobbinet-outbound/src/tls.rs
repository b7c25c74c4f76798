//! Whose certificates are believed, and which one is shown, where that is not as usual.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use reqwest::{Certificate, ClientBuilder, Identity};

/// Bytes of one of the files.
const FILE_LENGTH_MAX: u64 = 1 << 20;

/// Where certificates are, each in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// The authorities that are believed, and no others; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What stands in them.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    authorities: Option<Vec<Certificate>>,
    identity: Option<Identity>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsFault {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file that it is about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing of that kind in a file.
    #[error("there is no {what} in {}", path.display())]
    Unusable {
        /// The file that it is about.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
}

impl ClientTlsFiles {
    /// Whether all is as usual.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }

    /// Reads them.
    ///
    /// # Errors
    /// If one cannot be used.
    pub fn read(&self) -> Result<ClientTls, ClientTlsFault> {
        let authorities = self.ca.as_deref().map(|path| {
            let found = Certificate::from_pem_bundle(&read(path)?).unwrap_or_default();
            let unusable = || ClientTlsFault::Unusable { path: path.to_owned(), what: "certificate" };
            if found.is_empty() { Err(unusable()) } else { Ok(found) }
        });
        let identity = self.identity.as_ref().map(|(certificate, key)| {
            let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
            let what = "certificate with its private key";
            Identity::from_pem(&pem).map_err(|_| ClientTlsFault::Unusable { path: certificate.clone(), what })
        });
        Ok(ClientTls { authorities: authorities.transpose()?, identity: identity.transpose()? })
    }
}

impl ClientTls {
    /// A client that goes by them.
    pub fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = match &self.authorities {
            Some(authorities) => builder.tls_certs_only(authorities.iter().cloned()),
            None => builder,
        };
        match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClientTlsFault> {
    let file_error = |source| ClientTlsFault::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(file_error)?.len() > FILE_LENGTH_MAX {
        return Err(file_error(io::Error::other(format!("it is larger than {FILE_LENGTH_MAX} bytes"))));
    }
    fs::read(path).map_err(file_error)
}
