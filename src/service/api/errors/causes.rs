//! The causes of errors, and their fixes.
//!
//! Most causes don't depend on the issuer. Those that begin with `AUTH0_` use the names of menus
//! and settings in Auth0's dashboard. For other issuers, `explain` has its own wording.
#![allow(missing_docs)] // the first sentence of each constant describes it

use crate::service::api::errors::Cause;

const fn cause(what: &'static str, fix: &'static str) -> Cause {
    Cause { what, fix }
}

pub const NO_FIELD: Cause = cause(
    "The request has no Authorization field, or the field has another scheme, such as Basic.",
    "Send the access token in the field Authorization: the word Bearer, a space and the token.",
);
pub const FIELD_LOST: Cause = cause(
    "A proxy removed the field, or a client dropped it when it followed a redirect to another host.",
    "Configure the proxy to pass Authorization on, and send the request to the final address directly.",
);
pub const NO_TOKEN_FIELD: Cause = cause(
    "AUTH0_TOKEN_FIELD names a field other than Authorization, and the request does not have that field.",
    "Send the request through the proxy that adds the field. If clients send the token in Authorization, remove AUTH0_TOKEN_FIELD.",
);
pub const NOT_BARE: Cause = cause(
    "The field that AUTH0_TOKEN_FIELD names is empty, or has the word Bearer before the token.",
    "Have the proxy send the token alone in this field, without a scheme.",
);
pub const OTHER_SCHEME: Cause = cause(
    "The Authorization field has a scheme other than Bearer.",
    "Write the word Bearer and a space before the token. Do not use Basic, Token, JWT or Digest.",
);
pub const NO_SCHEME: Cause = cause(
    "The Authorization field has a token without the word Bearer before it.",
    "Write the word Bearer and a space before the token.",
);
pub const NO_SPACE: Cause = cause(
    "There is no space between the word Bearer and the token.",
    "Write exactly: the word Bearer, a space and the token.",
);
pub const QUOTED_FIELD: Cause = cause(
    "Quotes around the whole value are sent as a part of it, so the value does not begin with Bearer.",
    "Remove the quotes from the value where the field is set.",
);
pub const NOTHING_SENT: Cause = cause(
    "There is no token after the word Bearer: the variable that should hold it is empty.",
    "Check the response of the token endpoint. If it has no access_token, its error_description says why.",
);
pub const UNFILLED: Cause = cause(
    "The client sent a variable without a value: a placeholder, or a word such as undefined or null, was sent instead of the token.",
    "Check that the client has a token before it sends the request, and that the name of the variable is right. In a shell, $TOKEN is not replaced within single quotes.",
);
pub const UNFILLED_FIELD: Cause = cause(
    "The client sent a variable without a value as the whole field.",
    "Send the word Bearer, a space and the token, and check that the client has a token before it sends the request.",
);
pub const SCHEME_TWICE: Cause = cause(
    "The word Bearer is there twice: the variable that holds the token already begins with it.",
    "Write Bearer once. Keep only the token in the variable.",
);
pub const COLON: Cause = cause(
    "There is a colon, an equals sign or another character directly after the word Bearer.",
    "Write exactly: the word Bearer, a space and the token.",
);
pub const TAB: Cause = cause(
    "There is a tab after the word Bearer, where a space belongs.",
    "Write exactly: the word Bearer, a space and the token.",
);
pub const QUOTED: Cause = cause(
    "Quotes around the token are sent as a part of it.",
    "Remove the quotes. In a shell, jq -r prints a string without its quotes.",
);
pub const FOREIGN_CHARACTER: Cause = cause(
    "The token contains a character that is not allowed in tokens: a space, a line break, an ellipsis or another symbol.",
    "Copy the whole token again and nothing else. An ellipsis means that a page has shortened it.",
);
pub const SPACE_BEFORE_COLON: Cause = cause(
    "There is a space between the name of the field and its colon, which HTTP forbids (RFC 9112 section 5.1). Servers answer 400 without reading the field.",
    "Write the colon directly after the name.",
);
pub const SPACE_BEFORE_NAME: Cause = cause(
    "There is a space or a quote before the name of a field, which HTTP forbids (RFC 9112 section 5). Servers answer 400 without reading the field.",
    "Begin the line with the name of the field, without quotes.",
);
pub const WRAPPED: Cause = cause(
    "The token is inside other text, which is sent with it: a whole JSON response, or the text that a program prints for a value, such as Optional(..), Some(..) or b'..'.",
    "Take the token out of the value first: the member access_token of a response, the content of an optional value, the decoded form of bytes.",
);
pub const NO_TOKEN_TEXT: Cause = cause(
    "The client sent other text instead of a token: a variable without a value, a placeholder, or what a program prints for an object, a function or an error.",
    "Check that the client has a token before it sends the request, and that it sends the text of the token, not an object or a promise that contains it.",
);
pub const TWO_CREDENTIALS: Cause = cause(
    "The request has two Authorization fields, or two credentials with a comma between them.",
    "Send one. Often, the client and a proxy each add one.",
);
pub const TOO_LARGE: Cause = cause(
    "The token is larger than 16 KiB, or than AUTH0_MAX_TOKEN_BYTES: it carries long lists of groups, roles or permissions.",
    "Remove claims where the issuer adds them to the token. If they have to stay, raise AUTH0_MAX_TOKEN_BYTES, to 64KiB at most.",
);
pub const OPAQUE: Cause = cause(
    "The token is opaque: it is not a JWT, and only the issuer that made it can read it.",
    "Request a JWT access token for this API. Most issuers make one only if the token request names the API, as audience, resource or scope.",
);
pub const AUTH0_OPAQUE: Cause = cause(
    "The token is opaque: Auth0 issues opaque tokens for its own /userinfo, if the request names no API.",
    "Add audience, with the identifier of your API, to the login (/authorize) or, without a user, to the token request, and fetch a new token.",
);
pub const ENCRYPTED: Cause = cause(
    "The token is encrypted (JWE), and this service has no key to decrypt it.",
    "Configure the issuer to sign the access tokens of this API and not to encrypt them.",
);
pub const AUTH0_ENCRYPTED: Cause = cause(
    "The token is encrypted (JWE): the token request names no API, or the API is set to encrypt its tokens.",
    "Add audience, with the identifier of your API, to the token request. If it is there, turn off JSON Web Encryption in the API's settings under Applications, APIs.",
);
pub const SD_JWT: Cause = cause(
    "This is an SD-JWT: a credential with selective disclosure, whose parts are joined with ~. It is not an access token.",
    "Send the access_token of the token endpoint's response, as a plain JWT.",
);
pub const PASETO: Cause = cause(
    "This is a PASETO token (it begins with v1 to v4, and public or local), which is not a JWT.",
    "Have the issuer make a JWT (RFC 9068) for this API.",
);
pub const NOT_WHOLE: Cause = cause(
    "The token is not complete: a JWT has three parts with two dots between them, and a part is missing.",
    "Copy the token again from its first character to its last. The part after the second dot is the signature.",
);
pub const ENCODED_TWICE: Cause = cause(
    "The token is encoded in base64 a second time, as in a Kubernetes Secret.",
    "Decode it once before it is sent: base64 -d prints the token.",
);
pub const RE_ENCODED: Cause = cause(
    "The token was changed in transit: it is cut short, is padded with =, or has + and / instead of - and _.",
    "Pass the token on unchanged, character for character. Clients do not need to decode it.",
);
pub const LOAD_BALANCER: Cause = cause(
    "This is the token that an AWS load balancer adds in the field x-amzn-oidc-data. The load balancer signs it with its own key, and pads its parts with =, which JWTs must not have (RFC 7515).",
    "Do not send this token to an API. Send the access token, which the load balancer passes on in the field x-amzn-oidc-accesstoken.",
);
pub const PADDED: Cause = cause(
    "The parts of the token are padded with =, which JWTs must not have (RFC 7515 section 2).",
    "Have the issuer encode the parts as base64url without padding. You cannot remove the padding yourself, because the signature covers it.",
);
pub const NOT_STRICT: Cause = cause(
    "A part of the token is not one JSON object, or has the same member twice.",
    "Correct the program that makes the token. Two parsers could see different content in this token.",
);
pub const KID_NOT_TEXT: Cause = cause(
    "The member kid of the token's header is null, or another value that is not a string.",
    "Have the issuer write the name of its key into kid as a string, or leave kid out.",
);
pub const HS256_API: Cause = cause(
    "The token is signed with HS256, a shared secret, and AUTH0_ALGORITHMS does not allow HS256.",
    "Set the issuer to sign with an algorithm that has a public key, such as RS256. Only if the issuer can sign with nothing else, allow HS256 together with AUTH0_SIGNING_SECRET.",
);
pub const AUTH0_HS256: Cause = cause(
    "The token is signed with HS256: the API is set to this signing algorithm, or this is an ID token of an application that is set to it.",
    "Set the API's signing algorithm to RS256 in its settings under Applications, APIs, and fetch a new token.",
);
pub const UNSIGNED: Cause = cause(
    "The token is not signed: its alg is none.",
    "No setting accepts such a token. Fetch a token from the issuer, and find out which program made this one.",
);
pub const OTHER_ALGORITHM: Cause = cause(
    "The token is signed with an algorithm that AUTH0_ALGORITHMS does not list.",
    "If the issuer signs the tokens of this API with this algorithm on purpose, allow it. If not, set the issuer to an algorithm of AUTH0_ALGORITHMS.",
);
pub const UNSUPPORTED_ALGORITHM: Cause = cause(
    "The header names an algorithm that this service does not support, or none at all.",
    "No setting accepts such a token. Set the issuer to sign the tokens of this API with a supported algorithm, such as RS256, ES256 or EdDSA.",
);
pub const KEY_FOR_ANOTHER: Cause = cause(
    "The key that kid names is not for the algorithm that alg names.",
    "Correct the program that makes the token: kid and alg must belong to the same key of the issuer's key set.",
);
pub const KEY_LEFT_OUT: Cause = cause(
    "The issuer publishes the key that the token names, but this service cannot verify signatures with that key, and left it out.",
    "Have the issuer correct the key, or sign with another one. warp-bearer check shows every key that was left out, with the reason.",
);
pub const EXTENSION: Cause = cause(
    "The header has crit or b64: extensions of JWS that access tokens do not use.",
    "Have the issuer sign without them. You cannot remove them yourself, because the signature covers them.",
);
pub const LOGOUT_TOKEN: Cause = cause(
    "This is a logout token, which an issuer sends to applications to end a session.",
    "Send the access_token of the token endpoint's response. A logout token does not give access to an API.",
);
pub const DPOP_PROOF: Cause = cause(
    "This is a DPoP proof, which a client signs itself and sends beside an access token.",
    "Send the access token in the field Authorization, and the proof in the field DPoP.",
);
pub const OTHER_TYPE: Cause = cause(
    "The typ of the header is not that of an access token. This service accepts JWT, at+jwt and application/at+jwt, and tokens without typ.",
    "Send the access_token of the token endpoint's response. If it is that token, have the issuer write one of these types.",
);
pub const OTHER_KIND: Cause = cause(
    "A claim says that the token is not an access token, but an ID, refresh or logout token: typ, as Keycloak writes it, or token_use, as Amazon Cognito and Ory Hydra do.",
    "Send the access_token of the token endpoint's response.",
);
pub const NOT_AT_JWT: Cause = cause(
    "AUTH0_TOKEN_PROFILE is rfc9068, which accepts only tokens with the typ at+jwt, and this token has another typ or none.",
    "Set the issuer to the token profile of RFC 9068 for this API, and fetch a new token. If the issuer has no such profile, set AUTH0_TOKEN_PROFILE to any.",
);
pub const AUTH0_NOT_AT_JWT: Cause = cause(
    "AUTH0_TOKEN_PROFILE is rfc9068, and the token has Auth0's own profile.",
    "Set the access token profile to RFC 9068 in the API's settings under Applications, APIs, and fetch a new token.",
);
pub const SLASH: Cause = cause(
    "The token's issuer and the configured one differ in the slash at the end, so they are two issuers.",
    "Write AUTH0_ISSUER exactly as the token has it in iss. Some issuers end in a slash, others do not.",
);
pub const SCHEME_OR_CASE: Cause = cause(
    "The token's issuer and the configured one differ in their spelling only (http or https, a missing scheme, the port, white space, or upper and lower case), and they are two issuers.",
    "Write AUTH0_ISSUER exactly as the token has it in iss.",
);
pub const SAME_KEYS: Cause = cause(
    "The token is signed with a key of the configured issuer, but names it differently: the issuer has two names.",
    "Fetch the token from the address that is configured here, or write AUTH0_ISSUER exactly as the token has it in iss.",
);
pub const CUSTOM_DOMAIN: Cause = cause(
    "The token is from the same tenant under its other name: a tenant's own domain and its custom domain are two issuers.",
    "Fetch the token from the domain that is configured here, or write AUTH0_ISSUER exactly as the token has it in iss. AUTH0_ISSUER can list both, with a comma between them.",
);
pub const OTHER_TENANT: Cause = cause(
    "The token is from another issuer: another tenant, or another environment.",
    "Fetch the token from the issuer that is configured here, or configure the issuer that the token is from, if this API should trust it.",
);
pub const ISSUER_BLANK: Cause = cause(
    "The token's iss is empty, or has white space at its beginning or its end, so it is not the name of the configured issuer.",
    "Have the program that makes the token write the configured issuer into iss, character for character. No setting accepts such a name.",
);
pub const NAME_OF_ADDRESS: Cause = cause(
    "The configured address answers under another name: the issuer in its discovery document is the one that the token has in iss.",
    "Write AUTH0_ISSUER exactly as the token has it in iss. If that name cannot be reached from here, set AUTH0_JWKS_URI to the address of the keys, which the discovery document names.",
);
pub const NAME_OF_MACHINE: Cause = cause(
    "The token's issuer and the configured one are probably the same: their addresses are two names of one machine. But names are compared exactly, so they are two issuers.",
    "Write AUTH0_ISSUER exactly as the token has it in iss, or fetch the token from the address that is configured here. Many issuers use the host of the request as their name.",
);
pub const OTHER_PATH: Cause = cause(
    "The token's issuer has the host of the configured one, but another path. One host may have several issuers, such as tenants, realms or authorization servers.",
    "If the configured path is wrong, write AUTH0_ISSUER exactly as the token has it in iss. If the token is from another issuer of that host, fetch it from the one that is configured here.",
);
pub const OTHER_PORT: Cause = cause(
    "The token is from another development issuer: one not configured here, or ours before it was restarted.",
    "Fetch a new token from the issuer that is running now, or configure the token's issuer, if this API should trust it.",
);
pub const ID_TOKEN: Cause = cause(
    "This is an ID token. It tells an application who has logged in, and is not meant for an API.",
    "Send the access_token of the token endpoint's response and not its id_token.",
);
pub const AUTH0_ID_TOKEN: Cause = cause(
    "This is an ID token. It tells an application who has logged in, and is not meant for an API.",
    "Send the access_token of the token endpoint's response and not its id_token, and name audience, the identifier of your API, in the login (/authorize) or, without a user, in the token request.",
);
pub const USERINFO_ONLY: Cause = cause(
    "The token is only for the issuer's /userinfo: the request named no audience.",
    "Add audience, with the identifier of your API, to the login (/authorize) or, without a user, to the token request, and fetch a new token.",
);
pub const MANAGEMENT_API: Cause = cause(
    "The token is for Auth0's Management API.",
    "In the token request, use the identifier of your own API as audience, instead of the address that ends in /api/v2/.",
);
pub const AUDIENCE_SPELLING: Cause = cause(
    "The token's audience and the configured one differ in their spelling only (a slash at the end, upper and lower case, http or https, a missing scheme, the port, or white space), and they are two audiences.",
    "Write the identifier of the API the same way at the issuer, in the token request and in AUTH0_API_AUDIENCE.",
);
pub const OTHER_API: Cause = cause(
    "The token is for another API.",
    "Request a token for this API: the token's aud must contain one of AUTH0_API_AUDIENCE. Do not add the audience of another API here, because its tokens would then be accepted as well.",
);
pub const EMPTY_AUDIENCE: Cause = cause(
    "The token's aud is empty, so it does not say which API it is for.",
    "Request the token for this API, and have the issuer write the identifier of this API into aud.",
);
pub const GENERAL_AUDIENCE: Cause = cause(
    "The token's aud ends in /resources, which IdentityServer writes if no API resource has the requested scopes. Every access token of that issuer may have it.",
    "At the issuer, define an API resource with the identifier of this API and its scopes, and have the client request one of them. Do not accept the audience that ends in /resources.",
);
pub const AUDIENCE_LIST: Cause = cause(
    "The aud of the token is one string that contains several names, so it equals none of them.",
    "Have the issuer write aud as an array of strings (RFC 7519 section 4.1.3).",
);
pub const FOR_ANOTHER_RESOURCE: Cause = cause(
    "The token is for one audience of this service, but the proxy's query names another.",
    "Request a token for the resource behind this proxy, or correct the audience in the proxy's query.",
);
pub const AUTH0_OTHER_API: Cause = cause(
    "The token is for another API.",
    "Name the identifier of this API as audience in the login (/authorize) or, without a user, in the token request. The identifier is in the dashboard, under Applications, APIs.",
);
pub const EXPIRED: Cause = cause(
    "The token has expired.",
    "Fetch a new token when expires_in has passed, or use a refresh token. The issuer's settings decide how long a token is valid.",
);
pub const TOO_OLD: Cause = cause(
    "The token was issued longer ago than AUTH0_TOKEN_MAX_AGE allows, whatever its exp is.",
    "Fetch a new token. Set the lifetime of tokens at the issuer to AUTH0_TOKEN_MAX_AGE or less, so that expires_in tells clients when to do so.",
);
pub const CLOCK_AHEAD: Cause = cause(
    "The clock of this machine is ahead of the issuer's, so that a valid token looks expired.",
    "Correct the clock and keep it correct with NTP. AUTH0_LEEWAY tolerates a small difference, five minutes at most.",
);
pub const CLOCK_BEHIND: Cause = cause(
    "The clock of this machine is behind the issuer's, so that a new token looks as if it came from the future.",
    "Correct the clock and keep it correct with NTP. AUTH0_LEEWAY tolerates a small difference, five minutes at most.",
);
pub const ISSUED_LATER: Cause = cause(
    "The token's iat is in the future: the clock of this machine is behind, or the clock of the issuer is ahead, or the program that makes the token writes local time instead of UTC.",
    "Compare both clocks, and keep them correct with NTP. AUTH0_LEEWAY tolerates a small difference, five minutes at most. warp-bearer check shows how far this clock is from the issuer's.",
);
pub const NOT_YET: Cause = cause(
    "The token is for a later time: its nbf or its iat is in the future.",
    "Wait until then, or have the program that makes the token leave nbf out and set iat to the time of signing.",
);
pub const MILLISECONDS: Cause = cause(
    "A date of the token is in milliseconds, but RFC 7519 defines seconds.",
    "Have the program that makes the token divide by 1000.",
);
pub const NO_EXPIRY: Cause = cause(
    "The token has no exp, so it would never expire.",
    "Have the issuer write exp.",
);
pub const ANSWER_WITHOUT_AUDIENCE: Cause = cause(
    "The issuer's introspection response has no aud, so it does not say which API the token is for.",
    "Have the issuer write the identifier of this API into the aud of its responses. If they have client_id and no aud, set AUTH0_AUDIENCE_CLAIM to client_id, and AUTH0_API_AUDIENCE to the clients whose tokens this API accepts.",
);
pub const ANSWER_WITHOUT_EXPIRY: Cause = cause(
    "The issuer's introspection response has no exp, so the token would never expire.",
    "Have the issuer write exp into its responses (RFC 7662 section 2.2).",
);
pub const NO_AUDIENCE: Cause = cause(
    "The token has no aud, so it does not say which API it is for.",
    "Request the token for this API, and have the issuer write the identifier of this API into aud.",
);
pub const NO_AUDIENCE_CLAIM: Cause = cause(
    "The token does not have the claim that AUTH0_AUDIENCE_CLAIM compares with the configured audiences.",
    "Send an access token of a client, which has the claim. If this issuer's tokens have aud, remove AUTH0_AUDIENCE_CLAIM.",
);
pub const OTHER_CLIENT: Cause = cause(
    "The token was issued to a client that is not configured: AUTH0_AUDIENCE_CLAIM names a claim to read instead of aud, and its value is not in AUTH0_API_AUDIENCE.",
    "Fetch the token with a client that AUTH0_API_AUDIENCE lists. Add a client to it only if every token of that client should be accepted.",
);
pub const AUTH0_NO_AUDIENCE: Cause = cause(
    "The token has no aud, so it does not say which API it is for.",
    "Name the identifier of this API as audience in the token request.",
);
pub const NO_ISSUER: Cause = cause(
    "The token has no iss, so it does not say who issued it.",
    "Have the program that makes the token write the configured issuer into iss, character for character.",
);
pub const NO_TIME_OF_ISSUE: Cause = cause(
    "The token has no iat, and AUTH0_TOKEN_MAX_AGE needs it.",
    "Have the issuer write iat, or remove AUTH0_TOKEN_MAX_AGE.",
);
pub const NOT_RFC9068: Cause = cause(
    "AUTH0_TOKEN_PROFILE is rfc9068, and the token lacks sub, client_id, iat or jti.",
    "Set the issuer to the token profile of RFC 9068 for this API, and fetch a new token. If the issuer has no such profile, set AUTH0_TOKEN_PROFILE to any.",
);
pub const WRONG_TYPE: Cause = cause(
    "A claim does not have the JSON type that its definition requires: for example, a date is a string, or an audience is an object.",
    "Have the issuer write dates as numbers, iss, sub, jti and client_id as strings, and aud, scope and scp as strings or arrays of strings.",
);
pub const OWN_CLAIMS: Cause = cause(
    "A handler requires certain claims, and the token lacks them or has them in another form.",
    "Have the issuer add the claims that the handler's type expects.",
);
pub const DPOP_BOUND: Cause = cause(
    "The token is bound to a key of its client by DPoP (cnf.jkt), and DPoP is not enabled here.",
    "Set PUBLIC_URL to the URL that clients use for this service, which enables DPoP. Or have the client fetch a token without a DPoP proof, or turn sender constraining off for this API at the issuer.",
);
pub const MTLS_BOUND: Cause = cause(
    "The token is bound to a certificate of its client by mutual TLS (cnf.x5t#S256), and the request does not prove that the client has the certificate.",
    "Have the client connect with the certificate that the token names. Where a proxy terminates TLS, or asks /auth, it has to pass the certificate on in the field of CLIENT_CERT_FIELD: the certificate of its own connection is not the client's. Or have the client fetch a token without the certificate.",
);
pub const BOUND_TO_NULL: Cause = cause(
    "The token's cnf is null. A token with cnf is bound to a key, and null names none, so this service rejects the token rather than take it for an unbound one.",
    "Have the issuer leave cnf out of tokens that are not bound. Serializers of .NET and Java have a setting for members that are null.",
);
pub const BOUND: Cause = cause(
    "The token is bound to a key by cnf, with a method that this service cannot check.",
    "Have the issuer make a token without cnf for this API.",
);
pub const ISSUER_UNREACHABLE: Cause = cause(
    "The issuer cannot be reached from here, or answers with an error, so this service has no keys. The caller's token is not the problem.",
    "Run warp-bearer check on the machine of the service. It shows whether the name, the connection, TLS or the response is the problem. Behind a proxy, set HTTPS_PROXY. If this network has no connection to the issuer, set AUTH0_JWKS_FILE to a file with its keys.",
);
pub const ISSUER_CERTIFICATE: Cause = cause(
    "The TLS connection to the issuer failed, so this service has no keys. The caller's token is not the problem.",
    "If your own certificate authority signed the issuer's certificate, set SSL_CERT_FILE to a file with the authority's certificate. Run warp-bearer check to see the reason.",
);
pub const CA_AS_SERVER: Cause = cause(
    "The issuer uses the certificate of a certificate authority (CA:TRUE) as its server certificate, which TLS clients reject.",
    "Make a server certificate with CA:FALSE that the authority signs, install it at the issuer, and set SSL_CERT_FILE to a file with the authority's certificate.",
);
pub const NO_DISCOVERY: Cause = cause(
    "There is no discovery document at the issuer's address, so this service cannot find its keys. Either the path of the issuer is wrong, or the issuer has no such document.",
    "Compare the path of AUTH0_ISSUER with the iss of tokens, such as the realm or the tenant in it. If it is right, set AUTH0_JWKS_URI to the address of the issuer's key set, from its documentation. Discovery is then not needed.",
);
pub const BAD_METADATA: Cause = cause(
    "The issuer's discovery document cannot be used, so this service cannot find its keys.",
    "Have the issuer correct the document, or set AUTH0_JWKS_URI to the address of the issuer's key set. Discovery is then not needed.",
);
pub const KEYS_FOR_OTHER_ALGORITHM: Cause = cause(
    "The issuer's keys are valid, but none is for an algorithm that AUTH0_ALGORITHMS lists.",
    "If the issuer signs the tokens of this API with that algorithm on purpose, add it to AUTH0_ALGORITHMS. If not, set the issuer to an algorithm of AUTH0_ALGORITHMS. warp-bearer check shows each key.",
);
pub const KEYS_NEED_CREDENTIALS: Cause = cause(
    "The issuer returns its discovery document or its keys only to clients that log in, as Kubernetes does.",
    "Save the key set to a file and set AUTH0_JWKS_FILE to its path. In Kubernetes, kubectl get --raw /openid/v1/jwks prints it. Or list the issuer in ISSUERS_FILE instead of AUTH0_ISSUER, with fetch_token_file for a token that it accepts.",
);
pub const ISSUER_DENIES: Cause = cause(
    "The issuer's address answers 403 with an HTML page, as web application firewalls and geographic blocks do, so this service has no keys. The caller's token is not the problem.",
    "Have the firewall before the issuer let this machine through, or save the key set to a file and set AUTH0_JWKS_FILE to its path.",
);
pub const ISSUER_REDIRECTS: Cause = cause(
    "The issuer answers with a redirect, and this service does not follow redirects.",
    "Set AUTH0_ISSUER to the name that is in iss, and AUTH0_JWKS_URI to the final address of the key set.",
);
pub const NOT_ITS_NAME: Cause = cause(
    "The issuer that answers has a different name from the configured one, so its keys are not used.",
    "If the iss of tokens equals the issuer of the discovery document, write AUTH0_ISSUER exactly like it. If it equals the configured name, keep that name and set AUTH0_JWKS_URI to the document's jwks_uri.",
);
pub const NO_KEY_SET: Cause = cause(
    "The issuer's discovery document leads to something that is not a key set with a usable key.",
    "Run warp-bearer check, which shows the address, each key and the reason why it is not used. To use another key set, set AUTH0_JWKS_URI.",
);
pub const NO_KEY_SET_URI: Cause = cause(
    "There is no key set with a usable key at AUTH0_JWKS_URI.",
    "Correct AUTH0_JWKS_URI, or remove it to use the key set that the issuer's discovery document names. Run warp-bearer check to see the reason.",
);
pub const NO_KEY_SET_FILE: Cause = cause(
    "AUTH0_JWKS_FILE cannot be read, or has no usable key.",
    "Write the issuer's key set to the file of AUTH0_JWKS_FILE. Run warp-bearer check to see the reason.",
);
pub const ODD_ANSWER: Cause = cause(
    "The issuer answers in a form that this service does not read: compressed with a content coding other than gzip, or larger than 512 KiB.",
    "Have the issuer, or the proxy before it, answer without a content coding, or save the keys to a file and set AUTH0_JWKS_FILE to its path.",
);
pub const NO_FILE_FOR_FETCH: Cause = cause(
    "A file that is needed to fetch the keys cannot be read: ca_file or fetch_token_file of the issuer's table.",
    "Give the service permission to read the file. The log and warp-bearer check name the file.",
);
pub const LOCAL_KEY_SET: Cause = cause(
    "The issuer's discovery document names a key set at a local address, which a remote issuer must not do.",
    "If the address is right, set AUTH0_JWKS_URI to it, because a configured address may be local.",
);
pub const ROTATED: Cause = cause(
    "The issuer does not publish the key that the token names: the key was rotated or revoked, or a development issuer was restarted.",
    "Fetch a new token, which is signed with a current key.",
);
pub const OLD_KEY_FILE: Cause = cause(
    "The file of keys does not have the key that the token names. It may be an old copy of the issuer's key set.",
    "Fetch the issuer's key set into the file again (AUTH0_JWKS_FILE, or the file of --jwks). If the issuer no longer publishes that key, fetch a new token.",
);
pub const KID_EMPTY: Cause = cause(
    "The member kid of the token's header is empty, and no key of the issuer has that name.",
    "Have the issuer write the kid of its key into the header, or leave kid out.",
);
pub const KID_SPELLING: Cause = cause(
    "The issuer publishes a key with the kid of the token in another spelling, and names are compared exactly.",
    "Have the issuer write the kid of its key into the header, character for character.",
);
pub const NO_KID_LEFT_OUT: Cause = cause(
    "The token's header has no kid, and the key set has several keys, of which at least one was left out. That one may be the key that signed the token.",
    "Have the issuer write the kid of its key into the header, and correct the key that was left out. warp-bearer check shows every key that was left out, with the reason.",
);
pub const KID_TWICE: Cause = cause(
    "The issuer's key set has two different keys with the kid that the token names, so it is unclear which one is meant.",
    "Have the issuer give each key a kid of its own. warp-bearer check names the kid.",
);
pub const KEYS_WITHOUT_KID: Cause = cause(
    "None or only some of the issuer's keys have a kid, so this service cannot tell which key signed the token.",
    "Have the issuer write a kid into each key, and into the header of its tokens. In a file of keys, write a JWK set with the kid of each key instead of PEM, or leave only the key that is in use: the kid of tokens is ignored if the file has none.",
);
pub const KEYS_NOT_READ: Cause = cause(
    "The issuer's key set has more than 512 entries, and the key that the token names is not among the first 512, which are read.",
    "Have the issuer remove keys that are not in use.",
);
pub const KID_NOT_READ: Cause = cause(
    "No key in the issuer's key set has the kid that the token names, but the set has a key whose kid cannot be used, and which was left out.",
    "Have the issuer correct the key. warp-bearer check shows every key that was left out, with the reason.",
);
pub const NO_KID: Cause = cause(
    "The token's header has no kid, and the issuer has more than one key that fits.",
    "Have the issuer write the kid of its key into the header.",
);
pub const CHANGED: Cause = cause(
    "The token was changed after it was signed (a character is missing or different), or it is not from this issuer.",
    "Copy the whole token again. If it still does not verify, fetch a new one.",
);
pub const CUT_SIGNATURE: Cause = cause(
    "The signature is too short for its algorithm: the end of the token is missing.",
    "Copy the token again to its last character.",
);
pub const DER_SIGNATURE: Cause = cause(
    "The signature is in DER, as OpenSSL, Java and key management services write ECDSA signatures. In a JWT, it is r and s one after the other, each with a fixed length (RFC 7518 section 3.4).",
    "Have the program that signs the token convert the signature: the format is also called P1363 or raw. Most libraries for JWTs do this.",
);
pub const REPLACED_KEY: Cause = cause(
    "Either the token was changed after it was signed, or it is not from this issuer, or the issuer has replaced the key and kept its name, as a restarted development issuer does.",
    "Copy the whole token again. If it still does not verify, fetch a new one from the issuer that is running now.",
);
pub const OTHER_SECRET: Cause = cause(
    "The token is not signed with AUTH0_SIGNING_SECRET.",
    "Copy the signing secret from the issuer again. In .env, write it in single quotes.",
);
pub const ENCODED_SECRET: Cause = cause(
    "AUTH0_SIGNING_SECRET is the right secret in an encoding, such as base64 or hex: the token is signed with the decoded bytes, but this service uses the secret as it is written.",
    "Have the issuer sign with the secret as text, or set the issuer to an algorithm that has a public key, such as RS256.",
);
pub const SCOPE_OF_MACHINE: Cause = cause(
    "The application was not granted the scope for this API.",
    "Grant the scope to the application at the issuer, request it if the issuer expects that, and fetch a new token.",
);
pub const AUTH0_SCOPE_OF_MACHINE: Cause = cause(
    "The application was not granted the scope for this API.",
    "Under Applications, APIs, your API, authorize the application and select the permission, then fetch a new token.",
);
pub const SCOPE_OF_USER: Cause = cause(
    "The login did not request the scope, or the user is not allowed to have it.",
    "Name the scope in the scope parameter of the login, and check that the issuer grants it to this user and this application.",
);
pub const AUTH0_SCOPE_OF_USER: Cause = cause(
    "The login did not request the scope, or the user is not allowed to have it.",
    "Name the scope in the scope parameter of the login, and add it to the API under Permissions. If the API has RBAC, assign it to the user under User Management.",
);
pub const SCOPE_SPELLING: Cause = cause(
    "The token has the scope in another form: with different upper and lower case, in a list with commas or +, in an array as one item with several names, or in the claim scopes.",
    "Have the issuer write scope as RFC 6749 requires: names with single spaces between them. Names are compared exactly.",
);
pub const SCOPE_PREFIXED: Cause = cause(
    "The token has the scope with the identifier of an API before it.",
    "Require the scope as the token has it. Names of scopes are compared exactly, and this issuer writes the whole name.",
);
pub const SCOPE_ELSEWHERE: Cause = cause(
    "The token has this name in another claim, and scopes are read from scope and scp only.",
    "Have the issuer write the name into scope. If that claim is meant, let the route require the claim instead: claim(..) in your own service, or ?claim=NAME:VALUE at /auth.",
);
pub const PERMISSION_AS_SCOPE: Cause = cause(
    "The token grants this name as a scope, but the route requires a permission, which is read from the claim permissions.",
    "Let the route require scope(..), or ?scope= at /auth. Or have the issuer write the permissions of the user into the claim permissions.",
);
pub const PERMISSIONS_FORM: Cause = cause(
    "The claim permissions is not an array of strings.",
    "Have the issuer write the names of the permissions as an array of strings.",
);
pub const SCOPE_AS_PERMISSION: Cause = cause(
    "The token grants this name as a permission, but the route requires a scope.",
    "Request the scope in the token request as well, or let the route accept permission(..) as an alternative to scope(..).",
);
pub const ROLES_NOT_SCOPES: Cause = cause(
    "The token has roles but no scopes, and the route requires a scope.",
    "Protect the route by a role: .require(role(\"Reader\")) in your own service. Or request a token with the scope on behalf of a user.",
);
pub const RBAC_OFF: Cause = cause(
    "The token has no permissions.",
    "Have the issuer add the permissions to the token, as an array of strings in the claim permissions.",
);
pub const AUTH0_RBAC_OFF: Cause = cause(
    "The token has no permissions: RBAC is off for the API, or its permissions are not added to the token.",
    "In the API's settings under Applications, APIs, turn on both Enable RBAC and Add Permissions in the Access Token, and fetch a new token.",
);
pub const NO_ROLE: Cause = cause(
    "The token does not have the role or the group in the claim that this service reads.",
    "Assign it at the issuer, and fetch a new token. AUTH0_ROLES_AT and AUTH0_GROUPS_AT name the claims that have roles and groups.",
);
pub const ROLE_ELSEWHERE: Cause = cause(
    "The token has this role or group in a claim other than the one that this service reads.",
    "If this issuer writes roles or groups into that claim, set AUTH0_ROLES_AT or AUTH0_GROUPS_AT to it.",
);
pub const ROLE_SPELLING: Cause = cause(
    "The token has this role or group in another form, and names are compared exactly.",
    "Require the name as the token has it. If the token has all names in one string or as the members of an object, have the issuer write an array of strings.",
);
pub const NO_SUCH_CLAIM: Cause = cause(
    "The token does not have the claim with the value that the policy asks for.",
    "Compare the claim with the policy: in claim=path:value, the value follows the last colon, and a colon in it is written %3A.",
);
pub const NOT_ASSIGNED: Cause = cause(
    "The user or the application was not given the permission or the role.",
    "Assign it to the user or to the application at the issuer, and fetch a new token.",
);
pub const AUTH0_NOT_ASSIGNED: Cause = cause(
    "The user or the application was not given the permission or the role.",
    "Assign it under User Management, or authorize the application for it under Applications, APIs, your API, and fetch a new token.",
);
pub const NO_SUCH_PATH: Cause = cause(
    "The path is misspelt, or a proxy adds a prefix to it.",
    "Compare the path with the table of routes. The log names the route of each request.",
);
pub const BELOW_AUTH: Cause = cause(
    "A proxy asks for a path below /auth, which this service answers only with FORWARD_AUTH_PATHS=on.",
    "Set FORWARD_AUTH_PATHS to on, or have the proxy ask for /auth without the client's path.",
);
pub const OTHER_METHOD: Cause = cause(
    "The path is right, but the method is not.",
    "Use one of the methods that the response lists in Allow.",
);
pub const UNREADABLE_PART: Cause = cause(
    "A query, a header or a cookie that the route needs is missing, or does not have the expected form.",
    "Compare the request with the documentation of the route.",
);
pub const ODD_POLICY: Cause = cause(
    "A proxy asks /auth with a query that cannot be read, or for an audience that is not configured. The query consists of scope, permission, role, group, claim, acr, max_age and audience.",
    "Write the policy into the proxy's configuration as scope=read:messages, with + between several scopes, %2B for a plus sign within one, and %23 for a #. An audience has to be one that this service is configured with.",
);
pub const NO_LENGTH: Cause = cause(
    "The body was sent in chunks, and the route needs to know its length first.",
    "Have the client send Content-Length.",
);
pub const BODY_TOO_LARGE: Cause = cause(
    "The body is larger than the route, or MAX_BODY_BYTES, allows.",
    "Send a smaller body, or raise the limit.",
);
pub const OTHER_CONTENT: Cause = cause(
    "The Content-Type is missing, or the route does not support it.",
    "Send Content-Type: application/json, or what the documentation of the route says.",
);
pub const UNREADABLE_BODY: Cause = cause(
    "The body is not valid for its Content-Type, or lacks a member that the route needs.",
    "Compare the body with the documentation of the route.",
);
pub const OTHER_ORIGIN: Cause = cause(
    "A page of another origin sent the request, and its origin, method or header is not allowed.",
    "Add the origin to those that the service allows (CORS_ORIGINS).",
);
pub const ODD_HOST: Cause = cause(
    "The request has no Host field, two Host fields, or one that is not a host. dev answers only if Host is its own address or a loopback name.",
    "Have the client or the proxy send exactly one Host field. For dev, use localhost or 127.0.0.1 in the URL.",
);
pub const LONG_TARGET: Cause = cause(
    "The path with its query is longer than MAX_URI_BYTES.",
    "Send long data in a body, or raise the limit.",
);
pub const LARGE_HEAD: Cause = cause(
    "The headers exceed MAX_HEADER_BYTES or MAX_HEADER_FIELDS, often because of cookies.",
    "Clear the cookies of the host, send fewer fields, or raise the limit.",
);
pub const SLOW_REQUEST: Cause = cause(
    "The request, including its body, took longer than REQUEST_TIMEOUT.",
    "Try again, send the body faster, or raise the limit.",
);
pub const OUR_FAULT: Cause = cause(
    "The service has a bug. Its log has an entry with the X-Request-Id of the response.",
    "Report this id to the people who run the service.",
);
pub const DPOP_AS_BEARER: Cause = cause(
    "The token is bound to a key of its client by DPoP (cnf.jkt), but was sent as Bearer, without a proof.",
    "Send the token as Authorization: DPoP, and a proof in the field DPoP. Libraries for DPoP do both.",
);
pub const OTHER_PROOF_KEY: Cause = cause(
    "The proof is not signed with the key that the token is bound to.",
    "Sign all proofs with the key that signed the proof of the token request. If the client has lost that key, fetch a new token.",
);
pub const NOT_BOUND: Cause = cause(
    "The token has no cnf.jkt: the token request had no DPoP proof, or the issuer is not configured to bind the tokens of this API.",
    "Send a DPoP proof with the token request, and configure the issuer to bind the tokens of this API to the client's key (in Auth0: sender constraining, in the API's settings).",
);
pub const UNBOUND_AS_DPOP: Cause = cause(
    "The token was sent with the scheme DPoP, which is only for tokens that are bound to a key.",
    "If the service also accepts tokens that are not bound (AUTH0_DPOP=allowed), send this one as Authorization: Bearer.",
);
pub const PROOF_MISSING: Cause = cause(
    "The request has no DPoP field or more than one, or a proxy removed it.",
    "Send exactly one proof, and configure the proxy to forward the field DPoP.",
);
pub const PROOF_FOR_OTHER_URL: Cause = cause(
    "The proof is for another URL (htu) or method (htm): PUBLIC_URL is not the URL that clients use, or a proxy changes the path.",
    "Set PUBLIC_URL to the scheme, host and path that clients use. warp-bearer explain --proof shows both URLs.",
);
pub const PROOF_WITHOUT_ID: Cause = cause(
    "The proof has no jti, or one that is not a string of 1 to 256 bytes.",
    "Have the client write a new random jti into each proof.",
);
pub const PROOF_WITHOUT_TIME: Cause = cause(
    "The proof has no iat, or one that is not a number.",
    "Have the client write the current time into the iat of each proof, as a number of seconds.",
);
pub const PROOF_TIME: Cause = cause(
    "The proof was made too long ago, or in the future (iat): it is reused, or a clock is off.",
    "Make a new proof for each request, and synchronize the clocks of client and service with NTP.",
);
pub const PROOF_FOR_OTHER_TOKEN: Cause = cause(
    "The proof does not have the hash of this token (ath): it was made for the token request, or for an earlier token.",
    "Add ath to the proof: the SHA-256 of the token that is sent, in base64url.",
);
pub const PROOF_MALFORMED: Cause = cause(
    "The proof is not a JWT with the typ dpop+jwt, a public key in jwk, an accepted alg and a valid signature.",
    "Use a library for DPoP, and an algorithm that AUTH0_DPOP_ALGORITHMS lists.",
);
pub const FIRST_NONCE: Cause = cause(
    "The proof has no nonce, an expired one, or one from another server. This is the normal response to a client's first request.",
    "Repeat the request with a new proof that has the value of DPoP-Nonce as its nonce, and always use the newest DPoP-Nonce that you received.",
);
pub const OTHER_REPLICA: Cause = cause(
    "Replicas make nonces with different secrets, so one does not accept the nonces of another.",
    "Give all replicas the same AUTH0_DPOP_NONCE_SECRET.",
);
pub const PROOF_REUSED: Cause = cause(
    "The client sent a proof twice: it retried a request, or caches proofs.",
    "Make a new proof, with a new jti, for every request and every retry.",
);
pub const PROOF_STOLEN: Cause = cause(
    "Someone copied the request and sent it again.",
    "The service rejected it. Find out whether a log or a proxy shows the headers of requests.",
);
pub const STATE_FULL: Cause = cause(
    "The record of used proofs is full: it keeps each proof until the proof expires, and never drops one earlier.",
    "Raise AUTH0_DPOP_STORE, or shorten AUTH0_DPOP_WINDOW.",
);
pub const STATE_DOWN: Cause = cause(
    "The state store does not answer, or it was emptied, restarted or failed over after the proof was made. Without STATE_STORE, the service was restarted after the proof was made.",
    "Make a new proof and try again after the time in Retry-After. If that fails too, the operator has to check the store.",
);
pub const ISSUER_SAYS_INACTIVE: Cause = cause(
    "The issuer says that the token is not active: it was revoked, it has expired, or the issuer never issued it.",
    "Fetch a new token from the issuer.",
);
pub const WRONG_ASKER: Cause = cause(
    "The client of this service is not allowed to introspect the token. Some issuers, such as Keycloak, answer that a token is inactive if it was not issued for the client that asks.",
    "Create a client for this API, set AUTH0_INTROSPECTION_CLIENT_ID to it, and have the token's audience include it.",
);
pub const INTROSPECTION_FAILS: Cause = cause(
    "The issuer's introspection endpoint cannot be reached, or its response is an error or not a valid introspection response.",
    "Run warp-bearer check on the service's machine: it asks the endpoint about a made-up token. The caller's token is not the problem.",
);
pub const INTROSPECTION_DENIED: Cause = cause(
    "The endpoint rejects the credentials of this service: it answers 401 or 403.",
    "Set AUTH0_INTROSPECTION_CLIENT_ID and AUTH0_INTROSPECTION_CLIENT_SECRET to the ID and the secret of a client that is allowed to introspect tokens.",
);
pub const MADE_UP_TOKENS: Cause = cause(
    "Someone sends many tokens that the issuer does not know, so the service does not ask about unknown tokens for a while. Known tokens are not affected.",
    "Try again after the time in Retry-After. The log shows who sends these tokens.",
);
pub const ON_THE_LIST: Cause = cause(
    "The list of revoked tokens has an entry for this token's jti, subject, client, session or issuer.",
    "Log in again, because tokens that are issued after the revocation are accepted. warp-bearer revocations shows the list.",
);
pub const WEAK_LOGIN: Cause = cause(
    "The route requires a more recent or a stronger login. The challenge has max_age or acr_values.",
    "Send the user to the issuer again with these parameters, and use the token that comes back (RFC 9470).",
);
pub const BAD_LOGOUT_TOKEN: Cause = cause(
    "The logout token is for another client, has expired, was used before, or is not a logout token. The log names the check that failed.",
    "Set AUTH0_LOGOUT_CLIENT_ID to the client for which the issuer sends logout tokens to this address.",
);
