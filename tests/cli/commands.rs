//! The binary's exit codes and messages, and how the service behaves while its issuer is down.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    process::{Command, Output, Stdio},
};
#[cfg(unix)]
use std::{io::Read, net::TcpStream};

use reqwest::{Client, Response};
use serde_json::Value;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::support::process::{Directory, Process, run};

type Vars = &'static [(&'static str, &'static str)];

const AUDIENCE: (&str, &str) = ("AUTH0_API_AUDIENCE", "https://api.example.com");
const DOMAIN: (&str, &str) = ("AUTH0_DOMAIN", "tenant.eu.auth0.com");

#[test]
fn wrong_configuration_is_one_line_with_advice() {
    #[rustfmt::skip]
    let rows: [(&str, &[&str], Vars, &str); 14] = [
        ("no domain and no issuer", &[], &[AUDIENCE], "AUTH0_DOMAIN: not set; set it to the host of your tenant, such as tenant.eu.auth0.com, or set AUTH0_ISSUER to the URL of your issuer; to try the service without either, run `warp-bearer dev`"),
        ("a placeholder", &[], &[AUDIENCE, ("AUTH0_DOMAIN", "your.domain.auth0.com")], "AUTH0_DOMAIN: in the environment, found \"your.domain.auth0.com\", which is a placeholder; give a host, such as tenant.eu.auth0.com"),
        ("an empty domain", &["serve"], &[AUDIENCE, ("AUTH0_DOMAIN", "")], "AUTH0_DOMAIN: in the environment, empty; set it to the host of your tenant, such as tenant.eu.auth0.com, or set AUTH0_ISSUER to the URL of your issuer; to try the service without either, run `warp-bearer dev`"),
        ("an issuer that is not a URL", &[], &[AUDIENCE, ("AUTH0_ISSUER", "tenant.eu.auth0.com")], "AUTH0_ISSUER: in the environment, found \"tenant.eu.auth0.com\", which is not a URL; did you mean https://tenant.eu.auth0.com/?"),
        ("an issuer without https", &[], &[AUDIENCE, ("AUTH0_ISSUER", "http://tenant.eu.auth0.com/")], "AUTH0_ISSUER: in the environment, found \"http://tenant.eu.auth0.com/\", which is not https; did you mean https://tenant.eu.auth0.com/?"),
        ("an unknown algorithm", &[], &[AUDIENCE, DOMAIN, ("AUTH0_ALGORITHMS", "RS265")], "AUTH0_ALGORITHMS: in the environment, found \"RS265\", which is not a known algorithm; did you mean RS256?"),
        ("none", &[], &[AUDIENCE, DOMAIN, ("AUTH0_ALGORITHMS", "none")], "AUTH0_ALGORITHMS: in the environment, found \"none\", which would accept unsigned tokens, and is never allowed (RFC 8725 §3.2); give some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256"),
        ("HS256 without a secret", &[], &[AUDIENCE, DOMAIN, ("AUTH0_ALGORITHMS", "HS256")], "AUTH0_SIGNING_SECRET: not set, but AUTH0_ALGORITHMS has HS256; set it to the secret that the issuer signs with, 32 bytes or more, or remove HS256"),
        ("a short secret", &[], &[AUDIENCE, DOMAIN, ("AUTH0_ALGORITHMS", "HS256"), ("AUTH0_SIGNING_SECRET", "hunter2")], "AUTH0_SIGNING_SECRET: in the environment, found 7 bytes (not shown), which is too short for HS256 (RFC 7518 §3.2); use 32 bytes or more, for example from: openssl rand -base64 48"),
        ("an empty audience", &[], &[DOMAIN, ("AUTH0_API_AUDIENCE", "")], "AUTH0_API_AUDIENCE: in the environment, empty; set it to the identifier of your API, such as https://api.example.com"),
        ("no audience", &[], &[DOMAIN], "AUTH0_API_AUDIENCE: not set; set it to the identifier of your API, such as https://api.example.com"),
        ("dev and a tenant", &["dev"], &[DOMAIN], "AUTH0_DOMAIN is set in the environment: dev has its own issuer and uses neither ISSUERS_FILE nor AUTH0_ variables; run it in a directory without a .env and without these variables, or run `warp-bearer serve`"),
        ("dev and an issuers file", &["dev"], &[("ISSUERS_FILE", "issuers.toml")], "ISSUERS_FILE is set in the environment: dev has its own issuer and uses neither ISSUERS_FILE nor AUTH0_ variables; run it in a directory without a .env and without these variables, or run `warp-bearer serve`"),
        ("dev on a public address", &["dev"], &[("LISTEN", "0.0.0.0:8000")], "LISTEN: 0.0.0.0:8000 is not a loopback address, and dev listens on loopback only; set LISTEN to 127.0.0.1:8000"),
    ];
    let directory = Directory::new();
    for (case, arguments, vars, line) in rows {
        let output = run(&directory, arguments, vars);
        assert_ends(case, &output, 78, line);
    }
}

