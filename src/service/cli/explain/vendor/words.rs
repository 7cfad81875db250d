//! Causes in the words of each vendor's documentation.

use crate::service::api::errors::Cause;

const fn cause(what: &'static str, fix: &'static str) -> Cause {
    Cause { what, fix }
}

// Apple: https://developer.apple.com/documentation/signinwithapple/verifying-a-user
pub(super) const APPLE_LOGIN: Cause = cause(
    "This is the identity token of Sign in with Apple: its aud is the application that the user logged in to. It tells that application who has logged in.",
    "Do not send it to an API. Use an issuer of your own that signs users in with Apple, and send the access token of that issuer.",
);

// Auth0: https://auth0.com/docs/secure/tokens/access-tokens
pub(super) const AUTH0_CLIENT_AS_AUDIENCE: Cause = cause(
    "AUTH0_API_AUDIENCE is the client ID of the application that fetched the token (azp). The aud of access tokens is the identifier of the API.",
    "Set AUTH0_API_AUDIENCE to the identifier of this API, which is in the dashboard, under Applications, APIs. The token request is right if it names that identifier as audience.",
);

// authentik: https://docs.goauthentik.io/add-secure-apps/providers/oauth2/
pub(super) const AUTHENTIK_AUDIENCE: Cause = cause(
    "The token does not name this API: authentik writes the client ID of the provider that issued the token into aud.",
    "Create a provider for this API alone, have clients log in with it, and set AUTH0_API_AUDIENCE to its client ID. Its ID tokens have the same aud, so also require a scope.",
);

// Clerk: https://clerk.com/docs/backend-requests/resources/session-tokens
pub(super) const CLERK_AUDIENCE: Cause = cause(
    "Clerk's session tokens have no aud.",
    "Create a JWT template in the Clerk Dashboard with \"aud\" set to the identifier of this API, and send the custom JWT that getToken({ template: \"NAME\" }) returns.",
);
pub(super) const CLERK_OPAQUE: Cause = cause(
    "This is an opaque machine token of Clerk (an OAuth access token, an M2M token or an API key), which only Clerk can verify.",
    "Send a token from getToken(), or turn on the JWT format in Clerk's settings for OAuth applications or M2M tokens. API keys are always opaque.",
);
pub(super) const CLERK_KEY: Cause = cause(
    "This is an API key of the Clerk application (secret or publishable), not a token of a user.",
    "Send a session token, from getToken(). Never send a secret key to a browser or to another API.",
);
pub(super) const CLERK_OTHER_AUDIENCE: Cause = cause(
    "The token is for another audience: its JWT template writes another aud.",
    "Set \"aud\" in the JWT template to the identifier of this API, or fetch the token with the template of this API: getToken({ template: \"NAME\" }).",
);
pub(super) const CLERK_SCOPE: Cause = cause(
    "Clerk's session tokens grant no scopes. The roles and permissions of an organization are in claims.",
    "Check the organization's role and permissions in a handler, or have a JWT template write the claim scope from {{user.public_metadata}}. Never write a fixed scope, because every user would have it.",
);

pub(super) const CLERK_EXPIRED: Cause = cause(
    "The token has expired: Clerk's session tokens are valid for 60 seconds, unless a JWT template sets another lifetime.",
    "Call getToken() before each request, which returns a new token in time, and do not store its result.",
);

// Cloudflare: https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/authorization-cookie/
pub(super) const CLOUDFLARE_AUDIENCE: Cause = cause(
    "The token is for another Access application: its aud is the AUD tag of that application.",
    "Copy the Application Audience (AUD) Tag from the settings of this application in Cloudflare into AUTH0_API_AUDIENCE.",
);
pub(super) const CLOUDFLARE_ORG: Cause = cause(
    "This is the global session token of Cloudflare Access (its type is org), which is only for the team domain.",
    "Use the application token, which Cloudflare sends to the origin in the field Cf-Access-Jwt-Assertion.",
);
pub(super) const CLOUDFLARE_SCOPE: Cause = cause(
    "The tokens of Cloudflare Access grant no scopes: the policies of the application decide who gets access.",
    "Write the rule into an Access policy, or check email or, for service tokens, common_name.",
);

