use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::super::slots::Slots;
use super::*;
use crate::job::{JobId, Namespace};

/// What the tries belong to.
const TRACE: TraceContext = TraceContext {
    trace_id: 7,
    span_id: 8,
    flags: 1,
};

/// What a receiver does with each connection.
#[derive(Clone)]
enum Does {
    Answers(Vec<u8>),
    /// This again and again, until nobody reads it.
    Repeats(Vec<u8>),
    /// A byte of this now and then.
    Drips(Vec<u8>),
    Hangs,
}

/// A receiver on loopback.
struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    written: Arc<Mutex<usize>>,
}

impl Receiver {
    async fn that(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            written: Arc::default(),
        };
        let (requests, written) = (receiver.requests.clone(), receiver.written.clone());
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(serve(io, does.clone(), requests.clone(), written.clone()));
            }
        });
        receiver
    }

    async fn answering(answer: &str) -> Self {
        Self::that(Does::Answers(answer.as_bytes().to_vec())).await
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/done?k=v", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    does: Does,
    requests: Arc<Mutex<Vec<String>>>,
    written: Arc<Mutex<usize>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = io.read_u8().await else {
            return;
        };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    requests.lock().unwrap().push(request);
    match does {
        Does::Answers(answer) => {
            let _ = io.write_all(&answer).await;
            let _ = io.shutdown().await;
        }
        Does::Repeats(piece) => {
            while io.write_all(&piece).await.is_ok() {
                *written.lock().unwrap() += piece.len();
            }
        }
        Does::Drips(answer) => {
            for byte in answer {
                let _ = io.write_all(&[byte]).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Does::Hangs => std::future::pending().await,
    }
}

/// Names and their addresses, and how often each was looked up.
#[derive(Default)]
struct Names {
    addresses: HashMap<&'static str, Vec<&'static str>>,
    lookups: Mutex<Vec<String>>,
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str, port: u16, _: Slot) -> Vec<SocketAddr> {
        self.lookups.lock().unwrap().push(name.to_owned());
        let ips = self.addresses.get(name).cloned().unwrap_or_default();
        ips.iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
            .collect()
    }
}

fn caller(
    policy: CallbackPolicy,
    names: &[(&'static str, &[&'static str])],
) -> (Caller, Arc<Names>) {
    let names = Arc::new(Names {
        addresses: names
            .iter()
            .map(|(name, ips)| (*name, ips.to_vec()))
            .collect(),
        lookups: Mutex::default(),
    });
    let caller = Caller {
        policy: Arc::new(policy),
        secrets: Vec::new(),
        resolver: names.clone(),
        timeouts: Timeouts {
            whole: Duration::from_secs(3),
            connect: Duration::from_secs(2),
        },
        trust: Trust::default(),
    };
    (caller, names)
}

fn local() -> Caller {
    caller(CallbackPolicy::with_loopback(), &[]).0
}

fn callback(url: &str) -> Callback {
    Callback {
        namespace: Namespace::default(),
        id: JobId(53),
        url: url.to_owned(),
        number: 1,
        tried: 0,
        success: true,
        short_result: Some("6 x 7 = 42".to_owned()),
        ended_at_ms: 1_700_000_000_000,
        trace: None,
    }
}

async fn call(caller: &Caller, url: &str) -> Tried {
    let slot = Arc::new(Slots::default())
        .take(&Namespace::default(), &String::new())
        .unwrap();
    caller.call(&callback(url), Some(TRACE), &slot).await
}

fn failure(tried: &Tried) -> String {
    match tried {
        Tried::Failed(failure) => failure.to_string(),
        answered => panic!("it should fail: {answered:?}"),
    }
}

#[tokio::test]
async fn a_receiver_gets_the_outcome_and_nothing_of_ours() {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let tried = call(&local(), &receiver.url()).await;
    assert_eq!(tried, Tried::Arrived(StatusCode::NO_CONTENT));
    assert!(!tried.may_pass());
    let request = receiver.requests().remove(0);
    let (line, headers) = request.split_once("\r\n").unwrap();
    assert_eq!(
        line,
        "GET /done?k=v&success=1&job_id=53&short_result=6%20x%207%20%3D%2042 HTTP/1.1"
    );
    let mut names: Vec<_> = headers
        .lines()
        .filter_map(|header| Some(header.split_once(':')?.0.to_ascii_lowercase()))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "accept",
            "connection",
            "host",
            "traceparent",
            "user-agent",
            "webhook-id",
            "webhook-timestamp"
        ]
    );
    assert!(headers.contains(&format!("host: 127.0.0.1:{}\r\n", receiver.port)));
}

