//! Hears what all hosts want to know: which jobs have ended, which are to stop, which
//! functions changed, when a delayed job or a callback is due, what happens to jobs that
//! somebody watches. One connection per process; nobody asks Redis again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::store::{News, Result, StoreError};

use super::claims::parse_field;
use super::link::{BLOCK, Connection, Link};
use super::reply::Reply;
use super::shared::Shared;
use super::{outbox, watching};

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(200);

/// How many events are read at once.
const COUNT: usize = 500;

/// Runs until it is aborted.
pub(super) async fn run(link: Arc<Link>, shared: Arc<Shared>) {
    loop {
        let ended = match link.blocking().await {
            Ok(mut connection) => hear(&link, &shared, &mut connection).await,
            Err(error) => Err(error),
        };
        shared.listen(false);
        if let Err(error) = ended {
            tracing::debug!(%error, "listening for events was cut short");
        }
        sleep(PAUSE).await;
    }
}

/// Hears events until something goes wrong.
async fn hear(link: &Arc<Link>, shared: &Arc<Shared>, connection: &mut Connection) -> Result<()> {
    let mut last = last_event(link).await?;
    look_around(link, shared).await?;
    loop {
        let mut command = redis::cmd("XREAD");
        command
            .arg("COUNT")
            .arg(COUNT)
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS")
            .arg(link.key("events"))
            .arg(format!("{last}-1"));
        let answer = connection.send(&command).await;
        let answer = answer.map_err(|error| link.explain(&error))?;
        let redis::Value::Array(streams) = answer else {
            continue;
        };
        for stream in streams {
            let mut stream = Reply::new(stream)?;
            stream.text()?;
            let mut entries = stream.list()?;
            while !entries.is_empty() {
                let mut entry = entries.list()?;
                let id = entry.text()?;
                let number = id.split('-').next().and_then(|number| number.parse().ok());
                let number: u64 = number.ok_or_else(|| StoreError::Unreadable(id.clone()))?;
                if number != last + 1 {
                    // Some were dropped before we came to them.
                    look_around(link, shared).await?;
                }
                last = number;
                let mut fields = entry.list()?;
                while !fields.is_empty() {
                    let (kind, value) = (fields.text()?, fields.bytes()?);
                    if kind == "n" {
                        watching::tell(shared, &value)?;
                    } else {
                        take_in(shared, &kind, &String::from_utf8_lossy(&value))?;
                    }
                }
            }
        }
    }
}

/// The number of the last event so far.
async fn last_event(link: &Arc<Link>) -> Result<u64> {
    let mut command = redis::cmd("HGET");
    command.arg(link.key("meta")).arg("events");
    match link.send(&command).await? {
        redis::Value::Nil => Ok(0),
        value => super::reply::number(value),
    }
}

/// Looks for what events may have told that were not heard.
async fn look_around(link: &Arc<Link>, shared: &Arc<Shared>) -> Result<()> {
    shared.listen(true);
    let mut command = redis::cmd("SMEMBERS");
    command.arg(link.key("stop"));
    let mut wishes = Reply::new(link.send(&command).await?)?;
    while !wishes.is_empty() {
        let (namespace, id) = parse_field(&wishes.text()?)?;
        shared.stop(&namespace, id);
    }
    outbox::look_around(link, shared).await
}

fn take_in(shared: &Arc<Shared>, kind: &str, value: &str) -> Result<()> {
    match kind {
        "e" => {
            let watched = !shared.newsroom.is_empty();
            if !watched && shared.waiters.is_empty() {
                return Ok(());
            }
            for field in value.split(' ') {
                let job = parse_field(field)?;
                shared.waiters.ended(&job);
                if watched {
                    shared.newsroom.tell(&job.0, job.1, News::Ended);
                }
            }
        }
        "c" => outbox::heard(shared, value.parse().unwrap_or_default()),
        "s" => {
            let (namespace, id) = parse_field(value)?;
            shared.stop(&namespace, id);
        }
        "f" | "m" => {
            let odd = || StoreError::Unreadable(format!("the event {value:?}"));
            let (namespace, version) = value.split_once(' ').ok_or_else(odd)?;
            let namespace = namespace.parse().map_err(|_| odd())?;
            let version = version.parse().map_err(|_| odd())?;
            match kind {
                "f" => shared.functions.outdate(&namespace, version),
                _ => shared.models.outdate(&namespace, version),
            }
        }
        "l" => {
            if let Ok(incarnation) = value.parse() {
                shared.lost(incarnation);
            }
        }
        "d" => shared.due_at(value.parse().unwrap_or_default()),
        // A newer version may tell more.
        _ => {}
    }
    Ok(())
}
