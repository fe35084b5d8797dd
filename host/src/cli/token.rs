//! `skep token`: who may use a server. Over HTTP, or on a store that no server has open:
//! so the first token is made.

mod create;
mod list;
mod revoke;

use std::sync::Arc;

use clap::Subcommand;

use super::{Global, failure::Failure};
use crate::access::Caller;
use crate::store::{Store, StoreError, StoreUrl};

/// Make, list and revoke access tokens
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep token create --scopes admin --store embedded:skep-data\n  skep token create --scopes post,read --label 'web shop' --expires-in 90d\n  skep token list\n  skep token revoke 3f9a1c2b7d4e\n\nScopes:\n  post    post jobs, and cancel them\n  read    read jobs, results, logs, functions and the state of the queue\n  deploy  deploy functions and remove them\n  admin   all of that, change the queue, make and revoke tokens"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::Args),
    List(list::Args),
    Revoke(revoke::Args),
}

/// Where tokens are.
#[derive(Debug, clap::Args)]
struct Place {
    /// Work on this store, not through a server: whoever may open it may do everything
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
}

impl Place {
    /// The store, if one was named.
    async fn open(&self) -> Result<Option<Arc<dyn Store>>, Failure> {
        let Some(url) = &self.store else {
            return Ok(None);
        };
        let opened = url.open().await.map_err(|error| match error {
            StoreError::InUse(_) => Failure::failed(format!(
                "{url} is in use by a server; leave out --store to go through that one (--url, and --token if it wants one)"
            )),
            other => other.into(),
        });
        opened.map(Some)
    }
}

/// Whoever opens a store: reaches all of it.
fn owner(global: &Global) -> Caller {
    Caller::on_loopback(global.namespace.clone())
}

/// Does it.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create::run(args, global).await,
        Verb::List(args) => list::run(&args, global).await,
        Verb::Revoke(args) => revoke::run(args, global).await,
    }
}
