//! Values of a JavaScript, TypeScript or JSON configuration, read without running it.
//!
//! Only what stands there literally is known: `key: "text"`, `key: process.env.NAME`, `key: env("NAME")`. Everything
//! else is *computed*, and whoever needs it says so instead of guessing.

/// A value of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A literal string.
    Text(String),
    /// A literal `true` or `false`.
    Bool(bool),
    /// The value of an environment variable, with the literal that is taken without it.
    Variable(String, Option<String>),
    /// An object; its members are listed by their own paths.
    Object,
    /// Anything that only running the code tells.
    Computed,
}

/// The members of the exported object, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigText {
    members: Vec<(Vec<String>, Value)>,
    /// The object was not found, or is built of another one: what is absent may still be set.
    partial: bool,
}

impl ConfigText {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let Some(start) = exported(&tokens) else { return Self { members: Vec::new(), partial: true } };
        let mut read = Self::default();
        read.object(&tokens, start, &mut Vec::new());
        read
    }

    /// A value; `None` where it is certainly not set.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let found = self.members.iter().rev().find(|(one, _)| one.iter().map(String::as_str).eq(path.iter().copied()));
        let outer = || path.split_last().filter(|(_, outer)| !outer.is_empty()).and_then(|(_, outer)| self.get(outer));
        match found {
            Some((_, value)) => Some(value),
            None if self.partial => Some(&Value::Computed),
            None => outer().filter(|value| **value == Value::Computed),
        }
    }

    /// Reads the members of the object whose brace is at `at`; gives the place after it.
    fn object(&mut self, tokens: &[Token], mut at: usize, path: &mut Vec<String>) -> usize {
        at += 1;
        loop {
            match tokens.get(at) {
                None | Some(Token::Sign('}')) => return at + 1,
                Some(Token::Sign(',')) => at += 1,
                Some(Token::Word(key) | Token::Text(key)) if tokens.get(at + 1) == Some(&Token::Sign(':')) => {
                    path.push(key.clone());
                    at = self.value(tokens, at + 2, path);
                    path.pop();
                }
                Some(Token::Word(key)) if matches!(tokens.get(at + 1), Some(Token::Sign(',' | '}'))) => {
                    // The short form takes a variable of the same name.
                    path.push(key.clone());
                    self.members.push((path.clone(), Value::Computed));
                    path.pop();
                    at += 1;
                }
                Some(Token::Word(key)) if tokens.get(at + 1) == Some(&Token::Sign('(')) => {
                    path.push(key.clone());
                    self.members.push((path.clone(), Value::Computed));
                    path.pop();
                    at = end_of_value(tokens, at);
                    // A method's body follows its arguments.
                    if tokens.get(at) == Some(&Token::Sign('{')) {
                        at = after_bracket(tokens, at);
                    }
                }
                Some(_) => {
                    // A spread or a computed key.
                    self.partial = true;
                    at = end_of_value(tokens, at).max(at + 1);
                }
            }
        }
    }

    fn value(&mut self, tokens: &[Token], at: usize, path: &mut Vec<String>) -> usize {
        if tokens.get(at) == Some(&Token::Sign('{')) {
            let end = after_bracket(tokens, at);
            if ends(tokens.get(end)) {
                self.members.push((path.clone(), Value::Object));
                return self.object(tokens, at, path);
            }
        }
        let end = end_of_value(tokens, at);
        self.members.push((path.clone(), simple(&tokens[at..end])));
        end
    }
}

/// A value of a few tokens.
fn simple(tokens: &[Token]) -> Value {
    let mut tokens = tokens;
    // `x!`, `x as string` and `x satisfies T` say nothing at run time.
    if let Some(at) =
        tokens.iter().position(|token| matches!(token, Token::Word(word) if word == "as" || word == "satisfies"))
    {
        tokens = &tokens[..at];
    }
    while let Some((Token::Sign('!'), rest)) = tokens.split_last() {
        tokens = rest;
    }
    match tokens {
        [Token::Text(text)] => Value::Text(text.clone()),
        [Token::Word(word)] if word == "true" || word == "false" => Value::Bool(word == "true"),
        [Token::Word(process), Token::Sign('.'), Token::Word(env), rest @ ..]
            if process == "process" && env == "env" =>
        {
            variable(rest)
        }
        [Token::Word(function), Token::Sign('('), Token::Text(name), Token::Sign(')')] if function == "env" => {
            Value::Variable(name.clone(), None)
        }
        [Token::Word(path), Token::Sign('.'), Token::Word(join), Token::Sign('('), parts @ .., Token::Sign(')')]
            if path == "path" && join == "join" =>
        {
            joined(parts).map_or(Value::Computed, Value::Text)
        }
        _ => Value::Computed,
    }
}

