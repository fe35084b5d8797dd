//! TLS: a certificate of our own CA, the command line that trusts it, HTTP/2, and what
//! is no certificate.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::Process;
use crate::server::{PATIENCE, guest, skep};

/// A certificate authority, and a server's certificate and key in files.
struct Papers {
    directory: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Papers {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let papers = Self {
            directory: TempDir::new().unwrap(),
            ca,
        };
        std::fs::write(papers.file("ca.pem"), papers.ca.pem()).unwrap();
        papers.issue("127.0.0.1");
        papers
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Writes a certificate for a name, and its key.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        std::fs::write(self.file("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(self.file("tls.key"), key.serialize_pem()).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.file("tls.key"), private).unwrap();
    }

    fn connector(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config).into()
    }
}

/// A server that speaks TLS.
struct Server {
    process: Process,
    url: String,
    papers: Papers,
}

impl Server {
    async fn start() -> Self {
        Self::of(Papers::new()).await
    }

    async fn of(papers: Papers) -> Self {
        let (certificate, key) = (papers.text("tls.crt"), papers.text("tls.key"));
        let process = serve(&papers, &certificate, &key);
        let line = process.until_said("https://127.0.0.1:").await;
        let at = line.find("https://").unwrap();
        Self {
            process,
            url: line[at..].split_whitespace().next().unwrap().to_owned(),
            papers,
        }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("https://").unwrap()
    }

    async fn shake(
        &self,
        name: &str,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        self.papers.connector(protocols).connect(name, stream).await
    }

