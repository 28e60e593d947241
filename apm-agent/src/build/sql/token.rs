//! Tokens of SQL text, by the rules all Elastic agents share (`tests/data/json-specs/sql_token_examples.json`).

/// What a token is. Keywords have a kind of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything that is none of the others.
    Other,
    /// `-- …`, `// …`, `/* … */` (nests).
    Comment,
    /// A word that is no keyword, or a quoted identifier.
    Identifier,
    /// Number literal.
    Number,
    /// String literal, dollar-quoted ones too.
    String,
    /// `.`
    Period,
    /// `(`
    LeftParenthesis,
    /// `)`
    RightParenthesis,
    /// Keywords, upper or lower case.
    As,
    Call,
    Delete,
    From,
    Insert,
    Into,
    Or,
    Replace,
    Select,
    Set,
    Table,
    Truncate,
    Update,
}

const KEYWORDS: [(&str, Kind); 13] = [
    ("AS", Kind::As),
    ("OR", Kind::Or),
    ("SET", Kind::Set),
    ("CALL", Kind::Call),
    ("FROM", Kind::From),
    ("INTO", Kind::Into),
    ("TABLE", Kind::Table),
    ("DELETE", Kind::Delete),
    ("INSERT", Kind::Insert),
    ("SELECT", Kind::Select),
    ("UPDATE", Kind::Update),
    ("REPLACE", Kind::Replace),
    ("TRUNCATE", Kind::Truncate),
];

/// Dollar quotes without an end that are looked for in the rest of the text. Valid SQL has none; the cap keeps the
/// work on hostile text linear.
const UNENDED_QUOTES: u32 = 16;

/// A token and its text; quotes around an identifier are not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

/// Reads tokens one by one.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    unended_quotes: u32,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Tokens { rest: text, unended_quotes: 0 }
    }

    /// Takes `length` bytes (a character boundary; a wrong one ends the text) off the rest.
    fn take(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        token
    }

    fn read(&mut self, kind: Kind, length: usize) -> Token<'a> {
        Token { kind, text: self.take(length) }
    }

    fn read_word(&mut self) -> Token<'a> {
        let length = length_while(self.rest, |c| c.is_alphanumeric() || c == '_' || c == '$');
        let text = self.take(length);
        let keyword = KEYWORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        Token { kind: keyword.map_or(Kind::Identifier, |&(_, kind)| kind), text }
    }

    /// A quoted identifier: `close` ends it; doubled double quotes do not.
    fn read_quoted(&mut self, close: char) -> Token<'a> {
        self.take(1);
        let length = length_to_quote(self.rest, close, close == '"', false);
        let text = self.take(length);
        self.take(1);
        Token { kind: Kind::Identifier, text }
    }

    fn read_string(&mut self) -> Token<'a> {
        let body = self.rest.get(1..).unwrap_or_default();
        let length = length_to_quote(body, '\'', true, true);
        self.read(Kind::String, length + 2)
    }

    /// `$1`, `$$…$$`, `$tag$…$tag$`, or a lonely `$`.
    fn read_dollar(&mut self) -> Token<'a> {
        let body = self.rest.get(1..).unwrap_or_default();
        match body.chars().next() {
            Some(c) if c.is_numeric() => {
                let length = length_while(body, char::is_numeric);
                self.read(Kind::Other, 1 + length)
            }
            Some(c) if c == '$' || c == '_' || c.is_alphabetic() => self.read_dollar_quoted(),
            _ => self.read(Kind::Other, 1),
        }
    }

    fn read_dollar_quoted(&mut self) -> Token<'a> {
        for (position, c) in self.rest.char_indices().skip(1) {
            if c.is_whitespace() {
                return self.read(Kind::Other, position);
            }
            if c == '$' && self.unended_quotes < UNENDED_QUOTES {
                let (tag, rest) = self.rest.split_at_checked(position + 1).unwrap_or((self.rest, ""));
                if let Some(end) = memchr::memmem::find(rest.as_bytes(), tag.as_bytes()) {
                    return self.read(Kind::String, tag.len() + end + tag.len());
                }
                self.unended_quotes += 1;
            }
        }
        self.read(Kind::Other, self.rest.len())
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start();
        let mut characters = self.rest.chars();
        let first = characters.next()?;
        let second = characters.next();
        Some(match (first, second) {
            ('_', _) => self.read_word(),
            (c, _) if c.is_alphabetic() => self.read_word(),
            (c, _) if c.is_ascii_digit() => self.read(Kind::Number, number_length(self.rest)),
            ('\'', _) => self.read_string(),
            ('"', _) => self.read_quoted('"'),
            ('[', _) => self.read_quoted(']'),
            ('`', _) => self.read_quoted('`'),
            ('(', _) => self.read(Kind::LeftParenthesis, 1),
            (')', _) => self.read(Kind::RightParenthesis, 1),
            ('.', _) => self.read(Kind::Period, 1),
            ('-', Some('-')) | ('/', Some('/')) => self.read(Kind::Comment, length_while(self.rest, |c| c != '\n')),
            ('/', Some('*')) => self.read(Kind::Comment, comment_length(self.rest)),
            ('$', _) => self.read_dollar(),
            (c, _) => self.read(Kind::Other, c.len_utf8()),
        })
    }
}

