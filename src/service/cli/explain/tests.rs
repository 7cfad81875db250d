//! The verdict of `explain` is the same as that of the routes, for any header value.

use std::collections::BTreeMap;

use hyper::{body::Bytes, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config as Settings, TestRunner},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;
use warp::http::{HeaderName, HeaderValue, Method, Request, header::AUTHORIZATION};

use crate::{
    algorithm::Algorithm,
    auth::{AuthError, dpop::DpopMode, explain_proof::ProofOfRequest, policy::scopes},
    issuer::{Issuer, SigningKey},
    service::{
        api::{route::Access, routes::routes},
        cli::{
            auth,
            env_file::EnvFile,
            explain::{
                Options, build_auth,
                explanation::{Explanation, Subject, Wanted},
                pasted::Pasted,
                proxy::Proxy,
            },
        },
        config::{Config, Environment},
        http::{
            idle_timeout::IdleTimeout,
            lingering_close::LingeringClose,
            server::largest_head,
            strict_heads::{Framing, StrictHeads},
        },
    },
};

const SECOND: &str = "https://second.example/mcp";

struct World {
    issuer: Issuer,
    environment: Environment,
    config: Config,
    access: Access,
}

/// The status, the code, and the headers that `/auth` adds.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    code: Option<String>,
    identity: BTreeMap<String, String>,
}

impl World {
    async fn start(required: Option<&str>) -> Self {
        Self::with(required, &[]).await
    }

    async fn with(required: Option<&str>, more: &[(&str, &str)]) -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let url = issuer.url().to_owned();
        let pairs = [&[("AUTH0_ISSUER", &*url)], more].concat();
        Self::of(issuer, required, &pairs).await
    }

    /// The issuer has this table in the issuers file
    async fn with_table(options: &str) -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let table = format!("[[issuer]]\nurl = {:?}\n{options}\n", issuer.url());
        std::fs::write(file.path(), table).unwrap();
        let path = file.path().to_str().unwrap();
        Self::of(issuer, None, &[("ISSUERS_FILE", path)]).await
    }

    async fn of(issuer: Issuer, required: Option<&str>, more: &[(&str, &str)]) -> Self {
        let audiences = format!("{},{SECOND}", issuer.audience());
        let pairs = [
            ("AUTH0_API_AUDIENCE", &*audiences),
            ("AUTH0_ALGORITHMS", "ES256"),
        ];
        let environment = Environment::of(pairs.into_iter().chain(more.iter().copied()));
        let (mut config, _) = Config::from_environment(&environment).unwrap();
        config.required_scope = required.map(|list| scopes(list).unwrap());
        let access = Access {
            resource_scopes: None,
            auth: auth::builder(&config).build().unwrap(),
            required: config.required_scope.clone(),
            docs: None,
            forward_auth_paths: config.forward_auth_paths,
            demo_routes: config.demo_routes,
            max_token_bytes: config.max_token_bytes,
        };
        access.auth.ready().await;
        Self {
            issuer,
            environment,
            config,
            access,
        }
    }

    /// Sends a value of `Authorization` to the real routes.
    async fn answer(&self, path: &str, field: &HeaderValue) -> Answer {
        self.answer_to(path, &AUTHORIZATION, field).await
    }

    /// Sends a value of this header to the real routes.
    async fn answer_to(&self, path: &str, name: &HeaderName, field: &HeaderValue) -> Answer {
        self.answer_to_fields(path, &[(name.clone(), field.clone())])
            .await
    }

    /// Sends these headers to the real routes.
    async fn answer_to_fields(&self, path: &str, fields: &[(HeaderName, HeaderValue)]) -> Answer {
        let body = http_body_util::Full::<Bytes>::default();
        let mut request = Request::get(path).body(body).unwrap();
        request.headers_mut().extend(fields.iter().cloned());
        let service = warp::service(routes(&self.access, || false));
        let response = service.oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .await
            .unwrap()
            .to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let identity = head
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-auth-"));
        Answer {
            status: head.status.as_u16(),
            code: body["code"]
                .as_str()
                .map(str::to_owned)
                .filter(|_| head.status != 200),
            identity: identity
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
        }
    }

    /// Sends the bytes of a whole request to the real routes, through the server's check of heads
    /// and its parser. The request must have `Connection: close`.
    async fn answer_to_bytes(&self, bytes: &[u8]) -> Answer {
        let (mut client, server) = tokio::io::duplex(8 * 1024);
        let limit = largest_head(&self.config.limits);
        let heads = StrictHeads::new(Framing::default(), limit);
        let server = LingeringClose::new(server, heads, IdleTimeout::new());
        let service = TowerToHyperService::new(warp::service(routes(&self.access, || false)));
        let connection = http1::Builder::new()
            .max_buf_size(limit)
            .serve_connection(TokioIo::new(server), service);
        let exchange = async move {
            let mut answer = Vec::new();
            // This fails if the head is too large, because the server does not read all of it
            let _ = client.write_all(bytes).await;
            client.read_to_end(&mut answer).await.unwrap();
            answer
        };
        // if the parser refuses the request, the connection fails too
        let (_, answer) = tokio::join!(connection, exchange);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        Answer {
            status,
            code: body["code"].as_str().map(str::to_owned),
            identity: BTreeMap::new(),
        }
    }

    async fn explain(&self, text: &str, target: Option<&str>) -> Explanation {
        self.explain_with(text, target, None).await
    }

    async fn explain_with(
        &self,
        text: &str,
        target: Option<&str>,
        proof: Option<ProofOfRequest>,
    ) -> Explanation {
        let read = match &self.config.token_field {
            Some(name) => Pasted::read_field(text, name.as_str()),
            None => Pasted::read(text),
        };
        let pasted = read.unwrap_or_else(|why| panic!("{text:?}: {why}"));
        let proxy = target.map(|target| Proxy::read(target, self.config.forward_auth_paths));
        let named = |words: &str, policy| Wanted {
            words: words.to_owned(),
            policy,
        };
        let required = self
            .config
            .required_scope
            .clone()
            .map(|policy| named("required", policy));
        let asked = proxy.as_ref().and_then(|proxy| {
            let asked = proxy.asked.as_ref().ok()?;
            Some(named("asked", asked.policy.clone()?))
        });
        let subject = Subject {
            access: &self.access,
            config: &self.config,
            environment: &self.environment,
            is_unasked: false,
            wanted: required.into_iter().chain(asked).collect(),
            proxy,
            proof,
        };
        subject.explain(pasted, async || None).await
    }
}