#[test]
fn every_fault_has_its_own_line() {
    let output = run(&Directory::new(), &[], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let names: Vec<_> = stderr.lines().map(|line| line.split(':').next()).collect();
    assert_eq!(names, [Some("AUTH0_DOMAIN"), Some("AUTH0_API_AUDIENCE")]);
}

#[test]
fn unreadable_file_is_one_line() {
    let directory = Directory::new();
    let file = directory.path().join(".env");
    fs::create_dir(&file).unwrap();
    let line = ".env: cannot be read (is a directory); make it a file that the service has permission to read, or remove it";
    assert_ends("a directory", &run(&directory, &[], &[]), 78, line);
    fs::remove_dir(&file).unwrap();

    fs::write(&file, "AUTH0_DOMAIN tenant\n").unwrap();
    let line = ".env: line 1 cannot be parsed; write NAME=value, and quote a value that has spaces, quotes, \"$\" or \"\\\"";
    let output = run(&directory, &[], &[AUDIENCE]);
    assert_ends("a malformed .env", &output, 78, line);

    fs::write(&file, "AUTH0_DOMAIN = tenant.eu.auth0.com\n").unwrap();
    let line = "AUTH0_DOMAIN is set in .env, line 1: dev has its own issuer and uses neither ISSUERS_FILE nor AUTH0_ variables; run it in a directory without a .env and without these variables, or run `warp-bearer serve`";
    let program = env!("CARGO_BIN_EXE_warp-bearer");
    let line =
        format!("{line}; to run it in an empty directory: cd \"$(mktemp -d)\" && {program} dev");
    assert_ends("dev and a .env", &run(&directory, &["dev"], &[]), 78, &line);
}

#[test]
fn checks_that_configured_files_are_usable() {
    let directory = Directory::new();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let nothing = file("nothing", "");
    let empty = file("empty.json", r#"{"keys":[]}"#);
    let odd = file("odd.json", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#);
    let absent = directory.path().join("absent").display().to_string();
    let folder = directory.path().display().to_string();
    let set = "give the path of a file of public keys, such as /etc/warp-bearer/jwks.json";
    let pem = "give the path of certificates in PEM";
    let directories = "give directories of certificates in PEM";
    let proxy = "give the URL of a proxy, such as http://proxy.example.com:3128";
    #[rustfmt::skip]
    let rows = [
        ("no key set", "AUTH0_JWKS_FILE", &*absent, format!("found {absent:?}, which does not exist; {set}")),
        ("a directory", "AUTH0_JWKS_FILE", &folder, format!("found {folder:?}, which is a directory; {set}")),
        ("empty", "AUTH0_JWKS_FILE", &nothing, format!("found {nothing:?}, which has no usable key: it is empty; a JWK set, a JWK, an array of JWKs, or public keys in PEM can be read; {set}")),
        ("no key", "AUTH0_JWKS_FILE", &empty, format!("found {empty:?}, which has no usable key: an empty key set; {set}")),
        ("no usable key", "AUTH0_JWKS_FILE", &odd, format!("found {odd:?}, which has no usable key: no usable key among 1; the first: the private member `k` is present; {set}")),
        ("no authorities", "SSL_CERT_FILE", &absent, format!("found {absent:?}, which does not exist; {pem}")),
        ("an empty file", "SSL_CERT_FILE", &nothing, format!("found {nothing:?}, which has no certificate of a certificate authority; {pem}")),
        ("an empty file name", "SSL_CERT_FILE", "", format!("found \"\", which does not exist; {pem}")),
        ("a missing directory", "SSL_CERT_DIR", &absent, format!("found {absent:?}, which does not exist; {directories}")),
        ("a file", "SSL_CERT_DIR", &nothing, format!("found {nothing:?}, which is not a directory; {directories}")),
        ("a directory without a certificate", "SSL_CERT_DIR", &folder, format!("found {folder:?}, which has no certificate of a certificate authority; {directories}")),
        ("not a proxy", "HTTPS_PROXY", "http://", format!("found \"http://\", which is not a URL; {proxy}")),
        ("a proxy with a space", "https_proxy", "my proxy:3128", format!("found \"my proxy:3128\", which is not a URL; {proxy}")),
        ("another protocol", "ALL_PROXY", "socks5://me:hunter2@proxy:1080", format!("found \"socks5://…@proxy:1080\", which is neither http nor https; {proxy}")),
    ];
    for (case, name, value, fault) in rows {
        let output = run(&directory, &[], &[AUDIENCE, DOMAIN, (name, value)]);
        let line = format!("{name}: in the environment, {fault}");
        assert_ends(case, &output, 78, &line);
    }
}

/// Introspection needs https even if the keys are in a file.
#[test]
fn fault_in_the_environment_of_a_table_is_one_line() {
    let directory = Directory::new();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let key = SigningKey::generate(Algorithm::RS256).public_jwk();
    write("keys", &key.to_string());
    let authority = rcgen::generate_simple_self_signed(["issuer.example".to_owned()]).unwrap();
    write("ca.crt", &authority.cert.pem());
    let asked = "introspection = \"always\"\nintrospection_client_id = \"a\"\nintrospection_client_secret = \"s\"\n";
    let local = "introspection_uri = \"http://127.0.0.1:9/\"\n";
    let (keys, ca) = ("jwks_file = \"keys\"\n", "ca_file = \"ca.crt\"\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let authorities = ("SSL_CERT_FILE", "absent");
    let proxy = ("HTTPS_PROXY", "http://");
    #[rustfmt::skip]
    let rows = [
        ("authorities for introspection", format!("{keys}{asked}"), authorities, 78),
        ("a proxy for introspection", format!("{keys}{asked}"), proxy, 78),
        ("its own authorities", format!("{keys}{ca}{asked}"), authorities, 69),
        ("a proxy with its own authorities", format!("{keys}{ca}{asked}"), proxy, 78),
        ("a proxy for keys", ca.to_owned(), proxy, 78),
        ("introspection on loopback", format!("{keys}{asked}{local}"), authorities, 69),
        ("no fetches", keys.to_owned(), proxy, 69),
    ];
    for (case, options, variable, code) in rows {
        write(
            "issuers.toml",
            &format!("[[issuer]]\nurl = \"https://issuer.example/\"\n{options}"),
        );
        let file = ("ISSUERS_FILE", "issuers.toml");
        let vars = [AUDIENCE, file, variable, ("LISTEN", &*address)];
        let output = run(&directory, &[], &vars);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{case}: {stderr}");
    }
}

/// An invalid value must not stop the start if it has no effect: for an issuer on loopback, we need
/// neither CA certificates nor a proxy. The values in the other rows are valid. Note that the
/// address is taken: exit status 69 means that the values were accepted.
#[test]
fn ignores_invalid_values_without_effect() {
    let directory = Directory::new();
    let authority = rcgen::generate_simple_self_signed(["issuer.example".to_owned()]).unwrap();
    let file = directory.path().join("ca.crt");
    fs::write(&file, authority.cert.pem()).unwrap();
    let (file, folder) = (file.to_str().unwrap(), directory.path().to_str().unwrap());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let local = ("AUTH0_ISSUER", "http://127.0.0.1:9/");
    #[rustfmt::skip]
    let rows = [
        ("an issuer on loopback", &[local, ("SSL_CERT_FILE", "absent"), ("ALL_PROXY", "?")][..]),
        ("CA certificates in a file", &[DOMAIN, ("SSL_CERT_FILE", file)]),
        ("CA certificates in a directory", &[DOMAIN, ("SSL_CERT_DIR", folder)]),
        ("proxies", &[DOMAIN, ("HTTPS_PROXY", "proxy:3128"), ("ALL_PROXY", "")]),
    ];
    for (case, vars) in rows {
        let others = [AUDIENCE, ("LISTEN", &*address), ("RUST_LOG", "off")];
        let output = run(&directory, &[], &[vars, &others].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{case}: {stderr}");
    }
}

#[test]
fn fault_in_a_file_names_its_line() {
    let directory = Directory::new();
    let text = "# mine\nAUTH0_DOMAIN = your.domain.auth0.com\nAUTH0_API_AUDIENCE = urn:api\n";
    fs::write(directory.path().join(".env"), text).unwrap();
    let line = "AUTH0_DOMAIN: in .env, line 2, found \"your.domain.auth0.com\", which is a placeholder; give a host, such as tenant.eu.auth0.com";
    assert_ends("serve", &run(&directory, &[], &[]), 78, line);

    let text = "# mine\nAUTH0_SIGNING_SECRET=\"hunter2$hunter2\"\n";
    fs::write(directory.path().join(".env"), text).unwrap();
    let line = "AUTH0_SIGNING_SECRET: found a \"$\" on line 2 of .env, which begins a reference to a variable; put the secret in single quotes";
    let output = run(&directory, &[], &[AUDIENCE, DOMAIN]);
    assert_ends("a secret", &output, 78, line);

    fs::write(
        directory.path().join(".env"),
        "SSL_CERT_FILE=ca.crt\nAUTH0_AUDIENCE=x\n",
    )
    .unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&directory, &[], &[AUDIENCE, DOMAIN, ("LISTEN", &address)]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    for line in [
        "AUTH0_AUDIENCE: in .env, line 2, not a known variable; did you mean AUTH0_API_AUDIENCE?",
        "SSL_CERT_FILE: in .env, line 1, not read from there; set it in the environment",
    ] {
        assert!(stderr.contains(line), "{stderr}");
    }
}

#[test]
fn port_in_use_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = format!(
        "LISTEN: {address} is in use; stop the process that listens there (a service that is stopping still listens for up to SHUTDOWN_GRACE), or set LISTEN to another address, such as 127.0.0.1:0 for any free port"
    );
    let directory = Directory::new();
    let listen = ("LISTEN", &*address);
    // with the log on, a line about the unreachable issuer might come first
    let issuer = ("AUTH0_ISSUER", "http://127.0.0.1:9/");
    let quiet = ("RUST_LOG", "off");
    let output = run(&directory, &["serve"], &[AUDIENCE, issuer, listen, quiet]);
    assert_ends("serve", &output, 69, &line);
    assert_ends(
        "dev",
        &run(&directory, &["dev"], &[listen, quiet]),
        69,
        &line,
    );
}

#[test]
fn invalid_command_line_exits_64_and_help_exits_0() {
    for (case, arguments, code) in [
        ("an unknown command", &["srve"][..], 64),
        ("an extra argument", &["serve", "now"], 64),
        ("an unknown option", &["--port"], 64),
        ("an unknown fault", &["dev", "--fail", "gone"], 64),
        (
            "a status that is not an error",
            &["dev", "--fail", "200"],
            64,
        ),
        (
            "a duration without its unit",
            &["dev", "--rotate-every", "30"],
            64,
        ),
        ("a scope without a token", &["dev", "--scope", "a"], 64),
        ("help", &["--help"], 0),
        ("the version", &["--version"], 0),
    ] {
        let output = run(&Directory::new(), arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{case}: {output:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{case}: {output:?}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{case}: {output:?}");
    }
}

#[test]
fn health_reads_the_file_that_env_file_names() {
    let directory = Directory::new();
    fs::write(directory.path().join(".env"), "LISTEN=nowhere\n").unwrap();
    fs::write(directory.path().join("env"), "LISTEN=127.0.0.1:1\n").unwrap();
    let output = run(&directory, &["health", "--env-file", "env"], &[]);
    let line = "http://127.0.0.1:1/livez cannot be reached";
    assert_ends("health", &output, 1, line);
    let output = run(&directory, &["health", "--env-file", "absent"], &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

/// Runs a program with `input` on standard input. `None` if it isn't installed.
fn piped(program: &mut Command, input: &[u8]) -> Option<String> {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().ok()?;
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn shells_accept_their_completions() {
    for (shell, word) in [
        ("bash", "complete -F _warp__bearer"),
        ("zsh", "#compdef warp-bearer"),
        ("fish", "complete -c warp-bearer"),
    ] {
        let output = run(&Directory::new(), &["completions", shell], &[]);
        assert_eq!(output.status.code(), Some(0), "{shell}: {output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in [word, "explain", "rotate-every"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // the shell itself checks the syntax, if it's installed
        piped(
            Command::new(shell).args(["-n", "/dev/stdin"]),
            script.as_bytes(),
        );
    }
    // We can ask bash and fish for completions, but zsh completes only at an interactive prompt.
    let bash = "source /dev/stdin; offer() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                _warp__bearer warp-bearer \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"; }; \
                offer warp-bearer ex; offer warp-bearer dev --; offer warp-bearer dev --profile ''";
    let fish = "source -; complete -C 'warp-bearer ex'; complete -C 'warp-bearer dev --'; \
                complete -C 'warp-bearer dev --profile '";
    for (shell, script) in [("bash", bash), ("fish", fish)] {
        let completions = run(&Directory::new(), &["completions", shell], &[]).stdout;
        let Some(offered) = piped(Command::new(shell).args(["-c", script]), &completions) else {
            continue;
        };
        for word in ["explain", "--rotate-every", "rfc9068"] {
            assert!(offered.contains(word), "{shell}: {word}: {offered}");
        }
    }
    let output = run(&Directory::new(), &["completions", "abacus"], &[]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

#[test]
fn each_command_has_a_manual_page() {
    for (arguments, word) in [
        (&["man"][..], ".SH EXAMPLES"),
        (&["man", "explain"], "\\-\\-jwks"),
        (&["man", "dev"], "\\-\\-rotate\\-every"),
    ] {
        let output = run(&Directory::new(), arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(page.contains(".TH "), "{page}");
        assert!(page.contains(word), "{page}");
    }
    let output = run(&Directory::new(), &["man", "abacus"], &[]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("[possible values: serve, dev,"), "{stderr}");
}

fn assert_ends(case: &str, output: &Output, code: i32, line: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, format!("{line}\n"), "{case}");
    assert_eq!(output.status.code(), Some(code), "{case}: {stderr}");
    assert!(output.stdout.is_empty(), "{case}: {output:?}");
}

/// Starts the service for this issuer. Also returns its address and its log so far.
fn serving(issuer: &Issuer, more: &[(&str, &str)]) -> (Process, String, Vec<String>) {
    let vars = [
        ("AUTH0_ISSUER", issuer.url()),
        ("AUTH0_API_AUDIENCE", issuer.audience()),
        ("AUTH0_ALGORITHMS", "ES256"),
        ("LISTEN", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
    ];
    let mut service = Process::start(&["serve"], &[&vars, more].concat());
    let log = service.logged(|line| line.contains("\"listening\""));
    let listening: Value = serde_json::from_str(log.last().unwrap()).unwrap();
    let address = listening["address"].as_str().unwrap().to_owned();
    (service, address, log)
}

// waiting for the log blocks a thread, and the issuer needs another one
#[tokio::test(flavor = "multi_thread")]
async fn service_survives_an_issuer_outage_and_recovers() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    issuer.go_down().await;
    let (mut service, address, log) = serving(&issuer, &[]);
    let url = format!("http://{address}");
    let token = issuer.token().scope("read:messages").sign();

    let is_failure = |line: &str| line.contains("\"key set fetch failed; ");
    if !log.iter().any(|line| is_failure(line)) {
        service.logged(is_failure);
    }
    for (path, status) in [
        ("/api/public", 200),
        ("/livez", 200),
        ("/readyz", 503),
        ("/api/private", 503),
        ("/api/private-scoped", 503),
    ] {
        let answer = get(&format!("{url}{path}"), &token).await;
        assert_eq!(answer.status(), status, "down: {path}");
    }

    issuer.come_back().await;
    service.logged(|line| line.contains("\"key set fetched\""));
    for path in ["/readyz", "/api/private", "/api/private-scoped"] {
        let answer = get(&format!("{url}{path}"), &token).await;
        assert_eq!(answer.status(), 200, "back: {path}");
    }

    #[cfg(unix)]
    assert!(service.terminate().success());
}

async fn get(url: &str, token: &str) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    client.get(url).bearer_auth(token).send().await.unwrap()
}

/// All of these are set at once, and each should take effect.
#[tokio::test(flavor = "multi_thread")]
async fn token_and_client_variables_take_effect() {
    const PAGE: &str = "https://app.example.com";
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let more = [
        ("AUTH0_TOKEN_PROFILE", "rfc9068"),
        ("AUTH0_TOKEN_MAX_AGE", "10m"),
        ("AUTH0_REQUIRED_SCOPE", "use"),
        ("AUTH0_RESOURCE", issuer.audience()),
        ("CORS_ORIGINS", PAGE),
    ];
    let (_service, address, _) = serving(&issuer, &more);
    let url = format!("http://{address}");

    let token = || {
        let token = issuer.token().typ("at+jwt").scope("use");
        token.claim("client_id", "c").claim("jti", "j")
    };
    #[rustfmt::skip]
    let rows = [
        ("all options", token(), 200),
        ("another profile", token().typ("JWT"), 401),
        ("too old", token().issued_at(-700), 401),
        ("another scope", token().scope("read:messages"), 403),
    ];
    for (case, token, status) in rows {
        let answer = get(&format!("{url}/api/private"), &token.sign()).await;
        assert_eq!(answer.status(), status, "{case}: {answer:?}");
        if status != 200 {
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
            let at = "https://api.example.com/.well-known/oauth-protected-resource";
            assert!(challenge.contains(at), "{case}: {challenge}");
        }
    }
    let client = Client::builder().no_proxy().build().unwrap();
    let asked = client.get(&url).header("origin", PAGE).send().await;
    let answer = asked.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
}

/// Sends `bytes` on a new connection, and reads until the response contains `last`.
#[cfg(unix)]
fn said_to(address: &str, bytes: &[u8], last: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    let (mut answer, mut some) = (String::new(), [0; 4096]);
    while !answer.contains(last) {
        let count = stream.read(&mut some).unwrap();
        assert_ne!(count, 0, "{answer}");
        answer += &String::from_utf8_lossy(&some[..count]);
    }
    answer
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn callers_cannot_flood_the_log_with_warnings() {
    const TIMES: usize = 50;
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let (mut service, address, _) = serving(&issuer, &[]);

    let public = "GET /api/public HTTP/1.1\r\nhost: a\r\n\r\n";
    let queries = "GET /auth?scopes=admin HTTP/1.1\r\nhost: a\r\n\r\n".repeat(TIMES) + public;
    let answers = said_to(&address, queries.as_bytes(), "success");
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), TIMES, "{answers}");

    // The settings (RFC 9113 §6.5), and then acknowledgements of pings that the server never sent
    // (§6.7).
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    frames.extend(b"\0\0\x08\x06\x01\0\0\0\0stranger".repeat(TIMES));
    frames.extend(b"\0\0\x08\x06\0\0\0\0\0answered");
    said_to(&address, &frames, "answered");

    said_to(
        &address,
        public.replace("public", "private").as_bytes(),
        "missing_token",
    );
    let log = service.logged(|line| line.contains("missing_token"));
    let warnings = log.iter().filter(|line| line.contains("\"WARN\""));
    let warnings: Vec<Value> = warnings
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for place in [
        "warp_bearer::service::api::forward_auth",
        "h2::proto::ping_pong",
    ] {
        let of_place = warnings.iter().filter(|line| line["target"] == place);
        let of_place: Vec<_> = of_place.collect();
        assert_eq!(of_place.len(), 20, "{place}: {warnings:#?}");
        assert!(of_place[19]["silent_s"].is_u64(), "{place}: {of_place:#?}");
    }
    assert_eq!(warnings.len(), 40, "{warnings:#?}");
}
