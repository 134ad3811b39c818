"""What a version says of its products, column by column, held as numbers."""
