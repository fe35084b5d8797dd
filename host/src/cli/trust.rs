//! Which servers a client believes to be who they say: those with a certificate that the
//! system trusts (or `SSL_CERT_FILE`), and those that `--ca` vouches for.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

use super::failure::Failure;

/// Gives every user of TLS in this process its cryptography: `reqwest` and `redis` panic
/// without.
pub(super) fn use_ring() {
    // It fails only if there is one already.
    let _ = ring::default_provider().install_default();
}

/// How to speak TLS with those that the system trusts, and with those in a file.
pub(super) fn system_and(ca: Option<&Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if let Some(path) = ca {
        for certificate in read(path)? {
            roots.add(certificate).map_err(|error| {
                Failure::usage(format!(
                    "--ca {}: {error}; name a file with the certificate of the CA, not of the server's key",
                    path.display()
                ))
            })?;
        }
    }
    if roots.is_empty() {
        return Err(Failure::failed(
            "the system trusts no certificates; install its ca-certificates, or name a file of them with --ca",
        ));
    }
    config(roots)
}

/// For plain HTTP: reading what the system trusts would take longer than most requests.
pub(super) fn nobody() -> Result<ClientConfig, Failure> {
    config(RootCertStore::empty())
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| match error {
            pem::Error::Io(error) => Failure::usage(format!("--ca {shown}: {error}")),
            error => Failure::usage(format!("--ca {shown} is damaged: {error:?}")),
        })?;
    if certificates.is_empty() {
        return Err(Failure::usage(format!(
            "--ca {shown} has no certificate in PEM in it, which begins with -----BEGIN CERTIFICATE-----"
        )));
    }
    Ok(certificates)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::failed(format!("no TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
