//! [`Explanation`]: the verdict on a credential, the steps of its verification, and the cause of a
//! rejection.
//!
//! The verdict comes from [`Auth::authenticate`], and this file only explains it. We only send
//! requests to configured issuers, never to a URL from the token.

use warp::http::HeaderName;

use crate::{
    auth::{
        Auth, AuthError, Claims, Problem,
        audience::OneAudience,
        explain::{Schemes, StepValue, Trace},
        explain_proof::ProofOfRequest,
        policy::Policy,
    },
    service::{
        api::{
            errors::{Cause, causes},
            forward_auth,
            route::Access,
            routes::rows,
        },
        cli::{
            explain::{
                advice::Advice,
                diagnosis,
                dpop_off::dpop_is_off,
                facts::Facts,
                head_size, mistake,
                pasted::{self, Pasted, RequestFault},
                proxy::Proxy,
                vendor::patterns::{of_padding, of_policy},
            },
            time_format,
        },
        config::{Config, Environment},
    },
};

#[derive(Debug)]
pub(in crate::service) struct Explanation {
    /// About the text around the credential
    pub(super) notes: Vec<String>,
    pub(super) trace: Trace,
    /// `None` if the service would accept the token
    pub(super) refusal: Option<Refused>,
    /// Facts that the steps do not show, as sentences
    pub(super) facts: Vec<String>,
    /// The verdict on the token alone, if the header is not `Bearer`, a space and a token
    pub(super) repair: Option<Repair>,
    pub(super) routes: Vec<RouteVerdict>,
    pub(super) proxy: Option<ProxyAnswer>,
    pub(super) now: f64,
}

#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// `None` if the HTTP parser rejects the request. Its answer has no body.
    pub(super) code: Option<&'static str>,
    pub(super) detail: &'static str,
    pub(super) advice: Advice,
}

/// The verdict on a token that's sent with the wrong syntax
#[derive(Debug)]
pub(super) struct Repair {
    pub(super) trace: Trace,
    pub(super) refusal: Option<Refused>,
    /// The right syntax, as the end of a sentence
    pub(super) form: String,
}

impl Repair {
    fn has_bound_token(&self) -> bool {
        self.trace.payload["cnf"]["jkt"].is_string()
    }

    fn is_about_binding(&self) -> bool {
        let code = self.refusal.as_ref().and_then(|refusal| refusal.code);
        matches!(code, Some("token_bound" | "missing_token"))
    }
}

/// What one of the service's routes responds to an accepted token
#[derive(Debug)]
pub(super) struct RouteVerdict {
    pub(super) route: String,
    pub(super) needs: Option<String>,
    pub(super) refusal: Option<Refused>,
}

#[derive(Debug)]
pub(super) struct ProxyAnswer {
    /// The path and the query of the proxy's request
    pub(super) target: String,
    pub(super) query: String,
    /// Empty if the request is rejected
    pub(super) fields: Vec<(String, String)>,
}

/// How far this machine's clock is ahead of the issuer's
#[derive(Debug, Clone)]
pub(in crate::service) struct Skew {
    pub(in crate::service) issuer: String,
    pub(in crate::service) seconds: f64,
}

/// Something that the options require of the token
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Wanted {
    pub(in crate::service) words: String,
    pub(in crate::service) policy: Policy,
}

/// The service, and the request to explain.
pub(in crate::service) struct Subject<'a> {
    pub(in crate::service) access: &'a Access,
    pub(in crate::service) config: &'a Config,
    pub(in crate::service) environment: &'a Environment,
    /// The service also asks the issuer about tokens, but this command does not
    pub(in crate::service) is_unasked: bool,
    /// Each requirement gets its own step, in this order
    pub(in crate::service) wanted: Vec<Wanted>,
    /// A proxy's request to `/auth`
    pub(in crate::service) proxy: Option<Proxy>,
    /// With a proof, we explain the token as if it were sent with the scheme `DPoP`.
    pub(in crate::service) proof: Option<ProofOfRequest>,
}

struct TracedVerdict {
    trace: Trace,
    claims: Option<Claims>,
    refusal: Option<Refused>,
    facts: Vec<String>,
}

const FRAGMENT: Cause = Cause {
    what: "The target of the request has a `#`, which HTTP forbids (RFC 9112 section 3.2). The service answers 400, without a code, and does not read the fields.",
    fix: "Remove the `#` and what follows it, or encode the `#` as %23.",
};