// Cognito: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
pub(super) const COGNITO_AUDIENCE: Cause = cause(
    "Cognito's access tokens have no aud, unless the client asked for one with resource. client_id names the client, not the API.",
    "For users, add resource with the identifier of this API to the authorization request (resource binding, in the Essentials and Plus plans). Or set AUTH0_AUDIENCE_CLAIM to client_id, and AUTH0_API_AUDIENCE to the clients whose tokens this API accepts.",
);
pub(super) const COGNITO_OTHER_API: Cause = cause(
    "The access token is bound to another API: its aud is the resource that the client asked for.",
    "Name the identifier of this API as resource in the authorization request.",
);
pub(super) const COGNITO_ID_TOKEN: Cause = cause(
    "This is Cognito's ID token (its token_use is id). It is for the app client in aud, not for an API.",
    "Send the access token, whose token_use is access.",
);
pub(super) const COGNITO_SCOPE: Cause = cause(
    "The access token has no scope of this API. Tokens from InitiateAuth have only aws.cognito.signin.user.admin.",
    "Define the scope in a resource server of the user pool, allow it for the app client, and request RESOURCE_SERVER/SCOPE as scope: at /oauth2/authorize for a user, at /oauth2/token for a client without a user.",
);

// Entra: https://learn.microsoft.com/entra/identity-platform/access-tokens
pub(super) const ENTRA_GRAPH: Cause = cause(
    "This access token is for Microsoft Graph or another API of Microsoft's. Only that API is meant to verify it, and its format may be specific to Microsoft.",
    "Request a scope of your own API, such as api://CLIENT_ID/SCOPE, and not one of Graph. One token cannot be for both.",
);
pub(super) const ENTRA_V1_TOKEN: Cause = cause(
    "The token is a v1.0 token of this tenant (its issuer is sts.windows.net), and the v2.0 issuer is configured.",
    "Set requestedAccessTokenVersion (formerly accessTokenAcceptedVersion) to 2 in the manifest of the API's app registration, and fetch a new token. Or configure the v1.0 issuer here.",
);
pub(super) const ENTRA_V2_TOKEN: Cause = cause(
    "The token is a v2.0 token of this tenant, and the v1.0 issuer (sts.windows.net) is configured.",
    "Configure the v2.0 issuer here; the audience of a v2.0 token is the API's client ID. Or set requestedAccessTokenVersion to 1 in the manifest of the API's app registration.",
);
pub(super) const ENTRA_COMMON: Cause = cause(
    "The configured issuer is common, organizations or consumers. No token has such an issuer: each names its own tenant.",
    "Write the tenant's ID into the issuer. To accept several tenants, list their issuers in AUTH0_ISSUER with commas between them.",
);
pub(super) const ENTRA_DOMAIN: Cause = cause(
    "The configured issuer has the tenant's domain instead of its ID, but tokens always have the ID in iss.",
    "Write the issuer exactly as tokens have it in iss, with the tenant's ID.",
);
pub(super) const ENTRA_HOST: Cause = cause(
    "The token is from the same tenant under another host: the issuers of Entra External ID have the tenant's name or its ID before .ciamlogin.com.",
    "Write AUTH0_ISSUER exactly as the issuer's discovery document has it in issuer.",
);
pub(super) const ENTRA_TENANT: Cause = cause(
    "The token is from another tenant of Entra. Tenants share signing keys, and only iss tells them apart.",
    "Fetch the token from the tenant that is configured here. Configure the other tenant only if this API should trust it. AUTH0_ISSUER lists issuers with commas between them.",
);
pub(super) const ENTRA_OVERAGE: Cause = cause(
    "The user is in more groups than fit into a token, so Entra left the groups out and refers to Microsoft Graph (_claim_names).",
    "Have the app registration emit only the groups that are assigned to the application, or use app roles, which are always in the token.",
);
pub(super) const ENTRA_SPELLING: Cause = cause(
    "The token is for the same application under its other name: v2.0 tokens have the client ID in aud, v1.0 tokens the client ID or the application ID URI, such as api://CLIENT_ID.",
    "Set AUTH0_API_AUDIENCE to the name that the token has in aud.",
);
pub(super) const ENTRA_AUDIENCE: Cause = cause(
    "The token is for another application: its aud is neither the client ID nor the application ID URI of this API.",
    "Request a scope of this API, such as api://CLIENT_ID/SCOPE; applications without a user request api://CLIENT_ID/.default.",
);
pub(super) const ENTRA_ID_TOKEN: Cause = cause(
    "This is an ID token: its aud is the client that the user signed in to, and it has neither scp nor roles for an API.",
    "Send the access token. The client gets one for this API if it requests a scope of it, such as api://CLIENT_ID/SCOPE.",
);
pub(super) const ENTRA_ROLES: Cause = cause(
    "The token has app roles in roles and no scopes in scp: tokens of applications without a user never have scopes.",
    "Protect the route by the role: .require(role(\"Reader\")) in your own service. Or call this API on behalf of a user, with a scope.",
);
pub(super) const ENTRA_SCOPE: Cause = cause(
    "The token lacks the scope: scp has only the scopes that the client requested and that were consented to.",
    "Define the scope under Expose an API, and have the client request it as api://CLIENT_ID/SCOPE and get consent.",
);

