//! Letters beyond ASCII in codes: one spelling of each, the same without case, and which characters a code may have. The
//! reasons are in docs/decisions/0012-codes-in-every-script.md.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;

/// A text in Normalization Form C (Unicode Standard Annex 15), which codes are kept in: a letter and its accent are one
/// character where there is one for both. Of characters that have a meaning already, this form never changes.
pub fn normal(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { text.into() } else { ComposingNormalizerBorrowed::new_nfc().normalize(text) }
}

/// A text without case: its full case folding (the Unicode Standard, section 3.13), in form C. `ß` is `ss` by it, and `Σ`,
/// `σ` and `ς` are one. Unlike lower case it is promised never to change.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let folded = CaseMapper::new().fold_string(&normal(text)).into_owned();
    match normal(&folded) {
        Cow::Borrowed(_) => folded,
        Cow::Owned(normal) => normal,
    }
}

/// What a character beyond ASCII is if no code may have it, worded so that it follows its name.
pub fn unfit(c: char) -> Option<&'static str> {
    const HIDDEN: &str = "which nobody sees";
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control => Some("which is a control character"),
        // Marks of direction, joiners, tags.
        GeneralCategory::Format => Some(HIDDEN),
        GeneralCategory::SpaceSeparator
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Some("which is a space"),
        GeneralCategory::PrivateUse => Some("which means something else to every program"),
        // What is no character for good, too. A letter that is assigned later could be spelled in a way not known here.
        GeneralCategory::Unassigned | GeneralCategory::Surrogate => Some("which is no character"),
        _ if c == char::REPLACEMENT_CHARACTER => Some("which stands for one that was lost"),
        // Selectors of variants, fillers.
        _ => CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c).then_some(HIDDEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (text, want) in [
            ("b\u{fc}cher", "b\u{fc}cher"),
            ("bu\u{308}cher", "b\u{fc}cher"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{212a}", "K"),
            ("\u{3b9}\u{308}\u{301}", "\u{390}"),
            ("abc", "abc"),
        ] {
            assert_eq!(normal(text), want, "{text}");
        }
    }

    #[test]
    fn one_case() {
        for (text, want) in [
            ("ABC", "abc"),
            ("B\u{dc}CHER", "b\u{fc}cher"),
            ("BU\u{308}CHER", "b\u{fc}cher"),
            ("Stra\u{df}e", "strasse"),
            ("STRA\u{1e9e}E", "strasse"),
            ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c3}"),
            ("\u{3bf}\u{3b4}\u{3bf}\u{3c2}", "\u{3bf}\u{3b4}\u{3bf}\u{3c3}"),
            // Cherokee: its lower case changed when letters were added, its folding did not.
            ("\u{ab70}", "\u{13a0}"),
            ("\u{13a0}", "\u{13a0}"),
            ("\u{130}", "i\u{307}"),
        ] {
            assert_eq!(folded(text), want, "{text}");
        }
    }

    #[test]
    fn what_no_code_has() {
        for (c, why) in [
            ('\u{85}', "a control character"),
            ('\u{ad}', "nobody sees"),
            ('\u{200b}', "nobody sees"),
            ('\u{200d}', "nobody sees"),
            ('\u{202e}', "nobody sees"),
            ('\u{feff}', "nobody sees"),
            ('\u{fe0f}', "nobody sees"),
            ('\u{34f}', "nobody sees"),
            ('\u{3164}', "nobody sees"),
            ('\u{e0061}', "nobody sees"),
            ('\u{a0}', "a space"),
            ('\u{3000}', "a space"),
            ('\u{2028}', "a space"),
            ('\u{e000}', "to every program"),
            ('\u{10fffd}', "to every program"),
            ('\u{fffe}', "no character"),
            ('\u{fdd0}', "no character"),
            ('\u{378}', "no character"),
            ('\u{fffd}', "was lost"),
        ] {
            assert!(unfit(c).is_some_and(|told| told.contains(why)), "U+{:04X}", c as u32);
        }
        for c in [
            '\u{fc}',
            '\u{3b1}',
            '\u{436}',
            '\u{5d0}',
            '\u{645}',
            '\u{301}',
            '\u{4e2d}',
            '\u{1f600}',
            '\u{2764}',
        ] {
            assert_eq!(unfit(c), None, "U+{:04X}", c as u32);
        }
    }

    /// Whatever is kept is found again: both forms of it are their own.
    #[test]
    fn a_text_that_was_folded_is_folded() {
        let marks = ["", "\u{301}", "\u{323}", "\u{345}", "\u{313}\u{345}", "\u{308}\u{301}"];
        for c in ('\u{80}'..=char::MAX).filter(|&c| unfit(c).is_none()) {
            for mark in if c < '\u{3000}' { &marks[..] } else { &marks[..1] } {
                let text = format!("{c}{mark}");
                let (normal_form, once) = (normal(&text).into_owned(), folded(&text));
                assert_eq!(normal(&normal_form), normal_form, "{text:?}");
                assert_eq!(folded(&once), once, "{text:?}");
                assert_eq!(folded(&normal_form), once, "{text:?}");
                assert!(once.chars().all(|c| c.is_ascii() || unfit(c).is_none()), "{text:?}");
            }
        }
    }
}
