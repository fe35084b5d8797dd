//! TLS by a certificate and a key in files, which are read again when they change.
//!
//! By their change and not by a signal: what renews certificates often cannot signal
//! another process or container, and a SIGHUP that arrives at a server without TLS, or
//! at an older one, ends it. A file is looked at, not watched for events, since those
//! do not cross network file systems and mounted secrets.

use std::fs::{Metadata, metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at: a renewed certificate is in use within seconds,
/// and a look costs microseconds.
const LOOK: Duration = Duration::from_secs(5);

/// What is spoken within, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS cannot be spoken, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// How to speak TLS.
#[derive(Clone, Debug)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

#[derive(Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// Tells a file from what it was before.
type Looks = Vec<Option<(i64, i64, u64, u64)>>;

impl Tls {
    /// Reads a certificate with its chain, and its key, from files in PEM; and again
    /// whenever they change, as long as this lives. One that cannot be used then leaves
    /// the one before in use.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or has not in it what it should.
    pub fn of_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        // Before they are read: what changes meanwhile is seen as a change.
        let looks = files.looks();
        let (config, current) = watch::channel(files.read()?);
        if metadata(key).is_ok_and(|key| key.mode() & 0o004 != 0) {
            tracing::warn!(
                "every user of this machine can read the key {0}: chmod o-r {0}",
                key.display()
            );
        }
        tokio::spawn(files.follow(looks, config));
        Ok(Self(current))
    }

    /// The handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.0.borrow().clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Files {
    fn looks(&self) -> Looks {
        let look = |file: Metadata| (file.mtime(), file.mtime_nsec(), file.ino(), file.size());
        [&self.certificate, &self.key]
            .map(|path| metadata(path).ok().map(look))
            .to_vec()
    }

    async fn follow(self, mut looks: Looks, config: watch::Sender<Arc<ServerConfig>>) {
        // Why the newest files are not in use.
        let mut refused = None;
        loop {
            tokio::select! {
                () = config.closed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = self.looks();
            // Of two files that are written one after the other, the first fits to
            // nothing for a moment: what could not be used is tried once more.
            if now == looks && refused.is_none() {
                continue;
            }
            match self.read() {
                Ok(read) => {
                    tracing::info!("the certificate was read again");
                    config.send_replace(read);
                    refused = None;
                }
                Err(error) if now == looks => {
                    tracing::warn!(%error, "the certificate stays the one before");
                    refused = None;
                }
                Err(error) => refused = Some(error),
            }
            looks = now;
        }
    }

    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        let unread = |path: &dyn std::fmt::Display, what: &str, error: pem::Error| {
            TlsError(match error {
                pem::Error::Io(error) => format!("cannot read {path}: {error}"),
                pem::Error::NoItemsFound => format!(
                    "{path} has no {what} in PEM in it, which begins with -----BEGIN; a key with a passphrase must be decrypted"
                ),
                error => format!("{path} is damaged: {error:?}"),
            })
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .and_then(|chain| match chain.is_empty() {
                true => Err(pem::Error::NoItemsFound),
                false => Ok(chain),
            })
            .map_err(|error| unread(&certificate, "certificate", error))?;
        let secret = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unread(&key, "private key", error))?;
        let unfit = |error: Error| {
            TlsError(match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                    "the key {key} does not belong to the first certificate of {certificate}; that one must be the server's own, and those that signed it follow"
                ),
                error => format!("{certificate} and {key} cannot be used: {error}"),
            })
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(unfit)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }
}
