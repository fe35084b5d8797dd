//! Where a process listens for HTTP, and who is let in there: on any but a loopback address
//! only who shows an access token.
//!
//! Not here: TLS, and what is served (`serve`, `worker`).

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

use super::failure::Failure;
use crate::access::AccessToken;
use crate::http::{Audit, Door, Endpoint, HostNames, Tls};
use crate::store::{Store, StoreUrl};
use crate::time::now_ms;

/// A listener.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was asked for.
    given: String,
    address: SocketAddr,
    listener: TcpListener,
}

impl Place {
    /// Listens where an option says.
    pub(super) async fn open(option: &str, given: String) -> Result<Self, Failure> {
        let listener = listen(option, &given).await?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::failed(format!("cannot listen: {error}")))?;
        Ok(Self {
            given,
            address,
            listener,
        })
    }

    /// Its address, with the port that it got.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether only this machine reaches it.
    pub(super) fn is_private(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// The door there: a token is asked for unless the place is private, or also then.
    pub(super) async fn door(
        &self,
        require_token: bool,
        audit: Audit,
        store: &dyn Store,
        url: &StoreUrl,
    ) -> Result<Door, Failure> {
        let require_token = require_token || !self.is_private();
        if require_token {
            check_tokens(store, url, &self.given).await?;
        }
        Ok(Door::new(require_token, audit))
    }

    /// An endpoint there, which goes by these names too.
    pub(super) fn endpoint(
        self,
        tls: Option<Tls>,
        max_connections: u32,
        names: Vec<String>,
    ) -> Endpoint {
        // A page whose name leads to this machine comes in by loopback.
        let hosts = if self.is_private() || !names.is_empty() {
            let name = self.given.rsplit_once(':');
            let name = name.map_or(&*self.given, |(name, _)| name);
            HostNames::only(names.into_iter().chain([name.to_owned()]))
        } else {
            HostNames::any()
        };
        Endpoint {
            listener: self.listener,
            tls,
            max_connections,
            hosts,
        }
    }
}

/// Refuses to start where tokens are needed and there is none: nobody could get in, and
/// whoever started the server would only see that it does not answer them.
async fn check_tokens(store: &dyn Store, url: &StoreUrl, listen: &str) -> Result<(), Failure> {
    let tokens = store.tokens_now().await;
    let tokens = tokens.map_err(|error| Failure::failed(format!("{url}: {error}")))?;
    let now_ms = now_ms();
    let counts = |token: &&AccessToken| !token.has_expired(now_ms);
    match tokens.list().iter().any(counts) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "skep lets nobody in on {listen} without an access token, and there is none yet; make the first one, and start again:\n  skep token create --scopes admin --store {url}"
        ))),
    }
}

async fn listen(option: &str, given: &str) -> Result<TcpListener, Failure> {
    let addresses: Vec<SocketAddr> = match lookup_host(given).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(Failure::usage(format!(
                "{option} {given:?} is no address: {error}; write one such as 127.0.0.1:5000"
            )));
        }
    };
    TcpListener::bind(addresses.as_slice())
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => Failure::failed(format!(
                "{given} is in use, by another skep or another program; stop that one, or choose another port with {option}"
            )),
            ErrorKind::PermissionDenied => Failure::failed(format!(
                "{given} may not be used by this user; choose a port above 1023 with {option}"
            )),
            _ => Failure::failed(format!("cannot listen on {given}: {error}")),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(given: &str) -> String {
        match Place::open("--listen", given.to_owned()).await {
            Err(Failure::Usage(text) | Failure::Failed(text)) => text,
            other => panic!("{given} should be refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_told_how_to_write_one() {
        assert!(refused("nonsense").await.contains("127.0.0.1:5000"));
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert!(refused(&address).await.contains("--listen"));
    }
}
