"""The worlds an agent acts in: one small interface (`base`), a registry, and one folder per world."""
