//! How many documents are handled at once.

/// How much a copy handles at once. It holds a chunk of the source's documents in memory, and one of the target's.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLimits {
    /// The most documents.
    pub documents: usize,
    /// About the most bytes on one node.
    pub bytes: usize,
}

impl Default for ChunkLimits {
    fn default() -> ChunkLimits {
        ChunkLimits { documents: 1000, bytes: 8 << 20 }
    }
}

/// The size of the next chunk, by what the last ones were like.
#[derive(Debug)]
pub struct ChunkSize {
    limits: ChunkLimits,
    documents: usize,
}

/// While nothing is known of the documents' size.
const FIRST: usize = 64;

impl ChunkSize {
    /// A small first chunk.
    pub fn new(limits: ChunkLimits) -> ChunkSize {
        ChunkSize { limits, documents: FIRST.min(limits.documents).max(1) }
    }

    /// How many documents the next chunk should have.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Learns from a chunk of so many documents that took so many bytes. Grows slowly, as large documents may follow
    /// small ones, and shrinks at once.
    pub fn learn(&mut self, documents: usize, bytes: usize) {
        let fitting = match bytes / documents.max(1) {
            0 => self.limits.documents,
            each => self.limits.bytes / each,
        };
        let most = self.limits.documents.min(self.documents.saturating_mul(2));
        self.documents = fitting.min(most).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_to_the_limit_of_documents_or_of_bytes() {
        let limits = ChunkLimits { documents: 300, bytes: 100_000 };
        let mut size = ChunkSize::new(limits);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(size.documents());
            size.learn(size.documents(), size.documents() * 10);
        }
        assert_eq!(seen, [64, 128, 256, 300]);
        size.learn(300, 300 * 10_000);
        assert_eq!(size.documents(), 10, "large documents come in small chunks");
        size.learn(10, 10 * 1_000_000);
        assert_eq!(size.documents(), 1, "one at a time is the least");
        size.learn(1, 0);
        assert_eq!(size.documents(), 2);
        assert_eq!(ChunkSize::new(ChunkLimits { documents: 0, bytes: 0 }).documents(), 1);
    }
}
