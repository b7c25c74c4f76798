//! A certificate for one server, and a client that believes it and no other.

use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The files of a certificate for this machine.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) believer: Believer,
}

/// Whoever believes a certificate. Each connection has a whole handshake: none is resumed.
#[derive(Clone)]
pub(crate) struct Believer(TlsConnector);

impl Certificate {
    /// Makes one, of ECDSA on P-256, in this folder.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).context("describing a certificate")?;
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        let pair = KeyPair::generate().context("making a key")?;
        let made = params.self_signed(&pair).context("signing a certificate")?;
        let (file, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        fs::write(&file, made.pem()).context("writing a certificate")?;
        fs::write(&key, pair.serialize_pem()).context("writing a key")?;
        let mut roots = RootCertStore::empty();
        roots.add(made.der().clone()).context("believing a certificate")?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().context("choosing a version of TLS")?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { file, key, believer: Believer(TlsConnector::from(Arc::new(config))) })
    }
}

impl Believer {
    pub(crate) async fn shake_hands(&self, stream: TcpStream, server: IpAddr) -> Result<TlsStream<TcpStream>> {
        self.0.connect(ServerName::from(server), stream).await.context("shaking hands")
    }
}

impl fmt::Debug for Believer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Believer").finish_non_exhaustive()
    }
}
