//! Policies: what a route requires of a valid token.
//!
//! A [`Policy`] is a value, so the challenge of a rejected request can list the scopes that the
//! policy requires. The response never mentions permissions or roles. If you need a rule that a
//! policy cannot express, you can write a function over your own claims and pass it to [`check`].
//! Policies and checks can be combined.

use std::{
    borrow::Cow,
    fmt,
    num::NonZeroU64,
    ops::{BitAnd, BitOr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;

use crate::auth::{
    challenge::Refusal,
    error::AuthError,
    needs::Needs,
    token::{claims::Claims, subject::SubjectKind},
};

/// Scopes, permissions, roles and claims, combined with `&` and `|`.
///
/// ```
/// use warp_bearer::auth::policy::{Policy, claim, equals, permission, role, scope};
///
/// const READ: Policy = scope("read:messages"); // an invalid scope name does not compile
/// let policy = READ | permission("messages:read") & role("clerk");
/// let policy = policy & claim("https://my.app/tier", equals("gold"));
/// ```
///
/// ```compile_fail
/// use warp_bearer::auth::policy::{Policy, scope};
///
/// const READ: Policy = scope("read messages");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(Rule);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Scope(Cow<'static, str>),
    Permission(Cow<'static, str>),
    Role(Cow<'static, str>),
    Group(Cow<'static, str>),
    Claim(Cow<'static, str>, Wanted),
    /// Requires a token that was provably issued to a subject of this kind.
    IssuedTo(SubjectKind),
    Acr(Cow<'static, str>),
    /// Requires that the user authenticated within this many seconds.
    MaxAuthAge(u64),
    Bound,
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

/// The value that a claim must have: see [`equals`] and [`contains`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Match);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Match {
    Equals(Value),
    Contains(Value),
    /// The claim is this string, a number or boolean with this JSON form, or an array that contains
    /// one of these.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    Text(String),
}

/// Requires the scope `name`, in the claim `scope` (RFC 9068 §2.2.3) or in `scp`, which Entra ID
/// and Okta use. Either claim may be a string or an array.
///
/// ```
/// use warp_bearer::auth::policy::{Policy, scope};
///
/// const READ: Policy = scope("read:messages"); // checked at compile time
/// let either = READ | scope("admin");
/// assert_eq!(either.scopes().as_deref(), Some("read:messages"), "the challenge names the first");
/// ```
///
/// # Panics
/// Panics if `name` is not a scope token (RFC 6749 §3.3). A scope token is not empty, and has only
/// printable ASCII without spaces, quotes and backslashes. In a `const`, this is a compile error.
#[must_use]
pub const fn scope(name: &'static str) -> Policy {
    assert!(
        is_scope_token(name),
        "not a scope token (RFC 6749 section 3.3)"
    );
    Policy(Rule::Scope(Cow::Borrowed(name)))
}

/// Requires every scope in `list`, which is separated by single spaces (RFC 6749 §3.3). You should
/// only need this if the list isn't known until run time (otherwise use [`scope`]). Returns `None`
/// if the list is not valid.
///
/// ```
/// use warp_bearer::auth::policy::{scope, scopes};
///
/// assert_eq!(scopes("read write"), Some(scope("read") & scope("write")));
/// assert_eq!(scopes("read, write"), Some(scope("read,") & scope("write")), "not a separator");
/// assert_eq!(scopes("read  write"), None);
/// ```
pub fn scopes(list: &str) -> Option<Policy> {
    each(list, Rule::Scope)
}

/// Requires the permission `name` in the claim `permissions`. Auth0 adds this claim if RBAC and
/// "Add Permissions in the Access Token" are enabled.
///
/// ```
/// use warp_bearer::auth::policy::{permission, scope};
///
/// let read = permission("messages:read") | scope("read:messages");
/// assert_eq!(read.scopes().as_deref(), Some("read:messages"));
/// assert_eq!(permission("messages:read").scopes(), None, "no scope suffices");
/// ```
///
/// # Panics
/// Panics if `name` is empty or has characters that are not allowed in a scope token.
#[must_use]
pub const fn permission(name: &'static str) -> Policy {
    assert!(is_scope_token(name), "not the name of a permission");
    Policy(Rule::Permission(Cow::Borrowed(name)))
}

/// Requires every permission in `list`, which is separated by single spaces. Use this function if
/// the list is only known at run time, and [`permission`] otherwise. Returns `None` if the list is
/// not valid.
///
/// ```
/// use warp_bearer::auth::policy::{permission, permissions};
///
/// let both = permissions("messages:read messages:write");
/// assert_eq!(both, Some(permission("messages:read") & permission("messages:write")));
/// ```
pub fn permissions(list: &str) -> Option<Policy> {
    each(list, Rule::Permission)
}

fn each(list: &str, rule: fn(Cow<'static, str>) -> Rule) -> Option<Policy> {
    let rule = |name: &str| is_scope_token(name).then(|| rule(name.to_owned().into()));
    let mut rules: Vec<Rule> = list.split(' ').map(rule).collect::<Option<_>>()?;
    match rules.len() {
        1 => rules.pop().map(Policy),
        _ => Some(Policy(Rule::All(rules))),
    }
}

/// Requires the role `name`. Set the claim that contains the roles with
/// [`Builder::roles_at`](crate::auth::Builder::roles_at).
///
#[cfg_attr(feature = "warp", doc = "```")]
#[cfg_attr(not(feature = "warp"), doc = "```ignore")]
/// # use warp::Filter;
/// use warp_bearer::auth::{Auth, Claims, BearerFilterExt, policy::role, with_auth};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// // Keycloak writes {"realm_access": {"roles": ["clerk"]}}.
/// let auth = Auth::builder()
///     .issuer("https://sso.example.com/realms/shop")
///     .audience("https://api.example.com")
///     .roles_at("realm_access.roles")
///     .build()?;
/// let desk = warp::path!("desk")
///     .and(with_auth(&auth).require(role("clerk") | role("manager")))
///     .map(|_: Claims| "your desk")
///     .route();
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Panics if `name` is empty.
#[must_use]
pub const fn role(name: &'static str) -> Policy {
    assert!(!name.is_empty(), "the name of a role must not be empty");
    Policy(Rule::Role(Cow::Borrowed(name)))
}

/// Requires the group `name`. Set the claim that contains the groups with
/// [`Builder::groups_at`](crate::auth::Builder::groups_at).
///
/// Some issuers omit the groups from a token if there are too many. Note that a token like this
/// will never meet a policy that requires a group.
///
/// ```
/// use warp_bearer::auth::policy::{group, role};
///
/// let staff = group("/staff") | role("admin");
/// assert_eq!(staff.scopes(), None, "no scope suffices");
/// ```
///
/// # Panics
/// Panics if `name` is empty.
#[must_use]
pub const fn group(name: &'static str) -> Policy {
    assert!(!name.is_empty(), "the name of a group must not be empty");
    Policy(Rule::Group(Cow::Borrowed(name)))
}

/// Requires that the claim `name` has the value `wanted`. `name` is the full name of a claim, or a
/// path of member names separated by dots. An absent claim never matches.
///
/// ```
/// use warp_bearer::auth::policy::{claim, contains, equals, scope};
///
/// let verified = claim("https://my.app/email_verified", equals(true));
/// let tester = claim("app_metadata.groups", contains("testers")); // a path of members
/// let policy = scope("read:drafts") & verified & tester;
/// assert_eq!(policy.scopes(), None, "scopes alone do not suffice");
/// ```
///
/// # Panics
/// Panics if `name` is empty.
#[must_use]
pub const fn claim(name: &'static str, wanted: Wanted) -> Policy {
    assert!(!name.is_empty(), "the name of a claim must not be empty");
    Policy(Rule::Claim(Cow::Borrowed(name), wanted))
}

#[cfg(feature = "service")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleKind<'p> {
    /// The name of the permission, or `None` if one of several would be enough.
    Permission(Option<&'p str>),
    Role(&'p str),
    Group(&'p str),
    Claim,
    Other,
}

/// For the service, which only knows the names in its policies at run time. The constructors return
/// `None` for an empty name.
#[cfg(feature = "service")]
impl Policy {
    /// The first mandatory rule that the claims do not meet. `None` if they meet the policy, or if
    /// they lack a scope.
    pub(crate) fn unmet_kind<X>(&self, claims: &Claims<X>) -> Option<RuleKind<'_>> {
        self.0.unmet_kind(claims)
    }

    pub(crate) fn of_role(name: String) -> Option<Self> {
        (!name.is_empty()).then(|| Self(Rule::Role(name.into())))
    }

    pub(crate) fn of_group(name: String) -> Option<Self> {
        (!name.is_empty()).then(|| Self(Rule::Group(name.into())))
    }

    /// Requires that a claim is this string or an array that contains it. Numbers and booleans are
    /// compared in their JSON form, e.g. `true`. `None` if the path or the string is empty.
    pub(crate) fn of_claim(path: String, text: String) -> Option<Self> {
        (!path.is_empty() && !text.is_empty())
            .then(|| Self(Rule::Claim(path.into(), Wanted(Match::Text(text)))))
    }
}

/// Matches a claim with this value and its JSON type.
#[must_use]
pub fn equals(value: impl Into<Value>) -> Wanted {
    Wanted(Match::Equals(value.into()))
}

/// Matches a claim that is an array containing this value.
#[must_use]
pub fn contains(value: impl Into<Value>) -> Wanted {
    Wanted(Match::Contains(value.into()))
}

/// Requires a token that was provably issued to a client acting on its own behalf, not to a user.
///
/// This is the case if `gty` is `client-credentials` or `sub` is the client's id with `@clients`
/// (Auth0), if `sub` equals `client_id` (RFC 9068 §2.2, Cognito) or `cid` (Okta), or if `idtyp` is
/// `app` (Entra ID).
///
/// Some tokens meet neither this policy nor [`user`], because their claims do not show either. This
/// is the case e.g. for the client-credentials tokens of Keycloak, and of Entra ID without `idtyp`.
/// If you use Keycloak, you should require a [`role`] instead.
///
/// ```
/// use warp_bearer::auth::policy::{machine, scope, user};
///
/// let jobs = machine() & scope("run:jobs");
/// let page = user() & scope("read:page");
/// assert_ne!(jobs, page);
/// ```
#[must_use]
pub const fn machine() -> Policy {
    Policy(Rule::IssuedTo(SubjectKind::Machine))
}

/// Requires a token that was provably issued to a user.
///
/// This is the case if the token has a claim that only a login adds: `auth_time`, or an `amr` with
/// a method that involves a person, such as `pwd` or `mfa` (RFC 9068 §2.2.1). It is also the case
/// if the token has the typical claims of one of these issuers:
///
/// - Auth0: `sub` begins with a connection, such as `auth0|123`, and `azp` or `client_id` is
///   present; or `gty` is `password`.
/// - Okta: `uid` and `cid` are present.
/// - Entra ID: `idtyp` is `user`, or `scp` is a string.
/// - Keycloak: `preferred_username` is not that of a service account.
///
/// `scp` and `preferred_username` count only in tokens with the other typical claims of Entra ID
/// and Keycloak, because other issuers write them for machines too.
///
/// Neither this policy nor [`machine`] accepts anonymous sessions (of Auth0, Firebase, Supabase and
/// Cognito), or tokens whose `sub` equals `azp`.
#[must_use]
pub const fn user() -> Policy {
    Policy(Rule::IssuedTo(SubjectKind::User))
}

/// Requires a token issued within the organization `id`, in Auth0's claim `org_id`.
///
/// ```
/// use warp_bearer::auth::policy::{claim, equals, organization};
///
/// assert_eq!(organization("org_1"), claim("org_id", equals("org_1")));
/// ```
#[must_use]
pub fn organization(id: &'static str) -> Policy {
    claim("org_id", equals(id))
}

/// Requires that the user authenticated in the context class `value`, which is compared with the
/// claim `acr`. If you want to accept several classes, combine them with `|`, starting with the
/// preferred one.
///
/// A token that does not meet this policy is rejected with 401 `insufficient_user_authentication`.
/// The challenge lists the accepted classes in `acr_values`, so the client can send the user back
/// to the issuer (RFC 9470).
///
/// ```
/// use std::time::Duration;
/// use warp_bearer::auth::policy::{acr, max_auth_age, scope};
///
/// const MFA: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";
/// let payment = scope("pay") & acr(MFA) & max_auth_age(Duration::from_secs(300));
/// assert_eq!(payment.scopes().as_deref(), Some("pay"));
/// ```
///
/// # Panics
/// Panics if `value` is empty, or has a space, a quote, a backslash or a character outside
/// printable ASCII. In a `const`, this is a compile error.
#[must_use]
pub const fn acr(value: &'static str) -> Policy {
    assert!(is_scope_token(value), "not a name of a context class");
    Policy(Rule::Acr(Cow::Borrowed(value)))
}

/// Requires one of the context classes in `list`, which is separated by single spaces. Use this
/// function if the list is only known at run time, and [`acr`] otherwise. Returns `None` if the
/// list is not valid.
///
/// ```
/// use warp_bearer::auth::policy::{acr, acr_values};
///
/// assert_eq!(acr_values("gold silver"), Some(acr("gold") | acr("silver")));
/// ```
pub fn acr_values(list: &str) -> Option<Policy> {
    let rule = |value: &str| is_scope_token(value).then(|| Rule::Acr(value.to_owned().into()));
    let mut rules: Vec<Rule> = list.split(' ').map(rule).collect::<Option<_>>()?;
    match rules.len() {
        1 => rules.pop().map(Policy),
        _ => Some(Policy(Rule::Any(rules))),
    }
}

/// Requires that the user authenticated at most `age` ago, according to the claim `auth_time`.
/// Fractions of a second in `age` are dropped, and the leeway is added. A token without `auth_time`
/// does not meet this policy.
///
/// A token that does not meet this policy is rejected with 401 `insufficient_user_authentication`,
/// and the challenge contains `max_age` (RFC 9470).
#[must_use]
pub const fn max_auth_age(age: Duration) -> Policy {
    Policy(Rule::MaxAuthAge(age.as_secs()))
}

/// Requires a token bound to a key (DPoP) or to a client certificate. A request with a token like
/// this has to prove possession of the key, which makes a stolen token useless.
///
/// A token that is not bound is rejected with 401 `token_not_bound`.
///
/// ```
/// use warp_bearer::auth::policy::{bound, scope};
///
/// let transfer = scope("transfer") & bound();
/// assert_eq!(transfer.scopes(), None, "scopes alone do not suffice");
/// ```
#[must_use]
pub const fn bound() -> Policy {
    Policy(Rule::Bound)
}

/// A scope token of RFC 6749 §3.3: `1*( %x21 / %x23-5B / %x5D-7E )`
pub(crate) const fn is_scope_token(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], 0x21 | 0x23..=0x5b | 0x5d..=0x7e) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

impl Policy {
    /// Returns the scopes that are enough to meet the policy, separated by spaces. If the policy
    /// has alternatives, returns the scopes of the first one that needs nothing else. `None` if
    /// every alternative needs more than scopes.
    pub fn scopes(&self) -> Option<String> {
        joined(&self.0.scopes()?)
    }

    /// Returns every scope in the policy, including those in alternatives that need more than
    /// scopes.
    pub fn named_scopes(&self) -> Vec<&str> {
        self.0.named_scopes()
    }
}

impl Rule {
    #[cfg(feature = "service")]
    fn unmet_kind<X>(&self, claims: &Claims<X>) -> Option<RuleKind<'_>> {
        if self.is_met(claims) {
            return None;
        }
        match self {
            Self::All(rules) => rules.iter().find_map(|rule| rule.unmet_kind(claims)),
            Self::Scope(_) => None,
            Self::Permission(name) => Some(RuleKind::Permission(Some(name))),
            Self::Role(name) => Some(RuleKind::Role(name)),
            Self::Group(name) => Some(RuleKind::Group(name)),
            Self::Claim(..) => Some(RuleKind::Claim),
            Self::Any(rules) if rules.iter().any(|rule| matches!(rule, Self::Permission(_))) => {
                Some(RuleKind::Permission(None))
            }
            Self::Any(_) | Self::IssuedTo(_) | Self::Acr(_) | Self::MaxAuthAge(_) | Self::Bound => {
                Some(RuleKind::Other)
            }
        }
    }

    fn named_scopes(&self) -> Vec<&str> {
        match self {
            Self::Scope(name) => vec![name],
            Self::Permission(_)
            | Self::Role(_)
            | Self::Group(_)
            | Self::Claim(..)
            | Self::IssuedTo(_)
            | Self::Acr(_)
            | Self::MaxAuthAge(_)
            | Self::Bound => Vec::new(),
            Self::Any(rules) | Self::All(rules) => {
                rules.iter().flat_map(Self::named_scopes).collect()
            }
        }
    }

    fn is_met<X>(&self, claims: &Claims<X>) -> bool {
        match self {
            Self::Scope(name) => claims.grants_scope(name),
            Self::Permission(name) => claims.permissions().any(|granted| granted == *name),
            Self::Role(name) => claims.roles().iter().any(|granted| granted == name),
            Self::Group(name) => claims.groups().iter().any(|granted| granted == name),
            Self::Claim(name, wanted) => claims.claim(name).is_some_and(|found| wanted.is(&found)),
            Self::IssuedTo(kind) => SubjectKind::of(claims.json()) == *kind,
            Self::Acr(value) => claims.acr().is_some_and(|found| found == *value),
            Self::MaxAuthAge(seconds) => claims
                .authentication_age()
                .is_some_and(|age| age <= Duration::from_secs(*seconds).as_secs_f64()),
            Self::Bound => claims.binding().is_some(),
            Self::All(rules) => rules.iter().all(|rule| rule.is_met(claims)),
            Self::Any(rules) => rules.iter().any(|rule| rule.is_met(claims)),
        }
    }

    /// Checks whether a token that meets the rule now may no longer meet it later.
    fn depends_on_time(&self) -> bool {
        match self {
            Self::MaxAuthAge(_) => true,
            Self::All(rules) | Self::Any(rules) => rules.iter().any(Self::depends_on_time),
            Self::Scope(_)
            | Self::Permission(_)
            | Self::Role(_)
            | Self::Group(_)
            | Self::Claim(..)
            | Self::IssuedTo(_)
            | Self::Acr(_)
            | Self::Bound => false,
        }
    }

    /// The rule requires a bound token, and this one is not bound.
    fn lacks_binding<X>(&self, claims: &Claims<X>) -> bool {
        match self {
            Self::Bound => claims.binding().is_none(),
            Self::All(rules) => rules.iter().any(|rule| rule.lacks_binding(claims)),
            Self::Any(rules) => rules.iter().all(|rule| rule.lacks_binding(claims)),
            _ => false,
        }
    }

    /// The scopes and the authentication with which the token would meet the rule. `None` if the
    /// token lacks anything else.
    fn needs<X>(&self, claims: &Claims<X>) -> Option<Needs<'_>> {
        match self {
            Self::Scope(name) => Some(Needs::scope(name)),
            Self::Acr(_) | Self::MaxAuthAge(_) if self.is_met(claims) => Some(Needs::default()),
            Self::Acr(value) => Some(Needs::acr(value)),
            Self::MaxAuthAge(seconds) => Some(Needs::max_age(*seconds)),
            Self::Any(rules) => Needs::any(rules.iter().map(|rule| rule.needs(claims))),
            Self::All(rules) => Needs::all(rules.iter().map(|rule| rule.needs(claims))),
            other => other.is_met(claims).then(Needs::default),
        }
    }

    fn scopes(&self) -> Option<Vec<&str>> {
        match self {
            Self::Scope(name) => Some(vec![name]),
            Self::Permission(_)
            | Self::Role(_)
            | Self::Group(_)
            | Self::Claim(..)
            | Self::IssuedTo(_)
            | Self::Bound => None,
            // A client requests scopes and authentication together, so the challenge still has to
            // list the scopes
            Self::Acr(_) | Self::MaxAuthAge(_) => Some(Vec::new()),
            Self::Any(rules) => rules.iter().find_map(Self::scopes),
            Self::All(rules) => all_scopes(rules.iter().map(Self::scopes)),
        }
    }
}

fn all_scopes<'r>(each: impl Iterator<Item = Option<Vec<&'r str>>>) -> Option<Vec<&'r str>> {
    let mut all = Vec::new();
    for scopes in each {
        for scope in scopes? {
            if !all.contains(&scope) {
                all.push(scope);
            }
        }
    }
    Some(all)
}

impl Wanted {
    fn is(&self, found: &Value) -> bool {
        match &self.0 {
            Match::Equals(value) => found == value,
            Match::Contains(value) => found.as_array().is_some_and(|items| items.contains(value)),
            Match::Text(text) => match found {
                Value::Array(items) => items.iter().any(|item| is_text(item, text)),
                found => is_text(found, text),
            },
        }
    }
}

fn is_text(found: &Value, text: &str) -> bool {
    match found {
        Value::String(found) => found == text,
        Value::Number(number) => number.to_string() == text,
        Value::Bool(found) => text == if *found { "true" } else { "false" },
        _ => false,
    }
}

impl BitAnd for Policy {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(Rule::All(vec![self.0, other.0]))
    }
}

impl BitOr for Policy {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(Rule::Any(vec![self.0, other.0]))
    }
}

/// The rules of a route for `Claims<X>`: a [`Policy`], a [`check`], a [`check_async`], or a
/// combination by `&` and `|`.
pub struct Requirement<X>(Node<X>);

type Check<X> = Arc<dyn Fn(&Claims<X>) -> bool + Send + Sync>;
type AsyncCheck<X> = Arc<dyn Fn(&Claims<X>) -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;

enum Node<X> {
    Policy(Numbered),
    Check(Check<X>),
    Async(AsyncCheck<X>),
    All(Vec<Node<X>>),
    Any(Vec<Node<X>>),
}

/// A rule and its unique number. In a cached token we store the number of the rule that it last
/// met. This way, checking the same token again takes the same time for 64 scopes as for one.
struct Numbered {
    rule: Rule,
    /// `None` if the rule depends on the time.
    number: Option<NonZeroU64>,
}

impl Numbered {
    fn new(rule: Rule) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let next = || NonZeroU64::new(LAST.fetch_add(1, Relaxed) + 1);
        let number = if rule.depends_on_time() { None } else { next() };
        Self { rule, number }
    }

    fn is_met<X>(&self, claims: &Claims<X>) -> bool {
        match self.number {
            Some(number) => claims.meet(number, || self.rule.is_met(claims)),
            None => self.rule.is_met(claims),
        }
    }
}

