"""The collector: takes spans and step events from senders and files, and has them committed in batches."""
