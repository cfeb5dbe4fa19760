//! Hashes of contents, which are the same in every run of one build.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Returns a 64-bit hash of a value, which is the same in every run of one build.
pub(crate) fn content_hash(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// Spreads the bits of a number over all 64 (the finalizer of `SplitMix64`, Steele et al. 2014).
#[inline]
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