/// The error returned when claims do not meet a [`Requirement`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct RequirementError {
    /// [`AuthError::TokenNotBound`] if the token must be [`bound`] but is not,
    /// [`AuthError::InsufficientScope`] if the token lacks only scopes,
    /// [`AuthError::InsufficientAuthentication`] if the user must authenticate again, and
    /// [`AuthError::InsufficientPermissions`] otherwise.
    pub error: AuthError,
    /// The scopes to request, separated by spaces.
    pub scopes: Option<String>,
    /// The accepted authentication context classes, separated by spaces.
    pub acr_values: Option<String>,
    /// The maximum time since the user authenticated, in seconds.
    pub max_age: Option<u64>,
}

impl RequirementError {
    fn new(needs: Option<Needs<'_>>, lacks_binding: bool) -> Self {
        let error = match &needs {
            _ if lacks_binding => AuthError::TokenNotBound,
            None => AuthError::InsufficientPermissions,
            Some(needs) if needs.is_step_up() => AuthError::InsufficientAuthentication,
            Some(_) => AuthError::InsufficientScope,
        };
        let needs = needs.unwrap_or_default();
        Self {
            error,
            scopes: joined(&needs.scopes),
            acr_values: joined(&needs.acr_values),
            max_age: needs.max_age,
        }
    }
}

