//! With the feature `fips`, signatures and TLS use the FIPS module.

#[test]
fn signatures_and_tls_use_the_fips_module() {
    aws_lc_rs::try_fips_mode().unwrap();
    assert!(rustls::crypto::aws_lc_rs::default_provider().fips());
}
