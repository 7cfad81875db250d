//! The list of revocations, its sources, and what happens to tokens in use.

use std::{
    error::Error,
    fmt, fs,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Builder, Claims, SetupError,
        claims::NoPrivate,
        introspection::Introspection,
        revocation::{Revocation, RevocationOutage, RevocationSource},
    },
    issuer::{Issuer, TokenBuilder},
};

use super::support::clock::{StoppedClock, until};

async fn start() -> (Issuer, Auth) {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = trusting(&issuer).build().unwrap();
    auth.ready().await;
    (issuer, auth)
}

fn trusting(issuer: &Issuer) -> Builder {
    Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
}

async fn code(auth: &Auth, token: &str) -> &'static str {
    match auth.verify::<NoPrivate>(token).await {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

fn seconds(offset: i64) -> SystemTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.saturating_add_signed(offset))
}

type Change = fn(TokenBuilder) -> TokenBuilder;
type Entry = fn(&str) -> Revocation;

#[tokio::test]
async fn entry_revokes_exactly_the_matching_tokens() {
    let plain: Change = |token| token;
    let marked: Change = |token| {
        token
            .claim("jti", "t1")
            .claim("sid", "s1")
            .claim("azp", "app")
    };
    #[rustfmt::skip]
    let rows: [(&str, Entry, Change, bool); 18] = [
        ("its jti", |iss| Revocation::token(iss, "t1"), marked, true),
        ("another jti", |iss| Revocation::token(iss, "t2"), marked, false),
        ("no jti", |iss| Revocation::token(iss, "t1"), plain, false),
        ("a jti that is not a string", |iss| Revocation::token(iss, "1"), plain, false),
        ("its subject", |iss| Revocation::subject(iss, "auth0|alice"), plain, true),
        ("another subject", |iss| Revocation::subject(iss, "auth0|bob"), plain, false),
        ("part of its subject", |iss| Revocation::subject(iss, "auth0"), plain, false),
        ("its session", |iss| Revocation::session(iss, "s1"), marked, true),
        ("another session", |iss| Revocation::session(iss, "auth0|alice"), marked, false),
        ("its client in azp", |iss| Revocation::client(iss, "app"), marked, true),
        ("its client in client_id", |iss| Revocation::client(iss, "app"), |token| token.claim("client_id", "app"), true),
        ("its client in cid", |iss| Revocation::client(iss, "app"), |token| token.claim("cid", "app"), true),
        ("one client of two", |iss| Revocation::client(iss, "app"), |token| token.claim("client_id", "x").claim("azp", "app"), true),
        ("the whole issuer", |iss| Revocation::issuer_wide(iss), plain, true),
        ("another issuer", |_| Revocation::subject("https://other.example/", "auth0|alice"), plain, false),
        ("another issuer's token", |_| Revocation::token("https://other.example/", "t1"), marked, false),
        ("issued later", |iss| Revocation::subject(iss, "auth0|alice").before(seconds(-100)), plain, false),
        ("no iat", |iss| Revocation::subject(iss, "auth0|alice").before(seconds(-100)), |token| token.without("iat"), true),
    ];
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    for (case, revocation, change, is_revoked) in rows {
        let auth = trusting(&issuer).build().unwrap();
        let token = change(issuer.token()).sign();
        assert_eq!(code(&auth, &token).await, "ok", "{case}");
        auth.revoke(revocation(issuer.url()));
        let expected = if is_revoked { "token_revoked" } else { "ok" };
        assert_eq!(code(&auth, &token).await, expected, "{case}, cached");
        let auth = trusting(&issuer).token_cache(0).build().unwrap();
        auth.revoke(revocation(issuer.url()));
        assert_eq!(code(&auth, &token).await, expected, "{case}, not cached");
    }
}

