//! Requests that are refused before their body is read: a client that sends all of
//! a large upload before it looks up still gets the answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::server::{PATIENCE, Server};

/// More than every buffer between the two ends.
const UPLOAD_BYTES: usize = 48 << 20;

/// Sends the whole request, then reads the whole answer.
fn send_all_then_read(url: &str, request_line: &str, headers: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{request_line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {UPLOAD_BYTES}\r\n{headers}\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for sent in 0..UPLOAD_BYTES / chunk.len() {
        let written = connection.write_all(&chunk);
        written.unwrap_or_else(|error| panic!("{request_line}: {error} after {sent} MiB"));
    }
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

async fn refused(server: &Server, request_line: &'static str, headers: &'static str, status: u16) {
    let url = server.url.clone();
    let sent = move || send_all_then_read(&url, request_line, headers);
    let answer = tokio::task::spawn_blocking(sent).await.unwrap();
    let expected = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&expected), "{request_line}: {answer}");
    server.still_serves().await;
}

#[tokio::test]
async fn whoever_refuses_it_the_client_gets_the_answer() {
    let server = Server::start().await;
    let bytes = "Content-Type: application/octet-stream\r\n";
    refused(&server, "POST /jobs?functions=../x", bytes, 413).await;
    refused(&server, "POST /jobs?functions=f&bogus=1", bytes, 400).await;
    refused(&server, "POST /jobs", bytes, 415).await;
    refused(&server, "PUT /functions/..%2Fx", bytes, 404).await;
    refused(&server, "POST /nowhere", bytes, 404).await;
    refused(&server, "PUT /jobs", bytes, 405).await;
    refused(&server, "POST /jobs", "Skep-Namespace: a b\r\n", 400).await;
    refused(&server, "POST /jobs", "Sec-Fetch-Site: cross-site\r\n", 403).await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_spared_the_upload() {
    let server = Server::start().await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let asked = move || {
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /nowhere HTTP/1.1\r\nHost: {address}\r\nContent-Length: {UPLOAD_BYTES}\r\nExpect: 100-continue\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        connection.read_exact(&mut first).unwrap();
        String::from_utf8_lossy(&first).into_owned()
    };
    let first = tokio::task::spawn_blocking(asked).await.unwrap();
    assert_eq!(first, "HTTP/1.1 404");
}
