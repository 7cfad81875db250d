//! The issuers file, as the commands read and write it.

use std::fs;

use serde_json::Value;
use warp_bearer::{auth::Algorithm, issuer::Issuer};

use crate::support::{
    process::{Directory, run},
    world::{CommandOutput, World},
};

async fn world() -> (World, Issuer) {
    let other = Issuer::with_algorithm(Algorithm::ES256).await;
    let world = World::start().await;
    let file = world.directory.path().join("issuers.toml");
    let text = format!(
        "[[issuer]]\nurl = \"{}\"\n\n[[issuer]]\nurl = \"{}\"\nalgorithms = [\"ES256\"]\naudiences = [\"urn:other\"]\nrequired_scope = \"use:it\"\n",
        world.issuer.url(),
        other.url(),
    );
    fs::write(&file, text).unwrap();
    let world = world
        .set("ISSUERS_FILE", "issuers.toml")
        .unset("AUTH0_ISSUER");
    (world, other)
}

fn text(output: &CommandOutput) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_covers_every_issuer_and_ends_with_a_table() {
    let (world, other) = world().await;
    let output = world.run(&["check", "--json"], "");
    assert_eq!(output.code, Some(0), "{}", text(&output));
    let json = output.json();
    let sections = json["sections"].as_array().unwrap();
    let titles: Vec<_> = sections
        .iter()
        .map(|one| one["title"].as_str().unwrap())
        .collect();
    for issuer in [&world.issuer, &other] {
        let title = format!("Issuer {}", issuer.url());
        assert!(titles.contains(&&*title), "{titles:?}");
    }
    let table = sections
        .iter()
        .find(|one| one["title"] == "Issuers (2)")
        .unwrap();
    let row = |at: usize, part: &str| table["findings"][at][part].as_str().unwrap().to_owned();
    assert_eq!(row(0, "name"), world.issuer.url());
    assert_eq!(row(0, "text"), "aud: https://api.example.com; RS256");
    assert_eq!(row(0, "more"), "issuers.toml:1");
    assert_eq!(row(1, "text"), "aud: urn:other; ES256");
    assert_eq!(row(1, "more"), "issuers.toml:4");

    other.go_down().await;
    let output = world.run(&["check", "--json"], "");
    assert_eq!(output.code, Some(1));
    let json = output.json();
    let sections = json["sections"].as_array().unwrap();
    let table = sections
        .iter()
        .find(|one| one["title"] == "Issuers (2)")
        .unwrap();
    let marks = ["findings"].map(|name| table[name].as_array().unwrap().clone());
    let marks: Vec<&Value> = marks[0].iter().map(|finding| &finding["mark"]).collect();
    assert_ne!(marks[0], "bad");
    assert_eq!(marks[1], "bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_the_table_of_the_issuer() {
    let (world, other) = world().await;
    let good = other.token().audience("urn:other").scope("use:it").sign();
    let output = world.run(&["explain"], &good);
    assert_eq!(output.code, Some(0), "{}", text(&output));
    assert!(
        output.stdout.contains("issuers.toml:4"),
        "{}",
        output.stdout
    );

    let without = other.token().audience("urn:other").scope("see:it").sign();
    let output = world.run(&["explain"], &without);
    assert_eq!(output.code, Some(1), "{}", text(&output));
    assert!(
        output.stdout.contains("insufficient_scope"),
        "{}",
        output.stdout
    );
}

#[test]
fn faulty_file_stops_the_start_and_every_fault_is_named() {
    let directory = Directory::new();
    let file = directory.path().join("issuers.toml");
    fs::write(
        &file,
        "[[issuer]]\nurl = \"https://a.example/\"\nleway = \"1s\"\nroles_at = 5\n",
    )
    .unwrap();
    let vars = [
        ("ISSUERS_FILE", "issuers.toml"),
        ("AUTH0_API_AUDIENCE", "urn:a"),
    ];
    for command in ["serve", "check", "explain"] {
        let output = run(&directory, &[command], &vars);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = stderr.lines().collect();
        assert_eq!(
            lines,
            [
                "issuers.toml:3: in [[issuer]] \"https://a.example/\", leway: unknown; did you mean leeway?",
                "issuers.toml:4: in [[issuer]] \"https://a.example/\", roles_at: not a string; give the name of a claim, or a path such as realm_access.roles, in quotes",
            ],
            "{command}"
        );
    }
    fs::write(&file, "").unwrap();
    let output = run(&directory, &[], &vars);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn fault_in_a_referenced_file_names_the_table() {
    let directory = Directory::new();
    let names = ["jwks_file", "ca_file", "fetch_token_file"];
    let options = names.map(|name| format!("{name} = \"/none/here\"\n"));
    let text = format!(
        "\n[[issuer]]\nurl = \"https://a.example/\"\n{}",
        options.concat()
    );
    fs::write(directory.path().join("issuers.toml"), text).unwrap();
    let vars = [
        ("ISSUERS_FILE", "issuers.toml"),
        ("AUTH0_API_AUDIENCE", "urn:a"),
    ];
    let output = run(&directory, &["serve"], &vars);
    assert_eq!(output.status.code(), Some(78));
    let expected = names.map(|name| {
        format!(
            "issuers.toml:2: in [[issuer]] \"https://a.example/\", {name}: found \"/none/here\", which does not exist; give the path of such a file"
        )
    });
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().collect::<Vec<_>>(), expected);
}

/// With such a file, the service would start, and the issuer would refuse every request.
#[test]
fn rejects_files_without_a_usable_secret_or_token() {
    let directory = Directory::new();
    let asked = "introspection = \"always\"\nintrospection_client_id = \"a\"\nintrospection_client_secret_file = \"file\"\n";
    let token = "fetch_token_file = \"file\"\n";
    #[rustfmt::skip]
    let rows = [
        ("empty", asked, "", "which is empty; write the secret of the client into it"),
        ("blank", asked, " \n", "which is empty; write the secret of the client into it"),
        ("quotes", asked, "\"secret\"\n", "which has quotes around the secret; remove them, because they would be part of the secret"),
        ("single quotes", asked, "'secret'", "which has quotes around the secret; remove them, because they would be part of the secret"),
        ("a byte order mark", asked, "\u{feff}secret", "which begins with a byte order mark; save the file as UTF-8 without one"),
        ("a leading space", asked, " secret", "which begins with a space or a line break; remove it, because it would be part of the secret"),
        ("an empty token", token, "\n", "which is empty; write the token into it"),
    ];
    for (case, options, content, fault) in rows {
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("file", content);
        let table = format!("\n[[issuer]]\nurl = \"https://a.example/\"\n{options}");
        write("issuers.toml", &table);
        let vars = [
            ("ISSUERS_FILE", "issuers.toml"),
            ("AUTH0_API_AUDIENCE", "urn:a"),
        ];
        let option = options.lines().last().unwrap().split(' ').next().unwrap();
        for command in ["serve", "check"] {
            let output = run(&directory, &[command], &vars);
            let stderr = String::from_utf8(output.stderr).unwrap();
            let line = format!(
                "issuers.toml:2: in [[issuer]] \"https://a.example/\", {option}: found \"file\", {fault}\n"
            );
            let told = if command == "serve" {
                assert_eq!(output.status.code(), Some(78), "{case}: {stderr}");
                stderr
            } else {
                String::from_utf8(output.stdout).unwrap()
            };
            assert!(told.contains(line.trim_end()), "{case}: {told}");
        }
    }
}

#[test]
fn import_writes_an_equivalent_file() {
    let directory = Directory::new();
    let env = directory.path().join("old.env");
    let text = "AUTH0_ISSUER=https://a.example/,https://b.example/\nAUTH0_API_AUDIENCE=urn:a\nAUTH0_ALGORITHMS=RS256,EdDSA\nLISTEN=127.0.0.1:0\n";
    fs::write(&env, text).unwrap();
    let output = run(&directory, &["issuers", "import", "old.env"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let file = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        file,
        "[[issuer]]\nurl = \"https://a.example/\"\naudiences = [\"urn:a\"]\nalgorithms = [\"RS256\", \"EdDSA\"]\n\n\
         [[issuer]]\nurl = \"https://b.example/\"\naudiences = [\"urn:a\"]\nalgorithms = [\"RS256\", \"EdDSA\"]\n"
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "remove AUTH0_ISSUER, AUTH0_API_AUDIENCE, AUTH0_ALGORITHMS, and set ISSUERS_FILE\n"
    );
    let missing = run(&directory, &["issuers", "import", "none.env"], &[]);
    assert_eq!(missing.status.code(), Some(78));
}

#[test]
fn import_names_the_file_in_faults() {
    let directory = Directory::new();
    for (case, text, fault) in [
        (
            "a value",
            "AUTH0_API_AUDIENCE=urn:a\nAUTH0_ISSUER=nowhere\n",
            "AUTH0_ISSUER: in old.env, line 2, found \"nowhere\", which ",
        ),
        (
            "a line",
            "AUTH0_ISSUER='a\n",
            "old.env: line 1 has an unclosed quote",
        ),
        (
            "a reference",
            "AUTH0_ISSUER=https://$A/\n",
            "AUTH0_ISSUER: found a reference to A on line 1 of old.env",
        ),
    ] {
        fs::write(directory.path().join("old.env"), text).unwrap();
        let output = run(&directory, &["issuers", "import", "old.env"], &[]);
        assert_eq!(output.status.code(), Some(78), "{case}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(fault), "{case}: {stderr}");
    }
}

/// `issuers import` does not read the environment, so a variable there does not hide a fault.
#[test]
fn import_rejects_references_whatever_the_environment_has() {
    for value in ["${UNDEF_TENANT}", "${UNDEF_TENANT:-common}"] {
        let directory = Directory::new();
        let text =
            format!("AUTH0_ISSUER=https://login.example/{value}/v2.0\nAUTH0_API_AUDIENCE=urn:a\n");
        fs::write(directory.path().join(".env"), text).unwrap();
        let vars = [("AUTH0_ISSUER", "https://issuer.example/")];
        let output = run(&directory, &["issuers", "import"], &vars);
        assert_eq!(output.status.code(), Some(78), "{value}");
        assert!(output.stdout.is_empty(), "{value}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("AUTH0_ISSUER: found "), "{value}: {told}");
    }
}

/// DPoP proofs use the variable even if every table has its own leeway.
#[test]
fn import_keeps_variables_that_stay_in_use() {
    let directory = Directory::new();
    let text = "AUTH0_ISSUER=https://a.example/\nAUTH0_API_AUDIENCE=https://api.example.com\nAUTH0_LEEWAY=5s\n";
    let url = "PUBLIC_URL=https://api.example.com\n";
    #[rustfmt::skip]
    let rows = [
        ("no DPoP", String::new(), "AUTH0_LEEWAY, "),
        ("DPoP", url.to_owned(), ""),
        ("DPoP by its variable", format!("{url}AUTH0_DPOP=required\n"), "AUTH0_DPOP, "),
        ("DPoP off", format!("{url}AUTH0_DPOP=off\n"), "AUTH0_LEEWAY, AUTH0_DPOP, "),
    ];
    for (case, more, removed) in rows {
        fs::write(directory.path().join("old.env"), format!("{text}{more}")).unwrap();
        let output = run(&directory, &["issuers", "import", "old.env"], &[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let all = format!("AUTH0_ISSUER, AUTH0_API_AUDIENCE, {removed}");
        let all = all.trim_end_matches(", ");
        let expected = format!("remove {all}, and set ISSUERS_FILE\n");
        assert_eq!(stderr, expected, "{case}");
    }
}

#[test]
fn import_writes_only_variables_that_are_set() {
    let directory = Directory::new();
    let text = "AUTH0_ISSUER=https://a.example/\nAUTH0_API_AUDIENCE=urn:a\nAUTH0_LEEWAY=5s\n";
    fs::write(directory.path().join("old.env"), text).unwrap();
    let output = run(&directory, &["issuers", "import", "old.env"], &[]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "[[issuer]]\nurl = \"https://a.example/\"\naudiences = [\"urn:a\"]\nleeway = \"5s\"\n"
    );
}