#[tokio::test]
async fn before_is_exclusive() {
    let (issuer, auth) = start().await;
    let token = |offset| issuer.token().issued_at(offset).sign();
    let (earlier, later) = (token(-101), token(-100));
    auth.revoke(Revocation::subject(issuer.url(), "auth0|alice").before(seconds(-100)));
    assert_eq!(code(&auth, &earlier).await, "token_revoked");
    // The clock might tick between the two reads, so the second token is at most a second later.
    let later = code(&auth, &later).await;
    let next = code(&auth, &token(-98)).await;
    assert!(later == "ok" || later == "token_revoked");
    assert_eq!(next, "ok");
}

#[tokio::test]
async fn entries_expire() {
    let (issuer, auth) = start().await;
    let token = issuer.token().sign();
    let entry = Revocation::subject(issuer.url(), "auth0|alice");
    auth.revoke(entry.clone().until(seconds(-1)));
    assert_eq!(code(&auth, &token).await, "ok", "the entry has expired");
    assert!(auth.revocations().is_empty());
    auth.revoke(entry.clone().until(seconds(60)));
    assert_eq!(code(&auth, &token).await, "token_revoked");
    assert_eq!(auth.revocations().len(), 1);
    auth.revoke(entry.clone().until(seconds(30)));
    assert_eq!(
        auth.revocations().len(),
        1,
        "the longer entry covers the new one"
    );
    auth.revoke(entry);
    assert_eq!(
        auth.revocations().len(),
        1,
        "the new entry covers the shorter ones"
    );
}

#[tokio::test]
async fn revokes_opaque_tokens() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let asked = Introspection::opaque(issuer.client_id()).client_secret(issuer.client_secret());
    let auth = trusting(&issuer).introspection(asked).build().unwrap();
    let token = issuer.opaque_token(issuer.token());
    assert_eq!(code(&auth, &token).await, "ok");
    auth.revoke(Revocation::subject(issuer.url(), "auth0|alice"));
    assert_eq!(code(&auth, &token).await, "token_revoked");
}

#[tokio::test]
async fn finds_every_one_of_many_entries() {
    let (issuer, auth) = start().await;
    for n in 0..3000 {
        auth.revoke(Revocation::token(issuer.url(), format!("one-by-one-{n}")));
    }
    let at_once = (0..3000).map(|n| Revocation::token(issuer.url(), format!("at-once-{n}")));
    auth.revoke_all(at_once);
    assert_eq!(auth.revocation_status().entries, 6000);
    assert_eq!(auth.revocations().len(), 6000);
    for jti in [
        "one-by-one-0",
        "one-by-one-2999",
        "at-once-0",
        "at-once-2999",
    ] {
        let token = issuer.token().claim("jti", jti).sign();
        assert_eq!(code(&auth, &token).await, "token_revoked", "{jti}");
    }
    let token = issuer.token().claim("jti", "one-by-one-3000").sign();
    assert_eq!(code(&auth, &token).await, "ok");
}

