//! Every way through a program that asks which way to go: depth first, by running it again.

/// Asked with `choose`; `next` turns to the next way, until there is none.
pub struct Paths {
    /// The choices of this run, and how many there were at each.
    taken: Vec<(usize, usize)>,
    at: usize,
    depth: usize,
    started: bool,
}

impl Paths {
    /// Beyond `depth` choices the first way is taken.
    pub fn new(depth: usize) -> Paths {
        Paths { taken: Vec::new(), at: 0, depth, started: false }
    }

    /// Begins the next run; false when every way was gone.
    pub fn next(&mut self) -> bool {
        self.at = 0;
        if !self.started {
            self.started = true;
            return true;
        }
        while let Some((way, ways)) = self.taken.pop() {
            if way + 1 < ways {
                self.taken.push((way + 1, ways));
                return true;
            }
        }
        false
    }

    pub fn choose(&mut self, ways: usize) -> usize {
        if ways < 2 {
            return 0;
        }
        if self.at == self.taken.len() {
            if self.taken.len() >= self.depth {
                return 0;
            }
            self.taken.push((0, ways));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }
}
