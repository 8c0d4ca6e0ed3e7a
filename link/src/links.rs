//! A link: a target and how to lead there.

use crate::Target;
use std::fmt;

/// The status of a redirect (RFC 9110, section 15.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// 302.
    #[default]
    Found = 0,
    /// 301. Heuristically cacheable: needs an explicit lifetime.
    MovedPermanently = 1,
    /// 303.
    SeeOther = 2,
    /// 307.
    TemporaryRedirect = 3,
    /// 308. Heuristically cacheable: needs an explicit lifetime.
    PermanentRedirect = 4,
}

impl Status {
    /// In the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Found,
        Self::MovedPermanently,
        Self::SeeOther,
        Self::TemporaryRedirect,
        Self::PermanentRedirect,
    ];

    /// The three digits.
    pub fn code(self) -> u16 {
        [302, 301, 303, 307, 308][self as usize]
    }

    /// Whether a client repeats its method and content at the target (RFC 9110, sections 15.4.8 and 15.4.9).
    pub fn keeps_method(self) -> bool {
        matches!(self, Self::TemporaryRedirect | Self::PermanentRedirect)
    }

    /// The status with these digits, if a redirect may have it.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| u32::from(status.code()) == code)
    }
}

/// What happens to the query of a visitor's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum QueryPolicy {
    /// Dropped.
    #[default]
    Drop = 0,
    /// The visitor's bytes behind the target's query, before its fragment.
    Append = 1,
    /// As append, but the target's pairs with a key that the visitor gives are left out.
    Override = 2,
}

impl QueryPolicy {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Append, Self::Override];
}

/// What a cut-off edge may do with a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// As the domain says.
    #[default]
    Inherit = 0,
    /// Keep redirecting.
    Normal = 1,
    /// Refuse until it knows.
    Strict = 2,
}

impl Class {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Inherit, Self::Normal, Self::Strict];
}

/// How a link leads to its target: what a redirect needs of it beside that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTerms {
    /// The status of the answer.
    pub status: Status,
    /// What happens to a visitor's query.
    pub query: QueryPolicy,
    /// What a cut-off edge may do.
    pub class: Class,
    /// Answers 410 while set.
    pub disabled: bool,
    /// Seconds a browser may keep the answer.
    pub max_age: Option<u32>,
    /// Unix milliseconds before which it answers 404.
    pub not_before: Option<i64>,
    /// Unix milliseconds from which on it answers 410.
    pub expire: Option<i64>,
}

/// What a link is made of, before the rules between the parts were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkParts {
    /// Where it leads.
    pub target: Target,
    /// How.
    pub terms: LinkTerms,
    /// Where it leads once it has expired: at most [`Link::MAX_EXPIRED_TARGET`] bytes. `None`: where its domain says.
    pub expired_target: Option<Target>,
    /// Fields of a newer record layout that this program does not know, kept byte for byte.
    pub unknown: Box<[u8]>,
}

impl LinkParts {
    /// A link to `target` with every default.
    pub fn to(target: Target) -> Self {
        Self { target, terms: LinkTerms::default(), expired_target: None, unknown: Box::default() }
    }

    /// A link to `target` on these terms.
    pub fn on(terms: LinkTerms, target: Target) -> Self {
        Self { terms, ..Self::to(target) }
    }
}

/// A link whose parts fit together: see [`Link::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(LinkParts);

/// Why parts do not make a link. Always the fault of whoever gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// 301 or 308 without a `max_age`: an edit could never reach a browser that kept it.
    PermanentWithoutLifetime,
    /// `max_age` above [`Link::MAX_AGE`].
    MaxAgeTooLong,
    /// `expire` is not after `not_before`.
    NeverValid,
    /// `expired_target` is longer than [`Link::MAX_EXPIRED_TARGET`].
    ExpiredTargetTooLong,
}

impl Link {
    /// Seconds: one year, as far as RFC 9111 lifetimes go in practice.
    pub const MAX_AGE: u32 = 31_536_000;
    /// Bytes of `expired_target`: with the longest target beside it, a record still fits.
    pub const MAX_EXPIRED_TARGET: usize = 1_024;

