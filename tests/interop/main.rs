//! The service with real issuers of other projects: npm's `oidc-provider`, `oauth2-mock-server` and
//! `better-auth`, and Debian's Glewlwyd and `LemonLDAP::NG`.
//!
//! `tests/interop/run` installs them. The service is just the unchanged binary with a configuration
//! for each.

#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use warp_bearer::{auth::Algorithm, issuer::SigningKey};

use support::process::Process;

const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

struct Provider {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// The provider's address, and its clients.
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
            .expect("node; run tests/interop/run, which installs the program");
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

    /// The number of requests for the key set so far.
    fn asked(&mut self) -> u64 {
        self.tell("count")["asked"].as_u64().unwrap()
    }

    fn tell(&mut self, word: &str) -> Value {
        writeln!(self.stdin, "{word}").unwrap();
        heard(&mut self.stdout)
    }

    /// Gets an access token for the API by client credentials, signed with this algorithm.
    async fn token(&self, algorithm: &str, scope: Option<&str>) -> String {
        let answer = self.grant("client_id", algorithm, scope, &[]).await;
        let token = answer["access_token"].as_str();
        token
            .unwrap_or_else(|| panic!("{algorithm}: {answer}"))
            .to_owned()
    }

    /// Requests a token of this kind as one of the clients, with additional header fields.
    async fn grant(
        &self,
        client: &str,
        kind: &str,
        scope: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Value {
        let resource = format!("{}/{kind}", self.say("audience"));
        let scope = scope.map_or(String::new(), |scope| format!("&scope={scope}"));
        let body = format!("grant_type=client_credentials&resource={resource}{scope}");
        let mut request = self.post("token", client, body);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&answer).expect(&answer)
    }

