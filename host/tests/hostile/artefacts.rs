//! Compiled code on disk that is not what was compiled: it is never run, and compiled
//! anew instead.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::process::Process;
use crate::server::{Server, guest_bytes};

/// The artefacts below a server's directory.
fn artefacts(directory: &Path) -> Vec<PathBuf> {
    let engines = fs::read_dir(directory.join("store/compiled")).unwrap();
    let files = engines.flat_map(|engine| fs::read_dir(engine.unwrap().path()).unwrap());
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Stops a server, does something to its artefacts, and starts it again.
async fn tampered(server: Server, tamper: impl FnOnce(&[PathBuf])) -> Server {
    let (code, directory) = server.terminate().await;
    assert_eq!(code, Some(0));
    tamper(&artefacts(directory.path()));
    Server::start_in(directory).await
}

/// Both functions work, and the server has told of as many changed artefacts.
async fn works(server: &Server, changed: usize) {
    let product = server.result("multiply", json!({"arg1": 6, "arg2": 7}));
    assert_eq!(product.await.json(), json!(42));
    assert_eq!(server.result("noop", Value::Null).await.text(), "null");
    let said = server.process.said();
    assert_eq!(
        said.matches("an artefact was changed").count(),
        changed,
        "{said}"
    );
    assert_eq!(artefacts(server.directory()).len(), 2);
}

#[tokio::test]
async fn changed_code_is_never_run() {
    let server = Server::with("multiply").await;
    server.upload(guest_bytes("probe")).await.expect(200);
    works(&server, 0).await;
    let server = tampered(server, |_| {}).await;
    works(&server, 0).await;
    let server = tampered(server, |paths| {
        for path in paths {
            let mut code = fs::read(path).unwrap();
            let middle = code.len() / 2;
            code[middle] ^= 1;
            fs::write(path, code).unwrap();
        }
    })
    .await;
    works(&server, 2).await;
    let server = tampered(server, |paths| {
        let code = fs::read(&paths[0]).unwrap();
        fs::write(&paths[0], &code[..code.len() - 1]).unwrap();
        fs::write(&paths[1], []).unwrap();
    })
    .await;
    works(&server, 2).await;
    let server = tampered(server, |paths| {
        let (one, two) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
        fs::write(&paths[0], two).unwrap();
        fs::write(&paths[1], one).unwrap();
    })
    .await;
    works(&server, 2).await;
    // Another's whole artefact, seal and all, under this one's name.
    let server = tampered(server, |paths| {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let (one, two) = (name(&paths[0]), name(&paths[1]));
        let planted = format!("{}-{}", &one[..64], &two[65..]);
        fs::copy(&paths[1], paths[0].with_file_name(planted)).unwrap();
        fs::remove_file(&paths[0]).unwrap();
    })
    .await;
    works(&server, 1).await;
}

#[tokio::test]
async fn a_directory_that_others_may_enter_is_refused() {
    let server = Server::with("multiply").await;
    let (_, directory) = server.terminate().await;
    let compiled = directory.path().join("store/compiled");
    let inner = artefacts(directory.path())[0].parent().unwrap().to_owned();
    for open in [&compiled, &inner] {
        fs::set_permissions(open, Permissions::from_mode(0o755)).unwrap();
        let store = format!("embedded:{}", directory.path().join("store").display());
        let mut server = Process::start(["serve", "--listen", "127.0.0.1:0", "--store", &store]);
        assert_eq!(server.exit().await, Some(1));
        let said = server.until_said("chmod 700").await;
        assert!(said.contains(open.to_str().unwrap()), "{said}");
        fs::set_permissions(open, Permissions::from_mode(0o700)).unwrap();
    }
    Server::start_in(directory).await.still_serves().await;
}