/// Creates a requirement from a function, for rules that a [`Policy`] cannot express.
///
/// ```
/// use serde::Deserialize;
/// use warp_bearer::auth::{
///     Claims,
///     policy::{Requirement, check, scope},
/// };
///
/// #[derive(Deserialize)]
/// struct Account {
///     balance: i64,
/// }
///
/// let requirement = scope("spend") & check(|claims: &Claims<Account>| claims.private().balance > 0);
/// ```
pub fn check<X>(is_met: impl Fn(&Claims<X>) -> bool + Send + Sync + 'static) -> Requirement<X> {
    Requirement(Node::Check(Arc::new(is_met)))
}

/// Creates a requirement from an async function, e.g. one that queries a database or another
/// service.
///
/// The function runs after the token is verified and before the handler, at most once per request.
/// It won't run if the rest of the requirement already decides the result.
///
/// ```
/// use warp_bearer::auth::{
///     Claims,
///     policy::{Requirement, check_async, scope},
/// };
///
/// async fn is_suspended(_subject: &str) -> bool {
///     false // queries a database
/// }
///
/// let requirement = scope("spend")
///     & check_async(|claims: Claims| async move {
///         !is_suspended(claims.subject().unwrap_or_default()).await
///     });
/// ```
pub fn check_async<X, F>(is_met: impl Fn(Claims<X>) -> F + Send + Sync + 'static) -> Requirement<X>
where
    X: Clone,
    F: Future<Output = bool> + Send + 'static,
{
    Requirement(Node::Async(Arc::new(move |claims: &Claims<X>| {
        Box::pin(is_met(claims.clone()))
    })))
}

impl Policy {
    /// Checks that the claims grant what is required.
    ///
    /// # Errors
    /// Returns a [`RequirementError`] with the scopes that would suffice.
    pub fn check<X>(&self, claims: &Claims<X>) -> Result<(), RequirementError> {
        if self.0.is_met(claims) {
            return Ok(());
        }
        let lacks_binding = self.0.lacks_binding(claims);
        Err(RequirementError::new(self.0.needs(claims), lacks_binding))
    }
}

impl<X> Requirement<X> {
    /// Checks that the claims grant what is required.
    ///
    /// # Errors
    /// Returns a [`RequirementError`] with the scopes that would suffice.
    pub async fn check(&self, claims: &Claims<X>) -> Result<(), RequirementError> {
        let mut answers = Vec::new();
        loop {
            match self.step(claims, &answers) {
                Step::Decided(verdict) => return verdict,
                Step::Ask(check, answer) => answers.push((check, answer.await)),
            }
        }
    }

    /// Returns the claims if they grant what is required.
    ///
    /// # Errors
    /// Returns a [`Refusal`] with status 403 and a challenge that lists the scopes to request. The
    /// status is 401 if the user must authenticate again (RFC 9470), or if the token must be
    /// [`bound`] but is not.
    pub async fn grant(&self, claims: Claims<X>) -> Result<Claims<X>, Refusal> {
        let mut answers = Vec::new();
        // We can't call `check` here, this would borrow the claims across an `await`, which
        // requires `X: Sync`.
        let unmet = loop {
            match self.step(&claims, &answers) {
                Step::Decided(Ok(())) => return Ok(claims),
                Step::Decided(Err(unmet)) => break unmet,
                Step::Ask(check, answer) => answers.push((check, answer.await)),
            }
        };
        let refusal = Refusal::new(unmet.error.logged(), claims.challenge());
        let refusal = refusal.with_step_up(unmet.acr_values, unmet.max_age);
        Err(refusal.with_scope(unmet.scopes.map(Into::into)))
    }

    fn step<'n>(&'n self, claims: &Claims<X>, answers: &Answers<'n, X>) -> Step<'n, X> {
        match self.0.is_met(claims, answers) {
            Ok(true) => Step::Decided(Ok(())),
            Ok(false) => {
                let needs = self.0.needs(claims, answers);
                let lacks_binding = self.0.lacks_binding(claims);
                Step::Decided(Err(RequirementError::new(needs, lacks_binding)))
            }
            Err(Pending(check)) => Step::Ask(check, check(claims)),
        }
    }

    /// Returns the scopes that are enough to meet the requirement, as [`Policy::scopes`] does.
    /// `None` if a check must pass too.
    pub fn scopes(&self) -> Option<String> {
        joined(&self.0.scopes()?)
    }
}

fn joined(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(" "))
}

