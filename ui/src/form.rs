//! Names and values as a form or an address carries them (URL Standard, `application/x-www-form-urlencoded`). What they mean
//! is not known here.

use std::collections::HashSet;

/// Pairs in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads them.
    pub fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of a name, without white space around it; empty where it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a name as it is. A browser sends line ends as CR LF: what is kept has LF.
    pub fn text(&self, name: &str) -> String {
        self.raw(name).replace("\r\n", "\n")
    }

    fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str())
    }

    /// Whether the name is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// Every value of a name, each once.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let mut seen = HashSet::new();
        let own = self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
        own.filter(|value| seen.insert(*value)).collect()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same with this one value for a name; empty: without it.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut all: Vec<_> = self.0.iter().filter(|(own, _)| own != name).cloned().collect();
        if !value.is_empty() {
            all.push((name.to_owned(), value.to_owned()));
        }
        Self(all)
    }

    /// As text.
    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

/// An address with these parameters; empty ones are left out.
pub fn href(path: &str, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_as_they_were_given() {
        let pairs = Pairs::parse(b"a=%C3%BC+x&b=1&pick=x&pick=y&pick=x&note=one%0D%0Atwo");
        assert_eq!((pairs.get("a"), pairs.get("c")), ("\u{fc} x", ""));
        assert_eq!(pairs.all("pick"), ["x", "y"]);
        assert_eq!(pairs.text("note"), "one\ntwo");
        assert_eq!(Pairs::parse(pairs.encode().as_bytes()), pairs);
        assert_eq!(pairs.with("a", "2").get("a"), "2");
        assert!(!pairs.with("a", "").has("a"));
        assert_eq!(href("/ui/link", &[("domain", ""), ("code", "a/b&c")]), "/ui/link?code=a%2Fb%26c");
        assert_eq!(href("/ui", &[]), "/ui");
    }
}
