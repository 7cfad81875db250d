//! A minimal DER parser (X.690) for public keys and the dates of certificates.

/// The contents of the first element and the remaining bytes. `None` if the tag differs.
pub(crate) fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        // three bytes of length are enough for every key and certificate
        long => {
            let (length, rest) = rest.split_at_checked(long & 0x7f)?;
            let digits = length
                .iter()
                .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            (Some(digits).filter(|_| length.len() <= 3)?, rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    (*found == tag).then_some((contents, rest))
}
