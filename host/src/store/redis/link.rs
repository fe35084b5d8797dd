//! The way to Redis: connects, says what Redis must be, sends, and connects anew when
//! a connection breaks.
//!
//! A call whose connection breaks is sent again, once. Accepting jobs, and steps, know
//! what was carried out before; of the rest, what is done twice is done once, but for a
//! deployment, which then counts a version more, and for calls that tell how much they
//! did, which may then tell less.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, TlsMode, Value};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::store::{Result, StoreError};

use super::address::{Address, Place, is_tls};
use super::greeting;
use super::reply::Reply;
use super::script::{self, Script};
use super::shared::Clock;

/// How long a connection may take to come up: a server on another continent answers
/// in less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take. Redis is one thread: somebody's slow command, or the
/// copying of large results, is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call that blocks does so at most; it is then sent again. So a
/// connection that died without a sign is noticed within this and a bit.
pub(super) const BLOCK: Duration = Duration::from_secs(5);

/// The pause after a connection that could not be made; each further one is twice as
/// long, up to [`MAX_PAUSE`]. Meanwhile calls are answered with the error at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A second: long for a machine, and short for a person who has just started Redis.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A connection to one server or to a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends a command and waits for its answer.
    pub(super) async fn send(&mut self, command: &Cmd) -> std::result::Result<Value, RedisError> {
        let answer = match self {
            Self::Server(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        };
        answer.and_then(Value::extract_error)
    }

    /// Runs a script, which is loaded if Redis does not know it (any more).
    async fn run(
        &mut self,
        script: Script,
        command: &Cmd,
    ) -> std::result::Result<Value, RedisError> {
        match self.send(command).await {
            Err(error) if is_noscript(&error) => {
                self.send(redis::cmd("SCRIPT").arg("LOAD").arg(script.text))
                    .await?;
                self.send(command).await
            }
            answer => answer,
        }
    }
}

fn is_noscript(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

enum Target {
    Server(redis::Client),
    Sentinels(Mutex<SentinelClient>),
    Cluster {
        quick: Box<ClusterClient>,
        blocking: Box<ClusterClient>,
    },
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Counts connections, so that two who saw the same one break drop it once.
    generation: u64,
    failed: Option<Failed>,
}

struct Failed {
    error: StoreError,
    until: Instant,
    pause: Duration,
}

/// The way to one store in Redis.
pub(super) struct Link {
    target: Target,
    shown: String,
    /// KEYS[1] of every script.
    prefix: String,
    state: Mutex<State>,
    /// Connections live where the store was opened, whoever calls.
    runtime: Handle,
    clock: Arc<Clock>,
}

impl Link {
    /// A way that is not yet taken.
    pub(super) fn new(address: &Address, prefix: &str, clock: Arc<Clock>) -> Result<Self> {
        let target = target(address).map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self {
            target,
            shown: address.to_string(),
            prefix: format!("{{{prefix}}}:"),
            state: Mutex::default(),
            runtime: Handle::current(),
            clock,
        })
    }

    /// The name of a key.
    pub(super) fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// Connects for the first time; only what a retry cannot mend is an error.
    pub(super) async fn first_connection(self: &Arc<Self>) -> Result<()> {
        match self.connection().await {
            Ok(_) => Ok(()),
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(%error, "Redis is away; looking for it until it is there");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a script's command; its arguments follow.
    pub(super) fn command(&self, script: Script) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.hash()).arg(1).arg(&self.prefix);
        command
    }

    /// Runs a script.
    pub(super) async fn run(self: &Arc<Self>, script: Script, command: &Cmd) -> Result<Value> {
        self.ask(Some(script), command).await
    }

    /// Sends a command.
    pub(super) async fn send(self: &Arc<Self>, command: &Cmd) -> Result<Value> {
        self.ask(None, command).await
    }

    async fn ask(self: &Arc<Self>, script: Option<Script>, command: &Cmd) -> Result<Value> {
        let mut again = true;
        loop {
            let (mut connection, generation) = self.connection().await?;
            let answer = match script {
                Some(script) => connection.run(script, command).await,
                None => connection.send(command).await,
            };
            match answer {
                Ok(value) => return Ok(value),
                Err(error) if is_broken(&error) => {
                    self.drop_connection(generation).await;
                    if error.is_timeout() || !again {
                        return Err(self.explain(&error));
                    }
                    again = false;
                }
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// The connection that all share.
    async fn connection(self: &Arc<Self>) -> Result<(Connection, u64)> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((connection.clone(), state.generation));
        }
        if let Some(failed) = &state.failed
            && Instant::now() < failed.until
        {
            return Err(same(&failed.error));
        }
        match self.open(ANSWER_TIMEOUT).await {
            Ok(connection) => {
                state.connection = Some(connection.clone());
                state.generation += 1;
                if state.failed.take().is_some() {
                    tracing::info!("Redis is there again");
                }
                Ok((connection, state.generation))
            }
            Err(error) => {
                let pause = (state.failed.as_ref()).map_or(FIRST_PAUSE, |failed| failed.pause * 2);
                let pause = pause.min(MAX_PAUSE);
                state.failed = Some(Failed {
                    error: same(&error),
                    until: Instant::now() + pause,
                    pause,
                });
                Err(error)
            }
        }
    }

    async fn drop_connection(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.connection = None;
        }
    }

    /// Lets something go on by itself where the store was opened.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// A connection of one's own, for calls that block.
    pub(super) async fn blocking(self: &Arc<Self>) -> Result<Connection> {
        self.open(BLOCK + ANSWER_TIMEOUT).await
    }

    /// A new connection to a Redis that may be used.
    async fn open(self: &Arc<Self>, timeout: Duration) -> Result<Connection> {
        let this = self.clone();
        let opened = self
            .runtime
            .spawn(async move { this.dial_and_greet(timeout).await });
        opened
            .await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }

    async fn dial_and_greet(&self, timeout: Duration) -> Result<Connection> {
        let dialled = tokio::time::timeout(2 * CONNECT_TIMEOUT, self.dial(timeout)).await;
        let mut connection = match dialled {
            Ok(dialled) => dialled.map_err(|error| self.explain(&error))?,
            Err(_) => {
                let text = format!("{} does not answer", self.shown);
                return Err(StoreError::Unavailable(text));
            }
        };
        let mut command = self.command(script::GREET);
        command
            .arg(greeting::LAYOUT)
            .arg(uuid::Uuid::new_v4().to_string());
        let answer = connection.run(script::GREET, &command).await;
        let answer = answer.map_err(|error| self.explain(&error))?;
        let now_ms = greeting::check(&self.shown, Reply::new(answer)?)?;
        self.clock.set(now_ms);
        Ok(connection)
    }

    async fn dial(&self, timeout: Duration) -> std::result::Result<Connection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout));
        Ok(match &self.target {
            Target::Server(client) => Connection::Server(
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?,
            ),
            Target::Sentinels(client) => Connection::Server(
                (client.lock().await)
                    .get_async_connection_with_config(&config)
                    .await?,
            ),
            Target::Cluster { quick, blocking } => {
                let client = if timeout > ANSWER_TIMEOUT {
                    blocking
                } else {
                    quick
                };
                Connection::Cluster(client.get_async_connection().await?)
            }
        })
    }

    /// What an error of Redis means to its user.
    pub(super) fn explain(&self, error: &RedisError) -> StoreError {
        let shown = &self.shown;
        let detail = error.detail().unwrap_or_default();
        match (error.kind(), error.code().unwrap_or_default()) {
            (_, "OOM") => StoreError::Full(format!(
                "{shown} is out of memory: raise its maxmemory, or let results expire (retention_s)"
            )),
            (ErrorKind::AuthenticationFailed, _) | (_, "NOAUTH" | "WRONGPASS") => {
                StoreError::Refused(format!(
                    "{shown} does not accept the user or the password: give them as redis://USER:PASSWORD@HOST ({detail})"
                ))
            }
            (_, "NOPERM") => StoreError::Refused(format!(
                "{shown} does not let this user do what skep must: allow it all commands on the keys {}* ({detail})",
                self.prefix
            )),
            (_, "MISCONF") => StoreError::Unavailable(format!(
                "{shown} cannot write to its disk, and so accepts nothing: {detail}"
            )),
            _ => StoreError::Unavailable(format!("{shown}: {error}")),
        }
    }
}

