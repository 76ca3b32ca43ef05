//! The source files, split into words apart from comments and strings, and the paths found in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One file, with its path from `src/` and forward slashes on every platform.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) tokens: Vec<Token>,
    /// The text of the comments on each line that has any.
    comments: BTreeMap<usize, String>,
    pub(crate) lines: usize,
}

/// A word, or one character of punctuation; `::` is one token, a string or character literal is the token `""`.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Reads all of `src/`.
pub(crate) fn sources() -> Vec<Source> {
    fn visit(root: &Path, folder: PathBuf, found: &mut Vec<Source>) {
        for entry in fs::read_dir(&folder).expect("a folder of src/ can be listed") {
            let path = entry.expect("a folder of src/ can be listed").path();
            if path.is_dir() {
                visit(root, path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file can be read");
                let inside = path.strip_prefix(root).expect("it was found there");
                found.push(Source::new(&inside.to_string_lossy().replace('\\', "/"), &text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, root.clone(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        found.iter().any(|source| source.path == "lib.rs"),
        "src/ was not found"
    );
    found
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let mut reader = Reader {
            chars: text.chars().collect(),
            at: 0,
            line: 1,
            tokens: Vec::new(),
            comments: BTreeMap::new(),
        };
        reader.read();
        let Reader { tokens, comments, .. } = reader;
        Source {
            path: path.into(),
            tokens,
            comments,
            lines: text.lines().count(),
        }
    }

    /// The module's path: `slab/mod.rs` is `[slab]`, `slab/word.rs` is `[slab, word]`, `lib.rs` is `[lib]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        path.strip_suffix("/mod")
            .unwrap_or(path)
            .split('/')
            .map(String::from)
            .collect()
    }

    pub(crate) fn lines_of(&self, word: &'static str) -> impl Iterator<Item = usize> {
        self.tokens
            .iter()
            .filter(move |token| token.text == word)
            .map(|token| token.line)
    }

    /// Whether the tokens of `code` stand in this file in a row.
    pub(crate) fn contains(&self, code: &str) -> bool {
        let wanted = Source::new("", code).tokens;
        let mut rows = self.tokens.windows(wanted.len());
        rows.any(|row| row.iter().zip(&wanted).all(|(have, want)| have.text == want.text))
    }

    /// Looks for a comment with `text`, on `line` or with less than `distance_max` lines between. Lines that hold
    /// nothing but a comment do not count as distance, so that a long reason is as good as a short one.
    pub(crate) fn has_comment_above(&self, text: &str, line: usize, distance_max: usize) -> bool {
        let with_code: BTreeSet<usize> = self.tokens.iter().map(|token| token.line).collect();
        let mut distance = 0;
        for line in (1..=line).rev() {
            match self.comments.get(&line) {
                Some(comment) if comment.contains(text) => return true,
                Some(_) if !with_code.contains(&line) => {}
                _ => distance += 1,
            }
            // The line looked up from is one of those counted.
            if distance > distance_max {
                break;
            }
        }
        false
    }

    /// The names that the file takes directly from the crate's root, by `crate::` or by enough `super::`.
    pub(crate) fn root_names(&self) -> Vec<(String, usize)> {
        self.names_of(&[])
    }

    /// The names that the file takes directly from this module, by a path from the root or by `super::`.
    pub(crate) fn names_of(&self, place: &[&str]) -> Vec<(String, usize)> {
        let mut module = self.module();
        let mut inline_modules = Vec::new();
        let mut depth = 0;
        let mut names = Vec::new();
        // Up to where a path, with its groups, has been followed already.
        let mut followed = 0;
        for at in 0..self.tokens.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inline_modules.pop_if(|open: &mut usize| *open == depth).is_some() {
                        module.pop();
                    }
                }
                "mod" if self.text(at + 2) == "{" => {
                    inline_modules.push(depth);
                    module.push(self.text(at + 1).into());
                }
                "crate" if at >= followed && self.text(at + 1) == "::" => {
                    followed = self.follow(at + 2, &mut Vec::new(), place, &mut names);
                }
                "super" if at >= followed => {
                    followed = self.follow(at, &mut module.clone(), place, &mut names)
                }
                _ => {}
            }
        }
        names
    }

    /// Follows the path at token `at`, in module `from`, as far as `place`; returns where it ends.
    fn follow(
        &self,
        mut at: usize,
        from: &mut Vec<String>,
        place: &[&str],
        names: &mut Vec<(String, usize)>,
    ) -> usize {
        match self.text(at) {
            "super" if self.text(at + 1) == "::" => {
                from.pop();
                self.follow(at + 2, from, place, names)
            }
            "{" => {
                at += 1;
                while !["}", ""].contains(&self.text(at)) {
                    at = self.follow(at, &mut from.clone(), place, names).max(at + 1);
                    // What follows the name of a member is no business of the place's.
                    let mut nested = 0;
                    while !self.text(at).is_empty() && (nested > 0 || ![",", "}"].contains(&self.text(at))) {
                        nested += i32::from(self.text(at) == "{") - i32::from(self.text(at) == "}");
                        at += 1;
                    }
                    at += usize::from(self.text(at) == ",");
                }
                at + 1
            }
            // On the way to the place.
            name if self.text(at + 1) == "::"
                && place.get(from.len()) == Some(&name)
                && place.starts_with(&strs(from)) =>
            {
                from.push(name.into());
                self.follow(at + 2, from, place, names)
            }
            name => {
                if *from == *place && !["super", "self", ""].contains(&name) {
                    names.push((name.into(), self.tokens[at].line));
                }
                at + 1
            }
        }
    }

    /// The text of a token, empty past the end.
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

/// Splits a text into tokens and comments.
struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: BTreeMap<usize, String>,
}

impl Reader {
    fn read(&mut self) {
        while let Some(char) = self.peek(0) {
            match char {
                '/' if self.peek(1) == Some('/') => self.line_comment(),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                '\'' => self.character_or_lifetime(),
                ':' if self.peek(1) == Some(':') => {
                    self.push("::".into());
                    self.at += 2;
                }
                _ if is_word(char) => self.word(),
                _ => {
                    if !char.is_whitespace() {
                        self.push(char.into());
                    }
                    self.step();
                }
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        self.line += usize::from(self.peek(0) == Some('\n'));
        self.at += 1;
    }

    fn push(&mut self, text: String) {
        self.tokens.push(Token {
            text,
            line: self.line,
        });
    }

    fn comment(&mut self) {
        if let Some(char) = self.peek(0).filter(|char| *char != '\n') {
            self.comments.entry(self.line).or_default().push(char);
        }
        self.step();
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|char| char != '\n') {
            self.comment();
        }
    }

    fn block_comment(&mut self) {
        let mut nested = 0;
        while self.at < self.chars.len() {
            let change = match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => 1,
                (Some('*'), Some('/')) => -1,
                _ => 0,
            };
            nested += change;
            if change != 0 {
                self.comment();
            }
            self.comment();
            if nested == 0 {
                break;
            }
        }
    }

    fn string(&mut self) {
        self.push("\"\"".into());
        self.step();
        while let Some(char) = self.peek(0) {
            if char == '\\' {
                self.step();
            }
            self.step();
            if char == '"' {
                break;
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        self.push("\"\"".into());
        self.at += hashes + 1;
        while self.at < self.chars.len() {
            let ends = self.peek(0) == Some('"') && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            self.step();
            if ends {
                self.at += hashes;
                break;
            }
        }
    }

    fn character_or_lifetime(&mut self) {
        let is_character = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.step();
        if is_character {
            self.push("\"\"".into());
            // The first character may itself be a quote, or a backslash before one.
            let first = self.peek(0);
            self.step();
            if first == Some('\\') {
                self.step();
            }
            while self.peek(0).is_some_and(|char| char != '\'') {
                self.step();
            }
            self.step();
        }
    }

    fn word(&mut self) {
        let rest = &self.chars[self.at..];
        let word: String = rest.iter().take_while(|char| is_word(**char)).collect();
        self.at += word.chars().count();
        let hashes = self.chars[self.at..]
            .iter()
            .take_while(|char| **char == '#')
            .count();
        let is_prefix = ["r", "br", "cr"].contains(&word.as_str());
        if is_prefix && self.peek(hashes) == Some('"') {
            self.raw_string(hashes);
        } else if word == "r" && hashes == 1 && self.peek(1).is_some_and(is_word) {
            self.at += 1;
            self.word();
        } else {
            // The `b` of `b"…"` stays as a word of its own, and harms nobody.
            self.push(word);
        }
    }
}

fn strs(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn is_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}
