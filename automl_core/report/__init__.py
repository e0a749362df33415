"""What people look at: tables, figures and the live view of a run."""
