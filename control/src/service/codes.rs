//! Codes that nobody gave: drawn, and suggested. No link is written here.

use super::directory::Namespace;
use super::{Service, name};
use crate::{Caller, Fault};
use link::{Alphabet, Code};
use proto::v1;

/// Characters that are drawn.
const USUAL: usize = 7;
/// Fewer would be guessed, and soon be used up.
const FEWEST: usize = 4;
const MOST: usize = 32;
/// Other codes that are named for one that is taken.
const SUGGESTED: usize = 3;

/// How codes are drawn.
#[derive(Debug)]
pub struct CodeGenerator {
    prefix: String,
    length: usize,
    alphabet: Vec<u8>,
}

impl CodeGenerator {
    /// As a request for a new link says. With a code of its own nothing is drawn.
    pub fn new(request: &v1::CreateLinkRequest, domain: &Namespace) -> Result<Self, Fault> {
        let alphabet = match v1::CodeAlphabet::try_from(request.code_alphabet) {
            Ok(v1::CodeAlphabet::Unspecified | v1::CodeAlphabet::Base62) => Alphabet::Base62,
            Ok(v1::CodeAlphabet::Unambiguous) => Alphabet::Unambiguous,
            Err(_) => return Err(Fault::invalid("code_alphabet", "is none of base62, unambiguous")),
        };
        let length = match usize::try_from(request.code_length).unwrap_or(usize::MAX) {
            0 => USUAL,
            length if (FEWEST..=MOST).contains(&length) => length,
            _ => return Err(Fault::invalid("code_length", format!("is not {FEWEST} to {MOST}"))),
        };
        let wishes = !request.code_prefix.is_empty() || request.code_length > 0 || request.code_alphabet > 0;
        if wishes && !given(request)?.is_empty() {
            return Err(Fault::invalid("code", "is given: there is nothing to draw"));
        }
        let mut alphabet = alphabet.bytes();
        if domain.folds() {
            alphabet.retain(|byte| !byte.is_ascii_uppercase());
        }
        let drawing = Self { prefix: name::bare(&request.code_prefix).to_owned(), length, alphabet };
        let longest = name::code(&format!("{}{}", drawing.prefix, "x".repeat(length)), "code_prefix")?;
        if domain.folds() {
            name::code(longest.folded().as_str(), "code_prefix")?; // what is reserved is so in lower case
        }
        Ok(drawing)
    }

    /// A code.
    pub fn draw(&self) -> Result<Code, Fault> {
        name::code(&format!("{}{}", self.prefix, drawn(&self.alphabet, self.length)), "code_prefix")
    }
}

/// The code that a request asks for, as itself or its link says; empty: one is drawn.
pub fn given(request: &v1::CreateLinkRequest) -> Result<&str, Fault> {
    one_of(&request.link_id, request.link.as_ref().map_or("", |link| &link.code), "code", "link_id")
}

/// What two fields say, of which one may be empty.
pub fn one_of<'a>(one: &'a str, other: &'a str, field: &'static str, of: &str) -> Result<&'a str, Fault> {
    match (one, other) {
        ("", text) | (text, "") => Ok(text),
        (one, other) if one == other => Ok(one),
        _ => Err(Fault::invalid(field, format!("is another than {of}"))),
    }
}

fn drawn(alphabet: &[u8], length: usize) -> String {
    loop {
        if let Some(text) = link::generated(&store::random::bytes::<64>(), alphabet, length) {
            return text;
        }
    }
}