const INVISIBLE: Cause = Cause {
    what: "The name of a field has an invisible character in it or before it, which HTTP forbids (RFC 9110 section 5.1). The service answers 400, without a code, and does not read the fields.",
    fix: "Type the name of the field again, and do not paste it.",
};

const CONTROL: Cause = Cause {
    what: "The value of the field has a control character, which HTTP forbids (RFC 9110 section 5.5). The service answers 400, without a code, and does not read the field.",
    fix: "Copy the token again and nothing else. A line break and the color codes of a terminal are control characters too.",
};

/// The name of the step that fails if the HTTP parser rejects the request.
pub(super) const PARSER_STEP: &str = "request";

const UNREADABLE: &str =
    "The request is not valid HTTP. The answer to it has no body, and so no code.";

const OVER_LIMIT: &str =
    "The head of the request is too large. The answer to it has no body, and so no code.";

const MILLISECONDS: &str = "exp is in milliseconds, it seems. RFC 7519 defines seconds, so the token is valid for thousands of years. Have the issuer divide by 1000.";

const UNASKED: &str = "The service may also ask the issuer about this token, and the answer could change this verdict. To ask the issuer here too, use --introspect. This sends it the token.";

const REMOVED_ENTRIES: &str = "A running service keeps entries that were removed from the file until it restarts, so it may still reject this token (AUTH0_REVOCATION_FILE).";

const COMMA: &str = "The query has a comma in a scope, a permission or an acr. The service takes it for a part of the name. To require several, separate them by + or %20.";

