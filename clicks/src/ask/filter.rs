//! Which clicks count for an answer.

use crate::rollup::{Dictionary, Dimension};
use crate::{Click, Country, Device, Kind, Language, letters};
use std::collections::HashMap;
use std::sync::Arc;

/// Which clicks count: those that have one of the values in each list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickFilter {
    /// What they are.
    pub kinds: Vec<Kind>,
    /// From where.
    pub countries: Vec<Country>,
    /// The agents' families; empty text: unknown.
    pub browsers: Vec<Arc<str>>,
    /// Their systems; empty text: unknown.
    pub oses: Vec<Arc<str>>,
    /// What they run on.
    pub devices: Vec<Device>,
    /// The hosts that led there; empty text: none was given.
    pub referrers: Vec<Arc<str>>,
    /// Which languages are asked for first.
    pub languages: Vec<Language>,
}

fn admits<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

impl ClickFilter {
    /// Whether a click counts.
    pub fn admits(&self, click: &Click) -> bool {
        admits(&self.kinds, &click.kind)
            && admits(&self.countries, &click.country)
            && admits(&self.browsers, &click.browser)
            && admits(&self.oses, &click.os)
            && admits(&self.devices, &click.device)
            && admits(&self.referrers, &click.referrer)
            && admits(&self.languages, &click.language)
    }

    /// Whether clicks of this kind count of which nothing else is known.
    pub(super) fn admits_total(&self, kind: Kind) -> bool {
        let only_kinds = Self { kinds: self.kinds.clone(), ..Self::default() };
        *self == only_kinds && admits(&self.kinds, &kind)
    }

    /// The same for the numbers of tuples: one for each list that is not empty.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let texts = |texts: &[Arc<str>]| Values::Texts(texts.to_vec(), HashMap::default());
        let codes = |codes: Vec<u32>| Values::Codes(codes);
        let all = [
            (Dimension::Kind, codes(self.kinds.iter().map(|kind| *kind as u32).collect())),
            (
                Dimension::Country,
                codes(self.countries.iter().map(|one| letters::country_code(*one)).collect()),
            ),
            (Dimension::Browser, texts(&self.browsers)),
            (Dimension::Os, texts(&self.oses)),
            (Dimension::Device, codes(self.devices.iter().map(|device| *device as u32).collect())),
            (Dimension::Referrer, texts(&self.referrers)),
            (
                Dimension::Language,
                codes(self.languages.iter().map(|one| letters::language_code(*one)).collect()),
            ),
        ];
        let all = all.into_iter().map(|(dimension, values)| Wanted { dimension, values });
        all.filter(|wanted| !wanted.values.is_empty()).collect()
    }
}

/// The values that count in one dimension.
#[derive(Debug)]
pub struct Wanted {
    pub dimension: Dimension,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Codes(Vec<u32>),
    /// And what is known already of numbers of the dictionary.
    Texts(Vec<Arc<str>>, HashMap<u32, bool, foldhash::fast::RandomState>),
}

impl Values {
    fn is_empty(&self) -> bool {
        match self {
            Self::Codes(codes) => codes.is_empty(),
            Self::Texts(texts, _) => texts.is_empty(),
        }
    }
}

impl Wanted {
    /// Whether a tuple counts that has this number here.
    pub fn admits(&mut self, number: u32, dictionary: &(impl Dictionary + ?Sized)) -> bool {
        match &mut self.values {
            Values::Codes(codes) => codes.contains(&number),
            Values::Texts(texts, known) => {
                *known.entry(number).or_insert_with(|| texts.contains(&dictionary.text(number)))
            }
        }
    }
}
