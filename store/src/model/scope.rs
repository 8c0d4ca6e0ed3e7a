//! What a key allows.

/// One thing that a key may allow. None implies another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read links, lists and exports, and how the edges stand.
    LinksRead,
    /// Create, change and delete links.
    LinksWrite,
    /// Create and change domains.
    DomainsAdmin,
    /// Make and revoke keys, also with scopes that this one has not; if it is for some domains, only with those that it
    /// has.
    KeysAdmin,
    /// Follow the log and fetch from it, as an edge does: of every domain, in the name of one edge.
    Feed,
    /// Read how often links were clicked.
    ClicksRead,
    /// Forget clicks for good.
    ClicksDelete,
}

impl Scope {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::LinksRead,
        Self::LinksWrite,
        Self::DomainsAdmin,
        Self::KeysAdmin,
        Self::Feed,
        Self::ClicksRead,
        Self::ClicksDelete,
    ];

    /// Its name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::LinksRead => "links:read",
            Self::LinksWrite => "links:write",
            Self::DomainsAdmin => "domains:admin",
            Self::KeysAdmin => "keys:admin",
            Self::Feed => "feed",
            Self::ClicksRead => "clicks:read",
            Self::ClicksDelete => "clicks:delete",
        }
    }
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// These.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, &scope| bits | 1 << scope as u8))
    }

    /// Those of the first key of a store: an edge has one of its own.
    pub fn admin() -> Self {
        Self(Self::of(&Scope::ALL).0 & !Self::of(&[Scope::Feed]).0)
    }

    /// Those that are named.
    ///
    /// # Errors
    /// A name that is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        names.into_iter().try_fold(Self::default(), |scopes, name| {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name).ok_or(name)?;
            Ok(Self(scopes.0 | Self::of(&[scope]).0))
        })
    }

    /// Whether it is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & Self::of(&[scope]).0 != 0
    }

    /// Their names, in the order of [`Scope::ALL`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope)).map(Scope::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let scopes = Scopes::parse(["feed", "links:read"]).unwrap();
        assert_eq!(scopes.names().collect::<Vec<_>>(), ["links:read", "feed"]);
        assert!(scopes.has(Scope::Feed) && !scopes.has(Scope::KeysAdmin));
        assert_eq!(Scopes::parse(["links"]), Err("links"));
        assert_eq!(Scopes::admin().names().count(), 6);
    }
}