impl Subject<'_> {
    /// Calls `skew` if a date is the reason for a rejection.
    pub(in crate::service) async fn explain(
        &self,
        pasted: Pasted,
        skew: impl AsyncFn() -> Option<Skew>,
    ) -> Explanation {
        let auth = &self.access.auth;
        let all = pasted.fields();
        auth.first_fetch_ended(&pasted.issuer()).await;
        let fault = pasted.unread();
        let head = self.least_head(&pasted);
        let is_too_large = fault.is_none() && head > self.config.limits.head as usize;
        let mut traced = match (&self.config.token_field, &pasted.bare, fault) {
            (_, _, Some(fault)) => self.reject_unread(fault),
            _ if is_too_large => self.reject_head(head, &pasted),
            (Some(name), None, _) => self.not_read(name),
            _ if !pasted.further.is_empty() => {
                let found = format!("{} fields", pasted.further.len() + 1);
                let error = AuthError::MultipleCredentials;
                self.refuse("one field", found, error, causes::TWO_CREDENTIALS)
            }
            (None, ..) => self.verdict_on(&pasted.field, &skew).await,
            (Some(_), Some(value), _) => self.verdict_on(value, &skew).await,
        };
        name_mistake(&pasted, &mut traced);
        let proxy = self.proxy.as_ref().map(|proxy| {
            self.refuse_query(proxy, &mut traced);
            let accepted = traced.claims.as_ref().filter(|_| traced.refusal.is_none());
            ProxyAnswer {
                target: proxy.target.clone(),
                query: proxy.query.clone(),
                fields: accepted.map_or_else(Vec::new, identity),
            }
        });
        let steps = [PARSER_STEP, "credential"];
        let is_malformed = steps.iter().any(|name| traced.trace.step(name).is_some());
        let sent = match (&self.config.token_field, pasted.bare) {
            (Some(_), Some(value)) => value,
            _ => all.clone(),
        };
        let schemes = auth.schemes();
        let scheme = schemes.instead_of(schemes.used_in(&sent));
        let right = |token: &str| match &self.config.token_field {
            Some(_) => token.to_owned(),
            None => format!("{scheme} {token}"),
        };
        let is_about_fields = fault.is_some() || !pasted.further.is_empty();
        let token = pasted::repaired(&sent).filter(|_| is_malformed && !is_too_large);
        let mut repair = match token
            .map(right)
            .filter(|right| *right != sent || is_about_fields)
        {
            Some(right) => {
                let repaired = self.verdict_on(&right, &skew).await;
                traced.facts.extend(repaired.facts);
                Some(Repair {
                    trace: repaired.trace,
                    refusal: repaired.refusal,
                    form: match &self.config.token_field {
                        Some(name) => format!("the field {name} is that token alone"),
                        None => format!("the field is the word {scheme}, a space and that token"),
                    },
                })
            }
            None => None,
        };
        if let (Some(refusal), Some(of_token)) = (&mut traced.refusal, &repair)
            && refusal.code == Some(AuthError::MissingToken.code())
            && self.is_bound_without_dpop(&sent, of_token)
        {
            let issuer = of_token.trace.payload["iss"].as_str().unwrap_or_default();
            let own = self.config.of_issuer(issuer);
            refusal.advice = dpop_is_off(&own, self.environment).in_words_of(&own);
            // Its advice would be the same
            repair = repair.filter(|repair| !repair.is_about_binding());
        }
        let accepted = traced.claims.filter(|_| traced.refusal.is_none());
        let facts = self.facts("", &traced.trace, None);
        let mut notes = pasted.notes;
        notes.extend(pasted.whole.map(|whole| self.as_sent(&whole)));
        notes.extend(self.notes(&traced.trace, accepted.is_some()));
        Explanation {
            notes,
            routes: accepted.map_or_else(Vec::new, |claims| routes(self.access, &claims, &facts)),
            refusal: traced.refusal,
            facts: traced.facts,
            repair,
            proxy,
            now: auth.time(),
            trace: traced.trace,
        }
    }

    /// What the verdict does not say
    fn notes(&self, trace: &Trace, is_accepted: bool) -> Vec<String> {
        let expires = trace.payload["exp"].as_f64();
        let has_comma = |proxy: &Proxy| {
            self.query_problem(proxy).is_none() && forward_auth::has_comma(&proxy.query)
        };
        let notes = [
            (self.is_unasked, UNASKED),
            (
                expires.is_some_and(|expires| expires > diagnosis::FAR),
                MILLISECONDS,
            ),
            (
                is_accepted && self.config.revocation_file.is_some(),
                REMOVED_ENTRIES,
            ),
            (self.proxy.as_ref().is_some_and(has_comma), COMMA),
        ];
        let notes = notes.into_iter().filter(|(applies, _)| *applies);
        notes.map(|(_, note)| note.to_owned()).collect()
    }

    /// Whether a bound token has the scheme `DPoP`, and DPoP is off. The service does not accept such
    /// a token with any scheme.
    fn is_bound_without_dpop(&self, sent: &str, repair: &Repair) -> bool {
        let is_off = self.access.auth.schemes() == Schemes::Bearer;
        let is_dpop = self.config.token_field.is_none() && pasted::after(sent, "DPoP").is_some();
        is_off && is_dpop && repair.has_bound_token()
    }

    /// The verifier for the audience that a proxy asks for. `None` if it asks for none, or for one
    /// that isn't configured.
    fn audience(&self) -> Option<OneAudience<'_>> {
        let asked = self.proxy.as_ref()?.asked.as_ref().ok()?;
        self.access.auth.for_audience(asked.audience.as_deref()?)
    }

    /// Why `/auth` rejects the proxy's query. `None` if it does not.
    fn query_problem(&self, proxy: &Proxy) -> Option<Problem> {
        match &proxy.asked {
            Err(problem) => Some(*problem),
            Ok(asked) if asked.audience.is_some() && self.audience().is_none() => {
                Some(Problem::BadRequest)
            }
            Ok(_) => None,
        }
    }

    /// If the proxy's query is at fault, that replaces the verdict: `/auth` checks the query first.
    /// The HTTP parser comes even before that.
    fn refuse_query(&self, proxy: &Proxy, traced: &mut TracedVerdict) {
        let Some(problem) = self.query_problem(proxy) else {
            return;
        };
        if traced.trace.step(PARSER_STEP).is_some() && proxy.is_readable() {
            return;
        }
        let mut refusal = Refused::of_problem(problem);
        if !proxy.is_readable() {
            refusal = refusal.by_parser();
        }
        if proxy.has_fragment() {
            refusal.advice = FRAGMENT.into();
        }
        traced.refusal = Some(refusal);
    }

    /// Describes the header that carries a token which was found in the text `whole`, and the
    /// response of the service if a client sends the whole text in it.
    fn as_sent(&self, whole: &str) -> String {
        let form = match &self.config.token_field {
            Some(name) => format!("{name}, and no scheme."),
            None => "Authorization, the scheme, a space and the token.".to_owned(),
        };
        let form = format!("A header field carries only the token: {form}");
        let is_line = !whole.contains(|c: char| c.is_ascii_control() && c != '\t');
        match self.access.auth.check_form(whole) {
            Err(error) if is_line => format!(
                "{form} The service answers {} {} to the whole text in that field.",
                error.status().as_u16(),
                error.code()
            ),
            _ => form,
        }
    }

    /// Returns the verdict on `Authorization` if the service reads another header.
    fn not_read(&self, name: &HeaderName) -> TracedVerdict {
        let expected = format!("one token in {name}");
        let found = "Authorization alone".to_owned();
        self.refuse(
            &expected,
            found,
            AuthError::MissingToken,
            causes::NO_TOKEN_FIELD,
        )
    }

    /// Refuses a request that the service rejects without reading its token.
    fn reject_unread(&self, fault: RequestFault) -> TracedVerdict {
        let (expected, found, cause) = match fault {
            RequestFault::SpaceBeforeColon => (
                "a name and a colon",
                "a space before the colon".to_owned(),
                causes::SPACE_BEFORE_COLON,
            ),
            RequestFault::BeforeName => (
                "lines that begin with a name",
                "a space or a quote before a name".to_owned(),
                causes::SPACE_BEFORE_NAME,
            ),
            RequestFault::InvisibleInName(c) => (
                "names of letters, digits and hyphens",
                format!("an invisible character in a name, U+{:04X}", u32::from(c)),
                INVISIBLE,
            ),
            RequestFault::ControlCharacter(c) => (
                "a value without control characters",
                format!("a control character, U+{:04X}", u32::from(c)),
                CONTROL,
            ),
            RequestFault::Fragment => (
                "a target without a fragment",
                "a `#` in the request line".to_owned(),
                FRAGMENT,
            ),
            RequestFault::NoField => {
                let (name, cause) = match &self.config.token_field {
                    None => ("Authorization", causes::NO_FIELD),
                    Some(name) => (name.as_str(), causes::NO_TOKEN_FIELD),
                };
                let (expected, found) = (format!("one field {name}"), "none".to_owned());
                return self.refuse(&expected, found, AuthError::MissingToken, cause);
            }
        };
        let mut traced = self.refuse(expected, found, AuthError::MalformedAuthorization, cause);
        for step in &mut traced.trace.steps {
            step.name = PARSER_STEP;
        }
        traced.refusal = traced.refusal.map(Refused::by_parser);
        traced
    }

    /// The size of the smallest request with this credential.
    fn least_head(&self, pasted: &Pasted) -> usize {
        let (name, value) = match (&self.config.token_field, &pasted.bare) {
            (Some(name), Some(value)) => (name.as_str(), value),
            _ => ("Authorization", &pasted.field),
        };
        let target = self.proxy.as_ref().map_or("/", |proxy| &proxy.target);
        let proof = self.proof.as_ref().map(|proof| ("DPoP", &*proof.proof));
        let further = pasted.further.iter().map(|value| (name, &**value));
        let fields = [(name, &**value)].into_iter().chain(further).chain(proof);
        head_size::least_head(target, fields)
    }

    /// Refuses a request whose head is larger than the limit.
    fn reject_head(&self, head: usize, pasted: &Pasted) -> TracedVerdict {
        let sent = pasted.bare.clone().unwrap_or_else(|| pasted.fields());
        let token = pasted::repaired(&sent).unwrap_or(&sent);
        let mut trace = Trace::default();
        let expected = format!("a head of at most {} bytes", self.config.limits.head);
        let found = format!("{head} bytes or more");
        trace.add::<()>(PARSER_STEP, expected, found, Err(AuthError::TokenTooLarge));
        let advice = head_size::head_too_large(self.config, self.environment, head, token.len());
        TracedVerdict {
            trace,
            claims: None,
            refusal: Some(Refused {
                status: Problem::HeadersTooLarge.status().as_u16(),
                code: None,
                detail: OVER_LIMIT,
                advice,
            }),
            facts: Vec::new(),
        }
    }

    /// Refuses a request because of its headers, whatever token they contain.
    fn refuse(
        &self,
        expected: &str,
        found: String,
        error: AuthError,
        cause: Cause,
    ) -> TracedVerdict {
        let mut trace = Trace::default();
        trace.add::<()>("credential", expected, found, Err(error));
        let facts = self.facts("", &trace, None);
        let schemes = self.access.auth.schemes().as_str();
        let advice = Advice::from(cause).with_schemes(schemes, schemes);
        let refusal = Refused::new(error, advice, &facts);
        TracedVerdict {
            trace,
            claims: None,
            refusal: Some(refusal),
            facts: Vec::new(),
        }
    }

    async fn verdict_on(
        &self,
        field: &str,
        skew: &impl AsyncFn() -> Option<Skew>,
    ) -> TracedVerdict {
        let auth = &self.access.auth;
        let token = match &self.config.token_field {
            Some(_) => field,
            None => field
                .split_once(' ')
                .map_or("", |(_, token)| token.trim_start()),
        };
        let audience = self.audience();
        let (mut trace, verdict) = match &self.proof {
            // A proof does not make up for a malformed field.
            Some(proof) if auth.check_form(field).is_ok() => {
                auth.trace_with_proof(token, proof, audience.as_ref()).await
            }
            _ => auth.trace(field, audience.as_ref()).await,
        };
        let error = match verdict {
            Ok(claims) => {
                let refusal = self.grant(token, &claims, &mut trace);
                let (claims, facts) = (Some(claims), Vec::new());
                return TracedVerdict {
                    trace,
                    claims,
                    refusal,
                    facts,
                };
            }
            Err(error) => error,
        };
        if trace.step("credential").is_some() {
            let facts = self.facts(token, &trace, None);
            let is_malformed = error == AuthError::MalformedAuthorization;
            let of_padding = of_padding(&facts).filter(|_| is_malformed);
            let advice = of_padding.unwrap_or_else(|| match &self.config.token_field {
                Some(_) => diagnosis::of_token_field(field, error),
                None => diagnosis::of_authorization(field, auth.schemes(), error),
            });
            let refusal = Some(Refused::new(error, advice, &facts));
            return TracedVerdict {
                trace,
                claims: None,
                refusal,
                facts: Vec::new(),
            };
        }
        let is_old_proof = trace
            .step("proof iat")
            .is_some_and(|step| step.outcome.is_err());
        let is_about_time =
            is_old_proof || matches!(error, AuthError::TokenExpired | AuthError::TokenNotYetValid);
        let skew = if is_about_time { skew().await } else { None };
        let facts = self.facts(token, &trace, skew.as_ref().map(|skew| skew.seconds));
        let is_for_another = trace
            .step("audience")
            .is_some_and(|step| step.outcome.is_err());
        let advice = if is_for_another {
            causes::FOR_ANOTHER_RESOURCE.into()
        } else {
            diagnosis::advice(&facts, error)
        };
        let refusal = Some(Refused::new(error, advice, &facts));
        let facts = sentences(auth, error, &trace, skew);
        TracedVerdict {
            trace,
            claims: None,
            refusal,
            facts,
        }
    }

    fn facts<'a>(&'a self, token: &'a str, trace: &'a Trace, skew: Option<f64>) -> Facts<'a> {
        let auth = &self.access.auth;
        let issuer = trace.payload["iss"].as_str().unwrap_or_default();
        let is_trusted = auth.trusted_audiences().any(|(name, _)| *name == *issuer);
        let accepted = auth
            .trusted_audiences()
            .filter(|(name, _)| !is_trusted || **name == *issuer);
        Facts {
            token,
            trace,
            auth,
            config: self.config.of_issuer(issuer),
            environment: self.environment,
            is_unasked: self.is_unasked,
            issuers: auth
                .trusted_audiences()
                .map(|(name, _)| name.to_string())
                .collect(),
            accepted: accepted.flat_map(|(_, ours)| ours.to_vec()).collect(),
            skew,
        }
    }

    /// Adds a step for each requirement. Returns the rejection if the token does not meet one.
    fn grant(&self, token: &str, claims: &Claims, trace: &mut Trace) -> Option<Refused> {
        let found = ["scope", "scp", "permissions"].map(|name| (name, trace.claimed(name)));
        let found = found.into_iter().filter(|(_, value)| value != "absent");
        let found: Vec<_> = found
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let found = if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        };
        for Wanted { words, policy } in &self.wanted {
            let outcome = policy.check(claims).map_err(|unmet| unmet.error);
            trace.add("grants", words.clone(), found.clone(), outcome);
        }
        // a route combines all requirements into one policy
        let policies = self.wanted.iter().map(|wanted| wanted.policy.clone());
        let policy = policies.reduce(|one, other| one & other)?;
        let unmet = policy.check(claims).err()?;
        let facts = self.facts(token, trace, None);
        let kind = policy.unmet_kind(claims);
        let advice = of_policy(&facts, unmet.error, unmet.scopes.as_deref(), kind);
        Some(Refused::new(unmet.error, advice, &facts))
    }
}