impl Service {
    /// See `CheckCode`.
    pub async fn check_code(
        &self,
        caller: &Caller,
        request: &v1::CheckCodeRequest,
    ) -> Result<v1::CheckCodeResponse, Fault> {
        let (domain, code) = name::split(&request.name)?;
        let code = name::bare(code);
        let space = self.domain(caller, &domain).await?;
        let text = if space.folds() { link::folded(code) } else { link::normal(code).into_owned() };
        let state = if self.rules.is_reserved(&text) {
            v1::CodeState::Reserved
        } else {
            let key = space.key(&space.takes(name::code(&text, "name")?, "name")?);
            match self.reach.of(caller).link(&key).await?.1 {
                None => v1::CodeState::Free,
                Some(row) if row.delete_time.is_some() => v1::CodeState::Deleted,
                Some(_) => v1::CodeState::Taken,
            }
        };
        let suggestions = if state == v1::CodeState::Free {
            Vec::new()
        } else {
            self.suggestions(caller, &space, &text).await?
        };
        Ok(v1::CheckCodeResponse { code: text, state: state.into(), suggestions })
    }

    /// Free codes that look like this one.
    async fn suggestions(
        &self,
        caller: &Caller,
        space: &Namespace,
        code: &str,
    ) -> Result<Vec<String>, Fault> {
        let mut alphabet = Alphabet::Unambiguous.bytes();
        alphabet.retain(|byte| !byte.is_ascii_uppercase());
        let endings = (2..6).map(|number| number.to_string());
        let endings = endings.chain((0..4).map(|_| drawn(&alphabet, FEWEST)));
        let all = endings.filter_map(|ending| Code::new(&format!("{code}-{ending}")).ok());
        let all: Vec<Code> = all.filter(|code| !self.rules.is_reserved(code.as_str())).collect();
        let keys: Vec<_> = all.iter().map(|code| space.key(code)).collect();
        let free = self.reach.of(caller).read(move |reader| reader.free(&keys)).await?;
        let free = all.iter().zip(&free).filter(|(_, free)| **free);
        Ok(free.take(SUGGESTED).map(|(code, _)| code.as_str().to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(change: impl FnOnce(&mut v1::CreateLinkRequest), fold: bool) -> Result<CodeGenerator, String> {
        let mut request = v1::CreateLinkRequest::default();
        change(&mut request);
        let drawing = CodeGenerator::new(&request, &Namespace::for_test(fold));
        drawing.map_err(|fault| fault.field().unwrap_or_default().to_owned())
    }

    #[test]
    fn codes_are_drawn_as_it_was_wished() {
        assert_eq!(drawing(|_| (), false).unwrap().draw().unwrap().as_str().len(), 7);
        let unambiguous = v1::CodeAlphabet::Unambiguous.into();
        let wish = |r: &mut v1::CreateLinkRequest| {
            (r.code_prefix, r.code_length, r.code_alphabet) = ("eu/".into(), 32, unambiguous);
        };
        for fold in [false, true] {
            let drawing = drawing(wish, fold).unwrap();
            for _ in 0..50 {
                let code = drawing.draw().unwrap();
                let drawn = code.as_str().strip_prefix("eu/").unwrap();
                assert!(drawn.len() == 32 && !drawn.contains(['0', 'O', 'o', '1', 'l', 'I']), "{drawn}");
                assert!(!fold || drawn.bytes().all(|byte| !byte.is_ascii_uppercase()), "{drawn}");
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let fault = |change: fn(&mut v1::CreateLinkRequest)| drawing(change, false).unwrap_err();
        assert_eq!(fault(|r| r.code_length = 3), "code_length");
        assert_eq!(fault(|r| r.code_length = 33), "code_length");
        assert_eq!(fault(|r| r.code_alphabet = 9), "code_alphabet");
        assert_eq!(fault(|r| r.code_prefix = "a b".into()), "code_prefix");
        assert_eq!(fault(|r| r.code_prefix = ".well-known/".into()), "code_prefix");
        assert_eq!(fault(|r| r.code_prefix = "x".repeat(122)), "code_prefix");
        let folded = drawing(|r| r.code_prefix = ".Well-Known/".into(), true);
        assert_eq!(folded.unwrap_err(), "code_prefix");
        assert_eq!(fault(|r| (r.link_id, r.code_length) = ("a".into(), 8)), "code");
    }
}