#[test]
fn whatever_a_url_may_hold_can_be_requested() {
    for c in ('!'..='~').filter(|c| *c != '\\') {
        let url = format!("http://a.test/{c}/?{c}={c}");
        let target = Target::parse(&url).unwrap().with_outcome(&callback(&url));
        assert!(request(&target, HeaderMap::new()).is_ok(), "{c}");
        assert!(!target.as_str().contains(['"', '\\']), "{c}");
    }
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_stands_for() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let url = |name: &str| format!("http://{name}:{}/", receiver.port);
    let names: [(&'static str, &[&'static str]); 4] = [
        ("local.test", &["127.0.0.1"]),
        ("meta.test", &["169.254.169.254"]),
        ("both.test", &["10.255.255.1", "127.0.0.1"]),
        ("empty.test", &[]),
    ];
    let (open, looked_up) = caller(CallbackPolicy::default(), &names);
    for (name, word) in [
        ("local.test", "loopback"),
        ("meta.test", "link-local"),
        ("both.test", "refused"),
        ("127.0.0.1", "loopback"),
        ("empty.test", "no address"),
    ] {
        let tried = call(&open, &url(name)).await;
        assert!(failure(&tried).contains(word), "{name}: {tried:?}");
        assert!(!failure(&tried).contains("169.254"), "{tried:?}");
        assert!(tried.may_pass() && tried.status().is_none());
    }
    assert_eq!(receiver.requests().len(), 0);
    assert_eq!(looked_up.lookups.lock().unwrap().len(), 4);

    let (local, looked_up) = caller(CallbackPolicy::with_loopback(), &names);
    for name in ["local.test", "both.test"] {
        let tried = call(&local, &url(name)).await;
        assert_eq!(tried, Tried::Arrived(StatusCode::OK), "{name}");
    }
    assert!(failure(&call(&local, &url("meta.test")).await).contains("link-local"));
    // What was judged is what was connected to: there is no second lookup.
    assert_eq!(looked_up.lookups.lock().unwrap().len(), 3);
    let host = format!("host: local.test:{}\r\n", receiver.port);
    assert!(receiver.requests()[0].contains(&host));
}

#[tokio::test]
async fn each_redirect_is_judged_anew() {
    let names: [(&'static str, &[&'static str]); 1] = [("private.test", &["10.0.0.1"])];
    let (mut local, _) = caller(CallbackPolicy::with_loopback(), &names);
    local.secrets = vec![
        format!("whsec_{}", STANDARD.encode([7; 24]))
            .parse()
            .unwrap(),
    ];
    let redirect = |to: &str| {
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        async move { Receiver::answering(&answer).await }
    };
    for (to, word, may_pass) in [
        ("http://169.254.169.254/latest/", "link-local", true),
        ("http://private.test/", "private", true),
        ("//[fd00::1]/", "private", true),
        ("file:///etc/passwd", "http://", false),
        ("http://a:b@127.0.0.1/", "password", false),
    ] {
        let receiver = redirect(to).await;
        let tried = call(&local, &receiver.url()).await;
        let text = failure(&tried);
        assert!(
            text.contains("redirect") && text.contains(word),
            "{to}: {text}"
        );
        assert_eq!(tried.may_pass(), may_pass, "{to}");
    }

    let end = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let first = redirect(&format!("http://127.0.0.1:{}/there?x=1", end.port)).await;
    let tried = call(&local, &first.url()).await;
    assert_eq!(tried, Tried::Arrived(StatusCode::OK));
    assert!(first.requests()[0].contains("webhook-signature: v1,"));
    let followed = end.requests().remove(0);
    assert!(
        followed.starts_with("GET /there?x=1 HTTP/1.1"),
        "{followed}"
    );
    assert!(!followed.contains("webhook"), "{followed}");
    assert!(first.requests()[0].contains(&format!("traceparent: {TRACE}\r\n")));
    assert!(!followed.contains("traceparent"), "{followed}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let again = Receiver::answering("HTTP/1.1 308 P\r\nLocation: /again\r\n\r\n").await;
    let tried = call(&local, &again.url()).await;
    assert!(failure(&tried).contains("more than 3") && !tried.may_pass());
    assert_eq!(again.requests().len(), MAX_REDIRECTS + 1);
    let away = redirect(&format!("http://127.0.0.1:{port}/")).await;
    let tried = call(&local, &away.url()).await;
    assert_eq!(failure(&tried), "after a redirect: could not connect");
    assert!(tried.may_pass());
}