/// The results of the async checks that have run so far.
type Answers<'n, X> = [(&'n AsyncCheck<X>, bool)];

enum Step<'n, X> {
    Decided(Result<(), RequirementError>),
    /// Run this check, then call `step` again.
    Ask(&'n AsyncCheck<X>, Answer),
}

/// An async check that must run before we can decide the requirement.
struct Pending<'n, X>(&'n AsyncCheck<X>);

impl<X> Node<X> {
    fn is_met<'n>(
        &'n self,
        claims: &Claims<X>,
        answers: &Answers<'n, X>,
    ) -> Result<bool, Pending<'n, X>> {
        match self {
            Self::Policy(policy) => Ok(policy.is_met(claims)),
            Self::Check(is_met) => Ok(is_met(claims)),
            Self::Async(check) => answer(check, answers).ok_or(Pending(check)),
            Self::All(nodes) => Self::decide(nodes, false, claims, answers),
            Self::Any(nodes) => Self::decide(nodes, true, claims, answers),
        }
    }

    /// Returns `decisive` if any node has this result, and otherwise the opposite. An async check
    /// that has not run is only pending if none of the nodes after it decides without it.
    fn decide<'n>(
        nodes: &'n [Self],
        decisive: bool,
        claims: &Claims<X>,
        answers: &Answers<'n, X>,
    ) -> Result<bool, Pending<'n, X>> {
        let mut first_pending = None;
        for node in nodes {
            match node.is_met(claims, answers) {
                Ok(met) if met == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(pending) => first_pending = first_pending.or(Some(pending)),
            }
        }
        first_pending.map_or(Ok(!decisive), Err)
    }

    /// The scopes and the authentication with which the token would meet the requirement. An async
    /// check that has not run counts as passed, since we only run it after the rest of the
    /// requirement is met.
    fn needs<'n>(&'n self, claims: &Claims<X>, answers: &Answers<'n, X>) -> Option<Needs<'n>> {
        let each = |node: &'n Self| node.needs(claims, answers);
        match self {
            Self::Policy(policy) => policy.rule.needs(claims),
            Self::Check(is_met) => is_met(claims).then(Needs::default),
            Self::Async(check) => answer(check, answers).unwrap_or(true).then(Needs::default),
            Self::Any(nodes) => Needs::any(nodes.iter().map(each)),
            Self::All(nodes) => Needs::all(nodes.iter().map(each)),
        }
    }

    fn lacks_binding(&self, claims: &Claims<X>) -> bool {
        match self {
            Self::Policy(policy) => policy.rule.lacks_binding(claims),
            Self::Check(_) | Self::Async(_) => false,
            Self::All(nodes) => nodes.iter().any(|node| node.lacks_binding(claims)),
            Self::Any(nodes) => nodes.iter().all(|node| node.lacks_binding(claims)),
        }
    }

    fn scopes(&self) -> Option<Vec<&str>> {
        match self {
            Self::Policy(policy) => policy.rule.scopes(),
            Self::Check(_) | Self::Async(_) => None,
            Self::Any(nodes) => nodes.iter().find_map(Self::scopes),
            Self::All(nodes) => all_scopes(nodes.iter().map(Self::scopes)),
        }
    }
}

