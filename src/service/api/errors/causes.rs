//! The causes of errors, each with its fix.
//!
//! Names of menus and settings are those of Auth0's dashboard.
#![allow(missing_docs)] // the first sentence of each constant describes it

use crate::service::api::errors::Cause;

const fn cause(what: &'static str, mend: &'static str) -> Cause {
    Cause { what, mend }
}

pub const NO_FIELD: Cause = cause(
    "The request has no Authorization field, or one of another scheme, such as Basic.",
    "Send the access token as Authorization: Bearer, a space and the token.",
);
pub const FIELD_LOST: Cause = cause(
    "A proxy took the field away, or a client dropped it when it followed a redirect to another host.",
    "Have the proxy pass Authorization on, and ask the final address directly.",
);
pub const NOTHING_SENT: Cause = cause(
    "Bearer stands alone: the variable that should hold the token is empty.",
    "Look at what the token endpoint answered: without an access_token it says why in error_description.",
);
pub const FOREIGN_CHARACTER: Cause = cause(
    "The token has a character in it that no token has: a blank, a quote, a line break, an ellipsis.",
    "Copy the token again, the whole of it and nothing else; an ellipsis means that a page has shortened it.",
);
pub const TWO_CREDENTIALS: Cause = cause(
    "Two Authorization fields, or two credentials with a comma between them.",
    "Send one: look for a client and a proxy that each add theirs.",
);
pub const TOO_LARGE: Cause = cause(
    "The token is larger than 16 KiB: it carries long lists of groups, roles or permissions.",
    "Take claims out of it where they are put in: the Action under Actions, Triggers, post-login, or the permissions of the user.",
);
pub const OPAQUE: Cause = cause(
    "The token is opaque: Auth0 issues these where the token request names no API, and they are for its own /userinfo alone.",
    "Add audience, with the identifier of your API, to the request that fetches the token, and fetch a new one.",
);
pub const ENCRYPTED: Cause = cause(
    "The token is encrypted (JWE): Auth0 issues these where the token request names no API, or where the API has its tokens encrypted.",
    "Add audience, with the identifier of your API, to the request that fetches the token; if it is there, turn JSON Web Encryption off in the API's settings under Applications, APIs.",
);
pub const NOT_WHOLE: Cause = cause(
    "The token is not whole: a JWT has three parts with two dots between them, and one is missing.",
    "Copy the token again from its first character to its last; the part after the second dot is the signature.",
);
pub const RE_ENCODED: Cause = cause(
    "The token was changed on its way: cut short, padded with =, or written in another alphabet, + and / in the place of - and _.",
    "Pass the token on as it came, character for character; no application needs to decode it.",
);
pub const NOT_STRICT: Cause = cause(
    "A part of the token is not one JSON object, or has a member twice.",
    "Look at what makes the token: two readers could read it as two different tokens.",
);
pub const HS256_API: Cause = cause(
    "The token is signed with HS256: that is the signing algorithm of the API in Auth0, or this is an ID token of an application that uses it.",
    "Set the API's signing algorithm to RS256 in its settings under Applications, APIs, and fetch a new token; to keep HS256, allow it here with AUTH0_ALGORITHMS and AUTH0_SIGNING_SECRET.",
);
pub const UNSIGNED: Cause = cause(
    "The token is not signed: its alg is none.",
    "Nothing here will ever take it; fetch a token from the issuer, and find out who made this one.",
);
pub const OTHER_ALGORITHM: Cause = cause(
    "The token is signed with an algorithm that AUTH0_ALGORITHMS does not list.",
    "Add the algorithm to AUTH0_ALGORITHMS if the API was set to it on purpose; if not, set the API to RS256 in its settings under Applications, APIs.",
);
pub const KEY_FOR_ANOTHER: Cause = cause(
    "The key that the token names is not for the algorithm that it names.",
    "Look at what makes the token: kid and alg have to be those of one key of the issuer's key set.",
);
pub const EXTENSION: Cause = cause(
    "The header has crit or b64: extensions of JWS that no access token of Auth0's uses.",
    "Have the issuer sign without them; nobody else can take them away, since they are signed.",
);
pub const LOGOUT_TOKEN: Cause = cause(
    "This is a logout token, with which an issuer ends sessions by the back channel.",
    "Send the access token from the token endpoint's answer; a logout token opens nothing.",
);
pub const DPOP_PROOF: Cause = cause(
    "This is a DPoP proof, which a client signs itself to go beside an access token.",
    "Send the access token in Authorization, and the proof in a field of its own, DPoP.",
);
pub const OTHER_TYPE: Cause = cause(
    "The typ of the header is none that access tokens have.",
    "Send the access_token of the token endpoint's answer and no other token of it.",
);
pub const NOT_AT_JWT: Cause = cause(
    "The strict profile of RFC 9068 is on, and the token is in Auth0's own profile.",
    "Set the access token profile to RFC 9068 in the API's settings under Applications, APIs, and fetch a new token.",
);
pub const SLASH: Cause = cause(
    "The token's issuer and the configured one differ by the slash at the end, and so are two issuers.",
    "Write AUTH0_ISSUER exactly as iss in the token has it; Auth0's end in a slash.",
);
pub const SCHEME_OR_CASE: Cause = cause(
    "The token's issuer and the configured one differ by http and https, or by capitals, and so are two issuers.",
    "Write AUTH0_ISSUER exactly as iss in the token has it.",
);
pub const CUSTOM_DOMAIN: Cause = cause(
    "The same tenant by its other name: tokens that are fetched from the custom domain have it as their issuer, those from the tenant's own domain have that, and the two are two issuers.",
    "Fetch the token from the domain that is configured here, or write the token's iss to the letter into AUTH0_ISSUER; a comma between the two takes both.",
);
pub const OTHER_TENANT: Cause = cause(
    "The token is from another tenant, or another environment of yours.",
    "Fetch the token from the domain that is configured here, or set AUTH0_DOMAIN, and AUTH0_ISSUER where it is set, to the tenant that the token is from.",
);
pub const ID_TOKEN: Cause = cause(
    "This is an ID token: it tells an application who has logged in, and is for that application, not for an API.",
    "Send the access_token of the token endpoint's answer, not its id_token, and have audience, the identifier of your API, in the request.",
);
pub const USERINFO_ONLY: Cause = cause(
    "The token is for the issuer's /userinfo alone: the token request named no audience.",
    "Add audience, with the identifier of your API, to the request that fetches the token, and fetch a new one.",
);
pub const MANAGEMENT_API: Cause = cause(
    "The token is for Auth0's Management API.",
    "Give the identifier of your own API as audience in the token request, in the place of the address that ends in /api/v2/.",
);
pub const AUDIENCE_SPELLING: Cause = cause(
    "The token's audience and the configured one differ by a slash at the end, by capitals or by http and https, and so are two audiences.",
    "Write the API's identifier to the letter, in the token request and in AUTH0_API_AUDIENCE alike; Applications, APIs shows it.",
);
pub const OTHER_API: Cause = cause(
    "The token is for another API.",
    "Give this API's identifier as audience in the token request, or set AUTH0_API_AUDIENCE to the audience of the token if that is this API.",
);
pub const EXPIRED: Cause = cause(
    "The token's time is over.",
    "Fetch a new token when the old one's expires_in is over, or with a refresh token; how long one lasts is in the API's settings under Applications, APIs.",
);
pub const TOO_OLD: Cause = cause(
    "The token was issued longer ago than AUTH0_TOKEN_MAX_AGE allows, whatever its exp says.",
    "Fetch a new one; so that its expires_in says so, set the maximum access token lifetime in the API's settings under Applications, APIs, to AUTH0_TOKEN_MAX_AGE or less.",
);
pub const CLOCK_AHEAD: Cause = cause(
    "The clock of this machine is ahead of the issuer's, so that a token which is still good seems to have expired.",
    "Set the clock right, and keep it so with NTP; AUTH0_LEEWAY grants what is left, five minutes at most.",
);
pub const CLOCK_BEHIND: Cause = cause(
    "The clock of this machine is behind the issuer's, so that a token which was just issued seems to come from the future.",
    "Set the clock right and keep it so with NTP; AUTH0_LEEWAY grants what is left, five minutes at most.",
);
pub const NOT_YET: Cause = cause(
    "The token is made for a later time: its nbf or its iat lies ahead.",
    "Wait until then, or have whatever makes the token leave nbf out and set iat to the time of signing.",
);
pub const MILLISECONDS: Cause = cause(
    "A date of the token is in milliseconds, and RFC 7519 has them in seconds.",
    "Have whatever makes the token divide by 1000.",
);
pub const NO_EXPIRY: Cause = cause(
    "The token has no exp: it would be good for ever.",
    "Have whatever makes the token set exp; every token of Auth0's has it.",
);
pub const NO_AUDIENCE: Cause = cause(
    "The token has no aud: it is for nobody in particular.",
    "Give the identifier of this API as audience in the token request; an issuer of your own has to write it into aud.",
);
pub const NO_ISSUER: Cause = cause(
    "The token has no iss: it does not say where it is from.",
    "Have whatever makes the token write the configured issuer, to the letter, into iss.",
);
pub const NO_TIME_OF_ISSUE: Cause = cause(
    "The token has no iat, and AUTH0_TOKEN_MAX_AGE needs to know when it was issued.",
    "Have whatever makes the token set iat, as every token of Auth0's has it, or take AUTH0_TOKEN_MAX_AGE out.",
);
pub const NOT_RFC9068: Cause = cause(
    "The strict profile of RFC 9068 is on, and the token lacks sub, client_id, iat or jti.",
    "Set the access token profile to RFC 9068 in the API's settings under Applications, APIs, and fetch a new token.",
);
pub const WRONG_TYPE: Cause = cause(
    "A claim is of another JSON type than RFC 7519 gives it: a date as text, an audience as an object.",
    "Have whatever makes the token write dates as numbers, iss, sub and jti as strings, and aud as a string or an array of strings.",
);
pub const OWN_CLAIMS: Cause = cause(
    "A handler reads claims of its own, and the token has others.",
    "Have the Action that adds them write what the handler's type expects.",
);
pub const DPOP_BOUND: Cause = cause(
    "The token is bound to a key of its client's by DPoP (cnf.jkt), which is not enabled here.",
    "Set PUBLIC_URL to the URL by which clients know this service, which enables it; or turn sender constraining off in the API's settings under Applications, APIs, and fetch a token without a DPoP proof.",
);
pub const DPOP_AS_BEARER: Cause = cause(
    "The token is bound to a key of its client's by DPoP (cnf.jkt), and came as Bearer, without its proof.",
    "Send it as Authorization: DPoP, with a proof in the field DPoP; libraries for DPoP do both.",
);
pub const OTHER_PROOF_KEY: Cause = cause(
    "The proof is signed with another key than the one that the token is bound to.",
    "Sign proofs with the key that signed the proof of the token request; a client that has lost that key needs a new token.",
);
pub const NOT_BOUND: Cause = cause(
    "The token has no cnf.jkt: the token request carried no DPoP proof, or the API is not set to bind its tokens.",
    "Send a DPoP proof with the token request, and turn sender constraining on in the API's settings under Applications, APIs.",
);
pub const PROOF_MISSING: Cause = cause(
    "There is no DPoP field, or more than one, or a proxy took it away.",
    "Send exactly one proof, and have the proxy pass the field DPoP on.",
);
pub const PROOF_FOR_OTHER_URL: Cause = cause(
    "The proof is for another URL (htu) or method (htm): PUBLIC_URL is not the URL that clients use, or a proxy changes the path.",
    "Set PUBLIC_URL to scheme, host and path that clients use, and compare: `warp-bearer explain --proof` shows both URLs.",
);
pub const PROOF_TIME: Cause = cause(
    "The proof was made too long ago, or in the future (iat): it is reused, or a clock is off.",
    "Make a new proof for each request, and set the clocks of client and service by NTP.",
);
pub const PROOF_FOR_OTHER_TOKEN: Cause = cause(
    "The proof has no hash of this token (ath): it was made for the token request, or for an earlier token.",
    "Make the proof with ath, the base64url of the SHA-256 of the token that is sent.",
);
pub const PROOF_MALFORMED: Cause = cause(
    "The proof is not a JWT of typ dpop+jwt with a public key in jwk, an accepted alg and a good signature.",
    "Use a library for DPoP, and an algorithm that AUTH0_DPOP_ALGORITHMS lists.",
);
pub const FIRST_NONCE: Cause = cause(
    "The proof has no nonce, an expired one, or one of another server. The first request of each client is answered so.",
    "Repeat the request with a new proof that has the value of DPoP-Nonce as its nonce, and keep every nonce that an answer brings.",
);
pub const OTHER_REPLICA: Cause = cause(
    "Replicas make nonces with different secrets, so that one does not accept what another made.",
    "Give all replicas the same AUTH0_DPOP_NONCE_SECRET.",
);
pub const PROOF_REUSED: Cause = cause(
    "The client sent one proof twice: it retried a request, or keeps proofs in a cache.",
    "Make a new proof, with a new jti, for every request and every retry.",
);
pub const PROOF_STOLEN: Cause = cause(
    "Somebody copied the request and sent it again.",
    "Nothing was let in. Look for a log or a proxy that shows the fields of requests.",
);
pub const STATE_FULL: Cause = cause(
    "The record of used proofs is full: it holds each proof until it expires, and forgets none earlier.",
    "Give it more memory with AUTH0_DPOP_STORE, or shorten AUTH0_DPOP_WINDOW.",
);
pub const STATE_DOWN: Cause = cause(
    "The state store does not answer, or was started anew after the proof was made.",
    "Ask again after the time in Retry-After; the operator looks at the store.",
);
pub const MTLS_BOUND: Cause = cause(
    "The token is bound to a certificate of its client's by mutual TLS (cnf.x5t#S256), which cannot be checked here.",
    "Turn sender constraining off in the API's settings under Applications, APIs, and fetch a token without the certificate.",
);
pub const BOUND: Cause = cause(
    "The token is bound to a key by cnf, in a way that cannot be checked here.",
    "Have the issuer make a token without cnf for this API.",
);
pub const ISSUER_UNREACHABLE: Cause = cause(
    "The issuer cannot be reached from here, or answers with an error, so that no keys are held.",
    "Run warp-bearer check on the service's machine: it says which of name, connection, TLS and answer it is; the caller's token is not at fault.",
);
pub const NOT_ITS_NAME: Cause = cause(
    "The issuer that answers calls itself by another name than the configured one, so that its keys are not taken.",
    "Write AUTH0_ISSUER exactly as the issuer's discovery document has it; Auth0's end in a slash.",
);
pub const NO_KEY_SET: Cause = cause(
    "What is at the address of the key set is no key set that can be used.",
    "Take AUTH0_JWKS_URI out, so that the issuer's discovery document says where its keys are, and run warp-bearer check.",
);
pub const ROTATED: Cause = cause(
    "The issuer does not publish the key that the token names any more: it was rotated away and revoked, or a development issuer was restarted.",
    "Fetch a new token: it is signed with a key that is published now.",
);
pub const NO_KID: Cause = cause(
    "The token names no key, and the issuer has more than one that would fit.",
    "Have whatever makes the token write the kid of its key into the header.",
);
pub const CHANGED: Cause = cause(
    "The token was changed after it was signed: a character is lost or another, or somebody has edited it.",
    "Copy the token again, the whole of it; if it still does not verify, fetch a new one.",
);
pub const CUT_SIGNATURE: Cause = cause(
    "The signature is shorter than the key's: the end of the token is missing.",
    "Copy the token again to its last character.",
);
pub const REPLACED_KEY: Cause = cause(
    "The issuer has put another key under the same name, as a development issuer does that is restarted.",
    "Fetch a new token from the issuer as it runs now.",
);
pub const OTHER_SECRET: Cause = cause(
    "The token is signed with another secret than AUTH0_SIGNING_SECRET.",
    "Copy the signing secret of the API from its settings under Applications, APIs; in .env it stands in single quotes.",
);
pub const SCOPE_OF_MACHINE: Cause = cause(
    "The application was not granted the scope for this API.",
    "Under Applications, APIs, your API, Machine to Machine Applications, open the application and tick the permission, then fetch a new token.",
);
pub const SCOPE_OF_USER: Cause = cause(
    "The login did not ask for the scope, or the user may not have it.",
    "Name the scope in the login's scope parameter, see that the API has it under Permissions, and, where the API has RBAC, assign it to the user under User Management.",
);
pub const SCOPE_AS_PERMISSION: Cause = cause(
    "The token grants it as a permission of RBAC, and the route asks for a scope of this name.",
    "Name the scope in the token request as well, or have the route take permission(..) beside scope(..).",
);
pub const RBAC_OFF: Cause = cause(
    "The token has no permissions: RBAC is off for the API, or its permissions are not added to the token.",
    "In the API's settings under Applications, APIs turn on both Enable RBAC and Add Permissions in the Access Token, and fetch a new token.",
);
pub const NOT_ASSIGNED: Cause = cause(
    "The user or the application was not given the permission or the role.",
    "Assign it under User Management, or to the application under the API's Machine to Machine Applications, and fetch a new token.",
);
pub const NO_SUCH_PATH: Cause = cause(
    "The path is misspelt, or a proxy passes it on with a prefix that it should have taken off.",
    "Compare it with the table of routes: the log names the path of each request's route, or none.",
);
pub const OTHER_METHOD: Cause = cause(
    "The path is right and the method is not.",
    "Use one of the methods that the answer's Allow names.",
);
pub const UNREADABLE_PART: Cause = cause(
    "A query, a header field or a cookie that the route reads is absent, or does not have the form that it expects.",
    "Compare the request with what the route's documentation says.",
);
pub const ODD_POLICY: Cause = cause(
    "A proxy asks /auth with a query that is not one of scope and permission.",
    "Write the policy into the proxy's configuration as scope=read:messages, with + between several, and a plus sign within one as %2B.",
);
pub const NO_LENGTH: Cause = cause(
    "The body came in chunks, and the route wants to know its length beforehand.",
    "Have the client send Content-Length.",
);
pub const BODY_TOO_LARGE: Cause = cause(
    "The body is larger than the route, or MAX_BODY_BYTES, allows.",
    "Send less, or raise the limit.",
);
pub const OTHER_CONTENT: Cause = cause(
    "The Content-Type is absent, or not one that the route reads.",
    "Send Content-Type: application/json, or what the route's documentation says.",
);
pub const UNREADABLE_BODY: Cause = cause(
    "The body is not what its Content-Type says, or lacks a member that the route needs.",
    "Compare the body with what the route's documentation says.",
);
pub const OTHER_ORIGIN: Cause = cause(
    "A page of another origin asked, and that origin, method or header field is not allowed.",
    "Add the origin to those that the service allows.",
);
pub const ODD_HOST: Cause = cause(
    "The request has no Host field, two of them, or one that is no host. The command dev answers only for its own address and the names of loopback.",
    "Have the client or the proxy send exactly one; to dev, localhost or 127.0.0.1 with its port.",
);
pub const LONG_TARGET: Cause = cause(
    "The path with its query is longer than MAX_URI_BYTES.",
    "Send what is long in a body, or raise the limit.",
);
pub const LARGE_HEAD: Cause = cause(
    "The header fields are larger than MAX_HEADER_BYTES or more than MAX_HEADER_FIELDS: often cookies.",
    "Clear the cookies of the host, send fewer fields, or raise the limit.",
);
pub const SLOW_REQUEST: Cause = cause(
    "The request, its body included, took longer than REQUEST_TIMEOUT.",
    "Ask again, send the body faster, or raise the limit.",
);
pub const OUR_FAULT: Cause = cause(
    "A fault of the service's own; its log has it, under the X-Request-Id of the answer.",
    "Tell whoever runs the service that id.",
);
