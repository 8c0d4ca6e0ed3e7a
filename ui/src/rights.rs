//! What the key of a session allows. How that is known is not known here.

use std::sync::Arc;

/// What a key allows now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The id of the key, which is no secret; empty where no key is asked for.
    pub key_id: String,
    /// Who uses the key; empty where none is asked for.
    pub client: String,
    /// The scopes, such as `links:read`.
    pub scopes: Vec<&'static str>,
    /// The domains that it is for; none: all of them.
    pub domains: Vec<String>,
}

/// What a key allows, or `None` for one that may not be used, or no more.
pub type KeyRights = Arc<dyn Fn(&str) -> Option<Rights> + Send + Sync>;

impl Rights {
    /// Those of anybody, where no key is asked for.
    pub fn of_anyone() -> Self {
        let scopes =
            ["links:read", "links:write", "domains:admin", "keys:admin", "clicks:read", "clicks:delete"];
        Self { scopes: scopes.to_vec(), ..Self::default() }
    }

    /// Whether a scope is among them.
    pub fn allow(&self, scope: &str) -> bool {
        self.scopes.contains(&scope)
    }

    /// The domain that is meant where none is named.
    pub fn first_domain(&self) -> &str {
        self.domains.first().map_or("-", String::as_str)
    }
}