fn answer<X>(check: &AsyncCheck<X>, answers: &Answers<'_, X>) -> Option<bool> {
    let mut run = answers.iter();
    let run = run.find(|(run, _)| Arc::ptr_eq(run, check));
    run.map(|(_, answer)| *answer)
}

impl<X> From<Policy> for Requirement<X> {
    fn from(policy: Policy) -> Self {
        Self(Node::Policy(Numbered::new(policy.0)))
    }
}

impl<X, R: Into<Requirement<X>>> BitAnd<R> for Requirement<X> {
    type Output = Self;

    fn bitand(self, other: R) -> Self {
        Self(Node::All(vec![self.0, other.into().0]))
    }
}

impl<X, R: Into<Requirement<X>>> BitOr<R> for Requirement<X> {
    type Output = Self;

    fn bitor(self, other: R) -> Self {
        Self(Node::Any(vec![self.0, other.into().0]))
    }
}

impl<X> BitAnd<Requirement<X>> for Policy {
    type Output = Requirement<X>;

    fn bitand(self, other: Requirement<X>) -> Requirement<X> {
        Requirement::from(self) & other
    }
}

impl<X> BitOr<Requirement<X>> for Policy {
    type Output = Requirement<X>;

    fn bitor(self, other: Requirement<X>) -> Requirement<X> {
        Requirement::from(self) | other
    }
}

