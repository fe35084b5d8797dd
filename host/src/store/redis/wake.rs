//! Waits for the token that wakes a sleeping host: one connection per process, and
//! only while one of its incarnations sleeps and wants jobs.
//!
//! The token is no job: whoever takes it looks for jobs, and leaves another token if
//! it leaves jobs. If a process dies with the token in its hand, the others look by
//! themselves within half a lease, which is how long it keeps its jobs at least.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{RedisError, Value};
use tokio::time::{Instant, sleep};

use super::link::{BLOCK, Connection, Link};
use super::shared::Shared;

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs until it is aborted; a sleeping host looks every so often for jobs though
/// nobody told it of any.
pub(super) async fn run(link: Arc<Link>, shared: Arc<Shared>, look_every: Duration) {
    let mut connection = None;
    let mut looked = Instant::now();
    loop {
        hunger(&shared).await;
        let token = match &mut connection {
            Some(connection) => wait(&link, connection).await,
            None => match link.blocking().await {
                Ok(fresh) => {
                    connection = Some(fresh);
                    continue;
                }
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        match token {
            Ok(true) if shared.hungry.load(Ordering::SeqCst) == 0 => give_back(&link).await,
            Ok(true) => shared.sign_of_work(),
            Ok(false) if looked.elapsed() > look_every => shared.sign_of_work(),
            Ok(false) => continue,
            Err(error) => {
                tracing::debug!(%error, "waiting for work was cut short");
                connection = None;
                sleep(PAUSE).await;
                continue;
            }
        }
        looked = Instant::now();
    }
}

/// Resolves while somebody sleeps and wants jobs.
async fn hunger(shared: &Shared) {
    loop {
        let mut rung = pin!(shared.hunger.notified());
        rung.as_mut().enable();
        if shared.hungry.load(Ordering::SeqCst) > 0 {
            return;
        }
        rung.await;
    }
}

async fn wait(link: &Link, connection: &mut Connection) -> Result<bool, RedisError> {
    let mut command = redis::cmd("BLPOP");
    command.arg(link.key("wake")).arg(BLOCK.as_secs());
    let answer = connection.send(&command).await?;
    Ok(!matches!(answer, Value::Nil))
}

/// Leaves the token to somebody who sleeps. If that fails, the others look by
/// themselves.
async fn give_back(link: &Arc<Link>) {
    let mut command = redis::cmd("RPUSH");
    command.arg(link.key("wake")).arg(1);
    if let Err(error) = link.send(&command).await {
        tracing::debug!(%error, "a token could not be given back");
    }
}