fn said(explanation: &Explanation) -> Answer {
    let refusal = explanation.refusal.as_ref();
    assert_eq!(explanation.is_accepted(), refusal.is_none());
    let identity = explanation
        .proxy
        .iter()
        .flat_map(|proxy| proxy.fields.clone());
    Answer {
        status: refusal.map_or(200, |refused| refused.status),
        code: refusal.and_then(|refused| Some(refused.code?.to_owned())),
        identity: identity.collect(),
    }
}

/// Valid and invalid ones
fn tokens(issuer: &Issuer) -> Vec<String> {
    let token = || {
        let token = issuer.token().scope("read:messages a");
        let token = token.claim("roles", ["clerk", "head clerk"]);
        token.claim("groups", ["/staff"]).claim("org_id", "o1")
    };
    let good = token().sign();
    let middle = good.len() / 2;
    let mut tokens = vec![
        token().scope("a").sign(),
        token().without("scope").permissions(["p"]).sign(),
        token().expired().sign(),
        token().audience("https://other.example").sign(),
        token().audience(SECOND).sign(),
        token().without("roles").without("groups").sign(),
        token().claim("org_id", "o2").permissions(["q"]).sign(),
        token().claim("iss", "https://other.example/").sign(),
        token()
            .key(&SigningKey::generate(Algorithm::ES256))
            .kid("first")
            .sign(),
        token().header("alg", "none").sign(),
        token().typ("logout+jwt").sign(),
        good[..good.len() - 9].to_owned(),
        good[..middle].to_owned(),
        format!("{good}=="),
        format!("{}{}", &good[..middle], &good[middle + 1..]),
        "a".repeat(17_000),
    ];
    tokens.extend(
        [
            "opaque",
            "undefined",
            "{{token}}",
            "$TOKEN",
            "a,b",
            "YTpi",
            "",
        ]
        .map(str::to_owned),
    );
    // half of the values get a valid token, so that many are accepted
    let bad = tokens.len();
    tokens.extend(std::iter::repeat_n(good, bad));
    tokens
}

/// Generates header values: a scheme, a separator, a token and an end, each of them valid or not.
fn values(tokens: Vec<String>) -> impl Strategy<Value = String> {
    let right = |right: &'static str, wrong: Vec<&'static str>| prop_oneof![4 => Just(right.to_owned()), 1 => select(wrong).prop_map(str::to_owned)];
    let schemes = vec![
        "bearer",
        "BEARER",
        "Bearer Bearer",
        "Bearer:",
        "Basic",
        "Basic YTpi",
        "Basic, Bearer",
        "Token",
        "Token token",
        "DPoP",
        "dpop",
        "DPoP:",
        "DPoP DPoP",
        "DPoP token",
        "\"DPoP",
        "JWT",
        "JWT token",
        "MAC MAC",
        "Digest $",
        "Hawk id=",
        "Custom",
        "Custom tok=",
        "",
        "\"Bearer",
        "Bearer,",
        "Bearers",
        "Bear",
        "Authorization: Bearer",
        "token:",
        "TOKEN=",
    ];
    let separators = vec![
        "  ", "\t", "", ":", " \t", "=", " \"", ", ", "\u{a0}", " '", " <",
    ];
    let ends = vec![
        " ",
        "\"",
        ",",
        ", Bearer x",
        " x",
        " x=y",
        "\t",
        ";",
        ">",
        "=",
        ".",
        "\u{a0}",
        "'",
        "…",
        "\u{feff}",
    ];
    let made = (
        right("Bearer", schemes),
        right(" ", separators),
        select(tokens),
        right("", ends),
    );
    let made = made.prop_map(|(scheme, separator, token, end)| scheme + &separator + &token + &end);
    prop_oneof![9 => made, 1 => "[ -~\t\u{a0}-\u{ff}]{0,40}"]
}