/// Bytes of the leading characters that pass `test`.
fn length_while(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

/// Bytes before the closing quote, or to the end of the text.
fn length_to_quote(text: &str, close: char, doubled: bool, backslash: bool) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((position, c)) = characters.next() {
        if c == close {
            if !doubled || characters.next_if(|&(_, next)| next == close).is_none() {
                return position;
            }
        } else if backslash && c == '\\' {
            characters.next();
        }
    }
    text.len()
}

/// Digits with at most one period and one exponent.
fn number_length(text: &str) -> usize {
    let mut period = false;
    let mut exponent = false;
    let mut characters = text.char_indices().peekable();
    while let Some((position, c)) = characters.next() {
        match c {
            '0'..='9' => {}
            '.' if !period && !exponent => period = true,
            'e' | 'E' if !exponent => {
                exponent = true;
                characters.next_if(|&(_, sign)| sign == '+' || sign == '-');
            }
            _ => return position,
        }
    }
    text.len()
}

/// A `/*` comment with those inside it, or to the end of the text.
fn comment_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut position = 0;
    while let Some(pair) = bytes.get(position..position + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                position += 1;
                continue;
            }
        }
        position += 2;
        if depth == 0 {
            return position;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Example {
        name: String,
        input: String,
        #[serde(default)]
        tokens: Vec<Expected>,
    }

    #[derive(serde::Deserialize)]
    struct Expected {
        kind: String,
        text: String,
    }

    fn name(kind: Kind) -> String {
        match kind {
            Kind::Identifier => "IDENT".to_owned(),
            Kind::LeftParenthesis => "LPAREN".to_owned(),
            Kind::RightParenthesis => "RPAREN".to_owned(),
            other => format!("{other:?}").to_uppercase(),
        }
    }

    #[test]
    fn follows_the_vectors() {
        let text = include_str!("../../../tests/data/json-specs/sql_token_examples.json");
        let examples: Vec<Example> = serde_json::from_str(text).expect("valid vectors");
        assert!(examples.len() >= 13, "vectors are missing");
        for example in examples {
            let read: Vec<_> = Tokens::new(&example.input).map(|t| (name(t.kind), t.text.to_owned())).collect();
            let expected: Vec<_> = example.tokens.into_iter().map(|t| (t.kind, t.text)).collect();
            assert_eq!(read, expected, "{}", example.name);
        }
    }

    #[test]
    fn reads_to_the_end_what_is_not_ended() {
        for input in ["'abc", "/* /* */", "'a\\", "$$ab", "1e"] {
            assert_eq!(Tokens::new(input).map(|t| t.text).collect::<String>(), input);
        }
        assert_eq!(Tokens::new("\"abc").next(), Some(Token { kind: Kind::Identifier, text: "abc" }));
    }
}
