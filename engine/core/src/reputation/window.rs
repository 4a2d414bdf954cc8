//! The last rows of a table: one piece of memory, and no allocation once it is full.

/// Rows of equal length, oldest first; when there are as many as may be kept, a new one takes the oldest one's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Window<T> {
    items: Vec<T>,
    /// Items of a row.
    width: usize,
    /// Items kept at most.
    most: usize,
    /// Where the oldest row begins: at zero until the window is full.
    oldest: usize,
}

impl<T: Copy + Default> Window<T> {
    /// No row yet.
    pub(crate) fn new(width: usize, rows_max: u32) -> Self {
        assert!(width > 0 && rows_max > 0, "a window has room for a row");
        Self {
            items: Vec::new(),
            width,
            most: width * rows_max as usize,
            oldest: 0,
        }
    }

    /// How many rows are kept.
    pub(crate) fn len(&self) -> usize {
        self.items.len() / self.width
    }

    /// The row that the next one displaces.
    pub(crate) fn leaving(&self) -> Option<&[T]> {
        let full = self.items.len() == self.most;
        full.then(|| &self.items[self.oldest..][..self.width])
    }

    /// Adds the newest row: the place to write it to, where something may stand already.
    pub(crate) fn enter(&mut self) -> &mut [T] {
        let at = self.oldest;
        if self.items.len() < self.most {
            let at = self.items.len();
            self.items.resize(at + self.width, T::default());
            return &mut self.items[at..];
        }
        self.oldest += self.width;
        if self.oldest == self.most {
            self.oldest = 0;
        }
        &mut self.items[at..][..self.width]
    }

    /// All items, row by row, the oldest first, in two pieces.
    pub(crate) fn pieces(&self) -> [&[T]; 2] {
        let (newer, older) = self.items.split_at(self.oldest);
        [older, newer]
    }

    /// The rows, the oldest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[T]> {
        let [older, newer] = self.pieces();
        older
            .chunks_exact(self.width)
            .chain(newer.chunks_exact(self.width))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn it_is_a_queue_of_bounded_length() {
        for rows_max in 1..5 {
            let mut window = Window::new(2, rows_max);
            let mut queue = VecDeque::new();
            for at in 0..17 {
                let full = queue.len() == rows_max as usize;
                let gone = if full { queue.pop_front() } else { None };
                assert_eq!(
                    window.leaving(),
                    gone.as_ref().map(|row: &[u32; 2]| &row[..])
                );
                window.enter().copy_from_slice(&[at, 2 * at]);
                queue.push_back([at, 2 * at]);
                assert!(window.rows().eq(queue.iter()));
                assert_eq!(
                    window.pieces().concat(),
                    queue.make_contiguous().as_flattened()
                );
                assert_eq!(window.len(), queue.len());
            }
        }
    }
}
