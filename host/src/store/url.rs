//! Store URLs: how users name a store, and how it is opened.

use std::fmt;
use std::path::{PathBuf, absolute};
use std::str::FromStr;
use std::sync::Arc;

use super::embedded::EmbeddedStore;
use super::{Result, Store, StoreError};

/// Which store to use.
///
/// Its text is for people and records, and never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:DIRECTORY`.
    Embedded(PathBuf),
}

impl StoreUrl {
    /// Opens the store, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Those of the store: in use, unreadable, out of reach.
    pub async fn open(&self) -> Result<Arc<dyn Store>> {
        match self {
            Self::Embedded(directory) => {
                let directory = directory.clone();
                let open = move || EmbeddedStore::open(&directory);
                let fault =
                    |error| StoreError::Unavailable(format!("it cannot be opened: {error}"));
                Ok(Arc::new(
                    tokio::task::spawn_blocking(open).await.map_err(fault)??,
                ))
            }
        }
    }

    /// Opens a store that must be there: a misspelt source is no empty one.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and `Unavailable` if there is none.
    pub async fn open_existing(&self) -> Result<Arc<dyn Store>> {
        match self {
            Self::Embedded(directory) if !EmbeddedStore::is_in(directory) => {
                Err(StoreError::Unavailable(format!(
                    "there is no store in the directory {}; check the path",
                    directory.display()
                )))
            }
            Self::Embedded(_) => self.open().await,
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
            Some(("redis" | "rediss", _)) => Err(
                "Redis is not in this version; use embedded:DIRECTORY, such as embedded:skep-data"
                    .to_owned(),
            ),
            _ => Err("write embedded:DIRECTORY, such as embedded:skep-data".to_owned()),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_a_directory_for_now() {
        let url: StoreUrl = "embedded:/var/lib/skep".parse().unwrap();
        assert_eq!(url, StoreUrl::Embedded("/var/lib/skep".into()));
        assert_eq!(url.to_string(), "embedded:/var/lib/skep");
        let refusal = "redis://localhost".parse::<StoreUrl>().unwrap_err();
        assert!(refusal.contains("not in this version"), "{refusal}");
        for bad in ["", "embedded:", "skep-data"] {
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