pub(super) const ENTRA_PATTERN: Cause = cause(
    "The configured issuer has {tenantid} in it, as the metadata of common do. Tokens have the ID of their tenant in its place.",
    "Write the tenant's ID into the issuer. To accept several tenants, list their issuers in AUTH0_ISSUER with commas between them, or write the pattern into ISSUERS_FILE, with the option tenants.",
);
pub(super) const ENTRA_PERSONAL: Cause = cause(
    "The token is of a personal Microsoft account: all of them belong to the tenant 9188040d-6c67-4c5b-b112-36a304b66dad.",
    "Have the application log users in at https://login.microsoftonline.com/TENANT_ID, with the ID of the configured tenant and not common or consumers, so that only users of that tenant get tokens. Configure the issuer of personal accounts only if everyone who has one may use this API.",
);
pub(super) const ENTRA_OTHER_HOST: Cause = cause(
    "The token names the configured tenant, but another host. Azure AD B2C (b2clogin.com), External ID (ciamlogin.com) and each national cloud have issuers and keys of their own.",
    "Write AUTH0_ISSUER exactly as the token has it in iss, if the application is meant to log in there. For B2C, also set AUTH0_JWKS_URI to the keys of the policy, https://TENANT.b2clogin.com/TENANT.onmicrosoft.com/POLICY/discovery/v2.0/keys.",
);
pub(super) const ENTRA_B2C: Cause = cause(
    "The token's issuer has the configured host of Azure AD B2C, which belongs to one tenant. The iss of its tokens has the tenant's ID, while its domain and the policy are only in the address of the discovery document.",
    "Write AUTH0_ISSUER exactly as the token has it in iss, and set AUTH0_JWKS_URI to the keys of the policy.",
);
pub(super) const ENTRA_CLIENT_ID: Cause = cause(
    "The aud of a v2.0 token is always a client ID, and AUTH0_API_AUDIENCE has another kind of name. The token may be for this API, or for another application.",
    "Set AUTH0_API_AUDIENCE to the client ID of this API.",
);
pub(super) const ENTRA_ID_URI: Cause = cause(
    "The aud of a v1.0 token is the name under which the client requested the API: its client ID or its application ID URI. The token may be for this API, or for another application.",
    "Set AUTH0_API_AUDIENCE to the name that the token has in aud, if it is one of this API.",
);
pub(super) const ENTRA_SCOPE_AS_AUDIENCE: Cause = cause(
    "AUTH0_API_AUDIENCE has the name of a scope, such as api://CLIENT_ID/SCOPE or api://CLIENT_ID/.default. Clients request scopes under these names, but aud names the application alone.",
    "Set AUTH0_API_AUDIENCE to the name that the token has in aud.",
);
pub(super) const ENTRA_SHORT_SCOPE: Cause = cause(
    "The token has the scope under its short name: scp never has the application ID URI before the name.",
    "Require the short name. Only the client's request has the whole name.",
);
pub(super) const ENTRA_ROLE_AS_SCOPE: Cause = cause(
    "The token has this name as an app role in roles, and the route requires a scope, which has to be in scp.",
    "Protect the route by the role: .require(role(\"Reader\")) in your own service, or ?role= at /auth. Or define a scope of this name under Expose an API, and have the client request it.",
);
pub(super) const ENTRA_APP_ONLY: Cause = cause(
    "The token is of an application without a user (client credentials): such tokens never have scopes in scp, and this one has no app roles in roles either.",
    "Define an app role for applications in the registration of this API, assign it to the client with the consent of an administrator, and have the client request api://CLIENT_ID/.default. Protect the route by the role: .require(role(\"Reader\")) in your own service, or ?role= at /auth.",
);
pub(super) const ENTRA_OWN_KEYS: Cause = cause(
    "The tenant's keys do not include the key that the token names. An application with mapped claims has separate keys.",
    "If the registration of this API maps claims, set AUTH0_JWKS_URI to the address of its keys. If not, the token is old: fetch a new one.",
);

