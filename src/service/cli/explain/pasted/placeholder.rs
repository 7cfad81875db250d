//! Recognizes placeholders, e.g. a variable that wasn't replaced with its value.

/// A placeholder for a token, or what a language prints for a missing value: `undefined`,
/// `[object Object]`, `{{token}}`, `${TOKEN}`, `<token>`.
pub(in crate::service) fn is_placeholder(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_whitespace() || "\"'`".contains(c));
    let lower = text.to_ascii_lowercase();
    is_missing_value(&lower) || is_template(text) || is_name(&lower)
}

/// Returns `true` if a text can't be a token, because no part of it looks random. It's probably a
/// word, a sentence, the name of a type or a piece of source code.
pub(in crate::service) fn has_no_token(text: &str) -> bool {
    /// The service does not introspect shorter tokens (RFC 7662)
    const MIN_RUN: usize = 16;
    /// Longer than any word
    const LONG: usize = 24;
    /// Opaque tokens begin like this
    const PREFIXES: [&str; 13] = [
        "sk_",
        "pk_",
        "sb_",
        "ory_",
        "ghs_",
        "ghp_",
        "gho_",
        "ghu_",
        "github_pat_",
        "ya29.",
        "oat_",
        "mt_",
        "ak_",
    ];
    let is_b64 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let mut runs = text.split(|c: char| !is_b64(c));
    // Fewer than 4 in 1000 strings of 32 random letters and digits have no digit
    let is_random = |run: &str| {
        run.len() >= MIN_RUN
            && run.contains(|c: char| c.is_ascii_digit())
            && run.contains(|c: char| c.is_ascii_alphabetic())
    };
    let is_long = |run: &str| {
        run.split(['.', '_', '-', '/'])
            .any(|word| word.len() >= LONG)
    };
    // a shortened token begins like one
    !text.contains("eyJ")
        && !PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        && !runs.any(|run| is_random(run) || is_long(run))
}

/// What a language prints for a missing value, or for a value that isn't a string.
fn is_missing_value(lower: &str) -> bool {
    const WORDS: [&str; 25] = [
        "undefined",
        "null",
        "none",
        "nil",
        "nan",
        "false",
        "true",
        "(null)",
        "<nil>",
        "<null>",
        "nullptr",
        "void",
        "n/a",
        "nothing",
        "empty",
        "redacted",
        "masked",
        "hidden",
        "changeme",
        "change-me",
        "change_me",
        "todo",
        "fixme",
        "placeholder",
        "(intermediate value)",
    ];
    // JavaScript: `[object Promise]`. Python and Rust: `<function f at 0x…>`, `Some("…")`
    WORDS.contains(&lower)
        || lower.starts_with("[object ")
        || lower.starts_with("[function")
        || lower.starts_with("<function ")
        || lower.starts_with("<bound method ")
        || lower.starts_with("<coroutine ")
        || lower.starts_with("<promise")
        || lower.starts_with("promise {")
        || lower.starts_with("symbol(")
        || lower.starts_with("function ")
        || lower.starts_with("%!")
}

/// A shell, a template or a tool should have replaced this variable.
pub(super) fn is_template(text: &str) -> bool {
    /// The brackets around variables in shells, Windows, Ruby, Python and documentation
    const BRACKETS: [(&str, &str); 15] = [
        ("{", "}"),
        ("<", ">"),
        ("[", "]"),
        ("%", "%"),
        ("#{", "}"),
        ("@{", "}"),
        ("__", "__"),
        ("$(", ")"),
        ("${{", "}}"),
        ("{{", "}}"),
        ("%(", ")s"),
        ("%{", "}"),
        ("<%=", "%>"),
        ("<%", "%>"),
        ("~", "~"),
    ];
    /// Environment variables in source code
    const OF_ENVIRONMENT: [&str; 4] = ["process.env.", "import.meta.env.", "os.environ", "env."];
    const FORMATS: [&str; 5] = ["%s", "%v", "%@", "{}", "%d"];
    /// Names in brackets are shorter, and tokens are longer
    const MAX_LEN: usize = 64;
    if text.len() > MAX_LEN {
        return false;
    }
    let is_word = |word: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:{}$".contains(c);
        !word.is_empty() && word.chars().all(fits)
    };
    let is_in_brackets = BRACKETS.iter().any(|(open, close)| {
        let inner = text
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| {
            inner
                .split(' ')
                .all(|word| word.is_empty() || is_word(word))
        })
    });
    is_in_brackets
        || FORMATS.contains(&text)
        || ["$", "@", ":"].iter().any(|start| text.strip_prefix(start).is_some_and(is_word))
        || OF_ENVIRONMENT.iter().any(|start| text.starts_with(start))
        // an ellipsis, or a row of crosses
        || (text.len() > 1 && text.chars().all(|c| "x.*X…-".contains(c)))
}

