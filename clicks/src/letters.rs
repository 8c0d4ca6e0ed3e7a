//! Countries and languages as small numbers, so that the frequent ones take one byte in roll-ups. The numbers are kept in
//! databases and never change: what is new is taken at the end.

use crate::{Country, Language};

/// Those with a number of one byte, by about how many people use the web there.
const COUNTRIES: &[u8] =
    b"CNINUSBRIDJPRUNGMXDEPKPHBDGBFRTRVNEGIRITKRTHZAESPLCAARCOUAMYSADZMAAUKETWIQNLETPEVEUZCLROGHKZNPLK\
    TZECSEBEGTCZMMPTHUGRCHDOATHKTNDKAZJOZMSGILBONOAEUGFISKIECUAOAFSNPYBGCRRSNZLBSYMGHNHRYEUYPAKWJMGE\
    ALSDMZOMZWLYQAKGBAMDLTMKLVAMSIEEBYKHCICMSVNIPRCYLUMNTJLAMLBF";
/// The same, by about how many pages or people there are.
const LANGUAGES: &[u8] =
    b"enzhesjarudeptfrarkoitidtrplnlvithfacsukheelsvrohuhidanofihrbgskbnsrltsletlvcamstakaazurmrteglnb\
    hyeusqisbekkmkmlknneguafsikmmyuzmnpaswcygatlkylopsamsokutgtkttbsmtlbnneolajvsuyoighazuxhrwmgmism\
    htgdfobroccofyyiasorsdugbodzkssatiomtstnstssvenrndsn";
/// Numbers from here on are the two letters themselves.
const SPELLED: u32 = 256;

/// 0: unknown; also what is no pair of letters.
pub fn country_code(country: Country) -> u32 {
    code(country.0, COUNTRIES, b'A')
}

/// The country with this number, if it is one that [`country_code`] gives.
pub fn country(code: u32) -> Option<Country> {
    letters(code, COUNTRIES, b'A').map(Country)
}

/// 0: unknown; also what is no pair of letters.
pub fn language_code(language: Language) -> u32 {
    code(language.0, LANGUAGES, b'a')
}

/// The language with this number, if it is one that [`language_code`] gives.
pub fn language(code: u32) -> Option<Language> {
    letters(code, LANGUAGES, b'a').map(Language)
}

fn code(pair: [u8; 2], known: &[u8], first: u8) -> u32 {
    if let Some(place) = place(pair, known) {
        return place + 1;
    }
    let [high, low] = pair.map(|letter| u32::from(letter.wrapping_sub(first)));
    if high < 26 && low < 26 { SPELLED + high * 26 + low } else { 0 }
}

fn place(pair: [u8; 2], known: &[u8]) -> Option<u32> {
    known.as_chunks::<2>().0.iter().position(|one| *one == pair).map(|place| place as u32)
}

fn letters(code: u32, known: &[u8], first: u8) -> Option<[u8; 2]> {
    if code == 0 {
        return Some([0; 2]);
    }
    if let Some(spelled) = code.checked_sub(SPELLED) {
        let pair = || [first + (spelled / 26) as u8, first + (spelled % 26) as u8];
        return (spelled < 26 * 26).then(pair).filter(|pair| place(*pair, known).is_none());
    }
    known.as_chunks::<2>().0.get(code as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_pair_has_one_number() {
        let mut seen = HashSet::from([0]);
        for (high, low) in (0..26).flat_map(|high| (0..26).map(move |low| (high, low))) {
            let upper = Country([b'A' + high, b'A' + low]);
            let number = country_code(upper);
            assert!(seen.insert(number), "{upper:?}");
            assert_eq!(country(number), Some(upper));
            let lower = Language([b'a' + high, b'a' + low]);
            assert_eq!(language(language_code(lower)), Some(lower));
        }
        assert_eq!((country(0), language(0)), (Some(Country([0; 2])), Some(Language([0; 2]))));
        assert_eq!(country_code(Country(*b"d1")), 0);
        let given = (0..2_000).filter(|code| country(*code).is_some()).count();
        assert_eq!(given, 1 + 26 * 26, "no country has two numbers");
    }

    #[test]
    fn the_frequent_ones_take_one_byte() {
        for known in [COUNTRIES, LANGUAGES] {
            let (pairs, rest) = known.as_chunks::<2>();
            assert!(rest.is_empty() && pairs.len() < 127, "{}", pairs.len());
            assert_eq!(pairs.iter().collect::<HashSet<_>>().len(), pairs.len());
        }
        assert_eq!((country_code(Country(*b"CN")), country_code(Country(*b"DE"))), (1, 10));
        assert_eq!((language_code(Language(*b"en")), language_code(Language(*b"de"))), (1, 6));
    }
}
