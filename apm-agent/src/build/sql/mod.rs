//! Name of a SQL statement's span: Elastic's "SQL signature", `SELECT FROM products`.
//!
//! Source: the signature algorithm all Elastic agents share, held by their test vectors
//! (`tests/data/json-specs/sql_signature_examples.json`). It is not a SQL parser: it reads tokens until it has a
//! verb and a table, and falls back to the first word of the text. A statement that was cut is read as far as it goes.

mod token;

use token::{Kind, Token, Tokens};

/// Signature of a statement. Never fails: an empty text gives an empty signature. Time is linear in the text's length.
pub fn signature(statement: &str) -> String {
    let mut tokens = Significant(Tokens::new(statement));
    let found = tokens.next().and_then(|first| match first.kind {
        Kind::Call => read_call(&mut tokens),
        Kind::Delete => read_table_after(&mut tokens, Kind::From, "DELETE FROM"),
        Kind::Insert | Kind::Replace => {
            let verb = format!("{} INTO", first.text);
            read_table_after(&mut tokens, Kind::Into, &verb)
        }
        Kind::Select => read_select(&mut tokens),
        Kind::Update => Some(read_update(&mut tokens)),
        _ => None,
    });
    found.unwrap_or_else(|| first_word(statement))
}

/// First word of the whole text in upper case; that of a leading comment counts.
fn first_word(statement: &str) -> String {
    statement.split_whitespace().next().unwrap_or_default().to_uppercase()
}

/// Tokens without comments.
struct Significant<'a>(Tokens<'a>);

impl<'a> Iterator for Significant<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.0.find(|token| token.kind != Kind::Comment)
    }
}

impl<'a> Significant<'a> {
    /// Text of the next token, if it is an identifier.
    fn read_identifier(&mut self) -> Option<&'a str> {
        self.next().filter(|token| token.kind == Kind::Identifier).map(|token| token.text)
    }

    /// An identifier followed by any number of periods with identifiers.
    fn read_name(&mut self) -> Option<String> {
        let mut name = self.read_identifier()?.to_owned();
        while self.next().is_some_and(|token| token.kind == Kind::Period) {
            let Some(part) = self.read_identifier() else { break };
            name.push('.');
            name.push_str(part);
        }
        Some(name)
    }
}

fn read_call(tokens: &mut Significant<'_>) -> Option<String> {
    let procedure = tokens.find(|token| token.kind == Kind::Identifier)?;
    Some(format!("CALL {}", procedure.text))
}

fn read_table_after(tokens: &mut Significant<'_>, keyword: Kind, verb: &str) -> Option<String> {
    tokens.find(|token| token.kind == keyword)?;
    Some(format!("{verb} {}", tokens.read_name()?))
}

/// The first table of the outermost query; sub-queries are passed over.
fn read_select(tokens: &mut Significant<'_>) -> Option<String> {
    let mut level = 0_i64;
    while let Some(token) = tokens.next() {
        match token.kind {
            Kind::LeftParenthesis => level += 1,
            Kind::RightParenthesis => level -= 1,
            Kind::From if level == 0 => return Some(format!("SELECT FROM {}", tokens.read_name()?)),
            _ => {}
        }
    }
    None
}

/// `UPDATE [option words] name`: the last identifier before a period or any other token begins the name.
fn read_update(tokens: &mut Significant<'_>) -> String {
    let Some(mut name) = tokens.read_identifier().map(str::to_owned) else {
        return "UPDATE".to_owned();
    };
    let mut dotted = false;
    let mut after_period = false;
    for token in tokens {
        match token.kind {
            Kind::Identifier if !dotted => name.replace_range(.., token.text),
            Kind::Identifier if after_period => name.push_str(token.text),
            Kind::Identifier => {}
            Kind::Period => {
                dotted = true;
                name.push('.');
            }
            _ => break,
        }
        after_period = token.kind == Kind::Period;
    }
    format!("UPDATE {name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Example {
        input: String,
        output: String,
    }

    #[test]
    fn follows_the_vectors() {
        let text = include_str!("../../../tests/data/json-specs/sql_signature_examples.json");
        let examples: Vec<Example> = serde_json::from_str(text).expect("valid vectors");
        assert!(examples.len() >= 34, "vectors are missing");
        for example in examples {
            assert_eq!(signature(&example.input), example.output, "{:?}", example.input);
        }
    }

    #[test]
    fn reads_more_than_the_vectors_show() {
        for (input, output) in [
            ("select 1", "SELECT"),
            ("select * from t", "SELECT FROM t"),
            ("replace INTO a.b VALUES (1)", "replace INTO a.b"),
            ("/* hint */ SELECT * FROM t", "SELECT FROM t"),
            ("/* hint */ VACUUM t", "/*"),
            ("SELECT f(a) FROM ONLY.x", "SELECT FROM ONLY.x"),
            ("SELECT $1, $$ FROM hidden $$ FROM seen", "SELECT FROM seen"),
            ("SELECT E'\\' FROM hidden' FROM seen", "SELECT FROM seen"),
            ("UPDATE a.b c SET x = 1", "UPDATE a.b"),
            ("UPDATE", "UPDATE"),
            ("CALL 1 + proc(2)", "CALL proc"),
            ("DELETE LOW_PRIORITY FROM a . b", "DELETE FROM a.b"),
            ("SELECT * FROM a.table", "SELECT FROM a"),
            ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH"),
            (";;;", ";;;"),
        ] {
            assert_eq!(signature(input), output, "{input:?}");
        }
    }

    #[test]
    fn reads_a_cut_statement_as_far_as_it_goes() {
        let long = format!("SELECT {} FROM products WHERE name = 'x", "a, ".repeat(2_000));
        let cut: String = long.chars().take(10_000).collect();
        assert_eq!(signature(&cut), "SELECT FROM products");
        let inside: String = long.chars().take(3_000).collect();
        assert_eq!(signature(&inside), "SELECT");
    }

    #[test]
    fn takes_linear_time_on_hostile_text() {
        // Each tag has no end, so each would be looked for in the whole rest.
        let tags: String = (0..200_000).map(|number| format!("$t{number}$ ")).collect();
        let begun = std::time::Instant::now();
        assert_eq!(signature(&format!("SELECT {tags} FROM t")), "SELECT FROM t");
        assert_eq!(signature(&format!("SELECT {} FROM t", "/*".repeat(500_000))), "SELECT");
        assert_eq!(signature(&format!("SELECT {} FROM t", "$a".repeat(500_000))), "SELECT FROM t");
        // Quadratic time would be minutes in a debug build.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn never_panics(statement in any::<String>()) {
            signature(&statement);
        }

        #[test]
        fn never_panics_on_pieces_of_sql(pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "SELECT", "FROM", "UPDATE ", "INSERT INTO", " ", ".", "(", ")", "$", "$a$", "'", "\"", "[", "`", "/*",
                "*/", "--", "\n", "\\", "1e", "1.", "ä", "_", "CALL", "DELETE",
            ]), 0..40))
        {
            let statement: String = pieces.concat();
            let whole = signature(&statement);
            prop_assert!(whole.len() <= statement.len() * 2 + 16);
        }
    }
}