impl Refused {
    fn new(error: AuthError, advice: Advice, facts: &Facts<'_>) -> Self {
        Self {
            status: error.status().as_u16(),
            code: Some(error.code()),
            detail: match facts.config.token_field {
                Some(_) => error.detail_for_own_field(),
                None => error.detail(),
            },
            advice: advice.in_words_of(&facts.config),
        }
    }

    fn of_problem(problem: Problem) -> Self {
        Self {
            status: problem.status().as_u16(),
            code: Some(problem.code()),
            detail: problem.detail(),
            advice: match problem {
                Problem::NotFound => causes::BELOW_AUTH.into(),
                _ => causes::ODD_POLICY.into(),
            },
        }
    }

    /// Returns the same refusal as the HTTP parser answers it, without a body.
    fn by_parser(self) -> Self {
        Self {
            code: None,
            detail: UNREADABLE,
            ..self
        }
    }

    pub(super) fn status_and_code(&self) -> String {
        let code = self.code.map(|code| format!(" {code}"));
        format!("{}{}", self.status, code.unwrap_or_default())
    }
}

impl Explanation {
    pub(in crate::service) fn is_accepted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// Replaces the advice if there is a known mistake around the token.
fn name_mistake(pasted: &Pasted, traced: &mut TracedVerdict) {
    let Some(refusal) = &mut traced.refusal else {
        return;
    };
    let value = pasted.bare.as_ref().unwrap_or(&pasted.field);
    let code = refusal.code.filter(|_| pasted.further.is_empty());
    let found = code.and_then(|code| mistake::advice(value, code));
    let issued = || mistake::for_issued_token(&refusal.advice).filter(|_| pasted.is_issued);
    if let Some(advice) = found.or_else(issued) {
        refusal.advice = advice;
    }
}

fn sentences(auth: &Auth, error: AuthError, trace: &Trace, skew: Option<Skew>) -> Vec<String> {
    let mut facts = Vec::new();
    let now = auth.time();
    let failed = trace.steps.iter().find(|step| step.outcome.is_err());
    if let (AuthError::TokenExpired, Some((name, StepValue::Date(date)))) =
        (error, failed.map(|step| (step.name, &step.found)))
    {
        let happened = if name == "age" {
            "was issued"
        } else {
            "expired"
        };
        let ago = time_format::relative(date - now);
        facts.push(format!("It {happened} {ago}."));
    }
    if let Some(Skew { issuer, seconds }) = skew {
        let ahead = time_format::ahead(seconds);
        facts.push(format!("This machine's clock is {ahead} that of {issuer}."));
    }
    if matches!(error, AuthError::KeysUnavailable { .. }) {
        let status = auth.status().into_iter();
        let issuer = trace.payload["iss"].as_str().unwrap_or_default();
        let of_token = status.filter(|one| one.issuer == issuer);
        let errors =
            of_token.filter_map(|one| Some(format!("{}: {}.", one.issuer, one.last_error?)));
        facts.extend(errors);
    }
    facts
}

fn routes(access: &Access, claims: &Claims, facts: &Facts<'_>) -> Vec<RouteVerdict> {
    let rows = rows(access, || false);
    let protected = rows.into_iter().filter_map(|row| {
        let policy = row.requires?.policy;
        let verdict = policy.as_ref();
        let verdict = verdict.map_or(Ok(()), |policy| policy.check(claims));
        Some(RouteVerdict {
            route: format!("{} {}", row.methods, row.template),
            needs: policy.as_ref().and_then(Policy::scopes),
            refusal: verdict.err().map(|unmet| {
                let kind = policy.as_ref().and_then(|policy| policy.unmet_kind(claims));
                let advice = of_policy(facts, unmet.error, unmet.scopes.as_deref(), kind);
                Refused::new(unmet.error, advice, facts)
            }),
        })
    });
    protected.collect()
}

fn identity(claims: &Claims) -> Vec<(String, String)> {
    let answer = forward_auth::identity_answer(claims);
    let fields = answer.headers().iter();
    let fields = fields.filter(|(name, _)| name.as_str().starts_with("x-auth-"));
    fields
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}
