//! Just enough of Rust's lexer to tell code from comments and literals, and to read paths out of it.

/// A word or one character of punctuation (`::` counts as one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// The code of a file: no comments, no literals.
pub(super) fn read(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let c = at(i);
        let start = i;
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            i = end_of_block_comment(&chars, i);
        } else if c == '"' {
            i = end_of_string(&chars, i);
        } else if let Some(end) = end_of_raw_string(&chars, i) {
            i = end;
        } else if (c == 'b' || c == 'c') && matches!(at(i + 1), '"' | '\'') {
            i += 1;
        } else if c == '\'' {
            i = end_of_quote(&chars, i);
        } else if c.is_alphanumeric() || c == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            tokens.push(Token { text: chars[start..i].iter().collect(), line });
        } else {
            i += if c == ':' && at(i + 1) == ':' { 2 } else { 1 };
            if !c.is_whitespace() {
                tokens.push(Token { text: chars[start..i].iter().collect(), line });
            }
        }
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// `r"…"`, `r#"…"#`, `br"…"`; none if no raw string starts here.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let mut i = start + usize::from(chars[start] == 'b');
    if chars.get(i) != Some(&'r') {
        return None;
    }
    i += 1;
    let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
    i += hashes;
    if chars.get(i) != Some(&'"') {
        return None;
    }
    i += 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

/// A character literal, or only the tick of a lifetime.
fn end_of_quote(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            let mut i = start + 3;
            while i < chars.len() && chars[i] != '\'' {
                i += 1;
            }
            (i + 1).min(chars.len())
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start + 1,
    }
}

/// The code without what only tests compile: items under `#[cfg(test)]`.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i..].iter().map(|token| token.text.as_str()).take(marker.len()).eq(marker) {
            i = end_of_item(tokens, i + marker.len());
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

/// An item ends with its block, or with a semicolon outside of any bracket.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path that the code names, with its line: inline ones, and each leaf of each `use` tree; names that a `use`
/// brought in are written out.
pub(super) fn paths(tokens: &[Token]) -> Vec<(String, usize)> {
    let (mut found, mut imported, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i].text == "use" {
            let mut leaves = Vec::new();
            i = use_tree(tokens, i + 1, "", &mut leaves);
            for (path, name, line) in leaves {
                imported.push((name, path.clone()));
                found.push((path, line));
            }
        } else if is_word(&tokens[i].text) {
            let (path, line) = (tokens[i].text.clone(), tokens[i].line);
            let (path, end) = rest_of_path(tokens, i + 1, path);
            found.push((path, line));
            i = end;
        } else {
            i += 1;
        }
    }
    for (path, _) in &mut found {
        let (head, tail) = path.split_once("::").unwrap_or((path.as_str(), ""));
        if let Some((_, full)) = imported.iter().find(|(name, _)| name == head) {
            *path = if tail.is_empty() { full.clone() } else { format!("{full}::{tail}") };
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn rest_of_path(tokens: &[Token], start: usize, mut path: String) -> (String, usize) {
    let mut i = start;
    while let [colons, word, ..] = &tokens[i.min(tokens.len())..]
        && colons.text == "::"
        && is_word(&word.text)
    {
        path = format!("{path}::{}", word.text);
        i += 2;
    }
    (path, i)
}

/// Reads one `use` tree from `i`; pushes (path, local name, line) per leaf; returns where it ends.
fn use_tree(tokens: &[Token], mut i: usize, prefix: &str, leaves: &mut Vec<(String, String, usize)>) -> usize {
    let join = |word: &str| if prefix.is_empty() { word.to_owned() } else { format!("{prefix}::{word}") };
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            "::" => i += 1,
            "{" => {
                i += 1;
                while let Some(token) = tokens.get(i)
                    && token.text != "}"
                {
                    i = if token.text == "," { i + 1 } else { use_tree(tokens, i, prefix, leaves).max(i + 1) };
                }
                return i + 1;
            }
            "*" => {
                leaves.push((prefix.to_owned(), "*".into(), token.line));
                return i + 1;
            }
            word if is_word(word) => {
                let next = tokens.get(i + 1).map_or("", |token| token.text.as_str());
                if next == "::" {
                    return use_tree(tokens, i + 2, &join(word), leaves);
                }
                let path = if word == "self" { prefix.to_owned() } else { join(word) };
                let (name, end) = match tokens.get(i + 2) {
                    Some(alias) if next == "as" => (alias.text.clone(), i + 3),
                    _ => (path.rsplit("::").next().unwrap_or_default().to_owned(), i + 1),
                };
                leaves.push((path, name, token.line));
                return end;
            }
            _ => return i,
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        read(source).into_iter().map(|token| token.text).collect()
    }

    fn named(source: &str) -> Vec<String> {
        paths(&read(source)).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(words("a // tokio\n/* b /* c */ d */ e"), ["a", "e"]);
        assert_eq!(words(r##"f("x\"y", r#"a"b"#, b'\'', 'z', "")"##), ["f", "(", ",", ",", ",", ",", ")"]);
        assert_eq!(words("fn f<'a>(x: &'a str)"), ["fn", "f", "<", "a", ">", "(", "x", ":", "&", "a", "str", ")"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let tokens = read("/* 1\n2 */ a\n\"x\ny\" b");
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn use_trees_and_imported_names_are_written_out() {
        let source =
            "use std::{fs::{self, File as F}, time::Instant}; fn f() { fs::read(); F::open(); Instant::now() }";
        let found = named(source);
        for path in ["std::fs", "std::fs::File", "std::time::Instant", "std::fs::read", "std::fs::File::open"] {
            assert!(found.iter().any(|one| one == path), "{path} is not in {found:?}");
        }
        assert!(found.iter().any(|one| one == "std::time::Instant::now"));
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let source = "a; #[cfg(test)] mod tests { fn f() { b } } #[cfg(test)] mod more; c";
        let kept: Vec<String> = without_tests(&read(source)).into_iter().map(|token| token.text).collect();
        assert_eq!(kept, ["a", ";", "c"]);
    }
}
