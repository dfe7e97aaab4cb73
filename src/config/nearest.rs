//! The known word that a misspelt one was most likely meant to be.
//!
//! Used for keys of the file, names in the environment, options and subcommands.

/// The candidate with the fewest edits to `word`, unless even that is far away.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let bound = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= bound)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, or nothing.
pub fn hint<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(word, candidates).map_or(String::new(), |near| format!("; did you mean {near}?"))
}

/// Insertions, deletions, replacements between two words (Levenshtein), a row at a time.
pub fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn the_nearest_is_named_and_the_far_is_not() {
        let known = ["timeout", "root-timeout", "redis-url"];
        assert_eq!(nearest("root-timout", known), Some("root-timeout"));
        assert_eq!(nearest("time-out", known), Some("timeout"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(hint("redis-uri", known), "; did you mean redis-url?");
        assert_eq!(hint("colour", known), "");
    }
}