/// The name of a token, such as `YOUR_ACCESS_TOKEN` or `token`
fn is_name(lower: &str) -> bool {
    const WORDS: [&str; 19] = [
        "your", "my", "the", "an", "a", "access", "bearer", "id", "auth", "auth0", "api", "jwt",
        "test", "dummy", "insert", "paste", "here", "some", "valid",
    ];
    let words = lower
        .split(['_', '-', ' ', '.'])
        .filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    // in camel case, `accessToken` is a single word here
    let is_token = |word: &str| {
        let rest = word
            .strip_suffix("token")
            .or_else(|| word.strip_suffix("jwt"));
        rest.is_some_and(|rest| rest.is_empty() || WORDS.contains(&rest))
    };
    let known = |word: &&str| is_token(word) || WORDS.contains(word);
    words.iter().any(|word| is_token(word)) && words.iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_text_that_has_no_token() {
        for text in [
            "System.Threading.Tasks.Task`1[System.String]",
            "java.util.concurrent.CompletableFuture@1b28cdfa",
            "#<OAuth2::AccessToken:0x000055d0c8>",
            "os.getenv(\"TOKEN\")",
            "{% response 'body', 'req_1', '$.access_token' %}",
            "SecretStr('**********')",
            "async () => getToken()",
            "header.payload.signature",
            "Microsoft.Identity.Client.AuthenticationResult",
            "put_your_token_here",
            "replace-me",
            "Invalid token",
            "((vault:token))",
            "-",
        ] {
            assert!(has_no_token(text), "{text}");
        }
        for text in [
            "kZ1abcdefghijklmnopqrstuvwxyz012",
            "v1.kZ1abcdefghijklmnopqrstuvwxyz012",
            "eyJhbGciOi...",
            "Optional(\"eyJhbGciOiJSUzI1NiJ9.e30.AA\")",
            "ory_at_0123456789abcdef.0123456789",
            "sk_test_abcdefgh",
            "abcdefghijklmnopqrstuvwxyz",
            "kZ1abcdefghijklm nopqrstuvwxyz012",
        ] {
            assert!(!has_no_token(text), "{text}");
        }
    }

    #[test]
    fn distinguishes_placeholders_from_tokens() {
        for placeholder in [
            "undefined",
            "null",
            "None",
            "nil",
            "NaN",
            "(null)",
            "<nil>",
            "[object Object]",
            "[object Promise]",
            "{{token}}",
            "{{ access_token }}",
            "{token}",
            "$TOKEN",
            "${TOKEN}",
            "$(token)",
            "$env:TOKEN",
            "<token>",
            "<your access token>",
            "%TOKEN%",
            "#{token}",
            "[token]",
            "@token",
            ":token",
            "%s",
            "{}",
            "{0}",
            "%!s(<nil>)",
            "token",
            "TOKEN",
            "YOUR_TOKEN",
            "your-access-token",
            "ACCESS_TOKEN",
            "accessToken",
            "YOUR_ACCESS_TOKEN_HERE",
            "jwt",
            "xxx",
            "...",
            "…",
            "__TOKEN__",
            "\"undefined\"",
            "${{ secrets.TOKEN }}",
            "{{$auth.token}}",
            "%(token)s",
            "%{token}",
            "<%= token %>",
            "~token~",
            "Symbol(token)",
            "Promise { <pending> }",
            "(intermediate value)",
            "REDACTED",
            "changeme",
            "TODO",
            "env.TOKEN",
            "import.meta.env.VITE_TOKEN",
            "process.env.TOKEN",
            "<coroutine object get_token at 0x7f>",
        ] {
            assert!(is_placeholder(placeholder), "{placeholder}");
        }
        for token in [
            "a.b.c",
            "eyJhbGciOiJSUzI1NiJ9.e30.AA",
            "kZ1abcdefghijklmnopqrstuvwxyz012",
            "ya29.a0AfH6SMB",
            "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
            "tokyo",
            "environment",
            "todomvc",
            "v1.local.token-of-mine",
            "YTpi",
            "",
        ] {
            assert!(!is_placeholder(token), "{token}");
        }
    }
}