    /// The one way to make a link.
    ///
    /// # Errors
    /// The rule that the parts break.
    pub fn new(parts: LinkParts) -> Result<Self, LinkFault> {
        let LinkTerms { status, max_age, not_before, expire, .. } = parts.terms;
        let permanent = matches!(status, Status::MovedPermanently | Status::PermanentRedirect);
        if permanent && max_age.is_none() {
            return Err(LinkFault::PermanentWithoutLifetime);
        }
        if max_age.is_some_and(|seconds| seconds > Self::MAX_AGE) {
            return Err(LinkFault::MaxAgeTooLong);
        }
        if not_before.zip(expire).is_some_and(|(from, to)| to <= from) {
            return Err(LinkFault::NeverValid);
        }
        if parts.expired_target.as_ref().is_some_and(|to| to.as_bytes().len() > Self::MAX_EXPIRED_TARGET) {
            return Err(LinkFault::ExpiredTargetTooLong);
        }
        Ok(Self(parts))
    }

    /// The same link to another target.
    #[must_use]
    pub fn leading_to(self, target: Target) -> Self {
        Self(LinkParts { target, ..self.0 })
    }

    /// The same link, disabled or not.
    #[must_use]
    pub fn disabled(self, disabled: bool) -> Self {
        Self(LinkParts { terms: LinkTerms { disabled, ..self.0.terms }, ..self.0 })
    }

    /// Its parts.
    pub fn parts(&self) -> &LinkParts {
        &self.0
    }

    /// Its parts, to change and check again.
    pub fn into_parts(self) -> LinkParts {
        self.0
    }

    /// What a redirect needs of it.
    pub fn as_ref(&self) -> LinkRef<'_> {
        let LinkParts { target, terms, expired_target, unknown: _ } = &self.0;
        let expired_target = expired_target.as_ref().map(Target::as_bytes);
        LinkRef { target: target.as_bytes(), terms: *terms, expired_target }
    }
}

/// What a redirect needs of a link, wherever its bytes lie. Made only from a [`Link`], at once or after a stay in
/// memory: holding one means that the rules of [`Link::new`] and [`Target`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRef<'a> {
    /// Bytes of a [`Target`].
    pub target: &'a [u8],
    /// See [`LinkParts::terms`].
    pub terms: LinkTerms,
    /// See [`LinkParts::expired_target`]: bytes of a [`Target`].
    pub expired_target: Option<&'a [u8]>,
}

impl LinkFault {
    /// The field that a caller should look at.
    pub fn field(self) -> &'static str {
        match self {
            Self::PermanentWithoutLifetime | Self::MaxAgeTooLong => "max_age",
            Self::NeverValid => "expire_time",
            Self::ExpiredTargetTooLong => "expired_target",
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermanentWithoutLifetime => {
                write!(
                    f,
                    "is required with status 301 and 308: browsers would keep the redirect without limit"
                )
            }
            Self::MaxAgeTooLong => write!(f, "is more than {} seconds", Link::MAX_AGE),
            Self::NeverValid => write!(f, "is not after not_before"),
            Self::ExpiredTargetTooLong => write!(f, "is longer than {} bytes", Link::MAX_EXPIRED_TARGET),
        }
    }
}

impl std::error::Error for LinkFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_between_the_parts() {
        let with = |change: fn(&mut LinkTerms)| {
            let mut parts = LinkParts::to(Target::stored(b"https://example.com/").unwrap());
            change(&mut parts.terms);
            Link::new(parts).map(|_| ())
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|t| t.status = Status::PermanentRedirect), Err(LinkFault::PermanentWithoutLifetime));
        assert_eq!(with(|t| (t.status, t.max_age) = (Status::MovedPermanently, Some(60))), Ok(()));
        assert_eq!(with(|t| t.max_age = Some(Link::MAX_AGE + 1)), Err(LinkFault::MaxAgeTooLong));
        assert_eq!(with(|t| (t.not_before, t.expire) = (Some(5), Some(5))), Err(LinkFault::NeverValid));
        assert_eq!(with(|t| (t.not_before, t.expire) = (Some(5), Some(6))), Ok(()));
        let long = |length: usize| {
            let target = |text: &str| Target::stored(text.as_bytes()).unwrap();
            let expired_target = Some(target(&format!("https://{}", "x".repeat(length - 8))));
            Link::new(LinkParts { expired_target, ..LinkParts::to(target("https://example.com/")) })
                .map(|_| ())
        };
        assert_eq!((long(1_024), long(1_025)), (Ok(()), Err(LinkFault::ExpiredTargetTooLong)));
    }

    #[test]
    fn status_digits() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(u32::from(status.code())), Some(status));
        }
        assert_eq!(Status::from_code(304), None);
        assert_eq!(Status::from_code(200), None);
    }
}