/// `path.join` of literals.
fn joined(tokens: &[Token]) -> Option<String> {
    let part = |one: &[Token]| match one {
        [Token::Text(text)] => Some(text.clone()),
        _ => None,
    };
    let parts: Option<Vec<String>> = tokens.split(|token| *token == Token::Sign(',')).map(part).collect();
    Some(parts?.join("/"))
}

/// What follows `process.env`.
fn variable(tokens: &[Token]) -> Value {
    let (name, mut rest) = match tokens {
        [Token::Sign('.'), Token::Word(name), rest @ ..]
        | [Token::Sign('['), Token::Text(name), Token::Sign(']'), rest @ ..] => (name.clone(), rest),
        _ => return Value::Computed,
    };
    if let [Token::Sign('!'), after @ ..] = rest {
        rest = after;
    }
    match rest {
        [] => Value::Variable(name, None),
        [Token::Sign(one), Token::Sign(other), Token::Text(text)]
            if matches!((one, other), ('?', '?') | ('|', '|')) =>
        {
            Value::Variable(name, Some(text.clone()))
        }
        _ => Value::Computed,
    }
}

fn ends(token: Option<&Token>) -> bool {
    matches!(token, None | Some(Token::Sign(',' | '}' | ')' | ';' | ']')))
}

/// The place after a value: at the comma or the bracket that ends it.
fn end_of_value(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Sign('{' | '(' | '[') => at = after_bracket(tokens, at),
            Token::Sign(',' | '}' | ')' | ']') => break,
            _ => at += 1,
        }
    }
    at
}

