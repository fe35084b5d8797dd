//! What a token lets its holder do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that a token may let its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Post jobs, and cancel them: whoever may begin a job may take it back.
    Post,
    /// Read jobs, results, logs, functions and the state of the queue.
    Read,
    /// Deploy functions and remove them.
    Deploy,
    /// All of that, and change the queue, and make and revoke tokens.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Post, Self::Read, Self::Deploy, Self::Admin];

    /// The scope's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Post => 1,
            Self::Read => 2,
            Self::Deploy => 4,
            Self::Admin => 8,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == given);
        found.ok_or_else(|| {
            format!("{given:.40?} is no scope; there are post, read, deploy and admin")
        })
    }
}

/// The scopes of a token: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self(15);

    /// Whether they let their holder do this. `admin` implies all others.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// The scopes, as they were given.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl TryFrom<Vec<Scope>> for Scopes {
    type Error = String;

    fn try_from(scopes: Vec<Scope>) -> Result<Self, String> {
        let bits = scopes.into_iter().fold(0, |bits, scope| bits | scope.bit());
        match bits {
            0 => Err("a token needs a scope: post, read, deploy or admin".to_owned()),
            bits => Ok(Self(bits)),
        }
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(given: &[Scope]) -> Scopes {
        given.to_vec().try_into().unwrap()
    }

    #[test]
    fn a_scope_allows_itself_and_admin_allows_all() {
        for given in [Scope::Post, Scope::Read, Scope::Deploy] {
            for asked in Scope::ALL {
                assert_eq!(scopes(&[given]).allow(asked), given == asked);
            }
        }
        assert!(Scope::ALL.iter().all(|s| scopes(&[Scope::Admin]).allow(*s)));
        assert!(!scopes(&[Scope::Post, Scope::Read, Scope::Deploy]).allow(Scope::Admin));
    }

    #[test]
    fn scopes_are_named_and_never_none() {
        let two = scopes(&[Scope::Read, Scope::Post, Scope::Read]);
        assert_eq!(two.to_string(), "post, read");
        assert_eq!(serde_json::to_string(&two).unwrap(), r#"["post","read"]"#);
        for bad in ["[]", r#"["root"]"#, r#""post""#, "null"] {
            assert!(serde_json::from_str::<Scopes>(bad).is_err(), "{bad}");
        }
        assert!("Post".parse::<Scope>().is_err());
    }
}
