//! The service with independent issuers, which were not written for it.
//!
//! They are npm's `oidc-provider`, `oauth2-mock-server` and `better-auth`, which
//! `tests/interop/run` installs. The service is the unchanged binary, and only its configuration is
//! adapted.

#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use reqwest::{Client, Response};
use serde_json::Value;

use support::process::Process;

const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

/// The running provider. It is killed when this value is dropped.
struct Provider {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The provider's address, and the clients that it issues tokens to.
    about: Value,
    client: Client,
}

impl Provider {
    fn start() -> Self {
        let mut child = Command::new("node")
            .arg("provider.js")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node; tests/interop/run installs what it runs");
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            about: heard(&mut stdout),
            child,
            stdin,
            stdout,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn say(&self, name: &str) -> &str {
        self.about[name].as_str().unwrap()
    }

    /// Adds new keys in front of the existing ones.
    fn rotate(&mut self) {
        self.tell("rotate");
    }

    /// Returns how many requests for the key set the provider has received.
    fn asked(&mut self) -> u64 {
        self.tell("count")["asked"].as_u64().unwrap()
    }

    fn tell(&mut self, word: &str) -> Value {
        writeln!(self.stdin, "{word}").unwrap();
        heard(&mut self.stdout)
    }

    /// Gets an access token for the API by client credentials, signed with this algorithm.
    async fn token(&self, algorithm: &str, scope: Option<&str>) -> String {
        let resource = format!("{}/{algorithm}", self.say("audience"));
        let scope = scope.map_or(String::new(), |scope| format!("&scope={scope}"));
        let body = format!("grant_type=client_credentials&resource={resource}{scope}");
        let answer = self
            .client
            .post(format!("{}/token", self.say("issuer")))
            .basic_auth(self.say("client_id"), Some(self.say("client_secret")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        let answer = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).expect(&answer);
        let token = answer["access_token"].as_str();
        token
            .unwrap_or_else(|| panic!("{algorithm}: {answer}"))
            .to_owned()
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the provider's next line of JSON, skipping its messages for operators.
fn heard(stdout: &mut BufReader<ChildStdout>) -> Value {
    loop {
        let mut line = String::new();
        let bytes = stdout.read_line(&mut line).unwrap();
        assert!(bytes > 0, "the provider has ended");
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

struct Service {
    url: String,
    client: Client,
    _process: Process,
}

impl Service {
    fn start(provider: &Provider) -> Self {
        let algorithms = ALGORITHMS.join(",");
        Self::with(&[
            ("AUTH0_ISSUER", provider.say("issuer")),
            ("AUTH0_API_AUDIENCE", provider.say("audience")),
            ("AUTH0_ALGORITHMS", &algorithms),
            ("AUTH0_TOKEN_PROFILE", "rfc9068"),
        ])
    }

    fn with(variables: &[(&str, &str)]) -> Self {
        let own = [("LISTEN", "127.0.0.1:0"), ("LOG_FORMAT", "json")];
        let mut process = Process::start(&["serve"], &[variables, &own].concat());
        let log = process.logged(|line| line.contains("\"listening\""));
        let listening: Value = serde_json::from_str(log.last().unwrap()).unwrap();
        Self {
            url: format!("http://{}", listening["address"].as_str().unwrap()),
            client: Client::builder().no_proxy().build().unwrap(),
            _process: process,
        }
    }

    async fn ask(&self, token: &str) -> Response {
        let url = format!("{}/api/private-scoped", self.url);
        self.client
            .get(url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
    }
}

// Needs several threads: one waits for the output of a process.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js: tests/interop/run"]
async fn accepts_a_certified_provider_through_rotation_and_outage() {
    let mut provider = Provider::start();
    let service = Service::start(&provider);

    let mut good = Vec::new();
    for algorithm in ALGORITHMS {
        let token = provider.token(algorithm, Some("read:messages")).await;
        let answer = service.ask(&token).await;
        assert_eq!(answer.status(), 200, "{algorithm}: {answer:?}");
        let poor = provider.token(algorithm, None).await;
        let answer = service.ask(&poor).await;
        assert_eq!(answer.status(), 403, "{algorithm}: no scope");
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.ends_with(r#"scope="read:messages""#),
            "{challenge}"
        );
        good.push((algorithm, token));
    }
    assert_eq!(provider.asked(), 1, "one set for all of them");

    provider.rotate();
    for algorithm in ALGORITHMS {
        let token = provider.token(algorithm, Some("read:messages")).await;
        let answer = service.ask(&token).await;
        assert_eq!(answer.status(), 200, "{algorithm}, a new key: {answer:?}");
        good.push((algorithm, token));
    }
    assert_eq!(provider.asked(), 2, "one fetch for all the new keys");

    // The service may have cached the tokens that it has seen, so these are new.
    for algorithm in ALGORITHMS {
        good.push((
            algorithm,
            provider.token(algorithm, Some("read:messages")).await,
        ));
    }
    provider.stop();
    for (algorithm, token) in good {
        let answer = service.ask(&token).await;
        assert_eq!(
            answer.status(),
            200,
            "{algorithm}, without the provider: {answer:?}"
        );
    }
}

/// The two issuers of `others.js`. The process ends when its standard input is closed.
struct Others {
    child: Child,
    about: Value,
}

impl Others {
    fn start() -> Self {
        let mut child = Command::new("node")
            .arg("others.js")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node; tests/interop/run installs what it runs");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let about = heard(&mut stdout);
        Self { child, about }
    }

    fn say(&self, issuer: &str, name: &str) -> &str {
        self.about[issuer][name].as_str().unwrap()
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js: tests/interop/run"]
async fn accepts_three_issuers_from_one_file() {
    let provider = Provider::start();
    let others = Others::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    let text = format!(
        "[[issuer]]\nurl = \"{}\"\nalgorithms = [\"PS256\", \"ES256\"]\ntoken_profile = \"rfc9068\"\n\n\
         [[issuer]]\nurl = \"{}\"\nrequired_scope = \"read:messages\"\n\n\
         [[issuer]]\nurl = \"{}\"\njwks_uri = \"{}\"\nalgorithms = [\"Ed25519\"]\n",
        provider.say("issuer"),
        others.say("mock", "issuer"),
        others.say("better", "issuer"),
        others.say("better", "jwks_uri"),
    );
    std::fs::write(&file, text).unwrap();
    let service = Service::with(&[
        ("ISSUERS_FILE", file.to_str().unwrap()),
        ("AUTH0_API_AUDIENCE", provider.say("audience")),
    ]);
    let scope = Some("read:messages");
    for (case, token, status) in [
        ("oidc-provider", provider.token("ES256", scope).await, 200),
        (
            "an algorithm of another issuer",
            provider.token("EdDSA", scope).await,
            401,
        ),
        (
            "oauth2-mock-server",
            others.say("mock", "token").to_owned(),
            200,
        ),
        // Its tokens have no scope, so they are authenticated but not authorized.
        ("better-auth", others.say("better", "token").to_owned(), 403),
    ] {
        let answer = service.ask(&token).await;
        assert_eq!(answer.status(), status, "{case}: {answer:?}");
    }
}