// FastMCP: https://gofastmcp.com/servers/auth/oauth-proxy, https://gofastmcp.com/servers/auth/token-verification
pub(super) const FASTMCP_PROXY: Cause = cause(
    "This token is from FastMCP's OAuth proxy. It is for the MCP server that made it: it is signed with a secret of that server (HS256), and refers to the token of the real issuer.",
    "Do not pass the token on. Have the MCP server fetch a token of its own for this API, from the issuer that is configured here.",
);
pub(super) const FASTMCP_TEST: Cause = cause(
    "This is a test token of FastMCP's RSAKeyPair: no issuer publishes its key.",
    "For tests, save the public key of the pair to a file as PEM, set AUTH0_JWKS_FILE to it, and AUTH0_ISSUER to the name that the token has in iss.",
);

// Firebase: https://firebase.google.com/docs/auth/admin/verify-id-tokens
pub(super) const FIREBASE_AUDIENCE: Cause = cause(
    "The token is for another Firebase project: aud is the ID of the project.",
    "Use the same Firebase project in the application and here. Set AUTH0_API_AUDIENCE to the project's ID, and AUTH0_ISSUER to https://securetoken.google.com/ followed by that ID.",
);
pub(super) const FIREBASE_CUSTOM: Cause = cause(
    "This is a custom token, which your own server signs and which the application exchanges with Firebase.",
    "Call signInWithCustomToken in the application, and send the ID token from getIdToken().",
);
pub(super) const FIREBASE_SESSION: Cause = cause(
    "This is a session cookie of Firebase, whose issuer and keys are not those of ID tokens.",
    "Send the ID token from getIdToken().",
);
pub(super) const FIREBASE_EMULATOR: Cause = cause(
    "This token is from the Firebase emulator, which does not sign its tokens (alg is none).",
    "No setting accepts such a token. Send the ID token of a real Firebase project. For tests, warp-bearer dev issues signed tokens.",
);
pub(super) const FIREBASE_SCOPE: Cause = cause(
    "Firebase's ID tokens grant no scopes. Rights are in custom claims.",
    "Set a custom claim with the Admin SDK (setCustomUserClaims) and check it in a handler. A custom claim named scope works like a scope.",
);

// GitHub: https://docs.github.com/actions/reference/security/oidc
pub(super) const GITHUB_AUDIENCE: Cause = cause(
    "The token is for another audience. Without one in the request, GitHub writes the URL of the repository's owner.",
    "Request the token for this API: core.getIDToken(\"AUDIENCE\"), or &audience=AUDIENCE after ACTIONS_ID_TOKEN_REQUEST_URL.",
);
pub(super) const GITHUB_ENTERPRISE: Cause = cause(
    "The token is from a GitHub enterprise with an issuer of its own, which ends with the enterprise's name. Or such an issuer is configured, and the token is from outside of that enterprise.",
    "Configure the issuer of your own enterprise, exactly as its tokens have it in iss. GitHub signs the tokens of all enterprises with the same keys, so only iss tells them apart.",
);
pub(super) const GITHUB_TOKEN: Cause = cause(
    "This is a token for GitHub's own API (such as GITHUB_TOKEN or a personal access token), which is not for other services.",
    "Give the job the permission id-token: write, and send the OIDC token that the runner gets.",
);
pub(super) const GITHUB_RUNTIME: Cause = cause(
    "This is the token with which the runner calls GitHub's own services (ACTIONS_RUNTIME_TOKEN, ACTIONS_ID_TOKEN_REQUEST_TOKEN).",
    "Give the job the permission id-token: write, and send the OIDC token that ACTIONS_ID_TOKEN_REQUEST_URL answers with, for example from core.getIDToken(\"AUDIENCE\").",
);
pub(super) const GITHUB_SCOPE: Cause = cause(
    "The OIDC tokens of GitHub Actions grant no scopes: they identify the workflow.",
    "In a handler, check repository_id or repository_owner_id, and in addition ref, environment or job_workflow_ref. Without an ID, these also match workflows in other people's repositories.",
);