#[tokio::test]
async fn reads_the_file_at_start_and_after_changes() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let iss = issuer.url();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, r#"{{"iss":"{iss}","jti":"t1"}}"#).unwrap();
    writeln!(file).unwrap();
    file.flush().unwrap();
    let auth = trusting(&issuer)
        .revocation_file(file.path())
        .build()
        .unwrap();
    let token = |jti: &str| issuer.token().claim("jti", jti).sign();
    assert_eq!(code(&auth, &token("t1")).await, "token_revoked");
    let second = token("t2");
    assert_eq!(code(&auth, &second).await, "ok");

    let mut entries = 1;
    let mut read_until = async |auth: &Auth, expected: usize| {
        while auth.revocation_status().entries != expected {
            clock.pass(Duration::from_millis(100)).await;
            std::thread::yield_now();
        }
        entries = expected;
    };
    writeln!(file, r#"{{"iss":"{iss}","jti":"t2","before":4000000000}}"#).unwrap();
    file.flush().unwrap();
    read_until(&auth, 2).await;
    assert_eq!(code(&auth, &second).await, "token_revoked");

    // a broken line or a missing file must not change the list
    writeln!(file, "{{").unwrap();
    file.flush().unwrap();
    while !auth.revocation_status().sources[0].is_failing {
        clock.pass(Duration::from_millis(100)).await;
        std::thread::yield_now();
    }
    assert_eq!(code(&auth, &second).await, "token_revoked");
    fs::write(
        file.path(),
        format!("{{\"iss\":\"{iss}\",\"jti\":\"t3\"}}\n"),
    )
    .unwrap();
    read_until(&auth, 3).await;
    // The entries take effect before the source stops counting as failing, so we wait for that too
    while auth.revocation_status().sources[0].is_failing {
        clock.pass(Duration::from_millis(100)).await;
        std::thread::yield_now();
    }
    assert_eq!(code(&auth, &token("t3")).await, "token_revoked");
    assert_eq!(
        code(&auth, &token("t1")).await,
        "token_revoked",
        "the last list stays in use"
    );
}