/// Trims a value like hyper.
fn as_received(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// Returns `true` for a text that a service could only get as a value of `Authorization`: it begins
/// with a scheme. The name of a scheme may also be that of a variable, unless a space follows it.
fn begins_with_scheme(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    let is_one_of = |names: &[&str]| names.contains(&&*name.to_ascii_lowercase());
    let is_assigned = rest.trim_start().starts_with([':', '=', '-']);
    is_one_of(&["bearer", "dpop", "basic", "digest", "hawk"])
        || is_one_of(&["token", "jwt", "mac"]) && rest.starts_with(' ') && !is_assigned
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn settings() -> Settings {
    Settings {
        failure_persistence: None,
        ..Settings::with_cases(700)
    }
}

#[test]
fn k1_verdict_equals_the_services_for_any_field_value() {
    let dpop = &[("PUBLIC_URL", "https://api.example.com")][..];
    for (required, more) in [
        (None, &[][..]),
        (None, dpop),
        (Some("a"), &[]),
        (Some("none has it"), &[]),
    ] {
        let runtime = runtime();
        let world = runtime.block_on(World::with(required, more));
        let counts = std::cell::RefCell::new(BTreeMap::<Option<String>, usize>::new());
        let mut runner = TestRunner::new(settings());
        let result = runner.run(&values(tokens(&world.issuer)), |value| {
            let value = as_received(&value);
            let field = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            runtime.block_on(async {
                let expected = world.answer("/api/private", &field).await;
                let explanation = world
                    .explain(&format!("Authorization: {value}"), None)
                    .await;
                prop_assert_eq!(said(&explanation), expected, "{:?}", value);
                // If a value begins with a scheme, we can explain it without the header's name
                let alone = Pasted::read(value);
                prop_assert!(alone.is_ok() || !begins_with_scheme(value), "{:?}", value);
                if let Ok(alone) = alone {
                    let explanation = world.explain(value, None).await;
                    let is_whole = alone.field == value;
                    let is_noted =
                        !alone.notes.is_empty() || !value.contains(' ') || value.starts_with("ey");
                    prop_assert!(is_whole || is_noted, "{:?}", value);
                    prop_assert!(is_whole || !begins_with_scheme(value), "{:?}", value);
                    if is_whole {
                        let expected = world.answer("/api/private", &field).await;
                        prop_assert_eq!(said(&explanation), expected, "{:?} alone", value);
                    }
                }
                *counts
                    .borrow_mut()
                    .entry(said(&explanation).code)
                    .or_default() += 1;
                Ok(())
            })
        });
        result.unwrap_or_else(|why| panic!("{required:?}: {why}"));
        // There must have been many different verdicts, including acceptance
        let counts = counts.into_inner();
        let accepted = counts.get(&None).copied().unwrap_or_default();
        assert_eq!(accepted > 60, required != Some("none has it"), "{counts:?}");
        assert!(counts.len() > 9, "{counts:?}");
    }
}

#[test]
fn k1_the_answer_to_a_proxy_is_that_of_the_service() {
    let targets = [
        "/auth",
        "/auth?scope=a",
        "/auth?scope=read:messages+a",
        "/auth?scope=b",
        "/auth?permission=p",
        "/auth?permission=q",
        "/auth?scope=a&permission=p",
        "/auth?scope=b&permission=x",
        "/auth?scopes=a",
        "/auth?scope=",
        "/auth?scope=a&scope=read%3Amessages",
        "/auth?role=clerk",
        "/auth?role=head+clerk&group=/staff",
        "/auth?role=chief",
        "/auth?group=/chiefs&scope=a",
        "/auth?claim=org_id:o1",
        "/auth?claim=org_id:o1&scope=b",
        "/auth?claim=org_id",
        "/auth?acr=gold",
        "/auth?max_age=60",
        "/auth?audience=https://second.example/mcp",
        "/auth?audience=https%3A%2F%2Fsecond.example%2Fmcp&scope=b",
        "/auth?audience=https://api.example.com&role=chief",
        "/auth?audience=https://third.example",
        "/auth/",
        "/auth/messages/1",
        "/auth/messages/1?scope=b",
        "/auth/messages/1?scopes=b",
        "/auth//",
        "/auth/%2e",
    ];
    let below = &[("FORWARD_AUTH_PATHS", "on")][..];
    for (required, more) in [
        (None, &[][..]),
        (Some("a"), below),
        (Some("none has it"), &[]),
    ] {
        let runtime = runtime();
        let world = runtime.block_on(World::with(required, more));
        let seen = std::cell::RefCell::new(BTreeMap::<Option<String>, usize>::new());
        let mut runner = TestRunner::new(settings());
        let strategy = (values(tokens(&world.issuer)), select(targets.to_vec()));
        let result = runner.run(&strategy, |(value, target)| {
            let value = as_received(&value);
            let field = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            runtime.block_on(async {
                let expected = world.answer(target, &field).await;
                *seen.borrow_mut().entry(expected.code.clone()).or_default() += 1;
                let explanation = world
                    .explain(&format!("Authorization: {value}"), Some(target))
                    .await;
                prop_assert_eq!(said(&explanation), expected, "{:?} {}", value, target);
                Ok(())
            })
        });
        result.unwrap_or_else(|why| panic!("{required:?}: {why}"));
        let seen = seen.into_inner();
        for code in ["bad_request", "insufficient_scope", "token_expired"] {
            assert!(
                seen.contains_key(&Some(code.to_owned())),
                "{code}: {seen:?}"
            );
        }
        // With the paths below `/auth`, every target has a response
        let is_unknown = seen.contains_key(&Some("not_found".to_owned()));
        assert_eq!(is_unknown, more.is_empty(), "{seen:?}");
        assert_eq!(seen.contains_key(&None), required != Some("none has it"));
    }
}

/// If the server cannot read a target, it refuses it before it reads the token.
#[tokio::test]
async fn k1_the_answer_to_a_target_is_that_of_the_server() {
    let world = World::with(None, &[("FORWARD_AUTH_PATHS", "on")]).await;
    let roles = ["<r>", "{r}", "r|s", "r^", "`r`", "r s", "é", "\u{ad}"];
    let token = world
        .issuer
        .token()
        .scope("a b a# a\" b#")
        .claim("roles", roles);
    let token = token.sign();
    for target in [
        "/auth",
        "/auth?scope=a",
        "/auth?scope=a%23",
        "/auth?scope=a#",
        "/auth?scope=a#&scope=c",
        "/auth?scope=c#",
        "/auth?#scope=a",
        "/auth#",
        "/auth#?scope=a",
        "/auth/x#",
        "/auth/x?y#z",
        "/auth?scope=a b",
        "/auth?scope= a",
        "/auth?role=r s",
        "/auth?role=r+s",
        "/auth?role=<r>",
        "/auth?role=%3Cr%3E",
        "/auth?role={r}",
        "/auth?role=r|s",
        "/auth?role=r^",
        "/auth?role=`r`",
        "/auth?role=é",
        "/auth?role=\u{ad}",
        "/auth?scope=a\"",
        "/auth?scope=a\t",
        "/auth?role=\u{7f}",
        "/auth/x y",
        "/auth/<x>",
        "/auth/{x}",
        "/auth/é",
        "/auth/x?\"",
        "/auth/x?é",
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let expected = world.answer_to_bytes(request.as_bytes()).await;
        let explanation = world
            .explain(&format!("Bearer {token}"), Some(target))
            .await;
        let said = said(&explanation);
        let expected = (
            expected.status,
            expected.code.filter(|_| expected.status != 200),
        );
        assert_eq!((said.status, said.code), expected, "{target:?}");
    }
}

/// A proof is for the URL of the client's request. If a proxy asks `/auth` about it, that may be
/// anywhere at the origin of `PUBLIC_URL`.
#[tokio::test]
async fn k1_the_verdict_on_a_proof_is_that_of_the_service() {
    const ORIGIN: &str = "https://api.example.com";
    let settings = [
        ("PUBLIC_URL", "https://api.example.com/v1"),
        ("FORWARD_AUTH_PATHS", "on"),
    ];
    let world = World::with(None, &settings).await;
    let key = SigningKey::generate(Algorithm::ES256);
    let token = world.issuer.token().scope("a").bound_to(&key).sign();
    let own = "/v1/api/private";
    #[rustfmt::skip]
    let rows = [
        ("the service's own route", None, own, own, 200),
        ("a proof without the prefix", None, own, "/api/private", 401),
        ("a client's request", Some("/auth"), "/v1/a", "/v1/a", 200),
        ("an escape", Some("/auth"), "/v1/%61", "/v1/a", 200),
        ("outside of the public URL", Some("/auth?scope=a"), "/b", "/b", 200),
        ("a name that begins like it", Some("/auth"), "/v10", "/v10", 200),
        ("the root", Some("/auth"), "/", "", 200),
        ("a path below", Some("/auth/b"), "/b", "/b", 200),
        ("a proof without the prefix, at /auth", Some("/auth"), "/v1/a", "/a", 401),
        ("a proof with a prefix", Some("/auth"), "/a", "/v1/a", 401),
        ("a proof for /auth itself", Some("/auth"), "/v1/a", "/v1/auth", 401),
        ("a scope that is not granted", Some("/auth?scope=b"), "/b", "/b", 403),
    ];
    for (case, target, path, proven, status) in rows {
        let proof = || {
            let proof = key.proof("GET", &format!("{ORIGIN}{proven}"));
            proof.token(&token).sign()
        };
        let fields = [
            ("authorization", format!("DPoP {token}")),
            ("dpop", proof()),
            ("x-forwarded-method", "GET".to_owned()),
            ("x-forwarded-uri", path.to_owned()),
        ];
        let fields = fields.map(|(name, value)| {
            let value = HeaderValue::try_from(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let route = target.unwrap_or("/api/private");
        let expected = world.answer_to_fields(route, &fields).await;
        assert_eq!(expected.status, status, "{case}");
        // A path is relative to this service. If a proxy asks, it's relative to the origin.
        let alone = match target {
            Some(_) => path,
            None => path.trim_start_matches("/v1"),
        };
        for url in [&format!("{ORIGIN}{path}"), alone] {
            let options = Options {
                token: Vec::new(),
                jwks: None,
                scope: None,
                permission: None,
                auth: target.map(str::to_owned),
                introspect: false,
                proof: Some(proof()),
                request: Some(vec!["GET".to_owned(), url.to_owned()]),
                env_file: EnvFile::default(),
                json: false,
            };
            let presented = options.proof(&world.access.auth);
            let presented = presented.unwrap_or_else(|why| panic!("{case}: {why:?}"));
            let explanation = world.explain_with(&token, target, presented).await;
            let said = said(&explanation);
            assert_eq!(said, expected, "{case}: {url}: {:#?}", explanation.trace);
        }
    }
}

/// For a valid proof does not make up for a malformed `Authorization`.
#[tokio::test]
async fn k1_the_verdict_on_a_malformed_field_with_a_proof_is_that_of_the_service() {
    let origin = "https://api.example.com";
    let world = World::with(None, &[("PUBLIC_URL", origin)]).await;
    let key = SigningKey::generate(Algorithm::ES256);
    let token = world.issuer.token().bound_to(&key).sign();
    let path = "/api/private";
    for scheme in [
        "DPoP ",
        "dpop  ",
        "DPoP: ",
        "DPoP=",
        "DPoP token ",
        "Basic ",
    ] {
        let proof = || {
            key.proof("GET", &format!("{origin}{path}"))
                .token(&token)
                .sign()
        };
        let value = format!("{scheme}{token}");
        let fields = [("authorization", value.clone()), ("dpop", proof())];
        let fields = fields.map(|(name, value)| {
            let value = HeaderValue::try_from(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let expected = world.answer_to_fields(path, &fields).await;
        let presented = ProofOfRequest {
            proof: proof(),
            method: Method::GET,
            path: path.to_owned(),
            is_forwarded: false,
        };
        let explanation = world.explain_with(&value, None, Some(presented)).await;
        assert_eq!(said(&explanation), expected, "{scheme:?}");
    }
}

/// A token with another audience, the scope that its issuer requires is never checked
#[tokio::test]
async fn k1_the_audience_is_checked_before_the_scope() {
    let world = World::with_table("required_scope = \"use:it\"").await;
    let first = world.issuer.audience();
    let (mine, second) = (
        "/auth?audience=https://api.example.com",
        "/auth?audience=https://second.example/mcp",
    );
    assert_eq!(mine.rsplit_once('=').map(|(_, name)| name), Some(first));
    let scope = "use:it";
    #[rustfmt::skip]
    let rows = [
        ("no audience", "/auth", first, scope, None),
        ("no audience and no scope", "/auth", first, "", Some("insufficient_scope")),
        ("its audience", second, SECOND, scope, None),
        ("its audience, no scope", second, SECOND, "", Some("insufficient_scope")),
        ("another audience", second, first, scope, Some("wrong_audience")),
        ("another audience, no scope", second, first, "", Some("wrong_audience")),
        ("the other way round", mine, SECOND, "", Some("wrong_audience")),
        ("an unknown audience", "/auth?audience=urn:third", first, "", Some("bad_request")),
        ("a foreign audience", second, "urn:third", "", Some("wrong_audience")),
    ];
    for (case, target, audience, scope, code) in rows {
        for policy in ["", "scope=a", "scope=use:it&permission=p"] {
            let mark = if target.contains('?') { "&" } else { "?" };
            let target = match policy {
                "" => target.to_owned(),
                policy => format!("{target}{mark}{policy}"),
            };
            let token = world.issuer.token().audience(audience).scope(scope);
            let token = format!("Bearer {}", token.sign());
            let field = HeaderValue::try_from(&token).unwrap();
            let expected = world.answer(&target, &field).await;
            if policy.is_empty() || code.is_some() {
                assert_eq!(expected.code.as_deref(), code, "{case}: {target}");
            }
            let explanation = world.explain(&token, Some(&target)).await;
            let steps = &explanation.trace.steps;
            let failed = steps.iter().find_map(|step| step.outcome.err());
            assert_eq!(said(&explanation), expected, "{case}: {target}: {steps:#?}");
            // The first failed step has the code of the verdict, unless the query itself is wrong
            if let Some(code) = expected.code.filter(|code| code != "bad_request") {
                let failed = failed.map(AuthError::code);
                assert_eq!(failed, Some(&*code), "{case}: {target}: {steps:#?}");
            }
        }
    }
}

/// The parser refuses a value with a control character before it reads a token.
#[tokio::test]
async fn k1_the_answer_to_a_control_character_is_that_of_the_server() {
    let own = World::with(None, &[("AUTH0_TOKEN_FIELD", "X-Token")]).await;
    let world = World::start(None).await;
    for (world, name, begin) in [
        (&world, "Authorization", "Bearer "),
        (&world, "Authorization", "Token "),
        (&own, "X-Token", ""),
        (&own, "Authorization", "Bearer "),
    ] {
        let token = world.issuer.token().sign();
        for c in (0..0x20_u8).chain([0x7f]).map(char::from) {
            if "\r\n".contains(c) {
                continue;
            }
            for value in [format!("{begin}{c}{token}"), format!("{begin}{token}{c}x")] {
                let field = format!("{name}: {value}");
                let request =
                    format!("GET /api/private HTTP/1.1\r\n{field}\r\nConnection: close\r\n\r\n");
                let expected = world.answer_to_bytes(request.as_bytes()).await;
                for text in [&field, &value] {
                    // A token alone is not the value of this header.
                    if *text == value && begin.is_empty() {
                        continue;
                    }
                    let said = said(&world.explain(text, None).await);
                    let is = (said.status, said.code);
                    let expected = (expected.status, expected.code.clone());
                    assert_eq!(is, expected, "{text:?}");
                }
            }
        }
    }
}

/// The server reads no more of a head than its limit.
#[tokio::test]
async fn k1_the_verdict_on_a_large_token_is_that_of_the_server() {
    let default = World::start(None).await;
    let small = World::with(None, &[("MAX_HEADER_BYTES", "8KiB")]).await;
    let medium = World::with(None, &[("MAX_HEADER_BYTES", "12KiB")]).await;
    let own = &[
        ("MAX_HEADER_BYTES", "8KiB"),
        ("AUTH0_TOKEN_FIELD", "X-Token"),
    ];
    let own = World::with(None, own).await;
    for (world, name, scheme, sizes) in [
        (
            &default,
            "Authorization",
            "Bearer ",
            &[8, 15, 18, 31, 33, 70][..],
        ),
        (&small, "Authorization", "Bearer ", &[6, 9, 12, 20]),
        (&medium, "Authorization", "Bearer ", &[11, 12, 13, 14, 15]),
        (&own, "X-Token", "", &[6, 9, 12]),
        (&own, "Authorization", "Bearer ", &[6, 9]),
    ] {
        for kib in sizes {
            let token = world.issuer.token().claim("a", "a".repeat(kib * 768 - 512));
            let field = format!("{name}: {scheme}{}", token.sign());
            let request =
                format!("GET /api/private HTTP/1.1\r\n{field}\r\nConnection: close\r\n\r\n");
            let expected = world.answer_to_bytes(request.as_bytes()).await;
            let said = said(&world.explain(&field, None).await);
            let code = expected.code.filter(|_| expected.status != 200);
            let is = (said.status, said.code);
            assert_eq!(is, (expected.status, code), "{name}, {kib} KiB");
        }
    }
}

/// If `AUTH0_TOKEN_FIELD` is set, `Authorization` is ignored.
#[test]
fn k1_the_verdict_is_that_of_the_service_for_another_field() {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-access-token");
    let runtime = runtime();
    let world = World::with(None, &[("AUTH0_TOKEN_FIELD", "X-Forwarded-Access-Token")]);
    let world = runtime.block_on(world);
    let mut runner = TestRunner::new(settings());
    let accepted = std::cell::Cell::new(0);
    // this header has the value without a scheme
    let strategy = (values(tokens(&world.issuer)), any::<bool>(), any::<bool>());
    let result = runner.run(&strategy, |(value, is_bare, is_own)| {
        let bare = value.strip_prefix("Bearer ").filter(|_| is_bare);
        let value = as_received(bare.unwrap_or(&value));
        let field = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let name = if is_own { NAME } else { AUTHORIZATION };
        runtime.block_on(async {
            let expected = world.answer_to("/api/private", &name, &field).await;
            let explanation = world.explain(&format!("{name}: {value}"), None).await;
            let said = said(&explanation);
            accepted.set(accepted.get() + usize::from(said.code.is_none()));
            prop_assert_eq!(said, expected, "{}: {:?}", name, value);
            prop_assert!(is_own || explanation.refusal.is_some());
            Ok(())
        })
    });
    result.unwrap_or_else(|why| panic!("{why}"));
    assert!(accepted.get() > 30, "{}", accepted.get());
}

/// Generates the lines of a whole request, each of them valid or not.
fn request_lines(tokens: Vec<String>, name: &'static str) -> impl Strategy<Value = Vec<String>> {
    let right = |right: &'static str, wrong: Vec<&'static str>| prop_oneof![12 => Just(right), 1 => select(wrong)];
    let others = vec![
        "Authorization",
        "authorization",
        "X-Authorization",
        "Proxy-Authorization",
        "'Authorization",
        "\"Authorization",
        "Cookie",
        "X-Token",
    ];
    let field = (
        right("", vec![" ", "\t"]),
        prop_oneof![5 => Just(name), 2 => select(others)],
        right("", vec![" ", "\t", " \t"]),
        right(" ", vec!["", "  ", "\t"]),
        right("", vec!["\"", "'", "`", "["]),
        values(tokens),
    );
    let field = field.prop_map(|(indent, name, blank, separator, quote, value)| {
        let end = if quote == "[" { "]" } else { quote };
        format!("{indent}{name}{blank}:{separator}{quote}{value}{end}")
    });
    let field = field.boxed();
    let noise = select(vec![
        "Accept: */*",
        "User-Agent: curl/8.10.1",
        "Access-Control-Request-Headers: authorization, content-type",
        "Cookie: theme=dark",
        "Accept : */*",
        " Accept: */*",
        "Referer: https://app.example.com/?access_token=eyJhbGciOiJSUzI1NiJ9.e30.AA",
        "X-Original-Request: GET / HTTP/1.1",
    ]);
    let noise = prop_oneof![3 => Just(String::new()), 2 => noise.prop_map(str::to_owned)];
    let second = prop_oneof![9 => Just(String::new()), 1 => field.clone()];
    (noise.clone(), field, second, noise).prop_map(|(first, field, second, last)| {
        let lines = [first, field, second, last].into_iter();
        lines.filter(|line| !line.is_empty()).collect()
    })
}

/// Tests whole requests, as they were sent and as people paste them.
fn k1_whole_requests(name: Option<&'static str>) {
    let runtime = runtime();
    let more = name.map(|name| ("AUTH0_TOKEN_FIELD", name));
    let world = runtime.block_on(World::with(None, more.as_slice()));
    let counts = std::cell::RefCell::new(BTreeMap::<String, usize>::new());
    let mut runner = TestRunner::new(settings());
    let lines = request_lines(tokens(&world.issuer), name.unwrap_or("Authorization"));
    let targets = vec![
        "/api/private#",
        "/api/private#a",
        "/api/private?a=b#c",
        "/api/private?a=b",
    ];
    let strategy = (
        lines,
        select(vec!["", "> ", "    "]),
        any::<bool>(),
        0..4_u8,
        prop_oneof![12 => Just("/api/private"), 1 => select(targets)],
    );
    let result = runner.run(&strategy, |(mut lines, prefix, is_crlf, scheme, target)| {
        // other headers usually have the token without a scheme
        if let Some(name) = name.filter(|_| scheme > 0) {
            for line in &mut lines {
                *line = line.replace(&format!("{name}: Bearer "), &format!("{name}: "));
            }
        }
        let first = [
            format!("GET {target} HTTP/1.1"),
            "Host: localhost".to_owned(),
        ];
        let lines = [&first[..], &lines[..], &["Connection: close".to_owned()]].concat();
        let sent = lines.join("\r\n") + "\r\n\r\n";
        // `explain` counts only the field that has the token, and not the other fields of a request
        if sent.len() > world.config.limits.head as usize {
            return Ok(());
        }
        let end = if is_crlf { "\r\n" } else { "\n" };
        let pasted = lines.iter().map(|line| format!("{prefix}{line}{end}"));
        let pasted = pasted.collect::<String>() + prefix + end;
        runtime.block_on(async {
            let expected = world.answer_to_bytes(sent.as_bytes()).await;
            let said = said(&world.explain(&pasted, None).await);
            prop_assert_eq!(said.status, expected.status, "{:?}", pasted);
            // the parser's own refusals have no code
            let code = expected.code.filter(|_| expected.status != 200);
            prop_assert_eq!(&said.code, &code, "{:?}", pasted);
            let no_code = if said.status == 200 {
                "accepted"
            } else {
                "none"
            };
            let seen = said.code.unwrap_or_else(|| no_code.to_owned());
            *counts.borrow_mut().entry(seen).or_default() += 1;
            Ok(())
        })
    });
    result.unwrap_or_else(|why| panic!("{name:?}: {why}"));
    let counts = counts.into_inner();
    // The requests are random: about 60 are usually accepted, and once only 48 were
    assert!(counts["accepted"] > 30, "{counts:?}");
    assert!(counts.len() > 7, "{counts:?}");
}

#[test]
fn k1_verdict_equals_the_services_for_whole_requests() {
    k1_whole_requests(None);
}

#[test]
fn k1_verdict_equals_the_services_for_whole_requests_with_another_field() {
    k1_whole_requests(Some("X-Token"));
}

/// `explain` creates its verifier after the proof was made, but that is no reason to reject the
/// proof.
#[tokio::test]
async fn accepts_a_proof_that_is_older_than_the_process() {
    let world = World::with(None, &[("PUBLIC_URL", "https://api.example.com")]).await;
    let key = SigningKey::generate(Algorithm::ES256);
    let token = world.issuer.token().bound_to(&key).sign();
    let keys = tempfile::NamedTempFile::new().unwrap();
    let set = serde_json::json!({"keys": [world.issuer.key().public_jwk()]});
    std::fs::write(keys.path(), set.to_string()).unwrap();
    for file in [None, Some(keys.path())] {
        let auth = build_auth(&world.config, file, world.issuer.url())
            .await
            .unwrap();
        let proof = key.proof("GET", "https://api.example.com/a").token(&token);
        let presented = ProofOfRequest {
            proof: proof.issued_at(-5).sign(),
            method: Method::GET,
            path: "/a".to_owned(),
            is_forwarded: false,
        };
        let (trace, verdict) = auth.trace_with_proof(&token, &presented, None).await;
        assert!(verdict.is_ok(), "{verdict:?}: {trace:#?}");
    }
}

/// The advice names the scheme that the client used, and the schemes that the service accepts.
#[tokio::test]
async fn names_the_schemes_that_dpop_allows() {
    const URL: (&str, &str) = ("PUBLIC_URL", "https://api.example.com");
    let required = World::with(None, &[URL, ("AUTH0_DPOP", "required")]).await;
    let allowed = World::with(None, &[URL]).await;
    let off = World::start(None).await;
    let token = required.issuer.token().sign();
    let (both, only) = ("the word Bearer or DPoP,", "the word DPoP,");
    #[rustfmt::skip]
    let rows = [
        ("nothing", &required, "", "no Authorization field", only),
        ("nothing, allowed", &allowed, "", "no Authorization field", both),
        ("nothing, off", &off, "", "no Authorization field", "the word Bearer,"),
        ("a scheme", &required, "Basic YTpi", "a scheme other than DPoP.", "the word DPoP and"),
        ("a scheme, allowed", &allowed, "Basic YTpi", "a scheme other than Bearer or DPoP.", "the word Bearer or DPoP and"),
        ("DPoP, off", &off, "DPoP <T>", "a scheme other than Bearer.", "the word Bearer and"),
        ("no scheme", &required, "<T>", "without the word DPoP", "the word DPoP and"),
        ("no token", &required, "DPoP", "after the word DPoP:", "access_token"),
        ("no space", &required, "DPoP<T>", "between the word DPoP", only),
        ("a colon", &required, "DPoP: <T>", "after the word DPoP.", only),
        ("a colon, allowed", &allowed, "DPoP: <T>", "after the word DPoP.", only),
        ("a colon, the other scheme", &allowed, "Bearer: <T>", "after the word Bearer.", "the word Bearer,"),
        ("a colon, a scheme that is not enough", &required, "Bearer: <T>", "after the word Bearer.", only),
        ("a tab", &required, "DPoP\t<T>", "a tab after the word DPoP", only),
        ("twice", &required, "DPoP DPoP <T>", "The word DPoP is there twice", "Write DPoP once."),
        ("quotes", &required, "DPoP \"<T>\"", "Quotes around the token", "Remove the quotes."),
        ("a placeholder", &required, "DPoP ${TOKEN}", "a variable without a value", "$TOKEN"),
    ];
    for (case, world, value, what, fix) in rows {
        let text = format!("Authorization: {}", value.replace("<T>", &token));
        let explanation = world.explain(&text, None).await;
        let advice = &explanation.refusal.as_ref().unwrap().advice;
        assert!(advice.what.contains(what), "{case}: {advice:?}");
        assert!(advice.fix.contains(fix), "{case}: {advice:?}");
        let step = explanation.trace.step("credential").unwrap();
        let expected = match world.config.dpop.mode {
            DpopMode::Required => "the word DPoP, a space and one token",
            DpopMode::Allowed => "the word Bearer or DPoP, a space and one token",
            _ => "the word Bearer, a space and one token",
        };
        assert_eq!(step.expected, expected.into(), "{case}");
        if let Some(repair) = &explanation.repair {
            let is_dpop = advice.fix.contains("DPoP") && !advice.fix.contains("Bearer");
            let is_bearer = repair.form.contains("the word Bearer,");
            assert!(
                is_dpop != is_bearer || value.contains('"'),
                "{case}: {repair:?}"
            );
        }
    }
    // A token that isn't bound is valid, but doesn't become acceptable with the scheme Bearer
    let explanation = required.explain(&format!("Bearer {token}"), None).await;
    assert_eq!(said(&explanation).code.as_deref(), Some("token_not_bound"));
    let step = explanation.trace.step("scheme").unwrap();
    assert_eq!(step.expected, "a token that is bound to a key".into());
}
