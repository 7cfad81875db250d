//! What the migration pages say about other libraries is true.
//!
//! The other libraries' programs are in `tests/peers/`. `tests/peers/run` installs their
//! dependencies and sends each of them the same requests as this library.

use std::{
    env,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use reqwest::Client;
use serde_json::json;
use tower::Service;
use warp::{
    Filter,
    filters::BoxedFilter,
    http::{HeaderMap, Request, header},
    reply::Response,
};
use warp_bearer::{
    auth::{
        Algorithm, Auth, BearerFilterExt, Claims, handle_rejection,
        policy::{claim, equals, scope},
        with_auth,
    },
    issuer::{Fault, Issuer, SigningKey},
};

const FROM_FASTAPI: &str = include_str!("../../docs/from-fastapi.md");
const FROM_EXPRESS: &str = include_str!("../../docs/from-express.md");

fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    let blocks: Vec<_> = blocks
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert!(!blocks.is_empty(), "a block of {language}");
    blocks
}

#[test]
fn pages_show_the_code_that_runs() {
    let python = [
        include_str!("../peers/fastapi/main.py"),
        include_str!("../peers/fastapi/test_main.py"),
    ]
    .concat();
    let javascript = include_str!("../peers/express/server.mjs");
    for (page, language, source) in [
        (FROM_FASTAPI, "python", &*python),
        (FROM_EXPRESS, "js", javascript),
    ] {
        for block in blocks(page, language) {
            assert!(source.contains(block), "in no file of {language}:\n{block}");
        }
    }
}

