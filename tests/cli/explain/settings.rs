//! The service starts with every `NAME=value` and every `set NAME to VALUE` in our texts.
//!
//! [`explained`](super::explained) tries the lines that `explain` computes. This file tests those
//! written in pages and in the source code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use warp_bearer::service::config::{Config, VARIABLES};

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| {
        if path.is_dir() {
            return files(&path, ending);
        }
        let fits = path.to_str().is_some_and(|name| name.ends_with(ending));
        if fits { vec![path] } else { Vec::new() }
    });
    found.collect()
}

/// Everything that users read, without tests.
fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = files(&root.join("docs"), ".md");
    paths.extend(files(&root.join("src/service"), ".rs"));
    paths.extend(files(&root.join("src/auth"), ".rs"));
    let pages = [
        "README.md",
        "README.ja.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "examples/mcp/README.md",
        "bench/README.md",
    ];
    let pages = pages.into_iter().map(|name| root.join(name));
    paths.extend(pages.filter(|path| path.exists()));
    let texts = paths.into_iter().filter(|path| !path.ends_with("tests.rs"));
    texts
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
            (path, text)
        })
        .collect()
}

/// Returns every `NAME=value` of a variable in a text, without placeholders (`{…}` or `$…`).
fn settings(text: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    // `ISSUERS_FILE` names a file that would have to exist, and it replaces most of the others
    // anyway.
    let variables = VARIABLES
        .iter()
        .filter(|variable| variable.name != "ISSUERS_FILE");
    for variable in variables {
        let assignment = format!("{}=", variable.name);
        for (at, _) in text.match_indices(&assignment) {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if text[..at].ends_with(is_word) {
                continue;
            }
            let value = &text[at + assignment.len()..];
            let value = match value.strip_prefix('\'') {
                Some(quoted) => quoted.split('\'').next().unwrap_or_default(),
                None => value
                    .split([' ', '\n', '`', '"', ')', '|', '\\', ';'])
                    .next()
                    .unwrap_or_default(),
            };
            let value = value.trim_end_matches(['.', ',', ':']);
            if !value.is_empty() && !value.contains(['{', '$', '<', '…', '*']) {
                found.push((variable.name, value.to_owned()));
            }
        }
    }
    found
}

/// Returns every `NAME to VALUE` of a variable in a text, such as `set AUTH0_TOKEN_PROFILE to any`,
/// but not `set AUTH0_JWKS_URI to the address`.
fn settings_in_words(text: &str) -> Vec<(&'static str, String)> {
    const WORDS: [&str; 14] = [
        "a", "an", "and", "another", "at", "it", "its", "less", "one", "that", "the", "this",
        "use", "what",
    ];
    let names = VARIABLES.iter().map(|variable| variable.name);
    let found = names
        .filter(|name| *name != "ISSUERS_FILE")
        .flat_map(|name| {
            let setting = format!("{name} to ");
            let values = text.match_indices(&setting).map(|(at, _)| {
                let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let is_whole = !text[..at].ends_with(is_word);
                let value = &text[at + setting.len()..];
                let end = value.find([' ', '\n', '"', ')', ';', '`', '\\']);
                let value = &value[..end.unwrap_or(value.len())];
                (value.trim_end_matches(['.', ',', ':']), is_whole)
            });
            let values = values.filter(|(value, is_whole)| {
                let is_placeholder = value.is_empty() || value.contains(['{', '$', '<', '…', '*']);
                *is_whole && !is_placeholder && !WORDS.contains(value)
            });
            let values: Vec<_> = values.map(|(value, _)| (name, value.to_owned())).collect();
            values
        });
    found.collect()
}

/// Returns the other variables without which the service would reject this one.
fn companions(name: &str, value: &str) -> Vec<(&'static str, &'static str)> {
    match name {
        "AUTH0_ALGORITHMS" if value.contains("HS256") => {
            vec![("AUTH0_SIGNING_SECRET", "a secret that nobody else can know")]
        }
        "TLS_CERT_FILE" => vec![("TLS_KEY_FILE", "/etc/key.pem")],
        "TLS_KEY_FILE" => vec![("TLS_CERT_FILE", "/etc/certificate.pem")],
        "TLS_CLIENT_CERT" => vec![
            ("TLS_CERT_FILE", "/etc/certificate.pem"),
            ("TLS_KEY_FILE", "/etc/key.pem"),
        ],
        _ if name.starts_with("AUTH0_INTROSPECTION") => vec![
            ("AUTH0_INTROSPECTION", "opaque"),
            ("AUTH0_INTROSPECTION_CLIENT_ID", "api"),
            ("AUTH0_INTROSPECTION_CLIENT_SECRET", "a secret of the API"),
        ],
        _ if name.starts_with("AUTH0_DPOP") => vec![("PUBLIC_URL", "https://api.example.com")],
        "METRICS_LISTEN" => vec![("LISTEN", "127.0.0.1:1")],
        _ => Vec::new(),
    }
}

#[test]
fn every_documented_setting_starts_the_service() {
    let (mut count, mut in_words) = (0, 0);
    let mut faults = Vec::new();
    let examples = VARIABLES.iter().map(|variable| {
        let line = format!("{}={}", variable.name, variable.example);
        // The service rejects placeholders, and values of `.env.example` that must be replaced are
        // placeholders.
        let is_placeholder = line.contains("your.") || line.contains("/etc/");
        (
            PathBuf::from(".env.example"),
            if is_placeholder { String::new() } else { line },
        )
    });
    for (path, text) in texts().into_iter().chain(examples) {
        let mut found = settings(&text);
        let others = settings_in_words(&text);
        in_words += others.len();
        found.extend(others);
        for (name, value) in found {
            let mut variables = vec![
                ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
                ("AUTH0_API_AUDIENCE", "https://api.example.com"),
            ];
            variables.extend(companions(name, &value));
            variables.push((name, &value));
            let owned = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            if let Err(why) = Config::from_variables(owned) {
                faults.push(format!("{}: {name}={value}: {why}", path.display()));
            }
            count += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 20, "only {count}");
    assert!(in_words > 4, "only {in_words} in words");
}

#[test]
fn finds_settings_in_a_text() {
    let found =
        settings("set `LISTEN=0.0.0.0:80` or AUTH0_ALGORITHMS=HS512, not MY_LISTEN=a or DOCS=$X.");
    let expected = [
        ("AUTH0_ALGORITHMS", "HS512".to_owned()),
        ("LISTEN", "0.0.0.0:80".to_owned()),
    ];
    assert_eq!(found, expected);
    let found = settings_in_words(
        "Set AUTH0_ALGORITHMS to HS512, AUTH0_JWKS_URI to the address, and MY_LISTEN to 1.",
    );
    assert_eq!(found, [("AUTH0_ALGORITHMS", "HS512".to_owned())]);
    let owned = [("AUTH0_ALGORITHMS".to_owned(), "HS512".to_owned())];
    assert!(
        Config::from_variables(owned).is_err(),
        "a setting that does not start the service is found"
    );
}
