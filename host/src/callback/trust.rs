//! Which certificates receivers may have: those that the system trusts, or
//! `SSL_CERT_FILE`, as with a Redis over TLS.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Read when it is needed first: most hosts never call over TLS, and the list takes a
/// megabyte.
#[derive(Default)]
pub(super) struct Trust(OnceCell<Arc<ClientConfig>>);

impl Trust {
    #[cfg(test)]
    pub(super) fn of(config: ClientConfig) -> Self {
        Self(OnceCell::new_with(Some(Arc::new(config))))
    }

    /// How to speak TLS.
    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let read = async || {
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|error| error.to_string())?
        };
        self.0.get_or_try_init(read).await.cloned()
    }
}

fn read() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (read, _) = roots.add_parsable_certificates(found.certs);
    if read == 0 {
        let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "the system trusts no certificates ({}); install its ca-certificates, or name a file of them in SSL_CERT_FILE",
            why.join("; ")
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