// Glewlwyd: https://github.com/babelouest/glewlwyd/blob/master/docs/OIDC.md#resource-indicators-rfc-8707
pub(super) const GLEWLWYD_AUDIENCE: Cause = cause(
    "The token does not name this API: Glewlwyd writes the list of scopes into aud, unless the request names a resource.",
    "Turn on Allow resource indicators (RFC 8707) in the OIDC plugin, list this API among the resources of a scope, and name it as resource in the request.",
);

// Google: https://cloud.google.com/docs/authentication/get-id-token
pub(super) const GOOGLE_AUDIENCE: Cause = cause(
    "The ID token is for another service: its aud is what the caller requested.",
    "Request the ID token for this service, as a service account: gcloud auth print-identity-token --audiences=AUDIENCE, or ?audience=AUDIENCE at the metadata server.",
);
pub(super) const GOOGLE_LOGIN: Cause = cause(
    "This is the ID token of a login: its aud is the OAuth client of the application. It tells that application who has logged in.",
    "Use Google's ID tokens only between services, and have the caller request them with this service as audience. For logins, use an issuer of your own that signs users in with Google.",
);
pub(super) const GOOGLE_ACCESS_TOKEN: Cause = cause(
    "This is an access token of Google, which is opaque and for Google's own APIs.",
    "Send an ID token of a service account with this service as audience: gcloud auth print-identity-token --audiences=AUDIENCE.",
);
pub(super) const GOOGLE_SELF_SIGNED: Cause = cause(
    "A service account of Google has signed this token itself: iss is the account, and its keys are not those of https://accounts.google.com.",
    "Send an ID token of the service account with this service as audience: gcloud auth print-identity-token --audiences=AUDIENCE.",
);
pub(super) const GOOGLE_SCOPE: Cause = cause(
    "Google's ID tokens grant no scopes: they identify the caller.",
    "In a handler, check sub, or email together with email_verified. The token has email only if the caller requested it.",
);

// IAP: https://cloud.google.com/iap/docs/signed-headers-howto
pub(super) const IAP_AUDIENCE: Cause = cause(
    "The token is for another backend of Identity-Aware Proxy.",
    "Copy the audience of this backend, such as /projects/NUMBER/global/backendServices/ID, from \"Get JWT audience code\" in the console into AUTH0_API_AUDIENCE.",
);
pub(super) const IAP_GOOGLE_TOKEN: Cause = cause(
    "This is the ID token with which a client logs in to Identity-Aware Proxy. The proxy adds its own token.",
    "Verify the token in the field X-Goog-Iap-Jwt-Assertion, whose issuer is https://cloud.google.com/iap.",
);
pub(super) const IAP_SCOPE: Cause = cause(
    "The tokens of Identity-Aware Proxy grant no scopes: IAM decides who gets access.",
    "Grant or deny access in IAM, or check email or sub in a handler.",
);