    /// A request with a form, authenticated as one of the clients.
    fn post(&self, path: &str, client: &str, body: String) -> RequestBuilder {
        self.client
            .post(format!("{}/{path}", self.say("issuer")))
            .basic_auth(self.say(client), Some(self.say("client_secret")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// Makes a token of the user, as a login would.
    fn user_token(&mut self, kind: &str) -> String {
        let resource = format!("{}/{kind}", self.say("audience"));
        let said = self.tell(&format!("user {resource}"));
        said["token"].as_str().unwrap().to_owned()
    }

    async fn revoke(&self, token: &str) {
        let answer = self.post("token/revocation", "client_id", format!("token={token}"));
        assert_eq!(answer.send().await.unwrap().status(), 200);
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

/// Reads the provider's next line of JSON, skipping those for operators.
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
        self.ask_with("Bearer", token, &[]).await
    }

    async fn ask_with(&self, scheme: &str, token: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.client.get(format!("{}/api/private-scoped", self.url));
        let mut request = request.header("authorization", format!("{scheme} {token}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn verdict(&self, token: &str) -> (u16, String) {
        verdict(self.ask(token).await).await
    }
}

async fn verdict(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

// Waiting for a process blocks a thread, so we need several
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

    // The service may have cached the earlier tokens, so we need new ones
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

const PUBLIC_URL: &str = "https://api.example.com";
const SCOPED: &str = "https://api.example.com/api/private-scoped";
const SCOPE: Option<&str> = Some("read:messages");

/// The settings with which the service asks the provider about opaque tokens.
fn asking(provider: &Provider) -> Vec<(&'static str, String)> {
    [
        ("AUTH0_ISSUER", provider.say("issuer")),
        ("AUTH0_API_AUDIENCE", provider.say("audience")),
        ("AUTH0_ALGORITHMS", "ES256,RS256"),
        ("AUTH0_INTROSPECTION", "opaque"),
        ("AUTH0_INTROSPECTION_CLIENT_ID", provider.say("client_id")),
        (
            "AUTH0_INTROSPECTION_CLIENT_SECRET",
            provider.say("client_secret"),
        ),
        ("AUTH0_INTROSPECTION_TTL", "2s"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn started(settings: &[(&str, String)], more: &[(&str, &str)]) -> Service {
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain(more.iter().copied())
        .collect();
    Service::with(&settings)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js: tests/interop/run"]
async fn accepts_tokens_bound_by_a_certified_provider() {
    let provider = Provider::start();
    let service = started(
        &asking(&provider),
        &[
            ("PUBLIC_URL", PUBLIC_URL),
            ("CLIENT_CERT_FIELD", "x-ssl-client-cert"),
        ],
    );
    let [key, other] = [(); 2].map(|()| SigningKey::generate(Algorithm::ES256));
    let endpoint = format!("{}/token", provider.say("issuer"));
    for kind in ["ES256", "opaque"] {
        let proof = key.proof("POST", &endpoint).sign();
        let granted = provider
            .grant("client_id", kind, SCOPE, &[("dpop", &proof)])
            .await;
        assert_eq!(granted["token_type"], "DPoP", "{kind}: {granted}");
        let token = granted["access_token"].as_str().unwrap();
        let proof = |key: &SigningKey| key.proof("GET", SCOPED).token(token).sign();
        let used = proof(&key);
        for (case, scheme, proof, expected) in [
            ("its proof", "DPoP", Some(&used), (200, "")),
            (
                "the proof again",
                "DPoP",
                Some(&used),
                (401, "proof_replayed"),
            ),
            ("another proof", "DPoP", Some(&proof(&key)), (200, "")),
            (
                "another key",
                "DPoP",
                Some(&proof(&other)),
                (401, "token_bound"),
            ),
            ("no proof", "DPoP", None, (401, "invalid_proof")),
            ("bearer", "Bearer", Some(&proof(&key)), (401, "token_bound")),
        ] {
            let fields: Vec<_> = proof.iter().map(|proof| ("dpop", proof.as_str())).collect();
            let answer = service.ask_with(scheme, token, &fields).await;
            let (status, code) = verdict(answer).await;
            assert_eq!((status, &*code), expected, "{kind}, {case}");
        }
    }

    let [mine, others] = [(); 2].map(|()| {
        let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        let pem = made.cert.pem().replace("\r\n", "\n");
        pem.replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B")
    });
    for kind in ["RS256", "opaque"] {
        let field = [("x-ssl-client-cert", mine.as_str())];
        let granted = provider.grant("certified", kind, SCOPE, &field).await;
        let token = granted["access_token"].as_str();
        let token = token.unwrap_or_else(|| panic!("{kind}: {granted}"));
        for (case, certificate, expected) in [
            ("its certificate", Some(&mine), (200, "")),
            ("another one", Some(&others), (401, "token_bound")),
            ("none", None, (401, "token_bound")),
        ] {
            let fields = certificate.map(|certificate| ("x-ssl-client-cert", certificate.as_str()));
            let fields: Vec<_> = fields.into_iter().collect();
            let answer = service.ask_with("Bearer", token, &fields).await;
            let (status, code) = verdict(answer).await;
            assert_eq!((status, &*code), expected, "{kind}, {case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js: tests/interop/run"]
async fn rejects_an_opaque_token_after_its_revocation_at_the_issuer() {
    let mut provider = Provider::start();
    let service = started(&asking(&provider), &[]);
    let grant = async |provider: &Provider| {
        let granted = provider.grant("client_id", "opaque", SCOPE, &[]).await;
        granted["access_token"].as_str().unwrap().to_owned()
    };
    let token = grant(&provider).await;
    assert!(!token.contains('.'), "{token}");
    let lasting = provider.user_token("opaque");
    for token in [&token, &token, &lasting] {
        assert_eq!(service.verdict(token).await, (200, String::new()));
    }
    provider.revoke(&token).await;
    let begin = Instant::now();
    while service.verdict(&token).await.0 == 200 {
        assert!(begin.elapsed() < Duration::from_secs(3), "the time to live");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let inactive = || (401, "token_inactive".to_owned());
    assert_eq!(service.verdict(&token).await, inactive());
    println!("refused {:?} after the revocation", begin.elapsed());

    let unseen = grant(&provider).await;
    provider.tell("stop");
    let down = || (503, "introspection_unavailable".to_owned());
    assert_eq!(service.verdict(&unseen).await, down());
    // A cached answer is used until its time to live is over, and after that we get 503, never 401.
    let begin = Instant::now();
    while service.verdict(&lasting).await != down() {
        assert!(begin.elapsed() < Duration::from_secs(3), "the time to live");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    provider.tell("start");
    let begin = Instant::now();
    for token in [&unseen, &lasting] {
        while service.verdict(token).await.0 != 200 {
            assert!(begin.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    println!("accepted {:?} after the issuer's return", begin.elapsed());
    assert_eq!(service.verdict(&token).await, inactive());
    assert_eq!(
        service.verdict("an-opaque-token-of-nobody").await,
        inactive()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js: tests/interop/run"]
async fn rejects_the_users_tokens_after_a_logout_at_the_provider() {
    let mut provider = Provider::start();
    let client = provider.say("application").to_owned();
    let service = started(&asking(&provider), &[("AUTH0_LOGOUT_CLIENT_ID", &client)]);
    let of_user = ["ES256", "RS256", "opaque"].map(|kind| provider.user_token(kind));
    let of_machine = provider.token("ES256", SCOPE).await;
    for token in of_user.iter().chain([&of_machine]) {
        assert_eq!(service.verdict(token).await, (200, String::new()));
    }
    // this command of the provider fails unless the service answers 200 or 204
    provider.tell(&format!("logout {}/backchannel-logout", service.url));
    for token in &of_user {
        let revoked = (401, "token_revoked".to_owned());
        assert_eq!(service.verdict(token).await, revoked);
    }
    assert_eq!(service.verdict(&of_machine).await, (200, String::new()));
    // `iat` has whole seconds, so a token of the same second belongs to the ended session.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = provider.user_token("ES256");
    assert_eq!(service.verdict(&new).await, (200, String::new()));
}

/// Debian's Glewlwyd, which exits when its standard input is closed.
struct Glewlwyd {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    about: Value,
}

impl Glewlwyd {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .arg("glewlwyd.py")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            about: heard(&mut stdout),
            stdin: child.stdin.take(),
            child,
            stdout,
        }
    }

    fn say(&self, name: &str) -> &str {
        self.about[name].as_str().unwrap()
    }

    fn tell(&mut self, words: &str) -> Value {
        writeln!(self.stdin.as_mut().unwrap(), "{words}").unwrap();
        heard(&mut self.stdout)
    }

    fn token(&mut self) -> String {
        self.tell("token")["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Glewlwyd {
    fn drop(&mut self) {
        // We can't just kill the script: its server would keep running
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Glewlwyd's tokens are JWTs, so the service has to introspect verified tokens too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Glewlwyd: tests/interop/run"]
async fn rejects_a_jwt_after_its_revocation_at_glewlwyd() {
    let mut issuer = Glewlwyd::start();
    let service = Service::with(&[
        ("AUTH0_ISSUER", issuer.say("issuer")),
        ("AUTH0_API_AUDIENCE", issuer.say("audience")),
        ("AUTH0_ALGORITHMS", "ES256"),
        ("AUTH0_INTROSPECTION", "always"),
        ("AUTH0_INTROSPECTION_CLIENT_ID", issuer.say("client_id")),
        (
            "AUTH0_INTROSPECTION_CLIENT_SECRET",
            issuer.say("client_secret"),
        ),
        ("AUTH0_INTROSPECTION_TTL", "2s"),
    ]);
    let (token, lasting) = (issuer.token(), issuer.token());
    for token in [&token, &token, &lasting] {
        assert_eq!(service.verdict(token).await, (200, String::new()));
    }
    issuer.tell(&format!("revoke {token}"));
    let begin = Instant::now();
    while service.verdict(&token).await.0 == 200 {
        assert!(begin.elapsed() < Duration::from_secs(3), "the time to live");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("refused {:?} after the revocation", begin.elapsed());
    let inactive = (401, "token_inactive".to_owned());
    assert_eq!(service.verdict(&token).await, inactive);

    let unseen = issuer.token();
    issuer.tell("stop");
    let down = (503, "introspection_unavailable".to_owned());
    assert_eq!(service.verdict(&unseen).await, down);
    let begin = Instant::now();
    while service.verdict(&lasting).await != down {
        assert!(begin.elapsed() < Duration::from_secs(3), "the time to live");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    issuer.tell("start");
    let begin = Instant::now();
    for token in [&unseen, &lasting] {
        while service.verdict(token).await.0 != 200 {
            assert!(begin.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    println!("accepted {:?} after the issuer's return", begin.elapsed());
    assert_eq!(service.verdict(&token).await, inactive);
}

/// Issuers that a script runs. The process exits when its standard input is closed.
struct Others {
    child: Child,
    about: Value,
}

impl Others {
    fn start(program: &str, script: &str) -> Self {
        let mut child = Command::new(program)
            .arg(script)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; run tests/interop/run, which installs the program")
            });
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
        // this also stops the server that the script has started
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node.js: tests/interop/run"]
async fn accepts_three_issuers_from_one_file() {
    let provider = Provider::start();
    let others = Others::start("node", "others.js");
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
        // no scope, so they're valid but not sufficient
        ("better-auth", others.say("better", "token").to_owned(), 403),
    ] {
        let answer = service.ask(&token).await;
        assert_eq!(answer.status(), status, "{case}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's glewlwyd: tests/interop/run"]
async fn accepts_glewlwyd_tokens_with_a_resource_and_explains_others() {
    let glewlwyd = Others::start("python3", "glewlwyd_resource.py");
    let say = |name: &str| glewlwyd.about[name].as_str().unwrap();
    let variables = [
        ("AUTH0_ISSUER", say("issuer")),
        ("AUTH0_API_AUDIENCE", say("audience")),
        ("AUTH0_TOKEN_PROFILE", "rfc9068"),
    ];
    let service = Service::with(&variables);
    let answer = service.ask(say("token")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    // Without a resource, `aud` has the list of scopes
    let answer = service.ask(say("without_resource")).await;
    assert_eq!(answer.status(), 401, "{answer:?}");
    let mut explain = Command::new(env!("CARGO_BIN_EXE_warp-bearer"));
    explain.args(["explain", say("without_resource")]);
    let explained = explain.env_clear().envs(variables).output().unwrap();
    let stdout = String::from_utf8(explained.stdout).unwrap();
    assert!(stdout.contains("401 wrong_audience"), "{stdout}");
    assert!(stdout.contains("Allow resource indicators"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's LemonLDAP::NG: tests/interop/run"]
async fn accepts_lemonldap_ng_tokens() {
    let lemonldap = Others::start("python3", "lemonldap.py");
    let say = |name: &str| lemonldap.about[name].as_str().unwrap();
    let service = Service::with(&[
        ("AUTH0_ISSUER", say("issuer")),
        ("AUTH0_API_AUDIENCE", say("audience")),
    ]);
    let answer = service.ask(say("token")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
}
