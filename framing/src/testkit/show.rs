//! Bytes for a person who reads a failure.

/// Escaped, the middle left out where they are many.
pub(super) fn show(bytes: &[u8]) -> String {
    const MOST: usize = 512;
    if bytes.len() <= MOST {
        return format!("b\"{}\"", bytes.escape_ascii());
    }
    let (front, back) = (&bytes[..MOST / 2], &bytes[bytes.len() - MOST / 2..]);
    format!(
        "b\"{}\" and {} bytes and b\"{}\"",
        front.escape_ascii(),
        bytes.len() - MOST,
        back.escape_ascii()
    )
}

/// How a stream was cut.
pub(super) fn cuts(pieces: &[&[u8]]) -> String {
    const MOST: usize = 64;
    let shown = pieces.iter().take(MOST).map(|piece| show(piece));
    let shown: Vec<_> = shown.collect();
    let more = pieces.len() - shown.len();
    match more {
        0 => format!("[{}]", shown.join(", ")),
        _ => format!("[{} and {more} more]", shown.join(", ")),
    }
}
