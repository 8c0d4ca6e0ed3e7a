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
const PAIRS: usize = 26 * 26;
/// The numbers of all pairs of letters.
static COUNTRY_CODES: [u16; PAIRS] = codes(COUNTRIES, b'A');
static LANGUAGE_CODES: [u16; PAIRS] = codes(LANGUAGES, b'a');

const fn codes(known: &[u8], first: u8) -> [u16; PAIRS] {
    let mut codes = [0; PAIRS];
    let mut at = 0;
    while at < PAIRS {
        codes[at] = SPELLED as u16 + at as u16;
        at += 1;
    }
    at = 0;
    while at < known.len() {
        codes[(known[at] - first) as usize * 26 + (known[at + 1] - first) as usize] = at as u16 / 2 + 1;
        at += 2;
    }
    codes
}

/// 0: unknown; also what is no pair of letters.
pub fn country_code(country: Country) -> u32 {
    code(country.0, &COUNTRY_CODES, b'A')
}

/// The country with this number, if it is one that [`country_code`] gives.
pub fn country(code: u32) -> Option<Country> {
    letters(code, COUNTRIES, &COUNTRY_CODES, b'A').map(Country)
}

/// 0: unknown; also what is no pair of letters.
pub fn language_code(language: Language) -> u32 {
    code(language.0, &LANGUAGE_CODES, b'a')
}

/// The language with this number, if it is one that [`language_code`] gives.
pub fn language(code: u32) -> Option<Language> {
    letters(code, LANGUAGES, &LANGUAGE_CODES, b'a').map(Language)
}

fn code(pair: [u8; 2], codes: &[u16; PAIRS], first: u8) -> u32 {
    let [high, low] = pair.map(|letter| usize::from(letter.wrapping_sub(first)));
    if high < 26 && low < 26 { u32::from(codes[high * 26 + low]) } else { 0 }
}

fn letters(number: u32, known: &[u8], codes: &[u16; PAIRS], first: u8) -> Option<[u8; 2]> {
    if number == 0 {
        return Some([0; 2]);
    }
    if let Some(spelled) = number.checked_sub(SPELLED) {
        let pair = || [first + (spelled / 26) as u8, first + (spelled % 26) as u8];
        return (spelled < PAIRS as u32).then(pair).filter(|pair| code(*pair, codes, first) == number);
    }
    known.as_chunks::<2>().0.get(number as usize - 1).copied()
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
