//! One page of a list of tasks, written a task at a time.

/// The tasks of a page, as they are written, one after the other: until there are enough, or enough bytes of them.
#[derive(Clone, Debug, Default)]
pub struct WrittenTasks(Vec<u8>);

/// One page of a list of tasks.
#[derive(Clone, Copy, Debug)]
pub struct TaskPage<'a> {
    /// The page, in order.
    pub tasks: &'a WrittenTasks,
    /// Where the next page begins; empty if there is none.
    pub next_page_token: &'a str,
    /// How many tasks a page may have.
    pub page_size: u32,
    /// How many match in all.
    pub total_size: usize,
}

impl WrittenTasks {
    /// Adds the task that `write` writes: exactly one JSON object.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        write(&mut self.0);
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out what was added since there were so many bytes.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Writes them as a list.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(&self.0);
        out.push(b']');
    }
}