/// A request: the path, and the `Authorization` fields.
type Sent = (&'static str, Vec<String>);

fn sent(case: &str, issuer: &Issuer) -> Sent {
    let token = || issuer.token().scope("read:messages");
    let private = "/api/private";
    let one = |token: String| vec![format!("Bearer {token}")];
    let forger = SigningKey::generate(Algorithm::RS256);
    match case {
        "nothing, to the public route" => ("/api/public", vec![]),
        "a good token" => (private, one(token().sign())),
        "no token" => (private, vec![]),
        "another scheme" => (private, vec!["Basic YTpi".to_owned()]),
        "`Bearer` and nothing" => (private, vec!["Bearer".to_owned()]),
        "two `Authorization` fields" => (
            private,
            [one(token().sign()), one("a.b.c".to_owned())].concat(),
        ),
        "an opaque token" => (private, one("kZ1hS4tGkq".to_owned())),
        "a token that expired 15 seconds ago" => (
            private,
            one(token().expired_since(Duration::from_secs(15)).sign()),
        ),
        "a token that expired an hour ago" => (private, one(token().expired().sign())),
        "a token that is not valid until tomorrow" => {
            (private, one(token().not_before(86_400).sign()))
        }
        "a token for another audience" => (
            private,
            one(token().audience("https://other.example").sign()),
        ),
        "a token without an audience" => (private, one(token().without("aud").sign())),
        "a token of another issuer" => (
            private,
            one(token().claim("iss", "https://other.example/").sign()),
        ),
        "a forged token, with the `kid` of a published key" => (
            private,
            one(token().key(&forger.with_kid(issuer.key().kid())).sign()),
        ),
        "a token signed by a key that is not published" => {
            (private, one(token().key(&forger).sign()))
        }
        "a token with `crit` in its header" => (
            private,
            one(token().header("crit", ["x"]).header("x", 1).sign()),
        ),
        "a logout token" => (private, one(token().typ("logout+jwt").sign())),
        "a token that is bound by DPoP" => (
            private,
            one(token().claim("cnf", json!({"jkt": "x"})).sign()),
        ),
        "a token that is bound by mutual TLS" => (
            private,
            one(token().claim("cnf", json!({"x5t#S256": "x"})).sign()),
        ),
        "a token without the scope" => ("/api/private-scoped", one(issuer.token().sign())),
        "a token without the scope, to the messages" => {
            ("/api/private/messages", one(issuer.token().sign()))
        }
        "a token with another value of the claim" => (
            "/api/private/gold",
            one(issuer.token().claim("https://my.app/tier", "free").sign()),
        ),
        "a good token, while the issuer is down" => {
            issuer.fail(Fault::Status(500));
            (private, one(token().sign()))
        }
        unknown => panic!("unknown request: {unknown}"),
    }
}

/// A status with its reason: the library's `code`, or the `error` of a challenge.
fn status_and_reason(status: u16, headers: &HeaderMap, code: Option<&str>) -> String {
    let challenge = headers.get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map_or("", |challenge| challenge.to_str().unwrap());
    let error = challenge.split_once("error=\"");
    let error = error.and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    match code.or(error) {
        Some(said) => format!("{status} `{said}`"),
        None if challenge.is_empty() => format!("{status}"),
        None => format!("{status}, challenged"),
    }
}

/// The routes on both pages.
fn routes(auth: &Auth) -> BoxedFilter<(Response,)> {
    let open = |path, needs| {
        let route = warp::path(path).and(warp::path::end());
        match needs {
            Some(needs) => route
                .and(with_auth(auth).require(needs))
                .map(|_: Claims| "in")
                .route(),
            None => route.and(with_auth(auth)).map(|_: Claims| "in").route(),
        }
    };
    let public = warp::path!("api" / "public").map(|| "open to all").route();
    let private = warp::path("private").and(
        open("messages", Some(scope("read:messages")))
            .or(open(
                "gold",
                Some(claim("https://my.app/tier", equals("gold"))),
            ))
            .unify(),
    );
    let scoped = open("private-scoped", Some(scope("read:messages")));
    let api = open("private", None).or(private).unify().or(scoped).unify();
    let routes = public.or(warp::path("api").and(api)).unify();
    routes.recover(handle_rejection).unify().boxed()
}

async fn ours(issuer: &Issuer, (path, fields): Sent) -> String {
    let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
    let mut request = Request::get(path);
    for field in fields {
        request = request.header(header::AUTHORIZATION, field);
    }
    let request = request.body(String::new()).unwrap();
    let answer = warp::service(routes(&auth)).call(request).await.unwrap();
    let code = answer
        .extensions()
        .get::<warp_bearer::auth::problem::Code>();
    let code = code.map(|code| code.as_str());
    status_and_reason(answer.status().as_u16(), answer.headers(), code)
}

/// A running server with another library. It is killed when dropped.
struct Peer {
    child: Child,
    url: String,
    client: Client,
}

impl Peer {
    /// Runs `command` with a free port in `PORT`, and waits until the server answers.
    async fn start(command: &mut Command) -> Self {
        // the listener reserves the port, and frees it at the end of this statement
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let peer = Self {
            child: command.env("PORT", port.to_string()).spawn().unwrap(),
            url: format!("http://127.0.0.1:{port}"),
            client: Client::builder().no_proxy().build().unwrap(),
        };
        let started = async {
            let public = format!("{}/api/public", peer.url);
            while peer.client.get(&public).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let limit = Duration::from_secs(120);
        tokio::time::timeout(limit, started)
            .await
            .expect("it starts");
        peer
    }

    async fn fastapi(issuer: &Issuer) -> Self {
        let python = PathBuf::from(env::var_os("PEERS_PYTHON").expect("tests/peers/run sets it"));
        let mut command = Command::new(python);
        command
            .args(["-c", "import os, uvicorn; uvicorn.run('main:app', port=int(os.environ['PORT']), log_level='critical')"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fastapi"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AUTH0_DOMAIN", issuer.addr().to_string())
            .env("AUTH0_API_AUDIENCE", issuer.audience())
            .env("AUTH0_ISSUER", issuer.url())
            .env("AUTH0_ALGORITHMS", "RS256");
        Self::start(&mut command).await
    }

    async fn express(issuer: &Issuer) -> Self {
        let mut command = Command::new("node");
        command
            .arg("server.mjs")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/express"))
            // otherwise, Express writes each error to the terminal
            .env("NODE_ENV", "test")
            .env("ISSUER_BASE_URL", issuer.url())
            .env("AUDIENCE", issuer.audience());
        Self::start(&mut command).await
    }

    async fn answer(&self, (path, fields): Sent) -> String {
        let mut request = self.client.get(format!("{}{path}", self.url));
        for field in fields {
            request = request.header(header::AUTHORIZATION, field);
        }
        let answer = request.send().await.unwrap();
        status_and_reason(answer.status().as_u16(), answer.headers(), None)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows of the comparison: the request, the other library's answer, and ours.
fn answers(page: &str) -> Vec<[&str; 3]> {
    let table = page
        .lines()
        .skip_while(|line| !line.starts_with("| sent |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap()
    })
    .collect()
}

#[tokio::test]
#[ignore = "needs FastAPI and Express: tests/peers/run"]
async fn tables_match_both_libraries() {
    for (page, is_fastapi) in [(FROM_FASTAPI, true), (FROM_EXPRESS, false)] {
        let start = async |issuer: &Issuer| {
            if is_fastapi {
                Peer::fastapi(issuer).await
            } else {
                Peer::express(issuer).await
            }
        };
        let well = Issuer::start().await;
        let peer = start(&well).await;
        let mut seen = Vec::new();
        let mut shown = Vec::new();
        for [case, theirs, here] in answers(page) {
            // a server that already holds keys wouldn't notice an outage
            let row = if case.ends_with("is down") {
                let down = Issuer::start().await;
                let fresh = start(&down).await;
                let sent = || sent(case, &down);
                (fresh.answer(sent()).await, ours(&down, sent()).await)
            } else {
                let sent = || sent(case, &well);
                (peer.answer(sent()).await, ours(&well, sent()).await)
            };
            seen.push(format!("| {case} | {} | {} |", row.0, row.1));
            shown.push(format!("| {case} | {theirs} | {here} |"));
        }
        assert!(!seen.is_empty(), "a table of answers");
        assert!(shown == seen, "the table is:\n{}", seen.join("\n"));
    }
}

#[test]
#[ignore = "needs FastAPI: tests/peers/run"]
fn peer_tests_pass() {
    let python = env::var_os("PEERS_PYTHON").expect("tests/peers/run sets it");
    let tests = "import test_main; [run() for name, run in vars(test_main).items() if name.startswith('test_')]";
    let status = Command::new(python)
        .args(["-c", tests])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fastapi"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AUTH0_DOMAIN", "tenant.example")
        .env("AUTH0_API_AUDIENCE", "https://api.example.com")
        .env("AUTH0_ISSUER", "https://tenant.example/")
        .env("AUTH0_ALGORITHMS", "RS256")
        .status();
    assert!(status.unwrap().success());
}
