//! A certificate for loopback that nobody else has signed.

use std::path::Path;

use crate::free_port;

/// The port for TLS, and what clients must trust.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) port: u16,
    pub(crate) certificate: String,
}

impl Tls {
    /// Makes a certificate in the server's directory; answers it, and what the server
    /// must be told.
    pub(crate) fn new(directory: &Path) -> (Self, Vec<String>) {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let certificate = made.cert.pem();
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("the directory can be written to");
            path.display().to_string()
        };
        let cert = write("tls.crt", &certificate);
        let key = write("tls.key", &made.signing_key.serialize_pem());
        let port = free_port();
        let number = port.to_string();
        let args = [
            ["--tls-port", &number],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &cert],
            ["--tls-auth-clients", "no"],
        ];
        let args = args.as_flattened().iter().map(|&arg| arg.to_owned());
        (Self { port, certificate }, args.collect())
    }
}