    async fn skep(&self, arguments: &[&str]) -> Output {
        let mut command = skep();
        command.args(["--url", &self.url]).args(arguments);
        let output = tokio::time::timeout(PATIENCE, command.output());
        output.await.unwrap().unwrap()
    }
}

fn serve(papers: &Papers, certificate: &str, key: &str) -> Process {
    let store = format!("embedded:{}", papers.text("store"));
    Process::start([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        &store,
        "--tls-cert",
        certificate,
        "--tls-key",
        key,
        "--workers",
        "1",
    ])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_command_line_speaks_tls_with_whom_it_trusts() {
    let server = Server::start().await;
    let ca = server.papers.text("ca.pem");
    let multiply = guest("multiply").display().to_string();
    let deployed = server.skep(&["--ca", &ca, "deploy", &multiply]).await;
    assert!(deployed.status.success(), "{}", said(&deployed));
    let message = r#"{"arg1": 6, "arg2": 7}"#;
    let post = [
        "--ca",
        &ca,
        "post",
        message,
        "--function",
        "multiply",
        "--wait",
    ];
    let posted = server.skep(&post).await;
    assert!(
        String::from_utf8_lossy(&posted.stdout).contains("42"),
        "{}",
        said(&posted)
    );

    let mut command = skep();
    command
        .args(["--url", &server.url, "queue", "status"])
        .env("SKEP_CA", &ca);
    assert!(command.output().await.unwrap().status.success());

    let refused = server.skep(&["queue", "status"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let why = said(&refused);
    assert!(
        why.contains("--ca") && why.contains("not trusted here"),
        "{why}"
    );

    for (file, content, word) in [
        ("none.pem", None, "No such file"),
        ("empty.pem", Some(""), "BEGIN CERTIFICATE"),
        (
            "odd.pem",
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "damaged",
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(server.papers.file(file), content).unwrap();
        }
        let output = server
            .skep(&["--ca", &server.papers.text(file), "queue", "status"])
            .await;
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(word), "{}", said(&output));
    }
}

/// The one that the README makes: signed by its own key.
#[tokio::test]
async fn a_self_made_certificate_is_called_so() {
    let papers = Papers::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap().pem();
    std::fs::write(papers.file("tls.crt"), own).unwrap();
    std::fs::write(papers.file("tls.key"), key.serialize_pem()).unwrap();
    let server = Server::of(papers).await;
    let refused = server.skep(&["queue", "status"]).await;
    let why = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(why.contains("self-made") && why.contains("--ca"), "{why}");
    assert!(!why.contains("Context"), "{why}");
    let own = server.papers.text("tls.crt");
    let taken = server.skep(&["--ca", &own, "queue", "status"]).await;
    assert!(taken.status.success(), "{}", said(&taken));
    let wrong = server.url.replace("127.0.0.1", "localhost");
    let mut elsewhere = skep();
    elsewhere.args(["--url", &wrong, "--ca", &own, "queue", "status"]);
    let refused = elsewhere.output().await.unwrap();
    assert!(
        said(&refused).contains("other names: "),
        "{}",
        said(&refused)
    );
}

#[tokio::test]
async fn http_where_https_is_spoken_and_the_other_way_round_is_told() {
    let server = Server::start().await;
    let plain = server.url.replace("https://", "http://");
    let output = skep().args(["--url", &plain, "queue", "status"]).output();
    let output = output.await.unwrap();
    assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    let plain = crate::server::Server::start().await;
    let url = plain.url.replace("http://", "https://");
    let output = skep().args(["--url", &url, "queue", "status"]).output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("does not speak TLS"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn http_2_and_http_1_are_spoken_and_both_know_their_host() {
    let server = Server::start().await;
    let stream = server
        .shake("127.0.0.1", &[b"h2", b"http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let ask = |uri: String| {
        let request = hyper::Request::builder().uri(uri);
        request.body(String::new()).unwrap()
    };
    for (uri, expected) in [
        (format!("{}/healthz", server.url), 200),
        ("https://localhost/healthz".to_owned(), 200),
        ("https://evil.example/healthz".to_owned(), 421),
    ] {
        let answer = sender.send_request(ask(uri.clone())).await.unwrap();
        assert_eq!(answer.status(), expected, "{uri}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    let huge = hyper::Request::builder()
        .uri(format!("{}/healthz", server.url))
        .header("x", "y".repeat(200 << 10))
        .body(String::new())
        .unwrap();
    let answer = sender.send_request(huge).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);

    let stream = server.shake("127.0.0.1", &[b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::builder()
        .uri("/healthz")
        .header("host", "localhost");
    let answer = sender
        .send_request(request.body(String::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    // HSTS is for whoever has the domain.
    assert!(!answer.headers().contains_key("strict-transport-security"));
}

#[tokio::test]
async fn a_certificate_that_changes_is_used_and_a_bad_one_is_not() {
    let server = Server::start().await;
    assert!(
        server.shake("localhost", &[]).await.is_err(),
        "it is for 127.0.0.1"
    );
    // A key that belongs to another certificate, as for a moment while both are written.
    std::fs::write(
        server.papers.file("tls.key"),
        KeyPair::generate().unwrap().serialize_pem(),
    )
    .unwrap();
    server.process.until_said("stays the one before").await;
    server.shake("127.0.0.1", &[]).await.unwrap();
    server.papers.issue("localhost");
    let begun = Instant::now();
    while server.shake("localhost", &[]).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "{}", server.process.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_is_no_tls_is_hung_up_on() {
    let server = Server::start().await;
    let begun = Instant::now();
    let plain = async {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    };
    let silent = async {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        // The beginning of a handshake.
        stream.write_all(&[22, 3, 1, 0, 200]).await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
        assert!(
            begun.elapsed() >= Duration::from_secs(9),
            "{:?}",
            begun.elapsed()
        );
    };
    let both = async { tokio::join!(plain, silent) };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    server.shake("127.0.0.1", &[]).await.unwrap();
}

#[tokio::test]
async fn what_is_no_certificate_or_key_is_named() {
    let papers = Papers::new();
    let (certificate, key) = (papers.text("tls.crt"), papers.text("tls.key"));
    let file = |name: &str, text: &str| {
        std::fs::write(papers.file(name), text).unwrap();
        papers.text(name)
    };
    let other = file("other.key", &KeyPair::generate().unwrap().serialize_pem());
    let empty = file("empty", "");
    let locked = file(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let odd = file(
        "odd.crt",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    );
    let missing = papers.text("missing");
    let directory = papers.directory.path().display().to_string();
    for (certificate, key, words) in [
        (&missing, &key, ["missing", "No such file"]),
        (&certificate, &missing, ["missing", "No such file"]),
        (&empty, &key, ["empty", "no certificate in PEM"]),
        (&certificate, &empty, ["empty", "no private key in PEM"]),
        (&certificate, &locked, ["locked.key", "passphrase"]),
        (&key, &certificate, ["tls.key", "no certificate"]),
        (&certificate, &other, ["other.key", "does not belong"]),
        (&odd, &key, ["odd.crt", "cannot be used"]),
        (&directory, &key, [directory.as_str(), "cannot read"]),
    ] {
        let mut process = serve(&papers, certificate, key);
        let code = process.exit().await;
        process.until_said("error").await;
        let said = process.said();
        assert_eq!(code, Some(2), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }
    // One flag without the other.
    let mut process = Process::start(["serve", "--tls-cert", &certificate]);
    process.until_said("--tls-key").await;
    assert_eq!(process.exit().await, Some(2));
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_warned_of() {
    let papers = Papers::new();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(papers.file("tls.key"), open).unwrap();
    let process = serve(&papers, &papers.text("tls.crt"), &papers.text("tls.key"));
    let warning = process.until_said("chmod o-r").await;
    assert!(
        warning.contains(&name_of(&papers.file("tls.key"))),
        "{warning}"
    );
}

fn name_of(path: &Path) -> String {
    path.display().to_string()
}