#[tokio::test]
async fn the_status_says_whether_to_try_again() {
    for (status, arrived, may_pass) in [
        (200, true, false),
        (299, true, false),
        (300, false, false),
        (304, false, false),
        (400, false, false),
        (404, false, false),
        (408, false, true),
        (410, false, false),
        (429, false, true),
        (500, false, true),
        (503, false, true),
    ] {
        let receiver = Receiver::answering(&format!("HTTP/1.1 {status} X\r\n\r\n")).await;
        let tried = call(&local(), &receiver.url()).await;
        assert_eq!(matches!(tried, Tried::Arrived(_)), arrived, "{status}");
        assert_eq!((tried.status(), tried.may_pass()), (Some(status), may_pass));
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_or_drips_has_until_the_deadline() {
    for does in [
        Does::Hangs,
        Does::Drips(b"HTTP/1.1 200 OK\r\nX: slowly slowly slowly".to_vec()),
    ] {
        let receiver = Receiver::that(does).await;
        let begun = Instant::now();
        let tried = call(&local(), &receiver.url()).await;
        assert_eq!(failure(&tried), "no answer in time");
        assert!(tried.may_pass() && begun.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_its_bound() {
    let ok = b"HTTP/1.1 200 OK\r\n".to_vec();
    let endless_body = [&ok[..], b"Content-Length: 10737418240\r\n\r\n"].concat();
    let mut piece = endless_body.clone();
    piece.resize(1 << 20, b'x');
    let receiver = Receiver::that(Does::Repeats(piece)).await;
    let tried = call(&local(), &receiver.url()).await;
    assert_eq!(tried, Tried::Arrived(StatusCode::OK));
    tokio::time::sleep(Duration::from_millis(100)).await;
    // What the kernel takes from the receiver and nobody reads.
    assert!(*receiver.written.lock().unwrap() < 32 << 20);

    for answer in [
        Does::Answers([&ok[..], b"Content-Length: 1000\r\n\r\nshort"].concat()),
        Does::Answers([&ok[..], b"Transfer-Encoding: chunked\r\n\r\nnonsense"].concat()),
        Does::Answers([&ok[..], b"Content-Encoding: gzip\r\n\r\nnonsense"].concat()),
    ] {
        let receiver = Receiver::that(answer).await;
        let tried = call(&local(), &receiver.url()).await;
        assert_eq!(tried, Tried::Arrived(StatusCode::OK));
    }
    let begun = Instant::now();
    let receiver = Receiver::that(Does::Drips(
        b"HTTP/1.1 200 OK\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_vec(),
    ))
    .await;
    let mut patient = local();
    patient.timeouts.whole = Duration::from_secs(30);
    assert_eq!(
        call(&patient, &receiver.url()).await,
        Tried::Arrived(StatusCode::OK)
    );
    assert!(begun.elapsed() < Duration::from_secs(20));

    for nonsense in [
        Does::Repeats(b"X-Header: value\r\n".to_vec()),
        Does::Repeats(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Does::Repeats(vec![0; 4096]),
        Does::Answers([&ok[..], b"X: ", &[b'x'; 1 << 20]].concat()),
        Does::Answers(b"220 mail.test ESMTP\r\n".to_vec()),
        Does::Answers(Vec::new()),
    ] {
        let receiver = Receiver::that(nonsense).await;
        let tried = call(&local(), &receiver.url()).await;
        assert_eq!(failure(&tried), "the answer broke off, or was not HTTP");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_says_no_more_than_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let tried = call(&local(), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(failure(&tried), "could not connect");
    assert!(tried.may_pass());
    let tried = call(&local(), "http://u:p@127.0.0.1/").await;
    assert!(failure(&tried).contains("password") && !tried.may_pass());
}

#[tokio::test]
async fn certificates_are_verified() {
    let made = rcgen::generate_simple_self_signed(vec!["hooks.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else {
                continue;
            };
            let answer = Does::Answers(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
            serve(tls, answer, Arc::default(), Arc::default()).await;
        }
    });
    let names: [(&'static str, &[&'static str]); 2] = [
        ("hooks.test", &["127.0.0.1"]),
        ("other.test", &["127.0.0.1"]),
    ];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (mut caller, _) = caller(CallbackPolicy::with_loopback(), &names);
    let stranger = call(&caller, &format!("https://hooks.test:{port}/")).await;
    assert!(failure(&stranger).contains("TLS"), "{stranger:?}");
    caller.trust = Trust::of(trusting);
    let known = call(&caller, &format!("https://hooks.test:{port}/")).await;
    assert_eq!(known, Tried::Arrived(StatusCode::OK));
    let misnamed = call(&caller, &format!("https://other.test:{port}/")).await;
    assert!(failure(&misnamed).contains("not trusted"), "{misnamed:?}");
    let plain = Receiver::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let no_tls = call(&caller, &format!("https://hooks.test:{}/", plain.port)).await;
    assert!(no_tls.may_pass(), "{no_tls:?}");
}
