//! Request bodies that are compressed by gzip or deflate.
//!
//! Envoy has no filter for deflate, and its filter for gzip passes on what it could read of a body that is cut or
//! corrupt, as if that were all. Brotli and Zstandard are left to Envoy.

use std::io::Write;

use flate2::write::{GzDecoder, ZlibDecoder};

use crate::error::{ApiError, ErrorType};
use crate::exchange::{Answer, Call, CallId, Exchange, Report, RequestHead, Step};

/// How much is decoded at once: it may become a thousand times as much.
const AT_ONCE: usize = 4096;

/// An encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, as HTTP means it.
    Deflate,
}

impl Encoding {
    /// Takes the encoding off a request's head, if it is one that is decoded here.
    pub fn take(head: &mut RequestHead) -> Option<Encoding> {
        let encoding = match head.header("content-encoding")?.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                Encoding::Gzip
            }
            name if name.eq_ignore_ascii_case("deflate") => Encoding::Deflate,
            _ => return None,
        };
        head.headers.retain(|(name, _)| name != "content-encoding" && name != "content-length");
        Some(encoding)
    }
}

/// An exchange that sees its body decoded.
pub struct Decoding {
    exchange: Box<dyn Exchange>,
    decoder: Decoder,
    /// Whether nothing of the body matters any more.
    is_over: bool,
}

enum Decoder {
    Gzip(GzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl Decoder {
    fn decode(&mut self, piece: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Decoder::Gzip(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Decoder::Deflate(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// Takes the end, and gives what is left.
    fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        match self {
            Decoder::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Decoder::Deflate(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

impl Decoding {
    /// Puts a decoder before an exchange.
    pub fn new(exchange: Box<dyn Exchange>, encoding: Encoding) -> Decoding {
        let decoder = match encoding {
            Encoding::Gzip => Decoder::Gzip(GzDecoder::new(Vec::new())),
            Encoding::Deflate => Decoder::Deflate(ZlibDecoder::new(Vec::new())),
        };
        Decoding { exchange, decoder, is_over: false }
    }

    fn fail(&mut self, error: std::io::Error) -> Step {
        self.is_over = true;
        let message = format!("The body is not encoded as its `Content-Encoding` says: {error}.");
        self.exchange.broken(ApiError::new(400, "bad_request", ErrorType::InvalidRequest, message))
    }
}

impl Exchange for Decoding {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        let mut all = Step::Wait;
        for piece in piece.chunks(AT_ONCE) {
            if self.is_over {
                return all;
            }
            let step = match self.decoder.decode(piece) {
                Ok(decoded) => self.exchange.body(&decoded, false),
                Err(error) => self.fail(error),
            };
            all = all.and(step);
            if let Step::Reply(_) = all {
                return all;
            }
        }
        if !end || self.is_over {
            return all;
        }
        let step = match self.decoder.finish() {
            Ok(decoded) => self.exchange.body(&decoded, true),
            Err(error) => self.fail(error),
        };
        all.and(step)
    }

    fn broken(&mut self, error: ApiError) -> Step {
        self.exchange.broken(error)
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        self.exchange.answered(call, answer)
    }

    fn late(&mut self, call: CallId) -> Step {
        self.exchange.late(call)
    }

    fn testament(&mut self) -> Option<Call> {
        self.exchange.testament()
    }

    fn report(&self) -> Report {
        self.exchange.report()
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::Reply;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Answers with the body that it got.
    #[derive(Default)]
    struct Echo(Vec<u8>);

    impl Exchange for Echo {
        fn body(&mut self, piece: &[u8], end: bool) -> Step {
            self.0.extend_from_slice(piece);
            if end { Step::Reply(Reply::json(200, std::mem::take(&mut self.0))) } else { Step::Wait }
        }

        fn answered(&mut self, _: CallId, _: Option<Answer>) -> Step {
            Step::Wait
        }
    }

    fn decoded(encoding: Encoding, body: &[u8], piece: usize) -> Reply {
        let mut decoding = Decoding::new(Box::<Echo>::default(), encoding);
        for piece in body.chunks(piece) {
            if let Step::Reply(reply) = decoding.body(piece, false) {
                return reply;
            }
        }
        let Step::Reply(reply) = decoding.body(&[], true) else { panic!("no reply") };
        reply
    }

    fn encoded(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn the_encoding_is_taken_off_the_head() {
        let head = |encoding: &str| RequestHead {
            headers: vec![
                ("content-encoding".into(), encoding.into()),
                ("content-length".into(), "5".into()),
            ],
            ..RequestHead::default()
        };
        let mut gzip = head("GZip");
        assert_eq!((Encoding::take(&mut gzip), gzip.headers.len()), (Some(Encoding::Gzip), 0));
        let mut brotli = head("br");
        assert_eq!((Encoding::take(&mut brotli), brotli.headers.len()), (None, 2));
    }

    proptest! {
        #[test]
        fn bodies_are_decoded_and_cut_ones_refused(text in "[a-d]{0,300}", piece in 1usize..20, cut in 1usize..400) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                let body = encoded(encoding, text.as_bytes());
                let whole = decoded(encoding, &body, piece);
                prop_assert_eq!((whole.status, &*whole.body), (200, text.as_bytes()));
                let cut = body.len().saturating_sub(cut);
                prop_assert_eq!(decoded(encoding, &body[..cut], piece).status, 400);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, piece in 1usize..20) {
            let _ = decoded(Encoding::Gzip, &body, piece);
            let _ = decoded(Encoding::Deflate, &body, piece);
        }
    }
}
