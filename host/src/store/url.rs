//! Store URLs: how users name a store, and how it is opened.

use std::fmt;
use std::path::{PathBuf, absolute};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::embedded::EmbeddedStore;
use super::redis::{Address, AddressError, RedisStore};
use super::{LEASE, Result, Store, StoreError};

/// Which store to use.
///
/// Its text is for people and records, and never holds a password.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `embedded:DIRECTORY`.
    Embedded(PathBuf),
    /// A Redis, see [`Address`].
    Redis(Box<Address>),
}

impl StoreUrl {
    /// Opens the store, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Those of the store: in use, unreadable, out of reach.
    pub async fn open(&self) -> Result<Arc<dyn Store>> {
        self.open_with(LEASE).await
    }

    /// Opens the store with another lease than the default.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_with(&self, lease: Duration) -> Result<Arc<dyn Store>> {
        match self {
            Self::Embedded(directory) => {
                let directory = directory.clone();
                let options = EmbeddedStore::options().lease(lease);
                let open = move || options.open(&directory);
                let fault =
                    |error| StoreError::Unavailable(format!("it cannot be opened: {error}"));
                Ok(Arc::new(
                    tokio::task::spawn_blocking(open).await.map_err(fault)??,
                ))
            }
            Self::Redis(address) => {
                let options = RedisStore::options().lease(lease);
                Ok(Arc::new(options.open(address).await?))
            }
        }
    }

    /// Opens a store that must be there: a misspelt source is no empty one.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and `Refused` if there is none.
    pub async fn open_existing(&self) -> Result<Arc<dyn Store>> {
        match self {
            Self::Embedded(directory) if !EmbeddedStore::is_in(directory) => {
                Err(StoreError::Refused(format!(
                    "there is no store in the directory {}; check the path",
                    directory.display()
                )))
            }
            Self::Embedded(_) => self.open().await,
            Self::Redis(_) => {
                let store = self.open().await?;
                // One that is away is opened too, and looked for.
                store.store_id().await?;
                Ok(store)
            }
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match given.split_once(':') {
            Some(("embedded", directory)) if !directory.is_empty() => {
                Ok(Self::Embedded(directory.into()))
            }
            Some((scheme, _)) if scheme.starts_with("redis") => given
                .parse()
                .map(|address| Self::Redis(Box::new(address)))
                .map_err(|error: AddressError| error.to_string()),
            _ => Err(
                "write embedded:DIRECTORY, such as embedded:skep-data, or redis://HOST:PORT/DB"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for StoreUrl {
    /// With the whole path, which still says where when it is read elsewhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(directory) => {
                let whole = absolute(directory).unwrap_or_else(|_| directory.clone());
                write!(f, "embedded:{}", whole.display())
            }
            Self::Redis(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_directory_or_a_redis() {
        for (given, shown) in [
            ("embedded:/var/lib/skep", "embedded:/var/lib/skep"),
            ("redis://localhost/1", "redis://localhost/1"),
            ("rediss://u:secret@h", "rediss://u:***@h"),
        ] {
            assert_eq!(given.parse::<StoreUrl>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "embedded:",
            "skep-data",
            "redis:",
            "redis-cluster://h/1",
        ] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_relative_directory_is_shown_whole() {
        let shown = StoreUrl::Embedded("data".into()).to_string();
        assert!(
            shown.starts_with("embedded:/") && shown.ends_with("/data"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_is_not_made_by_looking_for_it() {
        let parent = tempfile::tempdir().unwrap();
        let url = StoreUrl::Embedded(parent.path().join("typo"));
        let error = url.open_existing().await.err().unwrap().to_string();
        assert!(
            error.contains("typo") && error.contains("check the path"),
            "{error}"
        );
        assert!(!parent.path().join("typo").exists());
        drop(url.open().await.unwrap());
        assert!(url.open_existing().await.is_ok());
    }
}
