//! Frames over TCP: four octets of length, most significant first, then the frame without its
//! category (Wi-Fi Easy Connect 3.0 §6.6.1).

use crate::error::{Error, Malformed, Misuse};
use crate::frame::MAX_FRAME_LENGTH;

/// The port that is registered for it.
pub const PORT: u16 = 8908;

/// Octets of the length field.
pub const LENGTH_FIELD: usize = 4;

/// What one relayed exchange may take before the relay gives up, in seconds; time limits are the
/// caller's to apply.
pub const SESSION_SECONDS: u64 = 20;

/// How many octets of frame follow such a length field. Refuses an empty frame and one above
/// [`MAX_FRAME_LENGTH`], before anything is allocated for it.
pub fn frame_length(field: [u8; LENGTH_FIELD]) -> Result<usize, Error> {
    match usize::try_from(u32::from_be_bytes(field)) {
        Ok(0) => Err(Malformed::Frame.into()),
        Ok(length) if length <= MAX_FRAME_LENGTH => Ok(length),
        _ => Err(Malformed::TooLarge.into()),
    }
}

/// The length field and `frame` behind it, to be written in one go.
pub fn encode(frame: &[u8]) -> Result<Vec<u8>, Error> {
    if frame.is_empty() || frame.len() > MAX_FRAME_LENGTH {
        return Err(Misuse::Oversize.into());
    }
    let length = u32::try_from(frame.len()).map_err(|_| Misuse::Oversize)?;
    let mut out = Vec::with_capacity(LENGTH_FIELD + frame.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(frame);
    Ok(out)
}

/// Collects the octets of a connection into frames; holds at most one frame and what was handed in
/// behind it.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// A reader at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets as they come.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Whether nothing is held: no frame has begun that did not end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole frame; none when more octets are needed. A length beyond the limit is refused
    /// as soon as it is read, and ends the connection: what follows it has no meaning.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some((field, rest)) = self.buffer.split_first_chunk::<LENGTH_FIELD>() else {
            return Ok(None);
        };
        let length = frame_length(*field)?;
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = frame.to_vec();
        self.buffer.drain(..LENGTH_FIELD + length);
        if self.buffer.is_empty() {
            // A connection that waits keeps no room for the longest frame that it had.
            self.buffer = Vec::new();
        }
        Ok(Some(frame))
    }
}