// Keycloak: https://www.keycloak.org/docs/latest/server_admin/#audience-support
pub(super) const KEYCLOAK_AUDIENCE: Cause = cause(
    "The token does not name this API: unless a mapper adds it, Keycloak writes only account or the clients whose roles the user has into aud, or no aud at all.",
    "Add an Audience mapper for this API to a client scope, and assign the scope to the client. Never accept account: almost every token of the realm has it.",
);
pub(super) const KEYCLOAK_OTHER_API: Cause = cause(
    "The token is for other clients of the realm, and no mapper adds this API to aud.",
    "Add an Audience mapper for this API to a client scope, and assign the scope to the client that requests the token.",
);
pub(super) const KEYCLOAK_ID_TOKEN: Cause = cause(
    "This is an ID token (its claim typ is ID), which is for the client in aud, not for an API.",
    "Send the access_token of the token endpoint's response, whose claim typ is Bearer or DPoP.",
);
pub(super) const KEYCLOAK_OTHER_CLIENT: Cause = cause(
    "The user has a role of this name in another client of the realm, where it may mean something else.",
    "Assign the role in the client of this API, or as a realm role, and fetch a new token. AUTH0_ROLES_AT names the claim with the roles: realm_access.roles, or resource_access.CLIENT.roles with the client of this API.",
);
pub(super) const KEYCLOAK_REFRESH: Cause = cause(
    "This is a refresh token of Keycloak (its claim typ is Refresh or Offline), which only Keycloak itself reads.",
    "Send the access_token of the token endpoint's response, not its refresh_token.",
);
pub(super) const KEYCLOAK_HOSTNAME: Cause = cause(
    "The token is from the same realm under another address: Keycloak uses the address of the request as its name, unless a hostname is set.",
    "Set hostname in Keycloak (KC_HOSTNAME), so that it has one name for all clients, and configure that name here.",
);
pub(in crate::service::cli::explain) const KEYCLOAK_ADDRESS: Cause = cause(
    "The token is from a realm of Keycloak with the configured name, but at another address. It is probably the same realm: Keycloak uses the address of the request as its name, unless a hostname is set.",
    "If it is the same Keycloak server, set hostname in Keycloak (KC_HOSTNAME), so that it has one name for all clients, and configure that name here. If it is another server, fetch the token from the one that is configured here.",
);
pub(in crate::service::cli::explain) const KEYCLOAK_PATH: Cause = cause(
    "The token is from a realm of Keycloak with the configured name at the same host, but below another path. Older versions of Keycloak, and those with KC_HTTP_RELATIVE_PATH, have a path such as /auth before /realms.",
    "If Keycloak runs below the path that the token has in iss, write AUTH0_ISSUER exactly like it.",
);
pub(in crate::service::cli::explain) const KEYCLOAK_REALM: Cause = cause(
    "The token is from another realm of the same Keycloak server. Each realm has its own users and keys.",
    "Fetch the token from the realm that is configured here. Or correct the realm in AUTH0_ISSUER, if the wrong one is configured.",
);
pub(super) const KEYCLOAK_SCOPE: Cause = cause(
    "The token lacks the scope: Keycloak grants a client's default client scopes, and optional ones only if the request names them.",
    "Create a client scope of this name with Include in token scope on, assign it to the client, and request it if it is optional. Realm roles are in realm_access.roles.",
);

// Kubernetes: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
pub(super) const KUBERNETES_AUDIENCE: Cause = cause(
    "The service account token is for another audience: by default it is for the Kubernetes API server.",
    "Mount a projected volume with serviceAccountToken.audience set to the audience of this API, or run kubectl create token NAME --audience=AUDIENCE.",
);
pub(super) const KUBERNETES_LEGACY: Cause = cause(
    "This is a legacy service account token from a Secret: its issuer is kubernetes/serviceaccount, and it neither expires nor names an audience.",
    "Use a bound token: a projected volume with serviceAccountToken, or kubectl create token NAME --audience=AUDIENCE.",
);
pub(super) const KUBERNETES_SCOPE: Cause = cause(
    "Service account tokens grant no scopes: they identify a service account.",
    "Check sub, which is system:serviceaccount:NAMESPACE:NAME, in a handler.",
);

// MCP: https://modelcontextprotocol.io/specification/draft/basic/authorization
pub(super) const MCP_AUDIENCE: Cause = cause(
    "The token is for this resource (AUTH0_RESOURCE), which AUTH0_API_AUDIENCE does not list. MCP clients name it as resource in the token request (RFC 8707).",
    "Add the resource to AUTH0_API_AUDIENCE.",
);

