//! `check` finds problems before the service is started.

//!
//! | file | topic |
//! |---|---|
//! | `keys.rs` | keys that are left out, algorithms on offer, forms of a key file, bytes of a response |
//! | `discovery.rs` | issuers whose documents cannot be fetched, and the advice |
//! | `env_file.rs` | `--env-file`, and lines that cannot be read |
//! | `environment.rs` | variables, `.env`, descriptors |
//! | `readiness.rs` | `/readyz` and the log give the same reason |
//! | `store.rs` | the state store, and the advice |

mod discovery;
mod env_file;
mod environment;
mod keys;
mod readiness;
mod store;

use std::fs;

use serde_json::Value;
use warp::{Filter, http::Response, path::FullPath};
use warp_bearer::issuer::Issuer;

use crate::support::world::{CommandOutput, World};

/// The findings of a section, each as "mark name: text (more)".
fn findings(output: &CommandOutput, section: &str) -> Vec<String> {
    let json = output.json();
    let sections = json["sections"].as_array().unwrap().iter();
    let mut of = sections.filter(|one| one["title"].as_str().unwrap().starts_with(section));
    let of = of.next().unwrap_or_else(|| panic!("{section}: {json:#}"));
    let findings = of["findings"].as_array().unwrap().iter();
    let words = |finding: &Value| {
        let [mark, name, text, more] =
            ["mark", "name", "text", "more"].map(|part| finding[part].as_str().unwrap());
        format!("{mark} {name}: {text} ({more})")
    };
    findings.map(words).collect()
}

fn checked(world: &World) -> CommandOutput {
    world.run(&["check", "--json"], "")
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_correct_setup() {
    let world = World::start().await.set("AUTH0_JWKS_TTL", "10m");
    let secret = "AUTH0_CLIENT_SECRET = 'nobody may see this'\n";
    fs::write(world.directory.path().join(".env"), secret).unwrap();
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert_eq!(output.json()["good"], true);
    assert_eq!(output.stderr, "");
    assert!(
        !output.stdout.contains("nobody may see"),
        "{}",
        output.stdout
    );

    let variables = findings(&output, "Variables");
    for line in [
        format!(
            "plain AUTH0_ISSUER: {:?} (from the environment)",
            world.issuer.url()
        ),
        "plain AUTH0_JWKS_TTL: \"10m\" (from the environment)".to_owned(),
        "plain AUTH0_CLIENT_SECRET: 19 bytes, not shown (from .env, line 1)".to_owned(),
        "plain LISTEN: \"127.0.0.1:8000\" (default)".to_owned(),
        "plain AUTH0_JWKS_FILE: not set (none; keys are fetched)".to_owned(),
    ] {
        assert!(variables.contains(&line), "{line}: {variables:#?}");
    }
    let issuer = findings(&output, "Issuer ");
    let kid = world.issuer.key().kid().to_owned();
    for start in [
        "good name: 127.0.0.1 (".to_owned(),
        "note TLS: none: plain http".to_owned(),
        "good clock: same as the issuer's".to_owned(),
        format!(
            "good discovery: {}.well-known/openid-configuration (",
            world.issuer.url()
        ),
        "good issuer: has exactly the configured name".to_owned(),
        format!("good key set: {} (", world.issuer.jwks_uri()),
        format!("good key: {kid}: RSA 2048 bits RS256 ()"),
        "good keys: 1 of 1 for RS256".to_owned(),
    ] {
        let found = issuer.iter().any(|line| line.starts_with(&start));
        assert!(found, "{start}: {issuer:#?}");
    }
    assert!(
        issuer.iter().any(|line| line.contains("max-age 10 min")),
        "{issuer:#?}"
    );

    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert!(
        output.stdout.contains("· AUTH0_JWKS_TTL"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("; --json lists their defaults\n"));
    assert!(!output.stdout.contains("MAX_STREAMS"), "{}", output.stdout);
    assert!(
        output
            .stdout
            .ends_with("  ✓ keys      1 of 1 for RS256\n\nThe service would work.\n"),
        "{}",
        output.stdout
    );
}

/// Checks that each of `words` is in one of the findings.
fn assert_finds(case: &str, findings: &[String], words: &[&str]) {
    let has_all = |finding: &String| words.iter().all(|word| finding.contains(word));
    assert!(
        findings.iter().any(has_all),
        "{case}: {words:?}: {findings:#?}"
    );
}

/// A fixed response: its path, status, content coding and body.
type Fixed = (&'static str, u16, &'static str, Vec<u8>);

/// Starts a server with fixed responses, and 404 for all other paths. `answers` is called with its
/// address.
async fn site(answers: impl FnOnce(&str) -> Vec<Fixed>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers(&url);
    let routes = warp::path::full().map(move |path: FullPath| {
        let found = answers.iter().find(|(at, ..)| *at == path.as_str());
        let (_, status, coding, body) = found.cloned().unwrap_or(("", 404, "", Vec::new()));
        let answer = Response::builder().status(status);
        let answer = match coding {
            "" => answer,
            coding => answer.header("content-encoding", coding),
        };
        answer.body(body).unwrap()
    });
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    url
}

type Break = fn(&Issuer);
type Vars<'a> = &'a [(&'a str, &'a str)];