#[tokio::test]
async fn invalid_file_is_a_setup_error() {
    #[rustfmt::skip]
    let rows = [
        ("not JSON", "x", "line 1"),
        ("an array", "[]", "line 1"),
        ("an unknown member", r#"{"iss":"a","jti":"b","note":"c"}"#, "line 1"),
        ("a member twice", r#"{"iss":"a","jti":"b","jti":"c"}"#, "line 1"),
        ("no issuer", r#"{"jti":"b"}"#, "line 1"),
        ("an empty issuer", r#"{"iss":"","jti":"b"}"#, "iss is empty"),
        ("an empty jti", r#"{"iss":"a","jti":""}"#, "is empty"),
        ("an empty subject", r#"{"iss":"a","sub":"","before":1}"#, "is empty"),
        ("two targets", r#"{"iss":"a","jti":"b","sub":"c"}"#, "more than one"),
        ("a subject without before", r#"{"iss":"a","sub":"b"}"#, "before is missing"),
        ("an issuer without before", r#"{"iss":"a"}"#, "before is missing"),
        ("before as a string", r#"{"iss":"a","sub":"b","before":"1"}"#, "line 1"),
        ("two entries on one line", r#"{"iss":"a","jti":"b"}{"iss":"a","jti":"c"}"#, "line 1"),
        ("an error on the third line", "{\"iss\":\"a\",\"jti\":\"b\"}\n\n?", "line 3"),
    ];
    for (case, text, expected) in rows {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let builder = Auth::builder()
            .issuer("https://tenant.example/")
            .audience("urn:api")
            .revocation_file(file.path());
        let fault = builder.build().unwrap_err();
        assert!(matches!(fault, SetupError::RevocationFile(_)), "{case}");
        assert!(fault.to_string().contains(expected), "{case}: {fault}");
    }
    let absent = Auth::builder()
        .issuer("https://tenant.example/")
        .audience("urn:api")
        .revocation_file("/nowhere/revoked.jsonl");
    assert!(absent.build().is_err());
}

#[test]
fn parses_entries_as_json_lines() {
    for line in [
        r#"{"iss":"https://a/","jti":"t"}"#,
        r#"{"before":1790000000,"iss":"https://a/","sub":"auth0|a","until":1790086400}"#,
        r#"{"before":1790000000,"client_id":"app","iss":"https://a/"}"#,
        r#"{"before":1790000000.5,"iss":"https://a/","sid":"s"}"#,
        r#"{"before":1790000000,"iss":"https://a/"}"#,
    ] {
        assert_eq!(Revocation::from_json(line).unwrap().to_json(), line);
    }
    let entry = Revocation::subject("https://a/", "auth0|secret");
    assert!(!format!("{entry:?}").contains("secret"));
}

/// If null counted as absent, the entry would revoke every token of the issuer.
#[test]
fn rejects_an_entry_with_a_null_member() {
    for name in ["jti", "sub", "client_id", "sid", "before", "until"] {
        let line = format!(r#"{{"iss":"https://a/","jti":"t","before":1,"{name}":null}}"#);
        let line = line.replacen(&format!(r#""{name}":1,"#), "", 1);
        let line = line.replacen(&format!(r#""{name}":"t","#), "", 1);
        assert!(Revocation::from_json(&line).is_err(), "{line}");
    }
    let line = r#"{"iss":"https://a/","sub":null,"before":1790000000}"#;
    assert!(Revocation::from_json(line).is_err());
}

/// Timers round up to their next tick.
const TICK: Duration = Duration::from_millis(2);

/// A source that returns whatever the test has set.
#[derive(Clone, Default)]
struct Table {
    entries: Arc<Mutex<Vec<Revocation>>>,
    is_down: Arc<AtomicBool>,
}

impl RevocationSource for Table {
    async fn revocations(&self) -> Result<Vec<Revocation>, Box<dyn Error + Send + Sync>> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err("the database is down".into());
        }
        Ok(self.entries.lock().unwrap().clone())
    }
}

/// Waits until the source has been read at the current time of the stopped clock. Another thread
/// adds the entries.
async fn until_read(auth: &Auth) {
    until(|| auth.revocation_status().sources[0].age == Some(Duration::ZERO)).await;
}

#[tokio::test]
async fn reads_a_source_at_intervals() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let table = Table::default();
    let every = Duration::from_secs(10);
    let builder = trusting(&issuer).revocation_source(table.clone(), every);
    let auth = builder.build().unwrap();
    let token = issuer.token().sign();
    until_read(&auth).await;
    assert_eq!(code(&auth, &token).await, "ok");
    let entry = Revocation::subject(issuer.url(), "auth0|alice");
    table.entries.lock().unwrap().push(entry);
    clock.pass(every + TICK).await;
    until_read(&auth).await;
    assert_eq!(code(&auth, &token).await, "token_revoked");
    table.entries.lock().unwrap().clear();
    clock.pass(every + TICK).await;
    until_read(&auth).await;
    assert_eq!(
        code(&auth, &token).await,
        "token_revoked",
        "the last list stays in use"
    );
}

/// A source that answers only once.
#[derive(Default)]
struct Silent {
    has_answered: AtomicBool,
}

impl RevocationSource for Silent {
    async fn revocations(&self) -> Result<Vec<Revocation>, Box<dyn Error + Send + Sync>> {
        if self.has_answered.swap(true, Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(Vec::new())
    }

    fn name(&self) -> &'static str {
        "silent"
    }
}

#[tokio::test]
async fn source_that_stops_answering_counts_as_down() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let stale = Duration::from_secs(60);
    let auth = trusting(&issuer)
        .revocation_source(Silent::default(), Duration::from_secs(10))
        .revocation_stale(stale)
        .build()
        .unwrap();
    auth.ready().await;
    until_read(&auth).await;
    let token = issuer.token().sign();
    assert_eq!(code(&auth, &token).await, "ok");
    clock.pass(Duration::from_secs(10) + TICK).await;
    clock.pass(stale + TICK).await;
    let status = auth.revocation_status();
    assert!(status.sources.iter().all(|source| source.is_failing));
    assert_eq!(status.sources[0].name, "silent");
    assert_eq!(code(&auth, &token).await, "state_unavailable");
}

struct Panicking {
    has_answered: AtomicBool,
    panics: Panics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panics {
    BeforeTheFuture,
    InTheFuture,
    InTheError,
}

#[derive(Debug)]
struct PanickingError;

impl fmt::Display for PanickingError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("the error is broken")
    }
}

impl Error for PanickingError {}

impl RevocationSource for Panicking {
    fn revocations(
        &self,
    ) -> impl Future<Output = Result<Vec<Revocation>, Box<dyn Error + Send + Sync>>> + Send {
        let has_answered = self.has_answered.swap(true, Ordering::Relaxed);
        let now = has_answered.then_some(self.panics);
        assert_ne!(now, Some(Panics::BeforeTheFuture), "the source is broken");
        async move {
            assert_ne!(now, Some(Panics::InTheFuture), "the source is broken");
            match now {
                None => Ok(Vec::new()),
                Some(_) => Err(PanickingError.into()),
            }
        }
    }
}

#[tokio::test]
async fn a_source_that_panics_counts_as_down() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let stale = Duration::from_secs(60);
    for panics in [
        Panics::BeforeTheFuture,
        Panics::InTheFuture,
        Panics::InTheError,
    ] {
        let source = Panicking {
            has_answered: AtomicBool::new(false),
            panics,
        };
        let auth = trusting(&issuer)
            .revocation_source(source, Duration::from_secs(10))
            .revocation_stale(stale)
            .build()
            .unwrap();
        auth.ready().await;
        until_read(&auth).await;
        let token = issuer.token().sign();
        assert_eq!(code(&auth, &token).await, "ok");
        clock.pass(Duration::from_secs(10) + TICK).await;
        assert!(auth.revocation_status().sources[0].is_failing, "{panics:?}");
        assert_eq!(
            code(&auth, &token).await,
            "ok",
            "the last list stays in use"
        );
        for _ in 0..6 {
            clock.pass(Duration::from_secs(10) + TICK).await;
        }
        assert_eq!(code(&auth, &token).await, "state_unavailable");
    }
}

#[tokio::test]
async fn rejects_every_token_after_a_long_source_outage() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let token = issuer.token().sign();
    for outage in [RevocationOutage::Refuse, RevocationOutage::Local] {
        let refused = match outage {
            RevocationOutage::Refuse => "state_unavailable",
            _ => "ok",
        };
        let table = Table::default();
        table.is_down.store(true, Ordering::Relaxed);
        let builder = trusting(&issuer)
            .revocation_source(table.clone(), Duration::from_secs(10))
            .revocation_outage(outage);
        let auth = builder.build().unwrap();
        auth.ready().await;
        clock.pass(Duration::ZERO).await;
        assert_eq!(
            code(&auth, &token).await,
            refused,
            "the list was never read"
        );
        assert!(!auth.is_ready());
        table.is_down.store(false, Ordering::Relaxed);
        clock.pass(Duration::from_secs(10) + TICK).await;
        until_read(&auth).await;
        assert_eq!(code(&auth, &token).await, "ok");
        assert!(auth.is_ready());
        table.is_down.store(true, Ordering::Relaxed);
        clock.pass(Duration::from_secs(290)).await;
        assert_eq!(
            code(&auth, &token).await,
            "ok",
            "the last list stays in use"
        );
        assert!(auth.revocation_status().sources[0].is_failing);
        clock.pass(Duration::from_secs(20)).await;
        assert_eq!(code(&auth, &token).await, refused, "the list is too old");
        assert!(auth.is_ready(), "the list was read once");
        table.is_down.store(false, Ordering::Relaxed);
        clock.pass(Duration::from_secs(10) + TICK).await;
        until_read(&auth).await;
        assert_eq!(code(&auth, &token).await, "ok", "the list was read again");
    }
}

#[tokio::test]
async fn ended_completes_at_revocation() {
    let (issuer, auth) = start().await;
    let claims: Claims = auth.verify(&issuer.token().sign()).await.unwrap();
    let other: Claims = auth
        .verify(&issuer.token().subject("auth0|bob").sign())
        .await
        .unwrap();
    let (ended, other) = (tokio::spawn(claims.ended()), tokio::spawn(other.ended()));
    auth.revoke(Revocation::subject(issuer.url(), "auth0|alice"));
    assert_eq!(ended.await.unwrap(), AuthError::TokenRevoked);
    assert_eq!(
        claims.ended().await,
        AuthError::TokenRevoked,
        "the future completes at once"
    );
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!other.is_finished());
    other.abort();
}

#[tokio::test]
async fn ended_completes_when_the_token_expires() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let start = Instant::now();
    for (case, builder, expected) in [
        ("at exp", trusting(&issuer), 300),
        (
            "at the maximum age",
            trusting(&issuer).max_age(Duration::from_secs(100)),
            100,
        ),
    ] {
        let (zero, began) = (start.elapsed(), SystemTime::now());
        let auth = builder.clock(move || began + start.elapsed() - zero);
        let auth = auth.build().unwrap();
        let token = issuer.token().expires_in(Duration::from_secs(300));
        let claims: Claims = auth.verify(&token.sign()).await.unwrap();
        let ended = tokio::spawn(claims.ended());
        let step = Duration::from_millis(500);
        let passed = clock.pass_until(step, || ended.is_finished()).await;
        let expected = Duration::from_secs(expected);
        // `exp` and `iat` have whole seconds
        assert!(
            passed <= expected + Duration::from_secs(2),
            "{case}: {passed:?}"
        );
        assert!(
            passed + Duration::from_secs(2) >= expected,
            "{case}: {passed:?}"
        );
        assert_eq!(ended.await.unwrap(), AuthError::TokenExpired, "{case}");
    }
}

/// Measures how much slower a verification gets with a list of 100,000 entries: `cargo test
/// --release --test library -- --ignored a_long_list_costs --nocapture`.
///
/// The `Auth` with the list and one without it take turns, so that load on the machine should
/// affect both alike, and we compare the medians of many short turns.
#[tokio::test]
#[ignore = "measures speed"]
async fn a_long_list_costs_a_verification_less_than_two_percent() {
    type Entry = fn(&str, String) -> Revocation;
    const TURNS: usize = 400;
    let issuer = Issuer::start().await; // RS256, which is the fastest to verify
    let by: [(&str, Entry); 2] = [
        ("subjects", |iss, name| Revocation::subject(iss, name)),
        ("tokens", |iss, name| Revocation::token(iss, name)),
    ];
    let token = issuer.token().claim("jti", "a-token").sign();
    for (entries, entry) in by {
        for (cached, verifications) in [(0, 20), (10_000, 500)] {
            let builder = || {
                let builder = Auth::builder().issuer(issuer.url());
                builder.audience(issuer.audience()).token_cache(cached)
            };
            let auths = [builder().build().unwrap(), builder().build().unwrap()];
            let names = (0..100_000).map(|number| format!("auth0|{number:024x}"));
            auths[1].revoke_all(names.map(|name| entry(issuer.url(), name)));
            let mut durations = [Vec::new(), Vec::new()];
            for auth in &auths {
                auth.ready().await;
                assert_eq!(code(auth, &token).await, "ok");
            }
            for _ in 0..TURNS {
                for (auth, taken) in auths.iter().zip(&mut durations) {
                    let begin = std::time::Instant::now();
                    for _ in 0..verifications {
                        auth.verify::<NoPrivate>(&token).await.unwrap();
                    }
                    taken.push(begin.elapsed());
                }
            }
            let [without, with] = durations.map(|mut taken| {
                taken.sort();
                taken[TURNS / 2].as_secs_f64() / f64::from(verifications)
            });
            let ratio = with / without;
            println!(
                "{entries}, cache of {cached}: {:.2} us without a list, {:.2} us with it: {ratio:.4}",
                without * 1e6,
                with * 1e6
            );
            // Cached tokens get a higher limit: verifying one takes less than a microsecond, and a
            // whole request takes twenty.
            let allowed = if cached == 0 { 1.02 } else { 1.05 };
            assert!(ratio < allowed, "{entries}: {ratio}");
        }
    }
}
