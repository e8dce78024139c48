//! Ways to cut a stream into reads, and chance that can be repeated.

/// The stream whole, byte by byte, and at every place where one cut divides it in two.
///
/// ```
/// let cuts: Vec<_> = framing::testkit::every_split(b"abc").collect();
/// assert_eq!(cuts.len(), 4);
/// assert_eq!(cuts[1], [b"a", b"b", b"c"]);
/// assert_eq!(cuts[3], [&b"ab"[..], b"c"]);
/// ```
pub fn every_split(stream: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let whole = vec![stream];
    let bytes = stream.chunks(1).collect();
    let halves = (1..stream.len()).map(|at| {
        let (front, back) = stream.split_at(at);
        vec![front, back]
    });
    [whole, bytes].into_iter().chain(halves)
}

/// Pseudo-random numbers, the same for the same seed: what fails once fails again.
///
/// ```
/// use framing::testkit::Random;
///
/// let (mut one, mut two) = (Random::new(7), Random::new(7));
/// assert_eq!(one.below(100), two.below(100));
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits (the generator is SplitMix64).
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number under `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// So many bytes, each one of `alphabet`.
    pub fn bytes(&mut self, length: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..length)
            .map(|_| alphabet[self.below(alphabet.len())])
            .collect()
    }

    /// Cuts a stream into pieces of 1 to `longest` bytes.
    pub fn cut<'a>(&mut self, mut stream: &'a [u8], longest: usize) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !stream.is_empty() {
            let (piece, rest) = stream.split_at(stream.len().min(1 + self.below(longest)));
            pieces.push(piece);
            stream = rest;
        }
        pieces
    }
}