// Okta: https://developer.okta.com/docs/concepts/auth-servers/
pub(super) const OKTA_AUDIENCE: Cause = cause(
    "The token is for another audience. Each custom authorization server of Okta has its own; that of the server default is api://default.",
    "Compare AUTH0_API_AUDIENCE with Audience in the settings of the authorization server, under Security, API, and fetch the token from that server.",
);
pub(super) const OKTA_ORG: Cause = cause(
    "This access token is from Okta's org authorization server, and is for Okta's own APIs: only Okta can verify it.",
    "Fetch the token from a custom authorization server, such as https://ORG.okta.com/oauth2/default, and configure that server as issuer.",
);
pub(super) const OKTA_ID_TOKEN: Cause = cause(
    "This is an ID token: its aud is the client ID of the application. Access tokens of Okta have cid and scp.",
    "Send the access_token of the token endpoint's response and not its id_token.",
);
pub(super) const OKTA_SCOPE: Cause = cause(
    "The token lacks the scope: scp has only the scopes that the client requested and that an access policy allows.",
    "Add the scope to the authorization server under Scopes, allow it in a rule of an access policy, and have the client request it.",
);

// Stytch: https://stytch.com/docs/guides/sessions/using-jwts
pub(super) const STYTCH_ISSUER: Cause = cause(
    "The token is from the configured project. Stytch writes stytch.com/PROJECT_ID into iss, which is not the address of its discovery document.",
    "Write AUTH0_ISSUER exactly as the token has it in iss, and set AUTH0_JWKS_URI to the address of the project's keys.",
);
pub(super) const STYTCH_AUDIENCE: Cause = cause(
    "The token is for another Stytch project: aud has the ID of the project.",
    "Set AUTH0_API_AUDIENCE to the ID of your project, such as project-live-…, and use the same project in the application.",
);
pub(super) const STYTCH_OPAQUE: Cause = cause(
    "This is an opaque session_token of Stytch, which only Stytch's API can verify.",
    "Send the session_jwt, which Stytch returns beside the session_token.",
);

// Supabase: https://supabase.com/docs/guides/auth/jwts
pub(super) const SUPABASE_AUDIENCE: Cause = cause(
    "Supabase writes authenticated into the aud of every signed-in user, and another audience is configured.",
    "Set AUTH0_API_AUDIENCE to authenticated. The tokens of anonymous users (with is_anonymous) and of OAuth clients (with client_id) have it as well.",
);
pub(super) const SUPABASE_API_KEY: Cause = cause(
    "This is an API key of the Supabase project (anon, publishable, service_role or secret), not the token of a user.",
    "Send the access_token of the user's session. Never send a service_role or secret key to a browser or to another API.",
);
pub(super) const SUPABASE_SCOPE: Cause = cause(
    "Supabase's access tokens grant no scopes.",
    "Have a Custom Access Token Hook add the claim scope or permissions, or check claims such as app_metadata in a handler.",
);

// WorkOS: https://workos.com/docs/user-management/sessions
pub(super) const WORKOS_AUDIENCE: Cause = cause(
    "AuthKit's access tokens have no aud unless a JWT template adds one.",
    "Add \"aud\" with the identifier of this API to the JWT template in the WorkOS Dashboard, and fetch a new token.",
);
pub(super) const WORKOS_OPAQUE: Cause = cause(
    "This is not a JWT: API keys (sk_…), refresh tokens and sealed sessions of WorkOS are opaque.",
    "Send the accessToken of the session. A server gets it by unsealing the session cookie.",
);
pub(super) const WORKOS_SCOPE: Cause = cause(
    "AuthKit's access tokens grant no scopes. The permissions of the user's role are in permissions.",
    "Require a permission instead of the scope: permission(..) in your own service, or ?permission= at /auth.",
);

// Zitadel: https://zitadel.com/docs/apis/openidoauth/scopes
pub(super) const ZITADEL_AUDIENCE: Cause = cause(
    "The token does not name the project of this API.",
    "Add the scope urn:zitadel:iam:org:project:id:PROJECT_ID:aud to the request, and set AUTH0_API_AUDIENCE to the project's ID.",
);
pub(super) const ZITADEL_OPAQUE: Cause = cause(
    "The token is opaque, which is Zitadel's default.",
    "Set the Auth Token Type of the application, or the access token type of the service user, to JWT.",
);