/// Whether another connection may do better.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.code(),
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN")
        )
}

/// An error of a connection, for another caller.
/// The same error, for one more who is to be told.
pub(super) fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full(text) => StoreError::Full(text.clone()),
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Refused(text) => StoreError::Refused(text.clone()),
        StoreError::Unreadable(text) => StoreError::Unreadable(text.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

fn target(address: &Address) -> std::result::Result<Target, RedisError> {
    Ok(match &address.place {
        Place::Server(server) => Target::Server(redis::Client::open(server.clone())?),
        Place::Sentinels { sentinels, master } => {
            let nodes = sentinels.iter().map(|node| node.addr().clone());
            let mut builder =
                SentinelClientBuilder::new(nodes, master, SentinelServerType::Master)?;
            if let Some(first) = sentinels.first() {
                let settings = first.redis_settings();
                builder = builder.set_client_to_redis_db(settings.db());
                if let Some(username) = settings.username() {
                    builder = builder.set_client_to_redis_username(username);
                }
                if let Some(password) = settings.password() {
                    builder = builder.set_client_to_redis_password(password);
                }
                if is_tls(first) {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                }
            }
            Target::Sentinels(Mutex::new(builder.build()?))
        }
        Place::Cluster(nodes) => {
            let client = |timeout| {
                ClusterClient::builder(nodes.clone())
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(timeout)
                    .build()
                    .map(Box::new)
            };
            Target::Cluster {
                quick: client(ANSWER_TIMEOUT)?,
                blocking: client(BLOCK + ANSWER_TIMEOUT)?,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_a_connection_is_not_tried_again_the_error_stays_the_same() {
        // Nobody listens there.
        let address = "redis://127.0.0.1:1/0".parse().unwrap();
        let link = Arc::new(Link::new(&address, "skep", Arc::default()).unwrap());
        let first = link.connection().await.err().unwrap().to_string();
        assert_eq!(link.connection().await.err().unwrap().to_string(), first);
    }
}
