//! Looks at a Redis without working with it: for whoever wants to know whether it is fit
//! to be trusted with jobs. It leaves there what every connection does, a store's id.

use std::sync::Arc;

use uuid::Uuid;

use super::address::Address;
use super::greeting::{LAYOUT, field, warnings};
use super::link::Link;
use super::reply::Reply;
use super::shared::Clock;
use super::{PREFIX, script};
use crate::store::Result;

/// What was seen.
#[derive(Debug)]
pub struct Look {
    /// The version of the server, if it says so.
    pub version: Option<String>,
    /// What it may do to jobs, each with what mends it.
    pub warnings: Vec<String>,
    /// Its clock, in ms since the Unix epoch.
    pub now_ms: u64,
}

/// Looks at the Redis of an address.
///
/// # Errors
///
/// `Unavailable` if it is out of reach; else those of opening a store there.
pub async fn look(address: &Address) -> Result<Look> {
    let clock = Arc::new(Clock::default());
    let link = Arc::new(Link::new(address, PREFIX, clock.clone())?);
    let mut command = link.command(script::GREET);
    command.arg(LAYOUT).arg(Uuid::new_v4().to_string());
    let mut answer = Reply::new(link.run(script::GREET, &command).await?)?;
    let info = answer.text()?;
    Ok(Look {
        version: field(&info, "redis_version").map(ToOwned::to_owned),
        warnings: warnings(&info),
        now_ms: clock.now_ms(),
    })
}
