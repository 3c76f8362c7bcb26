"""Find faces in photos, align them to the crop that the trunk expects, and judge their quality."""
