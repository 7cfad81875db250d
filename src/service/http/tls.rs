//! TLS from a certificate and a key on disk, which may change under way.
//!
//! A pair that cannot be used never takes the place of one that can: at the start it is a fault of
//! the configuration, later it is a warning and the pair before it goes on.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// A certificate with its chain, and its key, as two files of PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What connections are encrypted with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    /// The files as they were last seen, good or not, so that a bad pair is told of once.
    seen: Mutex<Documents>,
    current: ArcSwap<ServerConfig>,
}

/// The files as bytes. Their times would not tell: a file can be written twice within one tick.
#[derive(PartialEq, Eq)]
struct Documents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What is wrong with the files, and with which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate.
    #[error("the certificate {0:?} {1}")]
    Certificate(PathBuf, &'static str),
    /// The key.
    #[error("the key {0:?} {1}")]
    Key(PathBuf, &'static str),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be read, is not what it should be, or they do not belong together.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let documents = Documents::read(&files)?;
        let current = ArcSwap::from_pointee(documents.parse(&files)?);
        Ok(Self(Arc::new(Inner {
            files,
            seen: Mutex::new(documents),
            current,
        })))
    }

    /// Reads the files again; connections that come from now on get what is in them.
    pub fn reload(&self) {
        match self.replace() {
            Ok(true) => tracing::info!("certificate replaced"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "certificate not replaced"),
        }
    }

    /// Looks at the files every other second, until it is dropped.
    pub async fn watch(self) {
        let mut looks = interval(CHECK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let tls = self.clone();
            // Disks can be slow, and this is what threads for blocking are for.
            let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
        }
    }

    fn replace(&self) -> Result<bool, TlsError> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let documents = Documents::read(&self.0.files)?;
        if *seen == documents {
            return Ok(false);
        }
        let parsed = documents.parse(&self.0.files);
        *seen = documents;
        self.0.current.store(Arc::new(parsed?));
        Ok(true)
    }

    pub(in crate::service) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current.load_full())
    }
}

impl Documents {
    fn read(files: &Files) -> Result<Self, TlsError> {
        let (certificate, key) = (&files.certificate, &files.key);
        Ok(Self {
            certificate: fs::read(certificate)
                .map_err(|error| TlsError::Certificate(certificate.clone(), why(&error)))?,
            key: fs::read(key).map_err(|error| TlsError::Key(key.clone(), why(&error)))?,
        })
    }

    fn parse(&self, files: &Files) -> Result<ServerConfig, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| certificate(files, "is not PEM"))?;
        if chain.is_empty() {
            return Err(certificate(files, "has no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| key(files, "has no private key in it that can be read"))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| certificate(files, "cannot be used: TLS 1.2 and 1.3 are not to be had"))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|_| self::key(files, "is no key for that certificate"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

fn certificate(files: &Files, why: &'static str) -> TlsError {
    TlsError::Certificate(files.certificate.clone(), why)
}

fn key(files: &Files, why: &'static str) -> TlsError {
    TlsError::Key(files.key.clone(), why)
}

fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there",
        io::ErrorKind::PermissionDenied => "may not be read by this user",
        io::ErrorKind::IsADirectory => "is a directory",
        _ => "cannot be read",
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}
