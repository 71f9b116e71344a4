"""From records and a context policy to a fine-tuned model folder."""
