//! `check` and the process's environment: variables, `.env`, and the limit of file descriptors.

use std::{
    fs,
    process::Command,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use warp_bearer::{auth::Algorithm, issuer::Issuer};

use super::{assert_finds, checked, findings};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn broken_configuration_sends_no_request() {
    let world = World::start().await.set("AUTH0_ALGORITHMS", "RS265");
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(78), "{}", output.stdout);
    assert!(
        output.stderr.starts_with("AUTH0_ALGORITHMS: "),
        "{}",
        output.stderr
    );
    assert!(
        output.stdout.contains("\"RS265\"   from the environment\n"),
        "{}",
        output.stdout
    );
    assert_eq!(world.issuer.requests().discovery, 0);

    let output = checked(
        &world
            .set("AUTH0_ALGORITHMS", "RS256")
            .set("AUTH0_DOMIAN", "x"),
    );
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let line = "note : AUTH0_DOMIAN: in the environment, not a known variable; did you mean AUTH0_DOMAIN? ()";
    assert_eq!(findings(&output, "Configuration"), [line]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_serve_refuse_the_same_public_url() {
    let world = World::start().await;
    for (name, url) in [
        ("PUBLIC_URL", "https://api.example.com/%zz"),
        ("PUBLIC_URL", "https://api.example.com/%"),
        ("PUBLIC_URL", "https://api.ex%61mple.com"),
        ("AUTH0_RESOURCE", "https://api.ex%61mple.com/mcp"),
    ] {
        let world = World::of(world.issuer.clone()).set(name, url);
        for command in ["check", "serve"] {
            let output = world.run(&[command], "");
            assert_eq!(output.code, Some(78), "{command}: {}", output.stdout);
            let fault = format!("{name}: in the environment, found {url:?}, which has a %");
            assert!(
                output.stderr.starts_with(&fault),
                "{command}: {}",
                output.stderr
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_environment_variables_without_passwords() {
    let proxy = "http://me:hunter2@proxy.example:3128";
    let world = World::start().await.set("HTTPS_PROXY", proxy);
    let output = checked(&world.set("NO_PROXY", "localhost"));
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert!(!output.stdout.contains("hunter2"), "{}", output.stdout);
    let variables = findings(&output, "Variables");
    for line in [
        "plain HTTPS_PROXY: \"http://…@proxy.example:3128\" (from the environment)",
        "plain NO_PROXY: \"localhost\" (from the environment)",
    ] {
        assert!(variables.contains(&line.to_owned()), "{variables:#?}");
    }
    // we never use a proxy for an issuer on loopback
    let findings = findings(&output, "Issuer ");
    assert!(
        findings[0].starts_with("good name: 127.0.0.1 ("),
        "{findings:#?}"
    );
}

/// The proxy resolves the names of hosts that are not in `NO_PROXY`, so `check` cannot.
#[tokio::test(flavor = "multi_thread")]
async fn resolves_the_names_of_hosts_without_a_proxy() {
    for (exempt, expected) in [
        (
            "other.example",
            "plain name: resolved by the proxy in the environment ()",
        ),
        (".localhost, localhost", "good name: "),
        ("*", "good name: "),
    ] {
        let world = World::start().await;
        let world = world
            .set("AUTH0_ISSUER", "https://localhost:9/")
            .set("HTTPS_PROXY", "http://127.0.0.1:9")
            .set("NO_PROXY", exempt);
        let found = findings(&checked(&world), "Issuer ");
        assert!(found[0].starts_with(expected), "{exempt}: {found:#?}");
    }
}

fn write_env(world: &World, text: &str) {
    fs::write(world.directory.path().join(".env"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_other_programs_are_not_faults() {
    let world = World::start().await;
    write_env(
        &world,
        "APP_NAME=My App\nGREETING=it's fine\nAUTH0_LEEWAY=10s\nKEY=\"-----BEGIN\nAAAA\n-----END\"\nLISTN=1\nLOG_LEVEL=debug\n",
    );
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    let found = findings(&output, "Configuration");
    let skipped = "is skipped, because it does not name a variable of this service";
    for line in ["line 1 ", "line 2 ", "line 4 "] {
        assert_finds(line, &found, &["note : .env: ", line, skipped]);
    }
    assert_finds(
        "a misspelt variable",
        &found,
        &["LISTN: in .env, line 7, not read; did you mean LISTEN?"],
    );
    assert_finds(
        "another name",
        &found,
        &["LOG_LEVEL: in .env, line 8, not read; did you mean RUST_LOG?"],
    );
    assert_eq!(found.len(), 5, "{found:#?}");
    let variables = findings(&output, "Variables");
    let leeway = "plain AUTH0_LEEWAY: \"10s\" (from .env, line 3)";
    assert!(variables.contains(&leeway.to_owned()), "{variables:#?}");

    write_env(&world, "APP_NAME=My App\nAUTH0_LEEWAY='10s\n");
    let output = checked(&world);
    assert_eq!(output.code, Some(78), "{}", output.stdout);
    let fault = ".env: line 2 has an unclosed quote; close it";
    assert!(output.stderr.contains(fault), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn env_file_option_replaces_dot_env() {
    let world = World::start().await;
    write_env(&world, "AUTH0_LEEWAY=1s\n");
    let file = world.directory.path().join("env");
    fs::write(&file, "A=b c\nAUTH0_LEEWAY=9s\nSSL_CERT_FILE=x\n").unwrap();
    let output = world.run(&["check", "--json", "--env-file", "env"], "");
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    let line = "plain AUTH0_LEEWAY: \"9s\" (from --env-file, line 2)".to_owned();
    let variables = findings(&output, "Variables");
    assert!(variables.contains(&line), "{variables:#?}");
    let found = findings(&output, "Configuration");
    assert_finds(
        "a line",
        &found,
        &["note : --env-file: line 1 cannot be parsed"],
    );
    assert_finds(
        "a certificate",
        &found,
        &["SSL_CERT_FILE: in --env-file, line 3, not applied"],
    );
    let token = world.issuer.token().sign();
    let output = world.run(&["explain", "--env-file", "env"], &token);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);

    fs::write(&file, "AUTH0_LEEWAY='9s\n").unwrap();
    for command in ["check", "explain"] {
        let output = world.run(&[command, "--env-file", "env"], "");
        assert_eq!(output.code, Some(78), "{command}: {}", output.stdout);
        let fault = "--env-file: line 1 has an unclosed quote; close it";
        assert!(output.stderr.starts_with(fault), "{}", output.stderr);
        let output = world.run(&[command, "--env-file", "absent"], "");
        assert_eq!(output.code, Some(78), "{command}: {}", output.stdout);
        assert!(
            output.stderr.starts_with("absent: does not exist"),
            "{}",
            output.stderr
        );
    }
}

/// With such a line, the unit would start with another value than the commands use, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn rejects_env_files_that_systemd_reads_differently() {
    let world = World::start().await;
    let file = world.directory.path().join("env");
    let text = "TENANT=a\nAUTH0_REALM=${TENANT}\nLISTEN=127.0.0.1:9 # local\nexport AUTH0_LEEWAY=9s\nAUTH0_GROUPS_AT='a' # $\n";
    fs::write(&file, text).unwrap();
    let expected = "\
        AUTH0_REALM: in --env-file, line 2, has a \"$\", which systemd does not replace with the value of a variable; write the value itself, in single quotes
LISTEN: in --env-file, line 3, has a comment after its value, which systemd reads as part of the value; put the comment on its own line
AUTH0_LEEWAY: in --env-file, line 4, begins with export, so systemd ignores the line; remove export
AUTH0_GROUPS_AT: in --env-file, line 5, has a comment after its value, which systemd reads as part of the value; put the comment on its own line
";
    for command in ["check", "explain"] {
        let output = world.run(&[command, "--env-file", "env"], "");
        assert_eq!(output.code, Some(78), "{command:?}: {}", output.stdout);
        assert_eq!(output.stderr, expected, "{command:?}");
    }
    // In `.env`, all of this is allowed
    write_env(&world, text);
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_port_without_listen_and_leftover_quotes() {
    let world = World::start().await.set("PORT", "8080");
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let words = ["note : PORT: in the environment, not read; set LISTEN=0.0.0.0:8080"];
    assert_finds("a port", &findings(&output, "Configuration"), &words);

    let quoted = World::start().await.set("AUTH0_API_AUDIENCE", "'urn:api'");
    let output = checked(&quoted);
    assert_eq!(output.code, Some(78), "{}", output.stdout);
    let words = [
        "bad : AUTH0_API_AUDIENCE: in the environment, found \"'urn:api'\", which is still in quotes; remove them",
    ];
    assert_finds("quotes", &findings(&output, "Configuration"), &words);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn finds_a_low_descriptor_limit() {
    let world = World::start().await;
    let direct = world.command(&["check", "--json"]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 128; exec \"$0\" check --json"])
        .arg(direct.get_program())
        .env_clear()
        .envs(
            direct
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(direct.get_current_dir().unwrap());
    let output = limited.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(
        stdout.contains(
            "MAX_CONNECTIONS is 10000, but a process may open only 128 files here, which is enough for 64 connections"
        ),
        "{stdout}"
    );
    let enough = checked(&world.set("MAX_CONNECTIONS", "10"));
    assert!(!enough.stdout.contains("files here"), "{}", enough.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_certificates_that_clients_would_refuse() {
    const DAY: u64 = 86400;
    let world = World::start().await;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let date = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    #[rustfmt::skip]
    let rows = [
        ("valid", (now - DAY, now + 90 * DAY), 0, "good", "TLS_CERT_FILE and TLS_KEY_FILE can be read; the certificate ends in "),
        ("ends soon", (now - 90 * DAY, now + 3 * DAY), 0, "note", "TLS_CERT_FILE: the certificate ends in "),
        ("expired", (now - 90 * DAY, now - 3 * DAY), 1, "bad", "TLS_CERT_FILE: the certificate ended 3 d ago (renew it; "),
        ("not yet valid", (now + 3 * DAY, now + 90 * DAY), 1, "bad", "TLS_CERT_FILE: the certificate is not valid yet; its validity begins in "),
    ];
    for (case, (from, until), code, mark, text) in rows {
        let mut params = CertificateParams::new(["api.example".to_owned()]).unwrap();
        params.not_before = date(from);
        params.not_after = date(until);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = world.directory.path();
        fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
        let world = World::of(world.issuer.clone())
            .set("TLS_CERT_FILE", directory.join("tls.crt").to_str().unwrap())
            .set("TLS_KEY_FILE", directory.join("tls.key").to_str().unwrap());
        let output = checked(&world);
        assert_eq!(output.code, Some(code), "{case}: {}", output.stdout);
        let found = findings(&output, "Configuration");
        assert_finds(case, &found, &[mark, text]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warns_about_a_domain_that_contradicts_the_issuer() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let named = |name: &str| World::named(&issuer, name);
    let words = ["AUTH0_DOMAIN", "not used", "custom domain"];
    let has = |world: &World| {
        let found = findings(&checked(world), "Configuration");
        found
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    for (case, domain, name, expected) in [
        (
            "its own URL",
            "tenant.eu.auth0.com",
            "https://tenant.eu.auth0.com/",
            false,
        ),
        (
            "its own URL in capitals",
            "Tenant.eu.auth0.com",
            "https://tenant.eu.auth0.com/",
            false,
        ),
        (
            "without the slash",
            "tenant.eu.auth0.com",
            "https://tenant.eu.auth0.com",
            false,
        ),
        (
            "another tenant",
            "tenant.eu.auth0.com",
            "https://other.eu.auth0.com/",
            true,
        ),
        (
            "a custom domain",
            "tenant.eu.auth0.com",
            "https://login.example.com/",
            true,
        ),
    ] {
        let world = named(name).set("AUTH0_DOMAIN", domain);
        assert_eq!(has(&world), expected, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warns_about_variables_that_every_table_overrides() {
    let world = World::start().await;
    let url = world.issuer.url().to_owned();
    let tables = format!(
        "[[issuer]]\nurl = \"{url}\"\naudiences = [\"a\"]\nleeway = \"1s\"\nalgorithms = [\"RS256\"]\n\n[[issuer]]\nurl = \"https://b.example/\"\naudiences = [\"b\"]\nleeway = \"2s\"\njwks_file = \"jwks.json\"\n"
    );
    let jwks = serde_json::json!({"keys": [world.issuer.key().public_jwk()]});
    fs::write(world.directory.path().join("jwks.json"), jwks.to_string()).unwrap();
    fs::write(world.directory.path().join("issuers.toml"), tables).unwrap();
    write_env(&world, "AUTH0_LEEWAY=5s\nAUTH0_ALGORITHMS=RS256\n");
    let world = world
        .unset("AUTH0_ISSUER")
        .set("ISSUERS_FILE", "issuers.toml");
    let found = findings(&checked(&world), "Configuration");
    for line in [
        "note : AUTH0_API_AUDIENCE: in the environment, not used: every table of issuers.toml has its own audiences ()",
        "note : AUTH0_LEEWAY: in .env, line 1, not used: every table of issuers.toml has its own leeway ()",
    ] {
        assert!(found.iter().any(|one| one == line), "{line}: {found:#?}");
    }
    let other = found.iter().any(|line| line.contains("AUTH0_ALGORITHMS"));
    assert!(!other, "{found:#?}");
}

/// A fault ends the command before the warnings, so it has to name the misspelt variable itself.
#[tokio::test(flavor = "multi_thread")]
async fn missing_variable_names_a_similar_one_in_the_file() {
    let world = World::start().await.unset("AUTH0_API_AUDIENCE");
    write_env(&world, "APP=a\nAPI_AUDIENCE=https://api.example.com\n");
    for command in ["check", "serve"] {
        let output = world.run(&[command], "");
        assert_eq!(output.code, Some(78), "{}", output.stdout);
        let hint = "; API_AUDIENCE is set in .env, line 2, did you mean AUTH0_API_AUDIENCE?\n";
        assert!(output.stderr.ends_with(hint), "{}", output.stderr);
    }

    // One hint is enough
    let both = World::of(world.issuer.clone()).unset("AUTH0_API_AUDIENCE");
    let both = both.set("AUTH0_AUDIENCE", "x");
    write_env(&both, "API_AUDIENCE=https://api.example.com\n");
    let output = both.run(&["check"], "");
    let hint = "example.com; AUTH0_AUDIENCE is set, did you mean AUTH0_API_AUDIENCE?\n";
    assert!(output.stderr.ends_with(hint), "{}", output.stderr);

    // The fault is about AUTH0_DOMAIN, but AUTH0_ISSUER would do as well
    let world = world.unset("AUTH0_ISSUER");
    write_env(&world, "AUTHO_ISSUER=https://a.example/\nAPI_AUDIENCE=x\n");
    for command in ["check", "serve"] {
        let output = world.run(&[command], "");
        assert_eq!(output.code, Some(78), "{}", output.stdout);
        for (name, hint) in [
            (
                "AUTH0_DOMAIN",
                "; AUTHO_ISSUER is set in .env, line 1, did you mean AUTH0_ISSUER?",
            ),
            (
                "AUTH0_API_AUDIENCE",
                "; API_AUDIENCE is set in .env, line 2, did you mean AUTH0_API_AUDIENCE?",
            ),
        ] {
            let mut lines = output.stderr.lines();
            let line = lines.find(|line| line.starts_with(&format!("{name}: not set")));
            assert!(line.unwrap().ends_with(hint), "{}", output.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_with_the_verdict_after_a_wrong_value() {
    let world = World::start().await.set("AUTH0_ALGORITHMS", "RS265");
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(78), "{}", output.stdout);
    let verdict = "\nThe service would not start: see the errors.\n";
    assert!(output.stdout.ends_with(verdict), "{}", output.stdout);
}