impl<X> fmt::Debug for Requirement<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requirement").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_scopes_that_suffice() {
        #[rustfmt::skip]
        let rows = [
            ("a scope", scope("a"), Some("a")),
            ("both", scope("a") & scope("b"), Some("a b")),
            ("a duplicate", scope("a") & scope("b") & scope("a"), Some("a b")),
            ("either", scope("a") | scope("b"), Some("a")),
            ("or a permission", permission("p") | scope("b"), Some("b")),
            ("and a permission", permission("p") & scope("b"), None),
            ("a permission", permission("p"), None),
            ("a role", role("r"), None),
            ("a claim", claim("c", equals(1)), None),
        ];
        for (case, policy, expected) in rows {
            assert_eq!(policy.scopes().as_deref(), expected, "{case}");
            let requirement = Requirement::<()>::from(policy);
            assert_eq!(requirement.scopes().as_deref(), expected, "{case}");
        }
        let checked = scope("a") | check(|_: &Claims<()>| true);
        assert_eq!(checked.scopes().as_deref(), Some("a"));
        let checked = scope("a") & check(|_: &Claims<()>| true);
        assert_eq!(checked.scopes(), None);
    }

    #[test]
    fn parses_scopes_separated_by_single_spaces() {
        #[rustfmt::skip]
        let rows = [
            ("one", "a", Some(scope("a"))),
            ("two", "a b", Some(scope("a") & scope("b"))),
            ("empty", "", None),
            ("two spaces", "a  b", None),
            ("a space at the end", "a ", None),
            ("a tab", "a\tb", None),
            ("a quote", "a\"", None),
        ];
        for (case, list, expected) in rows {
            assert_eq!(scopes(list), expected, "{case}");
        }
    }

    #[test]
    fn parses_permissions_as_it_parses_scopes() {
        let both = permission("a") & permission("b");
        assert_eq!(permissions("a b"), Some(both));
        assert_eq!(permissions("a"), Some(permission("a")));
        assert_eq!(permissions("a  b"), None);
        assert_eq!(permissions(""), None);
    }

    #[test]
    fn finds_every_named_scope() {
        let policy = scope("a") & permission("p") | scope("b") & role("r");
        assert_eq!(policy.named_scopes(), ["a", "b"]);
    }

    #[test]
    fn rejects_scope_tokens_with_space_quote_or_backslash() {
        for name in ["", "a b", "a\"", "a\\", "\u{e9}", "a\n"] {
            assert!(!is_scope_token(name), "{name:?}");
        }
        assert!(is_scope_token("https://a.example/read:x!~"));
    }

    #[cfg(feature = "testing")]
    mod cached_results {
        use std::{sync::atomic::AtomicU64, time::SystemTime};

        use super::*;
        use crate::{auth::Auth, issuer::Issuer};

        #[tokio::test]
        async fn caches_the_result_of_the_right_policy() {
            let issuer = Issuer::start().await;
            let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
            let token = issuer.token().scope("a").sign();
            let policies = [
                (scope("a"), true),
                (scope("b"), false),
                (scope("a") & scope("b"), false),
                (scope("a") | scope("b"), true),
                (permission("a"), false),
            ];
            let policies = policies.map(|(policy, is_met)| (Requirement::from(policy), is_met));
            // Check every policy right after every other one, so that we'd notice a stored number
            // of the wrong policy
            for (first, _) in &policies {
                for (policy, is_met) in &policies {
                    let claims: Claims = auth.verify(&token).await.unwrap();
                    let _ = first.check(&claims).await;
                    assert_eq!(policy.check(&claims).await.is_ok(), *is_met);
                }
            }
        }

        #[tokio::test]
        async fn rechecks_a_policy_that_depends_on_the_time() {
            let issuer = Issuer::start().await;
            let ahead = Arc::new(AtomicU64::new(0));
            let now = Arc::clone(&ahead);
            let auth = Auth::builder()
                .issuer(issuer.url())
                .audience(issuer.audience())
                .clock(move || SystemTime::now() + Duration::from_secs(now.load(Relaxed)))
                .build()
                .unwrap();
            let authenticated = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
            let token = issuer
                .token()
                .scope("a")
                .claim("auth_time", authenticated)
                .sign();
            let recently = max_auth_age(Duration::from_secs(600));
            let policy = Requirement::from(scope("a") & (scope("b") | recently));
            for (seconds, is_met) in [(0, true), (300, true), (1200, false), (0, true)] {
                ahead.store(seconds, Relaxed);
                let claims: Claims = auth.verify(&token).await.unwrap();
                assert_eq!(
                    policy.check(&claims).await.is_ok(),
                    is_met,
                    "{seconds} s ahead"
                );
            }
        }
    }
}
