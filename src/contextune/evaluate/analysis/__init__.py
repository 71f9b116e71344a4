"""From outcomes to intervals and a verdict; no model is needed."""
