//! Who makes a request, and what they may do.

use super::{AccessToken, Reach, Scope, Scopes, TokenId};
use crate::job::Namespace;

/// The token does not count in the namespace that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere;

/// Whoever makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The namespace that the request is about.
    pub namespace: Namespace,
    /// The token that was shown; none on a loopback address where none is needed.
    pub token: Option<TokenId>,
    scopes: Scopes,
    reach: Reach,
    /// Whether the request names its namespace.
    named: bool,
}

impl Caller {
    /// Whoever reaches a loopback address where no token is needed: may do everything.
    pub fn on_loopback(named: Option<Namespace>) -> Self {
        Self {
            named: named.is_some(),
            namespace: named.unwrap_or_default(),
            token: None,
            scopes: Scopes::ALL,
            reach: Reach::All,
        }
    }

    /// The holder of a token, in the namespace that the request names, if it names one.
    ///
    /// # Errors
    ///
    /// When the token does not count there.
    pub fn with(token: &AccessToken, named: Option<Namespace>) -> Result<Self, Elsewhere> {
        let is_named = named.is_some();
        let namespace = match (&token.reach, named) {
            (Reach::All, named) => named.unwrap_or_default(),
            (Reach::Namespace(own), Some(other)) if *own != other => return Err(Elsewhere),
            (Reach::Namespace(own), _) => own.clone(),
        };
        Ok(Self {
            namespace,
            token: Some(token.id),
            scopes: token.scopes,
            reach: token.reach.clone(),
            named: is_named,
        })
    }

    /// Whether they may do this, in their namespace.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }

    /// The scopes that they have.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// Whether they may make a token with this reach, as far as that goes: nobody gives
    /// away more than they have.
    pub fn may_reach(&self, reach: &Reach) -> bool {
        match (&self.reach, reach) {
            (Reach::All, _) => true,
            (own, wanted) => own == wanted,
        }
    }

    /// Whether a token is theirs to see and to revoke: those of the namespace that the
    /// request is about, and for those who reach all namespaces and name none, all.
    pub fn oversees(&self, token: &AccessToken) -> bool {
        match (&self.reach, &token.reach) {
            (Reach::All, _) if !self.named => true,
            (_, Reach::Namespace(namespace)) => *namespace == self.namespace,
            (_, Reach::All) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::StoredToken;

    fn token(reach: &str, scope: Scope) -> AccessToken {
        let scopes = vec![scope].try_into().unwrap();
        let (reach, label) = (reach.parse().unwrap(), "".parse().unwrap());
        StoredToken::issue(reach, scopes, label, 0, None)
            .unwrap()
            .0
            .token
    }

    fn named(name: &str) -> Option<Namespace> {
        Some(name.parse().unwrap())
    }

    #[test]
    fn a_token_counts_in_its_namespace_and_no_other() {
        let bound = token("acme", Scope::Read);
        for name in [None, named("acme")] {
            let caller = Caller::with(&bound, name).unwrap();
            assert_eq!(caller.namespace.as_str(), "acme");
            assert!(caller.may(Scope::Read) && !caller.may(Scope::Post));
        }
        for name in ["default", "acme2", "ACME"] {
            assert_eq!(Caller::with(&bound, named(name)), Err(Elsewhere));
        }
        let all = token("*", Scope::Read);
        let caller = Caller::with(&all, named("other")).unwrap();
        assert_eq!(caller.namespace.as_str(), "other");
        let caller = Caller::with(&all, None).unwrap();
        assert_eq!(caller.namespace, Namespace::default());
    }

    #[test]
    fn nobody_gives_away_more_than_they_have() {
        let bound = Caller::with(&token("acme", Scope::Admin), None).unwrap();
        let of = |reach: &str| reach.parse().unwrap();
        assert!(bound.may_reach(&of("acme")));
        assert!(!bound.may_reach(&of("other")) && !bound.may_reach(&Reach::All));
        let all = Caller::with(&token("*", Scope::Admin), None).unwrap();
        assert!(all.may_reach(&of("acme")) && all.may_reach(&Reach::All));
    }

    #[test]
    fn an_admin_oversees_what_is_in_reach() {
        let (own, other, all) = (
            token("acme", Scope::Read),
            token("other", Scope::Read),
            token("*", Scope::Read),
        );
        let bound = Caller::with(&token("acme", Scope::Admin), named("acme")).unwrap();
        let everywhere = Caller::with(&token("*", Scope::Admin), None).unwrap();
        let narrowed = Caller::with(&token("*", Scope::Admin), named("acme")).unwrap();
        for caller in [&bound, &narrowed] {
            assert!(caller.oversees(&own));
            assert!(!caller.oversees(&other) && !caller.oversees(&all));
        }
        assert!([&own, &other, &all].iter().all(|t| everywhere.oversees(t)));
        assert!(Caller::on_loopback(None).oversees(&all));
        assert!(!Caller::on_loopback(named("acme")).oversees(&other));
    }
}
