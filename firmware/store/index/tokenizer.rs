//! Gives tantivy the words of a text, exactly as `archive::words` makes them.
//!
//! The second form of a word stands at the same position as the first, so that a phrase holds with either. No word is
//! dropped and none is cut here.

use super::pairs::Pairs;
use archive::words::WordScanner;
use tantivy::tokenizer::{RawTokenizer, Token, TokenStream, Tokenizer, TokenizerManager};

/// Name under which the schema asks for words.
pub(super) const WORDS: &str = "words";
/// Name under which the schema asks for pairs of words.
pub(super) const PAIRS: &str = "pairs";
/// Name under which the schema asks for the whole value as one term.
pub(super) const EXACT: &str = "exact";

/// Gives the tokenizers that the schema names.
pub(super) fn tokenizers() -> TokenizerManager {
    // Number fields ask for the default tokenizer, though they have no words.
    let tokenizers = TokenizerManager::default();
    tokenizers.register(WORDS, Words);
    tokenizers.register(PAIRS, Pairs);
    tokenizers.register(EXACT, RawTokenizer::default());
    tokenizers
}

/// Makes words of text.
#[derive(Clone)]
struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream {
            scanner: WordScanner::new(text),
            token: Token::default(),
            second: String::new(),
        }
    }
}

/// The words of one text.
struct WordStream<'a> {
    scanner: WordScanner<'a>,
    token: Token,
    /// The second form still to be given; empty for none.
    second: String,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        self.token.text.clear();
        if !self.second.is_empty() {
            std::mem::swap(&mut self.token.text, &mut self.second);
            return true;
        }
        let Some(word) = self.scanner.next_word() else {
            return false;
        };
        self.token.text.push_str(word.text);
        self.second.push_str(word.second.unwrap_or_default());
        self.token.offset_from = word.offset.start;
        self.token.offset_to = word.offset.end;
        // The default position is the one before the first.
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let mut stream = Words.clone();
        let mut stream = stream.token_stream(text);
        let mut tokens = Vec::new();
        while stream.advance() {
            let token = stream.token();
            assert!(
                text.get(token.offset_from..token.offset_to).is_some(),
                "offsets of {token:?}"
            );
            tokens.push((token.position, token.text.clone()));
        }
        let expected: Vec<_> = expected
            .iter()
            .map(|(position, text)| (*position, (*text).to_owned()))
            .collect();
        assert_eq!(tokens, expected, "words of {text}");
    }

    #[test]
    fn both_forms_stand_at_one_position() {
        check("", &[]);
        check("Die Rechnung", &[(0, "die"), (1, "rechnung")]);
        check(
            "Herr Müller zahlt",
            &[(0, "herr"), (1, "muller"), (1, "mueller"), (2, "zahlt")],
        );
        check(
            "Grüße, Bär",
            &[(0, "grusse"), (0, "gruesse"), (1, "bar"), (1, "baer")],
        );
        check(
            "anna@example.com",
            &[(0, "anna"), (1, "example"), (2, "com")],
        );
    }
}
