//! Which servers a client believes to be who they say: those with a certificate that the
//! system trusts (or `SSL_CERT_FILE`), and those that `--ca` vouches for.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{CertificateError, ClientConfig, RootCertStore};

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

/// Why a server's certificate was not believed, if that is what an error is about.
pub(super) fn why_not(error: &(dyn Error + 'static)) -> Option<String> {
    let rustls::Error::InvalidCertificate(why) = tls_error(error)? else {
        return None;
    };
    Some(match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet, or this machine's clock is wrong".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("it is for other names: {}", presented.join(", "))
        }
        CertificateError::NotValidForName => "it is for another name".to_owned(),
        CertificateError::Revoked => "it is revoked".to_owned(),
        CertificateError::BadEncoding => "it is damaged".to_owned(),
        // One that is self-made ends in any of these, by how it was made.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is self-made, or signed by a CA that is not trusted here".to_owned()
        }
        other => match error_text(other) {
            text if text.contains("CaUsedAsEndEntity") => {
                "it is that of a CA, and so no server's".to_owned()
            }
            text => text,
        },
    })
}

fn error_text(error: &CertificateError) -> String {
    format!("{error:?}")
}

/// Whether a server did not answer in TLS.
pub(super) fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(_)))
}

/// What rustls said, however deep below other errors.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // The source of an error of I/O is that of the error within it.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
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
