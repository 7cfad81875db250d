# The portal of LemonLDAP::NG as an OpenID provider with one client. DIRECTORY has the keys; sessions are stored
# there. ORIGIN is the URL of the portal.
use strict;
use warnings;
use Lemonldap::NG::Portal::Main;

my ( $directory, $origin ) = @ENV{qw(DIRECTORY ORIGIN)};

sub contents {
    my ($name) = @_;
    open my $file, '<', "$directory/$name" or die "$name: $!";
    local $/;
    return <$file>;
}

sub sessions {
    my ($name) = @_;
    return { Directory => "$directory/$name", LockDirectory => "$directory/$name" };
}

my %client = (
    ClientID                    => 'application',
    ClientSecret                => 'application',
    AllowClientCredentialsGrant => 1,
    AccessTokenJWT              => 1,
    AccessTokenSignAlg          => 'RS256',
    IDTokenSignAlg              => 'RS256',
    AccessTokenExpiration       => 3600,
    AdditionalAudiences         => 'https://api.example.com',
);

my %endpoints = (
    Authorize    => 'authorize',
    Token        => 'token',
    UserInfo     => 'userinfo',
    JWKS         => 'jwks',
    EndSession   => 'logout',
    Introspection => 'introspect',
    Registration => 'register',
    CheckSession => 'checksession.html',
    BackChannel  => 'blogout',
    FrontChannel => 'flogout',
);

my %configuration = (
    configStorage               => { type => 'File', dirName => "$directory/conf" },
    localSessionStorage         => 'Cache::FileCache',
    localSessionStorageOptions  => { namespace => 'interop', cache_root => "$directory/cache", cache_depth => 0 },
    globalStorage               => 'Apache::Session::File',
    globalStorageOptions        => sessions('sessions'),
    persistentStorage           => 'Apache::Session::File',
    persistentStorageOptions    => sessions('persistent'),
    logLevel                    => 'error',
    templateDir                 => '/usr/share/lemonldap-ng/portal/templates',
    staticPrefix                => '/static',
    portal                      => "$origin/",
    domain                      => 'localhost',
    locationRules               => { localhost => { default => 'accept' } },
    exportedHeaders             => {},
    macros                      => {},
    groups                      => {},
    exportedVars                => {},
    reloadUrls                  => {},
    key                         => 'interop',
    authentication              => 'Demo',
    userDB                      => 'Same',
    passwordDB                  => 'Null',
    issuerDBOpenIDConnectActivation     => 1,
    issuerDBOpenIDConnectPath           => '^/oauth2/',
    issuerDBOpenIDConnectRule           => 1,
    oidcServiceMetaDataIssuer           => $origin,
    oidcServiceAllowAuthorizationCodeFlow => 1,
    oidcServicePrivateKeySig            => contents('key.pem'),
    oidcServicePublicKeySig             => contents('public.pem'),
    oidcServiceKeyIdSig                 => 'interop',
    oidcServiceMetaDataAuthnContext     => { 'loa-1' => 1 },
    oidcRPMetaDataExportedVars          => { application => { name => 'cn' } },
    oidcRPMetaDataScopeRules            => { application => { 'read:messages' => 1 } },
    oidcRPMetaDataOptions               => {
        application => { map { ( "oidcRPMetaDataOptions$_" => $client{$_} ) } keys %client }
    },
    map { ( "oidcServiceMetaData${_}URI" => $endpoints{$_} ) } keys %endpoints,
);

my $portal = Lemonldap::NG::Portal::Main->new;
$portal->init( \%configuration ) or die $portal->error;
$portal->run;
