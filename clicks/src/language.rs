//! Which language a browser asks for first.

use crate::click::Language;

/// The codes of ISO 639-1, in order: a flood of made-up ones is one unknown language.
const CODES: &[u8] = b"aaabaeafakamanarasavayazbabebgbibmbnbobrbscacechcocrcscucvcydadedvdzeeeleneoeseteufafffifjfofrfygagdglgngugvhahehihohrhthuhyhziaidieigiiikioisitiujajvkakgkikjkkklkmknkokrkskukvkwkylalblglilnloltlulvmgmhmimkmlmnmrmsmtmynanbndnengnlnnnonrnvnyocojomorospapiplpsptqurmrnrorurwsascsdsesgsiskslsmsnsosqsrssstsusvswtatetgthtitktltntotrtstttwtyugukuruzvevivowawoxhyiyozazhzu";

/// The language in the first bytes of an `Accept-Language` (zeros behind their end); unknown where none is named or the
/// first has no two letters of its own.
pub fn language(header: [u8; 8]) -> Language {
    let header = header.trim_ascii_start();
    let [first, second, rest @ ..] = header else { return Language::default() };
    if rest.first().is_some_and(u8::is_ascii_alphanumeric) {
        return Language::default();
    }
    let code = match &[first.to_ascii_lowercase(), second.to_ascii_lowercase()] {
        // As Java and old browsers write them.
        b"iw" => *b"he",
        b"in" => *b"id",
        b"ji" => *b"yi",
        code => *code,
    };
    let known = CODES.chunks_exact(2).any(|known| known == code);
    if known { Language(code) } else { Language::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> String {
        let mut bytes = [0; 8];
        let length = header.len().min(8);
        bytes[..length].copy_from_slice(&header.as_bytes()[..length]);
        language(bytes).as_str().to_owned()
    }

    #[test]
    fn the_first_language_without_its_country() {
        for (header, language) in [
            ("en-US,en;q=0.9", "en"),
            ("EN", "en"),
            (" de;q=1", "de"),
            ("pt_BR", "pt"),
            ("es-419,es", "es"),
            ("iw-IL", "he"),
            ("zh-Hant-TW", "zh"),
        ] {
            assert_eq!(of(header), language, "{header}");
        }
    }

    #[test]
    fn what_is_no_language_is_unknown() {
        for header in ["", "*", "e", "fil-PH", "xx", "q=0.5", "zz-ZZ", "\u{e4}\u{e4}", "1n"] {
            assert_eq!(of(header), "", "{header}");
        }
        assert_eq!(language([0xff; 8]), Language::default());
    }

    #[test]
    fn codes_are_in_order_and_two_letters_each() {
        let codes: Vec<_> = CODES.chunks(2).collect();
        assert!(codes.is_sorted() && codes.iter().all(|code| code.len() == 2));
        assert_eq!(codes.len(), 183);
    }
}
