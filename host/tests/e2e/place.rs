//! A store that servers come and go on: the built-in one, or a Redis.

use skep_testkit::RedisServer;
use tempfile::TempDir;

use crate::server::{Server, guest_bytes, store_of};

/// Where jobs live while servers come and go.
pub(crate) enum Place {
    /// A directory, while no server has it.
    Directory(Option<TempDir>),
    /// A Redis.
    Redis(RedisServer),
}

impl Place {
    pub(crate) fn directory() -> Self {
        Self::Directory(Some(TempDir::new().unwrap()))
    }

    pub(crate) fn redis() -> Self {
        Self::Redis(RedisServer::start())
    }

    /// What `--store` takes for it.
    pub(crate) fn store(&self) -> String {
        match self {
            Self::Directory(Some(directory)) => store_of(directory),
            Self::Directory(None) => panic!("a server has the directory"),
            Self::Redis(redis) => redis.url(),
        }
    }

    /// A server on it; one at a time if it is a directory.
    pub(crate) async fn server(&mut self, more: &[&str]) -> Server {
        match self {
            Self::Directory(directory) => {
                let directory = directory.take().expect("another server has the directory");
                Server::start_with(directory, more).await
            }
            // A dead host's jobs are back within a lease; one that is only busy keeps them.
            Self::Redis(redis) => {
                let more = [&["--lease", "3s"], more].concat();
                Server::on(&redis.url(), &more).await
            }
        }
    }

    /// A server with a component deployed.
    pub(crate) async fn with(&mut self, component: &str, more: &[&str]) -> Server {
        let server = self.server(more).await;
        server.upload(guest_bytes(component)).await.expect(200);
        server
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, server: Server) {
        let left = server.kill().await;
        if let Self::Directory(directory) = self {
            *directory = Some(left);
        }
    }

    /// `kill -TERM`; answers the exit code.
    pub(crate) async fn terminate(&mut self, server: Server) -> Option<i32> {
        let (code, left) = server.terminate().await;
        if let Self::Directory(directory) = self {
            *directory = Some(left);
        }
        code
    }
}

/// Runs each of these on both stores.
macro_rules! on_both_stores {
    ($($test:ident,)+) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::place::Place::directory()).await;
            })+
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::place::Place::redis()).await;
            })+
        }
    };
}

pub(crate) use on_both_stores;
