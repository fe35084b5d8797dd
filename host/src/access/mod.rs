//! Who may do what: access tokens, their scopes, and the namespaces that they count in.
//!
//! Plain data and the rules that hold for it everywhere. No I/O but the system's random
//! numbers. How tokens are kept is the store's, and how a request shows one is `http`'s
//! (`docs/adr/0011`).
//!
//! An access token is not the fencing token of a claim ([`crate::store::Token`]).

mod caller;
mod name;
mod scope;
mod secret;
mod token;

pub use caller::{Caller, Elsewhere};
pub use name::{Label, MAX_LABEL_CHARS, Reach, TokenId};
pub use scope::{Scope, Scopes};
pub use secret::{Secret, SecretHash};
pub use token::{AccessToken, AccessTokens, Issued, MAX_TOKENS, StoredToken, no_room};
