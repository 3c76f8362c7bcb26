"""Find faces in photos, align them to the crops of a trunk, and measure their quality."""
