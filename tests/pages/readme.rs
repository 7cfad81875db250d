//! The README, its Japanese translation and the pages in `docs/` match the code, and their links
//! resolve.
//!
//! `tests/cli/dev.rs` runs the README's shell commands and the recorded session. The documentation
//! tests and `examples/hello.rs` compile its Rust code.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use warp_bearer::{
    auth::{Algorithm, Auth, policy::Policy},
    service::{
        Access,
        api::{errors::PAGES, routes::rows},
        config::{Unset, VARIABLES},
    },
};

const README: &str = include_str!("../../README.md");
const JAPANESE: &str = include_str!("../../README.ja.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const ERRORS: &str = include_str!("../../docs/errors.md");
const LIBRARY: &str = include_str!("../../docs/library.md");
const SERVICE: &str = include_str!("../../docs/service.md");
const JAPANESE_REFERENCE: &str = include_str!("../../docs/reference.ja.md");

/// The cells of the page's table whose first column has this heading.
fn table(page: &'static str, first_column: &str) -> Vec<Vec<&'static str>> {
    let header = format!("| {first_column} |");
    let table = page.lines().skip_while(|line| !line.starts_with(&header));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<_>> = rows
        .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "a table of {first_column}");
    rows
}

fn code(page: &'static str, language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}");
    let blocks = page.split(begin.as_str()).skip(1).map(|block| {
        let (_, block) = block.split_once('\n').unwrap();
        block.split_once("```").unwrap().0
    });
    blocks.collect()
}

#[test]
fn library_example_is_the_tested_one() {
    let example = include_str!("../../examples/hello.rs");
    let mut shown = 0;
    let tests = code(LIBRARY, "rust");
    let tests = tests.iter().filter(|block| block.contains("mod tests"));
    for block in code(README, "rust").iter().chain(tests) {
        assert!(example.contains(block), "not in hello.rs:\n{block}");
        shown += block.lines().count();
    }
    // The header of the example and the blank line between the two blocks aren't shown.
    let not_shown = 6;
    assert_eq!(shown, example.lines().count() - not_shown);
}

/// Checks a generated file. With `UPDATE=1` in the environment, writes it first.
fn assert_generated(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    let mut lines = found.lines().zip(expected.lines()).enumerate();
    let first = lines.find(|(_, (found, expected))| found != expected);
    assert!(
        found == expected,
        "{file} does not match the code, first in {first:?}; run UPDATE=1 cargo test --test pages"
    );
}

#[test]
fn table_of_variables_matches_the_code() {
    let mut table = "| variable | unset | meaning |\n|---|---|---|\n".to_owned();
    for variable in VARIABLES {
        let unset = match variable.unset {
            Unset::Default(default) => format!("`{default}`"),
            Unset::Described(words) => words.to_owned(),
        };
        let (name, meaning) = (variable.name, variable.meaning);
        writeln!(table, "| `{name}` | {unset} | {meaning} |").unwrap();
    }
    let (before, rest) = CONFIGURATION.split_once("| variable |").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let page = format!("{before}{table}\n{after}");
    assert_generated("docs/configuration.md", &page);
}

#[test]
fn example_file_matches_the_table_of_variables() {
    const TUTORIAL: usize = 4;
    let mut file = "\
# The configuration. Each paragraph is one variable: its meaning, its default and an example. Copy
# this file to `.env` and put in your own values. The service does not start with a placeholder.
#
# The environment takes precedence over this file. Spaces around `=` are allowed. `#` begins a
# comment and `$NAME` refers to another variable, so put a value with `#`, `$`, quotes or backslashes
# in single quotes. Write durations as 500ms, 10s, 5m or 1h. An empty value is an error.
"
    .to_owned();
    for (at, variable) in VARIABLES.iter().enumerate() {
        if at == TUTORIAL {
            file += "\n# Everything below is optional.\n";
        }
        let (name, example) = (variable.name, variable.example);
        let meaning = comment(variable.meaning);
        let unset = variable.unset.text();
        let set = if at < TUTORIAL {
            format!("{name} = {example}")
        } else {
            format!("# {name}={example}")
        };
        writeln!(file, "\n{meaning}# Default: {unset}\n{set}").unwrap();
    }
    assert_generated(".env.example", &file);
}

/// Wraps a text into comment lines of 100 characters.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            lines += &line;
            lines.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

#[test]
fn table_of_errors_matches_the_error_pages() {
    let mut table = "| code | status | error | when |\n|---|---|---|---|\n".to_owned();
    for page in PAGES {
        let answer = page.answer();
        let error = answer
            .error
            .map_or("–".to_owned(), |error| format!("`{error}`"));
        let (code, status, when) = (page.code, answer.status.as_u16(), page.when);
        writeln!(table, "| `{code}` | {status} | {error} | {when} |").unwrap();
    }
    let (before, rest) = ERRORS.split_once("| code |").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    assert_generated("docs/errors.md", &format!("{before}{table}\n{after}"));
}

#[test]
fn table_of_routes_matches_the_code() {
    let auth = Auth::builder()
        .issuer("https://tenant.example/")
        .audience("https://api.example.com")
        .algorithms([Algorithm::HS256])
        .signing_secret([0; 32])
        .resource("https://api.example.com")
        .build()
        .unwrap();
    let expected: Vec<_> = rows(&Access::from(&auth), || false)
        .iter()
        .map(|row| {
            let needs = match &row.requires {
                None => "nothing".to_owned(),
                Some(requires) => match requires.policy.as_ref().and_then(Policy::scopes) {
                    None => "a valid token".to_owned(),
                    Some(scopes) => format!("`{scopes}`"),
                },
            };
            [format!("{} `{}`", row.methods, row.template), needs]
        })
        .collect();
    let of_docs = |row: &&Vec<&str>| row[0].contains("/docs") || row[0].contains("/openapi.json");
    let shown: Vec<_> = table(SERVICE, "method and path")
        .iter()
        .filter(|row| cfg!(feature = "docs") || !of_docs(row))
        .map(|row| [row[0].to_owned(), row[1].to_owned()])
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn first_screen_shows_the_output_of_dev() {
    // `dev.rs` compares the recorded session with the program
    let session = include_str!("../../docs/session.txt");
    let shown = code(README, "text")[0];
    assert!(session.contains(shown), "not in session.txt:\n{shown}");
}

#[test]
fn commands_have_no_trailing_comments() {
    // An interactive zsh doesn't know `#` comments and passes them as arguments: curl would send
    // the token to a host named 200.
    let pages = pages();
    for (path, page) in &pages {
        let blocks = page.split("```sh\n").skip(1);
        let blocks = blocks.map(|block| block.split_once("```").unwrap().0);
        for line in blocks.flat_map(str::lines).map(str::trim) {
            let safe = line.starts_with('#') || !line.contains(" #");
            assert!(safe, "{}: {line}", path.display());
        }
    }
}

#[test]
fn named_recipes_exist_in_the_justfile() {
    let recipes = include_str!("../../justfile");
    let named: Vec<_> = README
        .lines()
        .map(|line| line.trim().trim_start_matches("TOKEN=$("))
        .filter_map(|line| line.strip_prefix("just "))
        .filter_map(|rest| rest.split([' ', ')']).next())
        .collect();
    let expected = ["run", "token", "bench-http", "bench-gate"];
    assert_eq!(named, expected, "lines of shell blocks");
    for name in named {
        let heads = [format!("\n{name}:\n"), format!("\n{name} *options:\n")];
        assert!(heads.iter().any(|head| recipes.contains(head)), "{name}");
    }
}

#[test]
fn rust_version_matches_the_manifest() {
    let version = format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    assert!(README.contains(&version), "{version}");
}

#[test]
fn japanese_page_has_every_code_with_its_status() {
    let expected: Vec<_> = PAGES
        .iter()
        .map(|page| {
            [
                format!("`{}`", page.code),
                page.answer().status.as_u16().to_string(),
            ]
        })
        .collect();
    let rows = table(JAPANESE_REFERENCE, "コード");
    let shown: Vec<_> = rows
        .iter()
        .map(|row| [row[0].to_owned(), row[1].to_owned()])
        .collect();
    assert_eq!(shown, expected);
    for row in rows {
        assert!(!row[2].is_ascii(), "{} in Japanese", row[0]);
    }
}

#[test]
fn japanese_page_has_the_same_variables() {
    let rows = table(JAPANESE_REFERENCE, "変数");
    for row in &rows {
        let named = |name: &str| row[0] == format!("`{name}`");
        let variable = VARIABLES.iter().find(|variable| named(variable.name));
        let variable = variable.unwrap_or_else(|| panic!("{} is no variable", row[0]));
        let unset = match variable.unset {
            Unset::Default(default) => format!("`{default}`"),
            Unset::Described(words) if words.starts_with("none") => "なし".to_owned(),
            Unset::Described(words) => format!("`{words}`"),
        };
        assert_eq!(row[1], unset, "{}", row[0]);
    }
    for needed in VARIABLES.iter().filter(
        |variable| matches!(variable.unset, Unset::Described(words) if words.contains("needed")),
    ) {
        assert!(JAPANESE.contains(needed.name), "{}", needed.name);
    }
}

#[test]
fn japanese_page_has_the_same_code() {
    for (language, blocks) in [
        ("sh", 7),
        ("text", 1),
        ("rust", 1),
        ("toml", 1),
        ("json", 1),
    ] {
        let (shown, english) = (code(JAPANESE, language), code(README, language));
        assert_eq!(shown.len(), blocks, "{language}");
        for block in shown {
            assert!(english.contains(&block), "not in the README:\n{block}");
        }
    }
}

#[test]
fn readmes_link_each_other() {
    assert!(README.contains("(README.ja.md)"));
    assert!(JAPANESE.contains("(README.md)"));
}

#[test]
fn readme_has_the_markers_for_the_benchmark() {
    for (page, header) in [
        (README, "\n| server |"),
        (include_str!("../../docs/speed.md"), "\n| what | measured |"),
    ] {
        let (_, rest) = page.split_once("<!-- bench: begin -->\n").unwrap();
        let (tables, _) = rest.split_once("<!-- bench: end -->\n").unwrap();
        assert_eq!(tables.matches(header).count(), 1, "{header}");
    }
}

/// Every Markdown page of the repository, by its path.
fn pages() -> BTreeMap<PathBuf, String> {
    fn read(directory: &Path, pages: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // build output, and what tools have installed
            let others = ["target", "node_modules", ".git"].contains(&name);
            if path.is_dir() && !others {
                read(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.insert(path, text);
            }
        }
    }
    let mut pages = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize();
    read(&root.unwrap(), &mut pages);
    pages
}

/// The lines outside of code blocks.
fn prose(page: &str) -> Vec<&str> {
    let mut fenced = false;
    let outside = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    outside.collect()
}

fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(page) {
        // drop code: every second piece is between backticks
        let line: String = line.split('`').step_by(2).collect();
        let targets = line.split("](").skip(1);
        links.extend(targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
    }
    links
}

/// Returns the anchors that GitHub gives the headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name = kept.collect::<String>().replace(' ', "-");
        let before = seen.entry(name.clone()).or_default();
        *before += 1;
        match *before {
            1 => name,
            again => format!("{name}-{}", again - 1),
        }
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_resolves() {
    let pages = pages();
    let mut checked = 0;
    let mut nowhere = Vec::new();
    for (path, page) in &pages {
        for link in links(page).iter().filter(|link| !link.contains("://")) {
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.parent().unwrap().join(file),
            };
            let found = target.canonicalize().is_ok_and(|target| {
                let there = pages.get(&target).map(|page| anchors(page));
                anchor.is_empty()
                    || there.is_some_and(|there| there.iter().any(|one| one == anchor))
            });
            if !found {
                nowhere.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(checked > 100, "{checked} links in {} pages", pages.len());
    assert!(nowhere.is_empty(), "{nowhere:#?}");
}
