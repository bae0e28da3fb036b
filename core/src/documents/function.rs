//! The function of `POST /indexes/{uid}/documents/edit`: a [Rhai](https://rhai.rs) script that sees a document as `doc`
//! and changes it. It must neither see nor change the shard tag.

use crate::error::{ApiError, not_supported};
use crate::tag::TAG_FIELD;

/// Lines that are put before the client's own.
const LINES_BEFORE: usize = 1;

/// The script that the nodes run: the client's, without the tag in `doc` while it runs.
///
/// # Errors
/// `miroir_not_supported` for one that may end before its end, and so without giving the tag back.
pub fn guarded(function: &str) -> Result<String, ApiError> {
    if let Some(word) = early_end(function) {
        return Err(not_supported(format!(
            "The function can't use `{word}` outside of a `fn`: put what follows it into an `if` instead."
        )));
    }
    Ok(format!(
        "const MIROIR_TAG = doc.remove(\"{TAG_FIELD}\");\n{function}\n;\nif type_of(doc) == \"map\" {{ doc.{TAG_FIELD} = MIROIR_TAG; }}"
    ))
}

/// The word by which a script may end before its end: `exit` anywhere, `return` outside of a `fn`.
fn early_end(function: &str) -> Option<&'static str> {
    let mut depth = 0usize;
    // How deep the brackets were outside of the `fn` that this is in, and whether its body has begun.
    let mut in_fn: Option<(usize, bool)> = None;
    for token in Tokens(function) {
        match token {
            "{" => {
                depth += 1;
                in_fn = in_fn.map(|(outside, _)| (outside, true));
            }
            "}" => {
                depth = depth.saturating_sub(1);
                in_fn = in_fn.filter(|&(outside, begun)| !begun || depth > outside);
            }
            "fn" if in_fn.is_none() => in_fn = Some((depth, false)),
            "exit" => return Some("exit"),
            "return" if in_fn.is_none() => return Some("return"),
            _ => {}
        }
    }
    None
}

/// The words and brackets of a script that are in no string and no comment.
struct Tokens<'t>(&'t str);

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let rest = self.0;
            let first = rest.chars().next()?;
            let length = match first {
                '"' | '\'' => string(rest, first),
                // What stands in an interpolated string runs too: its words are looked at as well.
                '`' => 1,
                '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => comment(rest),
                '#' => raw_string(rest).unwrap_or(1),
                '{' | '}' => {
                    let (token, after) = rest.split_at(1);
                    self.0 = after;
                    return Some(token);
                }
                _ if is_word(first) => {
                    let (token, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
                    self.0 = after;
                    return Some(token);
                }
                other => other.len_utf8(),
            };
            self.0 = rest.get(length..).unwrap_or_default();
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// How long the string literal is that begins here.
fn string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long the raw string is that begins here: `#"…"#`, with as many `#` at its end as at its beginning.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let inner = text.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inner.find(&end).map_or(text.len(), |at| hashes + 1 + at + end.len()))
}

/// How long the block comment is that begins here; such comments nest.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = match rest {
            _ if rest.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if rest.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += length;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// A message with the places in a [`guarded`] script, as `(line 3, position 5)`, as places in the client's own.
pub fn in_clients_lines(message: &str) -> String {
    const MARK: &str = "(line ";
    let mut shown = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(found) = rest.find(MARK) {
        let (before, after) = rest.split_at(found + MARK.len());
        shown.push_str(before);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (line, after) = after.split_at(digits);
        match line.parse::<usize>() {
            Ok(number) => shown.push_str(&number.saturating_sub(LINES_BEFORE).max(1).to_string()),
            Err(_) => shown.push_str(line),
        }
        rest = after;
    }
    shown + rest
}

/// The same with an error as a node answers it; anything else stays.
pub fn in_clients_lines_of_json(body: Vec<u8>) -> Vec<u8> {
    match serde_json::from_slice::<ApiError>(&body) {
        Ok(error) => ApiError { message: in_clients_lines(&error.message), ..error }.to_json(),
        Err(_) => body,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_tag_is_away_while_the_function_runs() {
        let script = guarded("doc.title = 1").unwrap();
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines[0], "const MIROIR_TAG = doc.remove(\"_miroir_shard\");");
        assert_eq!(lines[LINES_BEFORE], "doc.title = 1");
        assert!(lines[3].ends_with("{ doc._miroir_shard = MIROIR_TAG; }"));
    }

    #[test]
    fn a_function_that_may_end_early_is_refused() {
        for function in [
            "if doc.x == () { return; } doc.x = 1",
            "exit()",
            "fn f(x) { exit(x) } f(1)",
            "fn f(x) { if x { 1 } else { 2 } } return",
            "doc.x = `a ${return 1}`;",
            "/* /* */ */ return;",
            "let s = #\"\"\"#; return",
        ] {
            assert!(guarded(function).is_err(), "{function}");
        }
        for function in [
            "fn f(x) { if x { return 1; } return 2; } doc.x = f(true);",
            "doc.returned = \"return\"; doc.y = 'r'; // return",
            "doc.x = \"\\\" return\"; /* return /* */ exit */",
            "doc.x = #\"return \" exit\"#;",
            "doc.exits = 1",
        ] {
            assert!(guarded(function).is_ok(), "{function}");
        }
    }

    #[test]
    fn places_are_those_of_the_clients_lines() {
        let message = "Syntax error: x (line 2, position 5) in call (line 13, position 1) (line x";
        assert_eq!(
            in_clients_lines(message),
            "Syntax error: x (line 1, position 5) in call (line 12, position 1) (line x"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\"'`#/*{}\\\\a (é]{0,30}|\\PC{0,30}") {
            let _ = guarded(&text);
            let _ = in_clients_lines(&text);
        }
    }
}
