//! The commands that `dev` prints, and those in the README, do what they are said to do.
//!
//! Each command runs twice: as pasted, with `sh` and curl, and as an equivalent request, so that
//! the test is still useful on a machine without curl.

use std::process::Command;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Client;
use serde_json::Value;

use crate::support::process::{Directory, Process, run};

/// The commands on the page that `dev` prints, each with the caption above it.
struct Page(Vec<(String, String)>);

impl Page {
    fn read(dev: &mut Process) -> Self {
        Self::of(&dev.printed(|line| line == "Stop with Ctrl-C."))
    }

    fn of(lines: &[String]) -> Self {
        // Users paste a block as a whole, so each caption is a shell comment
        let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("# "));
        let pairs = pairs.map(|pair| (pair[0][2..].to_owned(), pair[1].clone()));
        Self(pairs.collect())
    }

    fn command(&self, path: &str) -> &str {
        let mut commands = self.0.iter().map(|(_, command)| command);
        commands.find(|command| command.ends_with(path)).unwrap()
    }

    /// The service's address, as `127.0.0.1:PORT`.
    fn service(&self) -> &str {
        let address = self.command("/api/public").split("http://").nth(1).unwrap();
        address.split('/').next().unwrap()
    }

    /// Gets a token in the way a script would.
    fn token(&self, scope: &str) -> String {
        let arguments = ["dev", "--token", "--scope", scope];
        let output = run(&Directory::new(), &arguments, &[("LISTEN", self.service())]);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let token = printed.trim_end_matches('\n').to_owned();
        assert_eq!(token.matches('.').count(), 2, "{token}");
        token
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_printed_by_dev_work_when_pasted() {
    let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
    let page = Page::read(&mut dev);
    let reader = page.token("read:messages");

    #[rustfmt::skip]
    let rows = [
        ("In another terminal, get a token that is valid for a day:", 0, ""),
        ("Open to everyone, 200:", 200, "Hello from a public endpoint!"),
        ("Without a token, 401:", 401, r#""code":"missing_token""#),
        ("With the token, 200 and its claims:", 200, r#""scope":"read:messages""#),
        ("With the scope of the token, 200; without --scope, 403:", 200, "Hello from a private endpoint!"),
        ("Why a token is accepted or rejected:", 0, "Accepted: the token is valid."),
    ];
    assert_eq!(page.0.len(), rows.len(), "{:#?}", page.0);
    for ((above, command), (case, status, body)) in page.0.iter().zip(rows) {
        assert_eq!(above, case);
        if command.starts_with("curl") {
            // with the usual port, the command should fit into a terminal of 80 columns
            assert!(command.len() <= 80 + page.service().len() - "127.0.0.1:8000".len());
            for answer in answers(command, &reader).await {
                assert_eq!(answer.status, status, "{command}: {answer:?}");
                assert!(answer.body.contains(body), "{command}: {answer:?}");
            }
        } else {
            let line = format!("TOKEN={reader}; {command}; test -n \"$TOKEN\"");
            let shown = shell(&line);
            assert!(shown.contains(body), "{command}: {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readme_requests_return_the_documented_status() {
    let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
    let page = Page::read(&mut dev);
    let token = page.token("read:messages");
    let plain = page.token("read:reports");
    let commands = readme();
    assert!(commands.len() >= 6, "{commands:#?}");
    assert!(commands.iter().any(|(_, status)| *status == 403));
    for (command, status) in &commands {
        let command = command.replace("127.0.0.1:8000", page.service());
        let command = command.replace("$PLAIN", &plain);
        for answer in answers(&command, &token).await {
            assert_eq!(answer.status, *status, "{command}: {answer:?}");
        }
    }
}

/// Repeats each command of `docs/session.txt`. Where the session starts `dev`, we start one too.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_session_is_up_to_date() {
    let session = include_str!("../../docs/session.txt");
    let recorded: Vec<_> = session.split("\n## ").map(commands).collect();
    let [started, called, why] = &*recorded else {
        panic!("{} terminals", recorded.len())
    };
    let start = || {
        let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
        let lines = dev.printed(|line| line == "Stop with Ctrl-C.");
        (dev, lines)
    };

    let (dev, lines) = start();
    let page = Page::of(&lines);
    assert_eq!(started[0].0, "cargo run -- dev");
    // cargo's lines and the log come first
    let page_at = started[0].1.find("warp-bearer dev: ").unwrap();
    let mut page_lines: Vec<_> = started[0].1[page_at..].lines().collect();
    // The session was recorded with the default features.
    page_lines.retain(|line| cfg!(feature = "docs") || !line.starts_with("  docs "));
    assert_eq!(masked(&page_lines.join("\n")), masked(&lines.join("\n")));
    let token = page.token("read:messages");
    replay(called, &page, &token);
    drop(dev);

    let (_dev, lines) = start();
    replay(why, &Page::of(&lines), &token);
    assert!(why.last().unwrap().1.contains("Rejected: 401"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_a_token_of_the_requested_shape() {
    for (profile, typ, has, has_not) in [
        ("auth0", "JWT", "azp", "client_id"),
        ("rfc9068", "at+jwt", "client_id", "gty"),
    ] {
        let vars = [("LISTEN", "127.0.0.1:0")];
        let mut dev = Process::start(&["dev", "--profile", profile], &vars);
        let page = Page::read(&mut dev);
        let token = page.token("read:messages");
        let listen = [("LISTEN", page.service())];
        let part = |at: usize| -> Value {
            let bytes = base64url(token.split('.').nth(at).unwrap());
            serde_json::from_slice(&bytes).unwrap()
        };
        assert_eq!(part(0)["typ"], typ, "{profile}");
        assert_eq!(part(1)[has], "dev", "{profile}");
        assert!(part(1).get(has_not).is_none(), "{profile}");
        let answer = by_hand(&format!(
            "{} -H 'Authorization: Bearer {token}'",
            page.command("/api/private")
        ))
        .await;
        assert_eq!(answer.status, 200, "{profile}: {answer:?}");

        let output = run(
            &Directory::new(),
            &["dev", "--token", "--scope", "a \"b\" c:d"],
            &listen,
        );
        let stderr = String::from_utf8(output.stderr).unwrap();
        let line = "\"b\" was not granted: it is not a valid scope (RFC 6749 §3.3)\n";
        assert_eq!(stderr, line, "{profile}");
        let token = String::from_utf8(output.stdout).unwrap();
        let claims: Value =
            serde_json::from_slice(&base64url(token.split('.').nth(1).unwrap())).unwrap();
        assert_eq!(claims["scope"], "a c:d", "{profile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn service_survives_rotation_and_issuer_faults() {
    let vars = [("LISTEN", "127.0.0.1:0"), ("RUST_LOG", "info")];
    let mut dev = Process::start(&["dev", "--rotate-every", "500ms"], &vars);
    let page = Page::read(&mut dev);
    for _ in 0..2 {
        dev.logged(|line| line.contains("signing key rotated"));
        let call = page.command("/api/private");
        let token = page.token("read:messages");
        let answer = by_hand(&format!("{call} -H 'Authorization: Bearer {token}'")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    drop(dev);

    let mut dev = Process::start(&["dev", "--fail", "500"], &vars);
    let page = Page::read(&mut dev);
    let token = page.token("read:messages");
    dev.logged(|line| line.contains("key set fetch failed"));
    let call = page.command("/api/private");
    let answer = by_hand(&format!("{call} -H 'Authorization: Bearer {token}'")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let ready = page
        .command("/api/public")
        .replace("/api/public", "/readyz");
    let ready = by_hand(&ready).await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body.contains(r#""last_error":"status""#), "{ready:?}");
}

/// DNS rebinding: see `rejects_hosts_other_than_loopback` in `tests/issuer/server.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_only_loopback_hosts() {
    let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
    let page = Page::read(&mut dev);
    let service = page.service().to_owned();
    let port = service.rsplit(':').next().unwrap().to_owned();
    let client = Client::builder().no_proxy().build().unwrap();
    let ready = async |host: String| {
        let request = client.get(format!("http://{service}/readyz"));
        request.header("host", host).send().await.unwrap()
    };
    for host in [format!("evil.example:{port}"), "evil.example".to_owned()] {
        let answer = ready(host.clone()).await;
        assert_eq!(answer.status().as_u16(), 400, "{host}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["code"], "bad_host", "{host}");
        let detail = "dev answers only requests whose Host is localhost or a loopback address.";
        assert_eq!(body["detail"], detail, "{host}");
    }
    // The attack needs a host name, so any port is fine: a proxy may leave it out, or send its own.
    for host in ["localhost", "127.0.0.1", "127.0.0.1:1", "[::1]:8080"] {
        let answer = ready(host.to_owned()).await;
        assert_eq!(answer.status().as_u16(), 200, "{host}");
    }
    let answer = ready(format!("localhost:{port}")).await;
    assert_eq!(answer.status().as_u16(), 200);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let issuer = body["issuers"][0]["issuer"].as_str().unwrap();
    let keys = client.get(format!("{issuer}.well-known/jwks.json"));
    let answer = keys.header("host", "evil.example").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_without_a_running_dev_is_one_error_line() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = other.local_addr().unwrap().to_string();
    let tenant = r#"{"issuers":[{"issuer":"https://tenant.eu.auth0.com/"}]}"#;
    let routes = warp::Filter::map(warp::any(), move || tenant);
    tokio::spawn(warp::serve(routes).incoming(other).run());
    for (listen, why) in [
        (nowhere, "no server answers"),
        (elsewhere, "a program other than `warp-bearer dev` answers"),
    ] {
        let output = run(
            &Directory::new(),
            &["dev", "--token"],
            &[("LISTEN", &listen)],
        );
        let line = format!(
            "http://{listen}: {why}; start `warp-bearer dev` in another terminal, or set LISTEN to its address\n"
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), line);
        assert_eq!(output.status.code(), Some(69));
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_cors_origins_can_fetch_a_token() {
    let page_origin = "http://localhost:3000";
    let client = Client::builder().no_proxy().build().unwrap();
    for (case, origins, status, allowed) in [
        ("listed", page_origin, 204, Some(page_origin)),
        ("another", "http://localhost:3001", 405, None),
        ("all", "*", 405, None),
    ] {
        let vars = [("LISTEN", "127.0.0.1:0"), ("CORS_ORIGINS", origins)];
        let mut dev = Process::start(&["dev"], &vars);
        let page = Page::read(&mut dev);
        let ready = client.get(format!("http://{}/readyz", page.service()));
        let ready = ready.send().await.unwrap().text().await.unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let issuer = ready["issuers"][0]["issuer"].as_str().unwrap();
        let endpoint = format!("{issuer}oauth/token");
        let preflight = client.request(reqwest::Method::OPTIONS, endpoint);
        let preflight = preflight.header("origin", page_origin);
        let preflight = preflight.header("access-control-request-method", "POST");
        let answer = preflight.send().await.unwrap();
        assert_eq!(answer.status(), status, "{case}");
        let field = answer.headers().get("access-control-allow-origin");
        let field = field.map(|origin| origin.to_str().unwrap());
        assert_eq!(field, allowed, "{case}");
    }
}

#[cfg(unix)]
#[test]
fn ends_when_the_terminal_closes() {
    let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
    Page::read(&mut dev);
    assert_eq!(dev.hang_up().code(), None);
}

fn base64url(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The README's requests to the service, with the status in the comment above each. The comment
/// needs its own line: an interactive zsh passes what follows a `#` as arguments.
fn readme() -> Vec<(String, u16)> {
    let lines: Vec<_> = include_str!("../../README.md")
        .lines()
        .map(str::trim)
        .collect();
    lines
        .windows(2)
        .filter(|pair| pair[1].starts_with("curl ") && pair[1].contains("127.0.0.1:8000"))
        .map(|pair| {
            let comment = pair[0].strip_prefix("# ").expect("a comment above");
            let (status, _) = comment.split_once(':').expect("a status and a colon");
            (pair[1].to_owned(), status.parse().unwrap())
        })
        .collect()
}

fn commands(terminal: &str) -> Vec<(&str, &str)> {
    let commands = terminal.split("\n$ ").skip(1);
    commands
        .map(|one| one.split_once('\n').unwrap_or((one, "")))
        .collect()
}

/// Repeats the recorded commands against this `dev`, and compares the output.
fn replay(recorded: &[(&str, &str)], page: &Page, token: &str) {
    let curl = Command::new("curl").arg("--version").output().is_ok();
    let directory = Directory::new();
    for (command, expected) in recorded {
        if command.starts_with("curl") && !curl {
            continue;
        }
        // The page has the same command with other addresses and paths
        let mut printed = page.0.iter().map(|(_, printed)| printed);
        let printed = printed.find(|printed| masked(printed) == masked(command));
        let printed = printed.unwrap_or_else(|| panic!("dev does not print {command}"));
        let line = format!(
            "cd {}; TOKEN={token}; {printed}; true",
            directory.path().display()
        );
        assert_eq!(masked(&shell(&line)), masked(expected), "{command}");
    }
}

/// Removes what differs from run to run: ports, dates, sizes, names of keys and of requests, and
/// the path of the program.
fn masked(text: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("date: ") {
            return "date:".to_owned();
        }
        // The claims contain the issuer's port, which has four or five digits, so lengths differ.
        for sized in ["content-length: ", "✓ size "] {
            if line.trim_start().starts_with(sized) {
                return sized.to_owned();
            }
        }
        // These lines have a date, and how far it is from now
        for dated in ["  ✓ exp", "  ✓ iat"] {
            if line.starts_with(dated) {
                return dated.to_owned();
            }
        }
        let program = env!("CARGO_BIN_EXE_warp-bearer");
        // The recording was made with `cargo run`, but here the program prints its own path.
        let line = line.replace("cargo run --quiet --", program);
        let mut line = line.replace(program, "target/debug/warp-bearer");
        while let Some(start) = line.find("LISTEN=") {
            let end = line[start..].find(' ').unwrap();
            line.replace_range(start..=start + end, "");
        }
        let words = line.split([' ', '"', ':', '/', ',']).map(|word| {
            let name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let number = word.len() > 3 && word.chars().all(|c| c.is_ascii_digit());
            let long = word.len() >= 32 && word.chars().all(name);
            if number || long { "…" } else { word }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<_> = text.trim().lines().map(line).collect();
    lines.join("\n")
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

/// Runs a command without curl, and with curl if it's installed.
async fn answers(command: &str, token: &str) -> Vec<Answer> {
    let mut answers = vec![by_hand(&command.replace("$TOKEN", token)).await];
    if Command::new("curl").arg("--version").output().is_ok() {
        answers.push(by_curl(&format!("TOKEN={token}; {command}")));
    }
    answers
}

fn shell(command: &str) -> String {
    // ignore a proxy that is configured on this machine
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("no_proxy", "127.0.0.1");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn by_curl(command: &str) -> Answer {
    let text = shell(command);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: body.to_owned(),
    }
}

/// Sends the request that curl would send for the options used here.
async fn by_hand(command: &str) -> Answer {
    let mut words = words(command).into_iter().skip(1);
    let (mut url, mut fields) = (String::new(), Vec::new());
    while let Some(word) = words.next() {
        match &*word {
            "-i" => {}
            "-H" | "-iH" => fields.push(words.next().unwrap()),
            _ => url = word,
        }
    }
    let client = Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(&url);
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        body: answer.text().await.unwrap(),
    }
}

/// Splits a command into words as the shell does: at blanks, outside of quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The commands depend on each other's variables, so one shell runs all of them, just as if they'd
/// been pasted, and then they run again without a shell.
#[tokio::test(flavor = "multi_thread")]
async fn dpop_commands_printed_by_dev_work_when_pasted() {
    let mut dev = Process::start(&["dev", "--dpop"], &[("LISTEN", "127.0.0.1:0")]);
    let page = Page::read(&mut dev);
    let url = page.command("/api/private").split_whitespace().last();
    let url = url.unwrap().to_owned();
    let service = url.trim_start_matches("http://").split('/').next();
    let service = service.unwrap().to_owned();
    let printed = |arguments: &[&str]| {
        let output = run(&Directory::new(), arguments, &[("LISTEN", &service)]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let token = printed(&["dev", "--token", "--dpop", "--scope", "read:messages"]);
    let proof = printed(&["dev", "--proof", "GET", &url, "--for-token", &token]);
    let plain = printed(&["dev", "--token"]);
    for (case, authorization, status, code) in [
        ("with both", Some(format!("DPoP {token}")), 200, ""),
        (
            "again",
            Some(format!("DPoP {token}")),
            401,
            "proof_replayed",
        ),
        (
            "as a bearer token",
            Some(format!("Bearer {token}")),
            401,
            "token_bound",
        ),
        ("without", None, 401, "missing_token"),
        ("a plain token", Some(format!("Bearer {plain}")), 200, ""),
    ] {
        let mut request = Client::new().get(&url).header("DPoP", &proof);
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request.send().await.unwrap();
        let (found, body) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(found, status, "{case}: {body}");
        assert!(body.contains(code), "{case}: {body}");
    }

    let script: Vec<_> = page.0.iter().map(|(_, command)| &**command).collect();
    assert_eq!(script.len(), 7, "{:#?}", page.0);
    let explain = format!("TOKEN={token}; PROOF={proof}; {}", script[6]);
    let shown = shell(&explain);
    assert!(shown.contains("Accepted: the token is valid."), "{shown}");
    assert!(shown.contains("proof htu"), "{shown}");
    assert!(script[0].ends_with(" --dpop --scope read:messages)"));
    assert!(!shown.contains("not granted the scope"), "{shown}");
    if Command::new("curl").arg("--version").output().is_ok() {
        let script = script.join("\n") + &format!("\n{}", script[2]);
        let shown = shell(&script.replace("curl -i", "curl -si"));
        let statuses: Vec<_> = shown
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| &answer[..3])
            .collect();
        assert_eq!(statuses, ["200", "401", "401", "200", "401"], "{shown}");
        assert!(shown.contains("proof_replayed"), "{shown}");
    }
}

#[test]
fn prints_a_proof_with_token_and_nonce() {
    let url = "https://api.example.com/a";
    let arguments = [
        "dev",
        "--proof",
        "PUT",
        url,
        "--for-token",
        "a.b.c",
        "--nonce",
        "n",
    ];
    let output = run(&Directory::new(), &arguments, &[]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let claims = printed.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        (&claims["htm"], &claims["htu"], &claims["nonce"]),
        (&"PUT".into(), &url.into(), &"n".into())
    );
    for wrong in [
        &["dev", "--proof", "GET"][..],
        &["dev", "--proof", "GET", url],
        &["dev", "--for-token", "a.b.c"],
        &["dev", "--proof", "GET", "/a", "--for-token", "a.b.c"],
        &[
            "dev",
            "--proof",
            "GET",
            "api.example.com/a",
            "--for-token",
            "a",
        ],
        &["dev", "--proof", "GET", "https://", "--for-token", "a.b.c"],
        &["dev", "--proof", "GET", url, "--for-token", "a", "--token"],
    ] {
        let output = run(&Directory::new(), wrong, &[]);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_the_variables_that_it_ignores() {
    let variables = [
        ("LISTEN", "127.0.0.1:0"),
        ("STATE_STORE", "redis://127.0.0.1:1"),
        ("CLIENT_CERT_FIELD", "client-cert"),
        ("DOCS", "off"),
    ];
    let mut dev = Process::start(&["dev"], &variables);
    let lines = dev.logged(|line| line.contains("dev ignores"));
    assert_eq!(lines, ["dev ignores CLIENT_CERT_FIELD, STATE_STORE"]);
}
