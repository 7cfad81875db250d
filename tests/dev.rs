//! Do the commands that `dev` prints and that the README shows do what stands beside them?
//!
//! Each is run as pasted, by `sh` and curl, and made once more without them: a machine that has no
//! curl proves the same.

#[path = "support/process.rs"]
mod process;

use std::process::Command;

use process::Process;
use reqwest::{Client, Method};
use serde_json::Value;

/// What `dev` prints: the line above a command, and the command.
struct Page(Vec<(String, String)>);

impl Page {
    fn read(dev: &mut Process) -> Self {
        let lines = dev.printed(|line| line.starts_with("curl") && line.ends_with("/metrics"));
        let mut commands = Vec::new();
        let mut above = String::new();
        for line in lines.into_iter().filter(|line| !line.is_empty()) {
            if line.starts_with("curl") {
                commands.push((above.clone(), line));
            } else {
                above = line;
            }
        }
        Self(commands)
    }

    /// `127.0.0.1:PORT` of the service.
    fn service(&self) -> &str {
        let mut commands = self.0.iter().map(|(_, command)| command);
        let command = commands.find(|c| c.ends_with("/readyz")).unwrap();
        let address = command.split("http://").nth(1).unwrap();
        address.split('/').next().unwrap()
    }
}

#[tokio::test]
async fn what_dev_prints_works_as_pasted() {
    let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
    let page = Page::read(&mut dev);

    #[rustfmt::skip]
    let rows = [
        ("Call the routes", "/oauth/token", 200, r#""token_type":"Bearer""#),
        ("Open to all, 200:", "/api/public", 200, "Hello from a public endpoint!"),
        ("Without a token, 401:", "/api/private", 401, r#""code":"missing_token""#),
        ("With one, 200 and its claims:", "/api/private", 200, r#""scope":"read:messages""#),
        ("With the scope read:messages, 200:", "/api/private-scoped", 200, "Hello from a private endpoint!"),
        ("With another scope, 403:", "/api/private-scoped", 403, r#""code":"insufficient_scope""#),
        ("How it is:", "/livez", 200, "alive"),
        ("How it is:", "/readyz", 200, r#""ready":true"#),
        ("How it is:", "/metrics", 200, "warp_bearer_requests_total"),
    ];
    assert_eq!(page.0.len(), rows.len(), "{:#?}", page.0);
    for ((above, command), (case, path, status, body)) in page.0.iter().zip(rows) {
        assert!(above.contains(case) || path == "/oauth/token", "{above}");
        assert!(command.contains("http://127.0.0.1:"), "{command}");
        assert!(command.contains(path), "{command}");
        for answer in answers(command).await {
            assert_eq!(answer.status, status, "{command}: {answer:?}");
            assert!(answer.body.contains(body), "{command}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_was_fetched_opens_what_its_scope_opens() {
    let mut dev = Process::start(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
    let page = Page::read(&mut dev);
    let (_, fetch) = &page.0[0];
    let commands = readme();
    assert!(commands.len() >= 5, "{commands:#?}");
    for answer in answers(fetch).await {
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(answer["expires_in"].is_u64(), "{answer}");
        let token = answer["access_token"].as_str().unwrap();
        for (command, status) in &commands {
            let command = command
                .replace("127.0.0.1:8000", page.service())
                .replace("$TOKEN", token);
            for answer in answers(&command).await {
                assert_eq!(answer.status, *status, "{command}: {answer:?}");
            }
        }
    }
}

/// The README's calls of the service, and the status in the comment after each.
fn readme() -> Vec<(String, u16)> {
    let lines = include_str!("../README.md").lines();
    lines
        .map(str::trim)
        .filter(|line| line.starts_with("curl ") && line.contains("127.0.0.1:8000"))
        .map(|line| {
            let (command, status) = line.split_once('#').expect("a status after #");
            (command.trim().to_owned(), status.trim().parse().unwrap())
        })
        .collect()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

/// What a command gets: by curl where there is one, and without it in any case.
async fn answers(command: &str) -> Vec<Answer> {
    let mut answers = vec![by_hand(command).await];
    if Command::new("curl").arg("--version").output().is_ok() {
        answers.push(by_curl(command));
    }
    answers
}

fn by_curl(command: &str) -> Answer {
    // A proxy of this machine's has no business on its loopback.
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("no_proxy", "127.0.0.1");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Without -i there is no head, and curl would print an error's body as well.
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        let status = if text.starts_with("{\"error") {
            400
        } else {
            200
        };
        return Answer { status, body: text };
    };
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: body.to_owned(),
    }
}

/// The request that curl would make of the options used here.
async fn by_hand(command: &str) -> Answer {
    let mut words = words(command).into_iter().skip(1);
    let (mut url, mut form, mut fields) = (String::new(), Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match &*word {
            "-i" | "-s" => {}
            "-d" => form.push(words.next().unwrap()),
            "-H" => fields.push(words.next().unwrap()),
            _ => url = word,
        }
    }
    let client = Client::builder().no_proxy().build().unwrap();
    let mut request = if form.is_empty() {
        client.request(Method::GET, &url)
    } else {
        let kind = "application/x-www-form-urlencoded";
        let request = client.post(&url).header("content-type", kind);
        request.body(form.join("&"))
    };
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

/// A command as the shell splits it, of blanks and quotes.
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