/// The place after the bracket that closes the one at `at`.
fn after_bracket(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Sign('{' | '(' | '[') => depth += 1,
            Token::Sign('}' | ')' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The place of the exported object's brace.
fn exported(tokens: &[Token]) -> Option<usize> {
    let word = |at: usize, text: &str| matches!(tokens.get(at), Some(Token::Word(word)) if word == text);
    if tokens.first() == Some(&Token::Sign('{')) {
        return Some(0);
    }
    let places = 0..tokens.len();
    let default = places.clone().find(|at| word(*at, "export") && word(at + 1, "default")).map(|at| at + 2);
    let module = places
        .clone()
        .find(|at| word(*at, "module") && tokens.get(at + 1) == Some(&Token::Sign('.')) && word(at + 2, "exports"));
    // What is assigned to the exports besides may be anything.
    let again = places.clone().filter(|at| word(*at, "exports")).count() > usize::from(module.is_some());
    let mut at = default.or(module.map(|at| at + 4)).filter(|_| !again)?;
    // `export default config;`
    if let (Some(Token::Word(name)), true) =
        (tokens.get(at), matches!(tokens.get(at + 1), None | Some(Token::Sign(';'))))
    {
        let declared = |at: &usize| ["const", "let", "var"].iter().any(|one| word(*at, one)) && word(at + 1, name);
        let place = places.clone().find(declared)?;
        // Whoever names it anywhere else may change it there; a key is no such place.
        let named = |one: &usize| word(*one, name) && tokens.get(one + 1) != Some(&Token::Sign(':'));
        if places.clone().filter(named).any(|one| one != place + 1 && one != at) {
            return None;
        }
        at = (place..tokens.len()).find(|at| tokens[*at] == Token::Sign('='))? + 1;
    }
    // `defineConfig({`, or the object itself; a function that makes it is code.
    match (tokens.get(at), tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(Token::Sign('{')), ..) => Some(at),
        (Some(Token::Sign('(')), Some(Token::Sign('{')), _) => Some(at + 1),
        (Some(Token::Word(function)), Some(Token::Sign('(')), Some(Token::Sign('{')))
            if function == "defineConfig" && alone(tokens, at + 2) =>
        {
            Some(at + 2)
        }
        _ => None,
    }
}

/// Whether the object whose brace is at `at` is a function's only argument.
fn alone(tokens: &[Token], at: usize) -> bool {
    let end = after_bracket(tokens, at);
    match tokens.get(end) {
        Some(Token::Sign(',')) => tokens.get(end + 1) == Some(&Token::Sign(')')),
        // `} satisfies Config)`
        Some(Token::Sign(')') | Token::Word(_)) | None => true,
        Some(_) => false,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    /// A template with values in it, or a regular expression: no literal.
    Other,
    Sign(char),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("//") {
            rest = after.find('\n').map_or("", |end| &after[end..]);
        } else if let Some(after) = rest.strip_prefix("/*") {
            rest = after.find("*/").map_or("", |end| &after[end + 2..]);
        } else if matches!(first, '"' | '\'' | '`') {
            let (token, after) = string(&rest[1..], first);
            tokens.push(token);
            rest = after;
        } else if first.is_alphanumeric() || matches!(first, '_' | '$') {
            let end =
                rest.find(|sign: char| !(sign.is_alphanumeric() || matches!(sign, '_' | '$'))).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() && first != '\u{feff}' {
                tokens.push(Token::Sign(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

fn string(text: &str, quote: char) -> (Token, &str) {
    let mut value = String::new();
    let mut literal = true;
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'x' | 'u' | '0'..='9')) => literal = false,
                Some((_, '\n')) | None => {}
                Some((_, other)) => value.push(other),
            },
            '$' if quote == '`' && text[at..].starts_with("${") => literal = false,
            _ if sign == quote => {
                let token = if literal { Token::Text(value) } else { Token::Other };
                return (token, &text[at + sign.len_utf8()..]);
            }
            _ => value.push(sign),
        }
    }
    (Token::Other, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<Value> {
        Some(Value::Text(value.to_owned()))
    }

    #[test]
    fn literals_are_read_and_the_rest_is_computed() {
        let config = ConfigText::read(
            "import { defineConfig } from 'drizzle-kit';\nconst other = { out: 'wrong' };\n\
             export default defineConfig({\n  // out: 'commented',\n  out: './drizzle/migrations', /* x */\n  \
             dialect: \"postgresql\", schema: `./src/${name}.ts`, strict: true,\n  \
             dbCredentials: { url: process.env.DATABASE_URL!, ssl: { ca: read('x', {a: 1}) } },\n  \
             migrations: { table: 'journal', schema: process.env.S ?? \"ops\" },\n  place: path.join('a', \"b\"), tail, made() { return { out: 1 } }\n\
             } satisfies Config);\n",
        );
        assert_eq!(config.get(&["out"]).cloned(), text("./drizzle/migrations"));
        assert_eq!(config.get(&["schema"]), Some(&Value::Computed));
        assert_eq!(config.get(&["strict"]), Some(&Value::Bool(true)));
        let url = Value::Variable("DATABASE_URL".into(), None);
        assert_eq!(config.get(&["dbCredentials", "url"]), Some(&url));
        assert_eq!(config.get(&["migrations", "table"]).cloned(), text("journal"));
        let schema = Value::Variable("S".into(), Some("ops".into()));
        assert_eq!(config.get(&["migrations", "schema"]), Some(&schema));
        assert_eq!(config.get(&["place"]).cloned(), text("a/b"));
        assert_eq!(config.get(&["tail"]), Some(&Value::Computed));
        assert_eq!(config.get(&["made"]), Some(&Value::Computed));
        assert_eq!(config.get(&["absent"]), None);
        assert_eq!(config.get(&["dbCredentials", "absent"]), None);
    }

    #[test]
    fn the_exported_object_is_found_however_it_is_exported() {
        for config in [
            "module.exports = { out: 'x' }",
            "export default { out: 'x' } satisfies Config",
            "const config: Config = { out: 'x' };\nexport default config;",
            "{\"out\": \"x\"}",
            "export default defineConfig({out: 'x' as string})",
        ] {
            assert_eq!(ConfigText::read(config).get(&["out"]).cloned(), text("x"), "{config}");
        }
    }

    #[test]
    fn what_may_be_set_elsewhere_is_not_called_absent() {
        for config in [
            "export default defineConfig({ ...base, dialect: 'postgresql' })",
            "export default defineConfig(() => ({ dialect: 'postgresql' }))",
            "export default make()",
            "export default merge({ dialect: 'postgresql' }, local)",
            "export default defineConfig({ out: 'x' }, local)",
            "const config: Config = { out: 'x' };\nif (ci) config.out = 'y';\nexport default config;",
            "let config = { out: 'x' };\nconfig = { ...config, out: 'y' };\nexport default config;",
            "const config = { out: 'x' };\nchange(config);\nmodule.exports = config;",
            "module.exports = { out: 'x' };\nmodule.exports.out = 'y';",
            "",
        ] {
            assert_eq!(ConfigText::read(config).get(&["out"]), Some(&Value::Computed), "{config}");
        }
        let computed = ConfigText::read("export default { migrations: settings }");
        assert_eq!(computed.get(&["migrations", "table"]), Some(&Value::Computed));
    }

    #[test]
    fn broken_texts_end() {
        let whole = "export default defineConfig({ a: { b: `x${y}`, 'c': [1, {d: 2}] }, /* e */ f() { return 1 }, ...g, h: '\\u{1}' });";
        for end in 0..=whole.len() {
            ConfigText::read(&whole[..end]);
            ConfigText::read(&whole[end..]);
        }
        for text in ["export default {", "{ a: 'x", "{ a: `${", "{ ]", "export default", "{ a: { b: (", "/*", "{a:}"] {
            ConfigText::read(text);
        }
    }
}
