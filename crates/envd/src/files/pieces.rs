//! A file in pieces, read ahead of who takes them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};

/// The size of a piece. Larger ones are not faster.
const PIECE_BYTES: usize = 512 << 10;

/// How many pieces are read at once: one while another is sent.
const AHEAD: usize = 2;

/// Bytes on their way to a client.
pub(super) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// The bytes of a range. A file that became shorter meanwhile breaks them off.
///
/// No thread waits for a slow client: each piece is read by itself.
pub(super) fn read(file: Arc<File>, range: Range<u64>) -> Pieces {
    let pieces = range.clone().step_by(PIECE_BYTES).map(move |start| {
        let file = Arc::clone(&file);
        let length = (PIECE_BYTES as u64).min(range.end - start);
        let piece = tokio::task::spawn_blocking(move || read_piece(&file, start, length));
        async { piece.await.map_err(io::Error::other)? }
    });
    futures::stream::iter(pieces).buffered(AHEAD).boxed()
}

fn read_piece(file: &File, start: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, start)?;
    Ok(piece.into())
}

/// A text between ranges.
pub(super) fn text(text: String) -> Pieces {
    futures::stream::iter([Ok(Bytes::from(text))]).boxed()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures::TryStreamExt as _;

    use super::*;

    fn file(content: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn any_range_comes_whole_and_in_order() {
        let content: Vec<u8> = (0..2_000_003u32).map(|number| (number % 251) as u8).collect();
        let file = file(&content);
        for range in [0..2_000_003usize, 7..8, 5..5, 524_288..1_048_577] {
            let bytes = range.start as u64..range.end as u64;
            let pieces: Vec<Bytes> = read(Arc::clone(&file), bytes).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), content[range]);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_an_error() {
        let pieces: io::Result<Vec<Bytes>> = read(file(b"short"), 0..6).try_collect().await;
        assert_eq!(pieces.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
